//! Late prices at their own times: how a walk takes them in.
//!
//! Before the first input that is younger than a late price and moves an index which restates it,
//! the late price counts. Where its security has a price of that very time it counts in its place.
//! Of several late prices of one time the last to arrive is right; an explicit correction of that
//! price is right if it was stated later. Where a late price has come, only its identity counts,
//! unless its time was not met before.

use std::collections::{BTreeMap, BTreeSet};

use super::Edits;
use crate::input::{Input, Kind, Origin, Rate, Tick};
use crate::{Currency, Engine, IndexId, Position, SecurityId, Time};

/// What an input is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A security, and the code of the price's kind.
    Price(SecurityId, u8),
    /// A pair.
    Rate(Currency, Currency),
}

type Key = (Subject, Time);

/// One late input, without its identity.
#[derive(Debug, Clone)]
struct LateInput {
    run: u32,
    position: Position,
    input: Input,
}

/// Late inputs on their way to their times.
#[derive(Debug, Clone, Default)]
pub(crate) struct LateInputs {
    /// The right one for each time, whether it counts already or not.
    right: BTreeMap<Key, LateInput>,
    /// Those that do not count yet, by subject and by time.
    waiting: BTreeMap<Subject, BTreeSet<Time>>,
    times: BTreeSet<(Time, Subject)>,
    /// Where late inputs have come.
    own: BTreeSet<Position>,
    /// The first that waits below an index, by the index and its revision.
    first: BTreeMap<IndexId, (u32, Option<(Time, Subject)>)>,
}

impl LateInputs {
    /// Those that edits name, with what was read at their positions.
    pub(super) fn new(edits: &Edits, inputs: &[(Position, Input)]) -> Self {
        let mut late = Self::default();
        for (position, input) in inputs {
            let (position, mut input) = (*position, input.clone());
            let Some(run) = edits.late_run(position) else {
                continue;
            };
            late.own.insert(position);
            if !edits.amend(position, &mut input) {
                continue;
            }
            let Some(key) = key(&input) else { continue };
            let is_later = |old: &LateInput| (old.run, old.position) < (run, position);
            if late.right.get(&key).is_none_or(is_later) {
                let (subject, time) = key;
                late.waiting.entry(subject).or_default().insert(time);
                late.times.insert((time, subject));
                let one = LateInput {
                    run,
                    position,
                    input: anonymous(input),
                };
                late.right.insert(key, one);
            }
        }
        late
    }

    /// True when there were none from the beginning.
    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// The earliest time of one.
    pub(super) fn earliest(&self) -> Option<Time> {
        self.right.keys().map(|(_, time)| *time).min()
    }

    /// True where late inputs may come before an input or in its place.
    pub(super) fn may_meet(&self, input: &Input) -> bool {
        !self.is_empty() && key(input).is_some()
    }

    /// True where a late input has come.
    pub(super) fn is_own(&self, position: Position) -> bool {
        self.own.contains(&position)
    }

    fn waits(&self, (subject, time): &Key) -> bool {
        self.times.contains(&(*time, *subject))
    }

    /// It counts from here on.
    fn counts(&mut self, (subject, time): Key) {
        if self.times.remove(&(time, subject)) {
            if let Some(times) = self.waiting.get_mut(&subject) {
                times.remove(&time);
                if times.is_empty() {
                    self.waiting.remove(&subject);
                }
            }
            self.first.clear();
        }
    }

    /// The first of a security's that waits.
    fn of_security(&self, id: SecurityId) -> Option<(Time, Subject)> {
        let last = Kind::ALL.len() as u8;
        let subjects = self
            .waiting
            .range(Subject::Price(id, 0)..Subject::Price(id, last));
        let first = subjects.filter_map(|(subject, times)| Some((*times.first()?, *subject)));
        first.min()
    }

    /// The pairs of which rates wait, with the first.
    fn rates(&self) -> impl Iterator<Item = (Currency, Currency, (Time, Subject))> + '_ {
        let rates = self.waiting.iter().rev();
        rates.map_while(|(subject, times)| match subject {
            Subject::Rate(base, quote) => Some((*base, *quote, (*times.first()?, *subject))),
            Subject::Price(..) => None,
        })
    }
}

fn key(input: &Input) -> Option<Key> {
    if let Input::Tick(tick) = input {
        let subject = Subject::Price(tick.security, tick.kind.code());
        Some((subject, tick.origin.ts))
    } else if let Input::Rate(rate) = input {
        Some((Subject::Rate(rate.base, rate.quote), rate.origin.ts))
    } else {
        None
    }
}

/// Its identity counts where it came, not where it is put.
fn anonymous(mut input: Input) -> Input {
    if let Some(origin) = origin_mut(&mut input) {
        (origin.inc, origin.seq) = (None, None);
    }
    input
}

const fn origin_mut(input: &mut Input) -> Option<&mut Origin> {
    if let Input::Tick(tick) = input {
        Some(&mut tick.origin)
    } else if let Input::Rate(rate) = input {
        Some(&mut rate.origin)
    } else {
        None
    }
}

impl Engine {
    /// What happens at the place of an input of the past: late prices before it count first, and one
    /// of its very time counts in its place. `stated` is the run that has put it there. False where
    /// the input itself is to be applied, then or still: a gate has held what came late.
    pub(super) fn met(
        &mut self,
        position: Position,
        input: &mut Input,
        stated: Option<u32>,
        late: &mut LateInputs,
    ) -> bool {
        let Some(key) = key(input) else {
            return false;
        };
        self.bring(position, key, late);
        let Some(right) = late.right.get(&key) else {
            return false;
        };
        let (own, run, right) = (right.position, right.run, right.input.clone());
        late.counts(key);
        if stated.is_some_and(|stated| stated > run) {
            return false;
        }
        let mut replaced = input.clone();
        if let (Input::Tick(tick), Input::Tick(right)) = (&mut replaced, &right) {
            tick.price = right.price;
        } else if let (Input::Rate(rate), Input::Rate(right)) = (&mut replaced, &right) {
            (rate.mantissa, rate.places) = (right.mantissa, right.places);
        }
        let counts = self.put(position, own, &replaced);
        if !counts {
            // Its identity has counted with the other.
            *input = anonymous(input.clone());
        }
        counts
    }

