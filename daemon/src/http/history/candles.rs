//! Candles: of the store's own where they fit, of the levels where they are shorter.
//!
//! | step | made of | read at the most |
//! |---|---|---|
//! | 1h, 1d | candles of an hour | 24 for each |
//! | 1m, 5m, 15m | candles of a minute | 15 for each |
//! | 1s, 5s | levels | 40,000 of `limit` steps of time |
//!
//! Candles as of a time that is not now are made of levels, whatever their step: the store's own are
//! those of now. So the work of an answer is bounded by its limit and not by the range that is asked for. A page of
//! the shortest ends earlier where levels are dense, and the cursor goes on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::{Decimal, Time};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::as_of::{AsOf, Of, counts};
use super::span::{Cursor, Named, Span, get};
use crate::http::Http;
use crate::http::answer::{self, Form, Record};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::store::{Numeric, Stamp};

const NANOS: i64 = 1_000_000_000;

/// Levels that an answer reads at the most, but for a single candle of more: 40,000 take PostgreSQL
/// about 0.1 s.
const LEVELS_MAX: usize = 40_000;

/// A length of candles: its name, its seconds, those of what it is made of (0: levels), and how many
/// there are on a page usually and at the most.
#[derive(Debug, Clone, Copy)]
struct Step {
    name: &'static str,
    seconds: i64,
    of: i64,
    limit: (usize, usize),
}

/// So that no page is made of more than 30,000 candles.
const MADE: (usize, usize) = (2_000, 2_000);
const LONG: (usize, usize) = (2_000, 5_000);
const SHORT: (usize, usize) = (2_000, 3_600);

const STEPS: [Step; 7] = [
    Step::new("1s", 1, 0, SHORT),
    Step::new("5s", 5, 0, SHORT),
    Step::new("1m", 60, 60, LONG),
    Step::new("5m", 300, 60, LONG),
    Step::new("15m", 900, 60, MADE),
    Step::new("1h", 3_600, 3_600, LONG),
    Step::new("1d", 86_400, 3_600, LONG),
];

impl Step {
    const fn new(name: &'static str, seconds: i64, of: i64, limit: (usize, usize)) -> Self {
        Self {
            name,
            seconds,
            of,
            limit,
        }
    }

    /// The beginning of the candle that a time falls in.
    const fn floor(&self, time: Time) -> Time {
        let length = self.seconds * NANOS;
        Time::from_nanos(time.as_nanos().div_euclid(length).saturating_mul(length))
    }
}

/// The parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Parameters {
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
    as_of: Option<String>,
}

/// A candle.
#[derive(Debug, Clone, Serialize)]
struct Candle {
    ts: String,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    count: i64,
}

impl Record for Candle {
    const COLUMNS: &'static [&'static str] = &["ts", "open", "high", "low", "close", "count"];
}

/// The JSON of a page.
#[derive(Debug, Serialize)]
struct Candles<'a> {
    step: &'static str,
    rows: &'a [Candle],
    next: Option<&'a str>,
}

