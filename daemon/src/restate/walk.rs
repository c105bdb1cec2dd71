//! The walk: what should have been published, beside what was.

use std::collections::BTreeMap;

use divisor_engine::definition::Restate;
use divisor_engine::{Batch, Engine, Found, IndexId, Input, Output, Walk};

use super::span::Span;
use crate::store::Stored;
use crate::store::project::{close_row, level_row, revision_row};
use crate::store::rows::{CloseRow, LevelRow, RevisionRow, RowBatch};

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
    pub(super) rows: RowBatch,
}

/// What a batch should have given of one index, and what was published of it.
#[derive(Debug, Default)]
struct Rows<'a> {
    should: RowBatch,
    was: Published<'a>,
}

#[derive(Debug, Default)]
struct Published<'a> {
    levels: Vec<&'a LevelRow>,
    closes: Vec<&'a CloseRow>,
    revisions: Vec<&'a RevisionRow>,
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
            rows: RowBatch::default(),
        }
    }

    /// The same, where published levels are kept only from a position on.
    pub(crate) fn from(self, kept: u64) -> Self {
        Self { kept, ..self }
    }

    /// Covers an index from a position on, whatever the first difference is.
    pub(super) fn cover(&mut self, index: IndexId, from: u64) {
        let policy = self.engine().restates(index);
        self.spans.insert(index.0, Span::at(from, policy));
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
        self.rows.clear();
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
                    rows.entry(row.index).or_default().should.levels.push(row);
                }
                Output::Closed(closed) => {
                    let row = close_row(&closed);
                    rows.entry(row.index).or_default().should.closes.push(row);
                }
                Output::Revised(revised) => {
                    let mut row = revision_row(self.walk.engine(), &revised);
                    row.members.sort_by_key(|member| member.security);
                    let of = rows.entry(row.index).or_default();
                    of.should.revisions.push(row);
                }
                Output::Refused { position } => self.refused(batch, position)?,
                Output::Tick { .. }
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
            rows.entry(row.index).or_default().was.levels.push(row);
        }
        for row in &published.rows.closes {
            rows.entry(row.index).or_default().was.closes.push(row);
        }
        for row in &published.rows.revisions {
            rows.entry(row.index).or_default().was.revisions.push(row);
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
        let policy = self.engine().restates(IndexId(index));
        if policy == Restate::Never {
            return;
        }
        let (first, next) = (batch.first, batch.next());
        let Rows { mut should, was } = rows;
        should.levels.sort_by_key(|row| (row.position, row.seq));
        if policy == Restate::Closes {
            // Levels, and what they are made of, stay as they were published.
            should.levels.clear();
            should.revisions.clear();
        }
        let has_levels = policy == Restate::Full;
        let covered = self.covered.get(&index).into_iter().flatten();
        let is_covered = covered
            .clone()
            .any(|(from, until)| *from < next && first < *until);
        let is_equal = !is_covered
            && is_same(&should.closes, &was.closes, is_same_close)
            && (!has_levels
                || is_same(&should.levels, &was.levels, is_same_level)
                    && is_same(&should.revisions, &was.revisions, is_same_revision));
        if is_equal && !self.spans.contains_key(&index) {
            return;
        }
        let span = self
            .spans
            .entry(index)
            .or_insert_with(|| Span::at(first, policy));
        span.measure(&should.levels, &was.levels);
        for row in &mut should.levels {
            row.run = self.run;
            if !was.levels.iter().any(|was| is_same_level(row, was)) {
                row.status = RESTATED.into();
            }
        }
        for row in &mut should.closes {
            row.run = self.run;
        }
        for row in &mut should.revisions {
            row.run = self.run;
        }
        span.take(should, is_equal, next, &mut self.rows);
    }
}

fn is_same<T>(should: &[T], was: &[&T], is_same: impl Fn(&T, &T) -> bool) -> bool {
    should.len() == was.len() && should.iter().zip(was).all(|(a, b)| is_same(a, b))
}

/// Equal in all that a reader of the series sees. The numbers of publication may differ.
pub(super) fn is_same_level(a: &LevelRow, b: &LevelRow) -> bool {
    (a.level, a.prev_close, a.ts, a.stale) == (b.level, b.prev_close, b.ts, b.stale)
        && a.status == b.status
}

fn is_same_close(a: &CloseRow, b: &CloseRow) -> bool {
    (a.day, a.level, a.prev_close, a.divisor, a.soq)
        == (b.day, b.level, b.prev_close, b.divisor, b.soq)
        && a.status == b.status
        && a.body == b.body
}

fn is_same_revision(a: &RevisionRow, b: &RevisionRow) -> bool {
    (a.divisor, a.cash, a.effective) == (b.divisor, b.cash, b.effective)
        && a.body == b.body
        && a.members == b.members
}
