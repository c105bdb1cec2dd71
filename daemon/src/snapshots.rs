//! Snapshots of the engine on disk: what bounds the time of a restart and the length of the
//! journal.
//!
//! A snapshot is a file `<position, 20 digits>.snapshot`: one line that names the format, the
//! length and the checksum of what follows, then the state as JSON. It is written aside, synced
//! and renamed, so a file of that name is whole or rotten, never half. The sequencer hands over
//! copies of its engine; a thread writes them.
//!
//! Two kinds are kept: the newest, from which the sequencer starts, and the newest two that
//! PostgreSQL has reached, from which the store does. The journal before the oldest of them is not
//! needed. While the journal is full one that PostgreSQL has reached is enough.
//!
//! Older ones are called `.past` from then on: some are kept, the further back the fewer, so that the
//! walk of a correction need not begin with the first input. While the journal is full they go.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use divisor_engine::{Engine, Snapshot};

use crate::crash::Point;
use crate::defect::Defect;
use crate::health::Health;
use crate::journal::{Disk, DiskFile, Folder};

/// How every snapshot begins.
const NAME: &str = "divisor-snapshot";

/// The same with the version of the format, the only one that this code reads.
const MAGIC: &str = "divisor-snapshot 1";
/// The name of the folder in the state directory.
pub const DIR: &str = "snapshots";

const SUFFIX: &str = ".snapshot";

/// The same of a state of the past.
const PAST: &str = ".past";

/// States of the past that are kept.
const PAST_MAX: usize = 8;

/// How many snapshots that PostgreSQL has reached are kept, while there is room.
const SPARE: usize = 2;

/// The file that is written, until it becomes a snapshot.
const ASIDE: &str = "next.writing";

/// The longest first line.
const HEADER_BYTES_MAX: usize = 128;

/// How often the thread looks whether PostgreSQL's progress lets go of something, and tries again
/// what the storage refused.
const LOOK: Duration = Duration::from_secs(1);

/// The folder of the snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
}

/// Why a snapshot cannot be read; the next older one is tried.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The storage says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another kind of file.
    #[error("its first line is not that of a snapshot")]
    Header,
    /// A file of another version of the format.
    #[error("it has the format `{found}`, this divisord reads `{MAGIC}`")]
    Format {
        /// What its first line names.
        found: String,
    },
    /// Rotten or cut short.
    #[error("its checksum is wrong")]
    Checksum,
    /// Not the state that this version knows.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Another form of the state, or a state that contradicts itself.
    #[error(transparent)]
    State(#[from] divisor_engine::SnapshotError),
    /// Named wrongly.
    #[error("it holds position {0}")]
    Position(u64),
}

