//! The writer and the migrations against a real PostgreSQL.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use divisor_engine::{Decimal, Time};
use divisor_testkit::{Postgres, TestDatabase};
use divisord::store::rows::{
    ActionRow, CloseRow, CommandRow, Effect, IndexRow, LabelRow, LevelRow, MemberRow, Origin,
    RateRow, RevisionRow, RowBatch, SecurityRow, TickRow,
};
use divisord::store::{Numeric, PartitionUnit, Stamp, StoreError, Writer, migrate};
use jiff::civil::date;
use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// 2021-11-04T14:30:00.123456789Z.
const TS: Time = Time::from_nanos(1_636_036_200_123_456_789);

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn time(text: &str) -> Time {
    let stamp: jiff::Timestamp = text.parse().unwrap();
    Time::from_nanos(i64::try_from(stamp.as_nanosecond()).unwrap())
}

fn open(database: &TestDatabase) -> Writer {
    Writer::connect(&database.config(), PartitionUnit::Month).unwrap()
}

fn text(client: &mut Client, sql: &str) -> String {
    client.query_one(sql, &[]).unwrap().get(0)
}

fn count(client: &mut Client, table: &str) -> i64 {
    client
        .query_one(&format!("select count(*) from {table}"), &[])
        .unwrap()
        .get(0)
}

fn tick(position: u64, ts: Time) -> TickRow {
    TickRow {
        origin: Origin {
            position,
            ts,
            received: ts.saturating_add(1_001),
            src: 1,
            inc: Some(7),
            seq: Some(position),
            effect: Effect::Applied,
        },
        security: 0,
        price: decimal("189.84"),
        size: None,
        venue: None,
    }
}

fn level(position: u64, seq: u64, ts: Time) -> LevelRow {
    LevelRow {
        position,
        index: 0,
        seq,
        level: decimal("39131.53"),
        prev_close: Some(decimal("39069.11")),
        ts,
        ts_calc: ts.saturating_add(5),
        revision: 1,
        run: 0,
        stale: 0,
        status: "live".into(),
    }
}

fn definitions() -> RowBatch {
    RowBatch {
        labels: vec![
            LabelRow {
                id: 1,
                text: "feed-1".into(),
            },
            LabelRow {
                id: 2,
                text: "XNYS".into(),
            },
        ],
        securities: vec![SecurityRow {
            id: 0,
            symbol: "BRK.B".into(),
            name: Some("Berkshire\0Hathaway".into()),
            currency: "USD".into(),
            price_places: 2,
            position: 1,
            body: r#"{"isin":"US0846707026","odd":"\u0000","big":1e999999}"#.into(),
        }],
        indexes: vec![IndexRow {
            id: 0,
            code: "DOW30".into(),
            name: None,
            currency: "USD".into(),
            position: 2,
            body: r#"{ "rounding": {"level": 2} }"#.into(),
        }],
        revisions: vec![RevisionRow {
            index: 0,
            revision: 1,
            position: 2,
            effective: TS,
            divisor: decimal("0.15172752595384"),
            cash: None,
            body: "{}".into(),
            members: vec![MemberRow {
                security: 0,
                coefficient: decimal("1"),
                price: Some(decimal("286.17")),
                weight: Some(decimal("0.052000000000")),
            }],
        }],
        actions: vec![ActionRow {
            position: 3,
            place: 0,
            index: None,
            security: Some(0),
            kind: "split".into(),
            ex_date: Some(date(2021, 11, 5)),
            body: r#"{"ratio":"2"}"#.into(),
        }],
        commands: vec![CommandRow {
            position: 2,
            received: TS,
            client: "ops".into(),
            user: Some("anna".into()),
            verb: "define-index".into(),
            body: r#"{"a" : 1.10}"#.into(),
        }],
        closes: vec![CloseRow {
            index: 0,
            day: date(2021, 11, 4),
            run: 0,
            revision: 1,
            position: 4,
            ts: TS,
            level: decimal("36124.23"),
        }],
        ..RowBatch::default()
    }
}

