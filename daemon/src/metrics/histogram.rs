//! Durations counted into fixed buckets: one atomic addition each, no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: four for each factor of ten, from 50 µs to 10 s. What is longer
/// counts in the last, open one.
pub const BOUNDS_MICROS: [u64; 22] = [
    50, 100, 180, 320, 560, 1_000, 1_800, 3_200, 5_600, 10_000, 18_000, 32_000, 56_000, 100_000,
    180_000, 320_000, 560_000, 1_000_000, 1_800_000, 3_200_000, 5_600_000, 10_000_000,
];

/// Buckets, the open one among them.
pub const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// Durations by bucket, since the start.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// By bucket, not accumulated.
    pub buckets: [u64; BUCKETS],
    /// The sum of all durations, in microseconds.
    pub sum_micros: u64,
}

impl Histogram {
    /// Counts a duration `times` over.
    pub fn record(&self, duration: Duration, times: u64) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.counts[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum_micros
            .fetch_add(micros.saturating_mul(times), Ordering::Relaxed);
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            buckets: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum_micros: self.sum_micros.load(Ordering::Relaxed),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            sum_micros: 0,
        }
    }
}

impl Counts {
    /// What was counted since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|at| self.buckets[at].saturating_sub(earlier.buckets[at])),
            sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration that a share of `percent` stays below, in microseconds: between the bounds of
    /// its bucket by proportion, as Prometheus does it. None without any.
    #[must_use]
    pub fn quantile_micros(&self, percent: u64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (count * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (at, inside) in self.buckets.iter().enumerate() {
            if below + inside >= rank {
                let low = at.checked_sub(1).map_or(0, |at| BOUNDS_MICROS[at]);
                let Some(high) = BOUNDS_MICROS.get(at) else {
                    return Some(low);
                };
                return Some(low + (high - low) * (rank - below) / inside);
            }
            below += inside;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let histogram = Histogram::default();
        let micros = Duration::from_micros;
        assert_eq!(histogram.counts().quantile_micros(50), None);
        histogram.record(micros(70), 98);
        histogram.record(micros(50), 1);
        histogram.record(micros(4_000), 1);
        let counts = histogram.counts();
        assert_eq!(counts.count(), 100);
        assert_eq!(counts.sum_micros, 70 * 98 + 50 + 4_000);
        assert_eq!(counts.buckets[0], 1, "a bound belongs to its bucket");
        assert_eq!(counts.quantile_micros(99), Some(100));
        assert_eq!(counts.quantile_micros(100), Some(5_600));
        histogram.record(Duration::MAX, 1);
        let later = histogram.counts().since(&counts);
        assert_eq!(later.count(), 1);
        assert_eq!(
            later.quantile_micros(99),
            Some(10_000_000),
            "the open bucket"
        );
    }
}
