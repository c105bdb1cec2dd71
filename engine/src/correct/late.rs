//! Late prices: corrections that nobody has to state (METHODOLOGY §4).
//!
//! A price or rate is late where it is older than the last of its security or pair, or of a day that
//! an index has left. If an index that it concerns restates late prices its position is noted here.
//! Whoever writes the sequence opens a run for all that are noted, once they have gathered.

use serde::{Deserialize, Serialize};

use crate::definition::{LatePrices, Restate};
use crate::input::{Rate, Tick};
use crate::{Engine, IndexId, Position, Time};

/// Pieces of the sequence that may be noted at once.
const RANGES_MAX: usize = 200_000;

/// From this number of pieces on a run should be opened at once.
const RANGES_MANY: usize = 20_000;

/// What has come late and is in no run yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    /// The positions, from one up to before another.
    ranges: Vec<(Position, Position)>,
    /// When the first of them came.
    first: Time,
    /// When the last of them came.
    last: Time,
    /// What came after more pieces than can be noted.
    lost: u64,
}

impl Late {
    /// True when there is nothing for a run.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.lost == 0
    }

    /// The positions, as a run states them.
    #[must_use]
    pub fn ranges(&self) -> &[(Position, Position)] {
        &self.ranges
    }

    /// How many prices and rates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(from, until)| until - from).sum()
    }

    /// How many could not be noted, since nobody has opened a run for long.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// When a run for them should be opened: some time after the last, some longer time after the
    /// first at the latest, and at once where they are many. None where there are none.
    #[must_use]
    pub fn due(&self, quiet: i64, longest: i64) -> Option<Time> {
        if self.ranges.is_empty() {
            None
        } else if self.is_many() {
            Some(self.last)
        } else {
            let by_silence = self.last.saturating_add(quiet);
            Some(by_silence.min(self.first.saturating_add(longest)))
        }
    }

    /// True where they should not wait for others any more.
    #[must_use]
    pub const fn is_many(&self) -> bool {
        self.ranges.len() >= RANGES_MANY
    }

    pub(crate) fn note(&mut self, position: Position, time: Time) {
        if self.ranges.is_empty() {
            self.first = time;
        }
        self.last = time;
        let has_room = self.ranges.len() < RANGES_MAX;
        match self.ranges.last_mut() {
            Some((_, until)) if *until == position => *until += 1,
            _ if has_room => self.ranges.push((position, position + 1)),
            _ => self.lost += 1,
        }
    }

    /// A run takes in everything up to a position.
    pub(crate) fn taken(&mut self, until: Position) {
        self.ranges.retain(|(from, _)| *from >= until);
        if self.ranges.is_empty() {
            *self = Self::default();
        }
    }
}

impl Engine {
    /// What has come late and waits for a run.
    #[must_use]
    pub const fn late(&self) -> &Late {
        &self.late
    }

    /// True where late prices restate an index: by its own rule, and those of what it is made of.
    #[must_use]
    pub fn restates_late(&self, id: IndexId) -> bool {
        self.restating.get(id.at()).copied().unwrap_or(false)
    }

    /// Works out which indexes restate late prices.
    pub(crate) fn lay_restating(&mut self) {
        let ids = (0u32..).map(IndexId).take(self.indexes.len());
        self.restating = ids.map(|id| self.restates_by_rule(id)).collect();
    }

    fn restates_by_rule(&self, id: IndexId) -> bool {
        self.indexes[id.at()].definition.late_prices() == LatePrices::Restate
            && self.restates(id) != Restate::Never
            && self.needs(id).all(|below| self.restates_by_rule(below))
    }

    /// Notes a price that is older than the last one of its security.
    pub(crate) fn note_late_price(&mut self, position: Position, tick: &Tick) {
        if !self.restating.contains(&true) && !self.kernel_is_stale {
            return;
        }
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        let Some(known) = self.securities.get(tick.security.at()) else {
            return;
        };
        let counts = tick.price <= known.price_max
            && (known.day_begun > Time::MIN
                || self
                    .moved_by(tick.security)
                    .iter()
                    .any(|id| self.restates_late(*id)));
        if counts {
            self.late.note(position, self.time);
        }
    }

    /// Notes a rate that is older than the last one of its pair.
    pub(crate) fn note_late_rate(&mut self, position: Position, rate: &Rate) {
        let concerned = self.dependent(rate);
        if concerned.into_iter().any(|id| self.restates_late(id)) {
            self.late.note(position, self.time);
        }
    }

    /// Notes a rate that is in time for its pair, and of a day that an index has left.
    pub(crate) fn note_rate_behind(&mut self, position: Position, rate: &Rate) {
        if !self.restating.contains(&true) {
            return;
        }
        let concerned = self.dependent(rate);
        let has_left = |id: &IndexId| {
            let span = self.indexes[self.root(*id).at()].span;
            self.restates_late(*id) && span.is_some_and(|span| rate.origin.ts < span.day_begin)
        };
        if concerned.iter().any(has_left) {
            self.late.note(position, self.time);
        }
    }

    /// An index has begun a day: from here on prices of before are late for it.
    pub(crate) fn note_day(&mut self, id: IndexId, begin: Time) {
        if !self.restates_late(id) {
            return;
        }
        for holding in &self.indexes[id.at()].basket.holdings {
            let known = &mut self.securities[holding.security.at()];
            known.day_begun = known.day_begun.max(begin);
        }
    }
}
