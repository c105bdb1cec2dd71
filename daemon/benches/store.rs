//! How many rows a second the writer brings into a private cluster, fsync on, and what of it is
//! the writer's own processor time.
//!
//! `cargo bench -p divisord --bench store`; under `cargo test --benches` it runs small, so that it
//! never rots.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails loudly and prints"
)]

use std::time::{Duration, Instant};

use divisor_engine::{Decimal, Time};
use divisord::store::rows::{Effect, LevelRow, Origin, RowBatch, TickRow};
use divisord::store::{PartitionUnit, PrivateCluster, Writer};

const START: i64 = 1_636_036_200_000_000_000;

fn tick(n: u64) -> TickRow {
    let ts = Time::from_nanos(START + n.cast_signed() * 10_000);
    TickRow {
        origin: Origin {
            position: n,
            ts,
            received: ts.saturating_add(300_123),
            src: 1,
            inc: Some(7),
            seq: Some(n),
            effect: Effect::Applied,
        },
        security: (n % 500) as u32,
        price: Decimal::new(18_984 + i128::from(n % 1_000), 2),
        size: Some(Decimal::new(100, 0)),
        venue: Some(2),
        kind: divisor_engine::Kind::Trade,
    }
}

fn level(n: u64) -> LevelRow {
    let ts = Time::from_nanos(START + n.cast_signed() * 10_000);
    LevelRow {
        position: n,
        index: (n % 20) as u32,
        seq: n / 20,
        level: Decimal::new(3_913_153 + i128::from(n % 5_000), 2),
        prev_close: Some(Decimal::new(3_906_911, 2)),
        ts,
        ts_calc: ts.saturating_add(300_123),
        revision: 7,
        run: 0,
        stale: 0,
        status: "live".into(),
    }
}

/// The processor time of this process, user and system, from /proc.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .map(|rest| {
            rest.split_whitespace()
                .skip(11)
                .take(2)
                .filter_map(|n| n.parse::<u64>().ok())
                .sum()
        })
        .unwrap_or_default();
    // A tick of the kernel's clock is 10 ms on every Linux that matters.
    Duration::from_millis(ticks * 10)
}

fn measure(
    writer: &mut Writer,
    name: &str,
    size: usize,
    total: usize,
    fill: impl Fn(&mut RowBatch, u64),
) {
    let mut batch = RowBatch::default();
    let mut times = Vec::new();
    let base = writer.last_position().unwrap();
    let (mut next, mut spent, mut busy) = (base, Duration::ZERO, Duration::ZERO);
    for _ in 0..total / size {
        batch.clear();
        for _ in 0..size {
            next += 1;
            fill(&mut batch, next);
        }
        let (began, cpu_before) = (Instant::now(), cpu());
        writer.write(&batch, next).unwrap();
        busy += cpu() - cpu_before;
        times.push(began.elapsed());
        spent += began.elapsed();
    }
    times.sort();
    let rows = (next - base) as f64;
    println!(
        "{name:<6} {size:>6} rows/batch: {:>9.0} rows/s, writer {:.2} µs cpu/row, batch p50 {:.1?} p99 {:.1?}",
        rows / spent.as_secs_f64(),
        busy.as_secs_f64() * 1e6 / rows,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let home = tempfile::Builder::new()
        .prefix("divisor-bench-")
        .tempdir()
        .unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path(), open).unwrap();
    let cluster = PrivateCluster::start(&home.path().join("pg")).unwrap();
    let mut writer = Writer::connect(&cluster.config(), PartitionUnit::Month).unwrap();
    for (size, total) in [(100, 20_000), (1_000, 300_000), (10_000, 1_000_000)] {
        let total = if full { total } else { size };
        measure(&mut writer, "ticks", size, total, |batch, n| {
            batch.ticks.push(tick(n))
        });
        measure(&mut writer, "levels", size, total, |batch, n| {
            batch.levels.push(level(n))
        });
    }
}
