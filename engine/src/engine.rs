//! The state machine: a batch in, effects out.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::action::Actions;
use crate::calendar::Calendar;
use crate::correct::{Corrections, Edits, Late, LateInputs};
use crate::definition::{Dissemination, FxRates, PairDefinition, RevisionDefinition};
use crate::fx::Rates;
use crate::gate::Held;
use crate::index::Index;
use crate::input::{Batch, Input, Kind, Origin, Rate, Tick};
use crate::kernel::{Entry, Kernel};
use crate::life::Former;
use crate::output::{Effect, Level, Output, Status};
use crate::security::{Security, is_older};
use crate::source::Sources;
use crate::{Currency, Decimal, IndexId, LabelId, Position, SecurityId, Time};

/// Texts that may be interned at the most, so that a publisher cannot grow the state for ever.
pub const LABELS_MAX: usize = 65_536;

/// All securities and indexes, and what they are worth.
///
/// A pure function of its inputs: the same batches give the same outputs, bit for bit, on every
/// machine. It reads no clock, does no I/O, and its iteration order never depends on a hash.
/// `clone` is a full, independent copy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub(crate) securities: Vec<Security>,
    /// Only for look-ups, never iterated.
    #[serde(skip)]
    pub(crate) symbols: HashMap<Box<str>, SecurityId>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) codes: BTreeMap<String, IndexId>,
    pub(crate) rates: Rates,
    pub(crate) calendars: BTreeMap<String, Calendar>,
    /// Rules of currency pairs.
    #[serde(with = "crate::snapshot::pairs")]
    pub(crate) pairs: BTreeMap<(Currency, Currency), PairDefinition>,
    /// Prices and rates that wait for an operator, by the position that brought them.
    pub(crate) held: BTreeMap<Position, Held>,
    /// Revisions that were loaded, by id: what makes loading one again harmless.
    pub(crate) revisions: BTreeMap<String, RevisionDefinition>,
    /// Ids of revisions whose time has not come, by that time.
    #[serde(with = "crate::snapshot::pairs")]
    pub(crate) scheduled: BTreeMap<(Time, String), Position>,
    /// Names that are not given again.
    #[serde(default)]
    pub(crate) former: Former,
    /// Corporate actions and reviews.
    #[serde(default)]
    pub(crate) actions: Actions,
    /// What of the past was corrected.
    #[serde(default)]
    pub(crate) corrections: Corrections,
    /// Late prices that no run takes in yet.
    #[serde(default, skip_serializing_if = "Late::is_empty")]
    pub(crate) late: Late,
    /// Which indexes restate late prices.
    #[serde(skip)]
    pub(crate) restating: Vec<bool>,
    #[serde(skip)]
    pub(crate) kernel: Kernel,
    /// The memberships changed since the kernel was built.
    #[serde(skip)]
    pub(crate) kernel_is_stale: bool,
    /// What the tick path needs of each index, side by side.
    pub(crate) marks: Vec<Mark>,
    /// Indexes with a mark, in the order they were touched.
    touched: Vec<IndexId>,
    /// Followed indexes that moved since the end of the last batch, in the order they did.
    #[serde(skip)]
    moved: Vec<IndexId>,
    /// The variants that go back to each index, parents before their own followers.
    #[serde(skip)]
    pub(crate) followers: Vec<Vec<IndexId>>,
    /// How many indexes lie below each; empty where none holds another.
    #[serde(skip)]
    pub(crate) ranks: Vec<u32>,
    /// Indexes that publish by an interval.
    #[serde(skip)]
    pub(crate) intervals: Vec<IndexId>,
    /// No index that waits for the end of its interval is due earlier; none when not known.
    #[serde(skip)]
    interval_at: Option<Time>,
    /// Indexes with a calendar or a rule of staleness: those that time alone can move.
    #[serde(skip)]
    pub(crate) clocked: Vec<IndexId>,
    /// Reference rates.
    #[serde(skip)]
    pub(crate) fixings: Vec<IndexId>,
    /// Variants that wait for their parent's first level or for a rate.
    #[serde(skip)]
    pub(crate) unstarted: Vec<IndexId>,
    sources: Sources,
    pub(crate) labels: Vec<Box<str>>,
    /// Only for look-ups, never iterated.
    #[serde(skip)]
    pub(crate) label_ids: HashMap<Box<str>, LabelId>,
    /// The position behind the last batch.
    next: Position,
    pub(crate) time: Time,
    epoch: u64,
    #[serde(skip)]
    pub(crate) outputs: VecDeque<Output>,
}

