//! The one writer of the journal.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Log;
use super::boots;
use super::disk::{Disk, DiskFile, Folder};
use super::prepare::{self, Preparer};
use super::reader::{JournalReader, ReadError, Source};
use super::record::{self, Frame, next_position, span_of};
use super::recovery::{self, Held, Last, Recovered};
use super::segment::{self, HEADER_LEN, Header};
use super::watermark::{Mark, Watermark};
use crate::crash::Point;
use crate::defect::Defect;

/// The shortest segment: a header and room for a few records.
pub const SEGMENT_BYTES_MIN: u64 = 2 * HEADER_LEN;

/// The longest segment: offsets within a commit are 32 bits wide.
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// How the journal uses its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The length of a segment.
    pub segment_bytes: u64,
    /// The most that all segments together may take, the prepared one included. At least two
    /// segments, or nothing could ever be deleted to make room.
    pub bytes_max: u64,
    /// How many bytes of records that nobody needs any more are kept all the same.
    pub keep: u64,
    /// False leaves out every fdatasync of a commit; for benchmarks, never for data.
    pub sync: bool,
    /// Whether a helper thread prepares segments ahead; false in simulations.
    pub ahead: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            bytes_max: 4 << 30,
            keep: 0,
            sync: true,
            ahead: true,
        }
    }
}

impl Settings {
    /// The same within what the format can hold and the writer can work with; configuration refuses
    /// what would be changed here.
    fn bounded(self) -> Self {
        let segment_bytes = self
            .segment_bytes
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Self {
            segment_bytes,
            bytes_max: self.bytes_max.max(2 * segment_bytes),
            ..self
        }
    }
}

/// Why a record is not in the journal. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was appended, and the journal can be used again once [`Journal::has_room`].
    #[error("append to the journal: {why}")]
    Full {
        /// What is full.
        why: String,
    },
    /// A write or an fdatasync failed. The kernel may have marked the lost pages clean, so that a
    /// second fdatasync would lie: the process must end, and recovery reads what is really there.
    #[error(
        "{what} the journal: {source} (check the disk; divisord stops and recovers at its next start)"
    )]
    Broken {
        /// What was tried.
        what: &'static str,
        /// What the storage says.
        source: io::Error,
    },
    /// The record cannot fit, whatever is deleted. A batch must be smaller.
    #[error("append to the journal: a record of {bytes} bytes, where {bytes_max} can be held")]
    TooLarge {
        /// The record's length.
        bytes: u64,
        /// The longest possible.
        bytes_max: u64,
    },
    /// A mistake of the caller: positions are contiguous.
    #[error("append to the journal: position {found} where {expected} is next")]
    OutOfSequence {
        /// The journal's next position.
        expected: u64,
        /// What the caller said.
        found: u64,
    },
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    /// The directory.
    disk: Arc<dyn Disk>,
    /// How to use it.
    settings: Settings,
    /// The daemon's boot count, which goes into each header.
    epoch: u64,
    /// Makes the next segment.
    preparer: Preparer,
    /// All segments, oldest first.
    held: Vec<Held>,
    /// The segment that is written; `None` before the first record.
    active: Option<Active>,
    /// The position of the next input.
    next: u64,
    /// Shared with readers.
    watermark: Watermark,
    /// One record as bytes, so that it goes out in one write.
    bytes: Vec<u8>,
    /// The span of the record that found no room, until there is some.
    full: Option<u64>,
    /// True after an error that ends all use.
    broken: bool,
}

/// The segment that is written.
#[derive(Debug)]
struct Active {
    /// The file.
    file: Box<dyn DiskFile>,
    /// Its header.
    header: Header,
    /// Where the next record goes.
    tail: u64,
    /// Where the last commit ended.
    committed: u64,
    /// Bytes of a failed write reach up to here and must become zeros before anything is written.
    dirty: u64,
}

impl Journal {
    /// Opens the journal in `dir`, which must exist, recovering it when the last process crashed.
    ///
    /// The caller holds a lock on the directory: two writers would destroy it.
    ///
    /// # Errors
    ///
    /// When the journal is damaged in a way that a crash does not explain, or the storage fails.
    pub fn open(dir: &Path, settings: Settings) -> Result<(Self, Recovered), ReadError> {
        Self::open_on(Arc::new(Folder::new(dir)), settings)
    }

