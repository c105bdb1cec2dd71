//! Prices as they came, with what became of them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::Decimal;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::span::{Cursor, SpanParameters, decimal, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::session::{Caller, allow};
use crate::store::{Numeric, Stamp};

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// By the number in the table.
const EFFECTS: [&str; 7] = [
    "applied",
    "late",
    "duplicate",
    "held",
    "refused",
    "outranked",
    "after_close",
];

/// A price.
#[derive(Debug, Clone, Serialize)]
struct Price {
    ts: String,
    price: Decimal,
    size: Option<Decimal>,
    venue: Option<String>,
    src: Option<String>,
    /// As texts: they use all 64 bits, and JavaScript's numbers do not.
    inc: Option<String>,
    seq: Option<String>,
    effect: &'static str,
    pos: u64,
}

impl Record for Price {
    const COLUMNS: &'static [&'static str] = &[
        "ts", "price", "size", "venue", "src", "inc", "seq", "effect", "pos",
    ];
}

/// `GET api/v1/securities/{symbol}/prices`
pub(in crate::http) async fn prices(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path(symbol): Path<String>,
    form: Form,
    uri: Uri,
    Query(parameters): Query<SpanParameters>,
) -> Result<Response, Problem> {
    allow(caller.may_see_security(&symbol))?;
    let span = parameters.read(LIMIT.0, LIMIT.1)?;
    let asked = symbol.clone();
    let id = http
        .sequence
        .ask(move |sight| sight.engine.security_once(&asked));
    let id =
        (id.await?).ok_or_else(|| Problem::not_found(format!("there is no security {symbol}")))?;
    let last = span.is_from_the_end();
    let order = if last { "desc" } else { "asc" };
    let sql = format!(
        "select t.ts, t.ts_nanos, t.price, t.size, v.text, l.text, t.inc, t.seq, t.effect, \
         t.position from (select * from price_tick where security_id = $1 and ts >= $2 \
         and ts < $3 and (ts, position) > ($2, $4) order by ts {order}, position {order} \
         limit {}) t left join label l on l.id = t.src left join label v on v.id = t.venue \
         order by t.ts {order}, t.position {order}",
        span.limit + 1
    );
    let begin = span.begin();
    let found = History::of(&http)?
        .query(
            &sql,
            &[
                (&id.0.cast_signed(), Type::INT4),
                (&Stamp(begin.ts), Type::TIMESTAMPTZ),
                (&Stamp(span.to), Type::TIMESTAMPTZ),
                (&begin.number, Type::INT8),
            ],
        )
        .await?;
    let is_more = found.len() > span.limit && !last;
    let kept = found.iter().take(span.limit).map(read);
    let mut kept = kept.collect::<Result<Vec<_>, _>>()?;
    if last {
        kept.reverse();
    }
    let next = kept.last().filter(|_| is_more);
    let next = next.map(|(cursor, _)| cursor.to_string());
    let page = Rows {
        rows: kept.into_iter().map(|(_, price)| price).collect(),
        next,
    };
    answer::rows(form, &page, "cursor", &uri)
}

fn read(row: &Row) -> Result<(Cursor, Price), Problem> {
    let unsigned = |column| {
        let bits: Option<i64> = get(row, column)?;
        Ok(bits.map(|bits| bits.cast_unsigned().to_string()))
    };
    let effect: i16 = get(row, 8)?;
    let effect = usize::try_from(effect).ok().and_then(|at| EFFECTS.get(at));
    let position: i64 = get(row, 9)?;
    let Numeric(price) = get(row, 2)?;
    let stamp: Stamp = get(row, 0)?;
    let cursor = Cursor {
        ts: stamp.0,
        number: position,
    };
    let price = Price {
        ts: time_at(row, 0)?.to_string(),
        price,
        size: decimal(row, 3)?,
        venue: get(row, 4)?,
        src: get(row, 5)?,
        inc: unsigned(6)?,
        seq: unsigned(7)?,
        effect: effect.copied().unwrap_or("refused"),
        pos: position.cast_unsigned(),
    };
    Ok((cursor, price))
}
