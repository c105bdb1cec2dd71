//! The PostgreSQL that the follower writes to: the user's own, or a cluster that the daemon keeps.

use std::path::PathBuf;

use super::cluster::PrivateCluster;
use super::error::StoreError;
use super::follower::{Database, FollowError, Rows};
use super::rows::RowBatch;
use super::writer::Writer;
use super::{Keep, PartitionUnit};
use crate::clock::{Clock, WallClock};

/// Where the rows go.
#[derive(Debug)]
pub enum Backing {
    /// The user's own server.
    Url(Box<postgres::Config>),
    /// A cluster of the daemon's own in this directory.
    Private(PathBuf),
}

/// A server and what it is for.
#[derive(Debug)]
pub struct Server {
    backing: Backing,
    /// The width of a partition.
    partition: PartitionUnit,
    /// How long rows are kept.
    keep: Keep,
    /// Names the journal, so that the rows of two never mix.
    journal: String,
    cluster: Option<PrivateCluster>,
}

impl Server {
    /// This server for the rows of this journal.
    #[must_use]
    pub const fn new(
        backing: Backing,
        partition: PartitionUnit,
        keep: Keep,
        journal: String,
    ) -> Self {
        Self {
            backing,
            partition,
            keep,
            journal,
            cluster: None,
        }
    }
}

impl Database for Server {
    type Rows = Kept;

    /// Connects to the server, starting it where it is ours.
    fn connect(&mut self) -> Result<Kept, FollowError> {
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
        let mut writer = Writer::connect(&config, self.partition)?;
        writer.claim(&self.journal)?;
        Ok(Kept {
            writer,
            keep: self.keep,
        })
    }

    fn stop(&mut self) {
        if let Some(mut cluster) = self.cluster.take() {
            cluster.stop();
        }
    }
}

/// A writer, and how long what it has written is kept.
#[expect(
    missing_debug_implementations,
    reason = "a connection of the driver has nothing to show"
)]
pub struct Kept {
    writer: Writer,
    keep: Keep,
}

impl Rows for Kept {
    fn last_position(&mut self) -> Result<u64, StoreError> {
        self.writer.last_position()
    }

    fn write(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError> {
        self.writer.write(batch, position)
    }

    fn drop_old(&mut self) -> Result<(), StoreError> {
        // A partition that somebody reads is tried again; nothing else waits for it.
        match self.writer.drop_old(self.keep, WallClock.now()) {
            Err(error) if error.is_outage() => {
                tracing::warn!(%error, "old partitions are kept until the next try");
                Ok(())
            }
            outcome => outcome,
        }
    }
}
