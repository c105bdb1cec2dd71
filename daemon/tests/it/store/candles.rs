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
    /// batch the candles are those of the levels that count.
    #[test]
    fn candles_are_what_the_levels_make(
        steps in prop::collection::vec((0i64..4_000_000, 0u32..100_000, prop::bool::weighted(0.15)), 1..60),
        size in 1usize..20,
    ) {
        let database = Postgres::shared().database();
        let mut writer = open(&database);
        writer.write(&definitions(), 5).unwrap();
        let mut position = 5;
        let mut made: Vec<LevelRow> = Vec::new();
        let mut run = 0;
        for batch in steps.chunks(size) {
            let mut rows = Vec::new();
            for (millis, cents, _) in batch {
                position += 1;
                let value = format!("{}.{:02}", cents / 100, cents % 100);
                let seq = made.len() as u64 + 1;
                rows.push(row(position, seq, START + millis * 1_000_000, &value, 0));
                made.extend(rows.last().cloned());
            }
            writer.write(&levels(rows), position).unwrap();
            for (millis, cents, restates) in batch {
                if *restates {
                    run += 1;
                    position += 1;
                    let from = *cents as usize % made.len();
                    let until = made.len().min(from + 1 + *millis as usize % 7);
                    let value = |at: usize| format!("{}.5", (*millis as usize * (at + 1)) % 999);
                    let again = (from..until).map(|at| LevelRow { level: decimal(&value(at)), run, ..made[at].clone() });
                    let again: Vec<LevelRow> = again.collect();
                    let covers = (made[from].position, made[until - 1].position + 1);
                    restate(&database, &mut writer, again, position, covers);
                }
            }
            prop_assert_eq!(differences(&database), 0);
        }
    }
}

/// Writes the levels of a run, and lets it count for the positions that it covers.
fn restate(
    database: &TestDatabase,
    writer: &mut Writer,
    rows: Vec<LevelRow>,
    position: u64,
    (from, until): (u64, u64),
) {
    let run = rows[0].run;
    writer.write(&levels(rows), position).unwrap();
    let sql = format!(
        "insert into correction_run (run, position) values ({run}, {position}); \
         insert into restatement (run, index_id, policy, from_position, until_position, levels, \
         closes) select {run}, id, 'full', {from}, {until}, 0, 0 from index_definition limit 1; \
         select remake_candles(id, {run}) from index_definition limit 1"
    );
    database.connect().batch_execute(&sql).unwrap();
}

#[test]
fn a_late_level_opens_and_a_restated_one_replaces() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    let mut writer = open(&database);
    writer.write(&definitions(), 5).unwrap();
    let mut minute = |expected: &str| {
        let sql = "select concat_ws(' ', open, high, low, close, levels) from candle \
                   where step = 60 order by ts limit 1";
        assert_eq!(text(&mut client, sql), expected);
        assert_eq!(differences(&database), 0);
    };
    let at = |seconds: i64| START + seconds * 1_000_000_000;
    let first = vec![row(6, 1, at(10), "10.00", 0), row(7, 2, at(20), "12.00", 0)];
    writer.write(&levels(first), 7).unwrap();
    minute("10.00 12.00 10.00 12.00 2");
    writer
        .write(&levels(vec![row(8, 3, at(5), "11.5", 0)]), 8)
        .unwrap();
    minute("11.5 12.00 10.00 12.00 3");
    let restated = vec![row(7, 2, at(20), "9.00", 1)];
    restate(&database, &mut writer, restated, 9, (7, 8));
    minute("11.5 11.5 9.00 9.00 3");
    writer
        .write(&levels(vec![row(10, 4, at(30), "-1.00", 0)]), 10)
        .unwrap();
    minute("11.5 11.5 -1.00 -1.00 4");
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