/// `GET api/v1/indexes/{code}/candles`
pub(in crate::http) async fn candles(
    State(http): State<Arc<Http>>,
    named: Named,
    form: Form,
    uri: Uri,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Problem> {
    let name = parameters.step.as_deref().unwrap_or("1m");
    let step = STEPS.iter().find(|step| step.name == name);
    let step = step
        .ok_or_else(|| Problem::bad_request("step must be one of 1s, 5s, 1m, 5m, 15m, 1h, 1d"))?;
    let span = super::span::SpanParameters {
        from: parameters.from,
        to: parameters.to,
        cursor: parameters.cursor,
        limit: parameters.limit,
    };
    let span = span.read(step.limit.0, step.limit.1)?;
    let history = History::of(&http)?;
    let as_of = AsOf::read(parameters.as_of.as_deref())?;
    let (found, next) = if step.of == 0 || !as_of.is_now() {
        let levels = Levels {
            history,
            named: &named,
            as_of,
        };
        short(&levels, step, &span).await?
    } else {
        long(history, &named, step, &span).await?
    };
    let next = next.map(|time| {
        Cursor {
            ts: time,
            number: 0,
        }
        .to_string()
    });
    answer::page(
        form,
        &Candles {
            step: step.name,
            rows: &found,
            next: next.as_deref(),
        },
        &found,
        next.as_deref().map(|next| ("cursor", next)),
        &uri,
    )
}

/// Where reading begins: the candle that `from` falls in is whole.
fn begin(step: &Step, span: &Span) -> Time {
    span.cursor.map_or_else(
        || step.floor(span.from.unwrap_or(Time::MIN)),
        |cursor| cursor.ts,
    )
}

/// Candles made of the store's candles.
async fn long(
    history: &History,
    named: &Named,
    step: &Step,
    span: &Span,
) -> Result<(Vec<Candle>, Option<Time>), Problem> {
    let last = span.is_from_the_end();
    let order = if last { "desc" } else { "asc" };
    // Enough for the page and for one candle more, which tells whether it goes on.
    let parts = (span.limit + 1) * usize::try_from(step.seconds / step.of).unwrap_or(1);
    let sql = format!(
        "select bin, (array_agg(open order by ts))[1], max(high), min(low), \
         (array_agg(close order by ts desc))[1], sum(levels)::int8 \
         from (select ts, open, high, low, close, levels, \
               date_bin(make_interval(secs => $5), ts, timestamptz '2000-01-01 00:00:00+00') as bin \
               from candle where index_id = $1 and step = $2 and ts >= $3 and ts < $4 \
               order by ts {order} limit {parts}) part \
         group by bin order by bin {order} limit {}",
        span.limit + 1
    );
    let begin = begin(step, span);
    let rows = history
        .query(
            &sql,
            &[
                (&named.key(), Type::INT4),
                (&(i32::try_from(step.of).unwrap_or_default()), Type::INT4),
                (&Stamp(begin), Type::TIMESTAMPTZ),
                (&Stamp(span.to), Type::TIMESTAMPTZ),
                (&(step.seconds as f64), Type::FLOAT8),
            ],
        )
        .await?;
    let is_more = rows.len() > span.limit;
    let mut found = rows
        .iter()
        .take(span.limit)
        .map(read)
        .collect::<Result<Vec<_>, _>>()?;
    let mut next = None;
    if last {
        found.reverse();
    } else if is_more && let Some(row) = rows.last() {
        next = Some(get::<Stamp>(row, 0)?.0);
    }
    Ok((found, next))
}

/// Candles made of levels: those of a window of `limit` steps, and of [`LEVELS_MAX`] levels.
async fn short(
    levels: &Levels<'_>,
    step: &Step,
    span: &Span,
) -> Result<(Vec<Candle>, Option<Time>), Problem> {
    let window = i64::try_from(span.limit)
        .unwrap_or(i64::MAX)
        .saturating_mul(step.seconds * NANOS);
    let Some((first, last)) = levels.ends(step, span).await? else {
        return Ok((Vec::new(), None));
    };
    let (begin, end) = if span.is_from_the_end() {
        let begin = step
            .floor(last)
            .saturating_add(step.seconds * NANOS - window);
        (begin.max(first), span.to)
    } else {
        // Behind a night without levels the page begins with the next level.
        let begin = step.floor(first);
        (begin, begin.saturating_add(window).min(span.to))
    };
    let last_only = span.is_from_the_end();
    let mut part = levels
        .candles(step, (begin, end), last_only, LEVELS_MAX)
        .await?;
    let mut cut = None;
    if part.is_cut {
        // The candle at the edge lacks levels: it belongs to the next page, or stands alone.
        let edge = if last_only { 0 } else { part.bins.len() - 1 };
        let bin = part.bins[edge];
        if part.bins.len() > 1 {
            part.bins.remove(edge);
            part.candles.remove(edge);
            cut = Some(bin);
        } else {
            let behind = bin.saturating_add(step.seconds * NANOS).min(end);
            let whole = (bin.max(begin), behind);
            part = levels.candles(step, whole, last_only, usize::MAX).await?;
            cut = Some(behind);
        }
    }
    let end = cut.unwrap_or(end);
    let goes_on = !last_only && end < span.to && end <= last;
    Ok((part.candles, goes_on.then_some(end)))
}

/// Candles of levels, and where each begins.
struct Part {
    candles: Vec<Candle>,
    bins: Vec<Time>,
    /// There were more levels than might be read.
    is_cut: bool,
}

/// The levels of an index as of a time.
struct Levels<'a> {
    history: &'a History,
    named: &'a Named,
    as_of: AsOf,
}

