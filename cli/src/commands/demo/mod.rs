//! `divisor demo`: the whole system in a minute, with numbers that can be checked.

mod daemon;
mod days;
mod live;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{duration, load};
use crate::cli::Globals;
use crate::connection::{Connection, WINDOW};
use crate::exit::Exit;
use crate::fixtures::{self, Source};
use crate::interrupt::Interrupt;
use crate::output;
use daemon::Daemon;

/// Embedded, so that the demo works from any directory.
const BEFORE: &str = include_str!("../../../../fixtures/dow/before.json");
const SPINOFF: &str = include_str!("../../../../fixtures/dow/spinoff.json");
const DAYS: &str = include_str!("../../../../fixtures/dow/days.json");
const UNIVERSE: &str = include_str!("../../../../fixtures/universe/universe.json");

const EXAMPLES: &str = "\
Examples:
  divisor demo                      twenty days of the Dow, then a live market until Ctrl-C
  divisor demo --seconds 20         the same, and an end
  divisor demo --seconds 0 --quiet  only the days and the verdict: a test
  divisor demo --keep               leave the state directory for a look";

/// Show everything at work: a daemon of its own, real days, a live market
///
/// Starts divisord with a fresh state directory, loads the thirty Dow shares and the divisor of
/// 2021-11-03, spins off Kyndryl and compares the new divisor with the published one, publishes
/// the closes of the next days over MQTT and compares every level with the published one, then
/// loads a universe of made-up securities and runs a market over it. The exit code is 1 when a
/// number differs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Days of the Dow to replay
    #[arg(long, default_value_t = 20)]
    days: usize,

    /// How long the live market runs; until Ctrl-C when absent, 0 leaves it out
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,

    /// Only the days' table, and what went wrong
    #[arg(long)]
    quiet: bool,

    /// A state directory to use and to keep
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Where the daemon listens for MQTT; port 1883 of this machine when it is free
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// Keep the temporary state directory
    #[arg(long)]
    keep: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    if text == "0" {
        Ok(Duration::ZERO)
    } else {
        duration(text)
    }
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let mut daemon = Daemon::start(opts.state.clone(), opts.listen, opts.keep, opts.quiet)?;
    let shown = tokio::select! {
        shown = show(&opts, globals, interrupt, &mut daemon) => shown,
        // Only outside the live part, which ends by itself with what it has.
        () = async {
            interrupt.wait().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        } => Ok(Exit::Interrupted),
    };
    let stopped = daemon.stop().await;
    let exit = shown?;
    stopped?;
    Ok(exit)
}

async fn show(
    opts: &Opts,
    globals: &Globals,
    interrupt: &Interrupt,
    daemon: &mut Daemon,
) -> anyhow::Result<Exit> {
    let talk = |text: &str| {
        if !opts.quiet {
            output::say(format_args!("{text}"));
        }
    };
    let connection = daemon.connect(interrupt).await?;
    talk(&format!("divisord listens on {}", daemon.address()));
    talk(&format!("the page is at {}", daemon.page()));
    let mut right = true;
    if opts.days > 0 {
        talk("loading thirty shares and the divisor of 2021-11-03");
        apply(&connection, "before.json", BEFORE).await?;
        right &= days::spin_off(&connection, opts.quiet).await?;
        right &= days::replay(daemon.address(), &connection, opts.days, globals.output).await?;
    }
    if opts.seconds != Some(Duration::ZERO) && !interrupt.is_set() {
        talk("loading a universe of made-up securities");
        apply(&connection, "universe.json", UNIVERSE).await?;
        live::run(
            daemon.address(),
            &connection,
            opts.seconds,
            interrupt,
            globals,
            opts.quiet,
        )
        .await?;
    }
    connection.close().await;
    if !right {
        output::say(format_args!("a number differs from what was published"));
        return Ok(Exit::Failure);
    }
    Ok(Exit::Done)
}

/// Loads an embedded fixture through the real load.
async fn apply(connection: &Connection, name: &str, text: &str) -> anyhow::Result<()> {
    let source = Source {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let loaded = fixtures::parse(&[source], None, false);
    let items = loaded.map_err(crate::exit::WrongInput)?.items;
    load::apply(connection, items, false, false)
        .await
        .with_context(|| format!("failed to load {name}"))?;
    Ok(())
}

/// A connection for the demo.
async fn connect(
    address: &crate::connection::Broker,
) -> Result<Connection, crate::connection::ConnectError> {
    Connection::open(address, "demo", WINDOW).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_fixtures_are_good() {
        for (name, text) in [
            ("before", BEFORE),
            ("spinoff", SPINOFF),
            ("universe", UNIVERSE),
        ] {
            let source = Source {
                name: name.to_owned(),
                text: text.to_owned(),
            };
            assert!(
                !fixtures::parse(&[source], None, false)
                    .unwrap()
                    .items
                    .is_empty(),
                "{name}"
            );
        }
    }
}
