//! The tests of divisord from outside, one binary for all.

mod cli;
mod cluster;
mod config;
mod notify;
mod store;
