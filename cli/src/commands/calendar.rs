//! `divisor calendar`: when exchanges and indexes are open.

use clap::Subcommand;
use divisor_wire::command::{CalendarDetail, CalendarRow, Request, SessionRow};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::connected;
use crate::connection::TIMEOUT;
use crate::exit::Exit;
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor load fixtures/calendars/XNYS.json
  divisor calendar list
  divisor calendar show XNYS --from 2021-11-22 --sessions 5";

/// List calendars, or show the sessions of one
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    /// One line for each calendar
    #[command(after_help = "Examples:\n  divisor calendar list -o csv")]
    List,
    /// The sessions of a calendar, in UTC
    #[command(after_help = "Examples:\n  divisor calendar show XNYS --from 2021-11-22")]
    Show {
        /// The calendar's name
        name: String,
        /// The first date; today when absent
        #[arg(long, value_name = "DATE")]
        from: Option<jiff::civil::Date>,
        /// How many sessions
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=500))]
        sessions: u32,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(CalendarRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "zone",
        ">holidays",
        ">special",
        "from",
        "to",
        ">indexes",
    ];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        let date = |date: &Option<String>| date.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            row.name.clone(),
            row.zone.clone(),
            row.holidays.to_string(),
            row.special.to_string(),
            date(&row.from),
            date(&row.to),
            row.indexes.to_string(),
        ]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(SessionRow);

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = &["day", "pre_open", "open", "close"];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.day.clone(),
            row.pre_open.clone(),
            row.open.clone(),
            row.close.clone(),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    connected(globals, "calendar", async |connection| {
        match verb {
            Verb::List => {
                let rows: Vec<CalendarRow> = connection.list("calendar.list").await?;
                let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
                output::rows(globals.output, &rows)?;
            }
            Verb::Show {
                name,
                from,
                sessions,
            } => {
                let request = Request {
                    calendar: Some(name),
                    from: from.map(|date| date.to_string()),
                    limit: Some(sessions),
                    ..Request::default()
                };
                let detail: CalendarDetail = connection
                    .request("calendar.show", request, TIMEOUT)
                    .await?;
                if globals.output == Format::Json {
                    output::json(&detail)?;
                } else {
                    let rows: Vec<Shown> = detail.sessions.into_iter().map(Shown).collect();
                    output::rows(globals.output, &rows)?;
                }
            }
        }
        Ok(Exit::Done)
    })
    .await
}
