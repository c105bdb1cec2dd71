//! The walk: what should have been published, beside what was.

use std::collections::BTreeMap;

use divisor_engine::definition::Restate;
use divisor_engine::{Batch, Decimal, Engine, Found, IndexId, Input, Output, Time, Walk};

use crate::store::Stored;
use crate::store::project::{close_row, level_row};
use crate::store::rows::{CloseRow, LevelRow};

/// Rows of an index that are equal so far and may lie before another difference. With more the run
/// covers them rather than keep them.
const PENDING_MAX: usize = 50_000;

/// How the status of a level reads that was restated.
const RESTATED: &str = "restated";

/// Positions that an earlier run covers, by index.
pub(crate) type Covered = BTreeMap<u32, Vec<(u64, u64)>>;

/// The past as it should have been, up to some position.
#[derive(Debug)]
pub(crate) struct Corrected {
    walk: Walk,
    /// Where the walk has begun.
    begun: u64,
    /// Levels before this position are not kept any more: there is nothing to restate.
    kept: u64,
    run: u32,
    covered: Covered,
    spans: BTreeMap<u32, Span>,
    /// Rows of the run that are to be written.
    pub(super) levels: Vec<LevelRow>,
    pub(super) closes: Vec<CloseRow>,
}

/// What a batch should have given of one index, and what was published of it.
#[derive(Debug, Default)]
struct Rows<'a> {
    levels: Vec<LevelRow>,
    closes: Vec<CloseRow>,
    were: Vec<&'a LevelRow>,
    closed: Vec<&'a CloseRow>,
}

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
    pending_levels: Vec<LevelRow>,
    pending_closes: Vec<CloseRow>,
}

impl Corrected {
    /// From the beginning of a walk.
    pub(crate) fn new(run: u32, walk: Walk, covered: Covered) -> Self {
        Self {
            begun: walk.engine().next_position(),
            walk,
            kept: 0,
            run,
            covered,
            spans: BTreeMap::new(),
            levels: Vec::new(),
            closes: Vec::new(),
        }
    }

    /// The same, where published levels are kept only from a position on.
    pub(crate) fn from(self, kept: u64) -> Self {
        Self { kept, ..self }
    }

    /// The state behind the last batch.
    pub(crate) const fn engine(&self) -> &Engine {
        self.walk.engine()
    }

    /// The same with what it still has to edit.
    pub(super) const fn walk(&self) -> &Walk {
        &self.walk
    }

