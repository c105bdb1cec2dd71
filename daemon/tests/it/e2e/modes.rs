//! When levels leave, what moves them, and what is told beside them.

use divisor_testkit::eventually;
use divisor_wire::level::{compact, time};
use serde_json::{Value, json};

use super::{Mqtt, daemon, pair, sum_of};

#[test]
fn each_dissemination_keeps_its_word() {
    let daemon = daemon().start();
    let client = Mqtt::v4(&daemon, "desk");
    client.subscribe("indexes/+/level");
    let mut items = pair();
    items["indexes"] = json!([
        sum_of("TICK", &["AAA", "BBB"], json!({ "mode": "tick" })),
        sum_of("CONF", &["AAA", "BBB"], json!({ "mode": "conflate" })),
        sum_of(
            "EACH",
            &["AAA", "BBB"],
            json!({ "mode": "interval", "every_ms": 200 })
        ),
    ]);
    client.load(&items);
    client.wait_level("EACH", "70.00");
    // One message is one batch: three levels, one level, and the last at the interval's end.
    client.price("AAA", "[21,22,23]");
    client.wait_level("EACH", "73.00");
    assert_eq!(
        values(&client, "TICK"),
        ["70.00", "71.00", "72.00", "73.00"]
    );
    assert_eq!(values(&client, "CONF"), ["70.00", "73.00"]);
    assert_eq!(values(&client, "EACH"), ["70.00", "73.00"]);
    // A steady stream: at most one level in each interval, none lost at the end.
    for cent in 1..=600 {
        client.price("BBB", format!("{}.{:02}", 50 + cent / 100, cent % 100));
    }
    for code in ["TICK", "CONF", "EACH"] {
        client.wait_level(code, "79.00");
    }
    assert_eq!(client.levels("TICK").len(), 4 + 600);
    let intervals: Vec<i64> = client
        .levels("EACH")
        .iter()
        .map(|m| time(&m.ts_calc).unwrap().as_nanos() / 200_000_000)
        .collect();
    assert!(
        intervals.windows(2).all(|pair| pair[0] < pair[1]),
        "{intervals:?}"
    );
    for code in ["TICK", "CONF", "EACH"] {
        let levels = client.levels(code);
        let contiguous = levels.iter().zip(1..).all(|(level, seq)| level.seq == seq);
        assert!(contiguous, "{code} has a gap");
    }
}

#[test]
fn levels_leave_in_cbor_as_well_where_asked() {
    let daemon = daemon().set("sequencer.compact_levels=true").start();
    let client = Mqtt::v5(&daemon, "desk");
    client.load(&pair());
    // A tick in CBOR: {0: 4([-2, 2150]), 2: 1, 3: "feed", 4: 9}
    let tick = b"\xa4\x00\xc4\x82\x21\x19\x08\x66\x02\x01\x03\x64feed\x04\x09";
    assert_eq!(client.send("securities/AAA/price", tick), "Success");
    client.subscribe("indexes/PAIR/level/cbor");
    client.subscribe("indexes/PAIR/level");
    let json = client.wait_level("PAIR", "71.50");
    let compact = client.wait("the level in CBOR", |message| {
        let is_compact = message.topic == "indexes/PAIR/level/cbor";
        let level = compact::decode(&message.payload).ok()?;
        (is_compact && level.seq == json.seq).then_some(level)
    });
    assert_eq!(compact, json);
}

#[test]
fn levels_can_leave_before_they_are_durable() {
    let daemon = daemon().set("sequencer.publish=immediate").start();
    let client = Mqtt::v5(&daemon, "feed");
    client.subscribe("indexes/PAIR/level");
    client.load(&pair());
    for cent in 1..=50 {
        client.price("AAA", format!("20.{cent:02}"));
    }
    let last = client.wait_level("PAIR", "70.50");
    assert_eq!((last.seq, last.epoch), (51, 1));
    let daemon = daemon.restart();
    let client = Mqtt::v5(&daemon, "feed");
    client.subscribe("indexes/PAIR/level");
    let again = client.wait_level("PAIR", "70.50");
    assert_eq!((again.seq, again.epoch), (51, 2));
}

