//! What outlives a connection: takeover, resumption, wills.

use std::sync::atomic::Ordering;
use std::time::Duration;

use divisord::door::Settings;

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_takes_over() {
    let rig = Rig::start(settings()).await;
    let mut four = rig.v4("twin").await;
    let mut five = rig.connect().await;
    five.send(&connect_v5("twin", 2, b"")).await;
    assert_eq!(five.packet().await.0, 0x20);
    assert!(four.until_closed().await.is_empty());
    let _third = rig.v4("twin").await;
    assert_eq!(five.until_closed().await, b"\xe0\x01\x8e");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_takeovers_at_once_leave_one() {
    let rig = Rig::start(settings()).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut raw = rig.connect().await;
        raw.send(&connect_v4("twin", 0, 0)).await;
        all.push(raw);
    }
    let alone = async {
        while rig.door.counters.connections.load(Ordering::Relaxed) != 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_goes_on() {
    let rig = Rig::start(settings()).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("t/#", 1).await;
    raw.send(&subscribe(2, "u", 2)).await;
    raw.expect(b"\x90\x03\0\x02\x02").await;
    rig.publish("t/1", "unacked", false).await;
    assert_eq!(
        raw.message().await,
        (0x32, "t/1".into(), 1, "unacked".into())
    );
    drop(raw);
    rig.parked(1).await;
    for number in 0..300 {
        rig.publish("t/2", &number.to_string(), false).await;
    }
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\x01\0").await;
    assert_eq!(
        raw.message().await,
        (0x3a, "t/1".into(), 1, "unacked".into()),
        "again, with DUP"
    );
    raw.send(b"\x40\x02\0\x01").await;
    for number in 0..300 {
        let (_, _, id, payload) = raw.message().await;
        assert_eq!(payload, number.to_string());
        raw.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
    }
    // A clean session ends it.
    drop(raw);
    rig.parked(1).await;
    let raw = rig.v4("kept").await;
    drop(raw);
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("kept", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_done_exactly_once_survives_the_connection() {
    let mut rig = Rig::held(settings()).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("feed", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.send(&publish(4, "securities/A/price", 3, "1")).await;
    let submission = rig.next().await;
    drop(raw);
    tokio::time::sleep(QUIET).await;
    acknowledge(&submission);
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("feed", 0, 0)).await;
    raw.expect(b"\x20\x02\x01\0").await;
    raw.send(&publish(0xc, "securities/A/price", 3, "1")).await;
    raw.expect(b"\x50\x02\0\x03").await;
    assert!(
        rig.submissions.try_recv().is_err(),
        "the sequencer has it already"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_mqtt_5_expire() {
    let settings = Settings {
        session_expiry_max: Duration::from_secs(1),
        ..settings()
    };
    let rig = Rig::start(settings).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v5("short", 0, b"\x11\0\0\x0e\x10")).await;
    let (_, body) = raw.packet().await;
    assert_eq!(&body[3..8], b"\x11\0\0\0\x01", "the client is told");
    drop(raw);
    rig.parked(1).await;
    rig.parked(0).await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v5("short", 0, b"\x11\0\0\x0e\x10")).await;
    assert_eq!(raw.packet().await.1[0], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_assigned() {
    let rig = Rig::start(settings()).await;
    let mut five = rig.connect().await;
    five.send(&connect_v5("", 2, b"")).await;
    let (_, body) = five.packet().await;
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("auto-"), "{text}");
    rig.v4("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_where_its_answers_go() {
    let rig = Rig::start(settings()).await;
    for (wish, told) in [(b"\x19\x01", true), (b"\x19\x00", false)] {
        let mut raw = rig.connect().await;
        raw.send(&connect_v5("a/b", 2, wish)).await;
        let (_, body) = raw.packet().await;
        let mut property = vec![0x1a];
        property.extend(text("divisor/reply/a%2Fb/"));
        let is_there = body.windows(property.len()).any(|part| part == property);
        assert_eq!(is_there, told, "{body:02x?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_follows_an_abnormal_end_only() {
    let rig = Rig::start(settings()).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("wills/#", 0).await;
    let connect = |id: &str, topic: &str| {
        let mut body = b"\0\x04MQTT\x04\x06\0\0".to_vec();
        body.extend(text(id));
        body.extend(text(topic));
        body.extend(text("gone"));
        packet(0x10, &body)
    };
    let mut polite = rig.connect().await;
    polite.send(&connect("polite", "wills/polite")).await;
    polite.expect(b"\x20\x02\0\0").await;
    polite.send(b"\xe0\0").await;
    polite.until_closed().await;
    let mut rude = rig.connect().await;
    rude.send(&connect("rude", "wills/rude")).await;
    rude.expect(b"\x20\x02\0\0").await;
    drop(rude);
    assert_eq!(
        reader.message().await,
        (0x30, "wills/rude".into(), 0, "gone".into())
    );
    // A will is no way to write a level or a price.
    for topic in ["indexes/A/level", "securities/A/price"] {
        reader.subscribe("#", 0).await;
        let mut liar = rig.connect().await;
        liar.send(&connect("liar", topic)).await;
        liar.expect(b"\x20\x02\0\0").await;
        drop(liar);
        let (_, topic, _, _) = reader.message().await;
        assert_eq!(topic, "divisor/rejected/liar");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_will_waits_for_the_client() {
    let rig = Rig::start(settings()).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("w", 0).await;
    // Session expiry 60 s, will delay 1 s.
    let connect = || {
        let mut body = b"\0\x04MQTT\x05\x04\0\0\x05\x11\0\0\0\x3c".to_vec();
        body.extend(text("late"));
        body.extend(b"\x05\x18\0\0\0\x01");
        body.extend(text("w"));
        body.extend(text("gone"));
        packet(0x10, &body)
    };
    let mut raw = rig.connect().await;
    raw.send(&connect()).await;
    raw.packet().await;
    drop(raw);
    rig.parked(1).await;
    let mut raw = rig.connect().await;
    raw.send(&connect()).await;
    assert_eq!(raw.packet().await.1[0], 1);
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    reader.expect_nothing().await;
    drop(raw);
    assert_eq!(reader.message().await.3, "gone");
}
