//! The past as it should have been, batch by batch.

use super::merge::LateInputs;
use super::{Correction, CorrectionState, Corrections, Edit, Edits};
use crate::input::{Batch, Input};
use crate::output::Output;
use crate::{Engine, IndexId, Position, Time};

/// A state of the past on its way to the corrected present.
///
/// Where late prices count it goes in two columns: with them, for the indexes that restate late
/// prices, and without, for all others.
#[derive(Debug, Clone)]
pub struct Walk {
    engine: Engine,
    kept: Option<Box<Engine>>,
    edits: Edits,
    late: LateInputs,
}

impl Walk {
    /// From a state on, with edits that it has not, and what was read at the positions of
    /// [`Edits::late`]; none where the state has passed the time of one of these.
    #[must_use]
    pub fn new(from: Engine, edits: Edits, late: &[(Position, Input)]) -> Option<Self> {
        let late = LateInputs::new(&edits, late);
        if late
            .earliest()
            .is_some_and(|time| time <= from.newest_restating())
        {
            return None;
        }
        let kept = (!late.is_empty()).then(|| Box::new(from.clone()));
        Some(Self {
            engine: from,
            kept,
            edits,
            late,
        })
    }

    /// The state behind the last batch, as the indexes see it that restate the most.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The state that an index of the present sees.
    pub(super) fn of(&self, present: &Engine, id: IndexId) -> &Engine {
        match &self.kept {
            Some(kept) if !present.restates_late(id) => kept,
            _ => &self.engine,
        }
    }

    /// Goes one batch of the sequence further.
    pub fn apply(&mut self, batch: &Batch) {
        if let Some(kept) = &mut self.kept {
            kept.apply_edited(batch, &self.edits, &mut LateInputs::default());
        }
        self.engine.apply_edited(batch, &self.edits, &mut self.late);
    }

    /// The next effect of the batches applied so far; each index tells its own.
    pub fn poll_output(&mut self) -> Option<Output> {
        let Some(kept) = &mut self.kept else {
            return self.engine.poll_output();
        };
        while let Some(output) = self.engine.poll_output() {
            let of = index_of(&output);
            if of.is_none_or(|id| self.engine.restates_late(id)) {
                return Some(output);
            }
        }
        while let Some(output) = kept.poll_output() {
            let of = index_of(&output);
            if matches!(output, Output::Refused { .. })
                || of.is_some_and(|id| !self.engine.restates_late(id))
            {
                return Some(output);
            }
        }
        None
    }
}

/// The index that an output is of, where it is a figure of one.
const fn index_of(output: &Output) -> Option<IndexId> {
    match output {
        Output::Level(level) => Some(level.index),
        Output::Closed(closed) => Some(closed.level.index),
        Output::Quotation(quotation) => Some(quotation.index),
        Output::Revised(revised) => Some(revised.index),
        Output::Status { index, .. } => Some(*index),
        Output::Restated(restated) => Some(restated.index),
        Output::Tick { .. }
        | Output::Action(_)
        | Output::Life(_)
        | Output::Held(_)
        | Output::RunFailed { .. }
        | Output::Refused { .. } => None,
    }
}

impl Corrections {
    /// What a walk from a state of the past to a run still has to edit; none where the state holds
    /// what no longer is, or has passed a place that is to be edited: the walk must begin before it
    /// then. Late inputs have their places by their times, which [`Walk::new`] looks at.
    ///
    /// Runs that had ended by the state are in it.
    #[must_use]
    pub fn edits_from(&self, state: &Engine, through: u32) -> Option<Edits> {
        let had_ended = |c: &Correction| {
            let there = state.corrections.get(c.run);
            there.is_some_and(|c| matches!(c.state, CorrectionState::Restated { .. }))
        };
        let standing = self.standing(|c| c.run <= through);
        let there = self.standing(had_ended);
        if !there.is_subset(&standing) {
            return None;
        }
        let mut edits = Edits::default();
        for run in standing.difference(&there) {
            let Some(correction) = self.get(*run) else {
                continue;
            };
            let place = match &correction.stated.edit {
                Edit::Replace { position, .. } => *position,
                Edit::Insert { before, .. } => *before,
                Edit::Late { .. } | Edit::Withdraw { .. } => Position::MAX,
            };
            if place < state.next_position() {
                return None;
            }
            edits.add(*run, &correction.stated.edit);
        }
        Some(edits)
    }
}

impl Engine {
    /// The time behind which a late price can still come to its place: that of the newest input of
    /// all indexes that restate late prices, and of what they hold or have held.
    fn newest_restating(&self) -> Time {
        let ids = (0u32..).map(IndexId).take(self.indexes.len());
        let marks = ids
            .filter(|id| self.restates_late(*id))
            .map(|id| self.marks[id.at()].newest);
        let known = self.securities.iter().filter(|s| s.day_begun > Time::MIN);
        let prices = known.filter_map(|s| s.origin).map(|origin| origin.ts);
        marks.chain(prices).max().unwrap_or(Time::MIN)
    }
}
