//! The one place that reads the wall clock. Everything else is told the time.

use std::time::Duration;

use divisor_engine::Time;

/// Where the sequencer gets the time of a batch from; a fake one in simulations.
pub trait Clock: Send {
    /// The time now.
    fn now(&self) -> Time;

    /// Waits, while nothing else can be done.
    fn rest(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Time {
        // Whole microseconds: what PostgreSQL and most clients can tell. No overflow before 2262.
        let micros = jiff::Timestamp::now().as_microsecond();
        Time::from_nanos(micros.saturating_mul(1_000))
    }
}