#[test]
fn every_row_reads_back_as_it_was_written() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    assert_eq!(writer.last_position().unwrap(), 0);
    let mut batch = definitions();
    let mut full = tick(5, TS);
    full.origin.inc = Some(u64::MAX);
    full.origin.effect = Effect::Late;
    full.size = Some(decimal("100"));
    full.venue = Some(2);
    batch.ticks = vec![full, tick(6, TS.saturating_add(-1))];
    batch.rates = vec![RateRow {
        origin: tick(7, TS).origin,
        base: "EUR".into(),
        quote: "USD".into(),
        rate: decimal("1.15530"),
    }];
    batch.levels = vec![
        level(5, 1, TS),
        LevelRow {
            prev_close: None,
            ..level(6, 2, TS)
        },
    ];
    assert_eq!(batch.len(), 14);
    writer.write(&batch, 7).unwrap();
    assert_eq!(writer.last_position().unwrap(), 7);
    assert_eq!(writer.labels().unwrap(), batch.labels);

    let mut client = database.connect();
    client.batch_execute("set timezone = 'UTC'").unwrap();
    let mut check =
        |sql: &str, expected: &str| assert_eq!(text(&mut client, sql), expected, "{sql}");
    check(
        "select t::text from tick t where position = 5",
        "(\"2021-11-04 14:30:00.123456+00\",BRK.B,189.84,100,XNYS,feed-1,18446744073709551615,5,\
         late,\"2021-11-04 14:30:00.123457+00\",5)",
    );
    check(
        "select ts_nanos || ' ' || received_nanos from price_tick where position = 5",
        "789 790",
    );
    check(
        "select ts_nanos || ' ' || coalesce(size, -1) from price_tick where position = 6",
        "788 -1",
    );
    check(
        "select base || quote || rate || src || effect from rate",
        "EURUSD1.15530feed-1applied",
    );
    check(
        "select \"index\" || ' ' || level || ' ' || chg || ' ' || chg_pct || ' ' || status || ' ' \
         || revision || ' ' || seq from level where seq = 1",
        "DOW30 39131.53 62.42 0.16 live 1 1",
    );
    check(
        "select (prev_close is null)::text from index_level where seq = 2",
        "true",
    );
    check("select name from security", "Berkshire\u{fffd}Hathaway");
    check("select body::text from security", &batch.securities[0].body);
    check(
        "select body::text from index_definition",
        &batch.indexes[0].body,
    );
    check(
        "select body::text || usr || verb from command",
        "{\"a\" : 1.10}annadefine-index",
    );
    check(
        "select divisor || ' ' || effective_nanos from basket",
        "0.15172752595384 789",
    );
    check(
        "select coefficient || ' ' || price || ' ' || weight from basket_member",
        "1 286.17 0.052000000000",
    );
    check(
        "select kind || ex_date from corporate_action",
        "split2021-11-05",
    );
    check(
        "select day || ' ' || level from official_close",
        "2021-11-04 36124.23",
    );
}

#[test]
fn a_definition_is_replaced_by_its_next() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    writer.write(&definitions(), 4).unwrap();
    let mut again = RowBatch {
        securities: definitions().securities,
        ..RowBatch::default()
    };
    again.securities[0].symbol = "BRKB".into();
    writer.write(&again, 5).unwrap();
    assert_eq!(
        text(
            &mut database.connect(),
            "select string_agg(symbol, ',') from security"
        ),
        "BRKB"
    );
}

