//! `divisor price`: prices that wait for an operator.

use clap::Subcommand;
use divisor_engine::{Named, Order};
use divisor_wire::command::{HoldRow, Request};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::connected;
use crate::connection::{Connection, RequestError, TIMEOUT};
use crate::exit::Exit;
use crate::output::{self, Row};

const EXAMPLES: &str = "\
Examples:
  divisor price hold list
  divisor price hold release 8812345        it counts after all
  divisor price hold reject 8812345 8812347";

/// See prices and rates that a gate has held back, and decide on them
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    /// Prices and rates that a gate has held back
    #[command(subcommand, after_help = EXAMPLES)]
    Hold(Hold),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// One line for each, the oldest first
    #[command(after_help = "Examples:\n  divisor price hold list -o json")]
    List,
    /// Let them count, unless a newer one counts already
    #[command(after_help = "Examples:\n  divisor price hold release 8812345")]
    Release {
        /// Their numbers, as `list` shows them
        #[arg(required = true, value_name = "HELD")]
        held: Vec<u64>,
    },
    /// Drop them for good
    #[command(after_help = "Examples:\n  divisor price hold reject 8812345")]
    Reject {
        /// Their numbers, as `list` shows them
        #[arg(required = true, value_name = "HELD")]
        held: Vec<u64>,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(HoldRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        ">held",
        "subject",
        ">price",
        "doubt",
        ">reference",
        "ts",
        "src",
    ];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.held.to_string(),
            row.subject.clone(),
            row.price.to_string(),
            row.doubt.clone(),
            row.reference.to_string(),
            row.ts.clone(),
            row.src.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    connected(globals, "price", async |connection| {
        let Verb::Hold(verb) = verb;
        let exit = match verb {
            Hold::List => {
                let rows: Vec<HoldRow> = connection.list("hold.list").await?;
                let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
                output::rows(globals.output, &rows)?;
                Exit::Done
            }
            Hold::Release { held } => {
                let orders = held.into_iter().map(|held| Order::Release { held });
                carry_out(connection, orders).await?
            }
            Hold::Reject { held } => {
                let orders = held.into_iter().map(|held| Order::Reject { held });
                carry_out(connection, orders).await?
            }
        };
        Ok(exit)
    })
    .await
}

/// Gives orders one by one; what is refused is told, and the others are carried out.
pub(crate) async fn carry_out(
    connection: &Connection,
    orders: impl IntoIterator<Item = Order>,
) -> anyhow::Result<Exit> {
    let (mut done, mut refused) = (0, 0);
    for order in orders {
        let said = done_by(&order);
        let request = Request {
            order: Some(order),
            ..Request::default()
        };
        let answer = connection.request::<serde_json::Value>("order", request, TIMEOUT);
        match answer.await {
            Ok(_) => {
                done += 1;
                output::say(format_args!("{said}"));
            }
            Err(RequestError::Refused(error)) => {
                refused += 1;
                output::say(format_args!("error: {}", error.message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(match (done, refused) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Failure,
        _ => Exit::Partial,
    })
}

/// What an order has done, for people.
fn done_by(order: &Order) -> String {
    let name = |of: &Named| match of {
        Named::Index(name) | Named::Security(name) => name.clone(),
    };
    match order {
        Order::Release { held } => format!("{held} released"),
        Order::Reject { held } => format!("{held} rejected"),
        Order::Halt { index, .. } => format!("{index} halted"),
        Order::Resume { index } => format!("{index} resumed"),
        Order::Close { index } => format!("{index} closed"),
        Order::Confirm { index } => format!("the close of {index} is final"),
        Order::Deactivate { of, .. } => format!("{} deactivated", name(of)),
        Order::Reactivate { of, .. } => format!("{} reactivated", name(of)),
        Order::Delete { of, .. } => format!("{} deleted", name(of)),
        Order::Rename { index, to, .. } => format!("{index} renamed {to}"),
    }
}
