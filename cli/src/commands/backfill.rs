//! `divisor backfill`: history from price files, through the same path as live prices.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use divisor_engine::Kind;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use super::publish::read_kind;
use crate::cli::Globals;
use crate::connection::{Connection, WINDOW};
use crate::exit::Exit;
use crate::fixtures::{self, Source};
use crate::history::{Dated, Outcome, Timeline, send};
use crate::interrupt::Interrupt;
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor backfill universe.json closes.csv.gz
  divisor backfill index.json closes.csv --at 16:00 --zone America/New_York --type close
  divisor backfill closes-2021.csv closes-2022.csv    of indexes that are there";

/// Calculate history from price files
///
/// Definitions, revisions and the prices of all files are put in the order of their times: an index
/// begins behind the prices of its base date, a revision before those of its effective time. They
/// take the same way as live prices and give the same levels, closes and revisions, in the same
/// tables. Sending files again changes nothing. JSON files are fixtures, everything else is CSV,
/// `symbol,price,ts` or `date,SYMBOL,…`; names that end in .gz are unpacked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Fixtures (.json) and prices (.csv), also with .gz
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What a date without a time of day means
    #[arg(long, value_name = "HH:MM", default_value = "00:00")]
    at: jiff::civil::Time,

    /// Whose clock that is
    #[arg(long, default_value = "UTC", value_parser = read_zone)]
    zone: TimeZone,

    /// What kind of price a row is that states none: trade, open, close or nav
    #[arg(long = "type", value_name = "TYPE", default_value = "trade", value_parser = read_kind)]
    kind: Kind,
}

fn read_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| format!("`{text}` is no time zone of the IANA data base"))
}

/// The outcome as one wide row.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Told<'a>(&'a Outcome);

impl Row for Told<'_> {
    const COLUMNS: &'static [&'static str] = &[
        ">definitions",
        ">applied",
        ">repeated",
        ">late",
        ">held",
        ">passed",
        ">refused",
    ];

    fn cells(&self) -> Vec<String> {
        let outcome = self.0;
        let numbers = [
            outcome.definitions,
            outcome.applied,
            outcome.repeated,
            outcome.late,
            outcome.held,
            outcome.passed,
            outcome.refused,
        ];
        numbers.iter().map(u64::to_string).collect()
    }
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let (mut definitions, mut tables) = (Vec::new(), Vec::new());
    for path in &opts.files {
        let source = Source::read(path)?;
        let is_json = source
            .text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with(['{', '[']);
        if is_json {
            definitions.push(source);
        } else {
            tables.push(source);
        }
    }
    let loaded = fixtures::parse(&definitions, None, false).map_err(crate::exit::WrongInput)?;
    for note in &loaded.notes {
        output::say(format_args!("note: {note}"));
    }
    let dated = Dated {
        at: opts.at,
        zone: opts.zone,
        kind: opts.kind,
    };
    let timeline = Timeline::of(&loaded.items, &tables, &dated)?;
    let rows = timeline.rows;
    let connection = Connection::open(&globals.broker, "backfill", WINDOW).await?;
    let bar = bar(rows);
    let mut outcome = Outcome::default();
    let is_done = tokio::select! {
        sent = send(&connection, timeline, &bar, &mut outcome) => {
            sent?;
            true
        }
        () = interrupt.wait() => false,
    };
    bar.finish_and_clear();
    if globals.output == Format::Json {
        output::json(&outcome)?;
    } else {
        output::rows(globals.output, &[Told(&outcome)])?;
    }
    for reason in &outcome.reasons {
        output::say(format_args!("refused: {reason}"));
    }
    if !is_done {
        output::say(format_args!(
            "interrupted: send it again, what has arrived is not taken twice"
        ));
        return Ok(Exit::Interrupted);
    }
    connection.close().await;
    let seconds = start.elapsed().as_secs_f64();
    output::say(format_args!("{rows} rows in {seconds:.2} s"));
    Ok(if outcome.refused > 0 {
        Exit::Partial
    } else {
        Exit::Done
    })
}

fn bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let form = "{bar:40} {percent}% {pos}/{len} rows {per_sec} {msg} {eta}";
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}