/// What the tick path keeps per index.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The time of the next level: of the newest input, or of a moment of the session.
    pub(crate) ts: Time,
    pub(crate) touched: bool,
    /// The time of the newest input; `ts` may be a moment of the session since.
    pub(crate) newest: Time,
    /// How far behind its time that input was received, in nanoseconds.
    pub(crate) behind: i64,
    /// Prices cause no levels: the index is closed or halted.
    pub(crate) is_quiet: bool,
    /// A level leaves at each tick.
    pub(crate) each_tick: bool,
    /// Others follow it.
    #[serde(skip)]
    pub(crate) is_followed: bool,
    /// It is among those that moved, and its followers with it.
    #[serde(skip)]
    pub(crate) is_moved: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a batch. Its effects wait in [`Self::poll_output`].
    ///
    /// The batch's position must follow the last one and its time must not fall; both are the
    /// sequencer's duty and asserted in debug builds.
    pub fn apply(&mut self, batch: &Batch) {
        self.apply_with(batch, None);
    }

    /// Applies a batch of the past as it should have been: with what corrections replace, drop and
    /// add. An engine that has come this way is corrected already when it meets the end of a run.
    pub(crate) fn apply_edited(&mut self, batch: &Batch, edits: &Edits, late: &mut LateInputs) {
        self.apply_with(batch, Some((edits, late)));
    }

    fn apply_with(&mut self, batch: &Batch, edits: Option<(&Edits, &mut LateInputs)>) {
        debug_assert!(batch.first == self.next && batch.time >= self.time);
        self.time = self.time.max(batch.time);
        self.apply_due_revisions(batch.first);
        self.pass_time(batch.first);
        self.close_due_windows(batch.first);
        self.publish_each_tick(batch.first);
        match edits {
            None => {
                for (position, input) in (batch.first..).zip(&batch.inputs) {
                    self.input(position, input);
                }
            }
            Some((edits, late)) => self.edited(batch, edits, late),
        }
        self.next = batch.next();
        self.disseminate(self.next - 1);
    }

    pub(crate) fn input(&mut self, position: Position, input: &Input) {
        match input {
            Input::Tick(tick) => self.tick(position, tick),
            Input::Rate(rate) => self.rate(position, rate),
            Input::Define { definitions, .. } => {
                self.define(position, definitions);
                self.publish_each_tick(position);
            }
            Input::Operate { order, .. } => self.carry_out(position, order),
            Input::Correct { by, stated } => self.open_run(position, *by, stated),
            Input::Restate { through, outcome } => self.restate(position, *through, outcome),
            Input::Label(text) => self.label(text),
            Input::Boot { epoch } => self.epoch = *epoch,
        }
    }

    /// The next effect of the batches applied so far.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When a batch is wanted at the latest, even without inputs: a revision takes effect, an
    /// interval ends, a session opens or closes, a constituent becomes stale.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let revision = self.scheduled.first_key_value().map(|((time, _), _)| *time);
        let interval = self.next_interval();
        let fixings = self.fixings.iter();
        let fixings = fixings.filter_map(|id| self.indexes[id.at()].fixing.as_ref()?.due);
        let session = self.next_moment_by_clock();
        let timers = revision.into_iter().chain(interval).chain(fixings);
        timers.chain(session).min()
    }

    /// The position behind the last batch, which is the first of the next one.
    #[must_use]
    pub const fn next_position(&self) -> Position {
        self.next
    }

    /// The time of the last batch.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.time
    }

    /// The boot count of the daemon that wrote the last inputs.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The id of an interned text.
    #[must_use]
    pub fn label_id(&self, text: &str) -> Option<LabelId> {
        self.label_ids.get(text).copied()
    }

    /// The text of a label.
    #[must_use]
    pub fn label_text(&self, id: LabelId) -> Option<&str> {
        self.labels.get(id.0 as usize).map(AsRef::as_ref)
    }

    /// How many labels there are; the next one gets this id.
    #[must_use]
    pub const fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// Numbers that sources have left out since this process began, and that have not come since.
    #[must_use]
    pub const fn gaps(&self) -> u64 {
        self.sources.missing()
    }

    /// The id of a security.
    #[must_use]
    pub fn security_id(&self, symbol: &str) -> Option<SecurityId> {
        self.symbols.get(symbol).copied()
    }

    fn label(&mut self, text: &str) {
        if self.labels.len() < LABELS_MAX && !self.label_ids.contains_key(text) {
            // The count is below 2^16 by the bound above.
            let id = LabelId(u32::try_from(self.labels.len()).unwrap_or(u32::MAX));
            self.labels.push(text.into());
            self.label_ids.insert(text.into(), id);
        }
    }

    /// False when the identity of an input was there before.
    pub(crate) fn is_new(&mut self, origin: &Origin) -> bool {
        match (origin.inc, origin.seq) {
            (Some(inc), Some(seq)) => self.sources.admit(origin.source, inc, seq),
            _ => true,
        }
    }

    fn tick(&mut self, position: Position, tick: &Tick) {
        if !self.is_new(&tick.origin) {
            self.outputs.push_back(Output::Tick {
                position,
                effect: Effect::Duplicate,
            });
            return;
        }
        let known = self.securities.get(tick.security.at());
        // The bound is looked at again: it may have been lowered since the tick was admitted, and
        // the sums rely on it.
        let comes_late =
            |known: &Security| self.is_late(known, tick) || tick.price > known.price_max;
        let is_behind = known.is_some_and(|known| tick.origin.ts < known.day_begun);
        if known.is_none_or(comes_late) {
            self.trade(position, tick);
            self.note_late_price(position, tick);
            self.outputs.push_back(Output::Tick {
                position,
                effect: Effect::Late,
            });
            return;
        }
        let looks = self.look(position, tick);
        self.trade(position, tick);
        let known = &self.securities[tick.security.at()];
        // Nearly every tick is a trade of a security without further rules.
        let is_plain = tick.kind == Kind::Trade
            && !known.is_guarded
            && !known.prints.has_closed(tick.origin.ts);
        let effect = if known.suspended {
            Effect::Held
        } else if is_plain {
            Effect::Applied
        } else {
            self.screen(position, tick).unwrap_or(Effect::Applied)
        };
        self.outputs.push_back(Output::Tick { position, effect });
        if effect == Effect::Applied {
            if is_behind {
                self.late.note(position, self.time);
            }
            self.put_price(position, tick, looks);
        }
    }

    /// Lets everything happen that is due before a price of this time; true when something was
    /// looked for.
    pub(crate) fn look(&mut self, position: Position, tick: &Tick) -> bool {
        let looks = tick.origin.ts >= self.securities[tick.security.at()].roll_at;
        if looks {
            if self.kernel_is_stale {
                self.rebuild_kernel();
            }
            self.begin_day_of_security(tick.security, tick.origin.ts, position);
        }
        looks
    }

    /// Puts a price into force that is in time and admitted.
    pub(crate) fn put_price(&mut self, position: Position, tick: &Tick, looks: bool) {
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        if self.securities[tick.security.at()].is_seen_apart {
            self.see_together(tick.security);
        }
        let ts = tick.origin.ts;
        let security = &mut self.securities[tick.security.at()];
        let before = security.price;
        // An opening price that comes behind the first trades is a print alone.
        let is_price = tick.kind != Kind::Open || !security.is_late(&tick.origin);
        if is_price {
            security.price = tick.price;
            // A close may come behind trades that are younger and do not count.
            let newest = security.origin.filter(|last| last.ts > ts);
            security.origin = newest.or(Some(tick.origin));
        }
        let after = security.price;
        let behind = tick
            .origin
            .received
            .as_nanos()
            .saturating_sub(ts.as_nanos());
        self.move_sums(tick.security, after - before, ts, behind);
        if tick.kind != Kind::Trade || self.securities[tick.security.at()].is_guarded {
            self.note_price(tick);
        }
        if before == 0 {
            self.first_price(tick.security, position);
            self.show_complete(tick.security);
        }
        if looks || tick.kind != Kind::Trade {
            self.follow_price(tick.security, tick.kind, ts, position);
            self.securities[tick.security.at()].roll_at = self.next_look(tick.security);
        }
        if self.securities[tick.security.at()].is_watched {
            self.touch_watchers(tick.security, tick.origin.ts);
            self.publish_each_tick(position);
        }
        self.disseminate_tick(tick.security, position);
    }

    /// Moves every sum that holds a security, and marks the indexes. `behind` is how long after its
    /// time the price was received.
    pub(crate) fn move_sums(
        &mut self,
        security: SecurityId,
        difference: i64,
        ts: Time,
        behind: i64,
    ) {
        let (marks, touched, moved) = (&mut self.marks, &mut self.touched, &mut self.moved);
        self.kernel.apply(security, difference, |index| {
            let mark = &mut marks[index.at()];
            mark.ts = mark.ts.max(ts);
            if ts >= mark.newest {
                (mark.newest, mark.behind) = (ts, behind);
            }
            // Those of each tick are published below, those that are quiet not at all.
            if !(mark.touched | mark.each_tick | mark.is_quiet) {
                mark.touched = true;
                touched.push(index);
            }
            if mark.is_followed & !mark.is_moved {
                mark.is_moved = true;
                moved.push(index);
            }
        });
    }

    /// Levels of the indexes that publish at each tick.
    pub(crate) fn disseminate_tick(&mut self, security: SecurityId, position: Position) {
        for at in 0..self.kernel.entries(security).len() {
            let index = self.kernel.entries(security)[at].index;
            let mark = self.marks[index.at()];
            if mark.each_tick && !mark.is_quiet {
                self.publish(index, position);
            }
            for at in 0..self.followers(index).len() {
                let follower = self.followers(index)[at];
                let own = self.marks[follower.at()];
                if own.each_tick && !own.is_quiet {
                    self.marks[follower.at()].ts = mark.ts;
                    self.publish(follower, position);
                }
            }
        }
    }

    /// Levels of the indexes that publish at each tick, after something other than a tick moved
    /// them. At once, so that their levels do not depend on where batches end.
    pub(crate) fn publish_each_tick(&mut self, position: Position) {
        for at in 0..self.touched.len() {
            let index = self.touched[at];
            let mark = self.marks[index.at()];
            if mark.touched && mark.each_tick {
                self.publish(index, position);
            }
        }
    }

    fn rate(&mut self, position: Position, rate: &Rate) {
        if !self.is_new(&rate.origin) {
            self.outputs.push_back(Output::Tick {
                position,
                effect: Effect::Duplicate,
            });
            return;
        }
        let last = self.rates.last_origin(rate);
        let effect = if last.is_some_and(|last| is_older(&rate.origin, last)) {
            self.note_late_rate(position, rate);
            Effect::Late
        } else {
            self.screen_rate(position, rate).unwrap_or(Effect::Applied)
        };
        self.outputs.push_back(Output::Tick { position, effect });
        if effect == Effect::Applied {
            self.note_rate_behind(position, rate);
            self.put_rate(position, rate);
        }
    }

    /// Puts a rate into force that is in time.
    pub(crate) fn put_rate(&mut self, position: Position, rate: &Rate) {
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        let mut affected = self.dependent(rate);
        let ts = rate.origin.ts;
        let roots: Vec<IndexId> = affected.iter().map(|index| self.root(*index)).collect();
        self.begin(None, &roots, ts, position);
        // An action may have changed the currencies of an index.
        if self.kernel_is_stale {
            affected = self.dependent(rate);
        }
        self.rates.set(rate);
        for index in affected {
            let state = &mut self.indexes[index.at()];
            let was_complete = state.is_complete();
            state.refresh_rates(&self.rates);
            let is_first = !was_complete && state.is_complete();
            let moves = is_first || state.definition.fx.rates == FxRates::Live;
            let mark = &mut self.marks[index.at()];
            if ts >= mark.newest {
                mark.newest = ts;
                mark.behind = rate
                    .origin
                    .received
                    .as_nanos()
                    .saturating_sub(ts.as_nanos());
            }
            let is_quiet = mark.is_quiet;
            mark.ts = mark.ts.max(ts);
            self.try_base(index, position);
            if self.indexes[index.at()].weighs_stale() {
                self.weigh_stale(index, false, ts, position);
            }
            // A closed index has a level, too, as soon as its last part is there.
            if moves && (!is_quiet || is_first) {
                self.touch(index, ts);
            }
        }
        self.start_followers(position);
        self.publish_each_tick(position);
    }

    /// Notes that the level of an index has changed, and with it those that follow it.
    pub(crate) fn touch(&mut self, index: IndexId, ts: Time) {
        self.touch_one(index, ts);
        for at in 0..self.followers(index).len() {
            let follower = self.followers(index)[at];
            self.touch_one(follower, ts);
        }
    }

    /// The indexes that a rate of this pair can move.
    #[must_use]
    pub fn dependent(&self, rate: &Rate) -> Vec<IndexId> {
        let all = (0u32..).map(IndexId).zip(&self.indexes);
        all.filter(|(_, index)| index.depends_on(rate.base, rate.quote))
            .map(|(id, _)| id)
            .collect()
    }

    pub(crate) fn touch_one(&mut self, index: IndexId, ts: Time) {
        let mark = &mut self.marks[index.at()];
        mark.ts = mark.ts.max(ts);
        if !mark.touched {
            mark.touched = true;
            self.touched.push(index);
        }
    }

    /// Touches the variants whose forwards a security is.
    fn touch_watchers(&mut self, security: SecurityId, ts: Time) {
        for at in 0..self.indexes.len() {
            let follow = self.indexes[at].follow.as_ref();
            let moves = follow.is_some_and(|f| f.inputs.values().any(|id| *id == security));
            if moves && !self.marks[at].is_quiet {
                // Ids are given in order, so the offset is the id.
                self.touch(IndexId(u32::try_from(at).unwrap_or(u32::MAX)), ts);
            }
        }
    }

    /// Touches the followers of what has moved: once for a batch, not for each tick. Those that
    /// publish at each tick have done so.
    fn touch_followers(&mut self) {
        let mut moved = std::mem::take(&mut self.moved);
        for root in moved.drain(..) {
            self.marks[root.at()].is_moved = false;
            let ts = self.marks[root.at()].ts;
            for at in 0..self.followers(root).len() {
                let follower = self.followers(root)[at];
                let own = self.marks[follower.at()];
                if !own.each_tick && !own.is_quiet {
                    self.touch_one(follower, ts);
                }
            }
        }
        self.moved = moved;
    }

    /// The end of a batch: levels of the conflated indexes, and of those whose interval is over.
    fn disseminate(&mut self, position: Position) {
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        self.publish_touched(position);
        if self.interval_at.is_none_or(|due| due <= self.time) {
            self.publish_intervals(position);
            // Those that hold what has just published.
            self.publish_touched(position);
        }
    }

    /// Levels of the indexes whose interval is over.
    fn publish_intervals(&mut self, position: Position) {
        for at in 0..self.intervals.len() {
            let id = self.intervals[at];
            let index = &mut self.indexes[id.at()];
            let Dissemination::Interval { every_ms } = index.definition.dissemination else {
                continue;
            };
            if index.waiting && index.due <= self.time {
                let every = i64::from(every_ms) * 1_000_000;
                let now = self.time.as_nanos();
                let next = (now.div_euclid(every) + 1).saturating_mul(every);
                index.due = Time::from_nanos(next);
                self.publish(id, position);
            }
        }
        self.interval_at = Some(self.next_interval().unwrap_or(Time::MAX));
    }

    /// When the interval of an index ends that waits for it.
    fn next_interval(&self) -> Option<Time> {
        let by_interval = self.intervals.iter().map(|id| &self.indexes[id.at()]);
        by_interval.filter(|x| x.waiting).map(|x| x.due).min()
    }

    /// Publishes what is touched, or lets it wait for its interval.
    fn publish_touched(&mut self, position: Position) {
        // Upwards: what publishes may move the indexes that hold it.
        loop {
            self.touch_followers();
            let mut touched = self.lowest_touched();
            if touched.is_empty() {
                self.touched = touched;
                break;
            }
            for index in touched.drain(..) {
                // Published since, by itself or at the end of a day.
                if !std::mem::take(&mut self.marks[index.at()].touched) {
                    continue;
                }
                match self.indexes[index.at()].definition.dissemination {
                    Dissemination::Tick | Dissemination::Conflate => self.publish(index, position),
                    Dissemination::Interval { .. } => {
                        let index = &mut self.indexes[index.at()];
                        index.waiting = true;
                        self.interval_at = self.interval_at.map(|due| due.min(index.due));
                    }
                }
            }
        }
    }

    /// The touched indexes below which nothing is touched; the others stay.
    fn lowest_touched(&mut self) -> Vec<IndexId> {
        let touched = std::mem::take(&mut self.touched);
        let rank = |id: &IndexId| self.ranks.get(id.at()).copied().unwrap_or(0);
        let lowest = touched.iter().map(rank).min().unwrap_or(0);
        if touched.iter().all(|id| rank(id) == lowest) {
            return touched;
        }
        let (now, later) = touched.into_iter().partition(|id| rank(id) == lowest);
        self.touched = later;
        now
    }

    /// Computes the level of an index and puts it out; without one, the index is pending.
    pub(crate) fn publish(&mut self, index: IndexId, position: Position) {
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        self.marks[index.at()].touched = false;
        if !self.indexes[index.at()].life.is_active() {
            self.indexes[index.at()].waiting = false;
            return;
        }
        self.trigger(index, position);
        let mut level = self.level(index);
        let state = &mut self.indexes[index.at()];
        state.waiting = false;
        if level.is_some_and(|level| state.jumps(level)) {
            state.clock.is_halted = true;
            self.marks[index.at()].is_quiet = true;
        }
        let ts = self.marks[index.at()].ts;
        let ts = if ts == Time::MIN { self.time } else { ts };
        // A variant is worth what its parent is.
        let (worth, stale) = self.worth(self.root(index), level.is_some());
        let state = &mut self.indexes[index.at()];
        let status = if level.is_some() && state.clock.is_halted {
            Status::Halted
        } else {
            worth
        };
        if status != state.status {
            self.set_status(index, status, ts, position);
        } else if status == Status::Halted {
            return;
        }
        let state = &mut self.indexes[index.at()];
        if status == Status::Halted {
            // The last level, so that those who read it see what it is worth now.
            level = state.last.map(|last| last.level);
        }
        let Some(level) = level else {
            self.component_moved(index, None, position);
            return;
        };
        state.clock.is_trusted = false;
        state.seq += 1;
        let level = Level {
            index,
            seq: state.seq,
            level,
            prev_close: state.prev_close,
            ts,
            ts_calc: self.time,
            position,
            revision: state.revision,
            status,
            stale,
        };
        state.last = Some(level);
        self.outputs.push_back(Output::Level(level));
        self.component_moved(index, Some(level.level), position);
    }

    /// The level of an index, cut to the places of its definition.
    fn level(&self, index: IndexId) -> Option<Decimal> {
        let state = &self.indexes[index.at()];
        if state.follow.is_some() {
            return self.exact(index)?.round(state.definition.rounding.level);
        }
        if state.missing > 0 {
            return None;
        }
        if let Some(fixing) = &state.fixing {
            return fixing
                .level
                .as_ref()?
                .round(state.definition.rounding.level);
        }
        if state.product.is_some() {
            let cut = state.definition.rounding.level;
            return state.product_level(&self.securities, cut);
        }
        let basket = &state.basket;
        state.level(self.kernel.sums(basket.first_slot, basket.currencies.len()))
    }

    /// Lays the memberships out anew and recomputes every sum from scratch.
    pub(crate) fn rebuild_kernel(&mut self) {
        let mut next_slot = 0;
        for index in &mut self.indexes {
            index.basket.first_slot = next_slot;
            next_slot += index.basket.currencies.len();
        }
        // A reference rate is made of trades, not of last prices.
        let summed = (0u32..)
            .zip(&self.indexes)
            .filter(|(_, index)| index.fixing.is_none());
        let memberships = summed.flat_map(|(id, index)| {
            let basket = &index.basket;
            basket
                .holdings
                .iter()
                .enumerate()
                .map(move |(at, holding)| {
                    let slot = basket.first_slot + basket.slots[at];
                    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
                    (
                        holding.security,
                        Entry {
                            q: basket.quantities[at],
                            slot,
                            index: IndexId(id),
                        },
                    )
                })
        });
        self.kernel = Kernel::build(self.securities.len(), next_slot, memberships);
        for index in &self.indexes {
            for (at, sum) in index.basket.sums(&self.securities).into_iter().enumerate() {
                self.kernel.set_sum(index.basket.first_slot + at, sum);
            }
        }
        self.lay_ranks();
        self.kernel_is_stale = false;
    }

    /// The level of an index from its sums, unrounded ones recomputed from scratch: the slow,
    /// obvious way that the running sums must agree with.
    #[must_use]
    pub fn recompute(&self, index: IndexId) -> Option<Decimal> {
        let state = self.indexes.get(index.at())?;
        let cut = state.definition.rounding.level;
        if state.product.is_some() {
            return state.product_level(&self.securities, cut);
        }
        self.exact_by(index, false)?.round(cut)
    }
}

impl Index {
    /// True when a rate of this pair can move the level.
    pub(crate) fn depends_on(&self, base: Currency, quote: Currency) -> bool {
        if let Some(follow) = &self.follow {
            return follow.depends_on(self, base, quote);
        }
        if self.definition.fx.rates == FxRates::One {
            return false;
        }
        let foreign = &self.basket.currencies[1..];
        let own = self.definition.currency;
        if foreign.contains(&base) && quote == own {
            return true;
        }
        self.definition.fx.pivot == Some(base)
            && !foreign.is_empty()
            && (quote == own || foreign.contains(&quote))
    }
}
