//! The tests of divisord from outside, one binary for all.

mod cli;
mod cluster;
mod config;
mod door;
mod notify;
mod store;
