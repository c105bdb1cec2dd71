//! `divisor rate`: the FX rates of the daemon.

use clap::Subcommand;
use divisor_wire::command::RateRow;
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::connected;
use crate::connection::{Connection, RequestError};
use crate::exit::Exit;
use crate::output::{self, Row};

const EXAMPLES: &str = "\
Examples:
  divisor rate list
  divisor rate list -o json";

/// List the FX rates
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
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
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    connected(globals, "rate", async |connection| {
        match verb {
            Verb::List => {
                let rows: Vec<Listed> = list(connection).await?.into_iter().map(Listed).collect();
                output::rows(globals.output, &rows)?;
            }
        }
        Ok(Exit::Done)
    })
    .await
}

/// Asks for all of them.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<RateRow>, RequestError> {
    connection.list("rate.list").await
}
