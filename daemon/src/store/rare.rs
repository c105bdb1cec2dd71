//! The rows that come one by one: definitions, commands, actions, closes.
//!
//! Written in the order that their references ask for. Dates go as text, which spares the driver
//! another date library.

use postgres::types::ToSql;
use postgres::{Statement, Transaction};

use super::encode::{CopyBuffer, Numeric, Stamp, nanos_rest, without_nul};
use super::error::StoreError;
use super::rows::{ActionRow, CloseRow, CommandRow, IndexRow, RevisionRow, RowBatch, SecurityRow};
use super::writer::copy_with;

const LABEL: &str = "insert into label (id, position, text) values ($1, $2, $3)";

const SECURITY: &str = "insert into security (id, symbol, name, currency, price_places, position, \
     body, life) values ($1, $2, $3, $4, $5, $6, $7::text::json, $8) on conflict (id) do update set \
     symbol = excluded.symbol, name = excluded.name, currency = excluded.currency, \
     price_places = excluded.price_places, position = excluded.position, body = excluded.body, \
     life = excluded.life";

const INDEX: &str = "insert into index_definition (id, code, name, currency, position, body, \
     life) values ($1, $2, $3, $4, $5, $6::text::json, $7) on conflict (id) do update set \
     code = excluded.code, name = excluded.name, currency = excluded.currency, \
     position = excluded.position, body = excluded.body, life = excluded.life";

const REVISION: &str = "insert into basket (index_id, revision, run, position, \
     effective, effective_nanos, divisor, cash, body) values \
     ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json)";

const ACTION: &str = "insert into corporate_action (position, place, index_id, security_id, kind, \
     ex_date, body) values ($1, $2, $3, $4, $5, $6::text::date, $7::text::json)";

const COMMAND: &str = "insert into command (position, received, received_nanos, client, usr, \
     verb, body) values ($1, $2, $3, $4, $5, $6, $7::text::json)";

const HELD: &str = "insert into held (position, doubt, reference) values ($1, $2, $3)";

const CLOSE: &str = "insert into official_close (index_id, day, run, revision, position, ts, \
     ts_nanos, level, status, seq, prev_close, divisor, soq, body) values \
     ($1, $2::text::date, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::json)";

/// Writes all rows of `batch` that are not bulk.
pub(crate) fn write(
    tx: &mut Transaction<'_>,
    batch: &RowBatch,
    members: &Statement,
    buffer: &mut CopyBuffer,
) -> Result<(), StoreError> {
    each(tx, LABEL, &batch.labels, |row, run| {
        run(&[
            &id(row.id),
            &row.position.cast_signed(),
            &without_nul(&row.text),
        ])
    })?;
    each(tx, SECURITY, &batch.securities, security)?;
    each(tx, INDEX, &batch.indexes, index)?;
    each(tx, REVISION, &batch.revisions, revision)?;
    let all = batch
        .revisions
        .iter()
        .flat_map(|r| r.members.iter().map(move |m| (r, m)));
    copy_with(tx, members, all, buffer, |(revision, member), out| {
        out.row(7);
        out.u32(revision.index);
        out.u32(revision.revision);
        out.u32(revision.run);
        out.u32(member.security);
        out.numeric(member.coefficient);
        out.option(member.price, CopyBuffer::numeric);
        out.option(member.weight, CopyBuffer::numeric);
    })?;
    each(tx, ACTION, &batch.actions, action)?;
    each(tx, COMMAND, &batch.commands, command)?;
    each(tx, HELD, &batch.held, |row, run| {
        run(&[
            &row.position.cast_signed(),
            &row.doubt.as_ref(),
            &Numeric(row.reference),
        ])
    })?;
    each(tx, CLOSE, &batch.closes, close)
}

/// Runs one statement with the parameters of one row.
type Run<'a> = &'a mut dyn FnMut(&[&(dyn ToSql + Sync)]) -> Result<u64, postgres::Error>;

fn each<R>(
    tx: &mut Transaction<'_>,
    sql: &str,
    rows: &[R],
    bind: impl Fn(&R, Run<'_>) -> Result<u64, postgres::Error>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut all = || -> Result<(), postgres::Error> {
        let statement = tx.prepare(sql)?;
        for row in rows {
            bind(row, &mut |parameters| tx.execute(&statement, parameters))?;
        }
        Ok(())
    };
    all().map_err(StoreError::during("insert rows"))
}

fn security(row: &SecurityRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    let (symbol, name) = (without_nul(&row.symbol), optional(row.name.as_deref()));
    let currency = without_nul(&row.currency);
    run(&[
        &id(row.id),
        &symbol,
        &name,
        &currency,
        &i16::from(row.price_places),
        &row.position.cast_signed(),
        &row.body,
        &row.life.as_ref(),
    ])
}

fn index(row: &IndexRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    let (code, name) = (without_nul(&row.code), optional(row.name.as_deref()));
    let currency = without_nul(&row.currency);
    run(&[
        &id(row.id),
        &code,
        &name,
        &currency,
        &row.position.cast_signed(),
        &row.body,
        &row.life.as_ref(),
    ])
}

fn revision(row: &RevisionRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    run(&[
        &id(row.index),
        &id(row.revision),
        &id(row.run),
        &row.position.cast_signed(),
        &Stamp(row.effective),
        &nanos_rest(row.effective),
        &row.divisor.map(Numeric),
        &row.cash.map(Numeric),
        &row.body,
    ])
}

fn action(row: &ActionRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    run(&[
        &row.position.cast_signed(),
        &row.place.cast_signed(),
        &row.index.map(id),
        &row.security.map(id),
        &without_nul(&row.kind),
        &row.ex_date.map(|date| date.to_string()),
        &row.body,
    ])
}

fn command(row: &CommandRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    run(&[
        &row.position.cast_signed(),
        &Stamp(row.received),
        &nanos_rest(row.received),
        &without_nul(&row.client),
        &optional(row.user.as_deref()),
        &without_nul(&row.verb),
        &row.body,
    ])
}

fn close(row: &CloseRow, run: Run<'_>) -> Result<u64, postgres::Error> {
    run(&[
        &id(row.index),
        &row.day.to_string(),
        &id(row.run),
        &id(row.revision),
        &row.position.cast_signed(),
        &Stamp(row.ts),
        &nanos_rest(row.ts),
        &Numeric(row.level),
        &row.status.as_ref(),
        &row.seq.cast_signed(),
        &row.prev_close.map(Numeric),
        &row.divisor.map(Numeric),
        &row.soq.map(Numeric),
        &row.body,
    ])
}

/// Dense ids and small counts are below 2^31.
const fn id(value: u32) -> i32 {
    value.cast_signed()
}

fn optional(text: Option<&str>) -> Option<String> {
    text.map(without_nul)
}
