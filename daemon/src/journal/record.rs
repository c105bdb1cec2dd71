//! A record's frame: what stands before the body of each commit batch.
//!
//! | bytes | field | why |
//! |---|---|---|
//! | 4 | length of all that follows the checksum | 0 = no record here: the zeros ahead of the data |
//! | 4 | CRC-32C of all that follows it | a torn or rotten record is never taken for a whole one |
//! | 8 | mark | random per segment: stale bytes of a former life of the file, and bodies made to look like records, don't have it |
//! | 8 | first position | contiguous with the record before |
//! | 8 | time, nanoseconds since 1970 | the batch's time; replay sees the same |
//! | 4 | count of inputs | 0 = a due timer |
//! | 4 | bytes since the last commit in this segment | see below |
//!
//! All numbers are little-endian. The frame and its body are padded with zeros to a multiple of 8.
//!
//! The last field tells a torn tail from damage. After a power cut the records of the last, unsynced
//! commit may be there in any combination, so a whole record after a bad one is no proof of damage.
//! But a record whose commit *began* after the bad one proves that the bad one had been synced: then
//! acknowledged data is lost, and recovery must not cut it off in silence.

use bytes::Bytes;

/// The frame's length in bytes; the body follows.
pub(super) const FRAME_LEN: usize = 40;

/// The part of the frame that the length field does not count: itself and the checksum.
pub(super) const PREFIX_LEN: usize = 8;

/// One commit batch, as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The position of its first input.
    pub first: u64,
    /// How many inputs it holds; 0 for a due timer.
    pub count: u32,
    /// The batch's time, nanoseconds since 1970.
    pub time: i64,
    /// The encoded inputs.
    pub body: Bytes,
}

impl Record {
    /// The position after it, which is the first of the next record.
    #[must_use]
    pub const fn next(&self) -> u64 {
        next_position(self.first, self.count)
    }
}

/// The position after a record; one without inputs takes a position itself.
pub(super) const fn next_position(first: u64, count: u32) -> u64 {
    first + if count == 0 { 1 } else { count as u64 }
}

/// The fields of a frame, checksum aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes after the checksum: the rest of the frame and the body.
    pub(super) len: u32,
    /// CRC-32C of those bytes.
    pub(super) checksum: u32,
    /// The segment's random mark.
    pub(super) mark: u64,
    /// The position of the first input.
    pub(super) first: u64,
    /// The batch's time.
    pub(super) time: i64,
    /// The number of inputs.
    pub(super) count: u32,
    /// Bytes between the beginning of its commit and this record, within its segment.
    pub(super) since_commit: u32,
}

impl Frame {
    /// Reads the fields; `bytes` must hold at least [`FRAME_LEN`].
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self {
            len: u32_at(bytes, 0),
            checksum: u32_at(bytes, 4),
            mark: u64_at(bytes, 8),
            first: u64_at(bytes, 16),
            time: u64_at(bytes, 24).cast_signed(),
            count: u32_at(bytes, 32),
            since_commit: u32_at(bytes, 36),
        }
    }

    /// The bytes from the record's beginning to the next one's, padding included.
    pub(super) const fn span(&self) -> u64 {
        (PREFIX_LEN as u64 + self.len as u64).next_multiple_of(8)
    }
}

/// The bytes that a record with a body of this length takes.
pub(super) const fn span_of(body_len: usize) -> u64 {
    ((FRAME_LEN + body_len) as u64).next_multiple_of(8)
}

/// Writes a whole record into `into`, replacing what it held. `frame.len` and `frame.checksum` are
/// filled in here. `None` when the body is too long for the frame.
pub(super) fn encode(frame: &Frame, body: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let len = u32::try_from(FRAME_LEN - PREFIX_LEN + body.len()).ok()?;
    into.clear();
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&frame.mark.to_le_bytes());
    into.extend_from_slice(&frame.first.to_le_bytes());
    into.extend_from_slice(&frame.time.to_le_bytes());
    into.extend_from_slice(&frame.count.to_le_bytes());
    into.extend_from_slice(&frame.since_commit.to_le_bytes());
    into.extend_from_slice(body);
    let checksum = crc32c::crc32c(&into[PREFIX_LEN..]);
    into[4..8].copy_from_slice(&checksum.to_le_bytes());
    into.resize(into.len().next_multiple_of(8), 0);
    Some(())
}

/// The little-endian number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The little-endian number at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_survives_the_round_trip() {
        let frame = Frame {
            len: 37,
            checksum: 0,
            mark: 1,
            first: 2,
            time: -3,
            count: 4,
            since_commit: 5,
        };
        let mut bytes = Vec::new();
        encode(&frame, b"hello", &mut bytes).unwrap();
        assert_eq!(bytes.len(), 48);
        assert_eq!(span_of(5), 48);
        let back = Frame::decode(&bytes);
        assert_eq!(
            Frame {
                checksum: 0,
                ..back
            },
            frame
        );
        assert_eq!(back.span(), 48);
        assert_eq!(back.checksum, crc32c::crc32c(&bytes[8..45]));
    }

    #[test]
    fn a_timer_takes_a_position() {
        assert_eq!(next_position(7, 0), 8);
        assert_eq!(next_position(7, 1), 8);
        assert_eq!(next_position(7, 3), 10);
    }
}
