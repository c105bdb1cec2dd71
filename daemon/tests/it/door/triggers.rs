//! What ends, blocks or confuses the stock broker around the router, tried on the door. What is not
//! here is in the table of `conformance.rs` (malformed topics and filters, early CONNACK, repeated
//! QoS 2, receive maximum, aliases with wildcards), in `hostile.rs` (topics with accents, client ids
//! with wildcards, unknown acknowledgements, properties towards 3.1.1), in `outbound.rs` (hundreds
//! of retained messages, overlapping filters, slow subscribers), in `sessions.rs` and in `shared.rs`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use divisord::door::Settings;

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_may_come_in_any_order() {
    let rig = Rig::start(settings()).await;
    let mut raw = rig.v4("odd").await;
    raw.subscribe("t", 1).await;
    for number in 0..5 {
        rig.publish("t", &number.to_string(), false).await;
    }
    for _ in 0..5 {
        raw.message().await;
    }
    for id in [3, 1, 9, 5, 2, 4, 4, 0xff] {
        raw.send(&[0x40, 2, 0, id]).await;
    }
    rig.publish("t", "still here", false).await;
    assert_eq!(raw.message().await.3, "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_door_opens_again_for_the_client_that_insists() {
    let rig = Rig::start(Settings {
        connections_max: 2,
        ..settings()
    })
    .await;
    let first = rig.v4("first").await;
    let _second = rig.v4("second").await;
    for _ in 0..20 {
        let mut raw = rig.connect().await;
        raw.send(&connect_v4("insists", 2, 0)).await;
        assert_eq!(raw.until_closed().await, b"\x20\x02\0\x03");
    }
    drop(first);
    rig.until(|counters| counters.connections.load(Ordering::Relaxed) == 1)
        .await;
    rig.v4("insists").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_of_acknowledgements_are_read_over() {
    let rig = Rig::start(settings()).await;
    let mut five = rig.v5("five", b"").await;
    five.send(&publish_v5(4, "t", 7, b"", "x")).await;
    five.expect(b"\x50\x02\0\x07").await;
    five.send(&packet(0x62, b"\0\x07\0\x07\x26\0\x01k\0\x01v"))
        .await;
    five.expect(b"\x70\x02\0\x07").await;
    five.send(&packet(0x62, b"\0\x07\0\x09\x26\0\x01k\0\x01v"))
        .await;
    assert_eq!(five.until_closed().await, b"\xe0\x01\x81");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_takeovers_has_its_will() {
    let rig = Rig::start(settings()).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("wills/#", 1).await;
    let connect = |number: u32| {
        let mut body = b"\0\x04MQTT\x04\x06\0\0".to_vec();
        body.extend(text("twin"));
        body.extend(text("wills/twin"));
        body.extend(text(&number.to_string()));
        packet(0x10, &body)
    };
    let mut last = rig.connect().await;
    last.send(&connect(0)).await;
    last.expect(b"\x20\x02\0\0").await;
    for number in 1..20 {
        let mut next = rig.connect().await;
        next.send(&connect(number)).await;
        next.expect(b"\x20\x02\0\0").await;
        assert!(last.until_closed().await.is_empty());
        last = next;
    }
    drop(last);
    for number in 0..20 {
        assert_eq!(reader.message().await.3, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_blocks_nobody() {
    let rig = Rig::start(Settings {
        connect_timeout: PATIENCE,
        ..settings()
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(rig.connect().await);
    }
    let mut raw = rig.v4("served").await;
    raw.send(b"\xc0\0").await;
    raw.expect(b"\xd0\0").await;
}

/// A stuck QoS 1 subscriber of a kept session comes back: nothing that fits its queue is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_subscriber_finds_its_messages() {
    let rig = Rig::start(Settings {
        write_timeout: Duration::from_millis(300),
        window_max: 10,
        ..settings()
    })
    .await;
    let mut stuck = rig.connect().await;
    stuck.send(&connect_v4("stuck", 0, 0)).await;
    stuck.expect(b"\x20\x02\0\0").await;
    stuck.subscribe("t", 1).await;
    for number in 0..1_000 {
        rig.publish("t", &number.to_string(), false).await;
    }
    drop(stuck);
    rig.parked(1).await;
    let mut back = rig.connect().await;
    back.send(&connect_v4("stuck", 0, 0)).await;
    back.expect(b"\x20\x02\x01\0").await;
    for number in 0..1_000 {
        let (_, _, id, payload) = back.message().await;
        assert_eq!(payload, number.to_string());
        back.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
    }
}

/// Thousands of clients with ids of their own, each with a subscription: the router has as many
/// links as there were clients at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_never_come_back_leave_nothing() {
    let rig = Rig::start(settings()).await;
    for number in 0..500 {
        let mut raw = rig.v4(&format!("once{number}")).await;
        raw.subscribe("t", 0).await;
        raw.send(b"\xe0\0").await;
        raw.until_closed().await;
    }
    rig.until(|counters| counters.connections.load(Ordering::Relaxed) == 0)
        .await;
    let links = rig.door.exchange.links_made();
    assert!(links < 100, "{links} links for one client at a time");
    assert!(!rig.door.exchange.wants("t"));
}
