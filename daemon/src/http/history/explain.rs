//! The arithmetic of a level of the past, as published or restated: its revision, the prices and
//! rates that counted, the divisor.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use divisor_engine::definition::IndexDefinition;
use divisor_engine::{Part, Time, explain};
use divisor_wire::command::{ExplainedLevel, IndexExplanation};
use serde::Deserialize;

use super::as_of::AsOf;
use super::fx::Fx;
use super::past::{Member, Past};
use super::span::Named;
use crate::http::Http;
use crate::http::answer::{self, Form};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::{Caller, allow};
use crate::sequencer::queries;

/// Which level.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Which {
    at: Option<String>,
    as_of: Option<String>,
}

/// `GET api/v1/indexes/{code}/explain`: without a time, the level of now.
pub(in crate::http) async fn explained(
    State(http): State<Arc<Http>>,
    named: Named,
    caller: Caller,
    form: Form,
    Query(parameters): Query<Which>,
) -> Result<Response, Problem> {
    let as_of = AsOf::read(parameters.as_of.as_deref())?;
    let explanation = match query::time("at", parameters.at.as_deref())? {
        None if !as_of.is_now() => then(&http, named, Time::MAX, as_of).await?,
        None => {
            let code = named.code;
            let asked = http
                .sequence
                .ask(move |sight| queries::index_explain(sight.engine, Some(&code)));
            asked
                .await?
                .map_err(|error| Problem::not_found(error.message))?
        }
        Some(at) => then(&http, named, at, as_of).await?,
    };
    // Who may not see a price may not work it out either.
    for member in &explanation.members {
        allow(caller.may_see_member(&member.symbol))?;
    }
    answer::object(form, &explanation)
}

async fn then(
    http: &Http,
    named: Named,
    at: Time,
    as_of: AsOf,
) -> Result<IndexExplanation, Problem> {
    let code = &named.code;
    let past = Past::of(http, named.id, as_of).await?;
    let (level, basket) = past
        .level(at)
        .await?
        .ok_or_else(|| Problem::not_found(format!("{code} had no level yet at that time")))?;
    let not_sum = || {
        Problem::not_found(format!(
            "the level of {code} at that time is no sum of members"
        ))
    };
    let divisor = basket.divisor.ok_or_else(not_sum)?;
    let definition = definition(http, &named).await?;
    let inputs = past.inputs(level.until()).await?;
    let members = inputs.members(&basket).await?;
    let currencies = members.iter().map(|member| member.currency);
    let fx = Fx::of(&definition, currencies);
    let rates = inputs.rates(&fx, &basket).await?;
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
    let explanation = explain(&parts, basket.cash, divisor, definition.rounding.level);
    let explanation = explanation.ok_or_else(not_sum)?;
    let symbol = |id| {
        let member = members.iter().find(|member| member.security == id)?;
        Some(member.symbol.clone())
    };
    let (currency, revision) = (definition.currency, basket.revision.cast_unsigned());
    Ok(IndexExplanation {
        of: Some(ExplainedLevel {
            ts: level.ts.to_string(),
            seq: level.seq.cast_unsigned(),
            level: level.level,
            status: level.status,
            pos: level.position.cast_unsigned(),
            run: level.run.cast_unsigned(),
        }),
        ..queries::explanation_of(code, currency, revision, explanation, symbol)
    })
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
