//! What the door counts. Metrics read them; nothing decides by them but the connection limit.

use std::sync::atomic::{AtomicU64, Ordering};

use divisor_wire::Reason;

/// Counters of the whole door.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections now, handshakes included.
    pub connections: AtomicU64,
    /// Connections ever accepted.
    pub accepted: AtomicU64,
    /// Connections refused with a CONNACK or closed for want of room.
    pub refused_connections: AtomicU64,
    /// PUBLISH packets in, by QoS.
    pub messages_in: [AtomicU64; 3],
    /// PUBLISH packets out, by QoS.
    pub messages_out: [AtomicU64; 3],
    /// Messages refused because the client may not write their topic.
    pub refused_topic: AtomicU64,
    /// Subscriptions refused for their filter, a right or their number.
    pub refused_filters: AtomicU64,
    /// Payloads, or ticks of them, that could not be read.
    pub refused_payload: AtomicU64,
    /// Connections ended by a packet that breaks the protocol.
    pub protocol_errors: AtomicU64,
    /// Connections ended by a timeout: connect, keep-alive or write.
    pub timeouts: AtomicU64,
    /// Messages dropped because a subscriber's queue was full.
    pub dropped_out: AtomicU64,
    /// Messages that a subscriber's session did not take from the router's log before they fell out
    /// of it. Filters of one session that overlap are not counted.
    pub dropped_router: AtomicU64,
    /// Retained messages refused because the table was full.
    pub dropped_retained: AtomicU64,
    /// Sessions waiting for their client.
    pub sessions_parked: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that slow subscribers did not get.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let queue = self.dropped_out.load(Ordering::Relaxed);
        queue.saturating_add(self.dropped_router.load(Ordering::Relaxed))
    }

    /// Counts one refusal of the door by its reason.
    pub fn refuse(&self, reason: Reason) {
        if reason == Reason::BadTopic {
            Self::add(&self.refused_topic);
        } else {
            Self::add(&self.refused_payload);
        }
    }
}

/// Holds a gauge up by one for as long as it lives, whatever ends its owner.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    pub(super) fn new(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
