//! Replays what is stored and compares it with what was stored: the proof that everything
//! published can be reproduced (invariants 1, 3 and 4).
//!
//! A [`Walk`] goes through batches, from the journal or rebuilt from PostgreSQL's rows, applies
//! them to an engine of its own and puts the rows that follow beside the rows that are there.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use divisor_engine::{Batch, Engine, IndexId, SecurityId, Snapshot};

use crate::journal::{JournalReader, ReadError, Records, View};
use crate::record::{self, RecordError};
use crate::snapshots::Snapshots;
use crate::store::project::Projection;
use crate::store::rows::{
    ActionRow, BatchRow, CloseRow, CommandRow, HeldRow, IndexRow, LabelRow, LevelRow, RateRow,
    RevisionRow, RowBatch, SecurityRow, TickRow,
};
use crate::store::{History, HistoryError, Kept, Stored};

/// Why a comparison cannot be made. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// PostgreSQL.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The journal.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record of it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What is stored cannot have come from a journal.
    #[error("agree: {0}")]
    Different(#[from] Difference),
    /// There is no state to begin with.
    #[error(
        "replay the journal: it begins at position {oldest}, and no snapshot from there on can be \
         used (the rest may be in PostgreSQL: --source postgres, or `divisord restore`)"
    )]
    NoStart {
        /// Where the journal begins.
        oldest: u64,
    },
}

/// The first thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {what}")]
pub struct Difference {
    /// The journal position that it belongs to.
    pub position: u64,
    /// What differs.
    pub what: String,
}

/// How much has been compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commit batches.
    pub batches: u64,
    /// Prices.
    pub ticks: u64,
    /// Rates.
    pub rates: u64,
    /// Levels.
    pub levels: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// Where batches come from.
#[expect(
    missing_debug_implementations,
    reason = "a transaction of the driver has nothing to show"
)]
pub enum Batches<'a> {
    /// The journal, and beside it what is stored of the same batches.
    Journal(JournalReader, Option<History<'a>>),
    /// Rows alone.
    Postgres(History<'a>),
}

/// A replay under way.
#[expect(
    missing_debug_implementations,
    reason = "a transaction of the driver has nothing to show"
)]
pub struct Walk<'a> {
    batches: Batches<'a>,
    projection: Projection,
    /// The batch applied last.
    batch: Batch,
    /// The rows that follow from it.
    computed: RowBatch,
    /// The rows that are there, as far as PostgreSQL is.
    stored: Option<Stored>,
    /// Where the walk began.
    from: u64,
    counts: Counts,
    /// What is not stored any more is not compared.
    kept: Kept,
    /// What the batches that are stored have defined, as last defined, by id.
    securities: BTreeMap<u32, SecurityRow>,
    indexes: BTreeMap<u32, IndexRow>,
}

/// The oldest state from which a journal can be replayed: none at all where it begins at 0.
///
/// # Errors
/// [`VerifyError::NoStart`].
pub fn oldest_state(view: &View, snapshots: &Snapshots) -> Result<Engine, VerifyError> {
    if view.oldest == 0 {
        return Ok(Engine::new());
    }
    let positions = snapshots.positions().unwrap_or_default();
    let mut usable = positions
        .into_iter()
        .filter(|position| (view.oldest..=view.next).contains(position));
    let engine = usable.find_map(|position| snapshots.read(position).ok());
    engine.ok_or(VerifyError::NoStart {
        oldest: view.oldest,
    })
}

impl<'a> Walk<'a> {
    /// A walk from where `engine` is, where `batches` must begin.
    #[must_use]
    pub fn new(batches: Batches<'a>, engine: Engine) -> Self {
        let kept = match &batches {
            Batches::Journal(_, history) => history.as_ref().map(History::kept),
            Batches::Postgres(history) => Some(history.kept()),
        };
        Self {
            kept: kept.unwrap_or_default(),
            from: engine.next_position(),
            batches,
            projection: Projection::from(engine),
            batch: Batch::default(),
            computed: RowBatch::default(),
            stored: None,
            counts: Counts::default(),
            securities: BTreeMap::new(),
            indexes: BTreeMap::new(),
        }
    }

