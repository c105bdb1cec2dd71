//! Dropping what need not be kept: whole partitions, by their name, never single rows. How far they
//! reached is noted, since a walk through the history must not begin before it.
//!
//! It is asked for only while everything committed is projected, so nothing that the journal still
//! holds belongs to what is dropped; a late row makes its partition again, until the next time.

use std::time::Duration;

use divisor_engine::Time;
use jiff::civil::Date;
use postgres::{Client, GenericClient};

use super::bulk::BulkRow;
use super::error::StoreError;
use super::partition::Range;
use super::rows::{LevelRow, RateRow, TickRow};

/// How long a reader of a partition is waited for.
const LOCK_TIMEOUT: &str = "2s";

/// How long rows are kept; none means for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// Ticks and rates.
    pub ticks: Option<Duration>,
    /// Levels.
    pub levels: Option<Duration>,
}

/// From which positions on everything is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Prices and rates.
    pub prices: u64,
    /// Levels.
    pub levels: u64,
}

impl Kept {
    /// As the database notes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(client: &mut impl GenericClient) -> Result<Self, StoreError> {
        let row = client.query_one("select prices_from, levels_from from projection", &[]);
        let row = row.map_err(StoreError::during("read what is kept"))?;
        let position = |column| row.get::<_, i64>(column).cast_unsigned();
        Ok(Self {
            prices: position(0),
            levels: position(1),
        })
    }
}

/// Drops the partitions that end before what is to be kept.
pub(super) fn drop_old(client: &mut Client, keep: Keep, now: Time) -> Result<(), StoreError> {
    for (table, keep, note) in [
        (TickRow::TABLE, keep.ticks, "prices_from"),
        (RateRow::TABLE, keep.ticks, "prices_from"),
        (LevelRow::TABLE, keep.levels, "levels_from"),
    ] {
        let Some(keep) = keep else { continue };
        let keep = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
        let oldest = jiff::Timestamp::from(now.saturating_add(-keep));
        let oldest = oldest.to_zoned(jiff::tz::TimeZone::UTC).date();
        for name in ended(client, table, oldest)? {
            // The name came from the catalogue and was read back as ours: letters and digits.
            let sql = format!(
                "set local lock_timeout = '{LOCK_TIMEOUT}'; \
                 update projection set {note} = greatest({note}, 1 + coalesce( \
                     (select max(position) from {name}), -1)); \
                 drop table {name}"
            );
            let mut dropping = || -> Result<(), postgres::Error> {
                let mut tx = client.transaction()?;
                tx.batch_execute(&sql)?;
                tx.commit()
            };
            dropping().map_err(StoreError::during("drop an old partition"))?;
            tracing::info!(partition = name, "dropped what need not be kept");
        }
    }
    Ok(())
}

/// The partitions of a table whose last day is before this one.
fn ended(client: &mut Client, table: &str, oldest: Date) -> Result<Vec<String>, StoreError> {
    let sql = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
               where i.inhparent = $1::text::regclass order by 1";
    let rows = client
        .query(sql, &[&table])
        .map_err(StoreError::during("list the partitions"))?;
    let names = rows.iter().map(|row| row.get::<_, String>(0));
    let is_old =
        |name: &String| Range::parse(table, name).is_some_and(|range| range.end() <= oldest);
    Ok(names.filter(is_old).collect())
}