impl Snapshots {
    /// The snapshots in this folder.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self::on(Arc::new(Folder::new(dir)))
    }

    /// As [`Self::new`], on any disk.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// The engine of the newest readable snapshot at or before a position. One that cannot be
    /// read is named in the log and passed over.
    #[must_use]
    pub fn newest(&self, at_most: u64) -> Option<Engine> {
        let positions = self.positions().unwrap_or_default();
        positions
            .into_iter()
            .rev()
            .filter(|position| *position <= at_most)
            .find_map(|position| match self.read(position) {
                Ok(engine) => Some(engine),
                Err(error) => {
                    tracing::warn!(position, %error, "a snapshot cannot be used");
                    None
                }
            })
    }

    /// Writes a snapshot and makes it durable.
    ///
    /// # Errors
    /// When the storage refuses; earlier snapshots are untouched.
    pub fn write(&self, engine: Engine) -> io::Result<u64> {
        let position = engine.next_position();
        self.save(position, &Snapshot::of(engine))?;
        Ok(position)
    }

    fn save(&self, position: u64, snapshot: &Snapshot) -> io::Result<()> {
        let body = serde_json::to_vec(snapshot)?;
        let mut bytes = format!("{}\n", header(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        let file = self.disk.create(ASIDE)?;
        let saved = file
            .write_at(&bytes, 0)
            .and_then(|()| {
                Point::SnapshotWritten.pass();
                if Defect::SnapshotNotSynced.is_on() {
                    return Ok(());
                }
                file.sync_data()
            })
            .and_then(|()| {
                Point::SnapshotSynced.pass();
                self.disk.rename(ASIDE, &name(position))
            })
            .and_then(|()| {
                Point::SnapshotNamed.pass();
                self.disk.sync_dir()
            });
        if saved.is_err() {
            // A full disk is not made fuller.
            let _removed = self.disk.remove(ASIDE);
        }
        saved
    }

    /// Deletes what nobody starts from any more and returns the oldest position still needed.
    ///
    /// Besides the newest, `spare` of those that PostgreSQL has reached are kept: it may come back
    /// with less than it had, after a failover or with `synchronous_commit` off.
    ///
    /// # Errors
    /// When the storage refuses.
    pub fn retire(&self, projected: u64, spare: usize) -> io::Result<u64> {
        let positions = self.positions()?;
        let Some(&newest) = positions.last() else {
            return Ok(0);
        };
        let is_whole = |position: &&u64| self.body(**position).is_ok();
        // What is kept to start from must be something to start from, when others go for it.
        let reached: Vec<u64> = positions
            .iter()
            .rev()
            .filter(|at| **at <= projected)
            .filter(|at| positions.len() == 1 || is_whole(at))
            .take(spare)
            .copied()
            .collect();
        // Without one that PostgreSQL has reached it may be at the beginning, or not have answered
        // yet: the oldest is as near to it as any.
        let nearest = if reached.is_empty() {
            positions.iter().find(is_whole)
        } else {
            None
        };
        let gone = |at: &&u64| **at != newest && !reached.contains(at) && Some(*at) != nearest;
        for position in positions.iter().filter(gone) {
            self.disk.rename(&name(*position), &past(*position))?;
            Point::SnapshotGone.pass();
        }
        let room = if spare < SPARE { 0 } else { PAST_MAX };
        for position in thinned(self.named(PAST)?, room) {
            self.disk.remove(&past(position))?;
        }
        // Before the journal follows: one that came back after a crash would lead nowhere.
        self.disk.sync_dir()?;
        // With fewer than that, the store may have to begin with the first input.
        let needed = reached.get(spare.saturating_sub(1));
        Ok(needed.copied().unwrap_or(0))
    }

    /// Removes what a crash has left half-written.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn clean(&self) -> io::Result<()> {
        for name in self.disk.list()? {
            if name.ends_with(".writing") {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }

    /// All positions, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn positions(&self) -> io::Result<Vec<u64>> {
        self.named(SUFFIX)
    }

    /// The same with the states of the past.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all_positions(&self) -> io::Result<Vec<u64>> {
        let mut all = self.named(PAST)?;
        all.extend(self.positions()?);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn named(&self, suffix: &str) -> io::Result<Vec<u64>> {
        let names = self.disk.list()?;
        let position = |name: &String| name.strip_suffix(suffix)?.parse().ok();
        let mut positions: Vec<u64> = names.iter().filter_map(position).collect();
        positions.sort_unstable();
        Ok(positions)
    }

    /// The engine of the snapshot at a position.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, position: u64) -> Result<Engine, Unreadable> {
        let body = self.body(position)?;
        let snapshot: Snapshot = serde_json::from_slice(&body)?;
        let engine = snapshot.into_engine()?;
        match engine.next_position() {
            found if found == position => Ok(engine),
            found => Err(Unreadable::Position(found)),
        }
    }

    /// The state in the file of a position, as it was written.
    fn body(&self, position: u64) -> Result<Vec<u8>, Unreadable> {
        let file = match self.disk.open_to_read(&name(position)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.open_to_read(&past(position))?
            }
            file => file?,
        };
        let mut bytes = read_all(&*file)?;
        let end = bytes
            .iter()
            .take(HEADER_BYTES_MAX)
            .position(|byte| *byte == b'\n')
            .ok_or(Unreadable::Header)?;
        let first = std::str::from_utf8(&bytes[..end]).map_err(|_| Unreadable::Header)?;
        let words: Vec<&str> = first.splitn(3, ' ').collect();
        let found = words[..words.len().min(2)].join(" ");
        if !found.starts_with(NAME) {
            return Err(Unreadable::Header);
        }
        if found != MAGIC {
            return Err(Unreadable::Format { found });
        }
        if first != header(&bytes[end + 1..]) && !Defect::SnapshotUnchecked.is_on() {
            return Err(Unreadable::Checksum);
        }
        Ok(bytes.split_off(end + 1))
    }
}

