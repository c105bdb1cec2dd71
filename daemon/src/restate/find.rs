//! Where a correction lies: from a symbol and a time to a position of the journal.

use divisor_engine::definition::{ActionDefinition, Definitions};
use divisor_engine::{
    CorrectionState, Corrections, Edit, IndexId, Inserted, Rate, Right, SecurityId, Tick, Time,
};
use postgres::{Client, Row};

use super::Sought;
use crate::store::{HistoryError, Kept, Stamp, StoreError};

/// Why there is no edit.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    /// PostgreSQL.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is asked for does not fit what is there.
    #[error("{0}")]
    Refused(String),
}

impl From<FindError> for HistoryError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Store(error) => Self::Store(error),
            FindError::Refused(why) => Self::Rows { position: 0, why },
        }
    }
}

/// The effects of inputs that have counted, at once or when an operator let them.
const COUNTED: &str = "(t.effect = 0 or t.effect = 3)";

/// The edit that makes right what is asked for.
pub(super) fn find(
    client: &mut Client,
    sought: &Sought,
    corrections: &Corrections,
) -> Result<Edit, FindError> {
    match sought {
        Sought::Tick { tick, void, src } => price(client, tick, *void, src.as_deref()),
        Sought::Rate { rate, void, src } => self::rate(client, rate, *void, src.as_deref()),
        Sought::Action {
            terms,
            is_known: true,
            ..
        } => announced(client, &terms.id, Some(terms)),
        Sought::Action {
            terms,
            security,
            index,
            ..
        } => missed(client, terms, *security, *index),
        Sought::CancelAction(id) => announced(client, id, None),
        Sought::Withdraw(run) => match corrections.get(*run).map(|c| &c.state) {
            None => Err(FindError::Refused(format!("there is no correction {run}"))),
            Some(CorrectionState::Failed { .. }) => Err(FindError::Refused(format!(
                "correction {run} has failed: it changes nothing"
            ))),
            Some(_) if !corrections.stands(*run) => Err(FindError::Refused(format!(
                "correction {run} is withdrawn already"
            ))),
            Some(CorrectionState::Open | CorrectionState::Restated { .. }) => {
                Ok(Edit::Withdraw { run: *run })
            }
        },
    }
}

fn price(
    client: &mut Client,
    tick: &Tick,
    void: bool,
    src: Option<&str>,
) -> Result<Edit, FindError> {
    let security = tick.security.0.cast_signed();
    let ts = tick.origin.ts;
    let sql = format!(
        "select t.position, l.text from price_tick t join label l on l.id = t.src \
         where t.security_id = $1 and t.ts = $2 and t.ts_nanos = $3 and {COUNTED} \
         and ($4::text is null or l.text = $4) order by t.position"
    );
    let rows = client.query(&sql, &[&security, &Stamp(ts), &nanos(ts), &src]);
    let rows = rows.map_err(StoreError::during("look for the price"))?;
    if let Some(position) = only(&rows, "price")? {
        let right = if void {
            Right::Nothing
        } else {
            Right::Price(tick.price)
        };
        return Ok(Edit::Replace { position, right });
    }
    if void {
        return Err(FindError::Refused(format!(
            "there is no such price at {ts} that counted"
        )));
    }
    // Between the security's own prices, and before whatever is younger.
    let behind = "select min(t.position) from price_tick t where t.security_id = $1 \
         and (t.ts, t.ts_nanos) > ($2, $3) and t.effect = 0";
    let behind = number(client, behind, &[&security, &Stamp(ts), &nanos(ts)])?;
    let end = behind.unwrap_or(i64::MAX);
    let before = "select max(t.position) from price_tick t where t.security_id = $1 \
         and (t.ts, t.ts_nanos) <= ($2, $3) and t.effect = 0 and t.position < $4";
    let before = number(client, before, &[&security, &Stamp(ts), &nanos(ts), &end])?;
    is_kept(client, ts, before)?;
    let position = place(client, ts, before, behind)?;
    Ok(Edit::Insert {
        before: position,
        input: Inserted::Tick(*tick),
    })
}

fn rate(
    client: &mut Client,
    rate: &Rate,
    void: bool,
    src: Option<&str>,
) -> Result<Edit, FindError> {
    let (base, quote) = (rate.base.to_string(), rate.quote.to_string());
    let ts = rate.origin.ts;
    let sql = format!(
        "select t.position, l.text from fx_rate t join label l on l.id = t.src \
         where t.base = $1 and t.quote = $2 and t.ts = $3 and t.ts_nanos = $4 and {COUNTED} \
         and ($5::text is null or l.text = $5) order by t.position"
    );
    let rows = client.query(&sql, &[&base, &quote, &Stamp(ts), &nanos(ts), &src]);
    let rows = rows.map_err(StoreError::during("look for the rate"))?;
    if let Some(position) = only(&rows, "rate")? {
        let (mantissa, places) = (rate.mantissa, rate.places);
        let right = if void {
            Right::Nothing
        } else {
            Right::Rate { mantissa, places }
        };
        return Ok(Edit::Replace { position, right });
    }
    if void {
        return Err(FindError::Refused(format!(
            "there is no such rate at {ts} that counted"
        )));
    }
    let behind = "select min(t.position) from fx_rate t where t.base = $1 and t.quote = $2 \
         and (t.ts, t.ts_nanos) > ($3, $4) and t.effect = 0";
    let behind = number(client, behind, &[&base, &quote, &Stamp(ts), &nanos(ts)])?;
    let end = behind.unwrap_or(i64::MAX);
    let before = "select max(t.position) from fx_rate t where t.base = $1 and t.quote = $2 \
         and (t.ts, t.ts_nanos) <= ($3, $4) and t.effect = 0 and t.position < $5";
    let before = number(
        client,
        before,
        &[&base, &quote, &Stamp(ts), &nanos(ts), &end],
    )?;
    is_kept(client, ts, before)?;
    let position = place(client, ts, before, behind)?;
    Ok(Edit::Insert {
        before: position,
        input: Inserted::Rate(*rate),
    })
}