#[test]
fn numbers_are_what_postgres_prints() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    let statement = client
        .prepare("select $1::numeric::text, $1::numeric, $2::text::numeric")
        .unwrap();
    let mut check = |value: Decimal| {
        let printed = value.to_string();
        let row = client
            .query_one(&statement, &[&Numeric(value), &printed])
            .unwrap();
        // A minus before zero is ours alone.
        assert_eq!(row.get::<_, String>(0), printed, "{value:?}");
        for column in [1, 2] {
            let Numeric(back) = row.get(column);
            assert_eq!(
                (back.mantissa(), back.places()),
                (value.mantissa(), value.places())
            );
        }
    };
    for places in 0..=38 {
        for mantissa in [
            0,
            1,
            -1,
            9_999,
            10_000,
            10_001,
            99_999_999,
            100_000_000,
            i128::MAX,
        ] {
            check(Decimal::new(mantissa, places));
        }
    }
    let check = RefCell::new(check);
    let strategy = (any::<i128>(), 0u32..127, 0u8..=38);
    TestRunner::default()
        .run(&strategy, |(mantissa, shift, places)| {
            // Shifted, so that short numbers come as often as long ones.
            check.borrow_mut()(Decimal::new(mantissa >> shift, places));
            Ok(())
        })
        .unwrap();
}

#[test]
fn numbers_and_times_survive_the_copy() {
    let database = Postgres::shared().database();
    let writer = open(&database);
    let mut runner = TestRunner::default();
    // From 1900 to 2262, few enough months that not every row makes a partition.
    let time = (-26_000i64..=106_000).prop_map(|day| day / 1_000 * 1_000 * 86_400_000_000_000);
    let nanos = 0i64..86_400_000_000_000;
    let strategy =
        proptest::collection::vec((1i128..i128::MAX, 0u32..100, 0u8..=38, time, nanos), 1..200);
    let state = RefCell::new((writer, database.connect(), 0));
    runner
        .run(&strategy, |rows| {
            let (writer, client, last) = &mut *state.borrow_mut();
            *last += 1;
            let position = *last;
            let make =
                |(mantissa, shift, places, day, nanos): &(i128, u32, u8, i64, i64)| TickRow {
                    price: Decimal::new(mantissa >> shift, *places),
                    ..tick(position, Time::from_nanos(day.saturating_add(*nanos)))
                };
            let batch = RowBatch {
                ticks: rows.iter().map(make).collect(),
                ..RowBatch::default()
            };
            writer.write(&batch, position).unwrap();
            let sql = "select price::text, ts, ts_nanos from price_tick where position = $1 \
                       order by ts, ts_nanos, price::text";
            let mut expected: Vec<(Time, String)> = batch
                .ticks
                .iter()
                .map(|row| (row.origin.ts, row.price.to_string()))
                .collect();
            expected.sort();
            let found = client.query(sql, &[&position.cast_signed()]).unwrap();
            let mut found: Vec<(Time, String)> = found
                .iter()
                .map(|row| {
                    let Stamp(ts) = row.get(1);
                    (
                        ts.saturating_add(i64::from(row.get::<_, i16>(2))),
                        row.get(0),
                    )
                })
                .collect();
            found.sort();
            prop_assert_eq!(found, expected);
            Ok(())
        })
        .unwrap();
}

