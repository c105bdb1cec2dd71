//! `divisor status`: one line about the daemon.

use clap::Args;
use divisor_wire::command::{DaemonStatus, Request};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::connected;
use crate::connection::TIMEOUT;
use crate::exit::Exit;
use crate::output::{self, Row};

const EXAMPLES: &str = "\
Examples:
  divisor status
  divisor status -o json --url mqtt://broker:1883";

/// Say how the daemon is
///
/// Version, boot count (epoch), the state of database (store) and journal, how many securities and
/// indexes, the position of the last input, and how far the database is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {}

#[derive(Serialize)]
#[serde(transparent)]
struct StatusRow(DaemonStatus);

impl Row for StatusRow {
    const COLUMNS: &'static [&'static str] = &[
        "state",
        "version",
        ">epoch",
        "store",
        "journal",
        ">securities",
        ">indexes",
        ">pos",
        ">projected",
        ">behind",
        ">lost",
    ];

    fn cells(&self) -> Vec<String> {
        let status = &self.0;
        let behind = status.pos.saturating_sub(status.projected);
        let numbers = [
            status.securities,
            status.indexes,
            status.pos,
            status.projected,
            behind,
            status.lost,
        ];
        let mut cells = vec![
            status.state.clone(),
            status.version.clone(),
            status.epoch.to_string(),
            status.store.clone(),
            status.journal.clone(),
        ];
        cells.extend(numbers.iter().map(u64::to_string));
        cells
    }
}

/// Runs the verb.
pub(crate) async fn run(_opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    connected(globals, "status", async |connection| {
        let status = connection
            .request("status", Request::default(), TIMEOUT)
            .await?;
        output::rows(globals.output, &[StatusRow(status)])?;
        Ok(Exit::Done)
    })
    .await
}
