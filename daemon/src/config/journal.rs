//! `[journal]`: the journal on disk.

use serde::{Deserialize, Serialize};

use crate::journal::{SEGMENT_BYTES_MAX, Settings};

/// The shortest segment that makes sense: below it, files change all the time.
const SEGMENT_BYTES_LEAST: u64 = 1 << 20;

/// How the journal uses its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// The length of one file.
    #[serde(with = "super::units::size")]
    pub segment_bytes: u64,
    /// All files together.
    #[serde(with = "super::units::size")]
    pub bytes_max: u64,
    /// How much is kept of what is stored already.
    #[serde(with = "super::units::size")]
    pub keep: u64,
    /// Whether a commit is synced.
    pub sync: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            bytes_max: 4 << 30,
            keep: 256 << 20,
            sync: true,
        }
    }
}

impl Journal {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if !(SEGMENT_BYTES_LEAST..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            problems.push("journal.segment_bytes must be from 1 MiB to 2 GiB".to_owned());
        }
        if self.bytes_max < 2 * self.segment_bytes {
            problems.push(
                "journal.bytes_max must be at least twice journal.segment_bytes: one file is \
                 written while the next is prepared"
                    .to_owned(),
            );
        } else if self.keep > self.bytes_max - 2 * self.segment_bytes {
            problems.push(
                "journal.keep must leave two segments below journal.bytes_max, or nothing could be \
                 deleted to make room"
                    .to_owned(),
            );
        }
    }

    /// The same, as the journal takes it.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        Settings {
            segment_bytes: self.segment_bytes,
            bytes_max: self.bytes_max,
            keep: self.keep,
            sync: self.sync,
            ahead: true,
        }
    }
}
