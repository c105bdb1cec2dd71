//! What an index consisted of: its revisions, and its composition at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::{Decimal, Time};
use divisor_wire::command::IndexDetail;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::History;
use super::span::{Named, decimal, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::Caller;
use crate::sequencer::queries;
use crate::store::Stamp;

/// Revisions of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// Paging by number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    after: Option<i32>,
    limit: Option<u32>,
}

/// A revision.
#[derive(Debug, Clone, Serialize)]
struct Revision {
    revision: i32,
    effective: String,
    cause: String,
    divisor: Option<Decimal>,
    constituents: i64,
    pos: u64,
    note: Option<String>,
}

impl Record for Revision {
    const COLUMNS: &'static [&'static str] = &[
        "revision",
        "effective",
        "cause",
        "divisor",
        "constituents",
        "pos",
        "note",
    ];
}

/// `GET api/v1/indexes/{code}/revisions`
pub(in crate::http) async fn revisions(
    State(http): State<Arc<Http>>,
    named: Named,
    form: Form,
    uri: Uri,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let limit = query::limit(page.limit, LIMIT.0, LIMIT.1)?;
    let sql = format!(
        "select b.revision, b.effective, b.effective_nanos, coalesce(b.body ->> 'cause', ''), \
         b.divisor, (select count(*) from basket_member m where m.index_id = b.index_id \
         and m.revision = b.revision), b.position, b.body ->> 'note' \
         from basket b where b.index_id = $1 and b.revision > $2 order by b.revision limit {}",
        limit + 1
    );
    let after = page.after.unwrap_or(-1);
    let found = History::of(&http)?
        .query(&sql, &[(&named.key(), Type::INT4), (&after, Type::INT4)])
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found.iter().take(limit) {
        rows.push(Revision {
            revision: get(row, 0)?,
            effective: time_at(row, 1)?.to_string(),
            cause: get(row, 3)?,
            divisor: decimal(row, 4)?,
            constituents: get(row, 5)?,
            pos: get::<i64>(row, 6)?.cast_unsigned(),
            note: get(row, 7)?,
        });
    }
    let is_more = found.len() > limit;
    let next = rows.last().filter(|_| is_more);
    let next = next.map(|row| row.revision.to_string());
    answer::rows(form, &Rows { rows, next }, "after", &uri)
}

/// Which composition; the one in force where neither is stated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    at: Option<String>,
    revision: Option<u32>,
}

/// What an index consists of.
#[derive(Debug, Serialize)]
struct Composition {
    code: String,
    revision: u32,
    effective: Option<String>,
    divisor: Option<Decimal>,
    cash: Option<Decimal>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Serialize)]
struct Member {
    symbol: String,
    coefficient: Option<Decimal>,
    price: Option<Decimal>,
    weight: Option<Decimal>,
}

/// `GET api/v1/indexes/{code}/composition`
pub(in crate::http) async fn composition(
    State(http): State<Arc<Http>>,
    named: Named,
    caller: Caller,
    form: Form,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let mut composition = match (query::time("at", which.at.as_deref())?, which.revision) {
        (None, None) => now(&http, named).await?,
        (Some(at), None) => then(History::of(&http)?, named, at).await?,
        (None, Some(revision)) => fixed(History::of(&http)?, named, revision).await?,
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("state either at or revision"));
        }
    };
    for member in &mut composition.members {
        if !caller.may_see_member(&member.symbol) {
            (member.price, member.weight) = (None, None);
        }
    }
    answer::object(form, &composition)
}

/// The composition in force, with the last prices.
async fn now(http: &Http, named: Named) -> Result<Composition, Problem> {
    let code = named.code.clone();
    let detail: Result<IndexDetail, _> = http
        .sequence
        .ask(move |sight| queries::index_show(sight.engine, Some(&code)))
        .await?;
    let detail = detail.map_err(|error| Problem::not_found(error.message))?;
    let member = |row: &divisor_wire::command::MemberRow| Member {
        symbol: row.symbol.clone(),
        coefficient: row.coefficient,
        price: row.price,
        weight: row.weight,
    };
    Ok(Composition {
        code: named.code,
        revision: detail.row.rev,
        effective: None,
        divisor: detail.divisor,
        cash: Some(detail.cash),
        members: detail.members.iter().map(member).collect(),
    })
}

