//! What is true now: indexes, securities, the daemon's status. PostgreSQL is asked for the previous
//! closes alone, and missed by nobody.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::definition::{IndexDefinition, SecurityDefinition};
use divisor_engine::{
    Converted, Currency, Decimal, Engine, HeldInput, IndexId, SecurityId, contribution,
};
use divisor_wire::command::{self, CommandError, IndexDetail};
use divisor_wire::level::change;
use serde::{Deserialize, Serialize};

use super::Http;
use super::answer::{self, Form, Record, Rows};
use super::board::Line;
use super::history::{self, Closes, Fx};
use super::problem::Problem;
use super::query::{Query, limit};
use super::session::{Caller, allow};
use super::status::StatusDocument;
use crate::sequencer::queries;

/// Rows of a page where the request does not say, and at the most. Securities are read on the
/// sequencer's thread, so their pages are smaller.
const INDEXES: (usize, usize) = (1_000, 10_000);
const SECURITIES: (usize, usize) = (500, 500);

/// Places of a contribution beyond those of the level.
const POINTS_PLACES: u8 = 2;

/// Paging by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET api/v1/indexes`
pub(super) async fn indexes(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, INDEXES.0, INDEXES.1)?;
    // Without an answer of the sequencer what is known is shown.
    let _ = http.board.refresh(&http.sequence, false).await;
    let mut lines = http.board.lines();
    lines.retain(|line| caller.may_see_index(&line.code));
    let start = match page.after.as_deref() {
        None => 0,
        Some(after) => {
            let place = lines.iter().position(|line| line.code == after);
            place.ok_or_else(|| Problem::not_found(format!("there is no index {after}")))? + 1
        }
    };
    let rest = lines.get(start..).unwrap_or_default();
    let rows: Vec<&Line> = rest.iter().take(limit).map(AsRef::as_ref).collect();
    let next = (rest.len() > limit).then(|| rows.last().map(|line| line.code.clone()));
    let page = Rows {
        rows,
        next: next.flatten(),
    };
    answer::rows(form, &page, "after", &uri)
}

impl Record for &Line {
    const COLUMNS: &'static [&'static str] = Line::COLUMNS;
}

/// `GET api/v1/indexes/{code}`
#[derive(Debug, Serialize)]
struct Facts<'a> {
    row: &'a Line,
    definition: &'a IndexDefinition,
    divisor: Option<Decimal>,
    cash: Decimal,
    base: BaseFacts,
    waits_for: Option<&'a str>,
    /// The beginning of the day on which basket or weights change next, where that is known.
    next_review: Option<String>,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct BaseFacts {
    value: Option<Decimal>,
    date: Option<serde_json::Value>,
}

/// A constituent and what it does to the level.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Member {
    symbol: String,
    name: Option<String>,
    currency: Currency,
    price: Option<Decimal>,
    ts: Option<String>,
    prev_close: Option<Decimal>,
    chg_pct: Option<Decimal>,
    coefficient: Option<Decimal>,
    weight: Option<Decimal>,
    contribution: Option<Decimal>,
    /// By the index's rule.
    stale: bool,
    /// A price of it waits for an operator.
    held: bool,
    /// Index currency for one of its own.
    #[serde(skip)]
    rate: Option<Decimal>,
}

/// `GET api/v1/indexes/{code}`
pub(super) async fn index(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    Path(code): Path<String>,
) -> Result<Response, Problem> {
    allow(caller.may_see_index(&code))?;
    http.board.refresh(&http.sequence, false).await?;
    let asked = code.clone();
    let (detail, mut members, next_review, day) = http
        .sequence
        .ask(move |sight| {
            let detail = queries::index_show(sight.engine, Some(&asked))?;
            let id = sight.engine.index_id(&asked);
            let members = id.map(|id| members(sight.engine, id, &detail));
            let next_review = id.and_then(|id| sight.engine.next_review(id));
            let day = id.and_then(|id| sight.engine.day_begin(id));
            Ok((detail, members.unwrap_or_default(), next_review, day))
        })
        .await?
        .map_err(refused)?;
    let (id, row) = (http.board.line(&code))
        .ok_or_else(|| Problem::unavailable("the index was defined just now"))?;
    let fx = Fx::of(
        &detail.definition,
        members.iter().map(|member| member.currency),
    );
    if let Some(day) = day
        && let Some(closes) = history::closes(&http, id, &row, day, &fx).await
    {
        for member in &mut members {
            member.compare(&closes, &row, detail.divisor);
        }
    }
    for member in members
        .iter_mut()
        .filter(|member| !caller.may_see_member(&member.symbol))
    {
        member.hide();
    }
    let base = serde_json::to_value(&detail.definition.base).unwrap_or_default();
    let facts = Facts {
        row: &row,
        definition: &detail.definition,
        divisor: detail.divisor,
        cash: detail.cash,
        base: BaseFacts {
            value: detail.definition.base.value,
            date: base.get("date").cloned(),
        },
        waits_for: detail.waits_for.as_deref(),
        next_review: next_review.map(|time| time.to_string()),
        members,
    };
    answer::object(form, &facts)
}

