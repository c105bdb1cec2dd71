//! The tests of divisord from outside, one binary for all.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod cli;
mod cluster;
mod config;
mod door;
mod e2e;
mod fuzz;
mod notify;
mod store;
mod systemd;
mod terminal;
