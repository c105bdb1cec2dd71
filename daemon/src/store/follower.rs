//! The store's thread: follows the journal and keeps PostgreSQL up with it.
//!
//! It reads committed records, never the sequencer's memory, so that catching up after an outage,
//! starting after a crash and normal running are one path. PostgreSQL says how far it is; from
//! there on every record becomes rows, and each transaction carries its position (invariant 4).
//! Nobody waits for this thread.

use std::time::{Duration, Instant};

use divisor_engine::{Batch, Time};

use super::MigrateError;
use super::cluster::ClusterError;
use super::error::StoreError;
use super::project::Projection;
use super::rows::RowBatch;
use crate::crash::Point;
use crate::defect::Defect;
use crate::health::Health;
use crate::journal::{JournalReader, ReadError, Records, Source};
use crate::record::{self, RecordError, ReplayError};
use crate::snapshots::Snapshots;

/// How long a failed connection rests before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// The same where trying again is not expected to help: a schema of a newer version, a database of
/// another journal. An operator may still mend it while the daemon runs.
const RETRY_REFUSED: Duration = Duration::from_secs(15);

/// How often old rows are looked for.
const TIDY: Duration = Duration::from_secs(3_600);

/// How often a sleeping thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(100);

/// A database that can be connected to, again and again.
pub trait Database {
    /// A connection.
    type Rows: Rows;

    /// Connects, with everything in place that rows need.
    ///
    /// # Errors
    /// Why there is no database now.
    fn connect(&mut self) -> Result<Self::Rows, FollowError>;

    /// The follower has ended.
    fn stop(&mut self);
}

/// A connection that takes rows.
pub trait Rows {
    /// The journal position up to which everything is in the database; 0 in a new one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_position(&mut self) -> Result<u64, StoreError>;

    /// Writes a batch and moves the database's position to `position`, or does nothing at all.
    ///
    /// # Errors
    /// [`StoreError`]. After an outage it is unknown whether the batch is there; the next
    /// connection's [`Self::last_position`] tells.
    fn write(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError>;

    /// Drops what need not be kept. Called now and then, while everything committed is here.
    ///
    /// # Errors
    /// [`StoreError`].
    fn drop_old(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// How the follower works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Rows in one transaction, about.
    pub batch_rows_max: usize,
    /// The pause between two transactions, unless a full batch waits.
    pub flush_interval: Duration,
}

/// Why the store does not project.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The private cluster.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// The journal cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// A record makes no sense.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The journal cannot be replayed.
    #[error("{0}")]
    Replay(#[from] ReplayError),
    /// The database is ahead of the journal.
    #[error(
        "the database is at position {database}, the journal ends at {journal}: it belongs to \
         another or newer state directory"
    )]
    Ahead {
        /// The database's position.
        database: u64,
        /// The journal's.
        journal: u64,
    },
    /// The database is behind what the journal holds.
    #[error(
        "the database is at position {database}, the journal begins at {oldest} and no snapshot \
         lies before: it has lost rows (restore a newer backup of it)"
    )]
    Behind {
        /// The database's position.
        database: u64,
        /// Where the journal begins.
        oldest: u64,
    },
}

impl FollowError {
    /// True when trying again soon may help.
    fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_outage(),
            Self::Cluster(error) => !error.needs_operator(),
            Self::Read(_) | Self::Record(_) | Self::Replay(_) => false,
            Self::Ahead { .. } | Self::Behind { .. } => false,
        }
    }

    /// True for a database that holds the rows of another journal.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::Store(StoreError::ForeignJournal { .. }))
    }

    /// True for a server that is too old: an error of the set-up, not an outage.
    #[must_use]
    pub const fn is_wrong_version(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Migrate(MigrateError::TooOld { .. }))
        )
    }
}

