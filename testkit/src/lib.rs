//! What the tests and benches of several crates share.

mod postgres;

pub use postgres::{Postgres, TestDatabase, programs};
