//! The tests of divisord from outside, one binary for all.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod cli;
mod config;
mod notify;
