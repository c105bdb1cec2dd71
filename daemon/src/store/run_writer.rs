//! Writes the rows of a run beside the follower, on a connection of its own.

use postgres::{Client, Statement};

use super::encode::CopyBuffer;
use super::error::StoreError;
use super::partition::{PartitionUnit, Partitions};
use super::rare;
use super::rows::{LevelRow, RowBatch};
use super::writer::{copy, copy_sql};

/// A connection that stages rows of runs, which count only later.
#[expect(
    missing_debug_implementations,
    reason = "a connection of the driver has nothing to show"
)]
pub struct RunWriter {
    client: Client,
    levels: Statement,
    members: Statement,
    buffer: CopyBuffer,
}

impl RunWriter {
    /// Writes over this connection, whose schema is up to date.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn over(mut client: Client) -> Result<Self, StoreError> {
        let during = StoreError::during;
        client
            .batch_execute("set timezone = 'UTC'; set statement_timeout = 0")
            .map_err(during("set up the session"))?;
        let levels = client.prepare(&copy_sql::<LevelRow>());
        let members = client.prepare(super::writer::COPY_MEMBERS);
        Ok(Self {
            levels: levels.map_err(during("prepare the statements"))?,
            members: members.map_err(during("prepare the statements"))?,
            client,
            buffer: CopyBuffer::default(),
        })
    }

    /// The connection, for what is no row.
    pub const fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Writes rows in a transaction of their own.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is there then.
    pub fn write(&mut self, unit: PartitionUnit, batch: &RowBatch) -> Result<(), StoreError> {
        let mut tx = self
            .client
            .transaction()
            .map_err(StoreError::during("begin a transaction"))?;
        Partitions::new(unit).ensure(&mut tx, batch)?;
        rare::write(&mut tx, batch, &self.members, &mut self.buffer)?;
        copy(&mut tx, &self.levels, &batch.levels, &mut self.buffer)?;
        tx.commit().map_err(StoreError::during("commit"))
    }
}
