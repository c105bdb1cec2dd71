//! Writes batches of rows, each in one transaction that ends with the journal position it reaches.
//!
//! A batch begins by locking the row of `projection`, so that a second writer waits and then sees
//! that it was overtaken, and ends by moving it. Whatever breaks in between, PostgreSQL holds
//! exactly the rows up to the position it tells: after an error, connect again and go on from
//! [`Writer::last_position`].

use std::io::Write as _;
use std::time::Duration;

use divisor_engine::Time;
use postgres::{Client, Config, NoTls, Statement, Transaction};

use super::bulk::BulkRow;
use super::candles::Candles;
use super::encode::CopyBuffer;
use super::error::StoreError;
use super::migrate::migrate;
use super::partition::{PartitionUnit, Partitions};
use super::rare;
use super::retention::{self, Keep};
use super::rows::{BatchRow, LevelRow, RateRow, RowBatch, TickRow};

/// A chunk of a COPY stream: large enough that a message's cost vanishes, small enough that the
/// server works while the next one is encoded.
const CHUNK_BYTES: usize = 128 << 10;

/// How long a lock of somebody else (an ALTER TABLE, a second writer) is waited for, before the
/// batch is given up and tried again.
const LOCK_TIMEOUT: &str = "30s";

/// After this a dead network is an error; the kernel's own patience is a quarter of an hour.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Takes the members of baskets.
pub(crate) const COPY_MEMBERS: &str = "copy basket_member (index_id, revision, run, \
     security_id, coefficient, price, weight) from stdin with (format binary)";

/// The only writer of a database.
#[expect(
    missing_debug_implementations,
    reason = "a connection of the driver has nothing to show"
)]
pub struct Writer {
    client: Client,
    statements: Statements,
    partitions: Partitions,
    buffer: CopyBuffer,
    /// Where `projection` is, as far as this writer knows.
    position: u64,
}

/// What is prepared once for a connection.
struct Statements {
    lock: Statement,
    advance: Statement,
    batches: Statement,
    ticks: Statement,
    rates: Statement,
    levels: Statement,
    members: Statement,
    candles: Candles,
}

impl Writer {
    /// Connects, brings the schema up to date and reads how far the projection is.
    ///
    /// # Errors
    /// [`StoreError`]; ask [`StoreError::is_outage`] whether to try again.
    pub fn connect(config: &Config, unit: PartitionUnit) -> Result<Self, StoreError> {
        let mut config = config.clone();
        config
            .keepalives_idle(SILENCE_MAX)
            .tcp_user_timeout(SILENCE_MAX);
        let client = config
            .connect(NoTls)
            .map_err(StoreError::during("connect to PostgreSQL"))?;
        Self::over(client, unit)
    }

