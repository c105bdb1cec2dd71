//! Which constituents are stale, and whether their weight makes the index so.

use super::{DAY, SECOND, is_below};
use crate::definition::{IndexDefinition, StaleRule};
use crate::index::Index;
use crate::life::Life;
use crate::security::Security;
use crate::{Engine, IndexId, Position, Time};

impl Engine {
    /// Looks which constituents are stale at `now`, and when the next one may be.
    pub(super) fn recheck_stale(&mut self, index: IndexId, now: Time, position: Position) {
        let state = &self.indexes[index.at()];
        let Some(rule) = state.definition.stale else {
            self.indexes[index.at()].clock.stale_at = Time::MAX;
            return;
        };
        let mut stale_at = Time::MAX;
        let mut stale = Vec::new();
        for holding in &state.basket.holdings {
            let security = &self.securities[holding.security.at()];
            match self.stale_moment(&state.definition, &rule, security, now) {
                Some(moment) => stale_at = stale_at.min(moment),
                None => stale.push(holding.security),
            }
        }
        for security in &stale {
            self.securities[security.at()].is_stale = true;
        }
        let clock = &mut self.indexes[index.at()].clock;
        clock.stale_at = stale_at;
        let has_changed = clock.stale != stale;
        clock.stale = stale;
        self.weigh_stale(index, has_changed, now, position);
    }

    /// Whether the weight of what is stale reaches the threshold; a change of that, or of what is
    /// stale, shows in the next level.
    pub(crate) fn weigh_stale(
        &mut self,
        index: IndexId,
        has_changed: bool,
        ts: Time,
        position: Position,
    ) {
        let state = &self.indexes[index.at()];
        let clock = &state.clock;
        let threshold = state.definition.stale.and_then(|rule| rule.weight);
        let is_stale = threshold.is_some_and(|threshold| {
            let share = state.share(&self.securities, |id, _| clock.stale.contains(&id));
            !clock.stale.is_empty() && share.is_some_and(|share| !is_below(&share, threshold))
        });
        let has_changed = has_changed || is_stale != clock.is_stale;
        let clock = &mut self.indexes[index.at()].clock;
        clock.is_stale = is_stale;
        if has_changed && !clock.is_quiet() {
            self.change_status(index, ts, position);
        }
    }

    /// None for a security that is stale at `now`, else the next time to look at it again.
    fn stale_moment(
        &self,
        index: &IndexDefinition,
        rule: &StaleRule,
        security: &Security,
        now: Time,
    ) -> Option<Time> {
        if security.component.is_some() {
            // What an index is worth says so itself.
            return Some(Time::MAX);
        }
        let last = security.origin?.ts;
        let name = security.definition.calendar.as_ref();
        let name = name.or(index.calendar.as_ref());
        let calendar = name.and_then(|name| self.calendars.get(name));
        let by_time = rule.after_s.map_or(Time::MAX, |seconds| {
            // Trading time is never shorter than time: mostly this spares the calendar.
            let soonest = last.saturating_add(i64::from(seconds) * SECOND);
            match calendar {
                Some(calendar) if soonest <= now => calendar.after_trading(last, seconds),
                _ => soonest,
            }
        });
        let by_sessions = rule.sessions.map_or(Time::MAX, |count| match calendar {
            Some(calendar) => calendar.after_sessions(last, count),
            None => last.saturating_add(i64::from(count) * DAY),
        });
        Some(by_time.min(by_sessions)).filter(|moment| *moment > now)
    }
}

impl Index {
    /// Makes the index look for stale constituents at its next input, or by the clock at once.
    pub(crate) fn look_for_stale(&mut self) {
        if self.definition.stale.is_some() && self.life != Life::Deleted {
            self.clock.stale_at = Time::MIN;
        }
    }

    /// The prices of all constituents say whether the stale weight reaches its threshold.
    pub(crate) fn weighs_stale(&self) -> bool {
        let rule = self.definition.stale;
        !self.clock.stale.is_empty() && rule.is_some_and(|rule| rule.weight.is_some())
    }
}
