//! The life of definitions through the daemon: topics, tables, HTTP, restarts, recomputation.

use std::process::Stdio;

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase};
use divisord::exit;
use serde_json::{Value, json};

use super::http::get_json;
use super::{Mqtt, column, daemon, pair, stored_levels, sum_of};

fn order(desk: &Mqtt, body: Value) -> Value {
    desk.ask("order", json!({ "order": body }))
}

fn done(desk: &Mqtt, body: Value) {
    let reply = order(desk, body.clone());
    assert_eq!(reply["ok"], true, "{body}: {reply}");
}

fn of(verb: &str, named: Value) -> Value {
    json!({ "order": verb, "of": named, "note": "a test" })
}

/// A third index, and an index of `PAIR`.
fn world(options: Options) -> (Daemon, Mqtt) {
    let daemon = options.http().start();
    let desk = Mqtt::v5(&daemon, "desk");
    for filter in ["indexes/+/level", "indexes/+/event"] {
        desk.subscribe(filter);
    }
    desk.load(&pair());
    let more = json!({ "indexes": [
        sum_of("SOLO", &["BBB"], json!({ "mode": "tick" })),
        sum_of("OVER", &["indexes/PAIR"], json!({ "mode": "conflate" })),
    ]});
    desk.load(&more);
    desk.wait_level("OVER", "70.00");
    (daemon, desk)
}

fn verify(options: &Options, daemon: &Daemon) {
    let mut command = options.verb(daemon.state(), &["verify"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(exit::OK.into()), "{output:?}");
}

fn codes(daemon: &Daemon) -> Vec<String> {
    let rows = get_json(daemon, "/api/v1/indexes")["rows"].clone();
    let line = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        format!("{} {}", text("code"), text("status"))
    };
    rows.as_array().unwrap().iter().map(line).collect()
}

/// The levels that a subscriber finds on a topic.
fn retained(daemon: &Daemon, topic: &str) -> Vec<Value> {
    let late = Mqtt::v5(daemon, "late");
    late.subscribe(topic);
    // Retained messages come before the answer to a later command.
    late.done("status", json!({}));
    let messages = late.messages();
    let found = messages.iter().filter(|m| m.topic == topic && m.retain);
    found.map(super::client::Message::json).collect()
}

#[test]
fn indexes_retire_come_back_and_are_deleted() {
    let database: TestDatabase = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let (mut daemon, mut desk) = world(options.clone());
    let index = |code: &str| json!({ "index": code });
    let refused = order(&desk, of("deactivate", index("PAIR")));
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("OVER uses it"),
        "{refused}"
    );
    done(&desk, of("deactivate", index("SOLO")));
    let event = desk.wait("the event", |m| {
        let event = m.json();
        (event["event"] == "life").then_some(event)
    });
    assert_eq!([&event["index"], &event["life"]], ["SOLO", "inactive"]);
    desk.price("BBB", "51");
    desk.wait_level("OVER", "71.00");
    assert_eq!(
        retained(&daemon, "indexes/SOLO/level")[0]["status"],
        "inactive"
    );
    assert_eq!(codes(&daemon), ["PAIR live", "SOLO inactive", "OVER live"]);

    // It survives a restart: in the journal, in the snapshot, on the topic.
    drop(desk);
    daemon = daemon.restart();
    desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/level");
    assert_eq!(
        retained(&daemon, "indexes/SOLO/level")[0]["status"],
        "inactive"
    );
    done(&desk, of("reactivate", index("SOLO")));
    desk.wait_level("SOLO", "51.00");
    done(&desk, of("deactivate", index("SOLO")));
    done(&desk, of("delete", index("SOLO")));
    assert_eq!(retained(&daemon, "indexes/SOLO/level"), [Value::Null; 0]);
    assert_eq!(codes(&daemon), ["PAIR live", "OVER live"]);
    let shown = desk.ask("index.show", json!({ "code": "SOLO" }));
    assert_eq!(shown["error"]["kind"], "not_found");
    let again = json!({ "indexes": [sum_of("SOLO", &["AAA"], json!({ "mode": "tick" }))] });
    let reply = desk.try_load("again", &again, false);
    assert!(
        reply["error"]["details"][0]
            .as_str()
            .unwrap()
            .contains("not given again"),
        "{reply}"
    );

    desk.wait_projected();
    is_remembered(&daemon, &database);
    verify(&options, &daemon);
}

