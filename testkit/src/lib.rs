//! What the tests and benches of several crates share.

mod certificates;
mod daemon;
mod postgres;

pub use certificates::{Authority, Certificate};
pub use daemon::{Daemon, Options, PATIENCE, eventually};
pub use postgres::{Postgres, TestDatabase, programs};
