//! The arithmetic of a level of the past: its revision, the prices and rates that counted, the
//! divisor.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use divisor_engine::definition::IndexDefinition;
use divisor_engine::{Currency, Decimal, Part, SecurityId, explain};
use divisor_wire::command::{ExplainedLevel, IndexExplanation};
use serde::Deserialize;
use tokio_postgres::types::Type;

use super::History;
use super::fx::Fx;
use super::span::{Named, decimal, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::{Caller, allow};
use crate::sequencer::queries;
use crate::store::Stamp;

/// The parameter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct At {
    at: Option<String>,
}

/// A level as it was published, with the revision it was made with.
const LEVEL: &str = "
select l.ts, l.ts_nanos, l.seq, l.level, l.status, l.position, l.revision,
       b.divisor, coalesce(b.cash, 0), b.position
from index_level l join basket b using (index_id, revision)
where l.index_id = $1 and l.ts <= $2 and l.run = 0
order by l.ts desc, l.seq desc limit 1";

/// The members of revision $2 of index $1 with the prices that counted at position $4. Of a
/// security that is the newest price by its time, unless an official close (which may be older than
/// trades) or a price that an operator has released came into force behind it; of an index its
/// level; and what the revision was made with where none has come since ($5).
const MEMBERS: &str = "
select s.id, s.symbol, s.currency, m.coefficient, coalesce(p.price, m.price)
from basket_member m join security s on s.id = m.security_id
left join lateral (
    select c.price from (
        (select t.price, t.position from price_tick t
         where t.security_id = s.id and t.effect = 0 and t.ts <= $3 and t.position <= $4
         order by t.ts desc, t.position desc limit 1)
        union all
        (select t.price, t.position from price_tick t
         where t.security_id = s.id and t.effect = 0 and t.kind = 2 and t.ts <= $3
         and t.position <= $4 order by t.ts desc, t.position desc limit 1)
        union all
        (select t.price, o.position from command o join price_tick t
         on t.position = (o.body ->> 'held')::int8 and t.security_id = s.id and t.effect = 3
         where o.verb = 'operate' and o.body ->> 'order' = 'release' and o.position >= $5
         and o.position <= $4 order by o.position desc limit 1)
        union all
        (select l.level, l.position from index_definition d join index_level l
         on l.index_id = d.id and l.run = 0
         where s.symbol = 'indexes/' || d.code and l.ts <= $3 and l.position <= $4
         order by l.ts desc, l.seq desc limit 1)
    ) c where c.position >= $5 order by c.position desc limit 1
) p on true
where m.index_id = $1 and m.revision = $2
order by s.id";

/// `GET api/v1/indexes/{code}/explain`: without a time, the level of now.
pub(in crate::http) async fn explained(
    State(http): State<Arc<Http>>,
    named: Named,
    caller: Caller,
    form: Form,
    Query(parameters): Query<At>,
) -> Result<Response, Problem> {
    let explanation = match query::time("at", parameters.at.as_deref())? {
        None => {
            let code = named.code;
            let asked = http
                .sequence
                .ask(move |sight| queries::index_explain(sight.engine, Some(&code)));
            asked
                .await?
                .map_err(|error| Problem::not_found(error.message))?
        }
        Some(at) => then(&http, named, Stamp(at)).await?,
    };
    // Who may not see a price may not work it out either.
    for member in &explanation.members {
        allow(caller.may_see_member(&member.symbol))?;
    }
    answer::object(form, &explanation)
}

/// A level of the past as its rows tell it.
struct Told {
    of: ExplainedLevel,
    /// Its time as PostgreSQL has it.
    ts: Stamp,
    revision: i32,
    divisor: Option<Decimal>,
    cash: Decimal,
    /// The position that made the revision.
    since: i64,
}

