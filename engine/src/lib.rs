//! Index arithmetic as a pure state machine.

mod decimal;
mod time;

pub use decimal::{Decimal, DecimalError, PLACES_MAX, RoundingMode, div_round, pow10};
pub use time::Time;
