//! The official closes of an index, each as it was told: calculated, and then final.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::History;
use super::as_of::{AsOf, Of, counts};
use super::span::{Named, decimal, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::store::Stamp;

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

const COLUMNS: &str = "day::text, level, prev_close, status, divisor, soq, revision, ts, ts_nanos, \
     seq, position, run";

/// Days, and how many at the most.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Days {
    from: Option<String>,
    to: Option<String>,
    limit: Option<u32>,
    as_of: Option<String>,
}

/// A close.
#[derive(Debug, Clone, Serialize)]
struct Close {
    day: String,
    level: Option<Decimal>,
    prev_close: Option<Decimal>,
    status: String,
    divisor: Option<Decimal>,
    soq: Option<Decimal>,
    rev: i32,
    ts: String,
    seq: u64,
    pos: u64,
    run: i32,
}

impl Record for Close {
    const COLUMNS: &'static [&'static str] = &[
        "day",
        "level",
        "prev_close",
        "status",
        "divisor",
        "soq",
        "rev",
        "ts",
        "seq",
        "pos",
        "run",
    ];
}

/// `GET api/v1/indexes/{code}/closes`: the last days, the oldest of them first, each as it was right
/// as of a time.
pub(in crate::http) async fn closes(
    State(http): State<Arc<Http>>,
    named: Named,
    form: Form,
    uri: Uri,
    Query(days): Query<Days>,
) -> Result<Response, Problem> {
    let limit = query::limit(days.limit, LIMIT.0, LIMIT.1)?;
    let from = date("from", days.from.as_deref())?;
    let to = date("to", days.to.as_deref())?;
    let AsOf(as_of) = AsOf::read(days.as_of.as_deref())?;
    // Of each day the last word.
    let sql = format!(
        "select distinct on (day) {COLUMNS} from official_close l \
         where index_id = $1 and day >= coalesce($2::text::date, '-infinity') \
         and day < coalesce($3::text::date, 'infinity') and {} \
         order by day desc, position desc, run desc limit {}",
        counts(Of::Closes, "l", "$4"),
        limit + 1
    );
    let found = History::of(&http)?
        .query(
            &sql,
            &[
                (&named.key(), Type::INT4),
                (&from, Type::TEXT),
                (&to, Type::TEXT),
                (&Stamp(as_of), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let mut rows = Vec::with_capacity(found.len().min(limit));
    for row in found.iter().take(limit) {
        rows.push(Close {
            day: get(row, 0)?,
            level: decimal(row, 1)?,
            prev_close: decimal(row, 2)?,
            status: get(row, 3)?,
            divisor: decimal(row, 4)?,
            soq: decimal(row, 5)?,
            rev: get(row, 6)?,
            ts: time_at(row, 7)?.to_string(),
            seq: get::<i64>(row, 9)?.cast_unsigned(),
            pos: get::<i64>(row, 10)?.cast_unsigned(),
            run: get(row, 11)?,
        });
    }
    // Backwards: older days end before the first of this page.
    let next = rows.last().filter(|_| found.len() > limit);
    let next = next.map(|close| close.day.clone());
    rows.reverse();
    answer::rows(form, &Rows { rows, next }, "to", &uri)
}

/// A day as PostgreSQL reads it.
fn date(name: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let parse = |text: &str| {
        let day: Result<jiff::civil::Date, _> = text.parse();
        day.map(|day| day.to_string())
            .map_err(|_| Problem::bad_request(format!("{name} must be a date like 2026-01-05")))
    };
    text.map(parse).transpose()
}