async fn then(http: &Http, named: Named, at: Stamp) -> Result<IndexExplanation, Problem> {
    let history = History::of(http)?;
    let code = &named.code;
    let told = told(history, &named, at)
        .await?
        .ok_or_else(|| Problem::not_found(format!("{code} had no level yet at that time")))?;
    let not_sum = || {
        Problem::not_found(format!(
            "the level of {code} at that time is no sum of members"
        ))
    };
    let divisor = told.divisor.ok_or_else(not_sum)?;
    let definition = definition(http, &named).await?;
    let members = members(history, &named, &told).await?;
    let currencies = members.iter().map(|member| member.currency);
    let fx = Fx::of(&definition, currencies);
    let position = told.of.pos.cast_signed();
    let revision = (named.key(), told.revision);
    let rates = fx.rates(history, revision, told.ts, position).await?;
    let part = |member: &Member| {
        Some(Part {
            security: member.security,
            currency: member.currency,
            price: member.price?,
            coefficient: member.coefficient?,
            rate: *rates.get(&member.currency)?,
        })
    };
    let parts: Option<Vec<Part>> = members.iter().map(part).collect();
    let parts = parts
        .filter(|parts| !parts.is_empty())
        .ok_or_else(not_sum)?;
    let explanation = explain(&parts, told.cash, divisor, definition.rounding.level);
    let explanation = explanation.ok_or_else(not_sum)?;
    let symbol = |id| {
        let member = members.iter().find(|member| member.security == id)?;
        Some(member.symbol.clone())
    };
    let (currency, revision) = (definition.currency, told.revision.cast_unsigned());
    Ok(IndexExplanation {
        of: Some(told.of),
        ..queries::explanation_of(code, currency, revision, explanation, symbol)
    })
}

/// The last level before or at a time.
async fn told(history: &History, named: &Named, at: Stamp) -> Result<Option<Told>, Problem> {
    let rows = history
        .query(
            LEVEL,
            &[(&named.key(), Type::INT4), (&at, Type::TIMESTAMPTZ)],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Told {
        of: ExplainedLevel {
            ts: time_at(row, 0)?.to_string(),
            seq: get::<i64>(row, 2)?.cast_unsigned(),
            level: decimal(row, 3)?.unwrap_or(Decimal::ZERO),
            status: get(row, 4)?,
            pos: get::<i64>(row, 5)?.cast_unsigned(),
        },
        ts: get(row, 0)?,
        revision: get(row, 6)?,
        divisor: decimal(row, 7)?,
        cash: decimal(row, 8)?.unwrap_or(Decimal::ZERO),
        since: get(row, 9)?,
    }))
}

/// A member with the price that counted.
struct Member {
    security: SecurityId,
    symbol: String,
    currency: Currency,
    coefficient: Option<Decimal>,
    price: Option<Decimal>,
}

async fn members(history: &History, named: &Named, told: &Told) -> Result<Vec<Member>, Problem> {
    let rows = history
        .query(
            MEMBERS,
            &[
                (&named.key(), Type::INT4),
                (&told.revision, Type::INT4),
                (&told.ts, Type::TIMESTAMPTZ),
                (&told.of.pos.cast_signed(), Type::INT8),
                (&told.since, Type::INT8),
            ],
        )
        .await?;
    let member = |row: &tokio_postgres::Row| {
        let currency: String = get(row, 2)?;
        Ok(Member {
            security: SecurityId(get::<i32>(row, 0)?.cast_unsigned()),
            symbol: get(row, 1)?,
            currency: parse(&currency)?,
            coefficient: decimal(row, 3)?,
            price: decimal(row, 4)?,
        })
    };
    rows.iter().map(member).collect()
}

fn parse(currency: &str) -> Result<Currency, Problem> {
    Currency::parse(currency).map_err(|error| Problem::internal(&error))
}

/// The rules of an index as they are now: history has them as texts, the engine as what they are.
async fn definition(http: &Http, named: &Named) -> Result<IndexDefinition, Problem> {
    let id = named.id;
    let asked = http
        .sequence
        .ask(move |sight| Some(sight.engine.index(id)?.definition.clone()));
    asked
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no index {}", named.code)))
}
