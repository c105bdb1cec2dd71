//! `divisor rate`: the FX rates of the daemon.

use clap::{Args, Subcommand};
use divisor_wire::command::RateRow;
use serde::Serialize;

use crate::cli::Globals;
use crate::connection::{Connection, RequestError, WINDOW};
use crate::exit::Exit;
use crate::output::{self, Row};

const EXAMPLES: &str = "\
Examples:
  divisor rate list
  divisor rate list -o json";

/// List the FX rates
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One line for each pair: units of the second currency for one of the first
    #[command(after_help = "Examples:\n  divisor rate list -o csv")]
    List,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(RateRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &["base", "quote", ">rate", "ts", "src"];

    fn cells(&self) -> Vec<String> {
        let Self(row) = self;
        vec![
            row.base.to_string(),
            row.quote.to_string(),
            row.rate.to_string(),
            row.ts.clone(),
            row.src.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let connection = Connection::open(&globals.broker, "rate", WINDOW).await?;
    match opts.verb {
        Verb::List => {
            let rows: Vec<Listed> = list(&connection).await?.into_iter().map(Listed).collect();
            output::rows(globals.output, &rows)?;
        }
    }
    connection.close().await;
    Ok(Exit::Done)
}

/// Asks for all of them.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<RateRow>, RequestError> {
    connection.list("rate.list").await
}