fn name(position: u64) -> String {
    format!("{position:020}{SUFFIX}")
}

fn past(position: u64) -> String {
    format!("{position:020}{PAST}")
}

/// Which of some positions to give up, so that at most so many are left and the gaps between them
/// grow with their distance from the newest.
fn thinned(mut positions: Vec<u64>, most: usize) -> Vec<u64> {
    let mut gone = Vec::new();
    while positions.len() > most {
        let newest = positions.last().copied().unwrap_or(0);
        // The gap that would be, as a share of how far back it ends; the oldest and newest stay.
        let share = |at: &usize| {
            let (before, behind) = (positions[at - 1], positions[at + 1]);
            (behind - before) as f64 / (newest - before).max(1) as f64
        };
        let inner =
            (1..positions.len().saturating_sub(1)).min_by(|a, b| share(a).total_cmp(&share(b)));
        gone.push(positions.remove(inner.unwrap_or(0)));
    }
    gone
}

fn header(body: &[u8]) -> String {
    format!("{MAGIC} {} {:08x}", body.len(), crc32c::crc32c(body))
}

fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Takes copies of the engine for the [`Desk`].
#[derive(Debug)]
pub struct Keeper {
    engines: Option<SyncSender<Engine>>,
    thread: Option<JoinHandle<()>>,
}

/// Writes the copies that come in, and says how much of the journal is still needed.
#[derive(Debug)]
pub struct Desk {
    snapshots: Snapshots,
    health: Health,
    engines: Receiver<Engine>,
    /// What the storage refused; tried again until a newer one comes.
    unwritten: Option<(u64, Snapshot)>,
    /// Where PostgreSQL was, and how many were spared, when old ones were deleted last.
    retired_at: Option<(u64, usize)>,
}

impl Keeper {
    /// A keeper and the desk that its copies go to.
    #[must_use]
    pub fn new(snapshots: Snapshots, health: Health) -> (Self, Desk) {
        // One may wait while one is written: the newest matters, not each.
        let (engines, written) = sync_channel(1);
        let keeper = Self {
            engines: Some(engines),
            thread: None,
        };
        let desk = Desk {
            snapshots,
            health,
            engines: written,
            unwritten: None,
            retired_at: None,
        };
        (keeper, desk)
    }

