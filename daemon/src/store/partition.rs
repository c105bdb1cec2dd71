//! Partitions by time, made when the first row of a month or a day arrives.
//!
//! There is no DEFAULT partition: rows in one would bar the partition they belong to. The name
//! tells the range: `price_tick_2021_11` is a month, `price_tick_2021_11_04` a day, both in UTC.

use std::collections::BTreeSet;

use divisor_engine::Time;
use jiff::ToSpan;
use jiff::civil::Date;
use postgres::Transaction;
use serde::Deserialize;

use super::bulk::BulkRow;
use super::error::StoreError;
use super::rows::{LevelRow, RateRow, RowBatch, TickRow};

const DAY_NANOS: i64 = 86_400_000_000_000;

/// What a new partition spans (`store.partition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionUnit {
    /// Few and large: for replays of history and ordinary feeds.
    #[default]
    Month,
    /// For heavy feeds, where days are dropped one by one.
    Day,
}

/// The partitions that are known to exist.
#[derive(Debug, Clone)]
pub(crate) struct Partitions {
    unit: PartitionUnit,
    /// Read from the catalogue; `None` when that has to be done again.
    tables: Option<[Cover; 3]>,
}

/// Which days of one table have a partition.
#[derive(Debug, Clone, Default)]
struct Cover {
    /// Days since 1970.
    days: BTreeSet<i64>,
    /// Months that have partitions of days, and so cannot get one of their own any more.
    split: BTreeSet<(i16, i8)>,
}

impl Partitions {
    pub(crate) const fn new(unit: PartitionUnit) -> Self {
        Self { unit, tables: None }
    }

    /// Forgets what is known: after a rollback what was made in it is gone, and an operator may
    /// have dropped a partition.
    pub(crate) fn forget(&mut self) {
        self.tables = None;
    }

    /// Makes what the batch needs and is not there.
    pub(crate) fn ensure(
        &mut self,
        tx: &mut Transaction<'_>,
        batch: &RowBatch,
    ) -> Result<(), StoreError> {
        if self.tables.is_none() {
            self.tables = Some([
                read::<TickRow>(tx)?,
                read::<RateRow>(tx)?,
                read::<LevelRow>(tx)?,
            ]);
        }
        if let Some([ticks, rates, levels]) = &mut self.tables {
            ticks.ensure(self.unit, tx, &batch.ticks)?;
            rates.ensure(self.unit, tx, &batch.rates)?;
            levels.ensure(self.unit, tx, &batch.levels)?;
        }
        Ok(())
    }
}

impl Cover {
    fn ensure<R: BulkRow>(
        &mut self,
        unit: PartitionUnit,
        tx: &mut Transaction<'_>,
        rows: &[R],
    ) -> Result<(), StoreError> {
        let mut last = None;
        for row in rows {
            let day = row.ts().as_nanos().div_euclid(DAY_NANOS);
            if last == Some(day) {
                continue;
            }
            last = Some(day);
            if !self.days.contains(&day) {
                let range = self.range_for(date_of(day), unit);
                create(tx, R::TABLE, range)?;
                self.add(range);
            }
        }
        Ok(())
    }

    /// A month that already has days keeps to days: ranges must not overlap when the unit in the
    /// configuration changes.
    fn range_for(&self, date: Date, unit: PartitionUnit) -> Range {
        match unit {
            PartitionUnit::Month if !self.split.contains(&(date.year(), date.month())) => Range {
                first: date.first_of_month(),
                unit,
            },
            PartitionUnit::Month | PartitionUnit::Day => Range {
                first: date,
                unit: PartitionUnit::Day,
            },
        }
    }

    fn add(&mut self, range: Range) {
        let first = day_of(range.first);
        if range.unit == PartitionUnit::Day {
            self.split.insert((range.first.year(), range.first.month()));
        }
        self.days.extend(first..day_of(range.end()));
    }
}

/// The span of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: Date,
    unit: PartitionUnit,
}

impl Range {
    /// The first day after it. The years are those of [`Time`], far from the ends of a date's.
    pub(super) fn end(self) -> Date {
        match self.unit {
            PartitionUnit::Month => self.first.saturating_add(1.month()),
            PartitionUnit::Day => self.first.saturating_add(1.day()),
        }
    }

