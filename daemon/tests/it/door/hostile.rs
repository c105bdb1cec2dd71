//! Bytes that no well-behaved client sends. Each ends at most its own connection.

use std::time::Duration;

use divisord::door::Settings;

use super::rig::*;

/// What the door says to these bytes before it closes.
async fn answer(rig: &Rig, bytes: &[u8]) -> Vec<u8> {
    let mut raw = rig.connect().await;
    raw.send(bytes).await;
    raw.until_closed().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_packets_are_answered_in_their_own_protocol() {
    let rig = Rig::start(settings()).await;
    let mut witness = rig.v4("witness").await;
    let check = async |bytes: &[u8], expected: &[u8]| {
        assert_eq!(answer(&rig, bytes).await, expected, "{bytes:02x?}");
    };
    // Not MQTT, not CONNECT, not readable: closed without a word.
    check(b"GET / HTTP/1.1\r\n\r\n", b"").await;
    check(b"\xc0\0", b"").await;
    check(&publish(0, "t", 0, "x"), b"").await;
    check(b"\x16\x03\x01\x02\0", b"").await;
    check(b"\x10\0", b"").await;
    check(b"\x10\xff\xff\xff\xff", b"").await;
    check(b"\x10\xff\xff\xff\x7f", b"").await;
    check(b"\x11\x0c\0\x04MQTT\x04\x02\0\0\0\0", b"").await;
    check(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x09x"), b"").await;
    check(&packet(0x10, b"\0\x04MQTT\x04\x03\0\0\0\x01x"), b"").await;
    check(
        &packet(0x10, b"\0\x04MQTT\x04\x1e\0\0\0\x01x\0\x01w\0\0"),
        b"",
    )
    .await;
    check(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01xtrailing"), b"").await;
    check(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01\xff"), b"").await;
    check(&packet(0x10, b"\0\x04MQTT\x04\x02\0\0\0\x01\0"), b"").await;
    // Levels we do not speak.
    check(
        &packet(0x10, b"\0\x06MQIsdp\x03\x02\0\0\0\x01x"),
        b"\x20\x02\0\x01",
    )
    .await;
    check(
        &packet(0x10, b"\0\x04MQTT\x03\x02\0\0\0\x01x"),
        b"\x20\x02\0\x01",
    )
    .await;
    check(
        &packet(0x10, b"\0\x04MQTT\x06\x02\0\0\0\0\x01x"),
        &connack_no(0x84, "protocol_version"),
    )
    .await;
    // An empty id without clean session, a broken MQTT 5 packet, an unknown login method.
    check(&connect_v4("", 0, 0), b"\x20\x02\0\x02").await;
    check(
        &packet(0x10, b"\0\x04MQTT\x05\x02\0\0\x01"),
        &connack_no(0x81, "malformed"),
    )
    .await;
    check(
        &connect_v5("x", 2, b"\x15\0\x01m"),
        &connack_no(0x8c, "authentication_method"),
    )
    .await;
    check(
        &connect_v5("x", 2, b"\x21\0\0"),
        &connack_no(0x82, "malformed"),
    )
    .await;
    witness.send(b"\xc0\0").await;
    witness.expect(b"\xd0\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_packets_end_their_connection_only() {
    let settings = Settings {
        packet_bytes_max: 1_000,
        ..settings()
    };
    let rig = Rig::start(settings).await;
    let mut witness = rig.v4("witness").await;
    let cases: Vec<(Vec<u8>, u8)> = vec![
        (connect_v5("x", 2, b""), 0x82),
        (packet(0x20, b"\0\0"), 0x82),
        (packet(0xf0, b"\0\0"), 0x82),
        (packet(0x00, b""), 0x82),
        (packet(0x36, b"\0\x01t\0\x01\0"), 0x81),
        (packet(0x32, b"\0\x01t\0\0\0"), 0x81),
        (packet(0x30, b"\0\xfft"), 0x81),
        (packet(0x30, b"\0\x01t\x05"), 0x81),
        (packet(0x30, b"\0\x01t\x02\x0b\x01"), 0x82),
        (publish_v5(0, "", 0, b"", "x"), 0x90),
        (publish_v5(0, "a/+/b", 0, b"", "x"), 0x90),
        (publish_v5(0, "a/#", 0, b"", "x"), 0x90),
        (publish_v5(0, "a\0b", 0, b"", "x"), 0x90),
        (packet(0x30, b"\0\x02\xc3\x28\0"), 0x81),
        (publish_v5(0, "", 0, b"\x23\0\x01", "x"), 0x82),
        (publish_v5(0, "t", 0, b"\x23\0\0", "x"), 0x94),
        (publish_v5(0, "t", 0, b"\x23\xff\xff", "x"), 0x94),
        (packet(0x80, b"\0\x01\0\0\x01t\0"), 0x81),
        (packet(0x82, b"\0\x01\0"), 0x81),
        (packet(0x82, b"\0\x01\0\0\x01t\x03"), 0x81),
        (packet(0x82, b"\0\0\0\0\x01t\0"), 0x82),
        (packet(0xa2, b"\0\x01\0"), 0x81),
        (packet(0x60, b"\0\x01"), 0x81),
        (packet(0x40, b"\0"), 0x81),
        (packet(0x30, &[0; 1_001]), 0x95),
        (b"\x30\xff\xff\xff\xff".to_vec(), 0x81),
    ];
    for (bytes, code) in cases {
        let mut raw = rig.connect().await;
        raw.send(&connect_v5("hostile", 2, b"")).await;
        assert_eq!(raw.packet().await.0, 0x20);
        raw.send(&bytes).await;
        let last = raw.until_closed().await;
        assert!(
            last == [0xe0, 1, code] || (code == 0x81 && last == [0xe0, 1, 0x82]),
            "{bytes:02x?}: {last:02x?}"
        );
        // The same, as far as it is 3.1.1 at all, is a close without a word.
        let mut raw = rig.v4("hostile").await;
        raw.send(&bytes).await;
        raw.send(b"\xe0\0").await;
        raw.until_closed().await;
    }
    witness.send(b"\xc0\0").await;
    witness.expect(b"\xd0\0").await;
}

/// Random bytes behind a CONNECT, and CONNECTs with random bytes: the door stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_survived() {
    let rig = Rig::start(settings()).await;
    let mut witness = rig.v4("witness").await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..600 {
        let mut raw = rig.connect().await;
        let mut bytes = match round % 3 {
            0 => connect_v4("noise", 2, 0),
            1 => connect_v5("noise", 2, b"\x11\0\0\0\x09\x21\0\x05"),
            _ => Vec::new(),
        };
        let kinds = [
            0x10, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xe0, 0xf0,
        ];
        for _ in 0..random() % 4 {
            let kind = kinds[random() as usize % kinds.len()];
            let mut body: Vec<u8> = (0..random() % 24).map(|_| (random() % 40) as u8).collect();
            if kind == 0x10 {
                let mut head = b"\0\x04MQTT".to_vec();
                head.push(4 + (random() % 2) as u8);
                head.append(&mut body);
                body = head;
            }
            bytes.extend(packet(kind, &body));
        }
        raw.send(&bytes).await;
    }
    witness.send(b"\xc0\0").await;
    witness.expect(b"\xd0\0").await;
    assert!(!rig.door.exchange.is_dead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_by_timeout() {
    let rig = Rig::start(settings()).await;
    let mut silent = rig.connect().await;
    assert!(silent.until_closed().await.is_empty());
    let mut half = rig.connect().await;
    half.send(b"\x10\x0d\0\x04MQ").await;
    assert!(half.until_closed().await.is_empty());
    // A promise of one second: traffic towards the client does not count as a sign of life.
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("quiet", 2, 1)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("t", 0).await;
    let started = tokio::time::Instant::now();
    let closed = async { raw.until_closed().await };
    let traffic = async {
        loop {
            rig.publish("t", "x", false).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        _ = closed => {}
        () = traffic => {}
    }
    let silence = started.elapsed();
    assert!(silence >= Duration::from_millis(1_300), "{silence:?}");
    assert!(silence < Duration::from_secs(5), "{silence:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_door_says_so() {
    let rig = Rig::start(Settings {
        connections_max: 1,
        ..settings()
    })
    .await;
    let _first = rig.v4("first").await;
    assert_eq!(
        answer(&rig, &connect_v4("second", 2, 0)).await,
        b"\x20\x02\0\x03"
    );
    assert_eq!(
        answer(&rig, &connect_v5("second", 2, b"")).await,
        connack_no(0x89, "server_full")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_an_error() {
    let rig = Rig::start(settings()).await;
    assert!(divisord::door::bind(&[rig.address]).await.is_err());
}

/// The triggers of BROKER.md §2 that a client can pull.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_routers_weak_spots_are_out_of_reach() {
    let rig = Rig::start(settings()).await;
    let mut witness = rig.v4("witness").await;
    witness.subscribe("#", 0).await;
    // A topic that begins with a letter of two bytes.
    let mut raw = rig.v4("accent").await;
    raw.subscribe("é/+", 1).await;
    raw.send(&publish(0, "é/x", 0, "1")).await;
    assert_eq!(raw.message().await.1, "é/x");
    assert_eq!(witness.message().await.1, "é/x");
    // Acknowledgements of nothing.
    raw.send(b"\x40\x02\0\x09\x50\x02\0\x09\x70\x02\0\x09\x62\x02\0\x09\xc0\0")
        .await;
    raw.expect(b"\x62\x02\0\x09\x70\x02\0\x09\xd0\0").await;
    // An id with slashes and wildcards, again and again.
    for _ in 0..3 {
        let mut slashed = rig.v4("a/b+#$").await;
        slashed.subscribe("t", 0).await;
        slashed.send(b"\xc0\0").await;
        slashed.expect(b"\xd0\0").await;
    }
    // An unknown filter is unsubscribed with one answer; so are several.
    raw.send(&packet(0xa2, b"\0\x07\0\x01x\0\x01y")).await;
    raw.expect(b"\xb0\x02\0\x07").await;
    // `$SYS` is granted and silent.
    raw.send(&subscribe(9, "$SYS/#", 0)).await;
    raw.expect(b"\x90\x03\0\x09\0").await;
    for filter in ["a/#/b", "", "a+", "#x"] {
        raw.send(&subscribe(9, filter, 0)).await;
        raw.expect(b"\x90\x03\0\x09\x80").await;
    }
    // Properties of MQTT 5 reach no 3.1.1 subscriber, and end none.
    let mut five = rig.connect().await;
    five.send(&connect_v5("five", 2, b"")).await;
    five.packet().await;
    five.send(&publish_v5(0, "p", 0, b"\x01\x01\x26\0\x01a\0\x01b", "1"))
        .await;
    assert_eq!(witness.message().await, (0x30, "p".into(), 0, "1".into()));
    assert!(!rig.door.exchange.is_dead());
}
