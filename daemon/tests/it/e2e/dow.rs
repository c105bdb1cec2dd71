//! Real days: November 2021 of the Dow, across a spin-off, over the wire and into PostgreSQL.

use divisor_testkit::Postgres;
use serde_json::{Value, json};

use super::{Mqtt, column, daemon, fixture};

/// The level before the spin-off, and after it: continuity.
const BEFORE: &str = "36157.58";

#[test]
fn the_dow_closes_as_published_on_the_wire_and_in_postgresql() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let publisher = Mqtt::v4(&daemon, "feed");
    let subscriber = Mqtt::v5(&daemon, "desk");
    subscriber.subscribe("indexes/DJIA/level");
    subscriber.subscribe("indexes/DJIA/event");
    publisher.load(&fixture("dow/before.json"));
    subscriber.wait_level("DJIA", BEFORE);
    publisher.load(&fixture("dow/spinoff.json"));

    let days = fixture("dow/days.json");
    let divisor = days["divisor"].as_str().unwrap();
    let revision = subscriber.wait("the spin-off is told", |m| {
        let event = m.json();
        (event["event"] == "revision" && event["divisor"] == divisor).then_some(event)
    });
    assert_eq!(revision["constituents"], 30, "{revision}");
    let shown = publisher.done("index.show", json!({ "code": "DJIA" }));
    assert_eq!(shown["divisor"], divisor);
    assert_eq!(shown["row"]["level"], BEFORE, "no jump");

    let mut exact = 0;
    for day in days["days"].as_array().unwrap() {
        let last = send_day(&publisher, day);
        let shown = publisher.done("index.show", json!({ "code": "DJIA" }));
        let close = shown["row"]["level"].as_str().unwrap().to_owned();
        // What the subscriber has is what the daemon knows.
        let level = subscriber.wait("the day's close arrives", |m| {
            let level = m.json();
            let is_close = level["seq"] == shown["row"]["seq"] && level["level"].is_string();
            is_close.then_some(level)
        });
        assert_eq!(level["level"], close.as_str());
        assert_eq!(level["ts"], last.as_str(), "the time of the newest price");
        if day["exact"] == true {
            assert_eq!(close, day["published"].as_str().unwrap(), "{}", day["date"]);
            exact += 1;
        }
    }
    assert_eq!(
        exact,
        days["days"].as_array().unwrap().len(),
        "all are exact"
    );

    publisher.wait_projected();
    stored_as_sent(&database, &days);
    let received = subscriber.levels("DJIA");
    let received: Vec<String> = received
        .iter()
        .map(|m| format!("{} {} {}", m.seq, m.level, m.rev))
        .collect();
    let sql = "select seq || ' ' || level || ' ' || revision from level \
               where \"index\" = 'DJIA' order by seq";
    assert_eq!(column(&database, sql), received);
    let sql = "select divisor::text from basket order by revision desc limit 1";
    assert_eq!(column(&database, sql), [divisor]);
}

/// Sends the closes of a day as a feed does, and gives the time of the last one.
fn send_day(publisher: &Mqtt, day: &Value) -> String {
    let date = day["date"].as_str().unwrap();
    let ts = format!("{date}T21:00:00.000000Z");
    for (symbol, close) in day["closes"].as_object().unwrap() {
        let tick = json!({ "price": close, "ts": ts, "ccy": "USD", "venue": "XNYS" });
        publisher.publish(&format!("securities/{symbol}/price"), tick.to_string());
    }
    publisher.wait_acked();
    ts
}

/// Every price that was sent is a row, with the digits it was sent with.
fn stored_as_sent(database: &divisor_testkit::TestDatabase, days: &Value) {
    let mut sent = Vec::new();
    for day in days["days"].as_array().unwrap() {
        for (symbol, close) in day["closes"].as_object().unwrap() {
            let close = close.as_str().unwrap().trim_end_matches('0');
            let close = close.trim_end_matches('.');
            sent.push(format!(
                "{} {symbol} {close}",
                day["date"].as_str().unwrap()
            ));
        }
    }
    sent.sort();
    let sql = "select to_char(ts at time zone 'UTC', 'YYYY-MM-DD') || ' ' || symbol || ' ' || price \
               from tick where src = 'feed' and venue = 'XNYS' and effect = 'applied'";
    let mut stored = column(database, sql);
    stored.sort();
    assert_eq!(stored, sent);
}
