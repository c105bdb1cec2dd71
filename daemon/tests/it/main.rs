//! The daemon's parts against real programs: PostgreSQL, processes, signals.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod cluster;
mod store;
