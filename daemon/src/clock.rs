//! The one place that reads the wall clock. Everything else is told the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use divisor_engine::Time;

/// Where the sequencer gets the time of a batch from; a fake one in simulations.
pub trait Clock: Send {
    /// The time now. It may fall: somebody may set the clock.
    fn now(&self) -> Time;

    /// The time since some moment of this process; it never falls.
    fn uptime(&self) -> Duration;

    /// Waits, while nothing else can be done.
    fn rest(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn uptime(&self) -> Duration {
        static STARTED: OnceLock<Instant> = OnceLock::new();
        STARTED.get_or_init(Instant::now).elapsed()
    }

    fn now(&self) -> Time {
        // Whole microseconds: what PostgreSQL and most clients can tell. No overflow before 2262.
        let micros = jiff::Timestamp::now().as_microsecond();
        Time::from_nanos(micros.saturating_mul(1_000))
    }
}
