//! Reads one segment record by record, in large pieces.

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};

use super::disk::DiskFile;
use super::record::{FRAME_LEN, Frame, PREFIX_LEN, Record};
use super::segment::{HEADER_LEN, Header};
use crate::defect::Defect;

/// How much is read at once: large enough that the system call does not count (256 KiB is 1 000
/// records of one tick), small enough for a processor's cache.
const CHUNK_LEN: u64 = 256 * 1024;

/// A place in one segment, from which records are read.
#[derive(Debug)]
pub(super) struct Scan {
    /// The file.
    file: Box<dyn DiskFile>,
    /// What its header says.
    header: Header,
    /// Where the next record begins.
    offset: u64,
    /// The position that the next record must have.
    position: u64,
    /// Bytes read ahead; bodies of records are slices of it.
    chunk: Bytes,
    /// The offset of the first byte of `chunk`.
    chunk_at: u64,
}

/// What stands at a place in a segment.
#[derive(Debug)]
pub(super) enum Step {
    /// A whole record, the next in order.
    Record(Record),
    /// Nothing yet: zeros, or the limit.
    End,
    /// Something that is not a record.
    Bad(Bad),
}

/// Why the bytes at a place are not the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// Its length reaches beyond the data.
    Length(u32),
    /// It bears the mark of another segment.
    Mark,
    /// Its checksum is wrong.
    Checksum,
    /// It is whole, but its position is not the next.
    Position {
        /// The position behind the record before.
        expected: u64,
        /// What it says.
        found: u64,
    },
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "a record of {len} bytes reaches beyond the data"),
            Self::Mark => write!(f, "the record belongs to another segment"),
            Self::Checksum => write!(f, "the record's checksum is wrong"),
            Self::Position { expected, found } => {
                write!(
                    f,
                    "the record has position {found} where {expected} must follow"
                )
            }
        }
    }
}

impl Scan {
    /// Begins at the segment's first record.
    pub(super) fn new(file: Box<dyn DiskFile>, header: Header) -> Self {
        let position = header.first;
        Self {
            file,
            header,
            offset: HEADER_LEN,
            position,
            chunk: Bytes::new(),
            chunk_at: 0,
        }
    }

    /// Where the next record begins.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The position that the next record must have.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// What the segment's header says.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// The segment's file.
    pub(super) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// Goes back to a record that was read before.
    pub(super) fn rewind(&mut self, offset: u64, position: u64) {
        self.offset = offset;
        self.position = position;
    }

    /// Reads the next record, looking at no byte at or beyond `limit`, and moves behind it.
    ///
    /// After `End` and `Bad` the place stays, and what was read ahead is forgotten: the bytes may
    /// change before the next call.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<Step> {
        let step = self.look(limit)?;
        match &step {
            Step::Record(record) => {
                self.position = record.next();
                self.offset += super::record::span_of(record.body.len());
            }
            Step::End | Step::Bad(_) => self.chunk = Bytes::new(),
        }
        Ok(step)
    }

    /// Reads what stands at the current offset.
    fn look(&mut self, limit: u64) -> io::Result<Step> {
        let left = limit.saturating_sub(self.offset);
        if !self.fetch(FRAME_LEN as u64, limit)? {
            // Not even a frame fits; what is left must be zeros, or it is the rest of something.
            return self.remainder(left);
        }
        let at = self.in_chunk();
        let frame = Frame::decode(&self.chunk[at..]);
        if frame.len == 0 {
            return Ok(Step::End);
        }
        if (frame.len as usize) < FRAME_LEN - PREFIX_LEN || frame.span() > left {
            return Ok(Step::Bad(Bad::Length(frame.len)));
        }
        if frame.mark != self.header.mark {
            return Ok(Step::Bad(Bad::Mark));
        }
        if !self.fetch(frame.span(), limit)? {
            return Ok(Step::Bad(Bad::Length(frame.len)));
        }
        let at = self.in_chunk();
        let end = at + PREFIX_LEN + frame.len as usize;
        if crc32c::crc32c(&self.chunk[at + PREFIX_LEN..end]) != frame.checksum
            && !Defect::ChecksumIgnored.is_on()
        {
            return Ok(Step::Bad(Bad::Checksum));
        }
        if frame.first != self.position {
            let (expected, found) = (self.position, frame.first);
            return Ok(Step::Bad(Bad::Position { expected, found }));
        }
        let body = self.chunk.slice(at + FRAME_LEN..end);
        Ok(Step::Record(Record {
            first: frame.first,
            count: frame.count,
            time: frame.time,
            body,
        }))
    }

    /// Judges a remainder that is too short for a frame.
    fn remainder(&mut self, left: u64) -> io::Result<Step> {
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(FRAME_LEN).min(FRAME_LEN)];
        let read = self.file.read_at(&mut bytes, self.offset)?;
        let zeros = bytes[..read].iter().all(|byte| *byte == 0);
        Ok(if zeros {
            Step::End
        } else {
            Step::Bad(Bad::Length(super::record::u32_at(&pad(&bytes), 0)))
        })
    }

    /// Makes `len` bytes at the current offset available in the chunk; false when the limit or the
    /// file's end comes first.
    fn fetch(&mut self, len: u64, limit: u64) -> io::Result<bool> {
        let chunk_end = self.chunk_at + self.chunk.len() as u64;
        if self.chunk_at <= self.offset && self.offset + len <= chunk_end {
            return Ok(true);
        }
        let left = limit.saturating_sub(self.offset);
        if len > left {
            return Ok(false);
        }
        let wanted = usize::try_from(len.max(CHUNK_LEN).min(left)).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::zeroed(wanted);
        let read = self.file.read_at(&mut bytes, self.offset)?;
        bytes.truncate(read);
        self.chunk = bytes.freeze();
        self.chunk_at = self.offset;
        Ok(read as u64 >= len)
    }

    /// The current offset, relative to the chunk.
    fn in_chunk(&self) -> usize {
        usize::try_from(self.offset - self.chunk_at).unwrap_or(usize::MAX)
    }
}

/// The first four bytes, zeros where there are fewer.
fn pad(bytes: &[u8]) -> [u8; 4] {
    let mut padded = [0; 4];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    padded
}