/// What `SOLO` published, and who did what to it, is readable after its end.
fn is_remembered(daemon: &Daemon, database: &TestDatabase) {
    let history = get_json(daemon, "/api/v1/indexes/SOLO/levels");
    let levels: Vec<String> = history["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["seq"], row["level"].as_str().unwrap()))
        .collect();
    assert_eq!(levels, ["1 50.00", "2 50.00", "3 51.00", "4 51.00"]);
    assert_eq!(levels, stored_levels(database, "SOLO"));
    let changes = get_json(daemon, "/api/v1/indexes/SOLO/changes")["rows"].clone();
    let texts: Vec<&str> = changes
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    let expected = [
        "created",
        "deactivate: a test",
        "reactivate: a test",
        "deactivate: a test",
        "delete: a test",
    ];
    assert_eq!(texts, expected);
    let lives = "select code || ' ' || life from index_definition order by id";
    assert_eq!(
        column(database, lives),
        ["PAIR active", "SOLO deleted", "OVER active"]
    );
}

#[test]
fn a_renamed_index_takes_its_topics_and_history_along() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let (mut daemon, mut desk) = world(options.clone());
    done(
        &desk,
        json!({ "order": "rename", "index": "PAIR", "to": "DUO" }),
    );
    assert_eq!(
        desk.wait_level("DUO", "70.00").seq,
        1,
        "the last level, on the new topic"
    );
    for topic in ["indexes/PAIR/event", "indexes/DUO/event"] {
        let event = desk.wait("the event", |m| {
            (m.topic == topic && m.json()["event"] == "life").then(|| m.json())
        });
        assert_eq!(
            [&event["index"], &event["former"]],
            ["DUO", "PAIR"],
            "{topic}"
        );
    }
    assert_eq!(retained(&daemon, "indexes/PAIR/level"), [Value::Null; 0]);
    desk.price("AAA", "25");
    desk.wait_level("DUO", "75.00");
    desk.wait_level("OVER", "75.00");
    drop(desk);
    daemon = daemon.restart();
    desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/level");
    desk.price("AAA", "26");
    assert_eq!(desk.wait_level("DUO", "76.00").seq, 3);
    desk.wait_projected();
    assert_eq!(codes(&daemon), ["DUO live", "SOLO live", "OVER live"]);
    let old = get_json(&daemon, "/api/v1/indexes/PAIR/levels?from=2026-01-01")["rows"].clone();
    let new = get_json(&daemon, "/api/v1/indexes/DUO/levels?from=2026-01-01")["rows"].clone();
    assert_eq!(old, new);
    assert_eq!(new.as_array().unwrap().len(), 3);
    let symbols = "select symbol from security where symbol like 'indexes/%'";
    assert_eq!(column(&database, symbols), ["indexes/DUO"]);
    let held =
        "select body -> 'basket' -> 0 ->> 'symbol' from index_definition where code = 'OVER'";
    assert_eq!(column(&database, held), ["indexes/DUO"]);
    verify(&options, &daemon);
}

#[test]
fn securities_retire_and_their_prices_stay_readable() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let (daemon, desk) = world(options.clone());
    desk.load(&json!({ "securities": [{ "symbol": "GONE", "currency": "USD" }] }));
    desk.price("GONE", "7");
    let security = |symbol: &str| json!({ "security": symbol });
    let refused = order(&desk, of("deactivate", security("BBB")));
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("uses it"),
        "{refused}"
    );
    done(&desk, of("deactivate", security("GONE")));
    let reason = desk.send("securities/GONE/price", "8");
    assert_ne!(reason, "Success");
    let rejected = desk.wait("the refusal", |m| {
        let told = m.json();
        m.topic.starts_with("divisor/rejected").then_some(told)
    });
    assert!(
        rejected.to_string().contains("inactive_symbol"),
        "{rejected}"
    );
    done(&desk, of("delete", security("GONE")));
    let listed = desk.done("security.list", json!({}));
    let symbols: Vec<&str> = listed["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(symbols, ["AAA", "BBB"]);
    desk.wait_projected();
    let prices = get_json(&daemon, "/api/v1/securities/GONE/prices")["rows"].clone();
    assert_eq!(prices[0]["price"], "7");
    let lives = "select life from security where symbol = 'GONE'";
    assert_eq!(column(&database, lives), ["deleted"]);
    verify(&options, &daemon);
}

#[test]
fn held_prices_are_told_and_stored_with_their_reason() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let (daemon, desk) = world(options.clone());
    let gated = json!({ "securities": [
        { "symbol": "AAA", "currency": "USD", "gate": { "last": "10" } }] });
    desk.load(&gated);
    desk.price("AAA", r#"{"price":"90","src":"typo"}"#);
    let event = desk.wait("the doubt is told", |m| {
        let event = m.json();
        (event["event"] == "held").then_some(event)
    });
    let pair = |a: &str, b: &str| [event[a].clone(), event[b].clone()];
    assert_eq!(pair("index", "subject"), ["PAIR", "AAA"]);
    assert_eq!(pair("price", "reference"), ["90", "20"]);
    assert_eq!(pair("doubt", "src"), ["last", "typo"]);
    let listed = desk.done("hold.list", json!({}))["rows"].clone();
    assert_eq!(listed[0]["held"], event["pos"]);
    desk.wait_projected();
    let sql = "select doubt || ' ' || reference || ' ' || effect from held join price_tick using (position)";
    assert_eq!(column(&database, sql), ["last 20 3"]);
    done(&desk, json!({ "order": "release", "held": event["pos"] }));
    desk.wait_level("PAIR", "140.00");
    desk.wait_projected();
    // The price that an operator let through is a part of the level of then.
    let explained = get_json(&daemon, "/api/v1/indexes/PAIR/explain?at=2100-01-01");
    assert_eq!(explained["level"], explained["of"]["level"], "{explained}");
    assert_eq!(explained["members"][0]["price"], "90");
    verify(&options, &daemon);
}