    /// As [`Journal::open`], on any disk.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        settings: Settings,
    ) -> Result<(Self, Recovered), ReadError> {
        let settings = settings.bounded();
        let found = recovery::recover(&*disk).inspect_err(|error| {
            if matches!(error, ReadError::Io { .. }) {
                boots::suspect(&*disk);
            }
        })?;
        let epoch = boots::count(&*disk, found.epoch).map_err(ReadError::io(boots::FILE))?;
        let next = found.last.as_ref().map_or(0, |last| last.position);
        let recovered = Recovered {
            oldest: found.held.first().map_or(next, |held| held.first),
            next,
            epoch,
            cut: found.cut,
        };
        let mark = Mark {
            position: next,
            segment: found.last.as_ref().map(|last| last.header.first),
            offset: found.last.as_ref().map_or(0, |last| last.offset),
            closed: false,
        };
        let preparer = Preparer::new(Arc::clone(&disk), settings.segment_bytes, settings.ahead)
            .map_err(ReadError::io(prepare::NEXT))?;
        let mut journal = Self {
            disk,
            settings,
            epoch,
            preparer,
            held: found.held,
            active: found.last.map(Active::from),
            next,
            watermark: Watermark::new(mark),
            bytes: Vec::new(),
            full: None,
            broken: false,
        };
        journal.prepare_next();
        Ok((journal, recovered))
    }

    /// What other threads need to read along.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::new(Arc::clone(&self.disk), self.watermark.clone())
    }

    /// The bytes that the segments take on disk, the prepared one included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let prepared = if self.preparer.is_requested() {
            self.settings.segment_bytes
        } else {
            0
        };
        self.held.iter().map(|held| held.len).sum::<u64>() + prepared
    }

    /// False while the record that was last refused as [`AppendError::Full`] would be refused again.
    /// Cheap enough to be asked once per second or more; each call moves things forward.
    pub fn has_room(&mut self) -> bool {
        let Some(span) = self.full else {
            return !self.broken;
        };
        if self.broken
            || self
                .active
                .as_mut()
                .is_some_and(|active| active.clean().is_err())
        {
            return false;
        }
        let room = if self.fits_active(span) {
            true
        } else if self.is_large(span) {
            self.bytes() + HEADER_LEN + span <= self.settings.bytes_max
        } else {
            self.prepare_next();
            self.preparer.is_ready()
        };
        if room {
            self.full = None;
        }
        room
    }

    /// Ends all use; the next start is told why.
    fn break_off(&mut self) {
        self.broken = true;
        boots::suspect(&*self.disk);
    }

    /// Requests the next segment when the limit allows it.
    fn prepare_next(&mut self) {
        if self.bytes() + self.settings.segment_bytes <= self.settings.bytes_max {
            self.preparer.request();
        }
    }

    /// True when the active segment has room for a record of this span.
    fn fits_active(&self, span: u64) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.tail + span <= active.header.len)
    }

    /// True when a record needs a segment of its own length.
    const fn is_large(&self, span: u64) -> bool {
        HEADER_LEN + span > self.settings.segment_bytes
    }

    /// Begins a new segment that has room for a record of this span.
    fn roll(&mut self, span: u64, time: i64) -> Result<(), AppendError> {
        let (file, prepared, len) = self.obtain(span)?;
        if let Some(active) = &self.active
            && active.tail > active.committed
            && self.settings.sync
        {
            // Commits don't reach back over segments: recovery may rely on all but the last.
            active.file.sync_data().map_err(broken("sync"))?;
        }
        let header = Header {
            first: self.next,
            previous: self.held.last().map(|held| held.first),
            epoch: self.epoch,
            created: time,
            // Not for secrecy against who can read the file, only against who can't.
            mark: RandomState::new().hash_one(self.next).max(1),
            len,
        };
        let name = segment::file_name(header.first);
        Point::SegmentDue.pass();
        file.write_at(&header.encode(), 0)
            .map_err(broken("begin a segment of"))?;
        file.sync_data().map_err(broken("sync"))?;
        self.disk
            .rename(prepared, &name)
            .map_err(broken("begin a segment of"))?;
        Point::SegmentNamed.pass();
        if !Defect::SegmentNotSynced.is_on() {
            self.disk.sync_dir().map_err(broken("sync"))?;
        }
        self.held.push(Held {
            first: header.first,
            len,
        });
        self.active = Some(Active {
            file,
            header,
            tail: HEADER_LEN,
            committed: HEADER_LEN,
            dirty: 0,
        });
        self.prepare_next();
        Ok(())
    }

    /// A file of zeros for the next segment, its present name and its length.
    fn obtain(&mut self, span: u64) -> Result<(Box<dyn DiskFile>, &'static str, u64), AppendError> {
        let limit = || AppendError::Full {
            why: format!(
                "it has reached journal.bytes_max = {} bytes (it shrinks when PostgreSQL has \
                 stored what it holds)",
                self.settings.bytes_max
            ),
        };
        let (prepared, name, len) = if self.is_large(span) {
            let len = HEADER_LEN + span;
            if self.bytes() + len > self.settings.bytes_max {
                return Err(limit());
            }
            (
                prepare::prepare(&*self.disk, prepare::LARGE, len, None),
                prepare::LARGE,
                len,
            )
        } else {
            let len = self.settings.segment_bytes;
            if !self.preparer.is_requested() && self.bytes() + len > self.settings.bytes_max {
                return Err(limit());
            }
            (self.preparer.take(), prepare::NEXT, len)
        };
        match prepared {
            Ok(file) => Ok((file, name, len)),
            Err(error) if is_full(&error) => Err(AppendError::Full {
                why: error.to_string(),
            }),
            Err(error) => Err(broken("prepare a segment of")(error)),
        }
    }

    /// Writes the record that is ready in `self.bytes`.
    fn write(&mut self, span: u64) -> Result<(), AppendError> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        Point::WriteDue.pass();
        match active.file.write_at(&self.bytes, active.tail) {
            Ok(()) => {
                Point::Written.pass();
                active.tail += span;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                active.dirty = active.tail + span;
                // Should this fail too, the next append or `has_room` tries again.
                let _cleaned = active.clean();
                Err(AppendError::Full {
                    why: error.to_string(),
                })
            }
            Err(error) => Err(broken("write")(error)),
        }
    }

    /// Makes room for a record, encodes and writes it.
    fn try_append(
        &mut self,
        first: u64,
        count: u32,
        time: i64,
        body: &[u8],
    ) -> Result<(), AppendError> {
        let bytes_max = self.body_bytes_max();
        if body.len() as u64 > bytes_max {
            return Err(AppendError::TooLarge {
                bytes: body.len() as u64,
                bytes_max,
            });
        }
        let span = span_of(body.len());
        if let Some(active) = &mut self.active {
            active.clean().map_err(|error| AppendError::Full {
                why: error.to_string(),
            })?;
        }
        if !self.fits_active(span) {
            self.roll(span, time)?;
        }
        let (mark, since_commit) = self.active.as_ref().map_or((0, 0), |active| {
            (active.header.mark, active.tail - active.committed)
        });
        // A segment is shorter than 4 GiB (`body_bytes_max`, and configuration says so too).
        let since_commit = u32::try_from(since_commit).unwrap_or(u32::MAX);
        let frame = Frame {
            len: 0,
            checksum: 0,
            mark,
            first,
            time,
            count,
            since_commit,
        };
        record::encode(&frame, body, &mut self.bytes).ok_or(AppendError::TooLarge {
            bytes: body.len() as u64,
            bytes_max,
        })?;
        self.write(span)?;
        self.next = next_position(first, count);
        Ok(())
    }
}

