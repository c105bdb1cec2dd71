//! The pace of one connection's messages: a limit of so many a second, and what happens beyond it.

use std::time::{Duration, Instant};

use super::Settings;

/// What becomes of a message as far as its pace decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on.
    Taken,
    /// It goes on, but now the connection has to pause.
    Paused,
    /// It is refused.
    Refused,
}

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    accepted: Option<Bucket>,
    /// Refusing costs time too, so a client that does not listen is slowed down like one that
    /// cannot be told.
    refused: Option<Bucket>,
    /// Until when the connection is not to be read.
    pub(super) paused_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Self {
        let accepted = Bucket::new(
            settings.publish_rate_max,
            settings.publish_burst,
            Instant::now(),
        );
        Self {
            refused: accepted.clone(),
            accepted,
            paused_until: None,
        }
    }

    /// Takes one message that has been read.
    pub(super) fn next(&mut self, can_be_told: bool, now: Instant) -> Turn {
        let Some(accepted) = &mut self.accepted else {
            return Turn::Taken;
        };
        if !can_be_told {
            accepted.take(now);
            let debt = accepted.debt();
            return self.pause(debt, now);
        }
        if accepted.try_take(now) {
            return Turn::Taken;
        }
        if let Some(refused) = &mut self.refused {
            refused.take(now);
            let debt = refused.debt();
            self.pause(debt, now);
        }
        Turn::Refused
    }

    fn pause(&mut self, debt: Option<Duration>, now: Instant) -> Turn {
        let Some(debt) = debt else {
            return Turn::Taken;
        };
        let first = self.paused_until.replace(now + debt).is_none();
        if first { Turn::Paused } else { Turn::Taken }
    }
}

/// A token bucket: so many a second, and after a pause so many at once.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket; `None` when there is no limit.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Option<Self> {
        (per_second > 0).then(|| Self {
            per_second: per_second.into(),
            burst: burst.max(1).into(),
            tokens: burst.max(1).into(),
            filled: now,
        })
    }

    /// Takes a token if there is one.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let there = self.tokens >= 1.0;
        if there {
            self.tokens -= 1.0;
        }
        there
    }

    /// Takes a token, on credit if need be: the packet has been read already.
    pub(super) fn take(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// How long until the credit is paid back; `None` when there is none.
    pub(super) fn debt(&self) -> Option<Duration> {
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / self.per_second))
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_be_told_is_refused_and_who_cannot_waits() {
        let settings = Settings {
            publish_rate_max: 10,
            publish_burst: 2,
            ..Settings::default()
        };
        let now = Instant::now();
        let mut told = Pace::new(&settings);
        let turns: Vec<_> = (0..5).map(|_| told.next(true, now)).collect();
        assert_eq!(turns[..2], [Turn::Taken; 2]);
        assert_eq!(turns[2..], [Turn::Refused; 3]);
        assert!(
            told.paused_until.is_some(),
            "the third refusal is one too many"
        );
        let mut silent = Pace::new(&settings);
        let turns: Vec<_> = (0..4).map(|_| silent.next(false, now)).collect();
        assert_eq!(turns, [Turn::Taken, Turn::Taken, Turn::Paused, Turn::Taken]);
        let until = silent.paused_until.unwrap() - now;
        assert!((190..=210).contains(&until.as_millis()), "{until:?}");
    }

    #[test]
    fn a_bucket_keeps_the_pace() {
        let start = Instant::now();
        assert!(Bucket::new(0, 5, start).is_none());
        let mut bucket = Bucket::new(10, 3, start).unwrap();
        for _ in 0..3 {
            assert!(bucket.try_take(start));
        }
        assert!(!bucket.try_take(start));
        assert!(bucket.debt().is_none());
        bucket.take(start);
        assert_eq!(bucket.debt(), Some(Duration::from_millis(100)));
        let later = start + Duration::from_millis(250);
        assert!(bucket.try_take(later));
        assert!(!bucket.try_take(later));
        let much_later = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert!(bucket.try_take(much_later));
        }
        assert!(!bucket.try_take(much_later));
    }
}
