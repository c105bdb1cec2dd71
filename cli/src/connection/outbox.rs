//! What was handed over for sending and is not acknowledged yet.
//!
//! rumqttc drops its own list of unacknowledged messages when the broker does not know the session
//! any more (BROKER.md §2), so this one is kept beside it: an entry leaves only by its
//! acknowledgement, and after a reconnect every entry is published again, in the old order. Ticks
//! carry an identity, so a second delivery is harmless.
//!
//! rumqttc numbers packets when it writes them. Entries wait in `handed` in the order in which
//! they went into its channel; each write takes the first and files it under its packet id.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rumqttc::{Publish, QoS};

/// Longer waits count as this.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;

/// The message list. Pure bookkeeping: no socket, no clock.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    handed: VecDeque<u64>,
    written: HashMap<u16, u64>,
    online: bool,
    account: Account,
}

#[derive(Debug)]
struct Entry {
    publish: Publish,
    ticks: u32,
    since: Instant,
}

/// What became of the messages.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Messages handed over.
    pub(crate) messages: u64,
    /// Ticks in them.
    pub(crate) ticks: u64,
    /// Ticks whose message is acknowledged, or written where `QoS` 0 promises no more.
    pub(crate) acknowledged: u64,
    /// Messages published again after a reconnect.
    pub(crate) repeated: u64,
    /// From handing over to acknowledgement, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Account {
    fn new() -> Self {
        Self {
            messages: 0,
            ticks: 0,
            acknowledged: 0,
            repeated: 0,
            // From a microsecond to an hour with three digits: 180 KiB, and valid by its constants.
            latency: Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are in order")),
        }
    }

    /// Takes another publisher's account in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.ticks += other.ticks;
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        // Both have the same bounds and precision.
        let _ = self.latency.add(&other.latency);
    }

    /// The latency below which this share of the acknowledgements stays.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_percentile(share))
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// An empty list on a fresh connection.
    pub(crate) fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            handed: VecDeque::new(),
            written: HashMap::new(),
            online: true,
            account: Account::new(),
        }
    }

    /// Files a message. True when the caller shall hand it to the client now, false while there
    /// is no connection: then the reconnect takes it along.
    pub(crate) fn add(&mut self, publish: Publish, ticks: u32, now: Instant) -> bool {
        let token = self.next;
        self.next += 1;
        self.account.messages += 1;
        self.account.ticks += u64::from(ticks);
        let entry = Entry {
            publish,
            ticks,
            since: now,
        };
        self.entries.insert(token, entry);
        if self.online {
            self.handed.push_back(token);
        }
        self.online
    }

    /// The client wrote a PUBLISH with this packet id (0 for `QoS` 0). True when that ends it.
    pub(crate) fn wrote(&mut self, packet: u16, now: Instant) -> bool {
        let Some(token) = self.handed.pop_front() else {
            return false;
        };
        if packet == 0 {
            return self.finish(token, now);
        }
        self.written.insert(packet, token);
        false
    }

    /// PUBACK or PUBCOMP. True when it ends an entry.
    pub(crate) fn acknowledged(&mut self, packet: u16, now: Instant) -> bool {
        match self.written.remove(&packet) {
            Some(token) => self.finish(token, now),
            None => false,
        }
    }

    fn finish(&mut self, token: u64, now: Instant) -> bool {
        let Some(entry) = self.entries.remove(&token) else {
            return false;
        };
        self.account.acknowledged += u64::from(entry.ticks);
        let micros = now.saturating_duration_since(entry.since).as_micros();
        self.account
            .latency
            .saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
        true
    }

    /// The connection is gone: packet ids mean nothing any more, and nothing may be handed over.
    pub(crate) fn disconnected(&mut self) {
        self.online = false;
        self.handed.clear();
        self.written.clear();
    }

    /// The connection is back: all that is unacknowledged, to be handed over in this order.
    pub(crate) fn reconnected(&mut self) -> Vec<Publish> {
        self.online = true;
        self.handed = self.entries.keys().copied().collect();
        self.account.repeated += self.entries.len() as u64;
        self.entries
            .values()
            .map(|entry| {
                let mut publish = entry.publish.clone();
                publish.dup = publish.qos != QoS::AtMostOnce;
                publish
            })
            .collect()
    }

    /// How many messages wait for their acknowledgement.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many messages were finished: a reconnect after which this stands still was fruitless.
    pub(crate) fn finished(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    /// The account up to now.
    pub(crate) const fn account(&self) -> &Account {
        &self.account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, qos: QoS) -> Publish {
        Publish::new(name, qos, "x")
    }

    fn topics(list: &[Publish]) -> Vec<&str> {
        list.iter().map(|publish| publish.topic.as_str()).collect()
    }

    #[test]
    fn an_entry_leaves_by_its_acknowledgement_only() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        for name in ["a", "b", "c"] {
            assert!(outbox.add(message(name, QoS::AtLeastOnce), 2, now));
        }
        assert!(!outbox.wrote(1, now) && !outbox.wrote(2, now));
        assert!(outbox.acknowledged(2, now), "out of order is fine");
        assert!(!outbox.acknowledged(2, now), "twice is nothing");
        assert!(!outbox.acknowledged(9, now), "unknown is nothing");
        assert_eq!((outbox.len(), outbox.account().acknowledged), (2, 2));
    }

    #[test]
    fn a_reconnect_repeats_in_order_and_with_new_ids() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        for name in ["a", "b", "c"] {
            outbox.add(message(name, QoS::AtLeastOnce), 1, now);
        }
        outbox.wrote(1, now);
        outbox.wrote(2, now);
        outbox.acknowledged(1, now);
        outbox.disconnected();
        assert!(!outbox.add(message("d", QoS::AtLeastOnce), 1, now), "waits");
        assert!(!outbox.acknowledged(2, now), "an old id means nothing now");
        let again = outbox.reconnected();
        assert_eq!(topics(&again), ["b", "c", "d"]);
        assert!(again.iter().all(|publish| publish.dup));
        for packet in 1..=3 {
            outbox.wrote(packet, now);
            assert!(outbox.acknowledged(packet, now));
        }
        let account = outbox.account();
        assert_eq!(
            (outbox.len(), account.acknowledged, account.repeated),
            (0, 4, 3)
        );
    }

    #[test]
    fn qos_0_is_done_when_written() {
        let now = Instant::now();
        let mut outbox = Outbox::new();
        outbox.add(message("a", QoS::AtMostOnce), 1, now);
        assert!(outbox.wrote(0, now + Duration::from_millis(5)));
        assert_eq!(outbox.len(), 0);
        assert_eq!(outbox.account().percentile(50.0).as_millis(), 5);
    }
}