impl Levels<'_> {
    /// Candles of the first levels, or of the last, from one time to another.
    async fn candles(
        &self,
        step: &Step,
        (begin, end): (Time, Time),
        last_only: bool,
        levels_max: usize,
    ) -> Result<Part, Problem> {
        let order = if last_only { "desc" } else { "asc" };
        let most = i64::try_from(levels_max).unwrap_or(i64::MAX);
        let sql = format!(
            "with part as materialized ( \
                 select ts, seq, run, level from index_level l \
                 where index_id = $1 and ts >= $2 and ts < $3 and {} \
                 order by ts {order}, seq {order}, run {order} limit $5 \
             ), kept as ( \
                 select distinct on (ts, seq) ts, seq, level from part order by ts, seq, run desc \
             ) \
             select date_bin(make_interval(secs => $4), ts, timestamptz '2000-01-01 00:00:00+00') as bin, \
                    (array_agg(level order by ts, seq))[1], max(level), min(level), \
                    (array_agg(level order by ts desc, seq desc))[1], count(*), \
                    (select count(*) from part) = $5 \
             from kept group by bin order by bin",
            counts(Of::Levels, "l", "$6")
        );
        let rows = self
            .history
            .query(
                &sql,
                &[
                    (&self.named.key(), Type::INT4),
                    (&Stamp(begin), Type::TIMESTAMPTZ),
                    (&Stamp(end), Type::TIMESTAMPTZ),
                    (&(step.seconds as f64), Type::FLOAT8),
                    (&most, Type::INT8),
                    (&Stamp(self.as_of.0), Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        let is_cut = rows.first().map_or(Ok(false), |row| get(row, 6))?;
        let bin = |row| Ok(get::<Stamp>(row, 0)?.0);
        Ok(Part {
            candles: rows.iter().map(read).collect::<Result<_, _>>()?,
            bins: rows.iter().map(bin).collect::<Result<_, Problem>>()?,
            is_cut,
        })
    }

    /// The first and the last level of a span.
    async fn ends(&self, step: &Step, span: &Span) -> Result<Option<(Time, Time)>, Problem> {
        let counts = counts(Of::Levels, "l", "$4");
        let edge = |order: &str| {
            format!(
                "(select ts from index_level l where index_id = $1 and ts >= $2 and ts < $3 \
                  and {counts} order by ts {order} limit 1)"
            )
        };
        let sql = format!("{} union all {}", edge("asc"), edge("desc"));
        let rows = self
            .history
            .query(
                &sql,
                &[
                    (&self.named.key(), Type::INT4),
                    (&Stamp(begin(step, span)), Type::TIMESTAMPTZ),
                    (&Stamp(span.to), Type::TIMESTAMPTZ),
                    (&Stamp(self.as_of.0), Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        let [first, last] = rows.as_slice() else {
            return Ok(None);
        };
        let (first, last): (Stamp, Stamp) = (get(first, 0)?, get(last, 0)?);
        Ok(Some((first.0.min(last.0), last.0.max(first.0))))
    }
}

fn read(row: &Row) -> Result<Candle, Problem> {
    let value = |column| get::<Numeric>(row, column).map(|Numeric(value)| value);
    Ok(Candle {
        ts: get::<Stamp>(row, 0)?.0.to_string(),
        open: value(1)?,
        high: value(2)?,
        low: value(3)?,
        close: value(4)?,
        count: get(row, 5)?,
    })
}
