//! The retained messages. The door keeps them itself because the router forgets all but the first
//! hundred or two of a wildcard, and deletes on an empty publish that was not retained.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Instant;

use divisor_wire::topic::filter_matches;

use super::envelope::Message;

/// Topics looked at, and messages stored, while the table is locked once (some 30 µs): subscribers
/// must not hold up the publisher for the whole table, nor he them for a whole batch.
const CHUNK: usize = 512;

/// A retained message and when it came, for its expiry.
#[derive(Debug, Clone)]
pub struct Retained {
    /// The message, its retain flag set.
    pub message: Message,
    /// When it was stored.
    pub stored: Instant,
    /// Whose share of the table it takes; `None` for the daemon's.
    owner: Option<Arc<str>>,
}

/// The table, ordered by topic so that it can be read in pieces.
#[derive(Debug)]
pub struct Table {
    rows: RwLock<Rows>,
    topics_max: usize,
    per_owner_max: usize,
}

#[derive(Debug, Default)]
struct Rows {
    topics: BTreeMap<Arc<str>, Retained>,
    /// Topics of each owner.
    owned: HashMap<Arc<str>, usize>,
}

impl Rows {
    fn disown(&mut self, owner: Option<&Arc<str>>) {
        if let Some(owner) = owner
            && let Some(count) = self.owned.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(owner);
            }
        }
    }
}

impl Table {
    /// An empty table for this many topics in all, and of one owner.
    #[must_use]
    pub fn new(topics_max: usize, per_owner_max: usize) -> Self {
        Self {
            rows: RwLock::default(),
            topics_max,
            per_owner_max,
        }
    }

    /// Whether a message of this owner would be taken.
    #[must_use]
    pub fn has_room(&self, topic: &str, owner: &str) -> bool {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let own = |retained: &Retained| retained.owner.as_deref() == Some(owner);
        rows.topics.get(topic).is_some_and(own)
            || (rows.owned.get(owner).copied().unwrap_or_default() < self.per_owner_max
                && (rows.topics.len() < self.topics_max || rows.topics.contains_key(topic)))
    }

    /// How many topics have a message.
    #[must_use]
    pub fn len(&self) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.topics.len()
    }

    /// Whether no topic has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores messages. A batch waits for the readers of the table once for each piece of it, and
    /// not once for each of its messages.
    #[must_use]
    pub const fn writer(&self) -> Writer<'_> {
        Writer {
            table: self,
            rows: None,
            stored: 0,
        }
    }

    fn put(
        &self,
        rows: &mut Rows,
        topic: &Arc<str>,
        message: &Message,
        owner: Option<&Arc<str>>,
    ) -> bool {
        if message.payload.is_empty() {
            if let Some(retained) = rows.topics.remove(topic) {
                rows.disown(retained.owner.as_ref());
            }
            return true;
        }
        let before = rows.topics.get(topic).map(|retained| &retained.owner);
        let is_new = before.is_none();
        let changes_hands = before.is_none_or(|before| before.as_ref() != owner);
        if let Some(owner) = owner {
            let owned = rows.owned.get(owner).copied().unwrap_or_default();
            let full = is_new && rows.topics.len() >= self.topics_max;
            if full || (changes_hands && owned >= self.per_owner_max) {
                return false;
            }
        }
        if changes_hands && let Some(owner) = owner {
            *rows.owned.entry(Arc::clone(owner)).or_default() += 1;
        }
        let retained = Retained {
            message: message.clone(),
            stored: Instant::now(),
            owner: owner.cloned(),
        };
        match rows.topics.entry(Arc::clone(topic)) {
            Entry::Occupied(mut entry) => {
                let before = entry.insert(retained);
                if changes_hands {
                    rows.disown(before.owner.as_ref());
                }
            }
            Entry::Vacant(entry) => drop(entry.insert(retained)),
        }
        true
    }

    /// Every message whose topic matches, in the order of topics and in pieces.
    pub const fn matching<'a>(&'a self, filter: &'a str) -> Matching<'a> {
        Matching {
            table: self,
            filter,
            cursor: Cursor {
                after: None,
                is_done: false,
            },
        }
    }

    /// What matches of the next topics, which may be none.
    pub(super) fn piece(&self, filter: &str, cursor: &mut Cursor) -> Vec<Retained> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        // Up to the first wildcard level topic and filter are the same text, without its slash
        // because `a/#` matches `a`.
        let Some(wild) = filter.find(['+', '#']) else {
            cursor.is_done = true;
            return rows.topics.get(filter).cloned().into_iter().collect();
        };
        let fixed = &filter[..wild];
        let fixed = fixed.strip_suffix('/').unwrap_or(fixed);
        let after = match cursor.after.take() {
            Some(topic) => Bound::Excluded(topic),
            None => Bound::Included(fixed.into()),
        };
        let range = rows.topics.range::<Arc<str>, _>((after, Bound::Unbounded));
        let piece = range.take_while(|(topic, _)| topic.starts_with(fixed));
        let mut found = Vec::new();
        let mut looked_at = 0;
        for (topic, retained) in piece.take(CHUNK) {
            looked_at += 1;
            if filter_matches(filter, topic) {
                found.push(retained.clone());
            }
            if looked_at == CHUNK {
                cursor.after = Some(Arc::clone(topic));
            }
        }
        cursor.is_done = cursor.after.is_none();
        found
    }
}

