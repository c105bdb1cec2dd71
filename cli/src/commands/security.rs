//! `divisor security`: the securities of the daemon.

use clap::Subcommand;
use divisor_wire::command::{Request, SecurityDetail, SecurityRow};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::connected;
use crate::commands::index::{OfSecurity, of_security};
use crate::connection::{Connection, TIMEOUT};
use crate::exit::Exit;
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor security list
  divisor security show AAPL -o json
  divisor security deactivate GONE --note delisted
  divisor security delete GONE";

/// List, show and retire securities
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    #[command(flatten)]
    Life(OfSecurity),
    /// One line for each security
    #[command(after_help = "Examples:\n  divisor security list -o csv")]
    List,
    /// A security with its last price and its indexes
    #[command(after_help = "Examples:\n  divisor security show AAPL")]
    Show {
        /// The symbol
        symbol: String,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(SecurityRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &["symbol", "name", "ccy", ">price", "ts", "life"];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.symbol.clone(),
            row.name.clone().unwrap_or_default(),
            row.currency.to_string(),
            row.price
                .map_or_else(|| "-".to_owned(), |price| price.to_string()),
            row.ts.clone().unwrap_or_else(|| "-".to_owned()),
            row.life.as_str().to_owned(),
        ]
    }
}

/// A security as one wide row.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(SecurityDetail);

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = &[
        "symbol",
        "name",
        "ccy",
        ">price",
        "ts",
        "life",
        "src",
        ">places",
        ">price max",
        "indexes",
    ];

    fn cells(&self) -> Vec<String> {
        let Self(detail) = self;
        let mut cells = Listed(detail.row.clone()).cells();
        cells.extend([
            detail.src.clone().unwrap_or_else(|| "-".to_owned()),
            detail.definition.price_places.to_string(),
            detail.definition.price_max.to_string(),
            detail.indexes.join(" "),
        ]);
        cells
    }
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    let format = globals.output;
    match verb {
        Verb::Life(verb) => return of_security(verb, globals).await,
        Verb::List => {
            let ask = async |to: &Connection| Ok(to.list("security.list").await?);
            let rows: Vec<SecurityRow> = connected(globals, "security", ask).await?;
            let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
            output::rows(format, &rows)?;
        }
        Verb::Show { symbol } => {
            let ask = async |to: &Connection| show(to, &symbol).await;
            let detail = connected(globals, "security", ask).await?;
            if format == Format::Json {
                output::json(&detail)?;
            } else {
                output::rows(format, &[Shown(detail)])?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Asks for one security.
pub(crate) async fn show(connection: &Connection, symbol: &str) -> anyhow::Result<SecurityDetail> {
    let request = Request {
        symbol: Some(symbol.to_owned()),
        ..Request::default()
    };
    Ok(connection
        .request("security.show", request, TIMEOUT)
        .await?)
}
