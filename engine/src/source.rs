//! Who has sent which numbers already: what makes a redelivered tick harmless (invariant 7).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::LabelId;

/// How many numbers below the highest are remembered one by one. A publisher's unacknowledged
/// window is smaller by custom (1,000), and a connection delivers in order.
const WINDOW: u64 = 16_384;
/// Incarnations remembered per source: those of the publishers that share its name, and their
/// predecessors whose redeliveries may still be under way. The one unused for longest is forgotten.
const INCARNATIONS_MAX: usize = 8;
/// Sources remembered, at 2 to 16 KiB each; the one that was silent for longest makes room. What
/// it sends again later counts as new, which cannot move a level: its times are old.
const SOURCES_MAX: usize = 4_096;

/// The identities seen so far, per source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sources {
    seen: BTreeMap<LabelId, Source>,
    /// Counts the identities admitted, so that the longest silent source can be told.
    admitted: u64,
    /// Numbers that were left out and have not come since; for people, and no part of the state.
    #[serde(skip)]
    missing: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Source {
    /// The one used last comes last.
    incarnations: Vec<Incarnation>,
    /// When it was heard last, in `Sources::admitted`.
    heard: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Incarnation {
    inc: u64,
    /// The highest number seen.
    high: u64,
    /// Bit `seq % WINDOW` tells whether `seq` in `(high - WINDOW, high]` was seen.
    window: Vec<u64>,
}

impl Sources {
    /// Records an identity; false when it was there before. A number so far below the highest
    /// that it has left the window counts as seen.
    pub(crate) fn admit(&mut self, source: LabelId, inc: u64, seq: u64) -> bool {
        if self.seen.len() >= SOURCES_MAX && !self.seen.contains_key(&source) {
            let silent = self.seen.iter().min_by_key(|(_, source)| source.heard);
            if let Some(silent) = silent.map(|(id, _)| *id) {
                self.seen.remove(&silent);
            }
        }
        let known = self.seen.entry(source).or_default();
        let incarnations = &mut known.incarnations;
        // The last one used is the last in the list, and most often the one that is asked for.
        let at = incarnations.iter().rposition(|i| i.inc == inc);
        let high = at.map(|at| incarnations[at].high);
        let is_new = at.is_none_or(|at| incarnations[at].admit(seq));
        // A repetition leaves no trace: it has no row, and a replay from rows must agree.
        if !is_new {
            return false;
        }
        match at {
            Some(at) => incarnations[at..].rotate_left(1),
            None => {
                if incarnations.len() == INCARNATIONS_MAX {
                    incarnations.remove(0);
                }
                incarnations.push(Incarnation::starting(inc, seq));
            }
        }
        self.admitted += 1;
        if let Some(high) = high {
            let skipped = seq.saturating_sub(high).saturating_sub(1);
            let filled = u64::from(seq < high);
            self.missing = self.missing.saturating_add(skipped).saturating_sub(filled);
        }
        known.heard = self.admitted;
        true
    }
}

impl Sources {
    /// Numbers that sources have left out, and that have not come since.
    pub(crate) const fn missing(&self) -> u64 {
        self.missing
    }
}

impl Incarnation {
    fn starting(inc: u64, seq: u64) -> Self {
        let mut first = Self {
            inc,
            high: seq,
            window: vec![0; (WINDOW / 64) as usize],
        };
        first.set(seq);
        first
    }

    fn admit(&mut self, seq: u64) -> bool {
        if seq > self.high {
            if seq - self.high >= WINDOW {
                self.window.fill(0);
            } else {
                for skipped in self.high + 1..seq {
                    self.clear(skipped);
                }
            }
            self.high = seq;
            self.set(seq);
            return true;
        }
        if self.high - seq >= WINDOW || self.is_set(seq) {
            return false;
        }
        self.set(seq);
        true
    }

    fn set(&mut self, seq: u64) {
        self.window[(seq % WINDOW / 64) as usize] |= 1 << (seq % 64);
    }

    fn clear(&mut self, seq: u64) {
        self.window[(seq % WINDOW / 64) as usize] &= !(1 << (seq % 64));
    }

    fn is_set(&self, seq: u64) -> bool {
        self.window[(seq % WINDOW / 64) as usize] & (1 << (seq % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn admits_each_identity_once(seqs in prop::collection::vec((0u64..3, 1u64..300), 1..400)) {
            let mut sources = Sources::default();
            let mut model = BTreeSet::new();
            for (inc, seq) in seqs {
                prop_assert_eq!(sources.admit(LabelId(7), inc, seq), model.insert((inc, seq)));
            }
        }
    }

    #[test]
    fn counts_what_is_left_out() {
        let mut sources = Sources::default();
        for (seq, missing) in [(5, 0), (6, 0), (9, 2), (8, 1), (8, 1), (20, 11), (7, 10)] {
            sources.admit(LabelId(1), 1, seq);
            assert_eq!(sources.missing(), missing, "after {seq}");
        }
        sources.admit(LabelId(1), 2, 50);
        assert_eq!(sources.missing(), 10, "a new incarnation begins anywhere");
    }

    #[test]
    fn one_that_sends_is_not_forgotten() {
        let mut sources = Sources::default();
        let mut admit = |inc, seq| sources.admit(LabelId(1), inc, seq);
        assert!(admit(7, 1));
        for starts in 100..200 {
            assert!(
                admit(starts, 1),
                "a publisher of the same name starts again"
            );
            assert!(admit(7, starts) && !admit(7, starts) && !admit(7, 1));
        }
    }

    #[test]
    fn the_longest_silent_source_makes_room() {
        let mut sources = Sources::default();
        let count = u32::try_from(SOURCES_MAX).unwrap();
        for id in 0..count {
            assert!(sources.admit(LabelId(id), 1, 1));
        }
        assert!(sources.admit(LabelId(0), 1, 2), "heard again just now");
        assert!(sources.admit(LabelId(count), 1, 1));
        assert_eq!(sources.seen.len(), SOURCES_MAX);
        assert!(!sources.admit(LabelId(0), 1, 1));
        assert!(
            !sources.seen.contains_key(&LabelId(1)),
            "the longest silent one"
        );
    }

    #[test]
    fn forgets_behind_the_window_toward_seen() {
        let mut sources = Sources::default();
        let mut admit = |seq| sources.admit(LabelId(1), 9, seq);
        assert!(admit(10));
        assert!(admit(10 + WINDOW), "a jump over the whole window");
        assert!(!admit(10), "below the window");
        assert!(admit(11), "the lowest number inside it");
        assert!(admit(u64::MAX) && !admit(u64::MAX));
        assert!(!admit(12), "far below");
    }
}
