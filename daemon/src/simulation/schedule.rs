//! What happens when, drawn from one seed; and the shortest part of it that still fails.

use std::time::{Duration, Instant};

use crate::journal::sim::Random;

/// One step. It has a seed of its own, so that it means the same when others are left out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) what: What,
    pub(super) seed: u64,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A publisher makes messages.
    Publish,
    /// The network brings some.
    Deliver,
    /// The sequencer takes a turn.
    Turn,
    /// The store's thread goes on.
    Follow,
    /// The thread of the snapshots goes on.
    Snapshot,
    /// A publisher loses its connection, or starts anew.
    Disconnect,
    /// The operator loads or asks something.
    Operator,
    /// The wall clock jumps.
    Clock,
    /// A disk is full, has room, refuses writes or fails to sync.
    Disk,
    /// The database goes, comes back, breaks a transaction or loses its answer.
    Database,
    /// The power will go at one of the next changes of a disk.
    Cut,
    /// The process is killed between two steps.
    Kill,
    /// The process ends in order.
    Stop,
}

/// How long a schedule is made shorter.
const SHRINK_TIME: Duration = Duration::from_secs(20);

/// How often each kind is drawn, of 100.
const WEIGHTS: [(What, u64); 13] = [
    (What::Publish, 21),
    (What::Deliver, 8),
    (What::Turn, 23),
    (What::Follow, 12),
    (What::Snapshot, 9),
    (What::Disconnect, 7),
    (What::Operator, 3),
    (What::Clock, 2),
    (What::Disk, 5),
    (What::Database, 4),
    (What::Cut, 3),
    (What::Kill, 2),
    (What::Stop, 1),
];

/// The schedule of a seed.
pub(super) fn draw(seed: u64) -> Vec<Op> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let len = 30 + random.below(120);
    let op = |_| {
        let mut place = random.below(100);
        let what = WEIGHTS.iter().find(|(_, weight)| {
            let here = place < *weight;
            place = place.saturating_sub(*weight);
            here
        });
        Op {
            what: what.map_or(What::Turn, |(what, _)| *what),
            seed: random.below(u64::MAX),
        }
    };
    (0..len).map(op).collect()
}

/// Leaves out what is not needed for `fails` to stay true: first the end, then piece by piece.
pub(super) fn shrink(mut ops: Vec<Op>, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let until = Instant::now() + SHRINK_TIME;
    let mut piece = ops.len().div_ceil(2);
    while piece > 0 {
        let mut at = ops.len();
        while at > 0 && Instant::now() < until {
            let from = at.saturating_sub(piece);
            let mut fewer = ops.clone();
            fewer.drain(from..at);
            if fails(&fewer) {
                ops = fewer;
            }
            at = from;
        }
        piece /= 2;
    }
    ops
}