    /// [`Self::connect`] over a connection that is already made, for TLS.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn over(mut client: Client, unit: PartitionUnit) -> Result<Self, StoreError> {
        // A server of the user may cut long transactions short; ours are short or blocked. And what
        // it says is committed must be, since the journal is shortened by it.
        let session = "set timezone = 'UTC'; set statement_timeout = 0; \
                       set synchronous_commit = on; \
                       set idle_in_transaction_session_timeout = 0";
        client
            .batch_execute(session)
            .map_err(StoreError::during("set up the session"))?;
        migrate(&mut client)?;
        let locks = format!("set lock_timeout = '{LOCK_TIMEOUT}'");
        client
            .batch_execute(&locks)
            .map_err(StoreError::during("set up the session"))?;
        let statements = Statements::prepare(&mut client)
            .map_err(StoreError::during("prepare the statements"))?;
        let partitions = Partitions::new(unit);
        let buffer = CopyBuffer::default();
        let mut writer = Self {
            client,
            statements,
            partitions,
            buffer,
            position: 0,
        };
        writer.last_position()?;
        Ok(writer)
    }

    /// The journal position up to which everything is in the database; 0 in a new one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_position(&mut self) -> Result<u64, StoreError> {
        let row = self
            .client
            .query_one("select position from projection", &[]);
        let row = row.map_err(StoreError::during("read the projection's position"))?;
        self.position = row.get::<_, i64>(0).cast_unsigned();
        Ok(self.position)
    }

    /// Ties the database to a journal, or checks that it is tied to this one.
    ///
    /// Without this a daemon with a fresh state directory on an old database would take its first
    /// inputs for those that are there already.
    ///
    /// # Errors
    /// [`StoreError::ForeignJournal`], or another [`StoreError`].
    pub fn claim(&mut self, journal: &str) -> Result<(), StoreError> {
        let sql = "update projection set journal = coalesce(journal, $1) returning journal";
        let row = self.client.query_one(sql, &[&journal]);
        let theirs: String = row
            .map_err(StoreError::during("claim the database"))?
            .get(0);
        if theirs == journal {
            Ok(())
        } else {
            Err(StoreError::ForeignJournal {
                ours: journal.to_owned(),
                theirs,
            })
        }
    }

    /// The texts that have a number, for a follower that begins anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn labels(&mut self) -> Result<Vec<super::rows::LabelRow>, StoreError> {
        let rows = self
            .client
            .query("select id, position, text from label order by id", &[]);
        let rows = rows.map_err(StoreError::during("read the labels"))?;
        let label = |row: &postgres::Row| super::rows::LabelRow {
            id: row.get::<_, i32>(0).cast_unsigned(),
            position: row.get::<_, i64>(1).cast_unsigned(),
            text: row.get(2),
        };
        Ok(rows.iter().map(label).collect())
    }

    /// Writes a batch and moves the projection to `position`, or does nothing at all.
    ///
    /// # Errors
    /// [`StoreError`]. After an outage it is unknown whether the last batch was committed; a new
    /// writer's [`Self::last_position`] tells.
    pub fn write(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError> {
        if position <= self.position {
            if position == self.position && batch.is_empty() {
                return Ok(());
            }
            return Err(StoreError::NotForward {
                position,
                reached: self.position,
            });
        }
        let mut outcome = self.attempt(batch, position);
        if outcome
            .as_ref()
            .is_err_and(StoreError::is_missing_partition)
        {
            self.partitions.forget();
            outcome = self.attempt(batch, position);
        }
        match outcome {
            Ok(()) => self.position = position,
            // What was made in the transaction is gone with it.
            Err(_) => self.partitions.forget(),
        }
        outcome
    }

    /// Drops the partitions that end before what is to be kept.
    ///
    /// # Errors
    /// [`StoreError`], where a reader held one for too long; what could be dropped is.
    pub fn drop_old(&mut self, keep: Keep, now: Time) -> Result<(), StoreError> {
        self.partitions.forget();
        retention::drop_old(&mut self.client, keep, now)
    }

    fn attempt(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError> {
        let Self {
            client,
            statements,
            partitions,
            buffer,
            position: expected,
        } = self;
        let mut tx = client
            .transaction()
            .map_err(StoreError::during("begin a transaction"))?;
        check_fence(&mut tx, &statements.lock, *expected)?;
        partitions.ensure(&mut tx, batch)?;
        rare::write(&mut tx, batch, &statements.members, buffer)?;
        copy(&mut tx, &statements.batches, &batch.batches, buffer)?;
        copy(&mut tx, &statements.ticks, &batch.ticks, buffer)?;
        copy(&mut tx, &statements.rates, &batch.rates, buffer)?;
        copy(&mut tx, &statements.levels, &batch.levels, buffer)?;
        statements.candles.write(&mut tx, &batch.levels)?;
        let moved = tx.execute(
            &statements.advance,
            &[&position.cast_signed(), &expected.cast_signed()],
        );
        if moved.map_err(StoreError::during("move the projection"))? != 1 {
            return Err(StoreError::Fenced {
                expected: *expected,
                found: position,
            });
        }
        tx.commit().map_err(StoreError::during("commit"))
    }
}

impl Statements {
    fn prepare(client: &mut Client) -> Result<Self, postgres::Error> {
        Ok(Self {
            lock: client.prepare("select position from projection for update")?,
            advance: client.prepare(
                "update projection set position = $1, updated = now() where position = $2",
            )?,
            batches: client.prepare(&copy_sql::<BatchRow>())?,
            ticks: client.prepare(&copy_sql::<TickRow>())?,
            rates: client.prepare(&copy_sql::<RateRow>())?,
            levels: client.prepare(&copy_sql::<LevelRow>())?,
            members: client.prepare(COPY_MEMBERS)?,
            candles: Candles::prepare(client)?,
        })
    }
}

pub(crate) fn copy_sql<R: BulkRow>() -> String {
    format!(
        "copy {} ({}) from stdin with (format binary)",
        R::TABLE,
        R::COLUMNS.join(", ")
    )
}

/// Takes the row lock that makes this the only writer until the transaction ends.
fn check_fence(
    tx: &mut Transaction<'_>,
    lock: &Statement,
    expected: u64,
) -> Result<(), StoreError> {
    let row = tx
        .query_one(lock, &[])
        .map_err(StoreError::during("lock the projection"))?;
    let found = row.get::<_, i64>(0).cast_unsigned();
    if found == expected {
        Ok(())
    } else {
        Err(StoreError::Fenced { expected, found })
    }
}

pub(crate) fn copy<R: BulkRow>(
    tx: &mut Transaction<'_>,
    statement: &Statement,
    rows: &[R],
    buffer: &mut CopyBuffer,
) -> Result<(), StoreError> {
    // A constant of some ten columns.
    let columns = R::COLUMNS.len() as i16;
    copy_with(tx, statement, rows.iter(), buffer, |row, out| {
        out.row(columns);
        row.encode(out);
    })
}

/// Streams rows into a prepared COPY, each encoded by `encode`.
pub(crate) fn copy_with<R>(
    tx: &mut Transaction<'_>,
    statement: &Statement,
    rows: impl Iterator<Item = R>,
    buffer: &mut CopyBuffer,
    encode: impl Fn(R, &mut CopyBuffer),
) -> Result<(), StoreError> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut sink = tx
        .copy_in(statement)
        .map_err(StoreError::during("begin a copy"))?;
    buffer.begin();
    for row in rows {
        encode(row, buffer);
        if buffer.bytes().len() >= CHUNK_BYTES {
            sink.write_all(buffer.bytes()).map_err(StoreError::copy)?;
            buffer.clear();
        }
    }
    buffer.end();
    sink.write_all(buffer.bytes()).map_err(StoreError::copy)?;
    sink.finish().map_err(StoreError::during("copy rows"))?;
    Ok(())
}
