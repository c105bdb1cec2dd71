//! The daemon's parts against real programs: PostgreSQL, processes, signals.

mod cluster;
mod store;
