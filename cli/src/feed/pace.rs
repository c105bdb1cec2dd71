//! How fast: so many a second, or as fast as acknowledgements come.

use std::time::{Duration, Instant};

/// The finest sleep worth its cost; what falls due in between is sent together.
const GRAIN: Duration = Duration::from_millis(1);

/// Decides how many ticks are due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Ticks a second.
    Rate(f64),
    /// Only the window of unacknowledged messages holds back.
    Max,
}

impl Pace {
    /// How many more are due after `elapsed` when `sent` are out.
    pub(crate) fn due(self, elapsed: Duration, sent: u64) -> u64 {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "non-negative, and the cast saturates"
            )]
            Self::Rate(rate) => ((elapsed.as_secs_f64() * rate) as u64 + 1).saturating_sub(sent),
            Self::Max => u64::MAX,
        }
    }

    /// When the next one falls due.
    pub(crate) fn next(self, start: Instant, sent: u64) -> Instant {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
            Self::Rate(rate) => {
                let due = Duration::try_from_secs_f64(sent as f64 / rate).unwrap_or(Duration::MAX);
                let now = Instant::now();
                start
                    .checked_add(due)
                    .unwrap_or(now + Duration::from_secs(3600))
                    .max(now + GRAIN)
            }
            Self::Max => start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_due() {
        let check = |millis, sent, expected| {
            let due = Pace::Rate(10.0).due(Duration::from_millis(millis), sent);
            assert_eq!(due, expected, "{millis} ms, {sent} sent");
        };
        check(0, 0, 1);
        check(0, 1, 0);
        check(99, 1, 0);
        check(100, 1, 1);
        check(1_000, 1, 10);
    }
}
