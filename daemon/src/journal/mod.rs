//! The journal: the truth of the system, an append-only sequence of records on disk.
//!
//! One record is one commit batch: its time, its inputs, its boundary. What the inputs say is none
//! of this module's business; a body is bytes. Levels on MQTT and rows in PostgreSQL are projections
//! of what is here, so everything that was acknowledged must be found again, and nothing that is
//! damaged may pass for it.
//!
//! # Positions
//!
//! Every input has a position, counted from 0 for ever. A record spans the positions `first` up to
//! [`Record::next`]; a record without inputs (a due timer) takes one position itself, so that two
//! records never share a position and "projected up to position p" says which records are in.
//!
//! # Parts, in the order in which a batch meets them
//!
//! - [`writer`](Journal): the one writer; append, commit, retention, what happens on a full disk
//! - `prepare`: the helper thread that has the next segment ready before it is needed
//! - `segment`, `record`: the bytes on disk, header and frame
//! - [`Watermark`]: how far the journal is durable, for those who read along
//! - [`JournalReader`]: replay at start, and following while the writer writes
//! - `scan`: reads one segment record by record; everything that reads goes through it
//! - `boots`: how many lives there were, and whether the last one ended with a failed sync
//! - `recovery`: what a crash may leave behind and what it may not
//! - [`walk`], [`repair`]: the offline verbs `divisord journal inspect`, `export` and `repair`
//! - [`view()`], [`begin_at`]: reading beside the daemon, and a journal that begins in the middle
//! - [`Disk`]: the few file operations that the journal needs, so that a simulated disk can stand in

mod boots;
mod disk;
mod inspect;
mod prepare;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;
mod view;
mod watermark;
mod writer;

pub use disk::{Disk, DiskFile, Folder};
pub use inspect::{Repaired, SegmentReport, repair, walk};
pub use reader::{JournalReader, ReadError, Source};
pub use record::Record;
pub use recovery::{Cut, Recovered};
pub use view::{View, begin_at, view};
pub use watermark::Watermark;
pub use writer::{AppendError, Journal, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Settings};

/// A log of records that the sequencer appends to and replays from.
///
/// Today it is the local [`Journal`]; a replicated log would be a second implementation, not a
/// second design.
pub trait Log {
    /// What reads the log from a position on.
    type Reader: Records;

    /// The position of the next input.
    fn next_position(&self) -> u64;

    /// The longest body that a record can have.
    fn body_bytes_max(&self) -> u64;

    /// Adds one record of `count` inputs, the first at position `first`, without making it durable.
    ///
    /// # Errors
    ///
    /// The record is not in the log; [`AppendError`] says whether the log can still be used.
    fn append(&mut self, first: u64, count: u32, time: i64, body: &[u8])
    -> Result<(), AppendError>;

    /// Makes everything appended durable and returns the position behind it.
    ///
    /// # Errors
    ///
    /// Only [`AppendError::Broken`]: what was appended may or may not be durable, and the process
    /// must end.
    fn commit(&mut self) -> Result<u64, AppendError>;

    /// Reads committed records, beginning with the one that holds `position`.
    ///
    /// # Errors
    ///
    /// When the log no longer, or not yet, holds the position, or cannot be read.
    fn reader_from(&self, position: u64) -> Result<Self::Reader, ReadError>;

    /// Drops records that lie wholly before `position`, as many as the log finds convenient.
    ///
    /// # Errors
    ///
    /// When the storage refuses; the log stays usable.
    fn retain_from(&mut self, position: u64) -> std::io::Result<u64>;
}

/// A stream of committed records.
pub trait Records {
    /// The next committed record, or `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// When the log is damaged or cannot be read.
    fn next_record(&mut self) -> Result<Option<Record>, ReadError>;
}
