//! What an index consisted of: its revisions, and its composition at a time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::{Converted, Currency, Decimal, Time, shares};
use divisor_wire::command::IndexDetail;
use serde::{Deserialize, Serialize};

use super::as_of::AsOf;
use super::fx::Fx;
use super::past::{self, Basket, Made, Past, Until};
use super::span::Named;
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::Caller;
use crate::sequencer::queries;

/// Revisions of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// Places of a weight.
const WEIGHT_PLACES: u8 = 6;

/// Where a page begins, and which corrections count.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    after: Option<String>,
    limit: Option<u32>,
    as_of: Option<String>,
}

/// A revision.
#[derive(Debug, Clone, Serialize)]
struct Revision {
    revision: i32,
    /// Which run of corrections has made it; 0 is what was published.
    run: i32,
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
        "run",
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
    let as_of = AsOf::read(page.as_of.as_deref())?;
    let after = match page.after.as_deref() {
        None => (-1, -1),
        Some(text) => place(text).ok_or_else(|| Problem::bad_request("after is none of ours"))?,
    };
    let past = Past::of(&http, named.id, as_of).await?;
    let found = past.revisions(after, limit + 1).await?;
    let is_more = found.len() > limit;
    let last = found.iter().take(limit).next_back().filter(|_| is_more);
    let next = last.map(|(basket, _)| format!("{}.{}", basket.position, basket.revision));
    let row = |(basket, made): (Basket, Made)| Revision {
        revision: basket.revision,
        run: basket.run,
        effective: basket.effective.to_string(),
        cause: made.cause,
        divisor: basket.divisor,
        constituents: made.members,
        pos: basket.position.cast_unsigned(),
        note: made.note,
    };
    let rows = found.into_iter().take(limit).map(row).collect();
    answer::rows(form, &Rows { rows, next }, "after", &uri)
}

/// The place of a revision, as a page tells it.
fn place(text: &str) -> Option<(i64, i32)> {
    let (position, revision) = text.split_once('.')?;
    Some((position.parse().ok()?, revision.parse().ok()?))
}

/// Which composition; the one in force where neither is stated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    at: Option<String>,
    revision: Option<u32>,
    run: Option<u32>,
    as_of: Option<String>,
}

/// What an index consists of.
#[derive(Debug, Serialize)]
struct Composition {
    code: String,
    revision: u32,
    /// Which run of corrections has made the revision; 0 is what was published.
    run: u32,
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
    let at = query::time("at", which.at.as_deref())?;
    let as_of = AsOf::read(which.as_of.as_deref())?;
    if which.run.is_some() && which.revision.is_none() {
        return Err(Problem::bad_request("run needs a revision"));
    }
    let mut composition = match (at, which.revision) {
        (None, None) if as_of.is_now() => now(&http, named).await?,
        (at, None) => then(&http, named, at.unwrap_or(Time::MAX), as_of).await?,
        (None, Some(revision)) => fixed(&http, named, (revision, which.run), as_of).await?,
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
        run: 0,
        effective: None,
        divisor: detail.divisor,
        cash: Some(detail.cash),
        members: detail.members.iter().map(member).collect(),
    })
}

/// The composition that the last level before or at a time was made with, at the prices of that
/// level.
async fn then(http: &Http, named: Named, at: Time, as_of: AsOf) -> Result<Composition, Problem> {
    let past = Past::of(http, named.id, as_of).await?;
    let (level, basket) = past.level(at).await?.ok_or_else(|| {
        Problem::not_found(format!("{} had no level yet at that time", named.code))
    })?;
    composed(http, named, &past, &basket, level.until()).await
}

/// The composition as a revision fixed it, at the prices of that moment.
async fn fixed(
    http: &Http,
    named: Named,
    (revision, run): (u32, Option<u32>),
    as_of: AsOf,
) -> Result<Composition, Problem> {
    let as_of = if run == Some(0) {
        AsOf::PUBLISHED
    } else {
        as_of
    };
    let past = Past::of(http, named.id, as_of).await?;
    let number = i32::try_from(revision).unwrap_or(i32::MAX);
    let run = run.map(|run| i32::try_from(run).unwrap_or(i32::MAX));
    let basket = past.basket(number, run).await?.ok_or_else(|| {
        let of_run = run.map(|run| format!(" of run {run}")).unwrap_or_default();
        Problem::not_found(format!("{} has no revision {revision}{of_run}", named.code))
    })?;
    // In front of where it was made no price counts for it: its own do.
    let until = Until {
        ts: basket.effective,
        position: basket.position - 1,
        run: basket.run,
    };
    composed(http, named, &past, &basket, until).await
}

/// The members of a revision, at the prices and rates of a moment.
async fn composed(
    http: &Http,
    named: Named,
    past: &Past<'_>,
    basket: &Basket,
    until: Until,
) -> Result<Composition, Problem> {
    let inputs = past.inputs(until).await?;
    let found = inputs.members(basket).await?;
    let currencies: Vec<Currency> = found.iter().map(|member| member.currency).collect();
    let (id, own) = (named.id, currencies.clone());
    let fx = (http.sequence)
        .ask(move |sight| {
            let view = sight.engine.index(id)?;
            Some(Fx::of(view.definition, own.into_iter()))
        })
        .await?;
    let fx = fx.ok_or_else(|| Problem::not_found(format!("there is no index {}", named.code)))?;
    let rates = inputs.rates(&fx, basket).await?;
    let member = |member: past::Member| Member {
        symbol: member.symbol,
        coefficient: member.coefficient,
        price: member.price.map(queries::at_least_two_places),
        weight: None,
    };
    let mut members: Vec<Member> = found.into_iter().map(member).collect();
    weigh(&mut members, &currencies, &rates, basket.cash);
    Ok(Composition {
        revision: basket.revision.cast_unsigned(),
        run: basket.run.cast_unsigned(),
        effective: Some(basket.effective.to_string()),
        divisor: basket.divisor,
        cash: Some(basket.cash),
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
