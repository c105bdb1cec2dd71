//! `divisor load`: fixtures into the daemon, whole or not at all.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use divisor_wire::command::{Items, LoadSummary, Request};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::Globals;
use crate::connection::{Connection, RequestError, TIMEOUT, WINDOW, fresh_id};
use crate::exit::Exit;
use crate::fixtures::{self, Form};
use crate::interrupt::Interrupt;
use crate::output::{self, Format, Row};

/// A commit applies everything at once: thousands of baskets take their time.
const COMMIT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);
/// How often a load is sent when the connection broke in between.
const ATTEMPTS: u32 = 3;

const EXAMPLES: &str = "\
Examples:
  divisor load fixtures/dow/before.json fixtures/dow/spinoff.json
  divisor load prices.csv                    symbol,price,ts or date,AAPL,MSFT,…
  divisor load --dry-run universe.json       what would change
  divisor load --ignore-unknown dump.json    manage.py dumpdata of an index project
  curl -s https://example.org/closes.csv | divisor load --format csv -";

/// Load securities, indexes, revisions, actions, rates and prices
///
/// All files are read and checked first, then sent as one load that the daemon applies whole or
/// not at all. Loading the same file again changes nothing. JSON files are fixtures of Divisor,
/// `{"securities":[…],"indexes":[…]}`, or of Django, `[{"model":"app.security",…}]`; everything
/// else is CSV with prices.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Fixture files; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The form of the input, when name and first byte do not tell
    #[arg(long, value_enum)]
    format: Option<Form>,

    /// Check everything, here and in the daemon, and apply nothing
    #[arg(long)]
    dry_run: bool,

    /// Leave out models and fields of Django files that are not known
    #[arg(long)]
    ignore_unknown: bool,
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    let start = Instant::now();
    let loaded = fixtures::read(&opts.files, opts.format, opts.ignore_unknown)?;
    for note in &loaded.notes {
        output::say(format_args!("note: {note}"));
    }
    let rows = loaded.items.len();
    let connection = Connection::open(&globals.broker, "load", WINDOW).await?;
    let load = apply(&connection, loaded.items, opts.dry_run, true);
    let summary = tokio::select! {
        summary = load => summary?,
        () = interrupt.wait() => {
            output::say(format_args!("interrupted: nothing was applied unless the commit was under way"));
            return Ok(Exit::Interrupted);
        }
    };
    connection.close().await;
    print(globals.output, &summary)?;
    output::say(format_args!(
        "{}{} of {} in {:.2} s",
        if summary.dry_run {
            "dry run, nothing applied: "
        } else {
            ""
        },
        counted(rows, "row"),
        counted(opts.files.len(), "file"),
        start.elapsed().as_secs_f64()
    ));
    Ok(Exit::Done)
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Sends items as one load and waits for its commit. A load that the connection's break cut in
/// half is sent again: the daemon keeps no half, and a repetition changes nothing.
pub(crate) async fn apply(
    connection: &Connection,
    items: Items,
    dry_run: bool,
    progress: bool,
) -> anyhow::Result<LoadSummary> {
    let parts = fixtures::split(items);
    for attempt in 1.. {
        let error = match once(connection, &parts, dry_run, progress).await {
            Ok(summary) => return Ok(summary),
            Err(error) => error,
        };
        let again = match &error {
            RequestError::Timeout { .. } => true,
            RequestError::Refused(refused) => {
                matches!(refused.kind.as_str(), "not_found" | "incomplete")
            }
            RequestError::Malformed { .. } | RequestError::Lost(_) | RequestError::NoReplies(_) => {
                false
            }
        };
        if !again || attempt == ATTEMPTS || connection.account().repeated == 0 {
            return Err(error).context("failed to load, nothing was applied");
        }
        output::say(format_args!(
            "the load was cut in half: {error}; sending it again"
        ));
    }
    unreachable!("the last attempt returns")
}

async fn once(
    connection: &Connection,
    parts: &[Items],
    dry_run: bool,
    progress: bool,
) -> Result<LoadSummary, RequestError> {
    let load = fresh_id();
    let request = || Request {
        load: Some(load.clone()),
        ..Request::default()
    };
    let bar = if progress {
        bar(parts.len())
    } else {
        ProgressBar::hidden()
    };
    connection
        .request::<serde_json::Value>("load.begin", request(), TIMEOUT)
        .await?;
    for (number, items) in parts.iter().enumerate() {
        let part = Request {
            part: u32::try_from(number).ok(),
            items: Some(items.clone()),
            ..request()
        };
        connection
            .request::<serde_json::Value>("load.part", part, TIMEOUT)
            .await?;
        bar.inc(1);
    }
    let commit = Request {
        parts: u32::try_from(parts.len()).ok(),
        dry_run,
        ..request()
    };
    bar.set_message("applying");
    let summary = connection
        .request("load.commit", commit, COMMIT_TIMEOUT)
        .await;
    bar.finish_and_clear();
    summary
}

fn bar(parts: usize) -> ProgressBar {
    let bar = ProgressBar::new(parts as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} parts {msg}") {
        bar.set_style(style);
    }
    bar
}

/// A line of the summary.
#[derive(Serialize)]
struct KindRow {
    kind: &'static str,
    new: u64,
    changed: u64,
    unchanged: u64,
}

impl Row for KindRow {
    const COLUMNS: &'static [&'static str] = &["kind", ">new", ">changed", ">unchanged"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.new, self.changed, self.unchanged].map(|count| count.to_string());
        std::iter::once(self.kind.to_owned())
            .chain(counts)
            .collect()
    }
}

pub(crate) fn print(format: Format, summary: &LoadSummary) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(summary);
    }
    let tallies = [
        ("securities", summary.securities),
        ("indexes", summary.indexes),
        ("revisions", summary.revisions),
        ("actions", summary.actions),
    ];
    let mut rows: Vec<KindRow> = tallies
        .into_iter()
        .map(|(kind, tally)| KindRow {
            kind,
            new: tally.new,
            changed: tally.changed,
            unchanged: tally.unchanged,
        })
        .collect();
    rows.push(KindRow {
        kind: "prices and rates",
        new: summary.prices,
        changed: 0,
        unchanged: summary.prices_repeated,
    });
    output::rows(format, &rows)?;
    for change in &summary.changes {
        output::say(format_args!("{change}"));
    }
    Ok(())
}
