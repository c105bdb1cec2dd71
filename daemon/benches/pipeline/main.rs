//! The whole daemon, from a publisher's packet to the PUBACK, to the subscriber's level and to the
//! row in PostgreSQL: how much of it a second, how late, and at what cost.
//!
//! `cargo bench -p divisord --bench pipeline [-- --quick] [throughput] [durability] [latency] [history]
//! [readers] [row=TEXT]`, where TEXT is part of the names of the throughput rows that are wanted.
//!
//! It starts the real `divisord` with a private PostgreSQL, the 500 securities and 20 indexes of
//! `fixtures/universe`, and publishes single ticks as JSON. Rows of one table are measured in
//! turns, round after round, so that what else the machine does falls on all of them alike. Every
//! round ends with a count of the rows in PostgreSQL: a benchmark of what was lost is worth
//! nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails loudly and prints"
)]

mod history;
mod machine;
mod market;
mod mqtt;
mod publisher;
mod stage;
mod subscriber;
mod web;

use std::thread;
use std::time::Duration;

use divisor_engine::definition::Dissemination;
use hdrhistogram::Histogram;

use machine::Cpu;
use publisher::{Client, Pace, micros_now};
use stage::Stage;

const CONFLATE: Dissemination = Dissemination::Conflate;
const TICK: Dissemination = Dissemination::Tick;

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    ticks: u64,
    seconds: i64,
}

/// One row of a throughput table.
struct Row {
    name: String,
    /// Which of the table's daemons.
    stage: usize,
    client: Client,
    publishers: usize,
    /// In one round.
    ticks: u64,
    rounds: Vec<Round>,
}

/// What one round gave.
struct Round {
    /// From the first PUBLISH to the last PUBACK.
    rate: f64,
    commits: f64,
    levels: f64,
    /// Processor seconds per million ticks, the time to the last row included.
    daemon: f64,
    postgres: f64,
    publisher: f64,
    subscriber: f64,
    memory: (u64, u64),
    /// From the last PUBACK to the last row.
    lag: Duration,
    verdict: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let scale = match (has("--bench"), has("--quick")) {
        (true, false) => Scale {
            rounds: 5,
            ticks: 400_000,
            seconds: 10,
        },
        (true, true) => Scale {
            rounds: 3,
            ticks: 100_000,
            seconds: 3,
        },
        (false, _) => Scale {
            rounds: 1,
            ticks: 4_000,
            seconds: 1,
        },
    };
    let row = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("row="));
    let parts = ["throughput", "durability", "latency", "history", "readers"];
    let all = !parts.into_iter().any(has);
    println!("{}", machine::describe());
    println!(
        "500 securities, 20 indexes, 3 memberships each; single ticks in JSON, QoS 1, window 1,000"
    );
    if all || has("throughput") {
        throughput(scale, row.unwrap_or_default());
    }
    if all || has("durability") {
        durability(scale);
    }
    if all || has("latency") {
        latency(scale);
    }
    if all || has("history") {
        history::history(scale);
    }
    if all || has("readers") {
        history::readers(scale);
    }
}

fn throughput(scale: Scale, wanted: &str) {
    let modes = [(CONFLATE, "conflate"), (TICK, "tick")];
    let mut stages = modes.map(|(mode, _)| Stage::start(mode, &[]));
    let mut rows = Vec::new();
    for (client, name) in [(Client::Raw, "raw"), (Client::Rumqttc, "rumqttc")] {
        for publishers in [1, 8] {
            for (stage, (_, mode)) in modes.iter().enumerate() {
                let name = format!("{mode}, {publishers} × {name}");
                rows.push(Row {
                    name,
                    stage,
                    client,
                    publishers,
                    ticks: if is_fast(client, mode) {
                        3 * scale.ticks
                    } else {
                        scale.ticks
                    },
                    rounds: Vec::new(),
                });
            }
        }
    }
    rows.retain(|row| row.name.contains(wanted));
    measure("Durable ticks per second", scale, &mut stages, &mut rows);
}

