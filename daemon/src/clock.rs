//! The one place that reads the wall clock. Everything else is told the time.

use divisor_engine::Time;

/// Where the sequencer gets the time of a batch from; a fake one in simulations.
pub trait Clock: Send {
    /// The time now.
    fn now(&self) -> Time;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Time {
        // A clock before 1678 or after 2262 is held at the epoch; the sequencer never goes back.
        let nanos = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        Time::from_nanos(nanos)
    }
}
