//! The journal's commit: how long a batch takes to become durable, and how fast it is read back.
//!
//! `cargo bench -p divisord --bench journal [-- DIR]`; DIR decides which disk is measured. Under
//! `cargo test` it runs a few rounds only, so that it cannot rot.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use divisord::journal::{Journal, Log, Records, Settings};
use hdrhistogram::Histogram;

/// One tick in a batch, as SCALE.md counts records.
const TICK_LEN: usize = 128;

fn main() -> anyhow::Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let at = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let rounds = if is_bench { 4000 } else { 20 };
    let parent = at.map_or_else(std::env::temp_dir, PathBuf::from);
    let mut out = io::stdout().lock();
    for (kib, sync) in [(4, true), (16, true), (64, true), (16, false)] {
        let line = measure(&parent, kib << 10, sync, rounds)?;
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Appends and commits `rounds` batches of `len` bytes, and reads them back.
fn measure(
    parent: &std::path::Path,
    len: usize,
    sync: bool,
    rounds: u64,
) -> anyhow::Result<String> {
    let dir = tempfile::tempdir_in(parent)?;
    let (mut journal, _) = Journal::open(
        dir.path(),
        Settings {
            sync,
            ..Settings::default()
        },
    )?;
    let body = vec![0x5a; len];
    let ticks = u32::try_from(len / TICK_LEN)?;
    let mut commits = Histogram::<u64>::new(3)?;
    let mut first = 0;
    // The first segments are filled before anything is measured, as in a daemon that runs.
    journal.append(first, ticks, 0, &body)?;
    first = journal.commit()?;
    std::thread::sleep(Duration::from_millis(if rounds > 100 { 500 } else { 0 }));
    let begun = Instant::now();
    for _ in 0..rounds {
        let started = Instant::now();
        journal.append(first, ticks, 0, &body)?;
        first = journal.commit()?;
        commits.record(u64::try_from(started.elapsed().as_micros())?)?;
    }
    let written = begun.elapsed();
    let begun = Instant::now();
    let mut reader = journal.reader_from(0)?;
    let mut read = 0;
    while let Some(record) = reader.next_record()? {
        read += record.body.len() as u64;
    }
    let reading = begun.elapsed();
    Ok(format!(
        "{:>3} KiB {}  commit p50 {:>5} µs  p99 {:>5} µs  max {:>6} µs  {:>6.0} batches/s  \
         {:>9.0} ticks/s  {:>5.0} MB/s  read back {:>5.0} MB/s",
        len >> 10,
        if sync { "synced  " } else { "unsynced" },
        commits.value_at_quantile(0.5),
        commits.value_at_quantile(0.99),
        commits.max(),
        rounds as f64 / written.as_secs_f64(),
        rounds as f64 * f64::from(ticks) / written.as_secs_f64(),
        rounds as f64 * len as f64 / written.as_secs_f64() / 1e6,
        read as f64 / reading.as_secs_f64() / 1e6,
    ))
}