/// The composition that the last level before or at a time was made with, at the prices of then.
async fn then(history: &History, named: Named, at: Time) -> Result<Composition, Problem> {
    let index = (&named.key() as _, Type::INT4);
    let until = (&Stamp(at) as _, Type::TIMESTAMPTZ);
    let found = history
        .query(
            "select b.revision, b.effective, b.effective_nanos, b.divisor, \
             coalesce(b.cash, 0), i.currency from basket b \
             join index_definition i on i.id = b.index_id \
             where b.index_id = $1 and b.revision = (select l.revision from index_level l \
             where l.index_id = $1 and l.ts <= $2 order by l.ts desc, l.seq desc, l.run desc limit 1)",
            &[index.clone(), until.clone()],
        )
        .await?;
    let head = found.first().ok_or_else(|| {
        Problem::not_found(format!("{} had no level yet at that time", named.code))
    })?;
    composed(history, named, head, until).await
}

/// The composition as a revision fixed it, at the prices of that moment.
async fn fixed(history: &History, named: Named, revision: u32) -> Result<Composition, Problem> {
    let index = (&named.key() as _, Type::INT4);
    let number = i32::try_from(revision).unwrap_or(i32::MAX);
    let found = history
        .query(
            "select b.revision, b.effective, b.effective_nanos, b.divisor, \
             coalesce(b.cash, 0), i.currency from basket b \
             join index_definition i on i.id = b.index_id \
             where b.index_id = $1 and b.revision = $2",
            &[index, (&number, Type::INT4)],
        )
        .await?;
    let head = found
        .first()
        .ok_or_else(|| Problem::not_found(format!("{} has no revision {revision}", named.code)))?;
    // No price is that old.
    let until = (&Stamp(Time::MIN) as _, Type::TIMESTAMPTZ);
    composed(history, named, head, until).await
}

/// The members of the revision that a row names, at the prices until a time.
async fn composed(
    history: &History,
    named: Named,
    head: &tokio_postgres::Row,
    until: super::pool::Parameter<'_>,
) -> Result<Composition, Problem> {
    let index = (&named.key() as _, Type::INT4);
    let revision: i32 = get(head, 0)?;
    let rows = history
        .query(MEMBERS, &[index, until, (&revision, Type::INT4)])
        .await?;
    let mut members = Vec::with_capacity(rows.len());
    for row in &rows {
        members.push(Member {
            symbol: get(row, 0)?,
            coefficient: decimal(row, 1)?,
            price: decimal(row, 2)?.map(Decimal::normalized),
            weight: decimal(row, 3)?,
        });
    }
    Ok(Composition {
        revision: revision.cast_unsigned(),
        effective: Some(time_at(head, 1)?.to_string()),
        divisor: decimal(head, 3)?,
        cash: decimal(head, 4)?,
        members,
        code: named.code,
    })
}

/// Prices are the last that counted since the revision; where none has come, that of the revision. Weights are
/// told where every price is in the index's currency: the rates of then are not looked up.
const MEMBERS: &str = "
with member as (
    select s.id, s.symbol, s.currency, m.coefficient, coalesce(p.price, m.price) as price
    from basket_member m join security s on s.id = m.security_id
    left join lateral (
        select t.price from price_tick t
        where t.security_id = m.security_id and t.ts <= $2 and t.effect = 0
        and t.position >= (select position from basket where index_id = $1 and revision = $3)
        order by t.ts desc, t.position desc limit 1
    ) p on true
    where m.index_id = $1 and m.revision = $3
), total as (
    select sum(coefficient * price) + coalesce((select cash from basket
               where index_id = $1 and revision = $3), 0) as value,
           bool_and(price is not null and currency =
               (select currency from index_definition where id = $1)) as is_known
    from member
)
select symbol, coefficient, price,
       case when is_known and value <> 0 then round(coefficient * price / value, 6) end
from member, total order by id";
