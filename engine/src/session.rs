//! The day of an index: from pre-open over the close run to final, and what is stale.
//!
//! Event time moves it: before an input counts, everything that was due until the input's time
//! happens, in its order. So days of the past go through the live path as today does. The wall
//! clock moves it as well, by way of batches, but only an index whose newest input was of the
//! present ([`PRESENT`]): a feed that replays the past is not overtaken by today's closing time.
//!
//! - [`close`]: the close run, its confirmation, and the special opening quotation
//! - [`stale`]: which constituents are stale

mod close;
mod stale;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar::Session;
use crate::definition::{CloseAt, Reset};
use crate::engine::Mark;
use crate::exact::Ratio;
use crate::index::Index;
use crate::input::Kind;
use crate::life::Life;
use crate::output::Status;
use crate::period::Days;
use crate::security::Security;
use crate::{Decimal, Engine, IndexId, Position, SecurityId, Time};

/// An input that is received within this time of its own counts as one of the present.
const PRESENT: i64 = 60 * SECOND;

/// A session ends just after its close: a price that is stamped with the close belongs to it.
const JUST: i64 = 1;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Where an index is in its day.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clock {
    pub(crate) phase: Phase,
    /// Under way, or the next one while the index is closed. None without a calendar.
    pub(crate) session: Option<Session>,
    /// When the phase ends.
    due: Time,
    /// When the last close becomes final by itself.
    final_at: Time,
    /// When a constituent may become stale.
    stale_at: Time,
    /// How far time has come, for what is stale.
    now: Time,
    /// Constituents that are stale.
    stale: Vec<SecurityId>,
    /// Their weight has reached the rule's threshold.
    is_stale: bool,
    /// Enough weight has traded in this session.
    has_opened: bool,
    /// The special opening quotation of this session.
    quotation: Option<Decimal>,
    /// The official close of the session before the next one.
    pub(crate) official: Option<(Date, Decimal)>,
    pub(crate) is_halted: bool,
    /// The next level is believed however far it jumps: an operator has looked.
    pub(crate) is_trusted: bool,
}

/// The phases of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// There is no calendar.
    Always,
    Closed,
    Final,
    PreOpen,
    Open,
    Closing,
}

impl Clock {
    /// An index without a calendar, before anything has happened.
    pub(crate) const fn new() -> Self {
        Self {
            phase: Phase::Always,
            session: None,
            due: Time::MAX,
            final_at: Time::MAX,
            stale_at: Time::MAX,
            now: Time::MIN,
            stale: Vec::new(),
            is_stale: false,
            has_opened: true,
            quotation: None,
            official: None,
            is_halted: false,
            is_trusted: false,
        }
    }

    /// When something happens next.
    pub(crate) fn next_moment(&self) -> Time {
        self.due.min(self.final_at).min(self.stale_at)
    }

    /// No levels leave because of prices.
    const fn is_quiet(&self) -> bool {
        self.is_halted || matches!(self.phase, Phase::Closed | Phase::Final)
    }

    /// The constituents that are stale.
    pub(crate) fn stale_members(&self) -> &[SecurityId] {
        &self.stale
    }

    /// How many constituents are stale.
    pub(crate) fn stale(&self) -> u32 {
        u32::try_from(self.stale.len()).unwrap_or(u32::MAX)
    }

    fn is_opening(&self) -> bool {
        self.phase == Phase::Open && !self.has_opened
    }

    /// What a level is worth; `is_complete` when there can be one.
    pub(crate) const fn worth(&self, is_complete: bool) -> Status {
        if !is_complete {
            return Status::Pending;
        }
        if self.is_halted {
            return Status::Halted;
        }
        match self.phase {
            Phase::PreOpen => Status::PreOpen,
            Phase::Open if !self.has_opened => Status::Indicative,
            Phase::Open | Phase::Always if self.is_stale => Status::Stale,
            Phase::Open | Phase::Always => Status::Live,
            Phase::Closing => Status::Closing,
            Phase::Closed => Status::Closed,
            Phase::Final => Status::Final,
        }
    }
}

impl Mark {
    /// True where the newest input was of the present when it came, for an index whose prices come
    /// so much later: only then the clock of the wall is its own. Before its first input no clock is.
    fn is_present(&self, delay: i64) -> bool {
        self.newest > Time::MIN && self.behind <= PRESENT.saturating_add(delay)
    }
}

