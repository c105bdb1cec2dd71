//! Levels as they were published, or as they were restated since.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::span::{Cursor, Named, SpanParameters, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::store::{Numeric, Stamp};

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

const COLUMNS: &str = "ts, ts_nanos, ts_calc, ts_calc_nanos, level, seq, revision, status, stale, \
     position, run";

/// A level.
#[derive(Debug, Clone, Serialize)]
struct Level {
    ts: String,
    ts_calc: String,
    level: Decimal,
    seq: u64,
    rev: i32,
    status: String,
    stale: i32,
    pos: u64,
    run: i32,
}

impl Record for Level {
    const COLUMNS: &'static [&'static str] = &[
        "ts", "ts_calc", "level", "seq", "rev", "status", "stale", "pos", "run",
    ];
}

/// `GET api/v1/indexes/{code}/levels`
pub(in crate::http) async fn levels(
    State(http): State<Arc<Http>>,
    named: Named,
    form: Form,
    uri: Uri,
    Query(parameters): Query<SpanParameters>,
) -> Result<Response, Problem> {
    let span = parameters.read(LIMIT.0, LIMIT.1)?;
    let history = History::of(&http)?;
    let begin = span.begin();
    let (order, behind) = if span.is_from_the_end() {
        ("desc", "")
    } else {
        ("asc", "and (ts, seq) > ($2, $3)")
    };
    // One more than is wanted tells whether there are more.
    let sql = format!(
        "select {COLUMNS} from index_level where index_id = $1 and ts >= $2 and ts < $4 \
         and $3::int8 is not null {behind} order by ts {order}, seq {order}, run {order} \
         limit {}",
        span.limit + 1
    );
    let rows = history
        .query(
            &sql,
            &[
                (&named.key(), Type::INT4),
                (&Stamp(begin.ts), Type::TIMESTAMPTZ),
                (&begin.number, Type::INT8),
                (&Stamp(span.to), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let is_more = rows.len() > span.limit;
    let mut found = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if span.is_from_the_end() {
        found.truncate(span.limit);
        found.reverse();
    }
    let mut kept = last_runs(found);
    let mut next = None;
    if is_more && !span.is_from_the_end() {
        // The last one may have further runs behind the end of the page.
        kept.pop();
        next = kept.last().map(|(cursor, _)| cursor.to_string());
    }
    let page = Rows {
        rows: kept.into_iter().map(|(_, level)| level).collect(),
        next,
    };
    answer::rows(form, &page, "cursor", &uri)
}

/// Of each level the last run.
fn last_runs(found: Vec<(Cursor, Level)>) -> Vec<(Cursor, Level)> {
    let mut kept: Vec<(Cursor, Level)> = Vec::with_capacity(found.len());
    for (cursor, level) in found {
        match kept.last_mut() {
            Some(last) if last.0 == cursor => *last = (cursor, level),
            _ => kept.push((cursor, level)),
        }
    }
    kept
}

fn read(row: &Row) -> Result<(Cursor, Level), Problem> {
    let seq: i64 = get(row, 5)?;
    let stamp: Stamp = get(row, 0)?;
    let Numeric(level) = get(row, 4)?;
    let cursor = Cursor {
        ts: stamp.0,
        number: seq,
    };
    let level = Level {
        ts: time_at(row, 0)?.to_string(),
        ts_calc: time_at(row, 2)?.to_string(),
        level,
        seq: seq.cast_unsigned(),
        rev: get(row, 6)?,
        status: get(row, 7)?,
        stale: get(row, 8)?,
        pos: get::<i64>(row, 9)?.cast_unsigned(),
        run: get(row, 10)?,
    };
    Ok((cursor, level))
}
