//! Candles are what their levels make, whatever comes late, twice or restated; and they stay when
//! the levels go.

use std::time::Duration;

use divisor_engine::Time;
use divisor_testkit::{Postgres, TestDatabase};
use divisord::store::rows::{LevelRow, RowBatch};
use divisord::store::{Keep, PartitionUnit, Writer};
use proptest::prelude::*;

use super::{count, decimal, definitions, level, open, text, tick, time};

/// Rows of `candle` that differ from what the levels make, by the definition in SQL.
fn differences(database: &TestDatabase) -> i64 {
    let sql = "with made as (select c.* from index_definition i, \
               (values (60), (3600)) s(step), \
               candles_of(i.id, s.step, '-infinity', 'infinity') c) \
               select count(*) from ((table candle except table made) union all \
               (table made except table candle)) d";
    database.connect().query_one(sql, &[]).unwrap().get(0)
}

fn row(position: u64, seq: u64, at: i64, value: &str, run: u32) -> LevelRow {
    LevelRow {
        level: decimal(value),
        run,
        ..level(position, seq, Time::from_nanos(at))
    }
}

fn levels(rows: Vec<LevelRow>) -> RowBatch {
    RowBatch {
        levels: rows,
        ..RowBatch::default()
    }
}

const START: i64 = 1_636_036_200_000_000_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Levels in any order of time, in batches of any size, some of them restated later: after each
    /// batch the candles are those of the levels.
    #[test]
    fn candles_are_what_the_levels_make(
        steps in prop::collection::vec((0i64..4_000_000, 0u32..100_000, prop::bool::weighted(0.15)), 1..60),
        size in 1usize..20,
    ) {
        let database = Postgres::shared().database();
        let mut writer = open(&database);
        writer.write(&definitions(), 5).unwrap();
        let mut position = 5;
        let mut made: Vec<(u64, i64, u32)> = Vec::new();
        for batch in steps.chunks(size) {
            let mut rows = Vec::new();
            for (millis, cents, restates) in batch {
                position += 1;
                let value = format!("{}.{:02}", cents / 100, cents % 100);
                let again = (*restates && !made.is_empty()).then(|| *cents as usize % made.len());
                if let Some(at) = again {
                    made[at].2 += 1;
                    let (seq, ts, run) = made[at];
                    rows.push(row(position, seq, ts, &value, run));
                } else {
                    let seq = made.len() as u64 + 1;
                    let ts = START + millis * 1_000_000;
                    made.push((seq, ts, 0));
                    rows.push(row(position, seq, ts, &value, 0));
                }
            }
            writer.write(&levels(rows), position).unwrap();
            prop_assert_eq!(differences(&database), 0);
        }
    }
}

#[test]
fn a_late_level_opens_and_a_restated_one_replaces() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    let mut writer = open(&database);
    writer.write(&definitions(), 5).unwrap();
    let mut minute = |writer: &mut Writer, rows: Vec<LevelRow>, position: u64, expected: &str| {
        writer.write(&levels(rows), position).unwrap();
        let sql = "select concat_ws(' ', open, high, low, close, levels) from candle \
                   where step = 60 order by ts limit 1";
        assert_eq!(text(&mut client, sql), expected);
        assert_eq!(differences(&database), 0);
    };
    let at = |seconds: i64| START + seconds * 1_000_000_000;
    let first = vec![row(6, 1, at(10), "10.00", 0), row(6, 2, at(20), "12.00", 0)];
    minute(&mut writer, first, 6, "10.00 12.00 10.00 12.00 2");
    let late = vec![row(7, 3, at(5), "11.5", 0)];
    minute(&mut writer, late, 7, "11.5 12.00 10.00 12.00 3");
    let restated = vec![row(8, 2, at(20), "9.00", 1)];
    minute(&mut writer, restated, 8, "11.5 11.5 9.00 9.00 3");
    let more = vec![row(9, 4, at(30), "-1.00", 0)];
    minute(&mut writer, more, 9, "11.5 11.5 -1.00 -1.00 4");
}

#[test]
fn old_partitions_go_and_candles_stay() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    let mut writer = Writer::connect(&database.config(), PartitionUnit::Day).unwrap();
    writer.write(&definitions(), 5).unwrap();
    let days = ["2026-01-01", "2026-01-02", "2026-01-09"];
    let at = |day: &str| time(&format!("{day}T12:00:00Z"));
    let batch = RowBatch {
        ticks: days.iter().map(|day| tick(6, at(day))).collect(),
        levels: (1..)
            .zip(days)
            .map(|(seq, day)| level(6, seq, at(day)))
            .collect(),
        ..RowBatch::default()
    };
    writer.write(&batch, 6).unwrap();
    let day = Duration::from_secs(86_400);
    let now = time("2026-01-10T01:00:00Z");
    let keep = Keep::default();
    writer.drop_old(keep, now).unwrap();
    assert_eq!(count(&mut client, "price_tick"), 3, "for ever by default");
    let keep = Keep {
        ticks: Some(day * 8),
        levels: None,
    };
    writer.drop_old(keep, now).unwrap();
    assert_eq!(
        count(&mut client, "price_tick"),
        2,
        "a day that has ended is old, one that has not is not"
    );
    assert_eq!(count(&mut client, "index_level"), 3);
    let keep = Keep {
        ticks: Some(day * 8),
        levels: Some(day * 7),
    };
    writer.drop_old(keep, now).unwrap();
    assert_eq!(count(&mut client, "index_level"), 1);
    assert_eq!(count(&mut client, "candle"), 6);
    // A late level makes its partition again.
    writer
        .write(&levels(vec![level(7, 4, at("2026-01-01"))]), 7)
        .unwrap();
    assert_eq!(count(&mut client, "index_level"), 2);
}

/// A database of the version before has candles of all its levels after the migration.
#[test]
fn the_migration_makes_the_candles_of_what_is_there() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    writer.write(&definitions(), 5).unwrap();
    let at = |seconds: i64| START + seconds * 1_000_000_000;
    let rows: Vec<LevelRow> = (0..200)
        .map(|n| {
            row(
                6,
                n + 1,
                at(n.cast_signed() * 37 % 7_000),
                &format!("{}.5", n % 17),
                0,
            )
        })
        .collect();
    writer.write(&levels(rows), 6).unwrap();
    let mut client = database.connect();
    let before = count(&mut client, "candle");
    let migration = include_str!("../../../../migrations/V2__candles.sql");
    client
        .batch_execute(&format!(
            "drop function candles_of; drop table candle; {migration}"
        ))
        .unwrap();
    assert_eq!(count(&mut client, "candle"), before);
    assert_eq!(differences(&database), 0);
}
