//! `divisor`: loads fixtures, simulates feeds and tails index updates, over MQTT alone.
//!
//! The parts, in the order in which a command meets them:
//!
//! - `cli`, `exit`, `output`, `interrupt`: flags in; codes, tables and talk out; Ctrl-C
//! - `commands`: one file per verb
//! - `fixtures`: files to definitions and prices, checked before anything is sent
//! - `feed`: the simulator, the replay of recorded prices, and the publishers that send them
//! - `history`: definitions, revisions and prices as a timeline, and its way to the daemon
//! - `levels`: what arrives from the daemon, and gaps in it
//! - `connection`: the MQTT client with its outbox, subscriptions, requests and replies

mod cli;
mod commands;
mod connection;
mod exit;
mod feed;
mod fixtures;
mod history;
mod interrupt;
mod levels;
mod output;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::parse();
    match cli::run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}
