//! The store's thread: follows the journal and keeps PostgreSQL up with it.
//!
//! It reads committed records, never the sequencer's memory, so that catching up after an outage,
//! starting after a crash and normal running are one path. PostgreSQL says how far it is; from
//! there on every record becomes rows, and each transaction carries its position (invariant 4).
//! Nobody waits for this thread.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use divisor_engine::{Batch, Time};

use super::cluster::{ClusterError, PrivateCluster};
use super::error::StoreError;
use super::project::Projection;
use super::rows::RowBatch;
use super::writer::Writer;
use super::{MigrateError, PartitionUnit};
use crate::health::Health;
use crate::journal::{JournalReader, ReadError, Records, Source};
use crate::record::{self, RecordError, ReplayError};
use crate::snapshots::Snapshots;

/// How long a failed connection rests before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// The same where trying again is not expected to help: a schema of a newer version, a database of
/// another journal. An operator may still mend it while the daemon runs.
const RETRY_REFUSED: Duration = Duration::from_secs(15);

/// How often a sleeping thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where the rows go.
#[derive(Debug)]
pub enum Backing {
    /// The user's own server.
    Url(Box<postgres::Config>),
    /// A cluster of the daemon's own in this directory.
    Private(PathBuf),
}

/// How the follower works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Rows in one transaction, about.
    pub batch_rows_max: usize,
    /// The pause between two transactions, unless a full batch waits.
    pub flush_interval: Duration,
    /// The width of a partition.
    pub partition: PartitionUnit,
    /// Names the journal, so that the rows of two never mix.
    pub journal: String,
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
pub struct Follower {
    backing: Backing,
    cluster: Option<PrivateCluster>,
    source: Source,
    snapshots: Snapshots,
    health: Health,
    settings: Settings,
    /// The state behind the rows at hand, and the reader that goes on from there.
    progress: Option<Progress>,
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

impl Follower {
    /// A follower of this journal.
    #[must_use]
    pub const fn new(
        backing: Backing,
        source: Source,
        snapshots: Snapshots,
        health: Health,
        settings: Settings,
    ) -> Self {
        Self {
            backing,
            cluster: None,
            source,
            snapshots,
            health,
            settings,
            progress: None,
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
        let outcome = self.connect().map(drop);
        if let Err(error) = &outcome {
            self.report(error);
        }
        outcome
    }

    /// Follows until the journal is closed and everything is projected, or `give_up` says so.
    pub fn run(mut self, give_up: impl Fn() -> bool) {
        while !self.is_done() && !give_up() {
            let Err(error) = self.session(&give_up) else {
                continue;
            };
            self.report(&error);
            if self.source.watermark().is_closed() {
                // At the end nobody waits for a server to come back: the journal has it all.
                break;
            }
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
        if let Some(mut cluster) = self.cluster.take() {
            cluster.stop();
        }
    }

    /// One connection: aligns with the database and follows until something fails.
    fn session(&mut self, give_up: &impl Fn() -> bool) -> Result<(), FollowError> {
        let mut writer = self.connect()?;
        self.align(writer.last_position()?)?;
        self.recovered();
        let mut written = Instant::now();
        while !give_up() {
            let Some(progress) = &mut self.progress else {
                return Ok(());
            };
            progress.gather(self.settings.batch_rows_max)?;
            let position = progress.projection.next_position();
            if position == progress.from {
                if progress.reader.is_finished() {
                    return Ok(());
                }
                progress.reader.wait(PATIENCE);
                continue;
            }
            let closed = self.source.watermark().is_closed();
            let rest = self
                .settings
                .flush_interval
                .saturating_sub(written.elapsed());
            if progress.rows.len() < self.settings.batch_rows_max && !closed && !rest.is_zero() {
                std::thread::sleep(rest.min(PATIENCE));
                continue;
            }
            writer.write(&progress.rows, position)?;
            written = Instant::now();
            progress.rows.clear();
            progress.from = position;
            self.health.set_projected(position);
        }
        Ok(())
    }

    /// Connects to the server, starting it where it is ours.
    fn connect(&mut self) -> Result<Writer, FollowError> {
        let config = match &self.backing {
            Backing::Url(config) => config.as_ref().clone(),
            Backing::Private(dir) => {
                let cluster = match &mut self.cluster {
                    Some(cluster) => cluster,
                    none => none.insert(PrivateCluster::start(dir)?),
                };
                cluster.ensure_running()?;
                cluster.config()
            }
        };
        let mut writer = Writer::connect(&config, self.settings.partition)?;
        writer.claim(&self.settings.journal)?;
        Ok(writer)
    }

    /// Brings the rows at hand in line with where the database is. A transaction whose answer was
    /// lost may be there or not; its position tells.
    fn align(&mut self, database: u64) -> Result<(), FollowError> {
        self.health.set_projected(database);
        if let Some(progress) = &mut self.progress {
            if database == progress.from {
                return Ok(());
            }
            if database == progress.projection.next_position() {
                progress.rows.clear();
                progress.from = database;
                return Ok(());
            }
        }
        let journal = self.source.watermark().position();
        if database > journal {
            return Err(FollowError::Ahead { database, journal });
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
