//! The writer and the migrations against a real PostgreSQL.

mod candles;
mod once;
mod rows;
mod schema;

use divisor_engine::{Decimal, Time};
use divisor_testkit::TestDatabase;
use divisord::store::rows::{
    ActionRow, CloseRow, CommandRow, Effect, IndexRow, LabelRow, LevelRow, MemberRow, Origin,
    RevisionRow, RowBatch, SecurityRow, TickRow,
};
use divisord::store::{PartitionUnit, Writer};
use jiff::civil::date;
use postgres::Client;

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
        kind: divisor_engine::Kind::Trade,
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
                position: 1,
                text: "feed-1".into(),
            },
            LabelRow {
                id: 2,
                position: 2,
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
            life: "active".into(),
            body: r#"{"isin":"US0846707026","odd":"\u0000","big":1e999999}"#.into(),
        }],
        indexes: vec![IndexRow {
            id: 0,
            code: "DOW30".into(),
            name: None,
            currency: "USD".into(),
            position: 2,
            life: "inactive".into(),
            body: r#"{ "rounding": {"level": 2} }"#.into(),
        }],
        revisions: vec![revision()],
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
            status: "closed".into(),
            seq: 9,
            prev_close: Some(decimal("36157.58")),
            divisor: Some(decimal("0.15172752595384")),
            soq: None,
            body: r#"{"members":[[0,"1","150.96"]]}"#.into(),
        }],
        ..RowBatch::default()
    }
}

fn revision() -> RevisionRow {
    RevisionRow {
        run: 0,
        index: 0,
        revision: 1,
        position: 2,
        effective: TS,
        divisor: Some(decimal("0.15172752595384")),
        cash: None,
        body: "{}".into(),
        members: vec![MemberRow {
            security: 0,
            coefficient: decimal("1"),
            price: Some(decimal("286.17")),
            weight: Some(decimal("0.052000000000")),
        }],
    }
}
