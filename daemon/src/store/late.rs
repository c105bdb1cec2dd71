//! The late inputs of runs, by their positions.

use divisor_engine::{Input, Position};
use postgres::{Client, Row};

use super::error::StoreError;
use super::history::{self, HistoryError};
use super::read;

/// Ranges that are nearer to each other than this are read at once.
const GAP_MAX: u64 = 50_000;

const TICKS: &str = "select position, ts, ts_nanos, received, received_nanos, src, inc, seq, \
     effect, security_id, price, size, venue, kind from price_tick \
     where position >= $1 and position < $2";

const RATES: &str = "select position, ts, ts_nanos, received, received_nanos, src, inc, seq, \
     effect, base, quote, rate from fx_rate where position >= $1 and position < $2";

/// The prices and rates of ranges of positions, which are in order.
///
/// # Errors
/// [`HistoryError`].
pub(crate) fn late_inputs(
    client: &mut Client,
    ranges: &[(Position, Position)],
) -> Result<Vec<(Position, Input)>, HistoryError> {
    let places = history::places(client)?;
    let mut found = Vec::new();
    let mut rest = ranges;
    while let Some((from, mut until)) = rest.first().copied() {
        let is_near = |range: &&(Position, Position)| {
            let is_near = range.0 <= until.saturating_add(GAP_MAX);
            until = if is_near { range.1 } else { until };
            is_near
        };
        let count = rest.iter().take_while(is_near).count();
        let (near, behind) = rest.split_at(count);
        rest = behind;
        let within = (from, until);
        read(client, TICKS, within, near, &mut found, |row| {
            let row = read::tick_row(row)?;
            let position = row.origin.position;
            Ok((position, history::tick(&places, &row)))
        })?;
        read(client, RATES, within, near, &mut found, |row| {
            let row = read::rate_row(row)?;
            Ok((row.origin.position, history::rate(&row)))
        })?;
    }
    Ok(found)
}

fn read(
    client: &mut Client,
    sql: &str,
    (from, until): (Position, Position),
    ranges: &[(Position, Position)],
    found: &mut Vec<(Position, Input)>,
    of_row: impl Fn(&Row) -> Result<(Position, Result<Input, String>), postgres::Error>,
) -> Result<(), HistoryError> {
    let during = StoreError::during;
    let rows = client.query(sql, &[&from.cast_signed(), &until.cast_signed()]);
    for row in &rows.map_err(during("read the late prices"))? {
        let (position, input) = of_row(row).map_err(during("read a row"))?;
        let at = ranges.partition_point(|(from, _)| *from <= position);
        let range = at.checked_sub(1).and_then(|at| ranges.get(at));
        if range.is_some_and(|(_, until)| position < *until) {
            let input = input.map_err(|why| HistoryError::Rows { position, why })?;
            found.push((position, input));
        }
    }
    Ok(())
}
