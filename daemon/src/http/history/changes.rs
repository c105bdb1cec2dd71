//! Who changed an index, how and when: its definitions, revisions, actions and orders.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::span::{Named, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Record, Rows};
use crate::http::problem::Problem;
use crate::http::query::{self, Query};
use crate::http::session::{Caller, allow};

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (1_000, 10_000);

/// Commands that name the index $1 by one of its codes $2, in their order. What a command holds of
/// the index alone is its body here.
const SQL: &str = "
select c.position, c.received, c.received_nanos, c.client, e.kind, e.body from command c
cross join lateral (
    select 'define' as kind, x.value::text as body
    from json_array_elements(c.body -> 'indexes') x
    where c.verb = 'define' and x.value ->> 'code' = any($2)
    union all
    select 'revision', x.value::text from json_array_elements(c.body -> 'revisions') x
    where c.verb = 'define' and exists (
        select from json_array_elements(x.value -> 'indexes') i where i.value ->> 'code' = any($2))
    union all
    select 'operate', c.body::text
    where c.verb = 'operate'
    and (c.body ->> 'index' = any($2) or c.body -> 'of' ->> 'index' = any($2))
    union all
    select 'action', json_build_object('id', a.body -> 'terms' ->> 'id', 'kind', a.kind,
        'state', a.body ->> 'state', 'ex_date', a.ex_date)::text from corporate_action a
    where c.verb = 'define' and a.position = c.position
    and a.body ->> 'state' in ('announced', 'cancelled') and (a.index_id = $1 or exists (
        select from json_array_elements_text(a.body -> 'indexes') i(id) where i.id::int4 = $1))
) e
order by c.position";

/// Paging by position.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Page {
    after: Option<u64>,
    limit: Option<u32>,
}

/// A change.
#[derive(Debug, Clone, Serialize)]
struct Change {
    ts: String,
    /// The user or client.
    by: String,
    /// `define`, `revision`, `action`, or the order.
    what: String,
    /// One line for people.
    text: String,
    pos: u64,
}

impl Record for Change {
    const COLUMNS: &'static [&'static str] = &["ts", "by", "what", "text", "pos"];
}

/// `GET api/v1/indexes/{code}/changes`
pub(in crate::http) async fn changes(
    State(http): State<Arc<Http>>,
    named: Named,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    allow(caller.may_see_events(&named.code))?;
    let limit = query::limit(page.limit, LIMIT.0, LIMIT.1)?;
    let id = named.id;
    let codes: Vec<String> = http
        .sequence
        .ask(move |sight| {
            let present = sight.engine.index_code(id).into_iter();
            let all = present.chain(sight.engine.former_codes(id));
            all.map(str::to_owned).collect()
        })
        .await?;
    let found = History::of(&http)?
        .query(
            SQL,
            &[(&named.key(), Type::INT4), (&codes, Type::TEXT_ARRAY)],
        )
        .await?;
    // All of them are read, since each definition is told by what differs from the one before.
    let mut rows = Vec::with_capacity(found.len());
    let mut before = None;
    for row in &found {
        rows.extend(read(row, &mut before)?);
    }
    rows.retain(|row| page.after.is_none_or(|after| row.pos > after));
    let mut end = limit.min(rows.len());
    // What one command did stays on one page.
    while end > 0 && end < rows.len() && rows[end].pos == rows[end - 1].pos {
        end += 1;
    }
    let is_more = end < rows.len();
    rows.truncate(end);
    let next = rows.last().filter(|_| is_more);
    let next = next.map(|row| row.pos.to_string());
    answer::rows(form, &Rows { rows, next }, "after", &uri)
}

/// A row as a change; none for a definition that was loaded again as it was.
fn read(row: &Row, before: &mut Option<Value>) -> Result<Option<Change>, Problem> {
    let kind: String = get(row, 4)?;
    let body: String = get(row, 5)?;
    let body: Value = serde_json::from_str(&body).map_err(|error| Problem::internal(&error))?;
    let part = |key: &str| body[key].as_str().unwrap_or_default();
    let noted = |text: String| match body["note"].as_str() {
        Some(note) => format!("{text}: {note}"),
        None => text,
    };
    let (what, text) = match kind.as_str() {
        "define" => {
            let text = match before.replace(body.clone()) {
                None => "created".to_owned(),
                Some(before) if before == body => return Ok(None),
                Some(before) => format!("changed {}", differing(&before, &body).join(", ")),
            };
            (kind, text)
        }
        "revision" => (kind, noted(part("id").to_owned())),
        "action" => {
            let (id, state, of, day) = (part("id"), part("state"), part("kind"), part("ex_date"));
            (kind, format!("{of} {id} {state}, ex-date {day}"))
        }
        _ => {
            let order = part("order").to_owned();
            let to = body["to"].as_str().map(|to| format!(" to {to}"));
            (
                order.clone(),
                noted(format!("{order}{}", to.unwrap_or_default())),
            )
        }
    };
    Ok(Some(Change {
        ts: time_at(row, 1)?.to_string(),
        by: get(row, 3)?,
        what,
        text,
        pos: get::<i64>(row, 0)?.cast_unsigned(),
    }))
}

/// The fields in which two definitions differ, by their names.
fn differing<'a>(before: &'a Value, after: &'a Value) -> Vec<&'a str> {
    let keys = |value: &'a Value| value.as_object().into_iter().flat_map(|map| map.keys());
    let mut fields: Vec<&str> = keys(before)
        .chain(keys(after))
        .filter(|key| before[key.as_str()] != after[key.as_str()])
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}
