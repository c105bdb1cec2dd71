//! Corrections: the past as it should have been (METHODOLOGY §1.11 and §4).
//!
//! A correction is an edit of the input sequence: an input replaced, dropped or added. It opens a
//! run. Whoever has the history goes it again with a [`Walk`], and the
//! [`Patch`] between what is and what should be ends the run as one input, so that a replay of the
//! sequence needs no history. What was published stays what it was: the walk's levels are rows of
//! their own.

mod late;
mod merge;
mod patch;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use late::Late;
pub(crate) use merge::LateInputs;
pub use patch::{Found, Outcome, Patch, Unpatched};
pub use walk::Walk;

use crate::definition::Definitions;
use crate::input::{Batch, Input, Rate, Tick};
use crate::{Engine, LabelId, Position, Time};

/// A correction as it is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// What is corrected.
    pub edit: Edit,
    /// The same in words.
    pub what: String,
    /// Why, for people.
    pub reason: String,
}

/// One edit of the input sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
pub enum Edit {
    /// The input at a position should have been another one.
    Replace {
        /// Where it is.
        position: Position,
        /// What is right.
        right: Right,
    },
    /// An input is missing.
    Insert {
        /// It comes just before the input at this position.
        before: Position,
        /// The input.
        input: Inserted,
    },
    /// What came late counts at its own time, for the indexes that restate late prices.
    Late {
        /// The positions of the late prices and rates, from one up to before another.
        ranges: Vec<(Position, Position)>,
    },
    /// An earlier correction was wrong.
    Withdraw {
        /// Its run.
        run: u32,
    },
}

/// What should have been there instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Nothing: the price or rate never was. Its identity still counts.
    Nothing,
    /// This price, in units of `10^-price_places` of the security.
    Price(i64),
    /// This rate.
    Rate {
        /// Its digits, in units of `10^-places`.
        mantissa: i64,
        /// Its places.
        places: u8,
    },
    /// These definitions.
    Definitions(Box<Definitions>),
}

/// An input that was missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inserted {
    /// A price.
    Tick(Tick),
    /// A rate.
    Rate(Rate),
    /// Actions that were announced late.
    Definitions(Box<Definitions>),
}

/// What became of a correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionState {
    /// It waits for its walk.
    Open,
    /// It is in the levels.
    Restated {
        /// With which run: several corrections may share one.
        run: u32,
        /// From which position on.
        position: Position,
    },
    /// It changed nothing, for this reason.
    Failed {
        /// Why.
        why: String,
    },
}

impl CorrectionState {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Restated { .. } => "restated",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A correction with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Its run, from 1.
    pub run: u32,
    /// What is corrected, and why.
    pub stated: Stated,
    /// Who stated it.
    pub by: LabelId,
    /// When it was stated.
    pub time: Time,
    /// The position of the input that stated it.
    pub position: Position,
    /// What became of it.
    pub state: CorrectionState,
}

/// All corrections, by run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Corrections {
    runs: Vec<Correction>,
}

impl Corrections {
    /// All of them, by run.
    #[must_use]
    pub fn all(&self) -> &[Correction] {
        &self.runs
    }

    /// The one of a run.
    #[must_use]
    pub fn get(&self, run: u32) -> Option<&Correction> {
        self.runs.get((run as usize).checked_sub(1)?)
    }

    /// Those that wait for their walk.
    pub fn open(&self) -> impl Iterator<Item = &Correction> {
        let open = |correction: &&Correction| correction.state == CorrectionState::Open;
        self.runs.iter().filter(open)
    }

    /// The same with one correction more, which is not stated yet.
    #[must_use]
    pub fn with(&self, edit: &Edit) -> Self {
        let mut all = self.clone();
        let run = u32::try_from(all.runs.len() + 1).unwrap_or(u32::MAX);
        all.runs.push(Correction {
            run,
            stated: Stated {
                edit: edit.clone(),
                what: String::new(),
                reason: String::new(),
            },
            by: LabelId(0),
            time: Time::MIN,
            position: 0,
            state: CorrectionState::Open,
        });
        all
    }

    /// Whether one counts: it has neither failed nor been withdrawn.
    #[must_use]
    pub fn stands(&self, run: u32) -> bool {
        self.standing(|_| true).contains(&run)
    }