/// The follower, before its thread starts.
#[derive(Debug)]
pub struct Follower<D: Database> {
    database: D,
    /// The connection at hand.
    rows: Option<D::Rows>,
    source: Source,
    snapshots: Snapshots,
    health: Health,
    settings: Settings,
    /// The state behind the rows at hand, and the reader that goes on from there.
    progress: Option<Progress>,
    /// When a transaction was written last.
    written: Option<Instant>,
    /// When old rows were dropped last.
    tidied: Option<Instant>,
    /// What was said last of a trouble, so that a log does not repeat itself every second.
    trouble: Option<String>,
}

/// How far rows were made.
#[derive(Debug)]
struct Progress {
    projection: Projection,
    reader: JournalReader,
    rows: RowBatch,
    /// Where the rows at hand begin.
    from: u64,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A transaction was written.
    Wrote,
    /// Rows are at hand, and the pause between two transactions is not over.
    Pause(Duration),
    /// Everything that is committed is in the database.
    Idle,
    /// And nothing more will come.
    Finished,
}

impl<D: Database> Follower<D> {
    /// A follower of this journal.
    #[must_use]
    pub const fn new(
        database: D,
        source: Source,
        snapshots: Snapshots,
        health: Health,
        settings: Settings,
    ) -> Self {
        Self {
            database,
            rows: None,
            source,
            snapshots,
            health,
            settings,
            progress: None,
            written: None,
            tidied: None,
            trouble: None,
        }
    }

    /// The first try, so that what is wrong with the set-up shows at the start. Whatever comes of
    /// it, [`Self::run`] goes on from there.
    ///
    /// Call it from the thread that will call [`Self::run`]: the private cluster ends with it.
    ///
    /// # Errors
    /// Why there is no database now.
    pub fn prepare(&mut self) -> Result<(), FollowError> {
        let outcome = self.database.connect().map(drop);
        if let Err(error) = &outcome {
            self.report(error);
        }
        outcome
    }

    /// Follows until the journal is closed and everything is projected, or `give_up` says so.
    pub fn run(mut self, give_up: impl Fn() -> bool) {
        while !self.is_done() && !give_up() {
            match self.step() {
                Ok(Step::Wrote) => {}
                Ok(Step::Pause(rest)) => std::thread::sleep(rest.min(PATIENCE)),
                Ok(Step::Idle) => {
                    let position = self.progress.as_ref().map_or(0, |p| p.reader.position());
                    self.source.watermark().wait(position, PATIENCE);
                }
                Ok(Step::Finished) => break,
                // At the end nobody waits for a server to come back: the journal has it all.
                Err(_) if self.source.watermark().is_closed() => break,
                Err(error) => self.rest(&error, &give_up),
            }
        }
        self.rows = None;
        self.database.stop();
    }

    /// Waits before the next try.
    fn rest(&self, error: &FollowError, give_up: &impl Fn() -> bool) {
        let rest = if error.is_outage() {
            RETRY
        } else {
            RETRY_REFUSED
        };
        let until = Instant::now() + rest;
        while Instant::now() < until && !give_up() && !self.source.watermark().is_closed() {
            std::thread::sleep(PATIENCE);
        }
    }

    /// One step: connects where there is no connection, and writes one transaction.
    ///
    /// # Errors
    /// What ended the connection; the next step makes another.
    pub(crate) fn step(&mut self) -> Result<Step, FollowError> {
        self.health.set_store_waits(true);
        let outcome = self.try_step();
        self.health.set_store_waits(false);
        if let Err(error) = &outcome {
            self.rows = None;
            self.report(error);
        }
        outcome
    }