fn members(engine: &Engine, index: IndexId, detail: &IndexDetail) -> Vec<Member> {
    let stale: HashSet<SecurityId> = engine.stale_members(index).iter().copied().collect();
    let held = engine.held().filter_map(|(_, held)| match &held.what {
        HeldInput::Tick(tick) => Some(tick.security),
        HeldInput::Rate(_) => None,
    });
    let held: HashSet<SecurityId> = held.collect();
    let member = |row: &command::MemberRow| {
        let id = engine.security_id(&row.symbol);
        let view = id.and_then(|id| engine.security(id));
        Member {
            symbol: row.symbol.clone(),
            name: view.and_then(|view| view.definition.name.clone()),
            currency: row.currency,
            price: row.price,
            ts: view.and_then(|view| Some(view.origin?.ts.to_string())),
            prev_close: None,
            chg_pct: None,
            coefficient: row.coefficient,
            weight: row.weight,
            contribution: None,
            stale: id.is_some_and(|id| stale.contains(&id)),
            held: id.is_some_and(|id| held.contains(&id)),
            rate: engine.conversion(index, row.currency),
        }
    };
    detail.members.iter().map(member).collect()
}

impl Member {
    /// Leaves out the price and all that tells it.
    fn hide(&mut self) {
        self.price = None;
        self.ts = None;
        self.prev_close = None;
        self.chg_pct = None;
        self.weight = None;
        self.contribution = None;
    }

    /// Puts the last price beside the previous close.
    fn compare(&mut self, closes: &Closes, row: &Line, divisor: Option<Decimal>) {
        let (Some(price), Some(close)) = (self.price, closes.of(&self.symbol)) else {
            return;
        };
        self.prev_close = Some(queries::at_least_two_places(close));
        self.chg_pct = change(price, Some(close)).map(|(_, percent)| percent);
        let (Some(coefficient), Some(divisor), Some(level)) =
            (self.coefficient, divisor, row.level)
        else {
            return;
        };
        let (Some(rate), Some(rate_then)) = (self.rate, closes.rate(self.currency)) else {
            return;
        };
        // Across a revision points are not told by these numbers.
        if row.rev == closes.revision {
            let now = Converted { price, rate };
            let then = Converted {
                price: close,
                rate: rate_then,
            };
            let places = level.places() + POINTS_PLACES;
            self.contribution = contribution(now, then, coefficient, divisor, places);
        }
    }
}

/// `GET api/v1/securities`
pub(super) async fn securities(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let limit = limit(page.limit, SECURITIES.0, SECURITIES.1)?;
    let mut after = page.after;
    if let Some(after) = after
        .as_deref()
        .filter(|after| !caller.may_see_security(after))
    {
        return Err(no_security(after));
    }
    let mut rows: Vec<command::SecurityRow> = Vec::new();
    let mut part = limit;
    // Until the page is full of what may be seen.
    while rows.len() < limit {
        let asked = after.take();
        let found = http
            .sequence
            .ask(move |sight| match asked {
                Some(after) if sight.engine.security_id(&after).is_none() => Err(after),
                after => {
                    let after = after.as_deref();
                    Ok(queries::security_list(sight.engine, after, part))
                }
            })
            .await?;
        let found = found.map_err(|after| no_security(&after))?;
        let seen = found.rows.into_iter();
        rows.extend(seen.filter(|row| caller.may_see_security(&row.symbol)));
        after = found.next;
        if after.is_none() {
            break;
        }
        part = SECURITIES.1;
    }
    let is_more = rows.len() > limit || after.is_some();
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| is_more)
        .map(|row| row.symbol.clone());
    answer::rows(form, &Rows { rows, next }, "after", &uri)
}

fn no_security(symbol: &str) -> Problem {
    Problem::not_found(format!("there is no security {symbol}"))
}

impl Record for command::SecurityRow {
    const COLUMNS: &'static [&'static str] = &["symbol", "name", "currency", "price", "ts", "life"];
}

/// `GET api/v1/securities/{symbol}`
#[derive(Debug, Serialize)]
struct Security {
    row: command::SecurityRow,
    definition: SecurityDefinition,
    src: Option<String>,
    indexes: Vec<String>,
}

/// `GET api/v1/securities/{symbol}`
pub(super) async fn security(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    Path(symbol): Path<String>,
) -> Result<Response, Problem> {
    allow(caller.may_see_security(&symbol))?;
    let detail = http
        .sequence
        .ask(move |sight| queries::security_show(sight.engine, Some(&symbol)))
        .await?
        .map_err(refused)?;
    let mut indexes = detail.indexes;
    indexes.retain(|code| caller.may_see_index(code));
    let security = Security {
        row: detail.row,
        definition: detail.definition,
        src: detail.src,
        indexes,
    };
    answer::object(form, &security)
}

/// `GET api/v1/status`
pub(super) async fn status(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
) -> Result<Response, Problem> {
    allow(caller.may_see_status())?;
    answer::object(form, &StatusDocument::make(&http).await?)
}

/// What the sequencer would not answer.
fn refused(error: CommandError) -> Problem {
    if error.kind == "not_found" {
        Problem::not_found(error.message)
    } else {
        Problem::bad_request(error.message)
    }
}