    /// The newest run that is in what was made at a position, but by no run.
    #[must_use]
    pub fn ended_by(&self, position: Position) -> u32 {
        let ended = self.runs.iter().filter_map(|c| match c.state {
            CorrectionState::Restated { run, position: end } => (end <= position).then_some(run),
            CorrectionState::Open | CorrectionState::Failed { .. } => None,
        });
        ended.max().unwrap_or(0)
    }

    /// What the past should have been, by the corrections up to a run. Where two speak of the same
    /// input, the later one is right.
    #[must_use]
    pub fn edits(&self, through: u32) -> Edits {
        let mut edits = Edits::default();
        for run in self.standing(|c| c.run <= through) {
            if let Some(correction) = self.get(run) {
                edits.add(run, &correction.stated.edit);
            }
        }
        edits
    }

    /// Those of some runs that have neither failed nor been withdrawn by another of them.
    fn standing(&self, of: impl Fn(&Correction) -> bool) -> BTreeSet<u32> {
        let failed = |c: &Correction| matches!(c.state, CorrectionState::Failed { .. });
        let mut standing = BTreeSet::new();
        let mut withdrawn = BTreeSet::new();
        for correction in self.runs.iter().rev() {
            if failed(correction) || !of(correction) || withdrawn.contains(&correction.run) {
                continue;
            }
            standing.insert(correction.run);
            if let Edit::Withdraw { run } = correction.stated.edit {
                withdrawn.insert(run);
            }
        }
        standing
    }
}

/// Edits by position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    replaced: BTreeMap<Position, (u32, Right)>,
    inserted: BTreeMap<Position, Vec<(u32, Inserted)>>,
    /// Late inputs: from one position up to another, by the first, with the run.
    late: BTreeMap<Position, (Position, u32)>,
}

impl Edits {
    /// Where late inputs are that are to count at their own times, from one position up to another.
    pub fn late(&self) -> impl Iterator<Item = (Position, Position)> + '_ {
        self.late.iter().map(|(from, (until, _))| (*from, *until))
    }

    /// The inputs that should have been others, by position, with the run that says so.
    pub fn replaced(&self) -> impl Iterator<Item = (Position, u32, &Right)> {
        let all = self.replaced.iter();
        all.map(|(position, (run, right))| (*position, *run, right))
    }

    /// The inputs that were missing, by the position that they come before, with their run.
    pub fn inserted(&self) -> impl Iterator<Item = (Position, u32, &Inserted)> {
        let all = self.inserted.iter();
        all.flat_map(|(before, there)| there.iter().map(|(run, input)| (*before, *run, input)))
    }

    /// The run that a late input belongs to.
    fn late_run(&self, position: Position) -> Option<u32> {
        let (_, (until, run)) = self.late.range(..=position).next_back()?;
        (position < *until).then_some(*run)
    }

    /// Puts what was stated about an input in its place; false where it never was.
    fn amend(&self, position: Position, input: &mut Input) -> bool {
        match (self.replaced.get(&position), input) {
            (Some((_, Right::Nothing)), _) => return false,
            (Some((_, Right::Price(right))), Input::Tick(tick)) => tick.price = *right,
            (Some((_, Right::Rate { mantissa, places })), Input::Rate(rate)) => {
                (rate.mantissa, rate.places) = (*mantissa, *places);
            }
            _ => {}
        }
        true
    }

    /// Adds the edit of a run behind the others. A price of a security's time, or a rate of a pair's,
    /// that was added before is replaced.
    fn add(&mut self, run: u32, edit: &Edit) {
        match edit {
            Edit::Replace { position, right } => {
                self.replaced.insert(*position, (run, right.clone()));
            }
            Edit::Insert { before, input } => {
                let there = self.inserted.entry(*before).or_default();
                there.retain(|(_, other)| !other.is_replaced_by(input));
                there.push((run, input.clone()));
                // Added in the order of their times, whatever the order of the corrections.
                there.sort_by_key(|(_, inserted)| inserted.ts());
            }
            Edit::Late { ranges } => {
                let ranges = ranges.iter();
                self.late
                    .extend(ranges.map(|(from, until)| (*from, (*until, run))));
            }
            Edit::Withdraw { .. } => {}
        }
    }
}

impl Inserted {
    /// Definitions come before the prices of their position.
    fn ts(&self) -> Time {
        match self {
            Self::Tick(tick) => tick.origin.ts,
            Self::Rate(rate) => rate.origin.ts,
            Self::Definitions(_) => Time::MIN,
        }
    }

