//! What a subscriber finds when it comes: the last level of every index, and how the daemon is.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use divisor_testkit::{Daemon, PATIENCE, eventually};
use serde_json::{Value, json};

use super::{Mqtt, daemon, sum_of};

/// More than any window, queue or page on the way.
const INDEXES: usize = 300;

#[test]
fn every_last_level_is_there_before_the_first_tick() {
    let mut daemon = daemon().start();
    let operator = Mqtt::v4(&daemon, "operator");
    operator.load(&many());
    operator.price("AAA", "21.5");
    let before = last_levels(&daemon);
    assert!(before.values().all(|level| level["level"] == "21.50"));

    // After a crash.
    daemon = daemon.restart();
    let after = last_levels(&daemon);
    same_but_epoch(&before, &after, 2);

    // After an orderly stop.
    assert!(daemon.stop().success());
    daemon = daemon.restart();
    same_but_epoch(&before, &last_levels(&daemon), 3);

    // And the numbers go on from there.
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/I007/level");
    desk.price("AAA", "22");
    let level = desk.wait_level("I007", "22.00");
    assert_eq!(level.seq, before["I007"]["seq"].as_u64().unwrap() + 1);
}

#[test]
fn the_status_is_retained_and_says_goodbye() {
    let mut daemon = daemon().start();
    let desks = [Mqtt::v4(&daemon, "four"), Mqtt::v5(&daemon, "five")];
    for desk in &desks {
        desk.subscribe("divisor/status");
        let status = desk.wait("the status", |m| {
            (m.topic == "divisor/status").then(|| m.json())
        });
        assert_eq!(
            (&status["state"], &status["epoch"]),
            (&json!("online"), &json!(1))
        );
        assert_eq!((&status["store"], &status["v"]), (&json!("off"), &json!(1)));
    }
    let raw = [4, 5].map(|level| raw_status_subscriber(&daemon, level));
    assert!(daemon.stop().success());
    for mut socket in raw {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let last = text.rsplit(r#""state":"#).next().unwrap();
        assert!(last.starts_with(r#""offline""#), "{text}");
    }
    let daemon = daemon.restart();
    let desk = Mqtt::v4(&daemon, "four");
    desk.subscribe("divisor/status");
    let epoch = desk.wait("the status", |m| {
        (m.json()["state"] == "online").then(|| m.json()["epoch"].clone())
    });
    assert_eq!(epoch, 2);
}

/// An empty retained message is how MQTT deletes one, and some brokers delete at an empty message
/// that is not retained. Only the daemon writes here, so neither does anything.
#[test]
fn nobody_clears_a_retained_level() {
    let daemon = daemon().start();
    let operator = Mqtt::v4(&daemon, "operator");
    operator.load(&many());
    let before = last_levels(&daemon);
    for level in [4, 5] {
        for retain in [0, 1] {
            let mut socket = TcpStream::connect(daemon.address()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut bytes = connect(level, "vandal");
            for topic in ["indexes/I000/level", "indexes/I001/level", "divisor/status"] {
                bytes.extend(empty(level, topic, retain));
            }
            // The answer to a ping comes behind what was done with them.
            bytes.extend([0xc0, 0]);
            socket.write_all(&bytes).unwrap();
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(&[0xd0, 0]) {
                socket.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
        }
    }
    same_but_epoch(&before, &last_levels(&daemon), 1);
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("divisor/status");
    desk.wait("the status", |m| {
        (m.json()["state"] == "online").then_some(())
    });
}

/// CONNECT with a clean session.
fn connect(level: u8, client: &str) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 0];
    if level == 5 {
        body.push(0);
    }
    body.extend([0, client.len() as u8]);
    body.extend(client.as_bytes());
    [&[0x10, body.len() as u8], &body[..]].concat()
}

/// A PUBLISH at QoS 0 without payload.
fn empty(level: u8, topic: &str, retain: u8) -> Vec<u8> {
    let mut body = vec![0, topic.len() as u8];
    body.extend(topic.as_bytes());
    if level == 5 {
        body.push(0);
    }
    [&[0x30 | retain, body.len() as u8], &body[..]].concat()
}

fn many() -> Value {
    let indexes =
        (0..INDEXES).map(|i| sum_of(&format!("I{i:03}"), &["AAA"], json!({ "mode": "conflate" })));
    json!({
        "securities": [{ "symbol": "AAA", "currency": "USD" }],
        "prices": [{ "symbol": "AAA", "price": "20" }],
        "indexes": indexes.collect::<Vec<_>>(),
    })
}

/// What a new wildcard subscriber gets, in both versions of the protocol the same.
fn last_levels(daemon: &Daemon) -> BTreeMap<String, Value> {
    let [four, five] = [Mqtt::v4(daemon, "new-four"), Mqtt::v5(daemon, "new-five")].map(|desk| {
        desk.subscribe("indexes/+/level");
        eventually("all levels", || {
            let messages = desk.messages();
            let levels: BTreeMap<_, _> = messages
                .iter()
                .filter(|m| m.topic.starts_with("indexes/"))
                .inspect(|m| assert!(m.retain, "{} is not marked as retained", m.topic))
                .map(|m| (m.json()["index"].as_str().unwrap().to_owned(), m.json()))
                .collect();
            (levels.len() == INDEXES).then_some(levels)
        })
    });
    assert_eq!(four, five);
    four
}

/// A restart repeats the levels; only the boot count tells.
fn same_but_epoch(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>, epoch: u64) {
    for (code, level) in before {
        let mut expected = level.clone();
        expected["epoch"] = epoch.into();
        assert_eq!(after[code], expected);
    }
}

/// A subscriber without a library: rumqttc drops what it reads together with the connection's end.
/// It has the retained status when this returns.
fn raw_status_subscriber(daemon: &Daemon, level: u8) -> TcpStream {
    let properties: &[u8] = if level == 5 { &[0] } else { &[] };
    let packet = |first: u8, body: &[&[u8]]| {
        let body = body.concat();
        [&[first, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    };
    let connect = packet(
        0x10,
        &[
            b"\0\x04MQTT",
            &[level, 2, 0, 60],
            properties,
            b"\0\x04raw",
            &[b'0' + level],
        ],
    );
    let subscribe = packet(0x82, &[&[0, 1], properties, b"\0\x0edivisor/status", &[0]]);
    let mut socket = TcpStream::connect(daemon.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[connect, subscribe].concat()).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(r#""online""#) {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    socket
}
