//! How long a restart takes, by the length of the journal: with a snapshot and without.
//!
//! `cargo bench -p divisord --bench recovery [-- --quick]`
//!
//! The journal is written directly, as the sequencer would: 500 securities in 20 indexes that
//! conflate, 64 ticks in a record. Then the real `divisord` starts on it without a database, and
//! a subscriber waits for its first retained level. What durability costs while running is the
//! pipeline bench's table: `cargo bench -p divisord --bench pipeline -- durability`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails loudly and prints"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use divisor_engine::definition::Definitions;
use divisor_engine::{Batch, Engine, Input, LabelId, Origin, SecurityId, Tick, Time};
use divisor_testkit::{Options, eventually};
use divisord::journal::{Journal, Log, Settings};
use divisord::record;
use divisord::snapshots::Snapshots;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::json;

const SECURITIES: u32 = 500;
const INDEXES: u32 = 20;
const MEMBERS: u32 = 75;
const BATCH: u64 = 64;

/// Ten dollars in units of six places: a sum of them is no level of 0.00.
const PRICE: i64 = 10_000_000;

/// 2026-01-06T10:00:00Z.
const START: i64 = 1_767_693_600_000_000_000;

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let lengths: &[u64] = match (is_bench, is_quick) {
        (true, false) => &[0, 100_000, 1_000_000, 5_000_000],
        (true, true) => &[0, 100_000, 1_000_000],
        (false, _) => &[0, 10_000],
    };
    let rounds = if is_bench { 3 } else { 1 };
    println!("| ticks in the journal | bytes | snapshot at its | listening | first level |");
    println!("|---:|---:|---|---:|---:|");
    for ticks in lengths {
        let dir = tempfile::tempdir().unwrap();
        let engine = write(dir.path(), *ticks);
        let folder = dir.path().join("snapshots");
        fs::create_dir(&folder).unwrap();
        let bytes = used(&dir.path().join("journal"));
        for snapshot in ["beginning", "end"] {
            if snapshot == "end" {
                Snapshots::new(folder.clone())
                    .write(engine.clone())
                    .unwrap();
            }
            let once = |_| {
                if snapshot == "beginning" {
                    // A long journal makes the daemon write one as soon as it has replayed it.
                    fs::remove_dir_all(&folder).unwrap();
                    fs::create_dir(&folder).unwrap();
                }
                restart(dir.path())
            };
            let mut times: Vec<_> = (0..rounds).map(once).collect();
            times.sort_unstable();
            let (listening, level) = times[rounds / 2];
            println!(
                "| {ticks} | {:.0} MB | {} | {:.0} ms | {:.0} ms |",
                bytes as f64 / 1e6,
                if snapshot == "end" { "end" } else { "none" },
                listening.as_secs_f64() * 1e3,
                level.as_secs_f64() * 1e3
            );
        }
    }
}

/// The bytes of all segments.
fn used(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// Writes a journal of so many ticks and returns the state behind it.
fn write(dir: &Path, ticks: u64) -> Engine {
    let path = dir.join("journal");
    fs::create_dir(&path).unwrap();
    let settings = Settings {
        sync: false,
        ..Settings::default()
    };
    let (mut journal, _) = Journal::open(&path, settings).unwrap();
    let mut engine = Engine::new();
    let mut body = Vec::new();
    let mut commit = |inputs: Vec<Input>, time: i64| {
        let batch = Batch {
            first: engine.next_position(),
            time: Time::from_nanos(time),
            inputs,
        };
        body.clear();
        record::encode(&batch.inputs, &mut body).unwrap();
        let count = u32::try_from(batch.inputs.len()).unwrap();
        journal.append(batch.first, count, time, &body).unwrap();
        journal.commit().unwrap();
        engine.apply(&batch);
        while engine.poll_output().is_some() {}
    };
    let mut first: Vec<Input> = vec![Input::Boot { epoch: 1 }];
    first.extend(["divisord", "other", "feed"].map(|text| Input::Label(text.into())));
    first.push(Input::Define {
        by: LabelId(0),
        definitions: Box::new(universe()),
    });
    first.extend((0..SECURITIES).map(|id| tick(id, PRICE, START, u64::from(id))));
    commit(first, START);
    for record in 0..ticks / BATCH {
        let time = START + i64::try_from(record).unwrap() * 1_000_000;
        let numbers = record * BATCH..(record + 1) * BATCH;
        let inputs = numbers.map(|n| {
            let id = u32::try_from(n * 7 % u64::from(SECURITIES)).unwrap();
            // The first prices have the numbers before.
            let seq = n + u64::from(SECURITIES);
            tick(id, PRICE + i64::try_from(n % 997).unwrap(), time, seq)
        });
        commit(inputs.collect(), time);
    }
    engine
}

fn tick(security: u32, price: i64, time: i64, seq: u64) -> Input {
    Input::Tick(Tick {
        security: SecurityId(security),
        price,
        origin: Origin {
            ts: Time::from_nanos(time),
            received: Time::from_nanos(time),
            source: LabelId(2),
            inc: Some(1),
            seq: Some(seq),
        },
        size: None,
        venue: None,
        kind: divisor_engine::Kind::Trade,
    })
}

fn universe() -> Definitions {
    let symbol = |id: u32| format!("S{id:03}");
    let securities: Vec<_> = (0..SECURITIES)
        .map(|id| json!({ "symbol": symbol(id), "currency": "USD" }))
        .collect();
    let indexes: Vec<_> = (0..INDEXES)
        .map(|index| {
            let member =
                |n: u32| json!({ "symbol": symbol((index * 25 + n) % SECURITIES), "units": "3" });
            json!({
                "code": format!("I{index:02}"), "currency": "USD",
                "weighting": { "scheme": "fixed_units" }, "base": { "divisor": "1000" },
                "dissemination": { "mode": "conflate" },
                "basket": (0..MEMBERS).map(member).collect::<Vec<_>>(),
            })
        })
        .collect();
    serde_json::from_value(json!({ "securities": securities, "indexes": indexes })).unwrap()
}

/// Starts the daemon and measures from the start of its process; then it is killed, so that it
/// leaves no snapshot of its own.
fn restart(state: &Path) -> (Duration, Duration) {
    let mut options = Options::new(env!("CARGO_BIN_EXE_divisord")).state(state);
    for set in ["journal.segment_bytes=64MiB", "journal.bytes_max=4GiB"] {
        options = options.set(set);
    }
    let started = Instant::now();
    let daemon = options.start();
    let listening = started.elapsed();
    let address = daemon.address();
    let mqtt = MqttOptions::new("bench", address.ip().to_string(), address.port());
    let (client, mut connection) = Client::new(mqtt, 10);
    client
        .subscribe("indexes/+/level", QoS::AtMostOnce)
        .unwrap();
    let level = eventually("the first level", || {
        let event = connection.iter().next().unwrap().unwrap();
        matches!(event, Event::Incoming(Packet::Publish(_))).then(|| started.elapsed())
    });
    (listening, level)
}