    /// The state behind the last batch.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        self.projection.engine()
    }

    /// The batch applied last.
    #[must_use]
    pub const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The levels that followed from it.
    #[must_use]
    pub fn levels(&self) -> &[LevelRow] {
        &self.computed.levels
    }

    /// The levels of it that are stored; none where PostgreSQL is not that far.
    #[must_use]
    pub fn stored_levels(&self) -> Option<&[LevelRow]> {
        self.stored.as_ref().map(|stored| &*stored.rows.levels)
    }

    /// What has been compared so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Applies the next batch; false behind the last.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn step(&mut self) -> Result<bool, VerifyError> {
        self.stored = None;
        match &mut self.batches {
            Batches::Journal(reader, history) => {
                let Some(record) = reader.next_record()? else {
                    return Ok(false);
                };
                record::decode(&record, &mut self.batch)?;
                if let Some(history) = history
                    && self.batch.first < history.reached()
                {
                    self.stored = Some(history.next_batch()?.unwrap_or_default());
                }
            }
            Batches::Postgres(history) => {
                let Some(stored) = history.next_batch()? else {
                    return Ok(false);
                };
                self.batch = history.batch(&stored)?;
                self.stored = Some(stored);
            }
        }
        self.computed.clear();
        let position = self.engine().next_position();
        if self.batch.first != position {
            let what = format!("the next batch begins at {}", self.batch.first);
            return Err(Difference { position, what }.into());
        }
        self.projection.apply(&self.batch, &mut self.computed);
        self.computed
            .levels
            .sort_by_key(|l| (l.position, l.index, l.seq));
        let revisions = &mut self.computed.revisions;
        revisions.sort_by_key(|r| (r.position, r.index, r.revision));
        self.computed
            .closes
            .sort_by_key(|c| (c.position, c.index, c.seq));
        for revision in revisions {
            revision.members.sort_by_key(|member| member.security);
        }
        if self.stored.is_some() {
            let (securities, indexes) = (&self.computed.securities, &self.computed.indexes);
            self.securities
                .extend(securities.iter().map(|row| (row.id, row.clone())));
            self.indexes
                .extend(indexes.iter().map(|row| (row.id, row.clone())));
        }
        Ok(true)
    }

    /// Compares everything that followed from the last batch with what is stored of it.
    #[must_use]
    pub fn compare(&mut self) -> Option<Difference> {
        let stored = self.stored.as_ref()?;
        let batch = &self.batch;
        if (stored.first, stored.next) != (batch.first, batch.next()) {
            return Some(Difference {
                position: batch.first,
                what: format!(
                    "PostgreSQL has a batch of positions {}..{}, the journal one of {}..{}",
                    stored.first,
                    stored.next,
                    batch.first,
                    batch.next()
                ),
            });
        }
        let (computed, stored, engine) = (&self.computed, &stored.rows, self.engine());
        let (prices, levels) = (
            batch.first >= self.kept.prices,
            batch.first >= self.kept.levels,
        );
        let first = [
            difference(&computed.batches, &stored.batches, engine),
            difference(&computed.labels, &stored.labels, engine),
            difference(&computed.commands, &stored.commands, engine),
            difference(&computed.ticks, &stored.ticks, engine).filter(|_| prices),
            difference(&computed.rates, &stored.rates, engine).filter(|_| prices),
            difference(&computed.levels, &stored.levels, engine).filter(|_| levels),
            difference(&computed.revisions, &stored.revisions, engine),
            difference(&computed.closes, &stored.closes, engine),
            difference(&computed.actions, &stored.actions, engine),
            difference(&computed.held, &stored.held, engine),
        ];
        self.counts.batches += 1;
        self.counts.ticks += stored.ticks.len() as u64;
        self.counts.rates += stored.rates.len() as u64;
        self.counts.levels += stored.levels.len() as u64;
        first.into_iter().flatten().min_by_key(|d| d.position)
    }

    /// Compares the state with the snapshot at this position, where there is one. A snapshot that
    /// cannot be read is one that nobody starts from.
    ///
    /// # Errors
    /// Never for what a disk holds; only a state that cannot be written as JSON.
    pub fn compare_snapshot(
        &mut self,
        snapshots: &Snapshots,
    ) -> Result<Option<Difference>, serde_json::Error> {
        let position = self.engine().next_position();
        let Ok(kept) = snapshots.read(position) else {
            return Ok(None);
        };
        self.counts.snapshots += 1;
        let kept = serde_json::to_vec(&Snapshot::of(kept))?;
        let computed = serde_json::to_vec(&Snapshot::of(self.engine().clone()))?;
        let place = kept.iter().zip(&computed).position(|(a, b)| a != b);
        let Some(place) = place.or((kept.len() != computed.len()).then_some(kept.len())) else {
            return Ok(None);
        };
        let around = |bytes: &[u8]| {
            let (from, to) = (place.saturating_sub(40), (place + 40).min(bytes.len()));
            String::from_utf8_lossy(&bytes[from.min(to)..to]).into_owned()
        };
        let what = format!(
            "the snapshot has …{}…, the replay …{}…",
            around(&kept),
            around(&computed)
        );
        Ok(Some(Difference { position, what }))
    }

    /// What is stored behind the last batch, which ought to be nothing.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn finish(&mut self) -> Result<Option<Difference>, VerifyError> {
        let position = self.engine().next_position();
        let history = match &mut self.batches {
            Batches::Journal(_, Some(history)) => {
                if history.reached() > position {
                    let what = format!(
                        "the journal ends here, PostgreSQL is at {}",
                        history.reached()
                    );
                    return Ok(Some(Difference { position, what }));
                }
                history
            }
            Batches::Journal(_, None) => return Ok(None),
            Batches::Postgres(history) => {
                if history.reached() != position {
                    let what = format!("the batches end here, not at {}", history.reached());
                    return Ok(Some(Difference { position, what }));
                }
                history
            }
        };
        let rest = history.rest()?;
        if !rest.is_empty() {
            let what = format!("{} rows lie behind the last position", rest.len());
            return Ok(Some(Difference { position, what }));
        }
        let (securities, indexes) = (history.securities()?, history.indexes()?);
        let engine = self.projection.engine();
        Ok(defined(&self.securities, securities, self.from, engine)
            .or_else(|| defined(&self.indexes, indexes, self.from, engine)))
    }
}

