//! What happened: revisions, corporate actions and corrections from PostgreSQL, the rest from memory.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use divisor_engine::{Decimal, Time};
use tokio_postgres::types::Type;

use super::History;
use super::as_of::{Of, counts};
use super::span::{Cursor, Named, Span, SpanParameters, decimal, get, time_at};
use crate::http::Http;
use crate::http::answer::{self, Form, Rows};
use crate::http::notice::{Notice, revision_text};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::session::{Caller, allow};
use crate::store::Stamp;

/// Rows of a page where the request does not say, and at the most.
const LIMIT: (usize, usize) = (500, 5_000);

/// Revisions, actions and corrections, by the time from which on they count; $1 is null for all
/// indexes. Of revisions those that are right as of now.
const SQL: &str = "
select i.code, e.ts, e.nanos, e.kind, e.revision, e.cause, e.divisor, e.members, e.position
from (
    select b.index_id, b.effective as ts, b.effective_nanos as nanos, 'revision' as kind,
           b.revision, b.body ->> 'cause' as cause, b.divisor,
           (select count(*) from basket_member m
            where m.index_id = b.index_id and m.revision = b.revision
            and m.run = b.run) as members, b.position
    from basket b
    where ($1::int4 is null or b.index_id = $1) and {counts}
    union all
    select d.id, case when a.body ->> 'state' = 'applied' then a.ex_date::timestamptz
           else coalesce(c.received, a.ex_date::timestamptz) end, 0::int2, 'action', null,
           concat(a.kind, ' ', a.body -> 'terms' ->> 'id', ' is ', a.body ->> 'state',
               ', ex-date ' || a.ex_date, ': ' || (a.body ->> 'why')), null, null, a.position
    from corporate_action a
    left join command c on c.position = a.position
    join index_definition d on a.index_id = d.id or exists (
        select from json_array_elements_text(a.body -> 'indexes') i(id) where i.id::int4 = d.id)
    where ($1::int4 is null or d.id = $1)
    union all
    select s.index_id, coalesce(s.from_ts, r.recorded_at), 0::int2, 'correction', null,
           concat('run ', s.run, ' restates ', s.levels, ' levels and ', s.closes, ' closes',
               ', at most by ' || s.largest), null, null, r.position
    from restatement s join correction_run r using (run)
    where ($1::int4 is null or s.index_id = $1)
) e join index_definition i on i.id = e.index_id
where e.ts >= $2 and e.ts < $3 and (e.ts, e.position) > ($2, $4)";

/// `GET api/v1/indexes/{code}/events`
pub(in crate::http) async fn of_index(
    State(http): State<Arc<Http>>,
    named: Named,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(parameters): Query<SpanParameters>,
) -> Result<Response, Problem> {
    allow(caller.may_see_events(&named.code))?;
    answer(&http, Scope::Index(&named), form, &uri, &parameters).await
}

/// `GET api/v1/events`
pub(in crate::http) async fn of_all(
    State(http): State<Arc<Http>>,
    caller: Caller,
    form: Form,
    uri: Uri,
    Query(parameters): Query<SpanParameters>,
) -> Result<Response, Problem> {
    answer(&http, Scope::All(&caller), form, &uri, &parameters).await
}

/// Whose events.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// Of one index, which was allowed already.
    Index(&'a Named),
    /// Of all that somebody may see.
    All(&'a Caller),
}

async fn answer(
    http: &Http,
    scope: Scope<'_>,
    form: Form,
    uri: &Uri,
    parameters: &SpanParameters,
) -> Result<Response, Problem> {
    let span = parameters.read(LIMIT.0, LIMIT.1)?;
    let (named, caller) = match scope {
        Scope::Index(named) => (Some(named), None),
        Scope::All(caller) => (None, Some(caller)),
    };
    let mut found = stored(History::of(http)?, named, &span).await?;
    let is_more = found.len() > span.limit;
    let last = span.is_from_the_end();
    found.truncate(span.limit);
    if last {
        found.reverse();
    }
    let next = found.last().filter(|_| is_more && !last);
    let next = next.map(|(cursor, _)| cursor.to_string());
    let mut rows: Vec<Notice> = found.into_iter().map(|(_, notice)| notice).collect();
    if next.is_none() {
        // What has no table is known since the start, and belongs to the end.
        rows.extend(remembered(http, named, &span));
        rows.sort_by(|a, b| (&a.ts, a.pos).cmp(&(&b.ts, b.pos)));
    }
    rows.retain(|row| caller.is_none_or(|caller| caller.may_see_events(&row.index)));
    answer::rows(form, &Rows { rows, next }, "cursor", uri)
}

async fn stored(
    history: &History,
    named: Option<&Named>,
    span: &Span,
) -> Result<Vec<(Cursor, Notice)>, Problem> {
    let order = if span.is_from_the_end() {
        "desc"
    } else {
        "asc"
    };
    let sql = format!(
        "{} order by e.ts {order}, e.position {order}, i.id {order} limit {}",
        SQL.replace("{counts}", &counts(Of::Levels, "b", "'infinity'")),
        span.limit + 1
    );
    let begin = span.begin();
    let rows = history
        .query(
            &sql,
            &[
                (&named.map(Named::key), Type::INT4),
                (&Stamp(begin.ts), Type::TIMESTAMPTZ),
                (&Stamp(span.to), Type::TIMESTAMPTZ),
                (&begin.number, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &tokio_postgres::Row) -> Result<(Cursor, Notice), Problem> {
    let stamp: Stamp = get(row, 1)?;
    let kind: String = get(row, 3)?;
    let revision: Option<i32> = get(row, 4)?;
    let cause: Option<String> = get(row, 5)?;
    let cause = cause.unwrap_or_default();
    let members: Option<i64> = get(row, 7)?;
    let position: i64 = get(row, 8)?;
    let divisor = decimal(row, 6)?.map(|divisor: Decimal| divisor.to_string());
    let rev = revision.map(i32::cast_unsigned);
    let text = match rev {
        Some(rev) => {
            let members = members.and_then(|count| u64::try_from(count).ok());
            revision_text(rev, &cause, divisor.as_deref(), members)
        }
        None => cause,
    };
    let notice = Notice {
        index: get(row, 0)?,
        ts: time_at(row, 1)?.to_string(),
        kind,
        text,
        rev,
        pos: position.cast_unsigned(),
    };
    let cursor = Cursor {
        ts: stamp.0,
        number: position,
    };
    Ok((cursor, notice))
}

/// What was told and has no table, in this span.
fn remembered(http: &Http, named: Option<&Named>, span: &Span) -> Vec<Notice> {
    let has_table =
        |notice: &Notice| matches!(notice.kind.as_str(), "revision" | "action" | "correction");
    let inside = |notice: &Notice| {
        let stamp = notice.ts.parse::<jiff::Timestamp>().ok();
        let nanos = stamp.and_then(|stamp| i64::try_from(stamp.as_nanosecond()).ok());
        nanos.map(Time::from_nanos).is_some_and(|time| {
            time >= span.from.unwrap_or(Time::MIN)
                && time < span.to
                && span.cursor.is_none_or(|cursor| time > cursor.ts)
        })
    };
    let notices = http.board.notices();
    notices
        .iter()
        .filter(|notice| named.is_none_or(|named| named.code == notice.index))
        .filter(|notice| !has_table(notice) && inside(notice))
        .map(|notice| notice.as_ref().clone())
        .collect()
}
