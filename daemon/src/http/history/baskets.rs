//! What an index consisted of: its revisions, and its composition at a time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::{Converted, Currency, Decimal, Time, shares};
use divisor_wire::command::IndexDetail;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::History;
use super::fx::Fx;
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

/// Places of a weight.
const WEIGHT_PLACES: u8 = 6;

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
        (Some(at), None) => then(&http, named, at).await?,
        (None, Some(revision)) => fixed(&http, named, revision).await?,
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
async fn then(http: &Http, named: Named, at: Time) -> Result<Composition, Problem> {
    let history = History::of(http)?;
    let index = (&named.key() as _, Type::INT4);
    let until = (&Stamp(at) as _, Type::TIMESTAMPTZ);
    let found = history
        .query(
            "select b.revision, b.effective, b.effective_nanos, b.divisor, \
             coalesce(b.cash, 0), b.position from basket b \
             where b.index_id = $1 and b.revision = (select l.revision from index_level l \
             where l.index_id = $1 and l.run = 0 and l.ts <= $2 order by l.ts desc, l.seq desc limit 1)",
            &[index, until],
        )
        .await?;
    let head = found.first().ok_or_else(|| {
        Problem::not_found(format!("{} had no level yet at that time", named.code))
    })?;
    composed(http, named, head, (Stamp(at), Stamp(at))).await
}

/// The composition as a revision fixed it, at the prices of that moment.
async fn fixed(http: &Http, named: Named, revision: u32) -> Result<Composition, Problem> {
    let number = i32::try_from(revision).unwrap_or(i32::MAX);
    let found = History::of(http)?
        .query(
            "select b.revision, b.effective, b.effective_nanos, b.divisor, \
             coalesce(b.cash, 0), b.position from basket b \
             where b.index_id = $1 and b.revision = $2",
            &[(&named.key(), Type::INT4), (&number, Type::INT4)],
        )
        .await?;
    let head = found
        .first()
        .ok_or_else(|| Problem::not_found(format!("{} has no revision {revision}", named.code)))?;
    // No price is that old: those of the revision count.
    let effective: Stamp = get(head, 1)?;
    composed(http, named, head, (Stamp(Time::MIN), effective)).await
}

/// The members of the revision that a row names, at the prices until one time and the rates until
/// another.
async fn composed(
    http: &Http,
    named: Named,
    head: &tokio_postgres::Row,
    (prices, rates): (Stamp, Stamp),
) -> Result<Composition, Problem> {
    let history = History::of(http)?;
    let index = (&named.key() as _, Type::INT4);
    let until = (&prices as _, Type::TIMESTAMPTZ);
    let (revision, position): (i32, i64) = (get(head, 0)?, get(head, 5)?);
    let revision_of = [(&revision as _, Type::INT4), (&position as _, Type::INT8)];
    let rows = history
        .query(MEMBERS, &[&[index, until], &revision_of[..]].concat())
        .await?;
    let mut members = Vec::with_capacity(rows.len());
    let mut currencies = Vec::with_capacity(rows.len());
    for row in &rows {
        let currency: &str = get(row, 3)?;
        currencies.push(Currency::parse(currency).map_err(|error| Problem::internal(&error))?);
        members.push(Member {
            symbol: get(row, 0)?,
            coefficient: decimal(row, 1)?,
            price: decimal(row, 2)?.map(queries::at_least_two_places),
            weight: None,
        });
    }
    let cash = decimal(head, 4)?;
    let (id, own) = (named.id, currencies.clone());
    let fx = (http.sequence)
        .ask(move |sight| {
            let view = sight.engine.index(id)?;
            Some(Fx::of(view.definition, own.into_iter()))
        })
        .await?;
    let fx = fx.ok_or_else(|| Problem::not_found(format!("there is no index {}", named.code)))?;
    let of = (named.key(), revision);
    let rates = fx.rates(history, of, rates, i64::MAX).await?;
    weigh(
        &mut members,
        &currencies,
        &rates,
        cash.unwrap_or(Decimal::ZERO),
    );
    Ok(Composition {
        revision: revision.cast_unsigned(),
        effective: Some(time_at(head, 1)?.to_string()),
        divisor: decimal(head, 3)?,
        cash,
        members,
        code: named.code,
    })
}

/// Tells the weights, where every price and every rate is known.
fn weigh(
    members: &mut [Member],
    currencies: &[Currency],
    rates: &HashMap<Currency, Decimal>,
    cash: Decimal,
) {
    let part = |(member, currency): (&Member, &Currency)| {
        let rate = *rates.get(currency)?;
        let price = member.price?;
        Some((Converted { price, rate }, member.coefficient?))
    };
    let parts: Option<Vec<_>> = members.iter().zip(currencies).map(part).collect();
    let weights = parts.and_then(|parts| shares(&parts, cash, WEIGHT_PLACES));
    for (member, weight) in members.iter_mut().zip(weights.into_iter().flatten()) {
        member.weight = Some(weight);
    }
}

/// Prices are the last that counted, or those of the revision where none has come since: a split may
/// lie between. An index in the basket is its level.
const MEMBERS: &str = "
select s.symbol, m.coefficient,
       case when p.position >= $4 then p.price else coalesce(l.level, m.price, p.price) end,
       s.currency
from basket_member m join security s on s.id = m.security_id
left join lateral (
    select t.price, t.position from price_tick t
    where t.security_id = m.security_id and t.ts <= $2 and t.effect = 0
    order by t.ts desc, t.position desc limit 1
) p on true
left join lateral (
    select level from level_now
    where index_id = (select id from index_definition where s.symbol = 'indexes/' || code)
    and ts <= $2 order by ts desc, seq desc, run desc limit 1
) l on s.symbol like 'indexes/%'
where m.index_id = $1 and m.revision = $3 order by s.id";
