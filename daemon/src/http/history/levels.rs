//! Levels as they were published, or as they were restated since.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::as_of::{AsOf, Of, counts};
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

/// The parameters of a series of levels.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Parameters {
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
    as_of: Option<String>,
}

impl Parameters {
    fn span(&self) -> SpanParameters {
        SpanParameters {
            from: self.from.clone(),
            to: self.to.clone(),
            cursor: self.cursor.clone(),
            limit: self.limit,
        }
    }
}

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
    Query(parameters): Query<Parameters>,
) -> Result<Response, Problem> {
    let AsOf(as_of) = AsOf::read(parameters.as_of.as_deref())?;
    let span = parameters.span().read(LIMIT.0, LIMIT.1)?;
    let history = History::of(&http)?;
    let begin = span.begin();
    let (order, behind) = if span.is_from_the_end() {
        ("desc", "")
    } else {
        ("asc", "and (ts, seq) > ($2, $3)")
    };
    // One more than is wanted tells whether there are more.
    let sql = format!(
        "select {COLUMNS} from index_level l where index_id = $1 and ts >= $2 and ts < $4 \
         and $3::int8 is not null {behind} and {} \
         order by ts {order}, seq {order}, run {order} limit {}",
        counts(Of::Levels, "l", "$5"),
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
                (&Stamp(as_of), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let is_more = rows.len() > span.limit;
    let mut found = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if span.is_from_the_end() {
        found.truncate(span.limit);
        found.reverse();
    }
    let mut next = None;
    if is_more && !span.is_from_the_end() {
        found.truncate(span.limit);
        next = found.last().map(|(cursor, _)| cursor.to_string());
    }
    let page = Rows {
        rows: found.into_iter().map(|(_, level)| level).collect(),
        next,
    };
    answer::rows(form, &page, "cursor", &uri)
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
