//! `divisor close`, `halt` and `resume`: an operator's word on the day of an index.

use clap::Args;
use divisor_engine::Order;

use super::price::carry_out;
use crate::cli::Globals;
use crate::commands::connected;
use crate::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  divisor close DJIA              its official close is the level of now
  divisor close DJIA --confirm    the close of the last session is final";

/// Calculate the official close of indexes now, or confirm it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Index codes
    #[arg(required = true, value_name = "INDEX")]
    indexes: Vec<String>,

    /// Make the close of the last session final
    #[arg(long)]
    confirm: bool,
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let order = |index| {
        if opts.confirm {
            Order::Confirm { index }
        } else {
            Order::Close { index }
        }
    };
    give(globals, opts.indexes.into_iter().map(order)).await
}

const HALT_EXAMPLES: &str = "\
Examples:
  divisor halt DJIA --note \"prices of the exchange are doubtful\"";

/// Halt indexes: no levels leave until they are resumed
#[derive(Debug, Args)]
#[command(after_help = HALT_EXAMPLES)]
pub(crate) struct HaltOpts {
    /// Index codes
    #[arg(required = true, value_name = "INDEX")]
    indexes: Vec<String>,

    /// Why, for the audit trail
    #[arg(long)]
    note: Option<String>,
}

/// Runs the verb.
pub(crate) async fn halt(opts: HaltOpts, globals: &Globals) -> anyhow::Result<Exit> {
    let note = opts.note;
    let order = |index| Order::Halt {
        index,
        note: note.clone(),
    };
    give(globals, opts.indexes.into_iter().map(order)).await
}

const RESUME_EXAMPLES: &str = "\
Examples:
  divisor resume DJIA    also after a jump of its level, which is believed from here on";

/// End the halt of indexes
#[derive(Debug, Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeOpts {
    /// Index codes
    #[arg(required = true, value_name = "INDEX")]
    indexes: Vec<String>,
}

/// Runs the verb.
pub(crate) async fn resume(opts: ResumeOpts, globals: &Globals) -> anyhow::Result<Exit> {
    let order = |index| Order::Resume { index };
    give(globals, opts.indexes.into_iter().map(order)).await
}

async fn give(globals: &Globals, orders: impl IntoIterator<Item = Order>) -> anyhow::Result<Exit> {
    connected(globals, "order", async |connection| {
        let exit = carry_out(connection, orders).await?;
        Ok(exit)
    })
    .await
}
