//! The daemon of Divisor.
//!
//! # Parts
//!
//! - [`cli`]: the verbs of `divisord`; [`exit`]: how it ends
//! - [`config`]: what an operator may decide, and where each decision came from
//! - [`run`](mod@run): starts the parts and ends them in order; [`state`], [`shutdown`], [`notify`] and
//!   [`logging`] serve it
//! - [`ingress`]: what the door hands to the sequencer
//! - [`journal`]: the truth on disk

pub mod cli;
pub mod config;
pub mod exit;
pub mod ingress;
pub mod journal;
pub mod logging;
pub mod notify;
pub mod run;
pub mod shutdown;
pub mod state;
