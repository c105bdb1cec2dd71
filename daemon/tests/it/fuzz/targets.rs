//! The targets, and what must hold for any input.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{Bytes, BytesMut};
use divisor_engine::Engine;
use divisor_wire::command::Items;
use divisor_wire::tick;
use divisor_wire::topic::{
    Topic, filter_is_valid, filter_matches, filters_overlap, shared_filter, symbol_is_missing,
    text_is_clean, topic_is_valid,
};
use divisord::config::{Config, Flag, Inputs};
use divisord::door::codec::packet::{self, Packet};
use divisord::door::codec::{Version, connect, encode, frame};
use divisord::door::envelope::Message;

pub(super) const CODEC_WORDS: &[&[u8]] = &[
    b"\0\x04MQTT\x04",
    b"\0\x04MQTT\x05",
    b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a",
    b"\x30\x03\0\x01t",
    b"\x32\x05\0\x01t\0\x01",
    b"\x82\x06\0\x01\0\x01t\0",
    b"\x82\x07\0\x01\0\0\x01t\0",
    b"\xa2\x05\0\x01\0\x01t",
    b"\x62\x02\0\x01",
    b"\xe0\x02\0\0",
    b"\x11\0\0\0\x01",
    b"\x21\0\x01",
    b"\x22\0\x01",
    b"\x23\0\x01",
    b"\x26\0\x01k\0\x01v",
    b"\x0b\x01",
    b"\x02\0\0\0\x01",
    b"\x08\0\x01r",
    b"\x09\0\x01c",
    b"\xff\xff\xff\x7f",
    b"\0\x09$share/g/",
];

pub(super) const JSON_WORDS: &[&[u8]] = &[
    b"{\"price\":\"1\"}",
    b"\"price\":",
    b"\"ts\":",
    b"\"src\":",
    b"\"inc\":",
    b"\"seq\":",
    b"\"size\":",
    b"\"ccy\":",
    b"\"venue\":",
    b"null",
    b"true",
    b"1e400",
    b"-0.0",
    b"99999999999999999999999999999999999999999",
    b"0.0000000000000000001",
    b"\"2026-11-22T14:30:00.123456Z\"",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"]]]]]]]]",
    b"\"securities\":[",
    b"\"indexes\":[",
    b"\"revisions\":[",
    b"\"basket\":[",
    b"\"base\":{",
    b"\"weighting\":{\"scheme\":\"",
    b"\xef\xbb\xbf",
    b"\xff",
];

pub(super) const FILTER_WORDS: &[&[u8]] = &[
    b"/",
    b"+",
    b"#",
    b"$",
    b"$share/",
    b"$SYS",
    b"\n",
    b"a",
    b"securities/",
    b"/price",
    b"fx/",
    b"/rate",
    b"indexes/",
    b"divisor/control/",
    b"\0",
    b"\xc3\xa9",
    b"\x7f",
    b"//",
];

pub(super) const CONFIG_WORDS: &[&[u8]] = &[
    b"[mqtt]\n",
    b"[journal]\n",
    b"[ticks]\n",
    b"listen = [\"127.0.0.1:0\"]\n",
    b"\"18446744073709551616 GiB\"",
    b"\"9999999999999h\"",
    b"\"-1s\"",
    b"\"1e9s\"",
    b" = ",
    b"0",
    b"-1",
    b"\n=mqtt.listen=",
    b"\n=journal.bytes_max=",
    b"\n=log.filter=",
    b"\"\"\"",
    b"nan",
    b"\"64 KiB\"",
];

/// Packets of either version, as a connection cuts and reads them. The first byte chooses.
pub(super) fn codec(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let Some((choice, stream)) = input.split_first() else {
        return 0;
    };
    let version = match choice & 1 {
        0 => Version::V4,
        _ => Version::V5,
    };
    let mut buffer = BytesMut::from(stream);
    for _ in 0..16 {
        let before = buffer.len();
        match frame::split(&mut buffer, 2_048) {
            Ok(Some(frame)) => {
                assert!(buffer.len() + frame.body.len() + 2 <= before);
                (frame.first >> 4).hash(&mut hasher);
                read_packet(frame, version, &mut hasher);
            }
            Ok(None) => {
                assert_eq!(buffer.len(), before, "nothing is taken of half a packet");
                break;
            }
            Err(violation) => {
                violation.0.hash(&mut hasher);
                break;
            }
        }
    }
    envelope(stream);
    hasher.finish()
}

