//! How often something happens, over the last whole seconds.

use std::time::Duration;

/// Whole seconds that count. More would hide that a feed has stopped.
const SECONDS: usize = 5;

/// Counts in a ring of seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    /// The second that is being counted.
    second: u64,
    /// Counts by second modulo the ring's length, which has room for the second under way.
    counts: [u32; SECONDS + 1],
}

impl Rate {
    /// Something happened.
    pub(super) fn count(&mut self, now: Duration) {
        self.turn(now.as_secs());
        if let Some(count) = self.counts.get_mut(slot(self.second)) {
            *count = count.saturating_add(1);
        }
    }

    /// Times a second over the last whole seconds; over those that have been where it is young.
    pub(super) fn per_second(&mut self, now: Duration) -> f64 {
        self.turn(now.as_secs());
        let whole = self.second.min(SECONDS as u64);
        let past = (1..=whole).map(|back| slot(self.second - back));
        let sum: u32 = past.filter_map(|at| self.counts.get(at)).sum();
        f64::from(sum) / (whole.max(1) as f64)
    }

    /// Forgets the seconds in which nothing happened.
    fn turn(&mut self, second: u64) {
        for passed in (self.second + 1..=second).take(SECONDS + 1) {
            if let Some(count) = self.counts.get_mut(slot(passed)) {
                *count = 0;
            }
        }
        if second > self.second + SECONDS as u64 {
            self.counts = [0; SECONDS + 1];
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % (SECONDS as u64 + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_that_of_the_last_whole_seconds() {
        let mut rate = Rate::default();
        let mut check = |counts: u32, at_ms: u64, expected: f64| {
            let now = Duration::from_millis(at_ms);
            (0..counts).for_each(|_| rate.count(now));
            let got = rate.per_second(now);
            assert!((got - expected).abs() < 1e-9, "{at_ms}: {got}");
        };
        check(10, 500, 0.0);
        check(0, 1_000, 10.0);
        check(20, 1_500, 10.0);
        check(0, 2_000, 15.0);
        check(0, 5_999, 6.0);
        check(0, 6_000, 4.0);
        check(0, 7_000, 0.0);
        check(5, 100_000, 0.0);
        check(0, 101_000, 1.0);
    }
}
