//! Rows read back as they were written.

use std::cell::RefCell;

use divisor_engine::{Decimal, Time};
use divisor_testkit::Postgres;
use divisord::store::rows::{Effect, LevelRow, RateRow, RowBatch, TickRow};
use divisord::store::{Numeric, Stamp};
use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{TS, decimal, definitions, level, open, text, tick};

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

    check_in_sql(&mut database.connect(), &batch);
}

fn check_in_sql(client: &mut Client, batch: &RowBatch) {
    client.batch_execute("set timezone = 'UTC'").unwrap();
    let mut check = |sql: &str, expected: &str| assert_eq!(text(client, sql), expected, "{sql}");
    check(
        "select t::text from tick t where position = 5",
        "(\"2021-11-04 14:30:00.123456+00\",BRK.B,189.84,100,XNYS,feed-1,18446744073709551615,5,\
         late,\"2021-11-04 14:30:00.123457+00\",5,trade)",
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
        "select day || ' ' || level || ' ' || status || ' ' || prev_close from official_close",
        "2021-11-04 36124.23 closed 36157.58",
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
