//! What the members of an index show beside their prices: what they moved it by, in which currency
//! ever, what they weighed then, and which of their prices is not to be trusted.

use divisor_testkit::{Daemon, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::client::{get, json as get_json};
use super::{Mqtt, daemon};

/// An index in dollars of a dollar, a euro and a yen price, on an evening; yen come over the euro.
fn mixed() -> Value {
    let security = |symbol: &str, currency: &str| json!({ "symbol": symbol, "currency": currency });
    let member = |symbol: &str| json!({ "symbol": symbol, "units": "1" });
    let ts = "2026-01-05T16:00:00Z";
    let price = |symbol: &str, price: &str| json!({ "symbol": symbol, "price": price, "ts": ts });
    let rate =
        |quote: &str, rate: &str| json!({ "base": "EUR", "quote": quote, "rate": rate, "ts": ts });
    let mut gated = security("AAA", "USD");
    gated["gate"] = json!({ "last": "10" });
    json!({
        "securities": [gated, security("EEE", "EUR"), security("YYY", "JPY")],
        "rates": [rate("USD", "1.10"), rate("JPY", "160")],
        "prices": [price("AAA", "100"), price("EEE", "50"), price("YYY", "8000")],
        "indexes": [{
            "code": "MIX", "currency": "USD", "weighting": { "scheme": "fixed_units" },
            "base": { "divisor": "1" }, "dissemination": { "mode": "tick" },
            "fx": { "pivot": "EUR" }, "stale": { "after_s": 300, "weight": "90" },
            "rounding": { "level": { "places": 6, "mode": "half_up" } },
            "basket": [member("AAA"), member("EEE"), member("YYY")],
        }],
    })
}

struct World {
    daemon: Daemon,
    _database: TestDatabase,
    desk: Mqtt,
}

impl World {
    fn new() -> Self {
        let database = Postgres::shared().database();
        let daemon = daemon().http().database(&database.url()).start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(&mixed());
        Self {
            daemon,
            _database: database,
            desk,
        }
    }

    fn send(&self, topic: &str, price: &str, ts: &str) {
        let tick = json!({ "price": price, "ts": ts }).to_string();
        self.desk.publish(topic, tick);
    }

    fn price(&self, symbol: &str, price: &str, ts: &str) {
        self.send(&format!("securities/{symbol}/price"), price, ts);
    }

    /// Prices and rates of the next morning.
    fn morning(&self) {
        self.send("fx/EUR/USD/rate", "1.12", "2026-01-06T09:00:00Z");
        self.send("fx/EUR/JPY/rate", "150", "2026-01-06T09:00:00Z");
        for (symbol, price) in [("AAA", "103"), ("EEE", "49"), ("YYY", "8100")] {
            self.price(symbol, price, "2026-01-06T09:00:01Z");
        }
        self.desk.wait_acked();
        self.desk.wait_projected();
    }
}

fn number(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    text.parse().unwrap()
}

fn near(got: f64, expected: f64, what: &str) {
    assert!(
        (got - expected).abs() < 2e-6,
        "{what}: {got} for {expected}"
    );
}

#[test]
fn points_of_foreign_members_count_their_currency() {
    let world = World::new();
    world.morning();
    let facts = eventually("the closes", || {
        let facts = get_json(&world.daemon, "/api/v1/indexes/MIX");
        let known = |member: &Value| !member["contribution"].is_null();
        let members = facts["members"].as_array().unwrap();
        members.iter().all(known).then_some(facts)
    });
    // By hand: price · rate today, less price · rate at the close.
    let expected = [
        3.0,
        49.0 * 1.12 - 50.0 * 1.10,
        8100.0 * 1.12 / 150.0 - 8000.0 * 1.10 / 160.0,
    ];
    let members = facts["members"].as_array().unwrap();
    for (member, expected) in members.iter().zip(expected) {
        near(
            number(&member["contribution"]),
            expected,
            &member.to_string(),
        );
    }
    let sum: f64 = expected.iter().sum();
    near(number(&facts["row"]["chg"]), sum, "they add up");
    assert_eq!(members[1]["chg_pct"], "-2.00", "in its own currency");
}

/// A split in the evening, and no price behind it: the close is the adjusted price.
#[test]
fn closes_are_adjusted_for_what_came_behind_them() {
    let world = World::new();
    let split = json!([{ "symbol": "EEE", "split": { "from": 1, "to": 2 } }]);
    let revision = json!({ "revisions": [{ "id": "s", "adjust": split }] });
    world.desk.load(&revision);
    for (symbol, price) in [("AAA", "103"), ("EEE", "24.5"), ("YYY", "8100")] {
        world.price(symbol, price, "2026-01-06T09:00:01Z");
    }
    world.desk.wait_acked();
    world.desk.wait_projected();
    let facts = eventually("the closes", || {
        let facts = get_json(&world.daemon, "/api/v1/indexes/MIX");
        let is_known = !facts["members"][1]["contribution"].is_null();
        is_known.then_some(facts)
    });
    let members = facts["members"].as_array().unwrap();
    assert_eq!(members[1]["prev_close"], "25.00");
    let points = members.iter().map(|member| number(&member["contribution"]));
    near(points.sum(), number(&facts["row"]["chg"]), "they add up");
}

#[test]
fn weights_of_the_past_are_told_in_every_currency() {
    let world = World::new();
    world.morning();
    let check = |at: &str, prices: [&str; 3], values: [f64; 3]| {
        let path = format!("/api/v1/indexes/MIX/composition?at={at}");
        let composition = get_json(&world.daemon, &path);
        let total: f64 = values.iter().sum();
        let members = composition["members"].as_array().unwrap();
        for ((member, price), value) in members.iter().zip(prices).zip(values) {
            assert_eq!(number(&member["price"]), price.parse::<f64>().unwrap());
            near(number(&member["weight"]), value / total, at);
        }
    };
    let yen = |price: f64, euro: f64, yen: f64| price * euro / yen;
    let evening = [100.0, 55.0, yen(8000.0, 1.10, 160.0)];
    check("2026-01-05T20:00:00Z", ["100", "50", "8000"], evening);
    let morning = [103.0, 49.0 * 1.12, yen(8100.0, 1.12, 150.0)];
    check("2026-01-06T20:00:00Z", ["103", "49", "8100"], morning);
    // A split at one, and no price since: the price is that of the revision.
    let split = json!([{ "symbol": "EEE", "split": { "from": 1, "to": 2 } }]);
    let split = json!({ "revisions": [{ "id": "s", "adjust": split }] });
    world.desk.load(&split);
    world.price("AAA", "104", "2026-01-07T09:00:00Z");
    world.desk.wait_acked();
    world.desk.wait_projected();
    let after = [104.0, 49.0 * 1.12, yen(8100.0, 1.12, 150.0)];
    check("2026-01-07T20:00:00Z", ["104", "24.5", "8100"], after);
}

#[test]
fn doubtful_prices_and_the_next_review_are_shown() {
    let world = World::new();
    world.morning();
    let facts = get_json(&world.daemon, "/api/v1/indexes/MIX");
    assert_eq!(facts["next_review"], Value::Null);
    // Half of it is a mistake until somebody says that it is none; an hour makes the others stale.
    world.price("AAA", "103.5", "2026-01-06T10:00:00Z");
    world.price("AAA", "50", "2026-01-06T10:00:01Z");
    world.desk.wait_acked();
    let facts = get_json(&world.daemon, "/api/v1/indexes/MIX");
    let flags = |key: &str| -> Vec<bool> {
        let members = facts["members"].as_array().unwrap();
        members
            .iter()
            .map(|member| member[key].as_bool().unwrap())
            .collect()
    };
    assert_eq!(flags("stale"), [false, true, true]);
    assert_eq!(flags("held"), [true, false, false]);
    assert_eq!(facts["members"][0]["price"], "103.50");
    assert_eq!(facts["row"]["stale"], 2);
    world.desk.load(&json!({ "actions": [
        { "id": "r", "ex_date": "2026-03-20", "type": "rebalance", "index": "MIX" }] }));
    let facts = get_json(&world.daemon, "/api/v1/indexes/MIX");
    assert_eq!(facts["next_review"], "2026-03-20T00:00:00.000000Z");
}

#[test]
fn small_lines_come_in_one_answer() {
    let world = World::new();
    world.morning();
    let one = |code: &str, symbol: &str| super::sum_of(code, &[symbol], json!({ "mode": "tick" }));
    world
        .desk
        .load(&json!({ "indexes": [one("OLD", "AAA"), one("NEW", "AAA"), one("NONE", "EEE")] }));
    // Three hours, a price each ten minutes.
    for at in 0..18 {
        let ts = format!("2026-01-06T{:02}:{:02}:00Z", 12 + at / 6, at % 6 * 10);
        world.price("AAA", &format!("{}", 100 + at % 7), &ts);
    }
    world.desk.wait_acked();
    world.desk.wait_projected();
    let path = "/api/v1/sparklines?index=OLD&index=NEW&index=NOTHING&index=MIX";
    let answer = get_json(&world.daemon, path);
    let rows = answer["rows"].as_array().unwrap();
    let codes: Vec<&str> = rows
        .iter()
        .map(|row| row["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["OLD", "NEW", "MIX"], "in the order of the question");
    assert_eq!(rows[0]["step"], "5m");
    let points = rows[0]["points"].as_array().unwrap();
    let last = points.last().unwrap();
    assert_eq!(last["ts"], "2026-01-06T14:50:00.000000Z");
    assert_eq!(last["level"], "103.00");
    assert!(points.len() >= 18, "{points:?}");
    // What a candle says is what a line says.
    let from = points[0]["ts"].as_str().unwrap();
    let candles = format!("/api/v1/indexes/OLD/candles?step=5m&from={from}");
    let candles = get_json(&world.daemon, &candles)["rows"].clone();
    let closes: Vec<&Value> = candles
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["close"])
        .collect();
    let levels: Vec<&Value> = points.iter().map(|point| &point["level"]).collect();
    assert_eq!(closes, levels);
    let check = |query: &str, status: u16| {
        let answer = get(&world.daemon, &format!("/api/v1/sparklines{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    };
    check("", 200);
    check("?code=OLD", 400);
    check(&format!("?{}", "index=OLD&".repeat(101)), 400);
}
