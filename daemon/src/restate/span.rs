//! What a run covers of one index, and how far it is from what was published.

use divisor_engine::definition::Restate;
use divisor_engine::{Decimal, Time};

use super::walk::is_same_level;
use crate::store::rows::{LevelRow, RowBatch};

/// Rows of an index that are equal so far and may lie before another difference. With more the run
/// covers them rather than keep them.
const PENDING_MAX: usize = 50_000;

/// What of one index is another one.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Where the run begins to cover it.
    pub(crate) from: u64,
    /// Where it ends to.
    pub(crate) until: u64,
    pub(crate) policy: Restate,
    /// The first and the last time.
    pub(crate) times: Option<(Time, Time)>,
    pub(crate) levels: u64,
    pub(crate) closes: u64,
    pub(crate) largest: Option<Decimal>,
    /// Rows behind the last difference.
    pending: RowBatch,
}

impl Span {
    pub(super) fn at(from: u64, policy: Restate) -> Self {
        Self {
            from,
            until: from,
            policy,
            times: None,
            levels: 0,
            closes: 0,
            largest: None,
            pending: RowBatch::default(),
        }
    }

    /// Takes the rows of a batch that ends at `next`, and gives all that have gathered once there is
    /// a difference, or there are too many.
    pub(super) fn take(
        &mut self,
        mut rows: RowBatch,
        is_equal: bool,
        next: u64,
        all: &mut RowBatch,
    ) {
        move_rows(&mut rows, &mut self.pending);
        if is_equal && self.pending.levels.len() <= PENDING_MAX {
            return;
        }
        self.until = next;
        self.levels += self.pending.levels.len() as u64;
        self.closes += self.pending.closes.len() as u64;
        move_rows(&mut self.pending, all);
    }

    /// Notes how far levels are from those that were published.
    pub(super) fn measure(&mut self, levels: &[LevelRow], were: &[&LevelRow]) {
        for (at, row) in levels.iter().enumerate() {
            let was = were.get(at.min(were.len().saturating_sub(1)));
            if was.is_some_and(|was| is_same_level(row, was)) {
                continue;
            }
            let (from, until) = self.times.unwrap_or((row.ts, row.ts));
            self.times = Some((from.min(row.ts), until.max(row.ts)));
            let change = was.and_then(|was| distance(row.level, was.level));
            self.largest = larger(self.largest, change);
        }
    }
}

/// How far two levels are from each other.
fn distance(a: Decimal, b: Decimal) -> Option<Decimal> {
    let places = a.places().max(b.places());
    let (a, b) = (a.at_places(places)?, b.at_places(places)?);
    Some(Decimal::new(a.checked_sub(b)?.checked_abs()?, places))
}

fn larger(a: Option<Decimal>, b: Option<Decimal>) -> Option<Decimal> {
    let (Some(x), Some(y)) = (a, b) else {
        return a.or(b);
    };
    let places = x.places().max(y.places());
    let is_larger = x.at_places(places) >= y.at_places(places);
    Some(if is_larger { x } else { y })
}

/// Moves the rows that a run can have.
fn move_rows(from: &mut RowBatch, to: &mut RowBatch) {
    to.levels.append(&mut from.levels);
    to.closes.append(&mut from.closes);
    to.revisions.append(&mut from.revisions);
}
