//! The whole way through a real divisord, real MQTT clients and a real PostgreSQL.

mod client;
mod compositions;
mod corrections;
mod dow;
mod faults;
mod http;
mod input;
mod kinds;
mod late;
mod life;
mod load;
mod methodology;
mod modes;
mod network;
mod order;
mod outage;
mod raw;
mod recompute;
mod restarts;
mod retained;
mod secure;
mod start;
mod tools;

use divisor_testkit::{Options, TestDatabase};
use serde_json::{Value, json};

use client::Mqtt;

/// A daemon of this build without a database.
fn daemon() -> Options {
    Options::new(env!("CARGO_BIN_EXE_divisord"))
}

/// A fixture file.
fn fixture(path: &str) -> Value {
    let path = format!("{}/../fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap()
}

/// `AAA` at 20 and `BBB` at 50 on an old day, and `PAIR`: their sum, a level for each tick.
fn pair() -> Value {
    json!({
        "securities": [
            { "symbol": "AAA", "currency": "USD" },
            { "symbol": "BBB", "currency": "USD" },
        ],
        "prices": [
            { "symbol": "AAA", "price": "20", "ts": "2026-01-05T16:00:00Z" },
            { "symbol": "BBB", "price": "50", "ts": "2026-01-05T16:00:00Z" },
        ],
        "indexes": [sum_of("PAIR", &["AAA", "BBB"], json!({ "mode": "tick" }))],
    })
}

/// An index whose level is the sum of its members' prices.
fn sum_of(code: &str, members: &[&str], dissemination: Value) -> Value {
    let basket: Vec<Value> = members
        .iter()
        .map(|symbol| json!({ "symbol": symbol, "units": "1" }))
        .collect();
    json!({
        "code": code, "currency": "USD", "weighting": { "scheme": "fixed_units" },
        "base": { "divisor": "1" }, "dissemination": dissemination, "basket": basket,
    })
}

/// A column of a query as texts.
fn column(database: &TestDatabase, sql: &str) -> Vec<String> {
    let rows = database.connect().query(sql, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Compares long lists and names the first difference instead of printing both.
fn assert_same(what: &str, got: &[String], expected: &[String]) {
    let different = got.iter().zip(expected).position(|(a, b)| a != b);
    let place = different.unwrap_or(got.len().min(expected.len()));
    assert!(
        got == expected,
        "{what}: {} rows for {}, and row {place} is {:?} for {:?}",
        got.len(),
        expected.len(),
        got.get(place),
        expected.get(place)
    );
}

/// The rows of an index's levels, `seq level`, in their order.
fn stored_levels(database: &TestDatabase, code: &str) -> Vec<String> {
    let sql = format!(
        "select seq || ' ' || level from level where \"index\" = '{code}' order by seq, run"
    );
    column(database, &sql)
}
