//! The PostgreSQL that the follower writes to: the user's own, or a cluster that the daemon keeps.

use std::path::PathBuf;

use super::PartitionUnit;
use super::cluster::PrivateCluster;
use super::error::StoreError;
use super::follower::{Database, FollowError, Rows};
use super::rows::RowBatch;
use super::writer::Writer;

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
    /// Names the journal, so that the rows of two never mix.
    journal: String,
    cluster: Option<PrivateCluster>,
}

impl Server {
    /// This server for the rows of this journal.
    #[must_use]
    pub const fn new(backing: Backing, partition: PartitionUnit, journal: String) -> Self {
        Self {
            backing,
            partition,
            journal,
            cluster: None,
        }
    }
}

impl Database for Server {
    type Rows = Writer;

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
        let mut writer = Writer::connect(&config, self.partition)?;
        writer.claim(&self.journal)?;
        Ok(writer)
    }

    fn stop(&mut self) {
        if let Some(mut cluster) = self.cluster.take() {
            cluster.stop();
        }
    }
}

impl Rows for Writer {
    fn last_position(&mut self) -> Result<u64, StoreError> {
        Self::last_position(self)
    }

    fn write(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError> {
        Self::write(self, batch, position)
    }
}
