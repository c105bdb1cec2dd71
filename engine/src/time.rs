//! A point in time as the engine sees it: nanoseconds since 1970-01-01T00:00:00Z.
//!
//! The engine never reads a clock. Every time here came in with an input.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch, UTC. Reaches from 1677 to 2262.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Time(i64);

impl Time {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be told; used as "never".
    pub const MAX: Self = Self(i64::MAX);

    /// The time `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// This time moved by `nanos`, held at the ends of the range.
    #[must_use]
    pub const fn saturating_add(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl From<Time> for jiff::Timestamp {
    fn from(time: Time) -> Self {
        // Every i64 of nanoseconds lies inside the range of a timestamp (years -9999 to 9999).
        Self::from_nanosecond(i128::from(time.0)).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// RFC 3339 in UTC with microseconds, the form of every time on the wire; finer digits are
/// printed when there are any.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = jiff::Timestamp::from(*self);
        if self.0 % 1_000 == 0 {
            write!(f, "{stamp:.6}")
        } else {
            write!(f, "{stamp:.9}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        let at = |nanos| Time::from_nanos(nanos).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_763_821_800_123_456_000), "2025-11-22T14:30:00.123456Z");
        assert_eq!(
            at(1_763_821_800_123_456_789),
            "2025-11-22T14:30:00.123456789Z"
        );
        assert_eq!(at(-1_000), "1969-12-31T23:59:59.999999Z");
        let _ends = (Time::MIN.to_string(), Time::MAX.to_string());
    }
}
