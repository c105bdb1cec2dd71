//! The HTTP side from outside: requests on real sockets, a real divisord behind them.

mod access;
mod client;
mod history;
mod limits;
mod live;
mod members;
mod metrics;
mod openapi;
mod prefix;
mod probes;
mod stream;

use divisor_testkit::Daemon;
use serde_json::{Value, json};

use super::{Mqtt, daemon, pair, sum_of};
pub(super) use client::get;

/// A daemon that knows `PAIR`, and who loaded it.
fn with_pair() -> (Daemon, Mqtt) {
    let daemon = daemon().http().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    (daemon, desk)
}

/// A page as text.
pub(super) fn get_text(daemon: &Daemon, path: &str) -> String {
    get(daemon, path).text()
}

/// The JSON of a request to the daemon that must succeed.
pub(super) fn get_json(daemon: &Daemon, path: &str) -> Value {
    client::json(daemon, path)
}

/// Publishes a price and waits until it is durable.
fn price(desk: &Mqtt, symbol: &str, price: &str, ts: &str) {
    let tick = json!({ "price": price, "ts": ts }).to_string();
    desk.publish(&format!("securities/{symbol}/price"), tick);
    desk.wait_acked();
}