/// Compares the rows of a table that holds what was defined last. What was defined before the walk
/// began is left to the walk from the beginning.
fn defined<R: Told + Clone>(
    computed: &BTreeMap<u32, R>,
    mut stored: Vec<R>,
    from: u64,
    engine: &Engine,
) -> Option<Difference> {
    stored.retain(|row| row.key().0 >= from);
    let computed: Vec<R> = computed.values().cloned().collect();
    let by_id = |row: &R| row.key().1;
    let place = computed.iter().zip(&stored).position(|(a, b)| a != b);
    let place = place.unwrap_or(computed.len().min(stored.len()));
    let (follows, there) = (computed.get(place), stored.get(place));
    match (follows, there) {
        (None, None) => None,
        // Two rows of different ids: the lower one has no partner.
        (Some(a), Some(b)) if by_id(a) < by_id(b) => {
            difference(&computed[place..=place], &[], engine)
        }
        (Some(a), Some(b)) if by_id(a) > by_id(b) => {
            difference(&[], &stored[place..=place], engine)
        }
        _ => difference(&computed[place..], &stored[place..], engine),
    }
}

/// A row that can be told to people.
trait Told: PartialEq + fmt::Debug {
    /// What the rows of a table are ordered by: the position first.
    fn key(&self) -> (u64, u32, u64);
    fn tell(&self, engine: &Engine) -> String;

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// The first pair of rows that differs.
fn difference<R: Told>(computed: &[R], stored: &[R], engine: &Engine) -> Option<Difference> {
    let pairs = computed.iter().zip(stored);
    let place = pairs
        .clone()
        .position(|(a, b)| !a.is_same(b))
        .or((computed.len() != stored.len()).then_some(computed.len().min(stored.len())))?;
    let (mut computed, mut stored) = (computed.get(place), stored.get(place));
    if let (Some(follows), Some(there)) = (computed, stored) {
        // One that is missing on one side stands opposite the next.
        match follows.key().cmp(&there.key()) {
            Ordering::Less => stored = None,
            Ordering::Greater => computed = None,
            Ordering::Equal => {}
        }
    }
    let (position, ..) = computed.or(stored)?.key();
    let tell = |row: Option<&R>| row.map_or_else(|| "nothing".to_owned(), |row| row.tell(engine));
    let (mut there, mut follows) = (tell(stored), tell(computed));
    if there == follows {
        // They differ in what is not worth a word elsewhere.
        (there, follows) = (format!("{stored:?}"), format!("{computed:?}"));
    }
    Some(Difference {
        position,
        what: format!("PostgreSQL has {there}, the replay gives {follows}"),
    })
}

/// The first row of a run that differs.
pub(crate) fn run_difference(
    computed: &RowBatch,
    stored: &RowBatch,
    engine: &Engine,
) -> Option<Difference> {
    difference(&computed.levels, &stored.levels, engine)
        .or_else(|| difference(&computed.closes, &stored.closes, engine))
        .or_else(|| difference(&computed.revisions, &stored.revisions, engine))
}

/// The first level that differs, for replays that look at nothing else.
#[must_use]
pub fn level_difference(
    computed: &[LevelRow],
    stored: &[LevelRow],
    engine: &Engine,
) -> Option<Difference> {
    difference(computed, stored, engine)
}

impl Told for BatchRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, 0, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        format!("a batch at {} of {}", self.position, self.time)
    }
}

