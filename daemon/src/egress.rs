//! What the sequencer hands to the fan-out: the mirror of [`crate::ingress`].

use std::sync::Arc;

use bytes::Bytes;

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
        }
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

    /// Messages that subscribers did not get because they were too slow for them, since the start.
    fn lost(&self) -> u64;

    /// Publishes in this order. Never waits for a subscriber.
    fn publish(&self, announcements: Vec<Announcement>);
}