impl Engine {
    /// Puts an index into the session of `ts` by its calendar.
    pub(crate) fn seat(&mut self, index: IndexId, ts: Time) {
        let state = &mut self.indexes[index.at()];
        let calendar = state.definition.calendar.as_ref();
        let session = calendar
            .and_then(|name| self.calendars.get(name))
            .and_then(|calendar| calendar.next(ts.saturating_add(-JUST)));
        let clock = &mut state.clock;
        clock.session = session;
        clock.has_opened = state.definition.session.opening.is_none();
        clock.quotation = None;
        let was = clock.phase;
        (clock.phase, clock.due) = match session {
            None => (Phase::Always, Time::MAX),
            Some(session) if ts < session.pre_open => (Phase::Closed, session.pre_open),
            Some(session) if ts < session.open => (Phase::PreOpen, session.open),
            Some(session) => (Phase::Open, ends(&state.days, &session)),
        };
        if clock.phase == Phase::Closed && was == Phase::Final {
            clock.phase = was;
        } else if clock.phase != Phase::Closed {
            clock.final_at = Time::MAX;
        }
        if state.definition.stale.is_none() {
            clock.stale.clear();
            (clock.is_stale, clock.stale_at) = (false, Time::MAX);
        }
        state.look_for_stale();
        self.watch_session(index);
    }

    /// Finds the session anew after its calendar has changed; a close that is due stays due.
    pub(crate) fn reseat(&mut self, index: IndexId) {
        let ts = self.marks[index.at()].ts;
        let clock = &self.indexes[index.at()].clock;
        let is_there = self.indexes[index.at()].life != Life::Deleted;
        if is_there && ts != Time::MIN && clock.phase != Phase::Closing {
            self.seat(index, ts);
            self.touch(index, Time::MIN);
        }
    }

    /// When a batch is due for a session or for staleness.
    pub(crate) fn next_moment_by_clock(&self) -> Option<Time> {
        let moment = |id: &IndexId| {
            let (index, mark) = (&self.indexes[id.at()], &self.marks[id.at()]);
            let delay = index.delay();
            let moment = index.clock.next_moment();
            (mark.is_present(delay) && moment != Time::MAX).then(|| moment.saturating_add(delay))
        };
        self.clocked.iter().filter_map(moment).min()
    }

    /// Lets the time of the batch pass for the indexes whose inputs are of the present.
    pub(crate) fn pass_time(&mut self, position: Position) {
        for at in 0..self.clocked.len() {
            let index = self.clocked[at];
            let (state, mark) = (&self.indexes[index.at()], &self.marks[index.at()]);
            let delay = state.delay();
            let until = self.time.saturating_add(-delay);
            if !mark.is_present(delay) {
                continue;
            }
            if state.definition.stale.is_some() {
                let clock = &mut self.indexes[index.at()].clock;
                clock.now = clock.now.max(until);
            }
            if self.indexes[index.at()].clock.next_moment() <= until {
                self.pass_moments(index, until, position);
            }
        }
    }

    /// Lets everything happen that is due before an input of this time, in some indexes that it
    /// can move and in those that an action concerns which it brings about: what their sessions
    /// have until the end of their day, then the beginning of the new day with its actions, then
    /// the rest.
    pub(crate) fn begin(
        &mut self,
        security: Option<SecurityId>,
        indexes: &[IndexId],
        ts: Time,
        position: Position,
    ) {
        let (_, concerned) = self.due_actions(security, indexes, ts);
        for index in &concerned {
            let state = &self.indexes[index.at()];
            if state.definition.calendar.is_some() && state.clock.session.is_none() {
                self.seat(*index, ts);
            }
            let state = &self.indexes[index.at()];
            let day_end = state.span.map_or(ts, |span| span.day_end);
            self.pass_moments(*index, ts.min(day_end), position);
        }
        self.begin_days(security, indexes, ts, position);
        for index in &concerned {
            self.pass_moments(*index, ts, position);
        }
    }

    /// Lets everything happen that an index has due until a time.
    fn pass_moments(&mut self, index: IndexId, until: Time, position: Position) {
        let clock = &mut self.indexes[index.at()].clock;
        clock.now = clock.now.max(until);
        let mut has_passed = false;
        loop {
            let moment = self.indexes[index.at()].clock.next_moment();
            if moment > until {
                break;
            }
            self.pass(index, moment, until, position);
            has_passed = true;
        }
        if has_passed {
            self.watch_session(index);
        }
    }