/// The announcement of an action with other terms, or without it. Where terms were changed the last
/// ones are meant.
fn announced(
    client: &mut Client,
    id: &str,
    terms: Option<&ActionDefinition>,
) -> Result<Edit, FindError> {
    let sql = "select position, body::text from command where verb = 'define' \
         and exists (select from json_array_elements(coalesce(body->'actions', '[]')) a \
         where a->>'id' = $1) order by position desc";
    let rows = client.query(sql, &[&id]);
    let rows = rows.map_err(StoreError::during("look for the action"))?;
    let refused = |why: &str| FindError::Refused(why.to_owned());
    let row = rows
        .first()
        .ok_or_else(|| refused("its announcement is not in PostgreSQL"))?;
    if terms.is_none() && rows.len() > 1 {
        return Err(refused(
            "it was announced with several terms: correct the last ones",
        ));
    }
    let definitions: Result<Definitions, _> = serde_json::from_str(row.get(1));
    let mut definitions =
        definitions.map_err(|_| refused("its announcement cannot be read any more"))?;
    match terms {
        Some(terms) => {
            for action in definitions.actions.iter_mut().filter(|a| a.id == id) {
                *action = terms.clone();
            }
        }
        None => definitions.actions.retain(|action| action.id != id),
    }
    Ok(Edit::Replace {
        position: row.get::<_, i64>(0).cast_unsigned(),
        right: Right::Definitions(Box::new(definitions)),
    })
}

/// Just before the first price of its security, or level of its index, from two days before its
/// ex-date on: that day has not begun anywhere then, even where it begins on the date before.
fn missed(
    client: &mut Client,
    terms: &ActionDefinition,
    security: Option<SecurityId>,
    index: Option<IndexId>,
) -> Result<Edit, FindError> {
    let eve = terms.ex_date.saturating_sub(jiff::Span::new().days(2));
    let eve = eve.to_string();
    let position = match (security, index) {
        (Some(security), _) => {
            let sql = "select min(position) from price_tick where security_id = $1 \
                 and effect = 0 and ts >= $2::text::date::timestamp at time zone 'UTC'";
            number(client, sql, &[&security.0.cast_signed(), &eve])?
        }
        (None, Some(index)) => {
            let sql = "select min(position) from index_level where index_id = $1 \
                 and run = 0 and ts >= $2::text::date::timestamp at time zone 'UTC'";
            number(client, sql, &[&index.0.cast_signed(), &eve])?
        }
        (None, None) => {
            let why = "neither its security nor its index is known";
            return Err(FindError::Refused(why.to_owned()));
        }
    };
    let position = position.ok_or_else(|| {
        FindError::Refused("its day has not come: announce it (divisor action add)".to_owned())
    })?;
    let definitions = Definitions {
        actions: vec![terms.clone()],
        ..Definitions::default()
    };
    Ok(Edit::Insert {
        before: position.cast_unsigned(),
        input: Inserted::Definitions(Box::new(definitions)),
    })
}

/// The position before which an input of a time belongs, between two of its own kind.
fn place(
    client: &mut Client,
    ts: Time,
    before: Option<i64>,
    behind: Option<i64>,
) -> Result<u64, FindError> {
    let position = match (before, behind) {
        (None, behind) => behind,
        (Some(before), behind) => {
            let younger = "select min(p) from ( \
                 select min(position) as p from price_tick where effect = 0 and position > $1 \
                     and ts >= $2 and (ts, ts_nanos) > ($2, $3) \
                 union all \
                 select min(position) from fx_rate where effect = 0 and position > $1 \
                     and ts >= $2 and (ts, ts_nanos) > ($2, $3)) x";
            let younger = number(client, younger, &[&before, &Stamp(ts), &nanos(ts)])?;
            younger.into_iter().chain(behind).min()
        }
    };
    let position = position.ok_or_else(|| {
        FindError::Refused("nothing has come since that time: send it as it is".to_owned())
    })?;
    Ok(position.cast_unsigned())
}

/// Refuses what is missing where it is not known any more what came before it.
fn is_kept(client: &mut Client, ts: Time, before: Option<i64>) -> Result<(), FindError> {
    let kept = Kept::read(client)?.prices;
    if kept == 0 || before.is_some_and(|before| before.cast_unsigned() >= kept) {
        return Ok(());
    }
    Err(FindError::Refused(format!(
        "what came before {ts} is not kept any more (store.keep_ticks)"
    )))
}

/// The one input that is meant.
fn only(rows: &[Row], what: &str) -> Result<Option<u64>, FindError> {
    match rows {
        [] => Ok(None),
        [row] => Ok(Some(row.get::<_, i64>(0).cast_unsigned())),
        several => {
            let sources: Vec<&str> = several.iter().map(|row| row.get(1)).collect();
            Err(FindError::Refused(format!(
                "{} have a {what} of that time: say which source",
                sources.join(", ")
            )))
        }
    }
}

fn number(
    client: &mut Client,
    sql: &str,
    parameters: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<Option<i64>, StoreError> {
    let row = client.query_one(sql, parameters);
    Ok(row
        .map_err(StoreError::during("look for the place"))?
        .get(0))
}

/// What a `timestamptz` cannot hold of a time.
fn nanos(ts: Time) -> i16 {
    // Below 1,000.
    ts.as_nanos().rem_euclid(1_000) as i16
}