    fn try_step(&mut self) -> Result<Step, FollowError> {
        if self.rows.is_none() {
            let mut rows = self.database.connect()?;
            self.align(rows.last_position()?)?;
            self.rows = Some(rows);
            self.recovered();
        }
        let (Some(rows), Some(progress)) = (&mut self.rows, &mut self.progress) else {
            return Ok(Step::Idle);
        };
        if let Err(error) = progress.gather(self.settings.batch_rows_max) {
            // Reader and projection may be apart now: the next step begins anew.
            self.progress = None;
            return Err(error);
        }
        let position = progress.projection.next_position();
        if position == progress.from {
            if progress.reader.is_finished() {
                return Ok(Step::Finished);
            }
            if self.tidied.is_none_or(|tidied| tidied.elapsed() >= TIDY) {
                self.tidied = Some(Instant::now());
                rows.drop_old()?;
            }
            return Ok(Step::Idle);
        }
        let interval = self.settings.flush_interval;
        let rest = self.written.map_or(interval, |written| {
            interval.saturating_sub(written.elapsed())
        });
        let closed = self.source.watermark().is_closed();
        if progress.rows.len() < self.settings.batch_rows_max && !closed && !rest.is_zero() {
            self.written.get_or_insert_with(Instant::now);
            return Ok(Step::Pause(rest));
        }
        if Defect::TickLost.is_on() {
            progress.rows.ticks.pop();
        }
        if Defect::LevelLost.is_on() {
            progress.rows.levels.pop();
        }
        Point::TransactionDue.pass();
        rows.write(&progress.rows, position)?;
        Point::Committed.pass();
        self.written = Some(Instant::now());
        progress.rows.clear();
        progress.from = position;
        let time = progress.projection.engine().time();
        self.health.set_projected(position, time);
        Ok(Step::Wrote)
    }

    /// Brings the rows at hand in line with where the database is. A transaction whose answer was
    /// lost may be there or not; its position tells.
    fn align(&mut self, database: u64) -> Result<(), FollowError> {
        let journal = self.source.watermark().position();
        if database > journal {
            return Err(FollowError::Ahead { database, journal });
        }
        // Only a position of this journal lets go of what comes before it.
        self.health.set_projected(database, Time::MIN);
        if let Some(progress) = &mut self.progress {
            if database == progress.from || Defect::AnswerIgnored.is_on() {
                return Ok(());
            }
            if database == progress.projection.next_position() {
                progress.rows.clear();
                progress.from = database;
                return Ok(());
            }
        }
        let engine = self.snapshots.newest(database).unwrap_or_default();
        let records = self.source.reader_from(engine.next_position());
        let mut records = records.map_err(|error| match error {
            ReadError::OutOfReach { oldest, .. } => FollowError::Behind { database, oldest },
            error @ (ReadError::Io { .. }
            | ReadError::Damaged { .. }
            | ReadError::Missing { .. }
            | ReadError::Version { .. }) => error.into(),
        })?;
        let engine = record::replay(engine, &mut records, Some(database))?;
        self.progress = Some(Progress {
            reader: self.source.reader_from(engine.next_position())?,
            from: engine.next_position(),
            projection: Projection::from(engine),
            rows: RowBatch::default(),
        });
        Ok(())
    }

    fn is_done(&self) -> bool {
        let empty = |p: &Progress| p.reader.is_finished() && p.rows.is_empty();
        let nothing = self.progress.is_none() && self.source.watermark().position() == 0;
        self.source.watermark().is_closed()
            && (nothing || self.progress.as_ref().is_some_and(empty))
    }

    fn report(&mut self, error: &FollowError) {
        let text = error.to_string();
        if self.trouble.as_deref() != Some(&text) {
            tracing::warn!(
                error = %text,
                "PostgreSQL is away: levels go on, the journal keeps what is to be stored"
            );
        }
        self.health.set_store_trouble(Some(text.clone()));
        self.trouble = Some(text);
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("PostgreSQL is back: catching up from the journal");
        }
        self.health.set_store_trouble(None);
    }
}

impl Progress {
    /// Turns committed records into rows until a batch is full or there are no more.
    fn gather(&mut self, rows_max: usize) -> Result<(), FollowError> {
        let mut batch = Batch {
            first: 0,
            time: Time::MIN,
            inputs: Vec::new(),
        };
        while self.rows.len() < rows_max {
            let Some(record) = self.reader.next_record()? else {
                break;
            };
            record::decode(&record, &mut batch)?;
            self.projection.apply(&batch, &mut self.rows);
        }
        Ok(())
    }
}
