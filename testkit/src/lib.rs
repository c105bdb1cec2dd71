//! What the tests and benches of several crates share.

mod daemon;
mod postgres;
mod proxy;

pub use daemon::{Daemon, Options, PATIENCE, eventually};
pub use postgres::{Postgres, TestDatabase, programs};
pub use proxy::{Proxy, Upstream};