    /// One moment of an index. `until` is how far time has come.
    fn pass(&mut self, index: IndexId, moment: Time, until: Time, position: Position) {
        let clock = &self.indexes[index.at()].clock;
        if clock.stale_at == moment {
            // Of several moments before one input only the last can be seen.
            let now = until.min(clock.due).min(clock.final_at).max(moment);
            return self.recheck_stale(index, now, position);
        }
        if clock.final_at == moment {
            return self.finalize(index, moment, position);
        }
        let Some(session) = clock.session else {
            self.indexes[index.at()].clock.due = Time::MAX;
            return;
        };
        match clock.phase {
            // Nothing came in that session: it is passed over.
            Phase::Closed | Phase::Final if session.close < until => {
                let next = self.session_after(index, until.saturating_add(-JUST));
                let clock = &mut self.indexes[index.at()].clock;
                clock.session = next;
                clock.due = next.map_or(Time::MAX, |next| next.pre_open);
            }
            Phase::Closed | Phase::Final => self.begin_session(index, moment, position),
            Phase::PreOpen => {
                let end = ends(&self.indexes[index.at()].days, &session);
                let clock = &mut self.indexes[index.at()].clock;
                clock.phase = Phase::Open;
                clock.due = end;
                self.check_opening(index);
                self.change_status(index, moment, position);
            }
            Phase::Open => {
                let due = self.close_due(index, &session);
                let clock = &mut self.indexes[index.at()].clock;
                (clock.phase, clock.due) = (Phase::Closing, due);
                if due > moment {
                    self.change_status(index, session.close, position);
                }
            }
            Phase::Closing => {
                let moment = moment.saturating_add(-JUST).max(session.close);
                self.close(index, moment, position);
            }
            Phase::Always => {}
        }
    }

    /// True where the calendar of an index has a session in the day that it is in, or it has none.
    pub(crate) fn trades_today(&self, index: IndexId) -> bool {
        let state = &self.indexes[index.at()];
        let name = state.definition.calendar.as_ref();
        let calendar = name.and_then(|name| self.calendars.get(name));
        calendar.zip(state.span).is_none_or(|(calendar, day)| {
            let next = calendar.next(day.day_begin);
            next.is_some_and(|session| session.open < day.day_end)
        })
    }

    fn session_after(&self, index: IndexId, time: Time) -> Option<Session> {
        let name = self.indexes[index.at()].definition.calendar.as_ref()?;
        self.calendars.get(name)?.next(time)
    }

    /// The first moment of a session: what was the last close is the previous one now.
    fn begin_session(&mut self, index: IndexId, moment: Time, position: Position) {
        for id in self.with_followers(index) {
            self.indexes[id.at()].take_close();
        }
        let state = &mut self.indexes[index.at()];
        let clock = &mut state.clock;
        clock.phase = Phase::PreOpen;
        clock.due = clock.session.map_or(Time::MAX, |session| session.open);
        clock.final_at = Time::MAX;
        clock.has_opened = state.definition.session.opening.is_none();
        clock.quotation = None;
        // Without a time of its own the pre-open is nothing to speak of.
        if clock.due > moment {
            self.change_status(index, moment, position);
        }
    }

    /// An index and the variants that follow it, which close with it.
    fn with_followers(&self, index: IndexId) -> Vec<IndexId> {
        let followers = self.followers(index).iter().copied();
        std::iter::once(index).chain(followers).collect()
    }

    /// Tells of a status that has changed; the level that shows it leaves by the index's rule.
    pub(crate) fn change_status(&mut self, index: IndexId, ts: Time, position: Position) {
        let state = &self.indexes[index.at()];
        if !state.life.is_active() {
            return;
        }
        let is_complete = state.is_complete();
        let (status, _) = self.worth(index, is_complete);
        if status != self.indexes[index.at()].status {
            self.set_status(index, status, ts, position);
        }
        self.touch(index, ts);
    }

    /// Notes when enough weight has traded in the session.
    fn check_opening(&mut self, index: IndexId) {
        let state = &self.indexes[index.at()];
        let (Some(session), Some(threshold)) =
            (state.clock.session, state.definition.session.opening)
        else {
            return;
        };
        let traded = |_, security: &Security| {
            let origin = security.origin.as_ref();
            origin.is_some_and(|origin| origin.ts >= session.open)
        };
        let share = state.share(&self.securities, traded);
        let has_opened = share.is_some_and(|share| !is_below(&share, threshold));
        self.indexes[index.at()].clock.has_opened = has_opened;
    }

    /// After a price has counted: what it does to opening, staleness, quotation and close of the
    /// indexes that hold its security.
    pub(crate) fn follow_price(
        &mut self,
        security: SecurityId,
        kind: Kind,
        ts: Time,
        position: Position,
    ) {
        let was_stale = std::mem::take(&mut self.securities[security.at()].is_stale);
        for at in 0..self.kernel.entries(security).len() {
            let index = self.kernel.entries(security)[at].index;
            let clock = &self.indexes[index.at()].clock;
            let session = clock.session;
            if clock.is_opening() {
                self.check_opening(index);
                if !self.indexes[index.at()].clock.is_opening() {
                    self.change_status(index, ts, position);
                }
            }
            if was_stale {
                let now = self.indexes[index.at()].clock.now.max(ts);
                self.recheck_stale(index, now, position);
                self.watch_session(index);
            } else if self.indexes[index.at()].weighs_stale() {
                self.weigh_stale(index, false, ts, position);
            }
            let Some(session) = session else { continue };
            let state = &self.indexes[index.at()];
            if kind == Kind::Open && ts < session.close {
                self.quote_opening(index, &session, false, ts, position);
            } else if kind == Kind::Close
                && state.clock.phase == Phase::Closing
                && state.definition.session.close.at == CloseAt::Official
                && self.all_closed(state, &session)
            {
                self.close(index, ts.max(session.close), position);
                self.watch_session(index);
            }
        }
    }