/// The table while messages are stored.
#[derive(Debug)]
pub struct Writer<'a> {
    table: &'a Table,
    rows: Option<RwLockWriteGuard<'a, Rows>>,
    stored: usize,
}

impl Writer<'_> {
    /// Stores a message, or clears its topic when it is empty. False when the table is full, or
    /// the owner's share of it: the daemon's own levels always fit, since definitions bound them.
    pub fn store(&mut self, topic: &Arc<str>, message: &Message, owner: Option<&Arc<str>>) -> bool {
        if self.stored.is_multiple_of(CHUNK) {
            self.rows = None;
        }
        self.stored += 1;
        let lock = &self.table.rows;
        let rows = self
            .rows
            .get_or_insert_with(|| lock.write().unwrap_or_else(PoisonError::into_inner));
        self.table.put(rows, topic, message, owner)
    }
}

/// A place in a walk through the table, which is free for others between two pieces.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The last topic that was looked at.
    after: Option<Arc<str>>,
    is_done: bool,
}

impl Cursor {
    /// Whether there are no more pieces.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }
}

/// A walk from the first topic to the last.
#[derive(Debug)]
pub struct Matching<'a> {
    table: &'a Table,
    filter: &'a str,
    cursor: Cursor,
}

impl Iterator for Matching<'_> {
    type Item = Vec<Retained>;

    fn next(&mut self) -> Option<Vec<Retained>> {
        (!self.cursor.is_done()).then(|| self.table.piece(self.filter, &mut self.cursor))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::door::envelope::Qos;

    fn message(topic: &str, payload: &'static str) -> (Arc<str>, Message) {
        let message = Message {
            version: 1,
            origin: 0,
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
        let table = Table::new(10_000, 1);
        let matching = |filter: &str| table.matching(filter).flatten().count();
        for number in 0..2_000 {
            let (topic, message) = message(&format!("indexes/I{number}/level"), "1");
            assert!(table.writer().store(&topic, &message, None));
        }
        assert_eq!(matching("indexes/+/level"), 2_000);
        assert_eq!(matching("#"), 2_000);
        assert_eq!(matching("indexes/#"), 2_000);
        assert_eq!(matching("+/I7/level"), 1);
        assert_eq!(matching("indexes/I7/level"), 1);
        assert_eq!(matching("indexes/I7/+"), 1);
        assert_eq!(matching("indexes/I7"), 0);
        let (topic, empty) = message("indexes/I7/level", "");
        table.writer().store(&topic, &empty, None);
        assert_eq!(matching("indexes/I7/level"), 0);
    }

    #[test]
    fn a_full_table_refuses_clients_only() {
        let table = Table::new(3, 2);
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let check = |topic, payload, owner: Option<&Arc<str>>, expected: bool| {
            let (topic, message) = message(topic, payload);
            if let Some(owner) = owner.filter(|_| !payload.is_empty()) {
                assert_eq!(table.has_room(&topic, owner), expected, "{topic}");
            }
            assert_eq!(
                table.writer().store(&topic, &message, owner),
                expected,
                "{topic}"
            );
        };
        check("a", "1", Some(&ann), true);
        check("a", "2", Some(&ann), true);
        check("b", "1", Some(&ann), true);
        check("c", "1", Some(&ann), false);
        check("c", "1", Some(&bob), true);
        check("d", "1", Some(&bob), false);
        // A topic goes over to the one who wrote it last, within his share.
        check("b", "2", Some(&bob), true);
        check("a", "3", Some(&bob), false);
        check("a", "4", Some(&ann), true);
        check("b", "3", Some(&ann), true);
        check("indexes/A/level", "1", None, true);
        // Whoever clears one makes room.
        check("a", "", Some(&bob), true);
        check("indexes/A/level", "", None, true);
        check("d", "1", Some(&ann), true);
        for topic in ["b", "c", "d"] {
            check(topic, "", None, true);
        }
        assert!(table.rows.read().unwrap().owned.is_empty());
    }
}