fn read_packet(frame: frame::Frame, version: Version, hasher: &mut DefaultHasher) {
    if frame.first == 0x10 {
        match connect::decode(&frame.body) {
            Ok(connect) => {
                assert!(connect.receive_max > 0 && connect.packet_bytes_max > 0);
                assert!(!connect.client_id.contains('\0'));
                (
                    connect.clean_start,
                    connect.will.is_some(),
                    connect.user.is_some(),
                )
                    .hash(hasher);
            }
            Err(refused) => format!("{refused:?}").hash(hasher),
        }
        return;
    }
    let dup_and_all = frame.clone();
    match packet::decode(frame, version) {
        Ok(Packet::Publish(publish)) => {
            assert!((publish.packet_id > 0) == (publish.qos as u8 > 0));
            (publish.qos as u8, publish.properties.alias.is_some()).hash(hasher);
            (
                publish.properties.forwarded.is_empty(),
                publish.topic.is_empty(),
            )
                .hash(hasher);
            if version == Version::V4 {
                let mut out = BytesMut::new();
                let again = encode::Publish {
                    dup: publish.dup,
                    qos: publish.qos,
                    retain: publish.retain,
                    topic: &publish.topic,
                    alias: None,
                    packet_id: publish.packet_id,
                    expiry_secs: None,
                    identifiers: &[],
                    properties: &Bytes::new(),
                    payload: &publish.payload,
                };
                assert!(encode::publish(&mut out, version, usize::MAX, &again));
                let frame = frame::split(&mut out, usize::MAX);
                assert_eq!(
                    frame,
                    Ok(Some(dup_and_all)),
                    "what is written is what was read"
                );
            }
        }
        Ok(Packet::Subscribe(subscribe)) => {
            assert!(subscribe.packet_id > 0);
            (
                subscribe.entries.len().min(3),
                subscribe.identifier.is_some(),
            )
                .hash(hasher);
        }
        Ok(packet) => std::mem::discriminant(&packet).hash(hasher),
        Err(violation) => violation.0.hash(hasher),
    }
}

/// What the router gives back is opened without trust, and sealed again to the same.
fn envelope(input: &[u8]) {
    let topic = Bytes::from_static(b"d/t");
    if let Some(message) = Message::open(&topic, &Bytes::copy_from_slice(input)) {
        let (topic, body) = message.seal();
        assert_eq!(Message::open(&topic, &body), Some(message));
    }
}

/// A payload of a price.
pub(super) fn tick(input: &[u8]) -> u64 {
    const TICKS_MAX: usize = 8;
    let mut hasher = DefaultHasher::new();
    let decoded = tick::decode(input, TICKS_MAX);
    if input.first().is_some_and(u8::is_ascii) {
        let spaced = [b" \n", input, b"\t "].concat();
        let again = tick::decode(&spaced, TICKS_MAX);
        assert_eq!(again, decoded, "space around a text means nothing");
    }
    match decoded {
        Ok(decoded) => {
            assert!(decoded.ticks.len() + decoded.refused.len() <= TICKS_MAX);
            for tick in &decoded.ticks {
                assert!(tick.price.is_positive());
                assert!(
                    tick.src
                        .as_ref()
                        .is_none_or(|src| (1..=64).contains(&src.len()))
                );
                // The price is what was sent, digit for digit.
                let text = tick.price.to_string();
                let again = tick::decode(text.as_bytes(), 1).map(|again| again.ticks);
                let again = again.unwrap_or_default();
                assert_eq!(again.first().map(|tick| tick.price), Some(tick.price));
                (tick.ts.is_some(), tick.size.is_some(), tick.ccy.is_some()).hash(&mut hasher);
                (tick.src.is_some(), tick.inc.is_some(), tick.seq.is_some()).hash(&mut hasher);
            }
            for (place, reason) in &decoded.refused {
                (place, reason).hash(&mut hasher);
            }
        }
        Err(reason) => reason.hash(&mut hasher),
    }
    hasher.finish()
}

