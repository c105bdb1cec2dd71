//! Every row is there exactly once, and errors say whether to try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisor_testkit::{Postgres, TestDatabase};
use divisord::store::rows::RowBatch;
use divisord::store::{PartitionUnit, StoreError, Writer};

use super::{TS, count, level, open, text, tick};

#[test]
fn two_writers_cannot_both_go_on() {
    let database = Postgres::shared().database();
    let (mut first, mut second) = (open(&database), open(&database));
    first
        .write(
            &RowBatch {
                ticks: vec![tick(1, TS)],
                ..RowBatch::default()
            },
            1,
        )
        .unwrap();
    let rival = RowBatch {
        ticks: vec![tick(2, TS)],
        ..RowBatch::default()
    };
    let error = second.write(&rival, 2).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Fenced {
                expected: 0,
                found: 1
            }
        ),
        "{error}"
    );
    assert!(!error.is_outage());
    assert_eq!(count(&mut database.connect(), "price_tick"), 1);
    let error = first.write(&rival, 1).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NotForward {
                position: 1,
                reached: 1
            }
        ),
        "{error}"
    );
    first.write(&RowBatch::default(), 1).unwrap();
}

#[test]
fn a_database_belongs_to_one_journal() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    writer.claim("journal-a").unwrap();
    writer.claim("journal-a").unwrap();
    let error = open(&database).claim("journal-b").unwrap_err();
    assert!(
        matches!(error, StoreError::ForeignJournal { .. }),
        "{error}"
    );
}

#[test]
fn a_mistake_in_a_long_copy_is_not_taken_for_an_outage() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    // The first two rows collide; megabytes follow after the server has given up.
    let mut levels = vec![level(1, 1, TS), level(1, 1, TS)];
    levels.extend((2..60_000).map(|seq| level(1, seq, TS)));
    let batch = RowBatch {
        levels,
        ..RowBatch::default()
    };
    let error = writer.write(&batch, 1).unwrap_err();
    assert!(!error.is_outage(), "{error}");
    assert!(error.to_string().contains("[23505]"), "{error}");
    assert_eq!(writer.last_position().unwrap(), 0, "the connection goes on");
    writer
        .write(
            &RowBatch {
                levels: vec![level(1, 1, TS)],
                ..RowBatch::default()
            },
            1,
        )
        .unwrap();
}

#[test]
fn every_row_is_there_once_however_often_the_connection_dies() {
    const BATCHES: u64 = 80;
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    let done = Arc::new(AtomicBool::new(false));
    let killer = std::thread::spawn({
        let (mut admin, done) = (database.connect(), Arc::clone(&done));
        move || {
            let mut kills = 0i64;
            while !done.load(Ordering::Relaxed) {
                kills += admin
                    .query_one(
                        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                         where datname = current_database() and pid <> pg_backend_pid()",
                        &[],
                    )
                    .unwrap()
                    .get::<_, i64>(0);
                std::thread::sleep(Duration::from_millis(40 + kills.cast_unsigned() * 37 % 60));
            }
            kills
        }
    });
    let mut outages = 0;
    let mut reached = 0;
    while reached < BATCHES {
        let position = reached + 1;
        let ts = |n: u64| TS.saturating_add((n * 36_000_000_000_000).cast_signed());
        let batch = RowBatch {
            ticks: (0..2_000).map(|_| tick(position, ts(position))).collect(),
            levels: (0..500)
                .map(|n| level(position, position * 500 + n, ts(position)))
                .collect(),
            ..RowBatch::default()
        };
        match writer.write(&batch, position) {
            Ok(()) => reached = position,
            Err(error) => {
                assert!(error.is_outage(), "{error}");
                outages += 1;
                (writer, reached) = reopen(&database);
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let kills = killer.join().unwrap();
    assert!(outages > 2 && kills > 2, "{outages} outages, {kills} kills");
    let mut client = database.connect();
    assert_eq!(
        count(&mut client, "price_tick"),
        BATCHES.cast_signed() * 2_000
    );
    assert_eq!(
        count(&mut client, "index_level"),
        BATCHES.cast_signed() * 500
    );
    let uneven = "select count(*)::text from (select from price_tick group by position \
                  having count(*) <> 2000) x";
    assert_eq!(text(&mut client, uneven), "0");
}

fn reopen(database: &TestDatabase) -> (Writer, u64) {
    loop {
        let opened = Writer::connect(&database.config(), PartitionUnit::Month);
        match opened.and_then(|mut writer| writer.last_position().map(|p| (writer, p))) {
            Ok(opened) => return opened,
            Err(error) => assert!(error.is_outage(), "{error}"),
        }
    }
}

#[test]
fn a_server_that_is_away_or_read_only_is_an_outage() {
    let mut nowhere = postgres::Config::new();
    nowhere
        .host_path("/nonexistent")
        .user("nobody")
        .dbname("none");
    let error = Writer::connect(&nowhere, PartitionUnit::Month)
        .err()
        .unwrap();
    assert!(error.is_outage(), "{error}");

    let database = Postgres::shared().database();
    let mut writer = open(&database);
    let name = text(&mut database.connect(), "select current_database()::text");
    database
        .connect()
        .batch_execute(&format!(
            "alter database {name} set default_transaction_read_only = on"
        ))
        .unwrap();
    writer
        .write(
            &RowBatch {
                ticks: vec![tick(1, TS)],
                ..RowBatch::default()
            },
            1,
        )
        .unwrap();
    let mut config = database.config();
    config.options("-c default_transaction_read_only=on");
    let error = Writer::connect(&config, PartitionUnit::Month).and_then(|mut writer| {
        writer.write(
            &RowBatch {
                ticks: vec![tick(2, TS)],
                ..RowBatch::default()
            },
            2,
        )
    });
    let error = error.unwrap_err();
    assert!(error.is_outage(), "{error}");
}