#[test]
fn a_rate_moves_an_index_of_three_currencies() {
    let daemon = daemon().start();
    let client = Mqtt::v4(&daemon, "feed");
    client.subscribe("indexes/WORLD/level");
    client.load(&json!({
        "securities": [
            { "symbol": "US", "currency": "USD" },
            { "symbol": "DE", "currency": "EUR" },
            { "symbol": "UK", "currency": "GBP" },
        ],
        "rates": [
            { "base": "EUR", "quote": "USD", "rate": "1.1" },
            { "base": "GBP", "quote": "USD", "rate": "1.3" },
        ],
        "prices": [
            { "symbol": "US", "price": "100" },
            { "symbol": "DE", "price": "100" },
            { "symbol": "UK", "price": "100" },
        ],
        "indexes": [sum_of("WORLD", &["US", "DE", "UK"], json!({ "mode": "tick" }))],
    }));
    client.wait_level("WORLD", "340.00");
    assert_eq!(client.send("fx/GBP/USD/rate", "1.25"), "Success");
    client.wait_level("WORLD", "335.00");
    assert_eq!(
        client.send("fx/EUR/USD/rate", r#"{"price":"1.0825"}"#),
        "Success"
    );
    client.wait_level("WORLD", "333.25");
    // A pair that no member needs moves nothing.
    assert_eq!(client.send("fx/CHF/USD/rate", "1.2"), "Success");
    client.price("US", "101");
    let last = client.wait_level("WORLD", "334.25");
    assert_eq!(last.seq, 4);
}

#[test]
fn events_tell_of_revisions_and_status() {
    let daemon = daemon().start();
    let client = Mqtt::v5(&daemon, "desk");
    client.subscribe("indexes/+/event");
    client.subscribe("indexes/+/level");
    let mut items = pair();
    items["prices"].as_array_mut().unwrap().pop();
    items["indexes"][0]["base"] = json!({ "value": "1000" });
    client.load(&items);
    let shown = client.done("index.show", json!({ "code": "PAIR" }));
    assert_eq!(
        (&shown["row"]["status"], &shown["row"]["missing"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(shown["divisor"], Value::Null);
    client.price("BBB", "50");
    let level = client.wait_level("PAIR", "1000.00");
    assert_eq!((level.seq, level.status.as_str()), (1, "live"));
    let revision = client.wait("the revision with its divisor", |m| {
        let event = m.json();
        (event["event"] == "revision" && event["divisor"].is_string()).then_some(event)
    });
    let divisor: f64 = revision["divisor"].as_str().unwrap().parse().unwrap();
    assert!((divisor - 0.07).abs() < 1e-12, "{revision}");
    assert_eq!(
        (&revision["index"], &revision["constituents"]),
        (&json!("PAIR"), &json!(2))
    );
    assert_eq!(revision["rev"], level.rev);
    client.wait("the status", |m| {
        let event = m.json();
        (event["event"] == "status" && event["status"] == "live").then_some(())
    });
    // A change of the basket is a new revision, and the level does not jump.
    client.load(&json!({
        "securities": [{ "symbol": "CCC", "currency": "USD" }],
        "prices": [{ "symbol": "CCC", "price": "30" }],
        "revisions": [{
            "id": "swap",
            "indexes": [{ "code": "PAIR", "basket": [
                { "symbol": "AAA", "units": "1" }, { "symbol": "CCC", "units": "1" },
            ] }],
        }],
    }));
    let revision = client.wait("the next revision", |m| {
        let event = m.json();
        (event["event"] == "revision" && event["rev"].as_u64() > Some(level.rev.into()))
            .then_some(event)
    });
    let divisor: f64 = revision["divisor"].as_str().unwrap().parse().unwrap();
    assert!((divisor - 0.05).abs() < 1e-12, "50 / 1000: {revision}");
    client.price("CCC", "35");
    let level = client.wait_level("PAIR", "1100.00");
    assert_eq!(revision["rev"], level.rev);
    let seen = eventually("levels", || Some(values(&client, "PAIR")));
    assert!(
        seen.iter()
            .all(|level| level == "1000.00" || level == "1100.00"),
        "{seen:?}"
    );
}

fn values(client: &Mqtt, code: &str) -> Vec<String> {
    client
        .levels(code)
        .iter()
        .map(|m| m.level.to_string())
        .collect()
}