    /// An index that is closed when its last missing price or level comes has a level all the same.
    pub(crate) fn show_complete(&mut self, security: SecurityId) {
        for at in 0..self.kernel.entries(security).len() {
            let index = self.kernel.entries(security)[at].index;
            if self.marks[index.at()].is_quiet && self.indexes[index.at()].is_complete() {
                self.touch(index, Time::MIN);
            }
        }
    }

    /// The time from which on a security's ticks must look at its indexes' moments.
    pub(crate) fn next_look(&mut self, security: SecurityId) -> Time {
        if self.securities[security.at()].is_stale {
            return Time::MIN;
        }
        let indexes = self.days_of(security);
        let mut look = self.wake_time(Some(security), &indexes);
        for index in indexes {
            let state = &self.indexes[index.at()];
            if state.looks_at_each_price() {
                return Time::MIN;
            }
            let day_end = state.span.map_or(Time::MAX, |span| span.day_end);
            look = look.min(state.clock.next_moment()).min(day_end);
        }
        look
    }

    /// After the state of an index's day has changed: which of its ticks count for a level, and
    /// from when on its securities must look.
    pub(crate) fn watch_session(&mut self, index: IndexId) {
        for follower in self.with_followers(index) {
            let own = &self.indexes[follower.at()].clock;
            let root = &self.indexes[self.root(follower).at()].clock;
            self.marks[follower.at()].is_quiet = root.is_quiet() || own.is_halted;
        }
        let state = &self.indexes[index.at()];
        let look = if state.looks_at_each_price() {
            Time::MIN
        } else {
            state.clock.next_moment()
        };
        for holding in &state.basket.holdings {
            let security = &mut self.securities[holding.security.at()];
            security.roll_at = if security.is_stale {
                Time::MIN
            } else {
                security.roll_at.min(look)
            };
        }
    }
}

impl Index {
    /// Each price may change the status.
    fn looks_at_each_price(&self) -> bool {
        self.clock.is_opening() || self.weighs_stale()
    }

    fn delay(&self) -> i64 {
        i64::from(self.definition.session.delay_s) * SECOND
    }

    fn members_are(&self, securities: &[Security], is: impl Fn(&Security) -> bool) -> bool {
        let mut holdings = self.basket.holdings.iter();
        holdings.all(|holding| is(&securities[holding.security.at()]))
    }

    /// The share of the constituents' value that some of them have.
    pub(crate) fn share(
        &self,
        securities: &[Security],
        pick: impl Fn(SecurityId, &Security) -> bool,
    ) -> Option<Ratio> {
        let basket = &self.basket;
        let mut picked = vec![0i128; basket.currencies.len()];
        let mut all = picked.clone();
        for (at, holding) in basket.holdings.iter().enumerate() {
            let security = &securities[holding.security.at()];
            let value = i128::from(security.price) * basket.quantities[at];
            all[basket.slots[at]] += value;
            if pick(holding.security, security) {
                picked[basket.slots[at]] += value;
            }
        }
        let total = basket.market_value(&all)?;
        if total.is_positive() {
            return basket.market_value(&picked)?.divide(&total);
        }
        // Where no sum makes the level (geometric means), each constituent counts as one.
        let holdings = basket.holdings.iter();
        let count = holdings
            .filter(|h| pick(h.security, &securities[h.security.at()]))
            .count();
        Ratio::new(count as i128, basket.holdings.len() as i128)
    }
}

impl Index {
    /// Makes the official close the previous one; without one, the last level.
    pub(crate) fn take_close(&mut self) {
        let official = self.clock.official.take().map(|(_, level)| level);
        let last = self.last.map(|last| last.level);
        self.prev_close = official.or(last).or(self.prev_close);
    }
}

/// When a session is over: just after its close, but within its day.
fn ends(days: &Days, session: &Session) -> Time {
    let day = days.span(session.close.saturating_add(-JUST), Reset::Never);
    session.close.saturating_add(JUST).min(day.day_end)
}

/// True when a share does not reach a percentage.
pub(crate) fn is_below(share: &Ratio, percent: Decimal) -> bool {
    let reached = share.multiply(&Ratio::from(Decimal::from(100)));
    Ratio::from(percent).subtract(&reached).is_positive()
}
