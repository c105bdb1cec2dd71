//! Corrections: the past as it should have been (METHODOLOGY §1.11 and §4).
//!
//! A correction is an edit of the input sequence: an input replaced, dropped or added. It opens a
//! run. Whoever has the history walks it again with [`Engine::apply_edited`], and the
//! [`Patch`] between what is and what should be ends the run as one input, so that a replay of the
//! sequence needs no history. What was published stays what it was: the walk's levels are rows of
//! their own.

mod patch;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use patch::{Found, Outcome, Patch, Unpatched};

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
    pub fn edits_with(&self, through: u32, edit: &Edit) -> Edits {
        let mut all = self.clone();
        all.runs.truncate(through as usize);
        all.runs.push(Correction {
            run: through.saturating_add(1),
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
        all.edits(through.saturating_add(1))
    }

    /// What the past should have been, by the corrections up to a run. Where two speak of the same
    /// input, the later one is right.
    #[must_use]
    pub fn edits(&self, through: u32) -> Edits {
        let mut edits = Edits::default();
        let failed = |c: &&Correction| !matches!(c.state, CorrectionState::Failed { .. });
        let counted: Vec<_> = self
            .runs
            .iter()
            .take(through as usize)
            .filter(failed)
            .collect();
        let mut withdrawn = BTreeSet::new();
        for correction in counted.iter().rev() {
            if let Edit::Withdraw { run } = correction.stated.edit
                && !withdrawn.contains(&correction.run)
            {
                withdrawn.insert(run);
            }
        }
        for correction in counted {
            if !withdrawn.contains(&correction.run) {
                edits.add(&correction.stated.edit);
            }
        }
        edits
    }
}

/// Edits by position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    replaced: BTreeMap<Position, Right>,
    inserted: BTreeMap<Position, Vec<Inserted>>,
}

impl Edits {
    /// The first position that is edited.
    #[must_use]
    pub fn first(&self) -> Option<Position> {
        let (replaced, inserted) = (self.replaced.keys().next(), self.inserted.keys().next());
        replaced.into_iter().chain(inserted).min().copied()
    }

    /// Adds one behind the others. A price of a security's time, or a rate of a pair's, that was
    /// added before is replaced.
    pub fn add(&mut self, edit: &Edit) {
        match edit {
            Edit::Replace { position, right } => {
                self.replaced.insert(*position, right.clone());
            }
            Edit::Insert { before, input } => {
                let there = self.inserted.entry(*before).or_default();
                there.retain(|other| !other.is_replaced_by(input));
                there.push(input.clone());
                // Added in the order of their times, whatever the order of the corrections.
                there.sort_by_key(Inserted::ts);
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
    pub(crate) fn edited(&mut self, batch: &Batch, edits: &Edits) {
        let last = batch.next() - 1;
        if edits.inserted.range(batch.first..=last).next().is_none()
            && edits.replaced.range(batch.first..=last).next().is_none()
        {
            for (position, input) in (batch.first..).zip(&batch.inputs) {
                self.walked(position, input);
            }
            return;
        }
        if batch.inputs.is_empty() {
            self.insert(batch.first, edits);
        }
        for (position, input) in (batch.first..).zip(&batch.inputs) {
            self.insert(position, edits);
            match (edits.replaced.get(&position), input) {
                (None, input) => self.walked(position, input),
                (Some(right), input) => self.right(position, input, right),
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

    fn insert(&mut self, position: Position, edits: &Edits) {
        for input in edits.inserted.get(&position).into_iter().flatten() {
            match input {
                Inserted::Tick(tick) => self.believed(position, &Input::Tick(*tick)),
                Inserted::Rate(rate) => self.believed(position, &Input::Rate(*rate)),
                Inserted::Definitions(definitions) => {
                    self.define(position, definitions);
                    self.publish_each_tick(position);
                }
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
