//! What of the past was corrected, and what that has changed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::Decimal;
use divisor_wire::command::CorrectionRow;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::span::{decimal, get};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::{Caller, allow};
use crate::sequencer::corrections;
use crate::store::Stamp;

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// What a run covers, by index.
const COVERED: &str = "
select i.code, s.policy, s.from_ts, s.until_ts, s.levels, s.closes, s.largest,
       (select count(*) from basket b where b.index_id = s.index_id and b.run = s.run),
       r.recorded_at
from restatement s join correction_run r using (run)
join index_definition i on i.id = s.index_id
where s.run = $1 order by i.id";

/// Paging by run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    after: Option<u32>,
    limit: Option<u32>,
}

/// A correction: each row with all its columns.
#[derive(Debug, Clone, Serialize)]
struct Line {
    run: u32,
    /// What is corrected, in words.
    what: String,
    reason: String,
    by: String,
    time: String,
    /// `open`, `restated` or `failed`.
    state: String,
    /// The run whose rows have it; several corrections may share one.
    with: Option<u32>,
    /// Why it has failed.
    why: Option<String>,
}

impl Record for Line {
    const COLUMNS: &'static [&'static str] = &[
        "run", "what", "reason", "by", "time", "state", "with", "why",
    ];
}

impl From<CorrectionRow> for Line {
    fn from(row: CorrectionRow) -> Self {
        Self {
            run: row.run,
            what: row.what,
            reason: row.reason,
            by: row.by,
            time: row.time,
            state: row.state,
            with: row.with,
            why: row.why,
        }
    }
}

/// A correction with what it has changed.
#[derive(Debug, Serialize)]
struct Correction {
    #[serde(flatten)]
    line: Line,
    /// When its rows came to count.
    recorded: Option<String>,
    indexes: Vec<Covered>,
}

/// What the run of a correction has changed of an index.
#[derive(Debug, Serialize)]
struct Covered {
    code: String,
    /// `full`, or `closes` where intraday levels stay as they were published.
    policy: String,
    from: Option<String>,
    until: Option<String>,
    levels: i64,
    closes: i64,
    revisions: i64,
    largest: Option<Decimal>,
}

/// `GET api/v1/corrections`, to those who may see every index: it names what any is made of.
pub(in crate::http) async fn list(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    allow(caller.may_see_all_indexes())?;
    let limit = query::limit(page.limit, LIMIT.0, LIMIT.1)?;
    let after = page.after.map(|after| after.to_string());
    let found = (http.sequence)
        .ask(move |sight| corrections::list(sight.engine, after.as_deref(), limit))
        .await?;
    let page = Rows {
        rows: found.rows.into_iter().map(Line::from).collect(),
        next: found.next,
    };
    answer::rows(form, &page, "after", &uri)
}

/// `GET api/v1/corrections/{run}`, likewise.
pub(in crate::http) async fn one(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path(run): Path<String>,
    form: Form,
) -> Result<Response, Problem> {
    allow(caller.may_see_all_indexes())?;
    let missing = || Problem::not_found(format!("there is no correction {run}"));
    let number: u32 = run.parse().map_err(|_| missing())?;
    let row = (http.sequence)
        .ask(move |sight| corrections::one(sight.engine, number))
        .await?;
    let row = row.ok_or_else(missing)?;
    let found = match row.with {
        None => Vec::new(),
        Some(with) => {
            let with = with.cast_signed();
            let run = [(&with as _, Type::INT4)];
            History::of(&http)?.query(COVERED, &run).await?
        }
    };
    let recorded = |row: &Row| Ok::<_, Problem>(get::<Stamp>(row, 8)?.0.to_string());
    let indexes: Result<_, Problem> = found.iter().map(covered).collect();
    let correction = Correction {
        line: row.into(),
        recorded: found.first().map(recorded).transpose()?,
        indexes: indexes?,
    };
    answer::object(form, &correction)
}

fn covered(row: &Row) -> Result<Covered, Problem> {
    let time = |column| {
        let stamp: Option<Stamp> = get(row, column)?;
        Ok::<_, Problem>(stamp.map(|Stamp(time)| time.to_string()))
    };
    Ok(Covered {
        code: get(row, 0)?,
        policy: get(row, 1)?,
        from: time(2)?,
        until: time(3)?,
        levels: get(row, 4)?,
        closes: get(row, 5)?,
        largest: decimal(row, 6)?,
        revisions: get(row, 7)?,
    })
}