    fn name(self, table: &str) -> String {
        let (year, month, day) = (self.first.year(), self.first.month(), self.first.day());
        match self.unit {
            PartitionUnit::Month => format!("{table}_{year:04}_{month:02}"),
            PartitionUnit::Day => format!("{table}_{year:04}_{month:02}_{day:02}"),
        }
    }

    /// Reads a name back; `None` for a partition that was made by hand.
    pub(super) fn parse(table: &str, name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(table)?.strip_prefix('_')?.split('_');
        let year = parts.next()?.parse().ok()?;
        let month = parts.next()?.parse().ok()?;
        let (day, unit) = match parts.next() {
            Some(day) => (day.parse().ok()?, PartitionUnit::Day),
            None => (1, PartitionUnit::Month),
        };
        let first = Date::new(year, month, day).ok()?;
        parts.next().is_none().then_some(Self { first, unit })
    }
}

/// Attached and not made in place: CREATE … PARTITION OF locks the parent against readers, and a
/// dump that reads it for an hour would stop the writer.
fn create(tx: &mut Transaction<'_>, table: &str, range: Range) -> Result<(), StoreError> {
    let name = range.name(table);
    let (first, end) = (range.first, range.end());
    let sql = format!(
        "create table if not exists {name} (like {table} including defaults including storage); \
         alter table {table} attach partition {name} \
         for values from ('{first} 00:00:00+00') to ('{end} 00:00:00+00')"
    );
    tx.batch_execute(&sql)
        .map_err(StoreError::during("create a partition"))
}

fn read<R: BulkRow>(tx: &mut Transaction<'_>) -> Result<Cover, StoreError> {
    let sql = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid \
               where i.inhparent = $1::text::regclass";
    let rows = tx
        .query(sql, &[&R::TABLE])
        .map_err(StoreError::during("list the partitions"))?;
    let mut cover = Cover::default();
    for row in rows {
        let name: String = row.get(0);
        if let Some(range) = Range::parse(R::TABLE, &name) {
            cover.add(range);
        }
    }
    Ok(cover)
}

fn day_of(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}

fn date_of(day: i64) -> Date {
    // The first day begins before the earliest time, which lies in the same day.
    let time = Time::from_nanos(day.saturating_mul(DAY_NANOS));
    jiff::Timestamp::from(time)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_range() {
        let check = |date: Date, unit, name: &str, end: Date| {
            let range = Cover::default().range_for(date, unit);
            assert_eq!(range.name("t"), name);
            assert_eq!(range.end(), end);
            assert_eq!(Range::parse("t", name), Some(range));
        };
        use PartitionUnit::{Day, Month};
        let date = Date::constant;
        check(date(2021, 11, 4), Month, "t_2021_11", date(2021, 12, 1));
        check(date(2021, 12, 31), Month, "t_2021_12", date(2022, 1, 1));
        check(date(2024, 2, 29), Day, "t_2024_02_29", date(2024, 3, 1));
        check(date(1970, 1, 1), Month, "t_1970_01", date(1970, 2, 1));
        check(date(2262, 4, 11), Day, "t_2262_04_11", date(2262, 4, 12));
        assert_eq!(Range::parse("t", "t_by_hand"), None);
        assert_eq!(Range::parse("t", "t_2021_13"), None);
        assert_eq!(Range::parse("t", "t_2021_11_04_x"), None);
    }

    #[test]
    fn every_day_of_time_has_a_date() {
        for nanos in [i64::MIN, -1, 0, DAY_NANOS - 1, DAY_NANOS, i64::MAX] {
            let day = nanos.div_euclid(DAY_NANOS);
            let expected = jiff::Timestamp::from(Time::from_nanos(nanos));
            let expected = expected.to_zoned(jiff::tz::TimeZone::UTC).date();
            assert_eq!(date_of(day), expected);
            assert_eq!(day_of(expected), day);
        }
    }

    #[test]
    fn a_month_with_days_keeps_to_days() {
        let mut cover = Cover::default();
        let date = Date::constant(2021, 11, 4);
        cover.add(Range {
            first: date,
            unit: PartitionUnit::Day,
        });
        let next = cover.range_for(Date::constant(2021, 11, 5), PartitionUnit::Month);
        assert_eq!(next.name("t"), "t_2021_11_05");
        cover.add(Range {
            first: Date::constant(2021, 12, 1),
            unit: PartitionUnit::Month,
        });
        assert!(cover.days.contains(&day_of(Date::constant(2021, 12, 31))));
    }
}
