//! Every limit: who exceeds it is told or dropped, counted by reason, and alone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use divisor_wire::Reason;
use divisord::access::{self, Access, Change, change};
use divisord::door::Settings;
use divisord::door::counters::{Closed, Dropped, Refused, RefusedFilter};
use tokio::io::AsyncWriteExt;

use super::rig::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_its_share_of_connections() {
    let rig = Rig::start(Settings {
        connections_per_address_max: 2,
        ..settings()
    })
    .await;
    let first = rig.v4("first").await;
    let _second = rig.v4("second").await;
    let mut third = rig.connect().await;
    third.send(&connect_v5("third", 2, b"")).await;
    assert_eq!(third.until_closed().await, connack_no(0x97, "address_full"));
    let mut third = rig.connect().await;
    third.send(&connect_v4("third", 2, 0)).await;
    assert_eq!(third.until_closed().await, b"\x20\x02\0\x03");
    assert_eq!(rig.door.counters.refused.get(Refused::AddressFull), 2);
    drop(first);
    rig.until(|counters| counters.connections.load(Ordering::Relaxed) == 1)
        .await;
    rig.v4("third").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_counted_by_what_they_did() {
    let rig = Rig::start(settings()).await;
    let count = |why| rig.door.counters.refused.get(why);
    let say = async |bytes: &[u8]| {
        let mut raw = rig.connect().await;
        raw.send(bytes).await;
        raw.until_closed().await
    };
    say(b"EHLO mail.example\r\n").await;
    say(b"GET / HTTP/1.1\r\n\r\n").await;
    say(b"").await;
    say(&connect_v4("", 0, 0)).await;
    say(&packet(0x10, b"\0\x04MQTT\x04\x03\0\0\0\x01x")).await;
    say(&packet(0x10, b"\0\x04MQTT\x03\x02\0\0\0\x01x")).await;
    say(&connect_v5("x", 2, b"\x15\0\x01m")).await;
    drop(rig.connect().await);
    for why in [
        Refused::NotMqtt,
        Refused::Transport,
        Refused::ConnectTimeout,
        Refused::ClientId,
        Refused::Malformed,
        Refused::Version,
        Refused::Method,
        Refused::Gone,
    ] {
        rig.until(|counters| counters.refused.get(why) == 1).await;
        assert_eq!(count(why), 1, "{why:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_a_time_of_its_own() {
    let authority = divisor_testkit::Authority::new();
    let server = authority.server("server");
    let tls = divisord::tls::Tls::open(divisord::tls::Settings {
        certificate: server.certificate,
        key: server.key,
        client_ca: None,
        client_required: false,
    });
    let settings = Settings {
        connect_timeout: PATIENCE * 10,
        handshake_timeout: Duration::from_millis(300),
        ..settings()
    };
    let rig = Rig::secure(settings, everybody(), tls.unwrap()).await;
    // One that has not begun is not in a handshake: it has the time to connect.
    let mut silent = rig.connect().await;
    for (number, (address, bytes)) in [
        (rig.tls_address, &b"\x16\x03\x01\x02\0\x01"[..]),
        (rig.address, b"GET /mqtt HTTP/1.1\r\nHost: x\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut raw = Raw { stream };
        raw.until_closed().await;
        rig.until(|counters| counters.refused.get(Refused::HandshakeTimeout) == number as u64 + 1)
            .await;
    }
    silent.send(&connect_v4("silent", 2, 0)).await;
    silent.expect(b"\x20\x02\0\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pace_is_kept() {
    let settings = Settings {
        publish_rate_max: 20,
        publish_burst: 10,
        ..settings()
    };
    let mut rig = Rig::start(settings).await;
    // MQTT 5 at QoS 1 is told.
    let mut five = rig.v5("five", b"\x17\0").await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("divisor/rejected/five", 0).await;
    for id in 1..=12 {
        five.send(&publish_v5(2, "securities/A/price", id, b"", "1"))
            .await;
    }
    let mut refused = 0;
    for _ in 0..12 {
        let (first, body) = five.packet().await;
        assert_eq!(first, 0x40);
        if body.len() > 2 {
            assert_eq!(body[2], 0x97);
            assert_eq!(body.len(), 3, "no words for a client that wants none");
            refused += 1;
        }
    }
    assert!(refused <= 2, "a burst of ten is free");
    for id in 13..=60 {
        five.send(&publish_v5(2, "securities/A/price", id, b"", "1"))
            .await;
    }
    assert!(reader.message().await.3.contains("rate_exceeded"));
    assert!(rig.door.counters.rejected.get(Reason::RateExceeded) > 0);
    // 3.1.1 is slowed down, and loses nothing.
    let mut four = rig.v4("four").await;
    let started = tokio::time::Instant::now();
    for id in 1..=30 {
        four.send(&publish(2, "securities/B/price", id, "1")).await;
    }
    for id in 1..=30u16 {
        four.expect(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
    }
    four.send(b"\xc0\0").await;
    four.expect(b"\xd0\0").await;
    assert!(
        started.elapsed() >= Duration::from_millis(900),
        "20 of them took their time"
    );
    assert!(rig.door.counters.rate_pauses.load(Ordering::Relaxed) > 0);
    let mut came = 0;
    while let Ok(submission) = rig.submissions.try_recv() {
        let topics = submission.messages.iter().map(|message| &*message.topic);
        came += topics
            .filter(|topic| *topic == "securities/B/price")
            .count();
    }
    assert_eq!(came, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_maximum_is_kept() {
    let mut rig = Rig::held(Settings {
        inflight_max: 3,
        ..settings()
    })
    .await;
    let mut five = rig.connect().await;
    five.send(&connect_v5("five", 2, b"")).await;
    let (_, body) = five.packet().await;
    assert_eq!(&body[3..6], b"\x21\0\x03", "the client is told");
    let price = |id| publish_v5(2, "securities/A/price", id, b"", "1");
    five.send(&[price(1), price(2), price(3)].concat()).await;
    rig.messages(3).await;
    five.send(&b"\xc0\0"[..]).await;
    // One too many, with the others in one piece.
    let mut hasty = rig.v5("hasty", b"").await;
    hasty
        .send(&[price(1), price(2), price(3), price(4)].concat())
        .await;
    assert_eq!(hasty.until_closed().await, b"\xe0\x01\x93");
    assert_eq!(rig.door.counters.closed.get(Closed::ReceiveMaximum), 1);
    // QoS 2 counts until its PUBREL.
    let mut twice = rig.v5("twice", b"").await;
    for id in 1..=3u8 {
        twice.send(&publish_v5(4, "t", id.into(), b"", "1")).await;
        twice.expect(&[0x50, 2, 0, id]).await;
    }
    twice.send(b"\x62\x02\0\x01").await;
    twice.expect(b"\x70\x02\0\x01").await;
    twice.send(&publish_v5(4, "t", 4, b"", "1")).await;
    twice.expect(b"\x50\x02\0\x04").await;
    twice.send(&publish_v5(4, "t", 5, b"", "1")).await;
    assert_eq!(twice.until_closed().await, b"\xe0\x01\x93");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_counted() {
    let rig = Rig::start(Settings {
        subscriptions_max: 3,
        topic_bytes_max: 300,
        ..settings()
    })
    .await;
    let mut five = rig.v5("five", b"").await;
    let mut body = b"\0\x01\0".to_vec();
    for filter in ["a", "b", "$share/g/c", "d", "a", "e"] {
        body.extend(text(filter));
        body.push(1);
    }
    five.send(&packet(0x82, &body)).await;
    five.expect(b"\x90\x09\0\x01\0\x01\x01\x01\x97\x01\x97")
        .await;
    let long = "x".repeat(301);
    five.send(&subscribe_v5(2, &long, 0)).await;
    five.expect(b"\x90\x04\0\x02\0\x8f").await;
    let filters = &rig.door.counters.filters;
    assert_eq!(filters.get(RefusedFilter::Quota), 2);
    assert_eq!(filters.get(RefusedFilter::Malformed), 1);
    five.send(&packet(0xa2, b"\0\x03\0\0\x01a")).await;
    five.expect(b"\xb0\x04\0\x03\0\0").await;
    five.send(&subscribe_v5(4, "e", 0)).await;
    five.expect(b"\x90\x04\0\x04\0\0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_topics_are_counted_by_client() {
    let rig = Rig::start(Settings {
        retained_per_client_max: 2,
        ..settings()
    })
    .await;
    let mut keeper = rig.v5("keeper", b"\x17\0").await;
    let mut keep = async |topic: &str, payload: &str| {
        keeper.send(&publish_v5(3, topic, 1, b"", payload)).await;
        let (_, body) = keeper.packet().await;
        // The table is filled behind the acknowledgement.
        for _ in 0..1_000 {
            let kept = rig.door.exchange.retained_matching(topic).flatten().count();
            if kept == usize::from(!payload.is_empty()) || body.len() > 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        body.get(2).copied().unwrap_or_default()
    };
    assert_eq!(keep("r/1", "x").await, 0);
    assert_eq!(keep("r/2", "x").await, 0);
    assert_eq!(keep("r/3", "x").await, 0x97);
    assert_eq!(keep("r/2", "y").await, 0);
    assert_eq!(keep("r/1", "").await, 0);
    assert_eq!(keep("r/3", "x").await, 0);
    assert_eq!(rig.door.counters.rejected.get(Reason::RetainedQuota), 1);
    // Another client has a share of its own, and the daemon's levels always fit.
    let mut other = rig.v5("other", b"").await;
    other.send(&publish_v5(3, "r/4", 1, b"", "x")).await;
    other.expect(b"\x40\x02\0\x01").await;
    rig.publish("indexes/A/level", "1", true).await;
    assert_eq!(
        rig.door
            .exchange
            .retained_matching("indexes/#")
            .flatten()
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_and_packets_have_their_lengths() {
    let rig = Rig::start(Settings {
        payload_bytes_max: 100,
        packet_bytes_max: 1_000,
        ..settings()
    })
    .await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("divisor/rejected/five", 0).await;
    let mut five = rig.v5("five", b"\x17\0").await;
    let price = |len: usize| publish_v5(2, "securities/A/price", 1, b"", &"1".repeat(len));
    five.send(&price(101)).await;
    five.expect(b"\x40\x03\0\x01\x97").await;
    assert!(reader.message().await.3.contains("payload_too_large"));
    five.send(&price(2_000)).await;
    assert_eq!(five.until_closed().await, b"\xe0\x01\x95");
    assert!(reader.message().await.3.contains("packet_too_large"));
    assert_eq!(rig.door.counters.closed.get(Closed::PacketTooLarge), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_too_slowly_is_dropped() {
    let rig = Rig::start(Settings {
        write_timeout: Duration::from_millis(500),
        ..settings()
    })
    .await;
    let mut slow = rig.v4("slow").await;
    slow.subscribe("t", 0).await;
    let payload = "x".repeat(100_000);
    let flooding = async {
        loop {
            rig.publish("t", &payload, false).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // A few bytes now and then keep no connection alive.
    let reading = async {
        use tokio::io::AsyncReadExt;
        let mut few = [0; 64];
        while matches!(slow.stream.read(&mut few).await, Ok(count) if count > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let dropped = rig.until(|counters| counters.closed.get(Closed::WriteTimeout) == 1);
    tokio::select! {
        () = flooding => {}
        () = reading => {}
        () = dropped => {}
    }
    assert_eq!(rig.door.counters.closed.get(Closed::WriteTimeout), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_without_a_keep_alive_ends_too() {
    let rig = Rig::start(Settings {
        idle_timeout: Duration::from_millis(300),
        ..settings()
    })
    .await;
    let mut idle = rig.v5("idle", b"").await;
    assert_eq!(idle.until_closed().await, b"\xe0\x01\x98");
    assert_eq!(rig.door.counters.closed.get(Closed::Idle), 1);
    // One byte at a time is no packet.
    let mut dribble = rig.v4("dribble").await;
    dribble.send(b"\x30\xff\x01\0").await;
    let dribbling = async {
        loop {
            if AsyncWriteExt::write_all(&mut dribble.stream, b"x")
                .await
                .is_err()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = dribbling => {}
        () = rig.until(|counters| counters.closed.get(Closed::Idle) == 2) => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keep_alive_is_told_and_held() {
    let rig = Rig::start(Settings {
        keep_alive_max: Duration::from_secs(60),
        ..settings()
    })
    .await;
    let mut five = rig.connect().await;
    let mut connect = connect_v5("five", 2, b"\x19\x01");
    connect[10] = 0xff;
    five.send(&connect).await;
    let (_, body) = five.packet().await;
    let tail = &body[body.len() - 25..];
    assert_eq!(&tail[..3], b"\x13\0\x3c", "{body:02x?}");
    assert_eq!(&tail[3..], b"\x1a\0\x13divisor/reply/five/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_bounded_by_messages_and_bytes() {
    let rig = Rig::start(Settings {
        queue_messages_max: 10,
        queue_bytes_max: 5_000,
        ..settings()
    })
    .await;
    let mut raw = rig.connect().await;
    raw.send(&connect_v4("away", 0, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("t", 1).await;
    drop(raw);
    rig.parked(1).await;
    for number in 0..20 {
        rig.publish("t", &number.to_string(), false).await;
    }
    rig.until(|counters| counters.dropped.get(Dropped::QueueMessages) == 10)
        .await;
    for _ in 0..10 {
        rig.publish("t", &"x".repeat(1_000), false).await;
    }
    rig.until(|counters| counters.dropped.get(Dropped::QueueBytes) > 0)
        .await;
    // The last of the ten may still be on its way: the sums agree once it is counted.
    rig.until(|counters| {
        let by_reason: u64 = counters.dropped.iter().map(|(_, count)| count).sum();
        counters.dropped_out.load(Ordering::Relaxed) == by_reason
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_could_be_mistaken_are_refused_by_name() {
    let rig = Rig::start(settings()).await;
    let mut reader = rig.v4("reader").await;
    reader.subscribe("divisor/rejected/five", 0).await;
    let mut five = rig.v5("five", b"\x17\0").await;
    let mut check = async |topic: &str, payload: &str, code: u8, reason: &str| {
        five.send(&publish_v5(2, topic, 1, b"", payload)).await;
        five.expect(&[0x40, 3, 0, 1, code]).await;
        let report = reader.message().await.3;
        assert!(
            report.contains(&format!("\"{reason}\"")),
            "{topic}: {report}"
        );
    };
    check("securities/a b/price", "1", 0x90, "bad_symbol").await;
    check("securities/$a/price", "1", 0x90, "bad_symbol").await;
    check("fx/EUR//rate", "1", 0x90, "bad_symbol").await;
    check("indexes/A/level", "1", 0x87, "bad_topic").await;
    check("divisor/reply/x/y", "1", 0x87, "bad_topic").await;
    check("$SYS/x", "1", 0x87, "bad_topic").await;
    check("a\nb", "1", 0x87, "bad_topic").await;
    check("a\u{85}b", "1", 0x87, "bad_topic").await;
    check(&"long/".repeat(250), "1", 0x87, "bad_topic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aliases_hold_no_more_than_their_share() {
    let rig = Rig::start(settings()).await;
    let mut five = rig.v5("five", b"").await;
    for alias in 1..=200u8 {
        let topic = format!("{alias:03}{}", "x".repeat(900));
        let bytes = publish_v5(0, &topic, 0, &[0x23, 0, alias], "x");
        if AsyncWriteExt::write_all(&mut five.stream, &bytes)
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(five.until_closed().await, b"\xe0\x01\x97");
    assert_eq!(rig.door.counters.closed.get(Closed::Quota), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_its_share_of_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    for user in ["ann", "bob"] {
        let new = Change {
            password: Some("pw"),
            roles: &["subscriber".to_owned()],
            ..Change::default()
        };
        change(&path, user, &new).unwrap();
    }
    let access = Access::open(access::Settings {
        users_file: Some(path),
        ..access::Settings::default()
    });
    let settings = Settings {
        connect_timeout: PATIENCE,
        connections_per_user_max: 2,
        ..settings()
    };
    let rig = Rig::guarded(settings, access.unwrap()).await;
    let come = async |version: u8, id: &str, user: &str| {
        let mut raw = rig.connect().await;
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([version, 0xc2, 0, 0]);
        body.extend((version == 5).then_some(0));
        for field in [id, user, "pw"] {
            body.extend(text(field));
        }
        raw.send(&packet(0x10, &body)).await;
        let (_, body) = raw.packet().await;
        (raw, body[1])
    };
    let (first, code) = come(4, "1", "ann").await;
    assert_eq!(code, 0);
    let (_second, code) = come(5, "2", "ann").await;
    assert_eq!(code, 0);
    assert_eq!(come(4, "3", "ann").await.1, 3);
    assert_eq!(come(5, "4", "ann").await.1, 0x97);
    assert_eq!(come(5, "5", "bob").await.1, 0, "another user has his own");
    assert_eq!(rig.door.counters.refused.get(Refused::UserFull), 2);
    drop(first);
    // One that is gone makes room, as soon as the door has seen it go.
    let waiting = async { while come(4, "3", "ann").await.1 != 0 {} };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_sessions_wait_for_their_clients() {
    let rig = Rig::start(Settings {
        sessions_max: 2,
        ..settings()
    })
    .await;
    for (id, parked) in [("a", 1), ("b", 2), ("c", 2)] {
        let mut raw = rig.connect().await;
        raw.send(&connect_v4(id, 0, 0)).await;
        raw.expect(b"\x20\x02\0\0").await;
        raw.send(b"\xe0\0").await;
        raw.until_closed().await;
        rig.parked(parked).await;
    }
    for (id, present) in [("a", 1), ("b", 1), ("c", 0)] {
        let mut raw = rig.connect().await;
        raw.send(&connect_v4(id, 0, 0)).await;
        raw.expect(&[0x20, 2, present, 0]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_do_not_pile_up_for_who_asks_again_and_again() {
    let rig = Rig::start(settings()).await;
    for number in 0..600 {
        rig.publish(&format!("kept/{number}"), "x", true).await;
    }
    let mut raw = rig.v5("again", b"").await;
    let asked: Vec<u8> = (1..=20)
        .flat_map(|id| subscribe_v5(id, "kept/#", 0))
        .collect();
    raw.send(&asked).await;
    let (mut granted, mut messages) = (0, 0);
    while granted < 20 || messages < 20 * 600 {
        match raw.packet().await {
            (0x90, body) => {
                assert_eq!(body[3], 0);
                granted += 1;
            }
            (_, _) => messages += 1,
        }
    }
    raw.expect_nothing().await;
    // Who asks on and reads nothing is refused at last.
    let mut deaf = rig.v5("deaf", b"").await;
    let asked: Vec<u8> = (1..=200)
        .flat_map(|id| subscribe_v5(id, "kept/#", 0))
        .collect();
    deaf.send(&asked).await;
    let mut refused = 0;
    for _ in 0..200 {
        let (first, body) = deaf.packet().await;
        if first == 0x90 && body[3] == 0x97 {
            refused += 1;
        }
    }
    assert!(refused > 0);
}