    /// A keeper whose desk has a thread of its own.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(snapshots: Snapshots, health: Health) -> anyhow::Result<Self> {
        let (mut keeper, desk) = Self::new(snapshots, health);
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(|| desk.run())?;
        keeper.thread = Some(thread);
        Ok(keeper)
    }

    /// Hands over a copy; false when the desk is still busy with earlier ones.
    pub fn offer(&self, engine: Engine) -> bool {
        let Some(engines) = &self.engines else {
            return false;
        };
        match engines.try_send(engine) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Waits for the snapshots under way.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.engines = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Works until the keeper is gone.
    fn run(mut self) {
        loop {
            match self.engines.recv_timeout(LOOK) {
                Ok(engine) => self.work(Some(engine)),
                Err(RecvTimeoutError::Timeout) => self.work(None),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// What is there to do now: one copy, and what PostgreSQL's progress lets go of.
    #[cfg(test)]
    pub(crate) fn step(&mut self) {
        let engine = self.engines.try_recv().ok();
        self.work(engine);
    }

    fn work(&mut self, engine: Option<Engine>) {
        if let Some(engine) = engine {
            self.unwritten = Some((engine.next_position(), Snapshot::of(engine)));
        }
        if let Some((position, snapshot)) = self.unwritten.take() {
            self.write(position, snapshot);
        }
        let projected = if self.health.store_word() == "off" {
            u64::MAX
        } else {
            self.health.projected()
        };
        let spare = if self.health.journal_is_full() {
            1
        } else {
            SPARE
        };
        if self.retired_at != Some((projected, spare)) {
            match self.snapshots.retire(projected, spare) {
                Ok(needed) => {
                    self.retired_at = Some((projected, spare));
                    self.health.set_needed_from(needed);
                }
                Err(error) => tracing::warn!(%error, "failed to delete old snapshots"),
            }
        }
    }

    fn write(&mut self, position: u64, snapshot: Snapshot) {
        let started = std::time::Instant::now();
        match self.snapshots.save(position, &snapshot) {
            Ok(()) => {
                Point::SnapshotDone.pass();
                let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(position, duration_ms, "wrote a snapshot");
                self.retired_at = None;
            }
            // The journal has everything, so nothing is lost; but it cannot be shortened before.
            Err(error) => {
                tracing::warn!(position, %error, "failed to write a snapshot");
                self.unwritten = Some((position, snapshot));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use divisor_engine::{Batch, Input, Time};

    use super::*;

    fn engine(boots: u64) -> Engine {
        let mut engine = Engine::new();
        for first in 0..boots {
            let inputs = vec![Input::Boot { epoch: first }];
            engine.apply(&Batch {
                first,
                time: Time::from_nanos(1),
                inputs,
            });
        }
        engine
    }

    #[test]
    fn the_newest_readable_one_at_or_before_a_position() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(dir.path().to_owned());
        assert!(snapshots.newest(u64::MAX).is_none());
        for position in [3, 5, 8] {
            assert_eq!(snapshots.write(engine(position)).unwrap(), position);
        }
        let newest = |at_most| {
            snapshots
                .newest(at_most)
                .map(|engine| engine.next_position())
        };
        assert_eq!(newest(u64::MAX), Some(8));
        assert_eq!(newest(7), Some(5));
        assert_eq!(newest(2), None);
        // A rotten byte, a lost tail, another file's content: each is passed over.
        let path = dir.path().join(name(8));
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::write(&path, &bytes[..last]).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::copy(dir.path().join(name(3)), &path).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::write(dir.path().join("x.writing"), "half").unwrap();
        snapshots.clean().unwrap();
        assert!(!dir.path().join("x.writing").exists());
    }

    #[test]
    fn keeps_what_somebody_starts_from() {
        let check = |projected, expected_needed, expected_kept: &[u64]| {
            let dir = tempfile::tempdir().unwrap();
            let snapshots = Snapshots::new(dir.path().to_owned());
            for position in [3, 5, 8] {
                snapshots.write(engine(position)).unwrap();
            }
            assert_eq!(
                snapshots.retire(projected, 1).unwrap(),
                expected_needed,
                "{projected}"
            );
            assert_eq!(snapshots.positions().unwrap(), expected_kept, "{projected}");
        };
        check(0, 0, &[3, 8]);
        check(4, 3, &[3, 8]);
        check(6, 5, &[5, 8]);
        check(9, 8, &[8]);
    }

    #[test]
    fn states_of_the_past_are_fewer_the_further_back() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(dir.path().to_owned());
        for position in 1..=40 {
            snapshots.write(engine(position)).unwrap();
            snapshots.retire(u64::MAX, SPARE).unwrap();
        }
        assert_eq!(snapshots.positions().unwrap(), [39, 40]);
        let all = snapshots.all_positions().unwrap();
        assert_eq!(all.len(), PAST_MAX + 2);
        assert_eq!((all[0], all[PAST_MAX - 1]), (1, 38));
        let gaps: Vec<u64> = all.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            gaps[0] > 8 && gaps[5..].iter().all(|gap| *gap <= 2),
            "{all:?}"
        );
        for position in all {
            assert_eq!(snapshots.read(position).unwrap().next_position(), position);
        }
        // While the journal is full they go.
        snapshots.retire(u64::MAX, 1).unwrap();
        assert_eq!(snapshots.all_positions().unwrap(), [40]);
    }
}