#[test]
fn partitions_are_made_for_any_day() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    let names = |client: &mut Client| {
        text(
            client,
            "select coalesce(string_agg(relname, ' ' order by relname), '') from pg_inherits \
                      join pg_class c on c.oid = inhrelid where inhparent = 'price_tick'::regclass",
        )
    };
    let ticks = |position, times: &[&str]| RowBatch {
        ticks: times.iter().map(|t| tick(position, time(t))).collect(),
        ..RowBatch::default()
    };
    let mut writer = open(&database);
    let odd = [
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999999Z",
        "2262-04-11T23:47:16Z",
        "2024-02-29T12:00:00Z",
        "2021-12-31T23:59:59.999999Z",
        "2022-01-01T00:00:00Z",
    ];
    writer.write(&ticks(1, &odd), 1).unwrap();
    assert_eq!(
        names(&mut client),
        "price_tick_1969_12 price_tick_1970_01 price_tick_2021_12 \
                                    price_tick_2022_01 price_tick_2024_02 price_tick_2262_04"
    );
    // The unit changes, and changes back: ranges must not overlap.
    let mut writer = Writer::connect(&database.config(), PartitionUnit::Day).unwrap();
    writer
        .write(
            &ticks(2, &["2021-12-30T00:00:00Z", "2021-11-04T00:00:00Z"]),
            2,
        )
        .unwrap();
    let mut writer = open(&database);
    writer
        .write(
            &ticks(3, &["2021-11-05T00:00:00Z", "2021-10-05T00:00:00Z"]),
            3,
        )
        .unwrap();
    let all = names(&mut client);
    for name in ["2021_10", "2021_11_04", "2021_11_05", "2021_12"] {
        assert!(
            all.split(' ')
                .any(|found| found == format!("price_tick_{name}")),
            "{name}: {all}"
        );
    }
    // Retention drops one, or detaches it, while the writer believes that it is there.
    client
        .batch_execute("drop table price_tick_2021_10")
        .unwrap();
    writer
        .write(&ticks(4, &["2021-10-06T00:00:00Z"]), 4)
        .unwrap();
    client
        .batch_execute("alter table price_tick detach partition price_tick_2021_11_05")
        .unwrap();
    writer
        .write(&ticks(5, &["2021-11-05T06:00:00Z"]), 5)
        .unwrap();
    assert_eq!(count(&mut client, "price_tick"), 12 - 1);
    assert_eq!(writer.last_position().unwrap(), 5);
    // The indexes of the parent are on every partition.
    let indexes = "select count(*)::text from pg_indexes where tablename = 'price_tick_2021_11_04'";
    assert_eq!(text(&mut client, indexes), "2");
}

#[test]
fn a_reader_does_not_stop_a_new_partition() {
    let database = Postgres::shared().database();
    let mut writer = open(&database);
    let mut reader = database.connect();
    let mut dump = reader.transaction().unwrap();
    dump.query("select * from price_tick", &[]).unwrap();
    let batch = RowBatch {
        ticks: vec![tick(1, TS)],
        ..RowBatch::default()
    };
    let done = std::thread::spawn(move || writer.write(&batch, 1));
    for _ in 0..500 {
        if done.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(done.is_finished(), "the writer waits for a reader");
    done.join().unwrap().unwrap();
}

#[test]
fn four_daemons_migrate_at_once() {
    let database = Postgres::shared().database();
    let clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut c| std::thread::spawn(move || migrate(&mut c)))
        .collect();
    let reports: Vec<_> = threads
        .into_iter()
        .map(|t| t.join().unwrap().unwrap())
        .collect();
    let applied: usize = reports.iter().map(|report| report.applied.len()).sum();
    assert_eq!(applied, 1, "one of them does it: {reports:?}");
    assert!(reports.iter().any(|report| report.applied == ["V1__core"]));
    let locks = "select count(*)::text from pg_locks where locktype = 'advisory' \
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(text(&mut database.connect(), locks), "0");
}

#[test]
fn a_migration_from_the_future_is_refused() {
    let database = Postgres::shared().database();
    let mut client = database.connect();
    migrate(&mut client).unwrap();
    client
        .batch_execute(
            "insert into refinery_schema_history select version + 1000, 'later', applied_on, \
             checksum from refinery_schema_history",
        )
        .unwrap();
    let error = Writer::connect(&database.config(), PartitionUnit::Month)
        .err()
        .unwrap();
    assert!(
        !error.is_outage() && error.to_string().contains("later"),
        "{error}"
    );
}

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

#[test]
fn the_url_of_a_test_database_connects() {
    let database = Postgres::shared().database();
    let mut client = Client::connect(&database.url(), postgres::NoTls).unwrap();
    assert_eq!(text(&mut client, "select 'well'"), "well");
}