impl Told for LabelRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, 0, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        format!("label {} `{}`", self.id, self.text)
    }
}

impl Told for CommandRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, 0, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        format!("command `{}` of `{}`", self.verb, self.client)
    }
}

impl Told for TickRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.origin.position, 0, 0)
    }

    fn tell(&self, engine: &Engine) -> String {
        let security = engine.security(SecurityId(self.security));
        let symbol = security.map_or("?", |s| s.definition.symbol.as_str());
        let (price, effect, ts) = (self.price, self.origin.effect, self.origin.ts);
        format!("{symbol} at {price} of {ts}, {effect:?}")
    }
}

impl Told for RateRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.origin.position, 0, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        let (base, quote, rate) = (&self.base, &self.quote, self.rate);
        format!("{base}/{quote} at {rate} of {}", self.origin.ts)
    }
}

impl Told for LevelRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.index, self.seq)
    }

    fn tell(&self, engine: &Engine) -> String {
        let code = engine.index_code(IndexId(self.index)).unwrap_or("?");
        format!(
            "level {} of {code} {} at {}",
            self.seq, self.level, self.position
        )
    }

    /// A level is the same with its places.
    fn is_same(&self, other: &Self) -> bool {
        self == other && self.level.places() == other.level.places()
    }
}

impl Told for ActionRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.place.into(), 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        format!("a {} with {}", self.kind, self.body)
    }
}

impl Told for HeldRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, 0, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        format!("a doubt ({}, beside {})", self.doubt, self.reference)
    }
}

impl Told for RevisionRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.index, self.revision.into())
    }

    fn tell(&self, engine: &Engine) -> String {
        let code = engine.index_code(IndexId(self.index)).unwrap_or("?");
        let divisor = self.divisor.map_or("none".to_owned(), |d| d.to_string());
        let members = self.members.iter().map(|member| {
            let security = engine.security(SecurityId(member.security));
            let symbol = security.map_or("?", |s| s.definition.symbol.as_str());
            format!("{} {symbol}", member.coefficient.normalized())
        });
        let members: Vec<String> = members.collect();
        format!(
            "revision {} of {code} with divisor {divisor} and the basket {}",
            self.revision,
            members.join(", ")
        )
    }
}

impl Told for SecurityRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.id, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        let name = self.name.as_deref().unwrap_or("without a name");
        let (currency, places) = (&self.currency, self.price_places);
        format!(
            "the {} security `{}` ({name}, {currency} with {places} places) as {}",
            self.life, self.symbol, self.body
        )
    }
}

impl Told for IndexRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.id, 0)
    }

    fn tell(&self, _engine: &Engine) -> String {
        let name = self.name.as_deref().unwrap_or("without a name");
        let (code, currency, life) = (&self.code, &self.currency, &self.life);
        format!(
            "the {life} index `{code}` ({name}, {currency}) as {}",
            self.body
        )
    }
}

impl Told for CloseRow {
    fn key(&self) -> (u64, u32, u64) {
        (self.position, self.index, self.seq)
    }

    fn tell(&self, engine: &Engine) -> String {
        let code = engine.index_code(IndexId(self.index)).unwrap_or("?");
        let (day, level, status) = (self.day, self.level, &self.status);
        format!("the close of {code} on {day}, {level}, {status}")
    }
}
