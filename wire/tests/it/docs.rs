//! The documents in docs/wire say what the code does: each example passes its schema and is read
//! and written again by the code, and every topic has its channel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, Schemas};
use divisor_engine::{IndexId, Level, Status};
use divisor_wire::command::{DaemonStatus, Reply, Request};
use divisor_wire::event::EventMessage;
use divisor_wire::level::{LevelMessage, compact, time};
use divisor_wire::rejected::Rejected;
use divisor_wire::{tick, topic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire")
}

fn text(name: &str) -> String {
    let path = docs().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Whether a value passes a schema of docs/wire/schema.
fn passes(schema: &str, value: &Value) -> bool {
    let mut compiler = Compiler::new();
    let mut schemas = Schemas::new();
    let location = format!("urn:divisor:test:{schema}");
    let document = json(&format!("schema/{schema}.schema.json"));
    compiler.add_resource(&location, document).unwrap();
    let id = compiler.compile(&location, &mut schemas).unwrap();
    schemas.validate(value, id).is_ok()
}

/// The type reads the example and writes it again as it was.
fn same_again<T: DeserializeOwned + Serialize>(example: &Value) -> bool {
    let read: T = serde_json::from_value(example.clone()).unwrap();
    serde_json::to_value(read).unwrap() == *example
}

fn is_read_as_ticks(example: &Value) -> bool {
    let payload = serde_json::to_vec(example).unwrap();
    tick::decode(&payload, 100).is_ok_and(|decoded| decoded.refused.is_empty())
}

#[test]
fn every_example_holds() {
    let mut named = BTreeSet::new();
    let mut check = |example: &str, schema: &str, holds: fn(&Value) -> bool| {
        let value = json(&format!("examples/{example}.json"));
        assert!(passes(schema, &value), "{example} does not pass {schema}");
        assert!(
            holds(&value),
            "{example} is not what the code reads or writes"
        );
        named.insert(format!("{example}.json"));
    };
    for example in ["tick.full", "tick.number", "tick.batch", "tick.epoch"] {
        check(example, "tick", is_read_as_ticks);
    }
    check("level", "level", same_again::<LevelMessage>);
    check("level.first", "level", same_again::<LevelMessage>);
    check("event.revision", "event", same_again::<EventMessage>);
    check("event.action", "event", same_again::<EventMessage>);
    check("event.status", "event", same_again::<EventMessage>);
    check("event.close", "event", same_again::<EventMessage>);
    check("event.life", "event", same_again::<EventMessage>);
    check("event.held", "event", same_again::<EventMessage>);
    check("event.quotation", "event", same_again::<EventMessage>);
    check("event.correction", "event", same_again::<EventMessage>);
    check("status", "status", same_again::<DaemonStatus>);
    check("rejected", "rejected", same_again::<Rejected>);
    check("rejected.several", "rejected", same_again::<Rejected>);
    check("command", "command", same_again::<Request>);
    check("command.load", "command", same_again::<Request>);
    check("reply", "reply", same_again::<Reply<Value>>);
    check("reply.error", "reply", same_again::<Reply<Value>>);
    let files: BTreeSet<String> = fs::read_dir(docs().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(files, named, "an example that nothing checks");
}

#[test]
fn schemas_refuse_what_the_code_would() {
    let check = |schema: &str, value: &str| {
        let value: Value = serde_json::from_str(value).unwrap();
        assert!(!passes(schema, &value), "{schema} takes {value}");
    };
    check("tick", r#"{"ts":"2026-11-22T14:30:00Z"}"#);
    check("tick", r#"{"price":"1,5"}"#);
    check("tick", r#"{"price":true}"#);
    check("tick", r#"{"price":1,"seq":-1}"#);
    check("tick", r#"{"price":1,"src":""}"#);
    check("level", r#"{"v":1,"index":"A","level":1.5}"#);
    check("event", r#"{"event":"status","v":1,"index":"A","pos":1}"#);
    check("command", r#"{"id":"a b"}"#);
    check("reply", r#"{"id":"1","ok":false}"#);
    // Each field that the level's schema demands is one that it misses.
    let level = json("examples/level.first.json");
    let optional = ["chg", "chg_pct", "prev_close"];
    for field in level.as_object().unwrap().keys() {
        let mut without = level.clone();
        without.as_object_mut().unwrap().remove(field);
        assert_eq!(
            passes("level", &without),
            optional.contains(&field.as_str()),
            "{field}"
        );
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// The level that an example tells, as the engine has it.
fn level(message: &LevelMessage) -> Level {
    Level {
        index: IndexId(0),
        seq: message.seq,
        level: message.level,
        prev_close: message.prev_close,
        ts: time(&message.ts).unwrap(),
        ts_calc: time(&message.ts_calc).unwrap(),
        position: message.pos,
        revision: message.rev,
        status: Status::Live,
        stale: message.stale,
    }
}

/// The keys of a rule in divisor.cddl: the number, the name behind it, whether it may be absent.
fn keys(rule: &str) -> Vec<(u64, String, bool)> {
    let cddl = text("divisor.cddl");
    let body = cddl.split_once(&format!("\n{rule} = {{\n")).unwrap().1;
    let body = body.split_once("\n}").unwrap().0;
    body.lines()
        .map(|line| {
            let (key, rest) = line.split_once("=>").unwrap();
            let name = rest.split_once("; ").unwrap().1;
            let name = name.split([',', ':']).next().unwrap().to_owned();
            let number = key.trim().trim_start_matches("? ").parse().unwrap();
            (number, name, key.contains('?'))
        })
        .collect()
}

/// The keys that a CBOR map has, in their order.
fn keys_of(bytes: &[u8]) -> Vec<u64> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let count = decoder.map().unwrap().unwrap();
    (0..count)
        .map(|_| {
            let key = decoder.u64().unwrap();
            decoder.skip().unwrap();
            key
        })
        .collect()
}

#[test]
fn compact_examples_hold() {
    for example in ["level", "level.first"] {
        let message: LevelMessage =
            serde_json::from_value(json(&format!("examples/{example}.json"))).unwrap();
        let mut bytes = Vec::new();
        compact::encode(&mut bytes, &message.index, &level(&message), message.epoch);
        let golden = hex(&text(&format!("examples/{example}.cbor.hex")));
        let printed: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, golden, "{example} is now {printed}");
        assert_eq!(compact::decode(&golden).unwrap(), message);
        let (there, known) = (keys_of(&golden), keys("level"));
        for (key, _, optional) in &known {
            assert!(*optional || there.contains(key), "{example} lacks {key}");
        }
        assert!(there.iter().all(|key| known.iter().any(|(k, ..)| k == key)));
    }
    let golden = hex(&text("examples/tick.full.cbor.hex"));
    let in_json = text("examples/tick.full.json");
    assert_eq!(
        tick::decode(&golden, 1).unwrap(),
        tick::decode(in_json.as_bytes(), 1).unwrap()
    );
    let known: Vec<u64> = keys("tick").iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys_of(&golden), known);
}

#[test]
fn compact_keys_are_the_fields_of_json() {
    let check = |rule: &str, schema: &str| {
        let schema = json(&format!("schema/{schema}.schema.json"));
        let fields = ["/$defs/tick/properties", "/properties"]
            .into_iter()
            .find_map(|at| schema.pointer(at))
            .and_then(Value::as_object)
            .unwrap();
        let keys = keys(rule);
        let named: BTreeSet<&str> = keys
            .iter()
            .map(|(_, name, _)| name.as_str())
            .filter(|name| !name.starts_with("nanoseconds"))
            .collect();
        assert_eq!(named, fields.keys().map(String::as_str).collect(), "{rule}");
        assert!(
            keys.iter().zip(0..).all(|((key, ..), at)| *key == at),
            "{rule}"
        );
    };
    check("tick", "tick");
    check("level", "level");
}

#[test]
fn every_topic_has_its_channel() {
    let api = json("asyncapi.json");
    let documented: BTreeSet<&str> = api["channels"]
        .as_object()
        .unwrap()
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    // Braces are what a code or a client id cannot be confused with: they stay as they are, or are
    // percent-encoded where the topic says so.
    let plain = |topic: String| topic.replace("%7B", "{").replace("%7D", "}");
    let expected: BTreeSet<String> = [
        "securities/{symbol}/price".to_owned(),
        "fx/{base}/{quote}/rate".to_owned(),
        "divisor/control/{verb}".to_owned(),
        topic::STATUS_TOPIC.to_owned(),
        topic::level_topic("{code}"),
        topic::compact_level_topic("{code}"),
        topic::event_topic("{code}"),
        plain(topic::reply_topic("{client}", "{id}")),
        plain(topic::rejected_topic("{client}")),
    ]
    .into();
    assert_eq!(documented, expected.iter().map(String::as_str).collect());
    assert!(matches!(
        topic::Topic::parse("securities/{symbol}/price"),
        topic::Topic::Price(_)
    ));
    assert!(matches!(
        topic::Topic::parse("fx/{base}/{quote}/rate"),
        topic::Topic::Rate(..)
    ));
    assert!(matches!(
        topic::Topic::parse("divisor/control/{verb}"),
        topic::Topic::Control(_)
    ));
    let mut references = Vec::new();
    collect_references(&api, &mut references);
    assert!(references.len() > 20, "{}", references.len());
    for reference in references {
        match reference.strip_prefix('#') {
            Some(pointer) => assert!(api.pointer(pointer).is_some(), "{reference}"),
            None => assert!(docs().join(&reference).is_file(), "{reference}"),
        }
    }
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                into.push(reference.clone());
            }
            for value in fields.values() {
                collect_references(value, into);
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_references(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
