//! The rows of a run: staged under its number, counted all at once.

use std::collections::BTreeMap;

use divisor_engine::definition::Restate;
use divisor_engine::{IndexId, Time};
use postgres::{Client, Row};

use super::span::Span;
use super::walk::{Corrected, Covered};
use crate::store::{Numeric, PartitionUnit, RunWriter, Stamp, StoreError};

/// Rows that are written at once, about.
const STAGE_ROWS: usize = 20_000;

/// Deletes what an interrupted walk has left of a run.
pub(super) fn clear(client: &mut Client, run: u32) -> Result<(), StoreError> {
    let run = run.cast_signed();
    for sql in [
        "delete from index_level where run = $1 and run > 0",
        "delete from official_close where run = $1 and run > 0",
        "delete from basket_member where run = $1 and run > 0",
        "delete from basket where run = $1 and run > 0",
    ] {
        let deleted = client.execute(sql, &[&run]);
        deleted.map_err(StoreError::during("delete an unfinished run"))?;
    }
    Ok(())
}

/// The runs that count already, with the positions that their walks have begun with.
pub(super) fn finished(client: &mut Client) -> Result<BTreeMap<u32, u64>, StoreError> {
    let rows = client.query("select run, begun from correction_run", &[]);
    let rows = rows.map_err(StoreError::during("read the runs"))?;
    let run = |row: &Row| {
        let (run, begun) = (row.get::<_, i32>(0), row.get::<_, i64>(1));
        (run.cast_unsigned(), begun.cast_unsigned())
    };
    Ok(rows.iter().map(run).collect())
}

/// What runs before this one cover.
pub(super) fn covered(client: &mut Client, run: u32) -> Result<Covered, StoreError> {
    let sql = "select index_id, from_position, until_position from restatement where run < $1";
    let rows = client.query(sql, &[&run.cast_signed()]);
    let rows = rows.map_err(StoreError::during("read the restatements"))?;
    let mut covered = Covered::new();
    for row in &rows {
        let position = |column| row.get::<_, i64>(column).cast_unsigned();
        let of = covered
            .entry(row.get::<_, i32>(0).cast_unsigned())
            .or_default();
        of.push((position(1), position(2)));
    }
    Ok(covered)
}

/// The indexes that a run covers from before a position on.
pub(super) fn begun_before(
    client: &mut Client,
    run: u32,
    position: u64,
) -> Result<Vec<IndexId>, StoreError> {
    let sql = "select index_id from restatement where run = $1 and from_position < $2";
    let rows = client.query(sql, &[&run.cast_signed(), &position.cast_signed()]);
    let rows = rows.map_err(StoreError::during("read the restatements"))?;
    let index = |row: &Row| IndexId(row.get::<_, i32>(0).cast_unsigned());
    Ok(rows.iter().map(index).collect())
}

/// Writes what has gathered, if it is enough or the end.
pub(super) fn stage(
    writer: &mut RunWriter,
    corrected: &mut Corrected,
    unit: PartitionUnit,
    all: bool,
) -> Result<(), StoreError> {
    if corrected.rows.len() < STAGE_ROWS && !all {
        return Ok(());
    }
    writer.write(unit, &corrected.rows)?;
    corrected.rows.clear();
    Ok(())
}

/// Makes a run count from here on: its extent, and the candles of what it covers.
pub(super) fn finish(
    client: &mut Client,
    run: u32,
    position: u64,
    corrected: &Corrected,
) -> Result<(), StoreError> {
    let during = StoreError::during;
    let mut tx = client
        .transaction()
        .map_err(during("begin a transaction"))?;
    // The follower keeps candles too: nothing of it may come between.
    tx.execute("select position from projection for update", &[])
        .map_err(during("lock the projection"))?;
    tx.execute(
        "insert into correction_run (run, position, begun) values ($1, $2, $3)",
        &[
            &run.cast_signed(),
            &position.cast_signed(),
            &corrected.begun().cast_signed(),
        ],
    )
    .map_err(during("note a run"))?;
    for (index, span) in corrected.spans() {
        let (from, until) = times(span);
        tx.execute(
            "insert into restatement (run, index_id, policy, from_position, until_position, \
             from_ts, until_ts, levels, closes, largest) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                &run.cast_signed(),
                &index.0.cast_signed(),
                &span.policy.as_str(),
                &span.from.cast_signed(),
                &span.until.cast_signed(),
                &from,
                &until,
                &span.levels.cast_signed(),
                &span.closes.cast_signed(),
                &span.largest.map(Numeric),
            ],
        )
        .map_err(during("note what a run covers"))?;
    }
    for (index, span) in corrected.spans() {
        if span.policy == Restate::Full {
            tx.execute(
                "select remake_candles($1, $2)",
                &[&index.0.cast_signed(), &run.cast_signed()],
            )
            .map_err(during("restate the candles"))?;
        }
    }
    tx.commit().map_err(during("commit"))
}

fn times(span: &Span) -> (Option<Stamp>, Option<Stamp>) {
    let stamp = |time: Time| Stamp(time);
    (
        span.times.map(|(from, _)| stamp(from)),
        span.times.map(|(_, until)| stamp(until)),
    )
}
