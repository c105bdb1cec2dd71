//! Candles of a minute and an hour, in the transaction of their levels.
//!
//! A batch's levels become one bar for each index, step and interval, and one statement merges the
//! bars into the table. A level counts by its own time and number wherever it comes in the journal,
//! so a late one opens, closes or widens the candle it belongs to. Restated levels do not come this
//! way: when their run begins to count, the candles of what it covers are made anew in SQL.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use divisor_engine::{Decimal, Time};
use postgres::{Client, Statement, Transaction};

use super::encode::{Numeric, Stamp};
use super::error::StoreError;
use super::rows::LevelRow;

/// The lengths that are kept, in seconds.
const STEPS: [i32; 2] = [60, 3_600];

const NANOS: i64 = 1_000_000_000;

const MERGE: &str = "insert into candle as c (index_id, step, ts, open_ts, close_ts, open_seq, \
     close_seq, levels, open, high, low, close) \
     select * from unnest($1::int4[], $2::int4[], $3::timestamptz[], $4::timestamptz[], \
         $5::timestamptz[], $6::int8[], $7::int8[], $8::int8[], $9::numeric[], $10::numeric[], \
         $11::numeric[], $12::numeric[]) \
     on conflict (index_id, step, ts) do update set \
     open = case when (excluded.open_ts, excluded.open_seq) < (c.open_ts, c.open_seq) \
         then excluded.open else c.open end, \
     close = case when (excluded.close_ts, excluded.close_seq) > (c.close_ts, c.close_seq) \
         then excluded.close else c.close end, \
     (open_ts, open_seq) = (select * from (values (excluded.open_ts, excluded.open_seq), \
         (c.open_ts, c.open_seq)) v(t, s) order by t, s limit 1), \
     (close_ts, close_seq) = (select * from (values (excluded.close_ts, excluded.close_seq), \
         (c.close_ts, c.close_seq)) v(t, s) order by t desc, s desc limit 1), \
     high = greatest(c.high, excluded.high), low = least(c.low, excluded.low), \
     levels = c.levels + excluded.levels";

/// Which candle: index, step, and the interval's beginning in nanoseconds.
type Key = (u32, i32, i64);

/// The place of a level among those of its index: its microsecond and its number.
type Place = (i64, u64);

/// The candle of a batch's levels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bar {
    first: Place,
    last: Place,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    levels: i64,
}

/// The prepared statements.
pub(super) struct Candles {
    merge: Statement,
}

impl Candles {
    pub(super) fn prepare(client: &mut Client) -> Result<Self, postgres::Error> {
        Ok(Self {
            merge: client.prepare(MERGE)?,
        })
    }

    /// Brings the candles in line with levels that were just written.
    pub(super) fn write(
        &self,
        tx: &mut Transaction<'_>,
        levels: &[LevelRow],
    ) -> Result<(), StoreError> {
        if levels.is_empty() {
            return Ok(());
        }
        self.merge(tx, &gather(levels))
            .map_err(StoreError::during("keep the candles"))
    }

    fn merge(
        &self,
        tx: &mut Transaction<'_>,
        bars: &BTreeMap<Key, Bar>,
    ) -> Result<(), postgres::Error> {
        if bars.is_empty() {
            return Ok(());
        }
        let stamp = |micros: i64| Stamp(Time::from_nanos(micros.saturating_mul(1_000)));
        let keys = || bars.keys();
        let indexes: Vec<i32> = keys().map(|(index, _, _)| index.cast_signed()).collect();
        let steps: Vec<i32> = keys().map(|(_, step, _)| *step).collect();
        let begins: Vec<Stamp> = keys()
            .map(|(_, _, at)| Stamp(Time::from_nanos(*at)))
            .collect();
        let times = |of: fn(&Bar) -> Place| -> Vec<Stamp> {
            bars.values().map(|bar| stamp(of(bar).0)).collect()
        };
        let numbers = |of: fn(&Bar) -> Place| -> Vec<i64> {
            bars.values().map(|bar| of(bar).1.cast_signed()).collect()
        };
        let values = |of: fn(&Bar) -> Decimal| -> Vec<Numeric> {
            bars.values().map(|bar| Numeric(of(bar))).collect()
        };
        let counts: Vec<i64> = bars.values().map(|bar| bar.levels).collect();
        tx.execute(
            &self.merge,
            &[
                &indexes,
                &steps,
                &begins,
                &times(|bar| bar.first),
                &times(|bar| bar.last),
                &numbers(|bar| bar.first),
                &numbers(|bar| bar.last),
                &counts,
                &values(|bar| bar.open),
                &values(|bar| bar.high),
                &values(|bar| bar.low),
                &values(|bar| bar.close),
            ],
        )?;
        Ok(())
    }
}

/// The bars of these levels. Those of a run count later.
fn gather(levels: &[LevelRow]) -> BTreeMap<Key, Bar> {
    let mut bars = BTreeMap::new();
    for row in levels.iter().filter(|row| row.run == 0) {
        for step in STEPS {
            let length = i64::from(step) * NANOS;
            let begin = row.ts.as_nanos().div_euclid(length).saturating_mul(length);
            match bars.entry((row.index, step, begin)) {
                Entry::Vacant(free) => {
                    free.insert(Bar::of(row));
                }
                Entry::Occupied(mut bar) => bar.get_mut().add(row),
            }
        }
    }
    bars
}

impl Bar {
    fn of(row: &LevelRow) -> Self {
        let place = (row.ts.as_nanos().div_euclid(1_000), row.seq);
        Self {
            first: place,
            last: place,
            open: row.level,
            high: row.level,
            low: row.level,
            close: row.level,
            levels: 1,
        }
    }

    fn add(&mut self, row: &LevelRow) {
        let other = Self::of(row);
        if other.first < self.first {
            (self.first, self.open) = (other.first, other.open);
        }
        if other.last > self.last {
            (self.last, self.close) = (other.last, other.close);
        }
        self.high = larger(self.high, row.level);
        self.low = smaller(self.low, row.level);
        self.levels += 1;
    }
}

/// Levels of one index may differ in their places, after its rounding was changed.
fn larger(a: Decimal, b: Decimal) -> Decimal {
    if is_less(a, b) { b } else { a }
}

fn smaller(a: Decimal, b: Decimal) -> Decimal {
    if is_less(b, a) { b } else { a }
}

fn is_less(a: Decimal, b: Decimal) -> bool {
    let places = a.places().max(b.places());
    match (a.at_places(places), b.at_places(places)) {
        (Some(a), Some(b)) => a < b,
        // One has no room for the other's places: by far the larger one, then.
        (None, Some(_)) => a.mantissa() < 0,
        (_, None) => b.mantissa() > 0,
    }
}