fn durability(scale: Scale) {
    let settings: [(&str, &[&str]); 3] = [
        ("publish = durable", &[]),
        ("publish = immediate", &["sequencer.publish=immediate"]),
        ("journal.sync = false", &["journal.sync=false"]),
    ];
    let mut stages = settings.map(|(_, sets)| Stage::start(CONFLATE, sets));
    let row = |(stage, (name, _)): (usize, &(&str, _))| Row {
        name: (*name).to_owned(),
        stage,
        client: Client::Raw,
        publishers: 1,
        ticks: 3 * scale.ticks,
        rounds: Vec::new(),
    };
    let mut rows: Vec<Row> = settings.iter().enumerate().map(row).collect();
    measure(
        "The price of durability (conflate, 1 × raw)",
        scale,
        &mut stages,
        &mut rows,
    );
    drop(stages);
    println!("\n| latency at 10,000 ticks/s | {LATENCY_HEAD}");
    println!("|---|{}", "---:|".repeat(7));
    let mut stages = settings.map(|(_, sets)| Stage::start(CONFLATE, sets));
    latency_rows(scale, 10, &mut stages, &settings.map(|(name, _)| name));
}

/// Runs the rows round after round and prints them.
fn measure(title: &str, scale: Scale, stages: &mut [Stage], rows: &mut [Row]) {
    // The first round warms caches, files and tables up and is not counted.
    for round in 0..=scale.rounds {
        for row in &mut *rows {
            let stage = &mut stages[row.stage];
            let measured = run(stage, row.client, row.publishers, row.ticks, round);
            if round > 0 || scale.rounds == 1 {
                row.rounds.push(measured);
            }
        }
    }
    println!("\n## {title}\n");
    println!(
        "{} rounds; load average {}\n",
        rows[0].rounds.len(),
        machine::load()
    );
    println!(
        "| | ticks a round | ticks/s min / median / max | commits/s | levels/s | CPU s per 10⁶ ticks: daemon | \
         PostgreSQL | publisher | subscriber | RSS now / peak MiB | s to the last row | rows |"
    );
    println!("|---|{}", "---:|".repeat(11));
    for row in rows {
        print_row(row);
    }
}

fn print_row(row: &Row) {
    let of = |value: fn(&Round) -> f64| median(row.rounds.iter().map(value));
    let rates: Vec<f64> = row.rounds.iter().map(|round| round.rate).collect();
    let (min, max) = rates.iter().fold((f64::MAX, 0f64), |(min, max), rate| {
        (min.min(*rate), max.max(*rate))
    });
    let memory = row
        .rounds
        .iter()
        .map(|round| round.memory)
        .max()
        .unwrap_or_default();
    let wrong = row
        .rounds
        .iter()
        .map(|round| &round.verdict)
        .find(|verdict| *verdict != "OK");
    println!(
        "| {} | {} | {} / **{}** / {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} / {} | {:.1} | {} |",
        row.name,
        thousands(row.ticks as f64),
        thousands(min),
        thousands(of(|round| round.rate)),
        thousands(max),
        thousands(of(|round| round.commits)),
        thousands(of(|round| round.levels)),
        of(|round| round.daemon),
        of(|round| round.postgres),
        of(|round| round.publisher),
        of(|round| round.subscriber),
        memory.0,
        memory.1,
        of(|round| round.lag.as_secs_f64()),
        wrong.map_or("OK", |verdict| verdict),
    );
}

/// One round: publish, wait for the rows, count them.
fn run(stage: &mut Stage, client: Client, publishers: usize, ticks: u64, round: usize) -> Round {
    let (address, pid) = (stage.daemon.address(), stage.daemon.pid());
    let kind = if client == Client::Raw {
        "raw"
    } else {
        "rumqttc"
    };
    let source = format!("{kind}-{publishers}-{round}");
    stage.settle();
    let before = stage.place();
    let reader = subscriber::counting(address);
    let cpu = machine::cpu(pid);
    let published = publisher::flood(address, &stage.universe, client, &source, ticks, publishers);
    let lag = stage.wait_stored();
    let used = since(cpu, machine::cpu(pid));
    let (received, subscriber) = reader.stop();
    let after = stage.place();
    let stored = stage.stored_since(before);
    let made = after.levels - before.levels;
    let millions = ticks as f64 / 1e6;
    let seconds = published.elapsed.as_secs_f64();
    Round {
        rate: ticks as f64 / seconds,
        commits: stored.commits as f64 / seconds,
        levels: made as f64 / seconds,
        daemon: used.own.as_secs_f64() / millions,
        postgres: used.children.as_secs_f64() / millions,
        publisher: published.cpu.as_secs_f64() / millions,
        subscriber: subscriber.as_secs_f64() / millions,
        memory: machine::memory(pid),
        lag,
        verdict: verdict(stage, &stored, ticks, publishers, made, received),
    }
}

