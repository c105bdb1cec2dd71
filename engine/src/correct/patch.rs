//! The way from the present state to the corrected one, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CorrectionState, Walk};
use crate::action::Actions;
use crate::definition::Restate;
use crate::engine::Mark;
use crate::fx::Rates;
use crate::gate::Held;
use crate::index::Index;
use crate::output::{Cause, Output, Restated};
use crate::security::Security;
use crate::{Decimal, Engine, IndexId, Position, SecurityId, Time};

/// How open runs end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With this, from here on.
    Restated {
        /// The way to the corrected state.
        patch: Box<Patch>,
        /// What of the past is another one, by index.
        found: Vec<Found>,
    },
    /// With nothing, for this reason.
    Failed {
        /// Why.
        why: String,
    },
}

/// What a walk has found of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Which index.
    pub index: IndexId,
    /// The first and the last time whose level is another one.
    pub span: Option<(Time, Time)>,
    /// How many levels are restated.
    pub levels: u64,
    /// How many official closes.
    pub closes: u64,
    /// The largest change of a level, without its sign.
    pub largest: Option<Decimal>,
}

/// What of the state is another one. Made at one position, and applied at the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    securities: Vec<(SecurityId, Security)>,
    indexes: Vec<Patched>,
    rates: Option<Rates>,
    actions: Option<Actions>,
    held: Option<BTreeMap<Position, Held>>,
}

/// An index as it should be, with the numbers of what was published: levels and revisions are
/// counted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patched {
    index: IndexId,
    state: Index,
    mark: Mark,
    /// Basket or divisor are others: there is a new revision.
    is_revised: bool,
}

/// Why there is no patch between two states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpatched {
    /// They are not at the same position.
    #[error("the corrected state is at position {corrected}, the present one at {present}")]
    Position {
        /// Where the corrected one is.
        corrected: Position,
        /// Where the present one is.
        present: Position,
    },
    /// Ids would change their meaning.
    #[error("the corrected past would define other securities, indexes or revisions")]
    Definitions,
}

impl Engine {
    /// The way from this state to the end of a walk at the same position.
    ///
    /// # Errors
    /// [`Unpatched`].
    pub fn patch_to(&self, walk: &Walk) -> Result<Patch, Unpatched> {
        let corrected = walk.engine();
        if corrected.next_position() != self.next_position() {
            return Err(Unpatched::Position {
                corrected: corrected.next_position(),
                present: self.next_position(),
            });
        }
        let same = corrected.securities.len() == self.securities.len()
            && corrected.codes == self.codes
            && corrected.scheduled == self.scheduled
            && corrected.calendars.len() == self.calendars.len();
        if !same {
            return Err(Unpatched::Definitions);
        }
        let security = |(id, is): (u32, &Security)| {
            let stands_for = is.component;
            if stands_for.is_some_and(|index| self.restates(index) == Restate::Never) {
                return None;
            }
            let column = stands_for.map_or(corrected, |index| walk.of(self, index));
            let should = &column.securities[id as usize];
            (is != should).then(|| (SecurityId(id), should.clone()))
        };
        let securities = (0u32..).zip(&self.securities).filter_map(security);
        let ids = (0u32..).map(IndexId).take(self.indexes.len());
        Ok(Patch {
            securities: securities.collect(),
            indexes: ids
                .filter_map(|id| self.patched(walk.of(self, id), id))
                .collect(),
            rates: (self.rates != corrected.rates).then(|| corrected.rates.clone()),
            actions: (!self.actions.is_same(&corrected.actions)).then(|| corrected.actions.clone()),
            held: (self.held != corrected.held).then(|| corrected.held.clone()),
        })
    }

    fn patched(&self, corrected: &Self, id: IndexId) -> Option<Patched> {
        if self.restates(id) == Restate::Never {
            return None;
        }
        let (is, mark) = (&self.indexes[id.at()], &self.marks[id.at()]);
        let mut state = corrected.indexes[id.at()].clone();
        (state.seq, state.revision) = (is.seq, is.revision);
        state.basket.first_slot = is.basket.first_slot;
        state.waiting = is.waiting;
        if let (Some(should), Some(last)) = (&mut state.last, is.last) {
            (should.seq, should.revision) = (last.seq, last.revision);
            (should.position, should.ts_calc) = (last.position, last.ts_calc);
        }
        let mut should = corrected.marks[id.at()];
        (should.touched, should.is_moved) = (mark.touched, mark.is_moved);
        let is_revised = state.basket != is.basket
            || state.divisor != is.divisor
            || state.follow != is.follow
            || state.product != is.product;
        (state != *is || should != *mark).then_some(Patched {
            index: id,
            state,
            mark: should,
            is_revised,
        })
    }

