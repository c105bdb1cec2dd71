//! The retained messages. The door keeps them itself because the router forgets all but the first
//! hundred or two of a wildcard, and deletes on an empty publish that was not retained.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use divisor_wire::topic::filter_matches;

use super::envelope::{Message, ORIGIN_DAEMON};

/// Topics looked at while the table is locked once: a subscriber with a filter that matches
/// little must not hold up the publisher for the whole table (a chunk takes some 30 µs).
const CHUNK: usize = 512;

/// A retained message and when it came, for its expiry.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The message, its retain flag set.
    pub message: Message,
    /// When it was stored.
    pub stored: Instant,
}

/// The table, ordered by topic so that it can be read in pieces.
#[derive(Debug)]
pub struct Table {
    topics: RwLock<BTreeMap<Arc<str>, Retained>>,
    topics_max: usize,
}

impl Table {
    /// An empty table for this many topics.
    #[must_use]
    pub fn new(topics_max: usize) -> Self {
        Self {
            topics: RwLock::default(),
            topics_max,
        }
    }

    /// Stores a message, or clears its topic when it is empty. False when the table is full: the
    /// daemon's own levels always fit, since definitions bound them.
    pub fn store(&self, topic: &Arc<str>, message: &Message) -> bool {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if message.payload.is_empty() {
            topics.remove(topic);
            return true;
        }
        let full = topics.len() >= self.topics_max && message.origin != ORIGIN_DAEMON;
        let retained = Retained {
            message: message.clone(),
            stored: Instant::now(),
        };
        match topics.entry(Arc::clone(topic)) {
            Entry::Occupied(mut entry) => {
                entry.insert(retained);
                true
            }
            Entry::Vacant(entry) if !full => {
                entry.insert(retained);
                true
            }
            Entry::Vacant(_) => false,
        }
    }

    /// Every message whose topic matches, in the order of topics.
    #[must_use]
    pub fn matching(&self, filter: &str) -> Vec<Retained> {
        if !filter.contains(['+', '#']) {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            return topics.get(filter).cloned().into_iter().collect();
        }
        // Up to the first wildcard level topic and filter are the same text, without its slash
        // because `a/#` matches `a`.
        let fixed = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        let fixed = fixed.strip_suffix('/').unwrap_or(fixed);
        let mut found = Vec::new();
        let mut after: Bound<Arc<str>> = Bound::Included(Arc::from(fixed));
        loop {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            let mut last = None;
            for (topic, retained) in topics.range((after, Bound::Unbounded)).take(CHUNK) {
                if !topic.starts_with(fixed) {
                    return found;
                }
                if filter_matches(filter, topic) {
                    found.push(retained.clone());
                }
                last = Some(Arc::clone(topic));
            }
            match last {
                Some(topic) => after = Bound::Excluded(topic),
                None => return found,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::door::envelope::Qos;

    fn message(topic: &str, payload: &'static str, origin: u64) -> (Arc<str>, Message) {
        let message = Message {
            version: 1,
            origin,
            qos: Qos::AtMostOnce,
            retain: true,
            expiry_secs: 0,
            properties: Bytes::new(),
            topic: Bytes::from(topic.to_owned()),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        (topic.into(), message)
    }

    #[test]
    fn every_match_is_found_however_many() {
        let table = Table::new(10_000);
        for number in 0..2_000 {
            let (topic, message) = message(&format!("indexes/I{number}/level"), "1", 0);
            assert!(table.store(&topic, &message));
        }
        assert_eq!(table.matching("indexes/+/level").len(), 2_000);
        assert_eq!(table.matching("#").len(), 2_000);
        assert_eq!(table.matching("indexes/#").len(), 2_000);
        assert_eq!(table.matching("+/I7/level").len(), 1);
        assert_eq!(table.matching("indexes/I7/level").len(), 1);
        assert_eq!(table.matching("indexes/I7/+").len(), 1);
        assert_eq!(table.matching("indexes/I7").len(), 0);
        let (topic, empty) = message("indexes/I7/level", "", 0);
        table.store(&topic, &empty);
        assert_eq!(table.matching("indexes/I7/level").len(), 0);
    }

    #[test]
    fn a_full_table_refuses_clients_only() {
        let table = Table::new(1);
        let store = |topic, origin| {
            let (topic, message) = message(topic, "1", origin);
            table.store(&topic, &message)
        };
        assert!(store("a", 5));
        assert!(store("a", 5));
        assert!(!store("b", 5));
        assert!(store("indexes/A/level", 0));
    }
}
