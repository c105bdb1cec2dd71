//! The daemon of Divisor.
//!
//! # The way of a price, in reading order
//!
//! - [`door`]: the only code that faces the network; [`ingress`] is what it hands on
//! - [`access`]: who somebody is, and what he may do; [`tls`]: certificates
//! - [`sequencer`]: gives every input a position, makes it durable, applies it
//! - [`journal`]: the truth on disk; [`record`] is what its records say
//! - [`snapshots`]: what a start begins with instead of the first input
//! - [`egress`]: what the sequencer hands to the door's fan-out
//! - [`store`]: follows the journal into PostgreSQL; `restate`: corrects what is there
//! - [`http`]: the page, the history and the metrics; it only reads
//! - [`verify`]: replays what is stored and compares
//!
//! # The house around it
//!
//! - [`cli`]: the verbs of `divisord`; [`exit`]: how it ends
//! - [`run`](mod@run): starts the parts and ends them in order
//! - [`config`]: what an operator may decide, and where each decision came from
//! - `defect`: what could be done wrong, for the proof that the simulation finds it
//! - [`state`], [`health`], [`metrics`], [`clock`], [`shutdown`], [`notify`], [`logging`] serve them all

pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
mod crash;
mod defect;
pub mod door;
pub mod egress;
pub mod exit;
pub mod health;
pub mod http;
pub mod ingress;
pub mod journal;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod record;
pub mod restate;
pub mod run;
pub mod sequencer;
pub mod shutdown;
#[cfg(test)]
mod simulation;
pub mod snapshots;
pub mod state;
pub mod store;
pub mod tls;
pub mod verify;
