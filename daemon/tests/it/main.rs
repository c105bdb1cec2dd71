//! The tests of divisord from outside, one binary for all.

mod cli;
mod config;
mod notify;
