//! A database in memory: transactions are whole or nothing, connections break, answers get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::rows::{CloseRow, LevelRow, RateRow, RowBatch, TickRow};
use crate::store::{Database, FollowError, Rows, StoreError};

/// The server. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDatabase(Arc<Mutex<Tables>>);

/// What it holds, and what it will do next.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) position: u64,
    pub(super) ticks: BTreeMap<u64, TickRow>,
    pub(super) rates: BTreeMap<u64, RateRow>,
    pub(super) levels: BTreeMap<(u32, u64), LevelRow>,
    pub(super) closes: BTreeMap<(u32, u64), CloseRow>,
    pub(super) labels: BTreeMap<u32, String>,
    pub(super) commands: BTreeSet<u64>,
    pub(super) revisions: BTreeSet<(u32, u32)>,
    pub(super) actions: BTreeSet<(u64, u16)>,
    /// Refuses connections, and breaks those that are there.
    pub(super) is_down: bool,
    /// The next transaction breaks: before the commit, or behind it with its answer.
    pub(super) breaks: Option<Break>,
    /// A row that was there before: the transaction should never have been tried.
    pub(super) conflict: Option<String>,
}

/// Where a transaction breaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Break {
    BeforeCommit,
    AfterCommit,
}

/// A connection, which knows the position it goes on from.
#[derive(Debug)]
pub(super) struct Connection {
    database: SimDatabase,
    position: u64,
}

impl SimDatabase {
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }
}

fn outage() -> StoreError {
    StoreError::copy(io::Error::other("the connection is lost"))
}

impl Database for SimDatabase {
    type Rows = Connection;

    fn connect(&mut self) -> Result<Connection, FollowError> {
        if self.tables().is_down {
            return Err(outage().into());
        }
        Ok(Connection {
            database: self.clone(),
            position: 0,
        })
    }

    fn stop(&mut self) {}
}

impl Rows for Connection {
    fn last_position(&mut self) -> Result<u64, StoreError> {
        let tables = self.database.tables();
        if tables.is_down {
            return Err(outage());
        }
        self.position = tables.position;
        Ok(self.position)
    }

    fn write(&mut self, batch: &RowBatch, position: u64) -> Result<(), StoreError> {
        let mut tables = self.database.tables();
        let breaks = tables.breaks.take();
        if tables.is_down || matches!(breaks, Some(Break::BeforeCommit)) {
            return Err(outage());
        }
        if tables.position != self.position {
            return Err(StoreError::Fenced {
                expected: self.position,
                found: tables.position,
            });
        }
        if position <= tables.position {
            return Err(StoreError::NotForward {
                position,
                reached: tables.position,
            });
        }
        tables.insert(batch);
        tables.position = position;
        self.position = position;
        match breaks {
            Some(Break::AfterCommit) => Err(outage()),
            Some(Break::BeforeCommit) | None => Ok(()),
        }
    }
}

impl Tables {
    fn insert(&mut self, batch: &RowBatch) {
        let mut conflict = None;
        for row in &batch.ticks {
            if self
                .ticks
                .insert(row.origin.position, row.clone())
                .is_some()
            {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.rates {
            if self
                .rates
                .insert(row.origin.position, row.clone())
                .is_some()
            {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.levels {
            let key = (row.index, row.seq);
            if self.levels.insert(key, row.clone()).is_some() {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.closes {
            let key = (row.index, row.seq);
            if self.closes.insert(key, row.clone()).is_some() {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.labels {
            if self.labels.insert(row.id, row.text.clone()).is_some() {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.commands {
            if !self.commands.insert(row.position) {
                conflict = Some(format!("{row:?}"));
            }
        }
        for row in &batch.revisions {
            if !self.revisions.insert((row.index, row.revision)) {
                conflict = Some(format!("revision {} of {}", row.revision, row.index));
            }
        }
        for row in &batch.actions {
            if !self.actions.insert((row.position, row.place)) {
                conflict = Some(format!("{row:?}"));
            }
        }
        self.conflict = self.conflict.take().or(conflict);
    }
}
