//! Indexes of indexes and reference rates through the daemon, PostgreSQL and a restart.

use std::process::Stdio;

use divisor_testkit::Postgres;
use divisord::exit;
use serde_json::{Value, json};

use super::{Mqtt, column, daemon, stored_levels, sum_of};

/// A bitcoin rate of the window from 15:00 to 16:00, an index of a stock and that rate, and one above.
fn definitions() -> Value {
    let each = json!({ "mode": "tick" });
    json!({
        "securities": [
            { "symbol": "BTC", "currency": "USD" }, { "symbol": "AAA", "currency": "USD" },
        ],
        "indexes": [
            { "code": "RATE", "currency": "USD", "weighting": { "scheme": "volume_median" },
              "window": { "start": "15:00", "end": "16:00", "partitions": 2 },
              "basket": [{ "symbol": "BTC" }] },
            sum_of("STOCK", &["AAA"], each.clone()),
            sum_of("BOTH", &["indexes/RATE", "indexes/STOCK"], each),
            { "code": "TOP", "currency": "USD", "weighting": { "scheme": "constant_weight" },
              "base": { "value": "1000" }, "basket": [{ "symbol": "indexes/BOTH", "weight": "1" }] },
            { "code": "TWICE", "currency": "USD", "of": "BOTH",
              "variant": { "kind": "leveraged", "factor": "2" } },
        ],
    })
}

fn trade(desk: &Mqtt, day: u32, at: &str, price: &str) {
    let ts = format!("2026-01-{day:02}T{at}:00Z");
    let trade = json!({ "price": price, "size": "1.5", "venue": "V", "ts": ts });
    desk.price("BTC", trade);
}

/// A day: two trades in the window, one behind it that lets the rate leave, and a stock.
fn day(desk: &Mqtt, day: u32, prices: [&str; 2], stock: &str) {
    trade(desk, day, "15:10", prices[0]);
    trade(desk, day, "15:40", prices[1]);
    trade(desk, day, "16:00", "1");
    desk.price(
        "AAA",
        json!({ "price": stock, "ts": format!("2026-01-{day:02}T17:00:00Z") }),
    );
}

#[test]
fn rates_and_indexes_of_indexes_survive_and_verify() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let mut daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&definitions());
    day(&desk, 5, ["100", "110"], "20");
    trade(&desk, 6, "15:10", "200");
    // In the middle of a window: the trades so far are state.
    drop(desk);
    daemon = daemon.restart();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/level");
    trade(&desk, 6, "15:40", "210");
    trade(&desk, 6, "16:00", "1");
    desk.wait_level("RATE", "205.00");
    day(&desk, 7, ["300", "310"], "30");
    desk.wait_level("BOTH", "335.00");
    desk.wait_projected();
    assert_eq!(
        stored_levels(&database, "RATE"),
        ["1 105.00", "2 205.00", "3 305.00"]
    );
    // 105 + 20, 205 + 20, 305 + 20, 305 + 30.
    let both = ["1 125.00", "2 225.00", "3 325.00", "4 335.00"];
    assert_eq!(stored_levels(&database, "BOTH"), both);
    let top = stored_levels(&database, "TOP");
    // 1000·225/125, and so on: the weight is one, so that it is a scale of what it holds.
    assert_eq!(top, ["1 1000.00", "2 1800.00", "3 2600.00", "4 2680.00"]);
    let hidden = "select symbol from security where symbol like 'indexes/%' order by id";
    let symbols = ["indexes/RATE", "indexes/STOCK", "indexes/BOTH"];
    assert_eq!(column(&database, hidden), symbols);
    let levels = |daemon: &divisor_testkit::Daemon| {
        let desk = Mqtt::v5(daemon, "look");
        let list = desk.done("index.list", json!({}));
        let rows = list["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| row["level"].clone())
            .collect::<Vec<_>>()
    };
    let before = levels(&daemon);
    drop(desk);
    daemon = daemon.restart();
    assert_eq!(levels(&daemon), before);
    let mut command = options.verb(daemon.state(), &["verify"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(exit::OK.into()), "{output:?}");
}

#[test]
fn a_halted_index_is_told_by_those_above() {
    let daemon = daemon().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&definitions());
    day(&desk, 5, ["100", "110"], "20");
    desk.subscribe("indexes/+/level");
    desk.subscribe("indexes/+/event");
    let status = |code: &str, status: &str| {
        desk.wait(&format!("{code} is {status}"), |m| {
            let told = m.json();
            let is_it =
                told["index"] == code && told["status"] == status && told["level"].is_string();
            is_it.then(|| told["stale"].clone())
        })
    };
    desk.done(
        "order",
        json!({ "order": { "order": "halt", "index": "STOCK" } }),
    );
    assert_eq!(status("STOCK", "halted"), 0);
    assert_eq!(status("BOTH", "stale"), 1);
    assert_eq!(status("TOP", "stale"), 1);
    assert_eq!(status("TWICE", "stale"), 1);
    desk.wait("the event", |m| {
        let event = m.json();
        (event["event"] == "status" && event["index"] == "TOP" && event["status"] == "stale")
            .then_some(())
    });
    desk.forget();
    desk.done(
        "order",
        json!({ "order": { "order": "resume", "index": "STOCK" } }),
    );
    assert_eq!(status("TOP", "live"), 0);
    assert_eq!(status("TWICE", "live"), 0);
}
