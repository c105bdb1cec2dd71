//! What the parts count of their work. Each part writes its own numbers; nothing decides by them.
//!
//! Counters are atomics of their own and are read one after the other, so that a reading is never
//! quite of one moment. What is refused is counted by the door. [`crate::http`] shows it all on
//! `/metrics` and in its status.

mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use divisor_engine::{Effect, Time};

pub use histogram::{BOUNDS_MICROS, BUCKETS, Counts, Histogram};

/// The counters of the sequencer.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    applied: AtomicU64,
    late: AtomicU64,
    duplicate: AtomicU64,
    held: AtomicU64,
    passed: AtomicU64,
    levels: AtomicU64,
    /// When the last tick was received, in nanoseconds since 1970; 0 before the first.
    last_tick: AtomicI64,
    /// Numbers that a source has left out.
    gaps: AtomicU64,
    /// Late prices that wait for a run, and those that could not be noted.
    late_waiting: AtomicU64,
    late_lost: AtomicU64,
    inputs: AtomicU64,
    /// Submissions that waited when the last turn began.
    queued: AtomicU64,
    commit: Histogram,
    tick_to_level: Histogram,
}

/// What became of the ticks of one batch, gathered before it is counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Became the last price or rate.
    pub applied: u64,
    /// Were older than the last one.
    pub late: u64,
    /// Were there before.
    pub duplicate: u64,
    /// Did not count: they wait for an operator, or their security is suspended.
    pub held: u64,
    /// Are stored and do not count: a better source, a trade behind the official close.
    pub passed: u64,
    /// Levels that followed.
    pub levels: u64,
}

impl Tally {
    /// Counts one tick or rate.
    pub const fn add(&mut self, effect: Effect) {
        match effect {
            Effect::Applied => self.applied += 1,
            Effect::Late => self.late += 1,
            Effect::Duplicate => self.duplicate += 1,
            Effect::Held => self.held += 1,
            Effect::Outranked | Effect::AfterClose => self.passed += 1,
        }
    }

    /// All ticks and rates.
    #[must_use]
    pub const fn ticks(&self) -> u64 {
        self.applied + self.late + self.duplicate + self.held + self.passed
    }

    /// Counts another batch as well.
    pub const fn merge(&mut self, other: Self) {
        self.applied += other.applied;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.held += other.held;
        self.passed += other.passed;
        self.levels += other.levels;
    }
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// Counts a batch that was applied.
    pub fn applied(&self, tally: Tally, inputs: u64, time: Time) {
        let shared = &self.0;
        let ticks = tally.ticks();
        for (counter, by) in [
            (&shared.applied, tally.applied),
            (&shared.late, tally.late),
            (&shared.duplicate, tally.duplicate),
            (&shared.held, tally.held),
            (&shared.passed, tally.passed),
            (&shared.levels, tally.levels),
            (&shared.inputs, inputs),
        ] {
            counter.fetch_add(by, Ordering::Relaxed);
        }
        if ticks > 0 {
            shared.last_tick.store(time.as_nanos(), Ordering::Relaxed);
        }
    }

    /// Counts a commit that took this long to be durable.
    pub fn committed(&self, took: Duration) {
        self.0.commit.record(took, 1);
    }

    /// Counts messages whose effects left this long after they had been read.
    pub fn left(&self, took: Duration, messages: u64) {
        self.0.tick_to_level.record(took, messages);
    }

    /// Notes how many submissions wait.
    pub fn queued(&self, submissions: usize) {
        self.0.queued.store(submissions as u64, Ordering::Relaxed);
    }

    /// Notes how many numbers sources have left out.
    pub fn set_gaps(&self, numbers: u64) {
        self.0.gaps.store(numbers, Ordering::Relaxed);
    }

    /// Notes how many late prices wait for a run, and how many can be in none.
    pub fn set_late(&self, waiting: u64, lost: u64) {
        self.0.late_waiting.store(waiting, Ordering::Relaxed);
        self.0.late_lost.store(lost, Ordering::Relaxed);
    }

    /// All numbers now.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let shared = &self.0;
        let last_tick = shared.last_tick.load(Ordering::Relaxed);
        Reading {
            tally: Tally {
                applied: get(&shared.applied),
                late: get(&shared.late),
                duplicate: get(&shared.duplicate),
                held: get(&shared.held),
                passed: get(&shared.passed),
                levels: get(&shared.levels),
            },
            last_tick: (last_tick != 0).then(|| Time::from_nanos(last_tick)),
            gaps: get(&shared.gaps),
            late_waiting: get(&shared.late_waiting),
            late_lost: get(&shared.late_lost),
            inputs: get(&shared.inputs),
            queued: get(&shared.queued),
            commit: shared.commit.counts(),
            tick_to_level: shared.tick_to_level.counts(),
        }
    }
}

/// The numbers of [`Metrics`] at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Ticks and rates by what became of them, and levels.
    pub tally: Tally,
    /// When the last tick was received.
    pub last_tick: Option<Time>,
    /// Numbers that sources have left out.
    pub gaps: u64,
    /// Late prices that wait for a run.
    pub late_waiting: u64,
    /// Late prices that came while too many waited, and are in no run.
    pub late_lost: u64,
    /// Inputs of the sequence since the start.
    pub inputs: u64,
    /// Submissions that waited when the last turn began.
    pub queued: u64,
    /// From a batch's first byte to its fdatasync.
    pub commit: Counts,
    /// From the reading of a message to the leaving of what it caused.
    pub tick_to_level: Counts,
}
