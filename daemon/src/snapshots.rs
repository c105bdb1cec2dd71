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

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use divisor_engine::{Engine, Snapshot};

use crate::health::Health;

/// How every snapshot begins.
const NAME: &str = "divisor-snapshot";

/// The same with the version of the format, the only one that this code reads.
const MAGIC: &str = "divisor-snapshot 1";
/// The name of the folder in the state directory.
pub const DIR: &str = "snapshots";

const SUFFIX: &str = ".snapshot";

/// The folder of the snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
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
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir }
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
        let body = serde_json::to_vec(&Snapshot::of(engine))?;
        let path = self.path(position);
        let aside = path.with_extension("writing");
        let mut file = File::create(&aside)?;
        writeln!(file, "{MAGIC} {} {:08x}", body.len(), crc32c::crc32c(&body))?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(position)
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
        let reached: Vec<u64> = positions
            .iter()
            .rev()
            .filter(|position| **position <= projected)
            .take(spare)
            .copied()
            .collect();
        for position in positions {
            if position != newest && !reached.contains(&position) && !reached.is_empty() {
                fs::remove_file(self.path(position))?;
            }
        }
        // With fewer than that, the store may have to begin with the first input.
        Ok(match reached.get(spare - 1) {
            Some(oldest) => *oldest,
            None => 0,
        })
    }

    /// All positions, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn positions(&self) -> io::Result<Vec<u64>> {
        let mut positions = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let position = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            positions.extend(position.and_then(|digits| digits.parse::<u64>().ok()));
        }
        positions.sort_unstable();
        Ok(positions)
    }

    fn path(&self, position: u64) -> PathBuf {
        self.dir.join(format!("{position:020}{SUFFIX}"))
    }

    /// The engine of the snapshot at a position.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, position: u64) -> Result<Engine, Unreadable> {
        let bytes = fs::read(self.path(position))?;
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(Unreadable::Header)?;
        let (header, body) = (&bytes[..end], &bytes[end + 1..]);
        let header = std::str::from_utf8(header).map_err(|_| Unreadable::Header)?;
        let expected = format!("{MAGIC} {} {:08x}", body.len(), crc32c::crc32c(body));
        let words: Vec<&str> = header.splitn(3, ' ').collect();
        let found = words[..words.len().min(2)].join(" ");
        if !found.starts_with(NAME) {
            return Err(Unreadable::Header);
        }
        if found != MAGIC {
            return Err(Unreadable::Format { found });
        }
        if header != expected {
            return Err(Unreadable::Checksum);
        }
        let snapshot: Snapshot = serde_json::from_slice(body)?;
        let engine = snapshot.into_engine()?;
        match engine.next_position() {
            found if found == position => Ok(engine),
            found => Err(Unreadable::Position(found)),
        }
    }
}

/// How many snapshots that PostgreSQL has reached are kept.
const SPARE: usize = 2;

/// What the thread is asked for.
#[derive(Debug)]
enum Work {
    /// Write this state.
    Write(Box<Engine>),
    /// Look again what is needed.
    Retire,
}

/// Takes copies of the engine and writes them on a thread of its own.
#[derive(Debug)]
pub struct Keeper {
    work: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(snapshots: Snapshots, health: Health) -> anyhow::Result<Self> {
        // One may wait while one is written: the newest matters, not each.
        let (work, asked) = sync_channel(1);
        let body = move || keep(&snapshots, &health, &asked);
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(body)?;
        Ok(Self {
            work: Some(work),
            thread: Some(thread),
        })
    }

    /// Hands over a copy; false when the thread is still busy with earlier ones.
    pub fn offer(&self, engine: Engine) -> bool {
        self.ask(Work::Write(Box::new(engine)))
    }

    /// Looks again what is needed, since PostgreSQL may have come further: a journal without room
    /// waits for that.
    pub fn retire(&self) {
        self.ask(Work::Retire);
    }

    fn ask(&self, wanted: Work) -> bool {
        let Some(work) = &self.work else {
            return false;
        };
        match work.try_send(wanted) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Waits for the snapshots under way.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread: writes what comes and says how much of the journal is still needed.
fn keep(snapshots: &Snapshots, health: &Health, asked: &Receiver<Work>) {
    for work in asked {
        if let Work::Write(engine) = work {
            write(snapshots, *engine);
        }
        let projected = if health.store_word() == "off" {
            u64::MAX
        } else {
            health.projected()
        };
        let spare = if health.journal_is_full() { 1 } else { SPARE };
        match snapshots.retire(projected, spare) {
            Ok(needed) => health.set_needed_from(needed),
            Err(error) => tracing::warn!(%error, "failed to delete old snapshots"),
        }
    }
}

fn write(snapshots: &Snapshots, engine: Engine) {
    let started = std::time::Instant::now();
    match snapshots.write(engine) {
        Ok(position) => {
            let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(position, duration_ms, "wrote a snapshot");
        }
        // The journal has everything; the next snapshot is tried as if nothing had been.
        Err(error) => tracing::warn!(%error, "failed to write a snapshot"),
    }
}

/// Removes what a crash has left half-written.
///
/// # Errors
/// When the folder cannot be read.
pub fn clean(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "writing")
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        let path = snapshots.path(8);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::write(&path, &bytes[..last]).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::copy(snapshots.path(3), &path).unwrap();
        assert_eq!(newest(u64::MAX), Some(5));
        fs::write(dir.path().join("x.writing"), "half").unwrap();
        clean(dir.path()).unwrap();
        assert!(!dir.path().join("x.writing").exists());
    }

    #[test]
    fn keeps_what_somebody_starts_from() {
        let check = |projected, spare, expected_needed, expected_kept: &[u64]| {
            let dir = tempfile::tempdir().unwrap();
            let snapshots = Snapshots::new(dir.path().to_owned());
            for position in [3, 5, 8] {
                snapshots.write(engine(position)).unwrap();
            }
            assert_eq!(
                snapshots.retire(projected, spare).unwrap(),
                expected_needed,
                "{projected}"
            );
            assert_eq!(snapshots.positions().unwrap(), expected_kept, "{projected}");
        };
        check(0, 1, 0, &[3, 5, 8]);
        check(4, 1, 3, &[3, 8]);
        check(6, 1, 5, &[5, 8]);
        check(9, 1, 8, &[8]);
        check(0, 2, 0, &[3, 5, 8]);
        check(4, 2, 0, &[3, 8]);
        check(6, 2, 3, &[3, 5, 8]);
        check(9, 2, 5, &[5, 8]);
    }
}
