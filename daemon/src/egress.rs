//! What the sequencer hands to the fan-out: the mirror of [`crate::ingress`].

use std::sync::Arc;

use bytes::Bytes;
use divisor_engine::IndexId;

use crate::ingress::Refusal;

/// A message of the daemon's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The topic.
    pub topic: Arc<str>,
    /// The payload.
    pub payload: Bytes,
    /// Whether later subscribers get it too.
    pub retain: bool,
    /// MQTT 5 correlation data of the request that this answers.
    pub correlation: Option<Bytes>,
    /// What it is about, for those who keep the last value of each index.
    pub subject: Subject,
}

/// What an announcement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subject {
    /// The level of an index.
    Level(IndexId),
    /// Something happened to an index.
    Event(IndexId),
    /// Anything else: the daemon's status, replies, refusals, copies of prices.
    #[default]
    Other,
}

impl Announcement {
    /// A message that only those get who are subscribed now.
    #[must_use]
    pub fn passing(topic: Arc<str>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic,
            payload: payload.into(),
            retain: false,
            correlation: None,
            subject: Subject::Other,
        }
    }

    /// The same message, about this.
    #[must_use]
    pub const fn about(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// A message that stays as the topic's last value.
    #[must_use]
    pub fn retained(topic: Arc<str>, payload: impl Into<Bytes>) -> Self {
        Self {
            retain: true,
            ..Self::passing(topic, payload)
        }
    }
}

/// Where announcements go. The door's fan-out in the daemon, a list in tests and simulations.
pub trait Outlet: Send {
    /// True when somebody subscribes to prices, so that copies are worth making.
    fn wants_prices(&self) -> bool;

    /// Publishes in this order. Never waits for a subscriber.
    fn publish(&self, announcements: Vec<Announcement>);

    /// Counts what was refused, whether or not its sender still hears of it.
    fn count_refusals(&self, _refusals: &[Refusal]) {}
}

/// Everything goes to the first; the second looks on, by reference and beforehand, and must be quick.
#[derive(Debug, Clone)]
pub struct Tee<A, B>(pub A, pub B);

/// Looks at what leaves. It is called on the sequencer's thread.
pub trait Onlooker: Send {
    /// Sees what is about to be published, in its order.
    fn see(&self, announcements: &[Announcement]);
}

impl<A: Outlet, B: Onlooker> Outlet for Tee<A, B> {
    fn wants_prices(&self) -> bool {
        self.0.wants_prices()
    }

    fn publish(&self, announcements: Vec<Announcement>) {
        self.1.see(&announcements);
        self.0.publish(announcements);
    }

    fn count_refusals(&self, refusals: &[Refusal]) {
        self.0.count_refusals(refusals);
    }
}
