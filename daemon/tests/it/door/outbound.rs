//! Levels and price copies on their way out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use divisord::door::{Publication, Settings};

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_retained_level_comes_with_the_subscription() {
    let rig = Rig::start(settings()).await;
    let exchange = Arc::clone(&rig.door.exchange);
    let levels = (0..500).map(|number| {
        let topic = format!("indexes/I{number}/level");
        Publication::from_daemon(topic.into(), number.to_string().into(), true)
    });
    exchange.publish_many(levels);
    for qos in [0, 1, 2] {
        let mut raw = rig.v4("dashboard").await;
        raw.subscribe("indexes/+/level", qos).await;
        let mut topics = BTreeSet::new();
        for _ in 0..500 {
            let (first, topic, id, _) = raw.message().await;
            // The daemon publishes at QoS 1, so a subscription at 2 gets 1.
            assert_eq!(first, 0x31 | qos.min(1) << 1);
            topics.insert(topic);
            if qos > 0 {
                raw.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
                    .await;
            }
        }
        assert_eq!(topics.len(), 500);
        raw.expect_nothing().await;
    }
    // A retained message is cleared by an empty one only if that is retained too.
    rig.publish("indexes/I7/level", "", false).await;
    assert_eq!(
        exchange
            .retained_matching("indexes/I7/level")
            .flatten()
            .count(),
        1
    );
    rig.publish("indexes/I7/level", "", true).await;
    assert_eq!(
        exchange
            .retained_matching("indexes/I7/level")
            .flatten()
            .count(),
        0
    );
}

