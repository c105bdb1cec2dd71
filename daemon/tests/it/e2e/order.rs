//! Acknowledged means durable, and everything counts once: publishers go on while the daemon is
//! killed again and again.

use std::collections::BTreeMap;

use divisor_testkit::{Postgres, TestDatabase, eventually};
use serde_json::json;

use super::{Mqtt, assert_same, column, daemon, pair, stored_levels};

/// Deaths of the daemon.
const ROUNDS: u64 = 4;

/// Ticks of each publisher in each round.
const TICKS: u64 = 300;

/// The incarnation of both publishers: they live through all rounds.
const INC: u64 = 77;

#[test]
fn what_is_acknowledged_survives_kill_9_and_counts_once() {
    let database = Postgres::shared().database();
    let mut daemon = daemon().database(&database.url()).start();
    Mqtt::v4(&daemon, "operator").load(&pair());
    let mut published = BTreeMap::new();
    for round in 0..ROUNDS {
        let desk = Mqtt::v5(&daemon, "desk");
        desk.subscribe("indexes/PAIR/level");
        assert_eq!(desk.done("status", json!({}))["epoch"], round + 1);
        let feeds = [Mqtt::v4(&daemon, "feed-a"), Mqtt::v5(&daemon, "feed-b")];
        for seq in round_of(round) {
            feeds[0].publish("securities/AAA/price", tick("feed-a", seq));
            feeds[1].publish("securities/BBB/price", tick("feed-b", seq));
        }
        eventually("both have acknowledgements", || {
            feeds.iter().all(|feed| feed.acked() > 0).then_some(())
        });
        daemon.kill();
        let acked = feeds.each_ref().map(|feed| {
            eventually("the connection breaks", || feed.ended());
            feed.acked() as u64
        });
        eventually("the connection breaks", || desk.ended());
        note(&desk, &mut published);

        daemon = daemon.restart();
        let desk = Mqtt::v4(&daemon, "desk");
        desk.subscribe("indexes/PAIR/level");
        for (symbol, acked) in ["AAA", "BBB"].into_iter().zip(acked) {
            let least = price(round * TICKS + acked);
            let shown = desk.done("security.show", json!({ "symbol": symbol }));
            let cents = shown["row"]["price"].as_str().unwrap().replace('.', "");
            let least = least.replace('.', "").parse::<u64>().unwrap();
            assert!(
                cents.parse::<u64>().unwrap() >= least,
                "round {round}: {acked} of {symbol} were acknowledged, {shown}"
            );
        }
        // A publisher sends again whatever it cannot be sure of, and more than that.
        let feeds = [Mqtt::v4(&daemon, "feed-a"), Mqtt::v5(&daemon, "feed-b")];
        for seq in round_of(round) {
            feeds[0].publish("securities/AAA/price", tick("feed-a", seq));
            feeds[1].publish("securities/BBB/price", tick("feed-b", seq));
        }
        feeds.iter().for_each(Mqtt::wait_acked);
        let last = 1 + 2 * TICKS * (round + 1);
        eventually("the round's last level", || {
            desk.levels("PAIR").iter().find(|m| m.seq == last).cloned()
        });
        note(&desk, &mut published);
    }
    once_in_postgresql(&daemon_status(&daemon), &database, &published);
}

#[test]
fn a_redelivery_changes_nothing() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let first = Mqtt::v5(&daemon, "feed");
    first.subscribe("indexes/PAIR/level");
    first.load(&pair());
    first.price("AAA", tick("feed", 1));
    let level = first.wait_level("PAIR", "150.01");
    // The acknowledgement is lost with the daemon; the publisher comes back on other ways.
    let daemon = daemon.restart();
    for client in [Mqtt::v4(&daemon, "feed"), Mqtt::v5(&daemon, "spare")] {
        client.price("AAA", tick("feed", 1));
        client.price("AAA", format!("[{0},{0}]", tick("feed", 1)));
    }
    // The same number of another incarnation, or of another source, is another tick.
    let desk = Mqtt::v4(&daemon, "desk");
    desk.subscribe("indexes/PAIR/level");
    desk.price("BBB", tick("other", 1));
    let next = desk.wait_level("PAIR", "200.02");
    assert_eq!((next.seq, next.epoch), (level.seq + 1, level.epoch + 1));
    desk.wait_projected();
    let sql = "select concat_ws(' ', symbol, price, src, seq, effect) from tick \
               where inc = 77 order by position";
    let expected = ["AAA 100.01 feed 1 applied", "BBB 100.01 other 1 applied"];
    assert_eq!(column(&database, sql), expected);
}

/// Notes what a subscriber saw; no number may ever stand for two levels.
fn note(desk: &Mqtt, published: &mut BTreeMap<u64, String>) {
    for level in desk.levels("PAIR") {
        let value = level.level.to_string();
        if let Some(before) = published.insert(level.seq, value.clone()) {
            assert_eq!(before, value, "level {} has changed", level.seq);
        }
    }
}

fn once_in_postgresql(desk: &Mqtt, database: &TestDatabase, published: &BTreeMap<u64, String>) {
    desk.wait_projected();
    let sql = "select concat_ws(' ', src, seq, price, effect) from tick where inc = 77 \
               order by src, tick.seq, position";
    let mut sent = Vec::new();
    for src in ["feed-a", "feed-b"] {
        let ticks = 1..=TICKS * ROUNDS;
        sent.extend(ticks.map(|seq| format!("{src} {seq} {} applied", trimmed(&price(seq)))));
    }
    assert_same("ticks", &column(database, sql), &sent);

    let rows = stored_levels(database, "PAIR");
    let count = 1 + 2 * TICKS * ROUNDS;
    let numbers = rows
        .iter()
        .map(|row| row.split(' ').next().unwrap().to_owned());
    let contiguous: Vec<String> = (1..=count).map(|seq| seq.to_string()).collect();
    assert_same("numbers", &numbers.collect::<Vec<_>>(), &contiguous);
    for (seq, level) in published {
        assert_eq!(rows[*seq as usize - 1], format!("{seq} {level}"));
    }
}

fn daemon_status(daemon: &divisor_testkit::Daemon) -> Mqtt {
    Mqtt::v4(daemon, "operator")
}

fn round_of(round: u64) -> impl Iterator<Item = u64> {
    round * TICKS + 1..=(round + 1) * TICKS
}

/// The price of a tick: rising with its number, so that the last one tells how many there were.
fn price(seq: u64) -> String {
    format!("{}.{:02}", 100 + seq / 100, seq % 100)
}

fn trimmed(price: &str) -> &str {
    price.trim_end_matches('0').trim_end_matches('.')
}

fn tick(src: &str, seq: u64) -> String {
    let ts = format!("2026-01-06T10:{:02}:{:02}Z", seq / 60, seq % 60);
    json!({ "price": price(seq), "ts": ts, "src": src, "inc": INC, "seq": seq }).to_string()
}
