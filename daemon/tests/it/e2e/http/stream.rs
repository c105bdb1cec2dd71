//! Server-sent events: a snapshot first, merged changes after it, nothing lost by a slow client.

use serde_json::{Value, json};

use super::client::Stream;
use super::{Mqtt, daemon, pair, price, sum_of, with_pair};

#[test]
fn a_snapshot_comes_first_and_then_what_changes() {
    let (daemon, desk) = with_pair();
    let mut stream = Stream::open(&daemon, "");
    let first = stream.next().unwrap();
    assert_eq!(first.name, "snapshot");
    let levels = first.data["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 1);
    assert_eq!(levels[0]["code"], "PAIR");
    assert_eq!(levels[0]["level"], "70.00");
    assert_eq!(first.data["status"]["state"], "online");
    price(&desk, "AAA", "21", "2026-01-05T17:00:00Z");
    let next = stream.wait("levels");
    assert!(next.id > first.id, "{next:?} after {first:?}");
    assert_eq!(next.data[0]["level"], "71.00");
    let status = stream.wait("status");
    assert_eq!(status.data["indexes"], 1);
    // A new index and its revisions come without a new connection.
    let more = json!({ "indexes": [sum_of("ONE", &["AAA"], json!({ "mode": "tick" }))] });
    desk.load(&more);
    let mut heard = Vec::new();
    while !heard.contains(&"notice".to_owned()) || !heard.contains(&"ONE".to_owned()) {
        let event = stream.next().unwrap();
        if event.name == "notice" {
            assert_eq!(event.data["index"], "ONE");
            assert_eq!(event.data["kind"], "revision");
            heard.push(event.name);
        } else if event.name == "levels" && event.data[0]["code"] == "ONE" {
            heard.push("ONE".to_owned());
        }
    }
}

/// Whoever shows rows by their code hears which codes are no longer.
#[test]
fn what_is_renamed_or_deleted_leaves() {
    let (daemon, desk) = with_pair();
    let mut stream = Stream::open(&daemon, "");
    stream.wait("snapshot");
    let mut heard: Vec<String> = Vec::new();
    let mut wait = |code: &str, status: &str| {
        let wanted = format!("{code} {status}");
        while !heard.contains(&wanted) {
            let rows = stream.wait("levels").data;
            heard.extend(rows.as_array().unwrap().iter().map(|row| {
                format!(
                    "{} {}",
                    row["code"].as_str().unwrap(),
                    row["status"].as_str().unwrap()
                )
            }));
        }
    };
    let order = |order: Value| desk.done("order", json!({ "order": order }));
    order(json!({ "order": "rename", "index": "PAIR", "to": "DUO" }));
    wait("PAIR", "deleted");
    wait("DUO", "live");
    order(json!({ "order": "deactivate", "of": { "index": "DUO" } }));
    wait("DUO", "inactive");
    order(json!({ "order": "delete", "of": { "index": "DUO" } }));
    wait("DUO", "deleted");
    let mut later = Stream::open(&daemon, "");
    let snapshot = later.wait("snapshot").data;
    assert_eq!(
        snapshot["levels"],
        json!([]),
        "who comes later hears nothing of it"
    );
}

#[test]
fn changes_are_merged_and_the_last_value_arrives() {
    let (daemon, desk) = with_pair();
    let mut stream = Stream::open(&daemon, "");
    stream.wait("snapshot");
    for tick in 1..=2_000 {
        desk.publish(
            "securities/AAA/price",
            format!("{}.{:02}", 100 + tick / 100, tick % 100),
        );
    }
    desk.wait_acked();
    let mut events = 0;
    loop {
        let event = stream.wait("levels");
        events += 1;
        assert_eq!(
            event.data.as_array().unwrap().len(),
            1,
            "one row for one index"
        );
        if event.data[0]["level"] == "170.00" {
            break;
        }
    }
    assert!(events < 1_000, "{events} events for 2,000 levels");
}

#[test]
fn a_stream_can_be_narrowed() {
    let daemon = daemon().http().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    let one = |code: &str| sum_of(code, &["AAA"], json!({ "mode": "tick" }));
    desk.load(&json!({ "indexes": [one("ONE"), one("T&O")] }));
    let mut stream = Stream::open(&daemon, "?index=T%26O&index=PAIR");
    let codes = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["code"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = stream.wait("snapshot");
    assert_eq!(codes(&first.data["levels"]), ["PAIR", "T&O"]);
    price(&desk, "AAA", "33", "2026-01-05T17:00:00Z");
    assert_eq!(codes(&stream.wait("levels").data), ["PAIR", "T&O"]);
}

/// A client that does not read gets, when it reads again, every row that has changed: also one
/// that changed only while it was away.
#[test]
fn a_client_that_was_away_lacks_nothing() {
    let daemon = daemon().http().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    let many: Vec<Value> = (0..400)
        .map(|n| sum_of(&format!("I{n:03}"), &["AAA"], json!({ "mode": "conflate" })))
        .collect();
    desk.load(&json!({ "indexes": many }));
    desk.load(&json!({ "indexes": [sum_of("QUIET", &["BBB"], json!({ "mode": "tick" }))] }));
    let mut slow = Stream::open(&daemon, "");
    slow.wait("snapshot");
    // More than all buffers between the two hold: some hundred rows of 300 bytes, each round.
    for round in 1..=250 {
        price(
            &desk,
            "AAA",
            &format!("{}", 100 + round),
            "2026-01-05T17:00:00Z",
        );
        if round == 200 {
            price(&desk, "BBB", "77", "2026-01-05T17:00:00Z");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut last = std::collections::BTreeMap::new();
    while last.get("QUIET") != Some(&json!("77.00")) || last.get("I399") != Some(&json!("350.00")) {
        for row in slow.wait("levels").data.as_array().unwrap() {
            last.insert(
                row["code"].as_str().unwrap().to_owned(),
                row["level"].clone(),
            );
        }
    }
}

#[test]
fn a_stop_ends_streams_and_a_new_daemon_takes_over() {
    let (mut daemon, _desk) = with_pair();
    let mut stream = Stream::open(&daemon, "");
    stream.wait("snapshot");
    assert!(daemon.stop().success());
    while stream.next().is_some() {}
}