    /// The position that the walk has begun with.
    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    /// What differs, by index.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (IndexId, &Span)> {
        self.spans.iter().map(|(id, span)| (IndexId(*id), span))
    }

    /// The same as an input tells it.
    pub(crate) fn found(&self) -> Vec<Found> {
        let found = |(index, span): (IndexId, &Span)| Found {
            index,
            span: span.times,
            levels: span.levels,
            closes: span.closes,
            largest: span.largest,
        };
        self.spans().map(found).collect()
    }

    /// Drops the rows that have gathered, for a walk that only looks.
    pub(super) fn forget_rows(&mut self) {
        self.levels.clear();
        self.closes.clear();
    }

    /// Goes one batch further.
    ///
    /// # Errors
    /// Why the edits cannot be: definitions that were good do not fit the corrected past.
    pub(crate) fn step(&mut self, batch: &Batch, published: &Stored) -> Result<(), String> {
        self.walk.apply(batch);
        let mut rows: BTreeMap<u32, Rows<'_>> = BTreeMap::new();
        while let Some(output) = self.walk.poll_output() {
            match output {
                Output::Level(level) => {
                    let row = level_row(&level);
                    rows.entry(row.index).or_default().levels.push(row);
                }
                Output::Closed(closed) => {
                    let row = close_row(&closed);
                    rows.entry(row.index).or_default().closes.push(row);
                }
                Output::Refused { position } => self.refused(batch, position)?,
                Output::Tick { .. }
                | Output::Revised(_)
                | Output::Action(_)
                | Output::Life(_)
                | Output::Held(_)
                | Output::Status { .. }
                | Output::Quotation(_)
                | Output::Restated(_)
                | Output::RunFailed { .. } => {}
            }
        }
        if batch.first < self.kept {
            return Ok(());
        }
        for row in &published.rows.levels {
            rows.entry(row.index).or_default().were.push(row);
        }
        for row in &published.rows.closes {
            rows.entry(row.index).or_default().closed.push(row);
        }
        for (index, rows) in rows {
            self.compare(index, batch, rows);
        }
        Ok(())
    }

    /// Orders may have lost their object; definitions must fit.
    fn refused(&self, batch: &Batch, position: u64) -> Result<(), String> {
        let place = usize::try_from(position.saturating_sub(batch.first)).unwrap_or(usize::MAX);
        match batch.inputs.get(place) {
            Some(Input::Operate { .. }) => Ok(()),
            _ => Err(format!(
                "the definitions at position {position} do not fit the corrected past"
            )),
        }
    }

    fn compare(&mut self, index: u32, batch: &Batch, rows: Rows<'_>) {
        let Rows {
            mut levels,
            closes,
            were,
            closed,
        } = rows;
        levels.sort_by_key(|row| (row.position, row.seq));
        let policy = self.engine().restates(IndexId(index));
        if policy == Restate::Never {
            return;
        }
        let has_levels = policy == Restate::Full;
        let equal_levels = levels.len() == were.len()
            && levels.iter().zip(&were).all(|(a, b)| is_same_level(a, b));
        let equal_closes = closes.len() == closed.len()
            && closes.iter().zip(&closed).all(|(a, b)| is_same_close(a, b));
        let (first, next) = (batch.first, batch.next());
        let covered = self.covered.get(&index).into_iter().flatten();
        let is_covered = covered
            .clone()
            .any(|(from, until)| *from < next && first < *until);
        let is_equal = (equal_levels || !has_levels) && equal_closes && !is_covered;
        if is_equal && !self.spans.contains_key(&index) {
            return;
        }
        let span = self
            .spans
            .entry(index)
            .or_insert_with(|| Span::at(first, policy));
        span.measure(&levels, &were, has_levels);
        for row in &mut levels {
            row.run = self.run;
            if !were.iter().any(|was| is_same_level(row, was)) {
                row.status = RESTATED.into();
            }
        }
        if has_levels {
            span.pending_levels.append(&mut levels);
        }
        let run = self.run;
        span.pending_closes
            .extend(closes.into_iter().map(|row| CloseRow { run, ..row }));
        if !is_equal || span.pending_levels.len() > PENDING_MAX {
            span.until = next;
            span.levels += span.pending_levels.len() as u64;
            span.closes += span.pending_closes.len() as u64;
            self.levels.append(&mut span.pending_levels);
            self.closes.append(&mut span.pending_closes);
        }
    }
}

impl Span {
    const fn at(from: u64, policy: Restate) -> Self {
        Self {
            from,
            until: from,
            policy,
            times: None,
            levels: 0,
            closes: 0,
            largest: None,
            pending_levels: Vec::new(),
            pending_closes: Vec::new(),
        }
    }

    /// Notes how far levels are from those that were published.
    fn measure(&mut self, levels: &[LevelRow], were: &[&LevelRow], has_levels: bool) {
        if !has_levels {
            return;
        }
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

/// Equal in all that a reader of the series sees. The numbers of publication may differ.
fn is_same_level(a: &LevelRow, b: &LevelRow) -> bool {
    (a.level, a.prev_close, a.ts, a.stale) == (b.level, b.prev_close, b.ts, b.stale)
        && a.status == b.status
}

fn is_same_close(a: &CloseRow, b: &CloseRow) -> bool {
    (a.day, a.level, a.prev_close, a.divisor, a.soq)
        == (b.day, b.level, b.prev_close, b.divisor, b.soq)
        && a.status == b.status
        && a.body == b.body
}
