//! The small lines of a list: for many indexes in one answer, the way to their last level.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use divisor_engine::{Decimal, Time};
use serde::Serialize;
use tokio_postgres::types::Type;

use super::History;
use super::span::get;
use crate::http::Http;
use crate::http::answer;
use crate::http::problem::Problem;
use crate::http::query;
use crate::http::session::Caller;
use crate::store::{Numeric, Stamp};

/// Indexes in one question: more than a window shows.
const INDEXES_MAX: usize = 100;

const NANOS: i64 = 1_000_000_000;

/// The last hours of an index: eight, in steps of five minutes, of the candles of a minute.
const HOURS: Window = Window {
    step: "5m",
    seconds: 300,
    span: 8 * 3_600,
    sql: "
select i.id, c.bin, c.close from unnest($1::int4[], $2::timestamptz[]) i(id, begin)
cross join lateral (
    select date_bin('5 minutes', ts, timestamptz '2000-01-01 00:00:00+00') as bin,
           (array_agg(close order by ts desc))[1] as close
    from candle where index_id = i.id and step = 60 and ts >= i.begin group by 1
) c order by 1, 2",
};

/// The last minutes of one that has just begun: seven, in steps of five seconds, of the levels.
const MINUTES: Window = Window {
    step: "5s",
    seconds: 5,
    span: 420,
    sql: "
select i.id, c.bin, c.level from unnest($1::int4[], $2::timestamptz[]) i(id, begin)
cross join lateral (
    select distinct on (bin)
           date_bin('5 seconds', ts, timestamptz '2000-01-01 00:00:00+00') as bin, level
    from level_now where index_id = i.id and ts >= i.begin
    order by bin, ts desc, seq desc, run desc
) c order by 1, 2",
};

/// Fewer points than this are no line: the shorter window is tried.
const ENOUGH: usize = 8;

struct Window {
    step: &'static str,
    seconds: i64,
    span: i64,
    sql: &'static str,
}

/// The line of an index.
#[derive(Debug, Clone, Serialize)]
struct Sparkline {
    code: String,
    /// `5m` or `5s`.
    step: &'static str,
    points: Vec<Point>,
}

/// The last level of a step that has one.
#[derive(Debug, Clone, Serialize)]
struct Point {
    ts: String,
    level: Decimal,
}

#[derive(Debug, Serialize)]
struct Sparklines {
    rows: Vec<Sparkline>,
}

/// `GET api/v1/sparklines?index=CODE&index=CODE`: what is not there, or may not be seen, is left out.
pub(in crate::http) async fn sparklines(
    State(http): State<Arc<Http>>,
    caller: Caller,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let history = History::of(&http)?;
    let codes = query::repeated("index", text.as_deref().unwrap_or_default())?;
    if codes.len() > INDEXES_MAX {
        let most = format!("at most {INDEXES_MAX} indexes at once");
        return Err(Problem::bad_request(most));
    }
    let _ = http.board.refresh(&http.sequence, false).await;
    let mut wanted: Vec<(String, i32, Time)> = Vec::new();
    for code in codes {
        let Some((id, line)) = http
            .board
            .line(&code)
            .filter(|_| caller.may_see_index(&code))
        else {
            continue;
        };
        let last = query::time("ts", line.ts.as_deref())?;
        wanted.extend(last.map(|last| (code, id.0.cast_signed(), last)));
    }
    let mut found = HOURS.read(history, &wanted).await?;
    let is_short = |id: &i32| found.get(id).map_or(0, Vec::len) < ENOUGH;
    let short = wanted.iter().filter(|(_, id, _)| is_short(id));
    let short: Vec<_> = short.cloned().collect();
    let mut fine = MINUTES.read(history, &short).await?;
    let rows = wanted.into_iter().map(|(code, id, _)| {
        let (hours, minutes) = (found.remove(&id), fine.remove(&id));
        let longer = minutes.filter(|some| some.len() > hours.as_ref().map_or(0, Vec::len));
        let (step, points) = match longer {
            Some(points) => (MINUTES.step, points),
            None => (HOURS.step, hours.unwrap_or_default()),
        };
        Sparkline { code, step, points }
    });
    answer::json(&Sparklines {
        rows: rows.collect(),
    })
}

impl Window {
    /// The points of this window before the last level of each index.
    async fn read(
        &self,
        history: &History,
        wanted: &[(String, i32, Time)],
    ) -> Result<HashMap<i32, Vec<Point>>, Problem> {
        let mut found: HashMap<i32, Vec<Point>> = HashMap::new();
        if wanted.is_empty() {
            return Ok(found);
        }
        let ids: Vec<i32> = wanted.iter().map(|(_, id, _)| *id).collect();
        // The last step is the one that the last level falls in.
        let begin = |last: &Time| {
            let floor = last.as_nanos().div_euclid(self.seconds * NANOS);
            let begin = floor.saturating_mul(self.seconds).saturating_sub(self.span);
            Stamp(Time::from_nanos(begin.saturating_mul(NANOS)))
        };
        let begins: Vec<Stamp> = wanted.iter().map(|(_, _, last)| begin(last)).collect();
        let parameters = [
            (&ids as _, Type::INT4_ARRAY),
            (&begins as _, Type::TIMESTAMPTZ_ARRAY),
        ];
        for row in &history.query(self.sql, &parameters).await? {
            let (Stamp(ts), Numeric(level)) = (get(row, 1)?, get(row, 2)?);
            let ts = ts.to_string();
            found
                .entry(get(row, 0)?)
                .or_default()
                .push(Point { ts, level });
        }
        Ok(found)
    }
}
