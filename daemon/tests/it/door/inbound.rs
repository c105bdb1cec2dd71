//! Prices, rates and commands on their way in.

use std::sync::atomic::Ordering;
use std::time::Duration;

use divisor_wire::Reason;
use divisord::access::{self, Access, Change, change};
use divisord::door::counters::Closed;
use divisord::door::{Counters, Settings};
use divisord::ingress::{Content, Receipt, Refusal};

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_wait_for_the_receipt_and_keep_their_order() {
    let mut rig = Rig::held(settings()).await;
    let mut raw = rig.v4("feed").await;
    raw.send(&publish(2, "securities/AAPL/price", 1, "1.5"))
        .await;
    let first = rig.next().await;
    raw.send(&publish(4, "fx/EUR/USD/rate", 2, "1.1")).await;
    // An ordinary topic needs no receipt, but its turn is after the price.
    raw.send(&publish(2, "weather", 3, "rain")).await;
    raw.send(&publish(0, "securities/AAPL/price", 0, "1.6"))
        .await;
    raw.expect_nothing().await;
    let mut last = None;
    while last != Some(3) {
        last = rig
            .next()
            .await
            .messages
            .last()
            .map(|message| message.ticket);
    }
    first
        .receipts
        .send(Receipt {
            durable: 1,
            refusals: Vec::new(),
        })
        .unwrap();
    raw.expect(b"\x40\x02\0\x01").await;
    raw.expect_nothing().await;
    first
        .receipts
        .send(Receipt {
            durable: 3,
            refusals: Vec::new(),
        })
        .unwrap();
    raw.expect(b"\x50\x02\0\x02\x40\x02\0\x03").await;
    raw.send(b"\x62\x02\0\x02").await;
    raw.expect(b"\x70\x02\0\x02").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_once_reaches_the_sequencer_once() {
    let mut rig = Rig::held(settings()).await;
    let mut raw = rig.v4("feed").await;
    raw.send(&publish(4, "securities/A/price", 7, "1")).await;
    let first = rig.next().await;
    raw.send(&publish(0xc, "securities/A/price", 7, "1")).await;
    raw.expect_nothing().await;
    acknowledge(&first);
    raw.expect(b"\x50\x02\0\x07").await;
    raw.send(&publish(0xc, "securities/A/price", 7, "1")).await;
    raw.expect(b"\x50\x02\0\x07").await;
    raw.send(b"\x62\x02\0\x07").await;
    raw.expect(b"\x70\x02\0\x07").await;
    raw.send(&publish(4, "securities/A/price", 7, "2")).await;
    let second = rig.next().await;
    assert_eq!(
        second.messages[0].ticket, 2,
        "the duplicates have no ticket"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_decoded_with_their_places() {
    let mut rig = Rig::start(settings()).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v5("ops", 2, b"")).await;
    raw.packet().await;
    raw.send(&publish_v5(
        0,
        "securities/BRK.B/price",
        0,
        b"",
        "[1,0,{\"price\":\"2\"}]",
    ))
    .await;
    raw.send(&publish_v5(0, "fx/EUR/USD/rate", 0, b"", "nonsense"))
        .await;
    let properties = b"\x08\0\x07replies\x09\0\x02id";
    raw.send(&publish_v5(0, "divisor/control/load", 0, properties, "{}"))
        .await;
    let messages = rig.messages(3).await;
    let Content::Prices {
        symbol,
        ticks,
        refused,
    } = &messages[0].content
    else {
        panic!()
    };
    assert_eq!((&**symbol, ticks.len()), ("BRK.B", 2));
    assert_eq!(refused, &[(1, Reason::PriceNotPositive)]);
    let Content::Rates {
        pair,
        ticks,
        refused,
    } = &messages[1].content
    else {
        panic!()
    };
    assert_eq!((&*pair.0, &*pair.1, ticks.len()), ("EUR", "USD", 0));
    assert_eq!(refused, &[(0, Reason::Malformed)]);
    let Content::Command {
        verb,
        response_topic,
        correlation,
    } = &messages[2].content
    else {
        panic!()
    };
    assert_eq!(&**verb, "load");
    assert_eq!(response_topic.as_deref(), Some("replies"));
    assert_eq!(correlation.as_deref(), Some(&b"id"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_reason_codes_in_mqtt_5() {
    let access = Access::open(access::Settings::default()).unwrap();
    let mut rig = Rig::held_for(settings(), access).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("divisor/rejected/+", 0).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v5("a/b", 2, b"")).await;
    raw.packet().await;
    raw.send(&publish_v5(2, "securities/A/price", 1, b"", "x"))
        .await;
    raw.send(&publish_v5(4, "securities/A/price", 2, b"", "x"))
        .await;
    raw.send(&publish_v5(2, "indexes/A/level", 3, b"", "x"))
        .await;
    raw.send(&publish_v5(2, "weather", 4, b"", "x")).await;
    let mut submission = rig.next().await;
    while submission.messages.last().unwrap().ticket < 2 {
        submission = rig.next().await;
    }
    let refusal = |ticket, reason| Refusal {
        ticket,
        place: 0,
        whole: true,
        reason,
    };
    let refusals = vec![
        refusal(1, Reason::Malformed),
        refusal(2, Reason::UnknownSymbol),
    ];
    submission
        .receipts
        .send(Receipt {
            durable: 2,
            refusals,
        })
        .unwrap();
    let refused = |first, id: u16, code, why: &str| {
        let mut body = id.to_be_bytes().to_vec();
        body.extend([code, 3 + why.len() as u8, 0x1f]);
        body.extend(text(why));
        packet(first, &body)
    };
    raw.expect(&refused(0x40, 1, 0x99, "malformed")).await;
    raw.expect(&refused(0x50, 2, 0x83, "unknown_symbol")).await;
    raw.expect(&refused(0x40, 3, 0x87, "bad_topic")).await;
    raw.expect(&refused(0x40, 4, 0x87, "bad_topic")).await;
    let (_, topic, _, payload) = reader.message().await;
    assert_eq!(topic, "divisor/rejected/a%2Fb");
    assert_eq!(
        payload,
        r#"{"v":1,"topic":"indexes/A/level","reason":"bad_topic","place":0,"accepted":0}"#
    );
    // 3.1.1 has no word for it: acknowledged and dropped.
    let mut old = rig.v4("old").await;
    old.send(&publish(2, "divisor/status", 9, "x")).await;
    old.expect(b"\x40\x02\0\x09").await;
    assert_eq!(rig.door.counters.refused_topic.load(Ordering::Relaxed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_publish_ends_old_connections_where_configured() {
    let access = Access::open(access::Settings::default()).unwrap();
    let settings = Settings {
        disconnect_denied: true,
        ..settings()
    };
    let rig = Rig::guarded(settings, access).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("divisor/rejected/+", 0).await;
    for (number, (topic, flags)) in [("indexes/A/level", 2), ("weather", 0)].iter().enumerate() {
        let mut raw = rig.v4("old").await;
        // What came before is acknowledged all the same.
        raw.send(&publish(2, "securities/A/price", 1, "1")).await;
        raw.expect(b"\x40\x02\0\x01").await;
        raw.send(&publish(*flags, topic, 2, "x")).await;
        assert_eq!(raw.until_closed().await, b"");
        let (_, report, _, payload) = reader.message().await;
        assert_eq!(report, "divisor/rejected/old");
        assert!(payload.contains("bad_topic"), "{payload}");
        let denied = |counters: &Counters| counters.closed.get(Closed::Denied);
        rig.until(|counters| denied(counters) == number as u64 + 1)
            .await;
    }
    // A payload that cannot be taken is no matter of rights, and MQTT 5 can be told.
    let mut raw = rig.v4("old").await;
    raw.send(&publish(2, "securities//price", 3, "x")).await;
    raw.expect(b"\x40\x02\0\x03").await;
    let mut five = rig.v5("five", b"").await;
    five.send(&publish_v5(2, "weather", 4, b"", "x")).await;
    let (first, body) = five.packet().await;
    assert_eq!((first, body[2]), (0x40, 0x87));
    five.send(b"\xc0\0").await;
    five.expect(b"\xd0\0").await;
}

/// The daemon writes the answer to a command, so it must not write where its asker could not, or
/// where nobody may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_where_their_asker_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    let new = Change {
        password: Some("bob-pw"),
        roles: &["subscriber".to_owned()],
        ..Change::default()
    };
    change(&path, "bob", &new).unwrap();
    let mut users = std::fs::read_to_string(&path).unwrap();
    users.push_str("subscribe = [\"desk/{user}/#\"]\n");
    std::fs::write(&path, users).unwrap();
    let access = Access::open(access::Settings {
        users_file: Some(path),
        ..access::Settings::default()
    });
    let settings = Settings {
        connect_timeout: PATIENCE,
        ..settings()
    };
    let mut rig = Rig::guarded(settings, access.unwrap()).await;
    let mut raw = rig.connect().await;
    // User name and password, and the wish to be told why.
    let mut connect = b"\0\x04MQTT\x05\xc2\0\0\0".to_vec();
    for field in ["c/1", "bob", "bob-pw"] {
        connect.extend(text(field));
    }
    raw.send(&packet(0x10, &connect)).await;
    let (_, body) = raw.packet().await;
    assert_eq!(body[1], 0);
    let mut check = async |response: &str, allowed: bool| {
        let mut properties = vec![0x08];
        properties.extend(text(response));
        let topic = "divisor/control/status";
        raw.send(&publish_v5(2, topic, 5, &properties, "{}")).await;
        let (first, body) = raw.packet().await;
        assert_eq!(first, 0x40, "{response}");
        if allowed {
            assert_eq!(body, [0, 5], "{response}");
            let Content::Command { response_topic, .. } = &rig.messages(1).await[0].content else {
                panic!("{response}: no command");
            };
            assert_eq!(response_topic.as_deref(), Some(response));
        } else {
            assert_eq!(body[2], 0x87, "{response}");
            let why = String::from_utf8_lossy(&body[3..]).into_owned();
            assert!(why.ends_with("bad_response_topic"), "{response}: {why}");
        }
    };
    check("divisor/reply/c%2F1/7", true).await;
    check("divisor/reply/c%2F1/a/b", true).await;
    check("desk/bob/answers", true).await;
    check("desk/ann/answers", false).await;
    check("weather", false).await;
    check("divisor/reply/c%2F1/", false).await;
    check("divisor/reply/other/7", false).await;
    check("divisor/rejected/c%2F1", false).await;
    check("divisor/status", false).await;
    check("divisor/control/load.begin", false).await;
    check("indexes/A/level", false).await;
    check("securities/A/price", false).await;
    check("fx/EUR/USD/rate", false).await;
    check("$SYS/x", false).await;
    let refused = rig.door.counters.rejected.get(Reason::BadResponseTopic);
    assert_eq!(refused, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_stand_for_topics() {
    let mut rig = Rig::start(settings()).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v5("feed", 2, b"")).await;
    raw.packet().await;
    raw.send(&publish_v5(0, "securities/A/price", 0, b"\x23\0\x05", "1"))
        .await;
    raw.send(&publish_v5(0, "", 0, b"\x23\0\x05", "2")).await;
    raw.send(&publish_v5(0, "securities/B/price", 0, b"\x23\0\x05", "3"))
        .await;
    raw.send(&publish_v5(0, "", 0, b"\x23\0\x05", "4")).await;
    let topics: Vec<_> = rig
        .messages(4)
        .await
        .iter()
        .map(|m| m.topic.to_string())
        .collect();
    assert_eq!(topics[1], "securities/A/price");
    assert_eq!(topics[3], "securities/B/price");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_ahead_of_the_journal_is_not_read() {
    let mut rig = Rig::held(Settings {
        inflight_max: 10,
        ..settings()
    })
    .await;
    let mut raw = rig.v4("feed").await;
    let message = publish(2, "securities/A/price", 1, &"1".repeat(30));
    let flood = message.repeat(200_000);
    let sending = raw.send(&flood);
    assert!(
        tokio::time::timeout(Duration::from_millis(500), sending)
            .await
            .is_err(),
        "TCP holds the publisher up"
    );
    let mut taken = 0;
    while let Ok(submission) = rig.submissions.try_recv() {
        taken += submission.messages.len();
    }
    assert!((1..5_000).contains(&taken), "{taken}");
    // Another client is served meanwhile.
    let mut other = rig.v4("other").await;
    other.send(b"\xc0\0").await;
    other.expect(b"\xd0\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_waits_for_receipts() {
    let mut rig = Rig::held(settings()).await;
    let mut four = rig.v4("four").await;
    let mut five = rig.connect().await;
    five.send(&connect_v5("five", 2, b"")).await;
    five.packet().await;
    five.send(&publish_v5(2, "securities/A/price", 1, b"", "1"))
        .await;
    let submission = rig.next().await;
    rig.stop.send_replace(true);
    tokio::time::sleep(QUIET).await;
    acknowledge(&submission);
    five.expect(b"\x40\x02\0\x01\xe0\x01\x8b").await;
    assert!(four.until_closed().await.is_empty());
    tokio::time::timeout(PATIENCE, rig.served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rig.door.counters.connections.load(Ordering::Relaxed), 0);
}