impl Log for Journal {
    type Reader = JournalReader;

    fn next_position(&self) -> u64 {
        self.next
    }

    fn body_bytes_max(&self) -> u64 {
        let Settings {
            segment_bytes,
            bytes_max,
            ..
        } = self.settings;
        // The segment that is written is never deleted. When that is a large one, another as large
        // must have room beside it and the prepared one, or it would be waited for in vain.
        let large = (bytes_max - segment_bytes) / 2;
        let most = large.max(segment_bytes) - HEADER_LEN;
        // What the frame and the padding take.
        most.min(u32::MAX.into()) - span_of(0) - 8
    }

    fn append(
        &mut self,
        first: u64,
        count: u32,
        time: i64,
        body: &[u8],
    ) -> Result<(), AppendError> {
        if self.broken {
            return Err(after_broken());
        }
        if first != self.next {
            return Err(AppendError::OutOfSequence {
                expected: self.next,
                found: first,
            });
        }
        let outcome = self.try_append(first, count, time, body);
        match &outcome {
            Ok(()) => self.full = None,
            Err(AppendError::Full { .. }) => self.full = Some(span_of(body.len())),
            Err(AppendError::Broken { .. }) => self.break_off(),
            Err(AppendError::TooLarge { .. } | AppendError::OutOfSequence { .. }) => {}
        }
        outcome
    }