/// A subscriber that joins in the middle of a stream sees rising numbers, none missing after the
/// retained one, none twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_and_live_join_without_a_seam() {
    let rig = Rig::start(settings()).await;
    let exchange = Arc::clone(&rig.door.exchange);
    let publisher = std::thread::spawn(move || {
        for number in 0..3_000u32 {
            let payload = number.to_string().into();
            exchange.publish(Publication::from_daemon(
                "indexes/A/level".into(),
                payload,
                true,
            ));
            if number % 50 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    for round in 0..20 {
        let mut raw = rig.v4(&format!("late{round}")).await;
        raw.subscribe("indexes/#", 0).await;
        let mut last: Option<u32> = None;
        while last != Some(2_999) {
            let (first, _, _, payload) = raw.message().await;
            let number: u32 = payload.parse().unwrap();
            match last {
                None => {}
                Some(last) => {
                    assert_eq!(number, last + 1);
                    assert_eq!(first, 0x30, "a live level is not retained");
                }
            }
            last = Some(number);
        }
    }
    publisher.join().unwrap();
}

/// What is retained waits in the table until its reader has read what came before, so what changes
/// meanwhile comes once, and new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_large_table_gets_each_topic_once() {
    const TOPICS: usize = 6_000;
    let rig = Rig::start(Settings {
        queue_bytes_max: 64 * 1024 * 1024,
        ..settings()
    })
    .await;
    let payload = "x".repeat(4_000);
    for number in 0..TOPICS {
        rig.publish(&format!("kept/{number:04}"), &payload, true)
            .await;
    }
    let mut raw = rig.v4("slow").await;
    raw.subscribe("kept/#", 0).await;
    // Nothing is read: the sockets are full long before the table is through.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = [TOPICS - 1, TOPICS - 2];
    rig.publish(&format!("kept/{:04}", late[0]), "new", true)
        .await;
    rig.publish(&format!("kept/{:04}", late[1]), "", true).await;
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < TOPICS {
        let (first, topic, _, payload) = raw.message().await;
        let before = seen.insert(topic, (first & 1 == 1, payload.len()));
        assert!(before.is_none());
    }
    raw.expect_nothing().await;
    for (number, (retained, len)) in seen.into_values().enumerate() {
        let expected = match number {
            number if number == late[0] => (false, 3),
            number if number == late[1] => (false, 0),
            _ => (true, 4_000),
        };
        assert_eq!((retained, len), expected, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_filters_bring_each_message_once() {
    let rig = Rig::start(settings()).await;
    let mut raw = rig.v4("both").await;
    raw.subscribe("a/#", 0).await;
    raw.subscribe("a/+", 1).await;
    raw.subscribe("a/1", 0).await;
    for number in 0..1_000 {
        rig.publish(&format!("a/{}", number % 3), &number.to_string(), false)
            .await;
    }
    let mut last = [-1; 3];
    for _ in 0..1_000 {
        let (first, topic, id, payload) = raw.message().await;
        assert_eq!(first, 0x32, "the highest QoS of those that match");
        raw.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
        let number: i32 = payload.parse().unwrap();
        let topic: usize = topic[2..].parse().unwrap();
        assert!(number > last[topic], "in order within a topic");
        last[topic] = number;
    }
    raw.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_router_still_serves_new_filters() {
    let rig = Rig::start(Settings {
        filters_max: 2,
        ..settings()
    })
    .await;
    for number in 0..6 {
        let mut raw = rig.v4(&format!("c{number}")).await;
        raw.subscribe(&format!("t/{number}"), 0).await;
        raw.subscribe(&format!("u/{number}"), 0).await;
        rig.publish(&format!("t/{number}"), "1", false).await;
        rig.publish("t/other", "1", false).await;
        rig.publish(&format!("u/{number}"), "2", false).await;
        assert_eq!(raw.message().await.1, format!("t/{number}"));
        assert_eq!(raw.message().await.1, format!("u/{number}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_loses_the_oldest_and_blocks_nobody() {
    let settings = Settings {
        queue_messages_max: 100,
        write_timeout: Duration::from_secs(60),
        segment_bytes: 64 * 1024 * 1024,
        ..settings()
    };
    let rig = Rig::start(settings).await;
    let mut slow = rig.v4("slow").await;
    slow.subscribe("t", 0).await;
    let mut quick = rig.v4("quick").await;
    quick.subscribe("t", 0).await;
    let exchange = Arc::clone(&rig.door.exchange);
    let payload = |number: u32| format!("{number:010}{}", "x".repeat(4_000));
    for number in 0..5_000 {
        let publication = Publication::from_daemon("t".into(), payload(number).into(), false);
        exchange.publish(publication);
        if number % 50 == 49 {
            for _ in 0..50 {
                quick.message().await;
            }
        }
    }
    assert!(rig.door.counters.dropped_out.load(Ordering::Relaxed) > 0);
    // What the slow one still gets rises, and ends with the newest.
    let mut last = 0;
    while last < 4_999 {
        let number: u32 = slow.message().await.3[..10].parse().unwrap();
        assert!(number >= last);
        last = number;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_subscriber_loses_is_counted() {
    let settings = Settings {
        queue_messages_max: 100,
        write_timeout: Duration::from_secs(60),
        segment_bytes: 64 * 1024,
        segments: 2,
        ..settings()
    };
    let rig = Rig::start(settings).await;
    let mut slow = rig.v4("slow").await;
    for filter in ["t", "u/+", "divisor/reply/slow/+"] {
        slow.subscribe(filter, 0).await;
    }
    let mut sent = 0u64;
    for topic in ["t", "u/1"] {
        rig.publish(topic, "first", false).await;
        assert_eq!(slow.message().await.1, topic);
    }
    for number in 0..4_000 {
        let topic = if number % 50 == 0 { "u/1" } else { "t" };
        rig.publish(topic, &"x".repeat(4_000), false).await;
        sent += 1;
    }
    for topic in ["t", "u/1"] {
        rig.publish(topic, "last", false).await;
        sent += 1;
    }
    let (mut received, mut last) = (0, 0);
    while last < 2 {
        last += u64::from(slow.message().await.3 == "last");
        received += 1;
    }
    let counters = &rig.door.counters;
    println!(
        "{sent} sent, {received} received; lost: {}",
        counters.lost()
    );
    assert!(received < sent, "nothing was lost");
    assert_eq!(counters.lost(), sent - received);
}

/// Replies and rejections have topics without end, of which the router sees one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_reach_those_who_asked() {
    let rig = Rig::start(Settings {
        filters_max: 4,
        ..settings()
    })
    .await;
    let mut readers = Vec::new();
    for (number, filter) in [
        "divisor/reply/0/+",
        "divisor/reply/1/#",
        "divisor/+/2/x",
        "+/+/3/#",
        "divisor/rejected/+",
        "#",
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = rig.v4(&format!("reader-{number}")).await;
        raw.subscribe(filter, 0).await;
        readers.push(raw);
    }
    let topics = [
        "divisor/reply/0/x",
        "divisor/reply/1/x/y",
        "divisor/reply/2/x",
        "divisor/reply/3/x",
        "divisor/rejected/4",
    ];
    for topic in topics {
        rig.publish(topic, topic, false).await;
    }
    rig.publish("end", "end", false).await;
    for (raw, topic) in readers.iter_mut().zip(topics) {
        assert_eq!(raw.message().await.1, topic);
        raw.expect_nothing().await;
    }
    let all = &mut readers[5];
    let mut seen = Vec::new();
    for _ in 0..=topics.len() {
        seen.push(all.message().await.1);
    }
    seen.sort_unstable();
    let mut expected = [&topics[..], &["end"]].concat();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_dropped() {
    let settings = Settings {
        write_timeout: Duration::from_millis(300),
        ..settings()
    };
    let rig = Rig::start(settings).await;
    let mut deaf = rig.v4("deaf").await;
    deaf.subscribe("t", 0).await;
    let payload = "x".repeat(100_000);
    for _ in 0..200 {
        rig.publish("t", &payload, false).await;
    }
    let dropped = async {
        while rig.door.counters.connections.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, dropped).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interest_in_prices_is_known() {
    let rig = Rig::start(settings()).await;
    let exchange = &rig.door.exchange;
    assert!(!exchange.wants_prices());
    let mut raw = rig.v4("r").await;
    raw.subscribe("indexes/#", 0).await;
    assert!(!exchange.wants_prices());
    assert!(exchange.wants("indexes/A/level") && !exchange.wants("securities/A/price"));
    raw.subscribe("securities/+/price", 0).await;
    assert!(exchange.wants_prices());
    raw.send(&packet(
        0xa2,
        &[&[0, 2][..], &text("securities/+/price")].concat(),
    ))
    .await;
    raw.expect(b"\xb0\x02\0\x02").await;
    assert!(!exchange.wants_prices());
    raw.subscribe("#", 0).await;
    drop(raw);
    let gone = async {
        while exchange.wants_prices() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mqtt_5_options_and_properties_are_honoured() {
    let rig = Rig::start(settings()).await;
    let mut five = rig.connect().await;
    // Receive maximum 1.
    five.send(&connect_v5("five", 2, b"\x21\0\x01")).await;
    five.packet().await;
    // No local, retain as published, QoS 1.
    five.send(&subscribe_v5(1, "t/#", 0x0d)).await;
    five.expect(b"\x90\x04\0\x01\0\x01").await;
    five.send(&publish_v5(0, "t/own", 0, b"", "x")).await;
    let mut other = rig.connect().await;
    other.send(&connect_v5("other", 2, b"")).await;
    other.packet().await;
    other
        .send(&publish_v5(
            3,
            "t/1",
            1,
            b"\x02\0\0\0\x3c\x26\0\x01a\0\x01b",
            "1",
        ))
        .await;
    other.send(&publish_v5(2, "t/2", 2, b"", "2")).await;
    other.expect(b"\x40\x02\0\x01\x40\x02\0\x02").await;
    let (first, body) = five.packet().await;
    assert_eq!(first, 0x33, "QoS 1, retain as published");
    assert_eq!(&body[..8], b"\0\x03t/1\0\x01\x0c");
    assert_eq!(&body[8..9], b"\x02");
    assert_eq!(&body[13..], b"\x26\0\x01a\0\x01b1");
    five.expect_nothing().await;
    five.send(b"\x40\x02\0\x01").await;
    assert_eq!(five.packet().await.1, b"\0\x03t/2\0\x02\x002");
    // Retain handling: 2 never, 1 only for a new filter; a subscription identifier comes back.
    five.send(b"\x40\x02\0\x02").await;
    five.send(&subscribe_v5(2, "+/1", 0x20)).await;
    five.expect(b"\x90\x04\0\x02\0\0").await;
    five.expect_nothing().await;
    five.send(&subscribe_v5(3, "+/1", 0x10)).await;
    five.expect(b"\x90\x04\0\x03\0\0").await;
    five.expect_nothing().await;
    five.send(&packet(0x82, b"\0\x04\x02\x0b\x07\0\x03t/1\x10"))
        .await;
    five.expect(b"\x90\x04\0\x04\0\0").await;
    let (first, body) = five.packet().await;
    assert_eq!(first, 0x31);
    assert_eq!(&body[..5], b"\0\x03t/1");
    assert_eq!(&body[11..13], b"\x0b\x07");
}