/// A fixture as a load brings it: read, written, read again, and planned on an empty engine.
pub(super) fn fixtures(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let items: Items = match serde_json::from_slice(input) {
        Ok(items) => items,
        Err(error) => {
            // Without the place and the names, which are the input's.
            let text = error.to_string();
            let kind: String = text.chars().take_while(|c| *c != '`').take(24).collect();
            kind.hash(&mut hasher);
            return hasher.finish();
        }
    };
    let written = serde_json::to_vec(&items).expect("items can be written");
    let again: Items = serde_json::from_slice(&written).expect("what is written can be read");
    assert_eq!(items, again);
    let counts = [
        items.securities.len(),
        items.rates.len(),
        items.prices.len(),
        items.indexes.len(),
        items.revisions.len(),
    ];
    counts.map(|count| count.min(3)).hash(&mut hasher);
    let (securities, indexes) = items.definitions();
    match Engine::default().plan(&securities) {
        Ok((_, engine)) => match engine.plan(&indexes) {
            Ok(_) => true.hash(&mut hasher),
            Err(errors) => kinds(&errors).hash(&mut hasher),
        },
        Err(errors) => kinds(&errors).hash(&mut hasher),
    }
    hasher.finish()
}

fn kinds<E: std::fmt::Debug>(errors: &[E]) -> Vec<String> {
    let kind = |error: &E| {
        let text = format!("{error:?}");
        text.chars()
            .filter(char::is_ascii_alphabetic)
            .take(60)
            .collect()
    };
    errors.iter().take(3).map(kind).collect()
}

/// Two filters and a topic, one on each line.
pub(super) fn filters(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let [a, b, topic] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let valid = (
        filter_is_valid(a),
        filter_is_valid(b),
        topic_is_valid(topic),
    );
    valid.hash(&mut hasher);
    if valid.2 {
        let parsed = Topic::parse(topic);
        std::mem::discriminant(&parsed).hash(&mut hasher);
        assert!(!symbol_is_missing(topic) || parsed == Topic::Other);
        if let Topic::Price(symbol) = parsed {
            assert_eq!(topic, format!("securities/{symbol}/price"));
        }
    }
    for filter in [a, b] {
        if let Some((group, inner)) = shared_filter(filter) {
            assert_eq!(filter, format!("$share/{group}/{inner}"));
            // Inside a group `$share/` is a topic like any other.
            if !inner.starts_with("$share/") {
                let valid = filter_is_valid(inner) && text_is_clean(group);
                assert_eq!(filter_is_valid(filter), valid);
            }
        }
    }
    if valid == (true, true, true) {
        let (by_a, by_b) = (filter_matches(a, topic), filter_matches(b, topic));
        assert_eq!(by_a, matches_slowly(a, topic), "{a} {topic}");
        let overlap = filters_overlap(a, b);
        assert_eq!(overlap, filters_overlap(b, a));
        assert!(overlap || !(by_a && by_b), "{a} and {b} both match {topic}");
        (by_a, by_b, overlap).hash(&mut hasher);
    }
    hasher.finish()
}

/// MQTT 5 §4.7, word for word and level for level.
fn matches_slowly(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels(filter, topic),
            ([a, filter @ ..], [b, topic @ ..]) if a == b => levels(filter, topic),
            _ => false,
        }
    }
    let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    !hidden && levels(&filter, &topic)
}

/// A configuration: TOML, and lines `=key=value` as flags.
pub(super) fn config(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = String::from_utf8_lossy(input);
    let (flags, file): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('='));
    match toml::from_str::<Config>(&file.join("\n")) {
        Ok(config) => {
            let written = toml::to_string(&config).expect("a configuration can be written");
            let again: Config = toml::from_str(&written).expect("what is written can be read");
            assert_eq!(config, again);
            "read".hash(&mut hasher);
        }
        Err(error) => {
            let kind: String = error.message().chars().take_while(|c| *c != '`').collect();
            kind.hash(&mut hasher);
        }
    }
    let flag = |line: &&str| {
        let (key, value) = line[1..].split_once('=')?;
        Some(Flag {
            name: "--set".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        })
    };
    let inputs = Inputs {
        flags: flags.iter().filter_map(flag).take(8).collect(),
        ..Inputs::default()
    };
    match Config::load(&inputs) {
        Ok(loaded) => {
            loaded.print().len().min(1).hash(&mut hasher);
        }
        Err(error) => {
            let text = error.to_string();
            text.chars()
                .take_while(|c| *c != '`')
                .take(40)
                .collect::<String>()
                .hash(&mut hasher);
        }
    }
    hasher.finish()
}
