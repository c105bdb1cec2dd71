//! Migrations and partitions.

use std::time::Duration;

use divisor_testkit::Postgres;
use divisord::store::rows::RowBatch;
use divisord::store::{PartitionUnit, Writer, migrate};
use postgres::Client;

use super::{TS, count, open, text, tick, time};

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
    let mut applied: Vec<_> = reports.iter().filter(|r| !r.applied.is_empty()).collect();
    let first = applied.pop().map(|report| report.applied[0].as_str());
    assert_eq!(first, Some("V1__core"));
    assert!(applied.is_empty(), "one of them does it: {reports:?}");
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
fn the_url_of_a_test_database_connects() {
    let database = Postgres::shared().database();
    let mut client = Client::connect(&database.url(), postgres::NoTls).unwrap();
    assert_eq!(text(&mut client, "select 'well'"), "well");
}
