//! Where a walk begins: with the newest state of the past that has not passed what it corrects.

use std::collections::{BTreeMap, BTreeSet};

use divisor_engine::{CorrectionState, Corrections, Edit, Edits, Engine, Input, Position, Walk};
use postgres::Client;

use crate::snapshots::Snapshots;
use crate::store::{HistoryError, Kept, late_inputs};

/// A walk with everything that is right up to a run, from a state at or before a position.
pub(super) fn begin(
    client: &mut Client,
    snapshots: &Snapshots,
    corrections: &Corrections,
    through: u32,
    at_most: Position,
) -> Result<Walk, HistoryError> {
    let mut late = Late::default();
    let bound = at_most.min(first_place(corrections, through));
    let kept = Kept::read(client)?;
    let positions = snapshots.all_positions().unwrap_or_default();
    let of_use = |at: &Position| (kept.prices..=bound).contains(at);
    for position in positions.into_iter().rev().filter(of_use) {
        let state = match snapshots.read(position) {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(position, %error, "a walk cannot begin with a snapshot");
                continue;
            }
        };
        let Some(edits) = corrections.edits_from(&state, through) else {
            continue;
        };
        let inputs = late.of(client, &edits)?;
        if let Some(walk) = Walk::new(state, edits, &inputs) {
            tracing::debug!(position, through, "a walk begins with a state of the past");
            return Ok(walk);
        }
    }
    if kept.prices > 0 {
        let why = format!(
            "prices before position {} are not kept any more (store.keep_ticks), and no state of \
             the past is to be had",
            kept.prices
        );
        return Err(HistoryError::Rows { position: 0, why });
    }
    let edits = corrections.edits(through);
    let inputs = late.of(client, &edits)?;
    Walk::new(Engine::new(), edits, &inputs).ok_or_else(|| HistoryError::Rows {
        position: 0,
        why: "a late price is older than any".to_owned(),
    })
}

/// The first place that an open correction edits: no state behind it will do.
fn first_place(corrections: &Corrections, through: u32) -> Position {
    let open = corrections.all().iter().take(through as usize);
    let open = open.filter(|c| c.state == CorrectionState::Open);
    let place = |edit: &Edit| match edit {
        Edit::Replace { position, .. } => Some(*position),
        Edit::Insert { before, .. } => Some(*before),
        Edit::Late { .. } | Edit::Withdraw { .. } => None,
    };
    let places = open.filter_map(|c| place(&c.stated.edit));
    places.min().unwrap_or(Position::MAX)
}

/// Late inputs that have been read already, and their ranges.
#[derive(Default)]
struct Late {
    read: BTreeSet<(Position, Position)>,
    inputs: BTreeMap<Position, Input>,
}

impl Late {
    fn of(
        &mut self,
        client: &mut Client,
        edits: &Edits,
    ) -> Result<Vec<(Position, Input)>, HistoryError> {
        let unread = edits.late().filter(|range| !self.read.contains(range));
        let unread: Vec<_> = unread.collect();
        self.inputs.extend(late_inputs(client, &unread)?);
        self.read.extend(unread);
        let within = edits
            .late()
            .flat_map(|(from, until)| self.inputs.range(from..until));
        Ok(within
            .map(|(position, input)| (*position, input.clone()))
            .collect())
    }
}