    fn is_replaced_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tick(a), Self::Tick(b)) => {
                (a.security, a.origin.ts, a.kind) == (b.security, b.origin.ts, b.kind)
            }
            (Self::Rate(a), Self::Rate(b)) => {
                (a.base, a.quote, a.origin.ts) == (b.base, b.quote, b.origin.ts)
            }
            _ => false,
        }
    }
}

impl Engine {
    /// What of the past was corrected.
    #[must_use]
    pub const fn corrections(&self) -> &Corrections {
        &self.corrections
    }

    pub(crate) fn open_run(&mut self, position: Position, by: LabelId, stated: &Stated) {
        let run = u32::try_from(self.corrections.runs.len() + 1).unwrap_or(u32::MAX);
        if let Edit::Late { ranges } = &stated.edit {
            let until = ranges.iter().map(|(_, until)| *until).max();
            self.late.taken(until.unwrap_or(0));
        }
        self.corrections.runs.push(Correction {
            run,
            stated: stated.clone(),
            by,
            time: self.time,
            position,
            state: CorrectionState::Open,
        });
    }

    /// Notes what became of all that is open up to a run.
    fn close_runs(&mut self, through: u32, state: &CorrectionState) {
        let runs = self.corrections.runs.iter_mut().take(through as usize);
        for correction in runs.filter(|c| c.state == CorrectionState::Open) {
            correction.state = state.clone();
        }
    }

    /// The inputs of a batch as they should have been.
    pub(crate) fn edited(&mut self, batch: &Batch, edits: &Edits, late: &mut LateInputs) {
        if batch.inputs.is_empty() {
            self.insert(batch.first, edits, late);
        }
        for (position, input) in (batch.first..).zip(&batch.inputs) {
            self.insert(position, edits, late);
            if late.is_own(position) {
                self.passed(position, input, late);
                continue;
            }
            let stated = edits.replaced.get(&position);
            if let Some((_, Right::Nothing)) = stated {
                self.right(position, input, &Right::Nothing);
                continue;
            }
            if stated.is_none() && !late.may_meet(input) {
                self.walked(position, input);
                continue;
            }
            let mut input = input.clone();
            if !self.met(position, &mut input, stated.map(|(run, _)| *run), late) {
                match stated {
                    Some((_, right)) => self.right(position, &input, right),
                    None => self.walked(position, &input),
                }
            }
        }
    }

    fn walked(&mut self, position: Position, input: &Input) {
        if let Input::Restate { through, outcome } = input {
            self.pass_restated(position, *through, outcome);
        } else {
            self.input(position, input);
        }
    }

    fn insert(&mut self, position: Position, edits: &Edits, late: &mut LateInputs) {
        for (run, inserted) in edits.inserted.get(&position).into_iter().flatten() {
            let mut input = match inserted {
                Inserted::Tick(tick) => Input::Tick(*tick),
                Inserted::Rate(rate) => Input::Rate(*rate),
                Inserted::Definitions(definitions) => {
                    self.define(position, definitions);
                    self.publish_each_tick(position);
                    continue;
                }
            };
            if !self.met(position, &mut input, Some(*run), late) {
                self.believed(position, &input);
            }
        }
    }

    /// A price or rate that somebody has looked at: no gate holds it.
    fn believed(&mut self, position: Position, input: &Input) {
        let held = self.held.remove(&position);
        self.input(position, input);
        if let Some(doubted) = self.held.remove(&position) {
            self.release(&doubted, position);
        }
        self.held.extend(held.map(|held| (position, held)));
    }

    /// Applies what is right instead of an input.
    fn right(&mut self, position: Position, input: &Input, right: &Right) {
        match (input, right) {
            (Input::Tick(tick), Right::Price(price)) => {
                let tick = Tick {
                    price: *price,
                    ..*tick
                };
                self.believed(position, &Input::Tick(tick));
            }
            (Input::Rate(rate), Right::Rate { mantissa, places }) => {
                let (mantissa, places) = (*mantissa, *places);
                let rate = Rate {
                    mantissa,
                    places,
                    ..*rate
                };
                self.believed(position, &Input::Rate(rate));
            }
            (Input::Define { .. }, Right::Definitions(definitions)) => {
                self.define(position, definitions);
                self.publish_each_tick(position);
            }
            (
                Input::Tick(Tick { origin, .. }) | Input::Rate(Rate { origin, .. }),
                Right::Nothing,
            ) => {
                self.is_new(origin);
            }
            // An edit that fits nothing; whoever finds positions checks them.
            (input, _) => self.walked(position, input),
        }
    }
}