    /// The place where a late input has come.
    pub(super) fn passed(&mut self, position: Position, input: &Input, late: &mut LateInputs) {
        if let Input::Tick(Tick { origin, .. }) | Input::Rate(Rate { origin, .. }) = input {
            self.is_new(origin);
        }
        let Some(key) = key(input).filter(|key| late.waits(key)) else {
            return;
        };
        // Nothing younger has come so far: it is in time, or one for the same time will be.
        self.bring(position, key, late);
        let right = late.right.get(&key).filter(|r| r.position == position);
        if let Some(input) = right.map(|right| right.input.clone()) {
            late.counts(key);
            self.put_late(position, position, input);
        }
    }

    /// Lets every late input count that belongs before an input of this subject and time.
    fn bring(&mut self, position: Position, (subject, ts): Key, late: &mut LateInputs) {
        if late.times.first().is_none_or(|(first, _)| *first >= ts) {
            return;
        }
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        let related = self.related(subject);
        while let Some((time, first)) = self.first_late(subject, &related, late)
            && time < ts
        {
            late.counts((first, time));
            if let Some(right) = late.right.get(&(first, time)) {
                let (own, input) = (right.position, right.input.clone());
                self.put_late(position, own, input);
            }
        }
    }

    /// Applies one at a position.
    fn put_late(&mut self, position: Position, own: Position, mut input: Input) {
        let now = self.time;
        if let Some(origin) = origin_mut(&mut input) {
            origin.received = now.max(origin.ts);
        }
        self.put(position, own, &input);
    }

    /// Applies an input; false where a gate holds it, under the position `own`.
    fn put(&mut self, position: Position, own: Position, input: &Input) -> bool {
        let held = self.held.remove(&position);
        self.input(position, input);
        let doubted = self.held.remove(&position);
        let counts = doubted.is_none();
        self.held.extend(held.map(|held| (position, held)));
        self.held.extend(doubted.map(|doubted| (own, doubted)));
        counts
    }

    fn first_late(
        &self,
        subject: Subject,
        related: &[IndexId],
        late: &mut LateInputs,
    ) -> Option<(Time, Subject)> {
        let own = match subject {
            Subject::Price(id, _) => late.of_security(id),
            Subject::Rate(..) => {
                let of = late.waiting.get(&subject).and_then(BTreeSet::first);
                of.map(|time| (*time, subject))
            }
        };
        let below = related.iter().filter_map(|id| self.first_below(*id, late));
        below.chain(own).min()
    }

    /// The first late input that waits and concerns an index, or one that it holds.
    fn first_below(&self, id: IndexId, late: &mut LateInputs) -> Option<(Time, Subject)> {
        let index = &self.indexes[id.at()];
        if let Some((revision, first)) = late.first.get(&id)
            && *revision == index.revision
        {
            return *first;
        }
        let mut first = None;
        let mut meet = |met: Option<(Time, Subject)>| {
            first = [first, met].into_iter().flatten().min();
        };
        for holding in &index.basket.holdings {
            match self.securities[holding.security.at()].component {
                Some(below) => meet(self.first_below(below, late)),
                None => meet(late.of_security(holding.security)),
            }
        }
        for follower in self.followers(id) {
            let follow = self.indexes[follower.at()].follow.as_ref();
            for input in follow.into_iter().flat_map(|f| f.inputs.values()) {
                meet(late.of_security(*input));
            }
        }
        for (base, quote, at) in late.rates() {
            let all = self.followers(id).iter().chain([&id]);
            let mut all = all.map(|id| &self.indexes[id.at()]);
            if all.any(|index| index.depends_on(base, quote)) {
                meet(Some(at));
            }
        }
        late.first.insert(id, (index.revision, first));
        first
    }

    /// The indexes that restate late prices and that an input can move: those with a basket.
    fn related(&self, subject: Subject) -> Vec<IndexId> {
        let direct = match subject {
            Subject::Price(id, _) => self.moved_by(id),
            Subject::Rate(base, quote) => {
                let all = (0u32..).map(IndexId).zip(&self.indexes);
                let all = all.filter(|(_, index)| index.depends_on(base, quote));
                all.map(|(id, _)| id).collect()
            }
        };
        let mut found = Vec::new();
        let mut above: Vec<IndexId> = direct.into_iter().map(|id| self.root(id)).collect();
        while let Some(id) = above.pop() {
            if self.restates_late(id) && !found.contains(&id) {
                found.push(id);
                if let Some(stands) = self.indexes[id.at()].component {
                    above.extend(self.moved_by(stands));
                }
            }
        }
        found
    }

    /// The indexes that hold a security, and those whose rules name it.
    pub(super) fn moved_by(&self, id: SecurityId) -> Vec<IndexId> {
        let entries = self.kernel.entries(id).iter();
        let mut found: Vec<IndexId> = entries.map(|entry| entry.index).collect();
        if self.securities[id.at()].is_input {
            let all = (0u32..).map(IndexId).zip(&self.indexes);
            let names = all.filter(|(_, index)| {
                let follow = index.follow.as_ref();
                follow.is_some_and(|f| f.inputs.values().any(|input| *input == id))
            });
            found.extend(names.map(|(id, _)| id));
        }
        found
    }
}