    /// How far an index is restated: no further than those it is made of.
    #[must_use]
    pub fn restates(&self, id: IndexId) -> Restate {
        let Some(index) = self.indexes.get(id.at()) else {
            return Restate::Never;
        };
        let below = self.needs(id).map(|below| self.restates(below));
        below
            .chain([index.definition.corrections.restate])
            .min()
            .unwrap_or_default()
    }

    /// The end of runs: the present state becomes the corrected one.
    pub(crate) fn restate(&mut self, position: Position, through: u32, outcome: &Outcome) {
        let Outcome::Restated { patch, found } = outcome else {
            return self.fail_runs(position, through, outcome);
        };
        let before: Vec<Option<Decimal>> = self.indexes.iter().map(last_level).collect();
        let mut next = self.clone();
        if next.put_patch(patch).is_err() {
            self.outputs.push_back(Output::Refused { position });
            return;
        }
        *self = next;
        self.close_restated(position, through, patch, found, &before);
    }

    /// The same where the state is corrected already: numbers go on behind those that were
    /// published, and never back, so that no two levels or revisions of a walk have the same.
    pub(crate) fn pass_restated(&mut self, position: Position, through: u32, outcome: &Outcome) {
        let Outcome::Restated { patch, found } = outcome else {
            return self.fail_runs(position, through, outcome);
        };
        for patched in &patch.indexes {
            if let Some(state) = self.indexes.get_mut(patched.index.at()) {
                state.seq = state.seq.max(patched.state.seq);
                state.revision = state.revision.max(patched.state.revision);
            }
        }
        let before: Vec<Option<Decimal>> = self.indexes.iter().map(last_level).collect();
        self.close_restated(position, through, patch, found, &before);
    }

    fn fail_runs(&mut self, position: Position, through: u32, outcome: &Outcome) {
        if let Outcome::Failed { why } = outcome {
            let why = why.clone();
            self.close_runs(through, &CorrectionState::Failed { why: why.clone() });
            let run = through;
            self.outputs
                .push_back(Output::RunFailed { run, why, position });
        }
    }

    fn put_patch(&mut self, patch: &Patch) -> Result<(), crate::SnapshotError> {
        for (id, security) in &patch.securities {
            if let Some(place) = self.securities.get_mut(id.at()) {
                *place = security.clone();
            }
        }
        for patched in &patch.indexes {
            let at = patched.index.at();
            if at < self.indexes.len() {
                self.indexes[at] = patched.state.clone();
                self.marks[at] = patched.mark;
            }
        }
        if let Some(actions) = &patch.actions {
            self.actions = actions.clone();
        }
        if let Some(held) = &patch.held {
            self.held.clone_from(held);
        }
        if let Some(rates) = &patch.rates {
            self.rates = rates.clone();
            for index in &mut self.indexes {
                index.refresh_rates(&self.rates);
            }
        }
        self.actions.forget_wakes();
        self.derive()
    }

    fn close_restated(
        &mut self,
        position: Position,
        run: u32,
        patch: &Patch,
        found: &[Found],
        before: &[Option<Decimal>],
    ) {
        self.close_runs(run, &CorrectionState::Restated { run, position });
        let now = self.time;
        for patched in &patch.indexes {
            if patched.is_revised {
                self.revised(patched.index, Cause::Correction, now, position);
            }
            self.touch_one(patched.index, Time::MIN);
        }
        let nothing = |index| Found {
            index,
            span: None,
            levels: 0,
            closes: 0,
            largest: None,
        };
        let mut all: BTreeMap<IndexId, Found> = patch
            .indexes
            .iter()
            .map(|p| (p.index, nothing(p.index)))
            .collect();
        all.extend(found.iter().map(|found| (found.index, *found)));
        for (index, found) in all {
            let after = self.indexes.get(index.at()).and_then(last_level);
            self.outputs.push_back(Output::Restated(Restated {
                index,
                run,
                span: found.span,
                levels: found.levels,
                closes: found.closes,
                largest: found.largest,
                before: before.get(index.at()).copied().flatten(),
                after,
                position,
            }));
        }
        self.publish_each_tick(position);
    }
}

fn last_level(index: &Index) -> Option<Decimal> {
    index.last.map(|last| last.level)
}
