//! What the parts know of themselves and others may ask: the source of `divisor/status`,
//! readiness and systemd's status line.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use divisor_engine::Time;

/// Where the daemon's life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The journal is replayed; clients are not let in yet.
    Starting = 0,
    /// Everything works.
    Serving = 1,
    /// A stop was asked for.
    Stopping = 2,
}

/// Shared by all parts; each writes only its own fields.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The position behind the last row in PostgreSQL; written by the store.
    projected: AtomicU64,
    /// The position behind the last durable input; written by the sequencer.
    durable: AtomicU64,
    /// The time of the batch before that position, in nanoseconds; written by the store.
    projected_time: AtomicI64,
    /// When the journal began to hold more than PostgreSQL; written by the sequencer.
    fell_behind: AtomicI64,
    /// A [`Phase`]; written by the daemon's life.
    phase: AtomicU8,
    /// The oldest journal position that a start needs; written by the keeper of snapshots.
    needed_from: AtomicU64,
    /// The journal has no room; written by the sequencer.
    journal_full: AtomicBool,
    /// Why the store does not project, when it does not; written by the store.
    store_trouble: Mutex<Option<String>>,
    /// True once there is no store by configuration.
    store_off: AtomicBool,
}

impl Health {
    /// The position behind the last row in PostgreSQL.
    #[must_use]
    pub fn projected(&self) -> u64 {
        self.0.projected.load(Ordering::Relaxed)
    }

    /// Notes how far PostgreSQL is, and the time of the last batch that it has.
    pub fn set_projected(&self, position: u64, time: Time) {
        self.0
            .projected_time
            .store(time.as_nanos(), Ordering::Relaxed);
        self.0.projected.store(position, Ordering::Relaxed);
    }

    /// The position behind the last durable input.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.0.durable.load(Ordering::Relaxed)
    }

    /// Notes how far the journal is, and the time of its last batch.
    pub fn set_durable(&self, position: u64, time: Time) {
        if self.projected() >= self.durable() {
            self.0.fell_behind.store(time.as_nanos(), Ordering::Relaxed);
        }
        self.0.durable.store(position, Ordering::Relaxed);
    }

    /// The time of the oldest input that PostgreSQL lacks, about; none while it has all, or where
    /// there is none by configuration.
    #[must_use]
    pub fn behind_since(&self) -> Option<Time> {
        let shared = &self.0;
        let is_behind = self.projected() < self.durable();
        (is_behind && !shared.store_off.load(Ordering::Relaxed)).then(|| {
            let projected = shared.projected_time.load(Ordering::Relaxed);
            Time::from_nanos(projected.max(shared.fell_behind.load(Ordering::Relaxed)))
        })
    }

    /// Notes where the daemon's life is.
    pub fn set_phase(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Why no price is taken or no level leaves, in a word each; nothing when all is well.
    #[must_use]
    pub fn unready(&self) -> Vec<&'static str> {
        let phase = self.0.phase.load(Ordering::Relaxed);
        let starting = (phase == Phase::Starting as u8).then_some("starting");
        let stopping = (phase == Phase::Stopping as u8).then_some("stopping");
        let full = self.journal_is_full().then_some("journal full");
        [starting, stopping, full].into_iter().flatten().collect()
    }

    /// The oldest journal position that a start needs.
    #[must_use]
    pub fn needed_from(&self) -> u64 {
        self.0.needed_from.load(Ordering::Relaxed)
    }

    /// Notes from where on the journal is needed.
    pub fn set_needed_from(&self, position: u64) {
        self.0.needed_from.store(position, Ordering::Relaxed);
    }

    /// True while the journal has no room: nothing is acknowledged, no level leaves.
    #[must_use]
    pub fn journal_is_full(&self) -> bool {
        self.0.journal_full.load(Ordering::Relaxed)
    }

    /// Notes whether the journal has room.
    pub fn set_journal_full(&self, full: bool) {
        self.0.journal_full.store(full, Ordering::Relaxed);
    }

    /// Notes why the store does not project, or that it does.
    pub fn set_store_trouble(&self, trouble: Option<String>) {
        *self
            .0
            .store_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Why the store does not project.
    #[must_use]
    pub fn store_trouble(&self) -> Option<String> {
        self.0
            .store_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Notes that there is no store by configuration.
    pub fn set_store_off(&self) {
        self.0.store_off.store(true, Ordering::Relaxed);
    }

    /// The store in one word: `ok`, `degraded`, or `off` by configuration.
    #[must_use]
    pub fn store_word(&self) -> &'static str {
        if self.0.store_off.load(Ordering::Relaxed) {
            "off"
        } else if self.store_trouble().is_some() {
            "degraded"
        } else {
            "ok"
        }
    }
}