    fn commit(&mut self) -> Result<u64, AppendError> {
        if self.broken {
            return Err(after_broken());
        }
        let Some(active) = &mut self.active else {
            return Ok(self.next);
        };
        if active.tail > active.committed {
            Point::SyncDue.pass();
            if self.settings.sync
                && !Defect::CommitNotSynced.is_on()
                && let Err(error) = sync(&*active.file)
            {
                self.break_off();
                return Err(broken("sync")(error));
            }
            Point::Synced.pass();
            active.committed = active.tail;
            self.watermark
                .advance(self.next, active.header.first, active.tail);
        }
        Ok(self.next)
    }

    fn reader_from(&self, position: u64) -> Result<JournalReader, ReadError> {
        self.source().reader_from(position)
    }

    /// Deletes the oldest segments, as long as all their records lie before `position` and at least
    /// `keep` bytes remain, unless a record waits for room; never the one that is written. Returns
    /// the oldest position still held.
    fn retain_from(&mut self, position: u64) -> io::Result<u64> {
        // More than this could never be kept: the limit would stop the writer instead.
        let most = self
            .settings
            .bytes_max
            .saturating_sub(2 * self.settings.segment_bytes);
        // A record that finds no room needs it more, a large one all of it.
        let keep = if self.full.is_some() {
            0
        } else {
            self.settings.keep.min(most)
        };
        let mut bytes: u64 = self.held.iter().map(|held| held.len).sum();
        let mut removed = 0;
        let mut outcome = Ok(());
        for pair in self.held.windows(2) {
            let (oldest, following) = (pair[0], pair[1]);
            if following.first > position || bytes - oldest.len < keep {
                break;
            }
            // Each removal is durable before the next: a gap after a crash would look like a loss.
            let name = segment::file_name(oldest.first);
            Point::SegmentGoes.pass();
            outcome = remove(&*self.disk, &name).and_then(|()| {
                Point::SegmentGone.pass();
                self.disk.sync_dir()
            });
            if outcome.is_err() {
                break;
            }
            bytes -= oldest.len;
            removed += 1;
        }
        self.held.drain(..removed);
        if removed > 0 {
            self.prepare_next();
        }
        outcome.map(|()| self.held.first().map_or(self.next, |held| held.first))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.watermark.close();
    }
}

impl Active {
    /// Replaces what a failed write left with zeros, so that it is never taken for a record.
    fn clean(&mut self) -> io::Result<()> {
        if self.dirty > self.tail {
            let len = usize::try_from(self.dirty - self.tail).unwrap_or(usize::MAX);
            self.file.write_at(&vec![0; len], self.tail)?;
            self.dirty = 0;
        }
        Ok(())
    }
}

impl From<Last> for Active {
    fn from(
        Last {
            file,
            header,
            offset,
            ..
        }: Last,
    ) -> Self {
        Self {
            file,
            header,
            tail: offset,
            committed: offset,
            dirty: 0,
        }
    }
}

/// Deletes a file. One that is gone was deleted by an earlier try whose end was not made durable.
fn remove(disk: &dyn Disk, name: &str) -> io::Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Makes a commit durable, in one try: the second would succeed without having written anything.
fn sync(file: &dyn DiskFile) -> io::Result<()> {
    match file.sync_data() {
        Err(_) if Defect::SyncRetried.is_on() => file.sync_data(),
        outcome => outcome,
    }
}

/// True when deleting something would help.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// An error that ends all use.
fn broken(what: &'static str) -> impl FnOnce(io::Error) -> AppendError {
    move |source| AppendError::Broken { what, source }
}

/// What every call after such an error returns.
fn after_broken() -> AppendError {
    broken("go on with")(io::Error::other("an earlier write failed"))
}
