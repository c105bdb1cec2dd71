//! From when to when, and where a page goes on.

use axum::extract::{FromRequestParts, Path};
use divisor_engine::{IndexId, Time};
use serde::Deserialize;
use tokio_postgres::Row;

use crate::http::Http;
use crate::http::problem::Problem;
use crate::http::query;
use crate::http::session::{Caller, allow};
use crate::store::{Numeric, Stamp};

/// The parameters of a time series.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanParameters {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<u32>,
}

/// A part of a time series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The first time; none asks for the last rows.
    pub(super) from: Option<Time>,
    /// The first time that is left out.
    pub(super) to: Time,
    /// Behind this row.
    pub(super) cursor: Option<Cursor>,
    pub(super) limit: usize,
}

/// The place of a row: its time to the microsecond, and its number among equal times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) ts: Time,
    pub(super) number: i64,
}

impl SpanParameters {
    pub(super) fn read(&self, usual: usize, most: usize) -> Result<Span, Problem> {
        let cursor = self.cursor.as_deref().map(|text| {
            Cursor::parse(text).ok_or_else(|| Problem::bad_request("cursor is none of ours"))
        });
        let span = Span {
            from: query::time("from", self.from.as_deref())?,
            to: query::time("to", self.to.as_deref())?.unwrap_or(Time::MAX),
            cursor: cursor.transpose()?,
            limit: query::limit(self.limit, usual, most)?,
        };
        if span.from.is_some_and(|from| from > span.to) {
            return Err(Problem::bad_request("from must not be behind to"));
        }
        Ok(span)
    }
}

impl Span {
    /// True when the last rows are wanted rather than the first.
    pub(super) const fn is_from_the_end(&self) -> bool {
        self.from.is_none() && self.cursor.is_none()
    }

    /// Where reading begins, the cursor's row left out.
    pub(super) fn begin(&self) -> Cursor {
        let from = self.from.unwrap_or(Time::MIN);
        let start = Cursor {
            ts: from,
            number: i64::MIN,
        };
        self.cursor
            .filter(|cursor| cursor.ts >= from)
            .unwrap_or(start)
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (micros, number) = text.split_once('.')?;
        let micros: i64 = micros.parse().ok()?;
        Some(Self {
            ts: Time::from_nanos(micros.checked_mul(1_000)?),
            number: number.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}",
            self.ts.as_nanos().div_euclid(1_000),
            self.number
        )
    }
}

/// The index of a path.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) id: IndexId,
    pub(super) code: String,
}

impl Named {
    /// PostgreSQL's id is the engine's.
    pub(super) const fn key(&self) -> i32 {
        self.id.0.cast_signed()
    }
}

impl FromRequestParts<std::sync::Arc<Http>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        http: &std::sync::Arc<Http>,
    ) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, http).await?;
        let path = Path::<String>::from_request_parts(parts, http).await;
        let Path(code) = path.map_err(|error| Problem::bad_request(error.to_string()))?;
        allow(caller.may_see_index(&code))?;
        let found = match http.board.line(&code) {
            Some(found) => Some(found),
            None => {
                let _ = http.board.refresh(&http.sequence, false).await;
                http.board.line(&code)
            }
        };
        if let Some((id, _)) = found {
            return Ok(Self { id, code });
        }
        // What was deleted or renamed keeps its history under the code it had.
        let asked = code.clone();
        let once = http.sequence.ask(move |sight| {
            let id = sight.engine.index_once(&asked)?;
            Some((id, sight.engine.index_code(id)?.to_owned()))
        });
        match once.await? {
            Some((id, present)) => {
                allow(caller.may_see_index(&present))?;
                Ok(Self { id, code })
            }
            None => Err(Problem::not_found(format!("there is no index {code}"))),
        }
    }
}

/// A time of two columns: the microsecond, and the nanoseconds behind it.
pub(super) fn time_at(row: &Row, column: usize) -> Result<Time, Problem> {
    let stamp: Stamp = get(row, column)?;
    let nanos: i16 = get(row, column + 1)?;
    Ok(stamp.0.saturating_add(i64::from(nanos)))
}

/// A column; one that does not fit is a mistake of ours.
pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: usize,
) -> Result<T, Problem> {
    row.try_get(column)
        .map_err(|error| Problem::internal(&error))
}

/// A number that may be missing.
pub(super) fn decimal(
    row: &Row,
    column: usize,
) -> Result<Option<divisor_engine::Decimal>, Problem> {
    let value: Option<Numeric> = get(row, column)?;
    Ok(value.map(|Numeric(decimal)| decimal))
}
