//! Recomputes the rows of runs, for `divisord verify`.

use divisor_engine::{CorrectionState, Corrections, Engine, Walk};
use postgres::Client;

use super::walk::Corrected;
use super::write;
use crate::snapshots::Snapshots;
use crate::store::{History, HistoryError, Kept, late_inputs, run_rows};
use crate::verify::{Difference, VerifyError, run_difference};

/// How much has been compared.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) runs: u64,
    pub(crate) levels: u64,
    pub(crate) closes: u64,
    /// Runs whose prices are not kept any more.
    pub(crate) unkept: u64,
    /// The first thing that is not as it should be.
    pub(crate) difference: Option<Difference>,
}

/// Walks the history once for each run that counts, and puts what follows beside its rows.
///
/// # Errors
/// [`VerifyError`].
pub(crate) fn check(
    client: &mut Client,
    snapshots: &Snapshots,
    corrections: &Corrections,
) -> Result<Checked, VerifyError> {
    let mut checked = Checked::default();
    let kept = Kept::read(client).map_err(HistoryError::from)?;
    let finished = write::finished(client).map_err(HistoryError::from)?;
    for (run, begun) in finished {
        if !matches!(
            corrections.get(run).map(|c| &c.state),
            Some(CorrectionState::Restated { .. })
        ) {
            let what = format!("PostgreSQL has rows of run {run}, which has not ended");
            checked.difference = Some(Difference { position: 0, what });
            return Ok(checked);
        }
        let state = if kept.prices == 0 {
            Some(published(client, begun)?)
        } else {
            // Published, and compared already where the replay began before it.
            let state = (begun >= kept.prices).then(|| snapshots.read(begun).ok());
            state.flatten()
        };
        let Some(state) = state else {
            checked.unkept += 1;
            continue;
        };
        let walked = of_run(client, corrections, (run, kept), state, &mut checked);
        checked.difference = walked?;
        if checked.difference.is_some() {
            break;
        }
    }
    Ok(checked)
}

fn of_run(
    client: &mut Client,
    corrections: &Corrections,
    (run, kept): (u32, Kept),
    state: Engine,
    checked: &mut Checked,
) -> Result<Option<Difference>, VerifyError> {
    let Some(CorrectionState::Restated { position, .. }) = corrections.get(run).map(|c| &c.state)
    else {
        return Ok(None);
    };
    let begun = state.next_position();
    let begun_before = write::begun_before(client, run, kept.levels).map_err(HistoryError::from)?;
    let covered = write::covered(client, run).map_err(HistoryError::from)?;
    let stored = run_rows(client, run).map_err(HistoryError::from)?;
    let edits = corrections.edits_from(&state, run);
    let late = match &edits {
        Some(edits) => late_inputs(client, &edits.late().collect::<Vec<_>>())?,
        None => Vec::new(),
    };
    let Some(walk) = edits.and_then(|edits| Walk::new(state, edits, &late)) else {
        let what = format!("run {run} has begun behind what it corrects");
        return Ok(Some(Difference {
            position: begun,
            what,
        }));
    };
    let mut history = History::open(client, begun)?;
    let mut corrected = Corrected::new(run, walk, covered).from(kept.levels);
    for index in begun_before {
        corrected.cover(index, kept.levels);
    }
    while corrected.engine().next_position() < *position
        && let Some(stored) = history.next_batch()?
    {
        let batch = history.batch(&stored)?;
        if let Err(what) = corrected.step(&batch, &stored) {
            return Ok(Some(Difference {
                position: batch.first,
                what,
            }));
        }
    }
    let mut rows = std::mem::take(&mut corrected.rows);
    let mut stored = stored;
    let is_kept = |position: u64| position >= kept.levels;
    stored.levels.retain(|row| is_kept(row.position));
    stored.closes.retain(|row| is_kept(row.position));
    stored.revisions.retain(|row| is_kept(row.position));
    rows.levels
        .sort_by_key(|row| (row.index, row.position, row.seq));
    rows.closes
        .sort_by_key(|row| (row.index, row.position, row.seq));
    rows.revisions
        .sort_by_key(|row| (row.index, row.position, row.revision));
    checked.runs += 1;
    checked.levels += stored.levels.len() as u64;
    checked.closes += stored.closes.len() as u64;
    Ok(run_difference(&rows, &stored, corrected.engine()))
}

/// The state of the past at a position, as it was published.
fn published(client: &mut Client, position: u64) -> Result<Engine, VerifyError> {
    let mut engine = Engine::new();
    if position == 0 {
        return Ok(engine);
    }
    let mut history = History::open(client, 0)?;
    while engine.next_position() < position
        && let Some(stored) = history.next_batch()?
    {
        engine.apply(&history.batch(&stored)?);
        while engine.poll_output().is_some() {}
    }
    Ok(engine)
}
