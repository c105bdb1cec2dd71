//! A segment: one file of the journal, named by the position of its first record.
//!
//! ```text
//! 00000000000000184467.journal        the first position, 20 digits, so that names sort
//! ┌──────────────────────────────┬────────┬────────┬─────┬───────────────┐
//! │ header, 4096 bytes           │ record │ record │  …  │ zeros         │
//! └──────────────────────────────┴────────┴────────┴─────┴───────────────┘
//! ```
//!
//! The header has a block of its own, so that writing the first record can never tear it. Records
//! begin at multiples of 8 bytes. A segment names its predecessor, so that a missing file is noticed
//! without reading the others.

use super::record::{u32_at, u64_at};

/// The version of header and frame that this code writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

/// Where records begin: one page, the unit in which disks and the page cache write.
pub(super) const HEADER_LEN: u64 = 4096;

/// The first bytes of every segment.
const MAGIC: &[u8; 8] = b"DIVISORJ";

/// The header's fields end here; their checksum follows.
const FIELDS_LEN: usize = 60;

/// Stands for "no predecessor" in a header.
const NO_PREDECESSOR: u64 = u64::MAX;

/// What the first bytes of a segment say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The position of its first record.
    pub(super) first: u64,
    /// The first position of the segment before it; `None` for the journal's very first.
    pub(super) previous: Option<u64>,
    /// The boot of the daemon that began it.
    pub(super) epoch: u64,
    /// The time of its first record, nanoseconds since 1970.
    pub(super) created: i64,
    /// A random number that all its records repeat.
    pub(super) mark: u64,
    /// The file's length in bytes.
    pub(super) len: u64,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is not a header, or its checksum is wrong.
    Damaged,
    /// It was written by another version of the format.
    Version(u32),
}

impl Header {
    /// The bytes of the header, to be written at offset 0.
    pub(super) fn encode(&self) -> [u8; FIELDS_LEN + 4] {
        let mut bytes = [0; FIELDS_LEN + 4];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let previous = self.previous.unwrap_or(NO_PREDECESSOR);
        let created = self.created.cast_unsigned();
        let fields = [
            self.first, previous, self.epoch, created, self.mark, self.len,
        ];
        for (field, place) in fields.iter().zip(bytes[12..FIELDS_LEN].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes[..FIELDS_LEN]);
        bytes[FIELDS_LEN..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; the version is looked at first, since another one may differ in the rest.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < FIELDS_LEN + 4 || bytes[..8] != *MAGIC {
            return Err(HeaderError::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            other => return Err(HeaderError::Version(other)),
        }
        if u32_at(bytes, FIELDS_LEN) != crc32c::crc32c(&bytes[..FIELDS_LEN]) {
            return Err(HeaderError::Damaged);
        }
        let field = |index: usize| u64_at(bytes, 12 + 8 * index);
        Ok(Self {
            first: field(0),
            previous: Some(field(1)).filter(|previous| *previous != NO_PREDECESSOR),
            epoch: field(2),
            created: field(3).cast_signed(),
            mark: field(4),
            len: field(5),
        })
    }
}

/// The name of the segment whose first record has position `first`.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.journal")
}

/// The first position of the segment with this name; `None` when it is not a segment.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let shaped = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    shaped.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_the_round_trip() {
        let header = Header {
            first: 7,
            previous: None,
            epoch: 3,
            created: -1,
            mark: 0xdead_beef,
            len: 1 << 26,
        };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        let mut bytes = header.encode();
        bytes[20] ^= 1;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Damaged));
        bytes[8] = 9;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(9)));
        assert_eq!(Header::decode(&[0; 64]), Err(HeaderError::Damaged));
    }

    #[test]
    fn names_are_positions() {
        assert_eq!(file_name(42), "00000000000000000042.journal");
        assert_eq!(first_of("00000000000000000042.journal"), Some(42));
        assert_eq!(first_of(&file_name(u64::MAX)), Some(u64::MAX));
        for other in [
            "42.journal",
            "next.prepared",
            "+0000000000000000042.journal",
            "é.journal",
        ] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