/// OK, or what is not as it should be.
fn verdict(
    stage: &Stage,
    stored: &stage::Stored,
    ticks: u64,
    publishers: usize,
    made: u64,
    received: u64,
) -> String {
    let each_tick = stage.universe.items.indexes[0].dissemination == TICK;
    let expected = if each_tick {
        stage.universe.levels_of(ticks, publishers)
    } else {
        made
    };
    if stored.ticks != ticks {
        format!("{} of {ticks} ticks stored", stored.ticks)
    } else if stored.levels != made || made != expected {
        format!(
            "{} of {made} levels stored, {expected} expected",
            stored.levels
        )
    } else if received != made {
        format!("OK, subscriber got {received} of {made} levels")
    } else {
        "OK".to_owned()
    }
}

const LATENCY_HEAD: &str = "ticks/s | PUBACK p50 ms | p99 | p99.9 | level p50 ms | p99 | p99.9 |";

fn latency(scale: Scale) {
    println!("\n## Latency from a tick's due time\n");
    println!(
        "{} s and 3 runs each; load average {}\n",
        scale.seconds,
        machine::load()
    );
    println!("| | {LATENCY_HEAD}");
    println!("|---|{}", "---:|".repeat(7));
    let mut stages = [CONFLATE, TICK].map(|mode| Stage::start(mode, &[]));
    for per_milli in [1, 10, 50] {
        latency_rows(scale, per_milli, &mut stages, &["conflate", "tick"]);
    }
}

/// Measures the stages in turns at one rate and prints a row for each.
fn latency_rows(scale: Scale, per_milli: i64, stages: &mut [Stage], names: &[&str]) {
    let blank = || {
        (
            Histogram::<u64>::new(3).unwrap(),
            Histogram::<u64>::new(3).unwrap(),
            0,
        )
    };
    let mut found: Vec<_> = stages.iter().map(|_| blank()).collect();
    let runs = if scale.seconds > 1 { 3 } else { 1 };
    for run in 0..runs {
        for (stage, (acks, levels, missing)) in stages.iter_mut().zip(&mut found) {
            stage.settle();
            let pace = Pace {
                start_micros: (micros_now() / 1_000 + 300) * 1_000,
                per_milli,
                ticks: scale.seconds * 1_000 * per_milli,
            };
            // The first tenth is warming up.
            let skip = pace.ticks / 10;
            let address = stage.daemon.address();
            let reader = subscriber::timing(address, &stage.universe, pace, skip);
            let source = format!("paced-{per_milli}-{run}");
            let acked = publisher::paced(address, &stage.universe, &source, pace, skip);
            thread::sleep(Duration::from_millis(300));
            let (latency, pairs) = reader.stop();
            acks.add(acked).unwrap();
            levels.add(latency).unwrap();
            *missing += stage.universe.levels_of(pace.ticks.cast_unsigned(), 1) - pairs;
            stage.wait_stored();
        }
    }
    for (name, (acks, levels, missing)) in names.iter().zip(found) {
        let at = |histogram: &Histogram<u64>| {
            let milli = |q| format!("{:.2}", histogram.value_at_quantile(q) as f64 / 1e3);
            [0.5, 0.99, 0.999].map(milli).join(" | ")
        };
        let note = if missing == 0 {
            String::new()
        } else {
            format!(" ({missing} not seen)")
        };
        let rate = thousands((per_milli * 1_000) as f64);
        println!(
            "| {name}{note} | {rate} | {} | {} |",
            at(&acks),
            at(&levels)
        );
    }
}

/// True for what would be over before it is measured.
fn is_fast(client: Client, mode: &str) -> bool {
    client == Client::Raw && mode == "conflate"
}

fn since(before: Cpu, after: Cpu) -> Cpu {
    Cpu {
        own: after.own - before.own,
        children: after.children.saturating_sub(before.children),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
