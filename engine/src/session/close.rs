//! The close of a session: when it is calculated, the run itself, its confirmation, and the special
//! opening quotation that is due by then.

use jiff::civil::Date;

use super::{JUST, Phase, SECOND};
use crate::calendar::Session;
use crate::definition::{CloseAt, Reset};
use crate::exact::Ratio;
use crate::index::Index;
use crate::output::{Closed, Output, Quotation};
use crate::security::Security;
use crate::{Decimal, Engine, IndexId, Position, Time};

impl Engine {
    /// When the close of a session is calculated at the latest.
    pub(super) fn close_due(&self, index: IndexId, session: &Session) -> Time {
        let state = &self.indexes[index.at()];
        let rule = state.definition.session.close;
        let after = |seconds: u32| session.close.saturating_add(i64::from(seconds) * SECOND);
        let latest = rule.after_s.map_or(Time::MAX, after);
        let due = match rule.at {
            CloseAt::Scheduled => after(rule.after_s.unwrap_or(0)),
            CloseAt::Official if self.all_closed(state, session) => session.close,
            CloseAt::Official | CloseAt::Command => latest,
        };
        let next = self.session_after(index, session.close);
        // Actions and resets of the next day come behind it.
        let day = state
            .days
            .span(session.close.saturating_add(-JUST), Reset::Never);
        due.saturating_add(JUST)
            .min(next.map_or(Time::MAX, |next| next.pre_open))
            .min(day.day_end)
    }

    /// True when every constituent has its official close of the session.
    pub(super) fn all_closed(&self, state: &Index, session: &Session) -> bool {
        let is_closed = |security: &Security| {
            let close = security.prints.close;
            close.is_some_and(|close| close.ts >= session.open)
        };
        state.members_are(&self.securities, is_closed)
    }

    /// The close run: the level of now is the official close of the session.
    pub(super) fn close(&mut self, index: IndexId, moment: Time, position: Position) {
        let Some(session) = self.indexes[index.at()].clock.session else {
            return;
        };
        self.quote_opening(index, &session, true, moment, position);
        let next = self.session_after(index, session.close);
        let state = &mut self.indexes[index.at()];
        let final_after = state.definition.session.final_after_s;
        let clock = &mut state.clock;
        clock.phase = Phase::Closed;
        clock.session = next;
        clock.due = next.map_or(Time::MAX, |next| next.pre_open);
        clock.official = None;
        // What is halted has no close: an operator may state it once it is resumed.
        if !clock.is_halted {
            clock.final_at = final_after.map_or(Time::MAX, |seconds| {
                moment.saturating_add(i64::from(seconds) * SECOND)
            });
            self.put_close(index, session.day, moment, position);
        }
    }

    /// Publishes the level of now as the official close of a day.
    pub(crate) fn put_close(
        &mut self,
        index: IndexId,
        day: Date,
        moment: Time,
        position: Position,
    ) {
        self.touch(index, moment);
        for index in self.with_followers(index) {
            let before = self.indexes[index.at()].seq;
            self.publish(index, position);
            let state = &mut self.indexes[index.at()];
            if let Some(level) = state.last.filter(|last| last.seq > before) {
                state.clock.official = Some((day, level.level));
                self.tell_close(index, day, false);
                self.note_close(index);
            } else if !state.life.is_active() {
                self.note_close(index);
            }
        }
    }

    fn tell_close(&mut self, index: IndexId, day: Date, is_final: bool) {
        let state = &self.indexes[index.at()];
        if let Some(level) = state.last.filter(|_| state.life.is_active()) {
            let closed = Closed {
                day,
                level,
                divisor: state.divisor,
                soq: state.clock.quotation,
                is_final,
                members: state.members(&self.securities),
            };
            self.outputs.push_back(Output::Closed(closed));
        }
    }

    /// The last close is final.
    pub(crate) fn finalize(&mut self, index: IndexId, moment: Time, position: Position) {
        let clock = &mut self.indexes[index.at()].clock;
        clock.final_at = Time::MAX;
        let Some((day, _)) = clock.official.filter(|_| clock.phase == Phase::Closed) else {
            return;
        };
        clock.phase = Phase::Final;
        self.touch(index, moment);
        for index in self.with_followers(index) {
            let before = self.indexes[index.at()].seq;
            self.publish(index, position);
            let state = &mut self.indexes[index.at()];
            if let Some(level) = state.last.filter(|last| last.seq > before) {
                state.clock.official = Some((day, level.level));
                self.note_close(index);
            }
            self.tell_close(index, day, true);
        }
    }

    /// Closes by an operator's word; see [`crate::Order::Close`].
    pub(crate) fn close_now(&mut self, index: IndexId, position: Position) {
        let state = &self.indexes[index.at()];
        let moment = self.marks[index.at()].ts;
        match (state.clock.phase, state.clock.session) {
            (Phase::Open | Phase::Closing | Phase::PreOpen, Some(_)) => {
                self.close(index, moment, position);
            }
            (Phase::Closed, Some(_)) => {
                let name = state.definition.calendar.as_ref();
                let calendar = name.and_then(|name| self.calendars.get(name));
                if let Some(last) = calendar.and_then(|calendar| calendar.last(moment)) {
                    self.put_close(index, last.day, moment, position);
                }
            }
            _ => {
                let day = state.days.date(moment);
                self.put_close(index, day, moment, position);
            }
        }
        self.watch_session(index);
    }

    /// The special opening quotation, once every constituent has an official opening price; with
    /// `is_last` the prior close stands for those that have none.
    pub(super) fn quote_opening(
        &mut self,
        index: IndexId,
        session: &Session,
        is_last: bool,
        ts: Time,
        position: Position,
    ) {
        let state = &self.indexes[index.at()];
        let clock = &state.clock;
        if !state.definition.session.soq || clock.quotation.is_some() || !state.is_complete() {
            return;
        }
        let mut prices = Vec::with_capacity(state.basket.holdings.len());
        let mut missing = 0;
        for holding in &state.basket.holdings {
            let security = &self.securities[holding.security.at()];
            let opened = security.prints.open.filter(|p| p.ts >= session.pre_open);
            missing += u32::from(opened.is_none());
            // What it sees at a price of its own has not traded since.
            let prior = || security.prints.close_before(session.open);
            let prior = || prior().filter(|_| holding.seen.is_none());
            let kept = holding.seen.unwrap_or(security.price);
            let units = opened.or_else(prior).map_or(kept, |print| print.price);
            let places = security.definition.price_places;
            prices.push(Ratio::from(Decimal::new(units.into(), places)));
        }
        if missing > 0 && !is_last {
            return;
        }
        let Some(level) = state.level_at(&prices) else {
            return;
        };
        self.indexes[index.at()].clock.quotation = Some(level);
        self.outputs.push_back(Output::Quotation(Quotation {
            index,
            day: session.day,
            level,
            missing,
            ts,
            position,
        }));
    }
}
