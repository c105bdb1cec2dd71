//! Loads over the wire: whole or not at all, harmless to repeat, never mixed up.

use divisor_testkit::Postgres;
use serde_json::{Value, json};

use super::{Mqtt, column, daemon, fixture, pair, sum_of};

#[test]
fn the_small_indexes_are_as_worked_out_by_hand() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let operator = Mqtt::v5(&daemon, "operator");
    operator.subscribe("indexes/+/level");
    let readme = format!("{}/../fixtures/small/README.md", env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(readme).unwrap();
    let table = readme.split("The levels:").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `SMALL."))
        .map(|line| {
            line.split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 7, "the README's table");
    for (day, file) in ["small/small.json", "small/day2.json", "small/day3.json"]
        .iter()
        .enumerate()
    {
        operator.load(&fixture(file));
        let shown = operator.done("index.list", json!({}));
        for (row, cells) in shown["rows"].as_array().unwrap().iter().zip(&rows) {
            let expected = (&json!(cells[1]), &json!(cells[2 + day]));
            assert_eq!((&row["code"], &row["level"]), expected, "day {}", day + 1);
            operator.wait_level(cells[1], cells[2 + day]);
        }
    }
    operator.wait_projected();
    for cells in &rows {
        let received = operator.levels(cells[1]);
        let received: Vec<_> = received
            .iter()
            .map(|m| format!("{} {}", m.seq, m.level))
            .collect();
        assert_eq!(super::stored_levels(&database, cells[1]), received);
        assert_eq!(
            received.last().unwrap().split(' ').nth(1).unwrap(),
            cells[4]
        );
    }
}

#[test]
fn a_load_with_one_bad_definition_changes_nothing() {
    let daemon = daemon().start();
    let operator = Mqtt::v4(&daemon, "operator");
    let mut items = universe(120);
    let last = items["indexes"].as_array_mut().unwrap();
    last.push(sum_of(
        "BAD",
        &["S000", "NOBODY"],
        json!({ "mode": "tick" }),
    ));
    let reply = operator.try_load("one", &items, false);
    assert_eq!(
        (&reply["ok"], &reply["error"]["kind"]),
        (&json!(false), &json!("refused"))
    );
    let details = reply["error"]["details"].to_string();
    assert!(
        details.contains("BAD") && details.contains("NOBODY"),
        "{details}"
    );
    assert_eq!(operator.done("index.list", json!({}))["rows"], json!([]));
    assert_eq!(operator.done("security.list", json!({}))["rows"], json!([]));
    // A refused load leaves nothing behind that a second try would stumble over.
    items["indexes"].as_array_mut().unwrap().pop();
    let summary = operator.load(&items);
    assert_eq!(
        summary["securities"],
        json!({ "new": 120, "changed": 0, "unchanged": 0 })
    );
}

#[test]
fn a_load_can_be_repeated() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let operator = Mqtt::v5(&daemon, "operator");
    operator.subscribe("indexes/+/level");
    let items = universe(100);
    let first = operator.load(&items);
    assert_eq!(
        (&first["prices"], &first["prices_repeated"]),
        (&json!(100), &json!(0))
    );
    let before = operator.done("index.show", json!({ "code": "ALL" }));
    for client in [&operator, &Mqtt::v4(&daemon, "another")] {
        let again = client.load(&items);
        assert_eq!(
            again["securities"],
            json!({ "new": 0, "changed": 0, "unchanged": 100 })
        );
        assert_eq!(
            again["indexes"],
            json!({ "new": 0, "changed": 0, "unchanged": 1 })
        );
        assert_eq!(
            (&again["prices"], &again["prices_repeated"]),
            (&json!(0), &json!(100))
        );
    }
    // The same after a restart: what was seen is part of the state.
    let daemon = daemon.restart();
    let operator = Mqtt::v5(&daemon, "operator");
    assert_eq!(operator.load(&items)["prices_repeated"], 100);
    let after = operator.done("index.show", json!({ "code": "ALL" }));
    assert_eq!(after, before);
    operator.wait_projected();
    assert_eq!(
        column(&database, "select count(*)::text from tick"),
        ["100"]
    );
    assert_eq!(column(&database, "select count(*)::text from level"), ["1"]);
    assert_eq!(
        column(&database, "select count(*)::text from basket"),
        ["1"]
    );
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let daemon = daemon().start();
    let operator = Mqtt::v4(&daemon, "operator");
    let reply = operator.try_load("dry", &pair(), true);
    let summary = &reply["result"];
    assert_eq!(
        (&summary["dry_run"], &summary["indexes"]["new"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(operator.done("status", json!({}))["indexes"], 0);

    operator.load(&pair());
    let mut items = pair();
    items["securities"][0]["name"] = json!("Alder Timber");
    items["indexes"][0]["name"] = json!("The pair");
    for dry_run in [true, false] {
        let summary = operator.try_load("change", &items, dry_run)["result"].clone();
        assert_eq!(
            summary["securities"],
            json!({ "new": 0, "changed": 1, "unchanged": 1 })
        );
        let changes = summary["changes"].to_string();
        assert!(
            changes.contains("security AAA: name") && changes.contains("index PAIR: name"),
            "{changes}"
        );
        let shown = operator.done("security.show", json!({ "symbol": "AAA" }));
        let expected = if dry_run {
            Value::Null
        } else {
            json!("Alder Timber")
        };
        assert_eq!(shown["row"]["name"], expected);
    }
}

#[test]
fn an_incomplete_load_is_refused() {
    let daemon = daemon().start();
    let operator = Mqtt::v5(&daemon, "operator");
    let kind = |reply: Value| reply["error"]["kind"].as_str().unwrap_or("none").to_owned();
    operator.done("load.begin", json!({ "load": "x" }));
    let part = |number: u32| json!({ "load": "x", "part": number, "items": pair() });
    operator.done("load.part", part(0));
    operator.done("load.part", part(2));
    let commit = json!({ "load": "x", "parts": 3 });
    assert_eq!(
        kind(operator.ask("load.commit", commit.clone())),
        "incomplete"
    );
    assert_eq!(kind(operator.ask("load.commit", commit)), "not_found");
    assert_eq!(kind(operator.ask("load.part", part(0))), "not_found");
    let typo = json!({ "load": "x", "part": 0, "items": { "indices": [] } });
    assert_eq!(kind(operator.ask("load.part", typo)), "bad_request");
    assert_eq!(kind(operator.ask("load.comit", json!({}))), "unknown_verb");
    assert_eq!(
        kind(operator.ask("index.show", json!({ "code": "PAIR" }))),
        "not_found"
    );
    // A part that comes twice, as after a lost acknowledgement, counts once.
    operator.done("load.begin", json!({ "load": "x" }));
    operator.done("load.part", part(0));
    operator.done("load.part", part(0));
    let summary = operator.done("load.commit", json!({ "load": "x", "parts": 1 }));
    assert_eq!(summary["securities"]["new"], 2);
}

#[test]
fn loads_of_two_clients_do_not_mix() {
    let daemon = daemon().start();
    let clients = [Mqtt::v4(&daemon, "one"), Mqtt::v5(&daemon, "two")];
    let items = ["L", "R"].map(|symbol| {
        json!({
            "securities": [{ "symbol": symbol, "currency": "USD" }],
            "prices": [{ "symbol": symbol, "price": "7" }],
            "indexes": [sum_of(&format!("ONLY.{symbol}"), &[symbol], json!({ "mode": "tick" }))],
        })
    });
    // The same load id on purpose: it belongs to its client.
    for client in &clients {
        client.done("load.begin", json!({ "load": "same" }));
    }
    for (client, items) in clients.iter().zip(&items) {
        client.done(
            "load.part",
            json!({ "load": "same", "part": 0, "items": items }),
        );
    }
    for client in &clients {
        let summary = client.done("load.commit", json!({ "load": "same", "parts": 1 }));
        assert_eq!(
            (&summary["securities"]["new"], &summary["indexes"]["new"]),
            (&json!(1), &json!(1))
        );
    }
    let list = clients[0].done("index.list", json!({}));
    let codes: Vec<_> = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["code"].clone())
        .collect();
    assert_eq!(codes, ["ONLY.L", "ONLY.R"]);
}

#[test]
fn mqtt_5_requests_are_answered_where_they_ask() {
    let daemon = daemon().start();
    let client = Mqtt::v5(&daemon, "asker");
    client.subscribe("divisor/reply/asker/#");
    let body = json!({ "id": "7" });
    super::client::request_v5(
        &client,
        "status",
        &body,
        "divisor/reply/asker/x",
        b"\x00\xff7",
    );
    client.wait("the reply", |m| {
        let right = m.topic == "divisor/reply/asker/x" && m.json()["id"] == "7";
        (right && m.correlation.as_deref() == Some(b"\x00\xff7")).then_some(())
    });
}

/// Securities at 10 each, and one index of all of them.
fn universe(count: usize) -> Value {
    let symbols: Vec<String> = (0..count).map(|i| format!("S{i:03}")).collect();
    let members: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let securities: Vec<Value> = members
        .iter()
        .map(|s| json!({ "symbol": s, "currency": "USD" }))
        .collect();
    let prices: Vec<Value> = members
        .iter()
        .map(|s| json!({ "symbol": s, "price": "10", "ts": "2026-01-05" }))
        .collect();
    json!({
        "securities": securities, "prices": prices,
        "indexes": [sum_of("ALL", &members, json!({ "mode": "tick" }))],
    })
}
