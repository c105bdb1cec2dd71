//! `divisor correct`: what of the past was wrong, and what became of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand};
use divisor_engine::{Currency, Decimal};
use divisor_wire::command::{
    Corrected, CorrectedPrice, CorrectedRate, CorrectionEffect, CorrectionRequest, CorrectionRow,
    CorrectionSummary, Request,
};
use serde::{Deserialize, Serialize};

use crate::cli::Globals;
use crate::connection::{Connection, TIMEOUT, WINDOW};
use crate::exit::Exit;
use crate::output::{self, Format, Row};
use crate::web::{self, HttpArgs, Site};

const EXAMPLES: &str = "\
Examples:
  divisor correct price AAPL --ts 2026-01-06T15:30:00Z --price 189.84 --reason \"a digit too many\"
  divisor correct price AAPL --ts 2026-01-06T15:30:00Z --void --reason \"cancelled by the exchange\"
  divisor correct rate EUR/USD --ts 2026-01-06T15:00:00Z --rate 1.0835 --reason \"revised fixing\" --dry-run
  divisor correct action missed-dividend.json --reason \"announced late\"
  divisor correct withdraw 3 --reason \"the first price was right\"
  divisor correct list
  divisor correct show 3";

/// How often it is asked what has become of a correction.
const POLL: Duration = Duration::from_millis(250);

/// A walk over a long history takes its time before it can say what would change.
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(600);

/// Correct the past: what was published stays readable, what is right is calculated from there on
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A price was another one, never was, or did not come
    Price {
        /// Whose price
        #[arg(value_name = "SYMBOL")]
        symbol: String,
        /// What it should have been
        #[arg(
            long,
            value_name = "PRICE",
            required_unless_present = "void",
            conflicts_with = "void"
        )]
        price: Option<Decimal>,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        how: How,
    },
    /// An FX rate was another one, never was, or did not come
    Rate {
        /// The pair, as EUR/USD
        #[arg(value_name = "PAIR", value_parser = pair)]
        pair: (Currency, Currency),
        /// What it should have been
        #[arg(
            long,
            value_name = "RATE",
            required_unless_present = "void",
            conflicts_with = "void"
        )]
        rate: Option<Decimal>,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        how: How,
    },
    /// An action had other terms, was missed, or should not have been announced
    Action {
        /// A fixture with the action as it is right; `-` is stdin
        #[arg(
            value_name = "FILE",
            required_unless_present = "cancel",
            conflicts_with = "cancel"
        )]
        file: Option<PathBuf>,
        /// The id of an action that never was
        #[arg(long, value_name = "ID")]
        cancel: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// An earlier correction was wrong
    Withdraw {
        /// Its run
        run: u32,
        #[command(flatten)]
        how: How,
    },
    /// All corrections, late prices among them, and what became of each
    List,
    /// A correction with what its run has changed of each index
    ///
    /// From PostgreSQL by way of the HTTP side.
    Show {
        /// Its run
        run: u32,
        #[command(flatten)]
        http: HttpArgs,
    },
}

/// Which price or rate.
#[derive(Debug, Args)]
struct When {
    /// Its time, RFC 3339
    #[arg(long, value_name = "TIME")]
    ts: String,
    /// There should have been none
    #[arg(long)]
    void: bool,
    /// Who made it, where several have one of that time
    #[arg(long, value_name = "SOURCE")]
    src: Option<String>,
}

/// How it is stated.
#[derive(Debug, Args)]
struct How {
    /// Why; it is kept and told
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only say which levels it would change
    #[arg(long, visible_alias = "preview")]
    dry_run: bool,
    /// Do not wait until it is in the levels
    #[arg(long)]
    no_wait: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(CorrectionRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        ">run", "time", "by", "what", "reason", "state", ">with", "why",
    ];

    fn cells(&self) -> Vec<String> {
        let Self(row) = self;
        vec![
            row.run.to_string(),
            row.time.clone(),
            row.by.clone(),
            row.what.clone(),
            row.reason.clone(),
            row.state.clone(),
            or_dash(row.with.as_ref()),
            or_dash(row.why.as_ref()),
        ]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Effect(CorrectionEffect);

impl Row for Effect {
    const COLUMNS: &'static [&'static str] =
        &["index", ">levels", ">closes", ">largest", "from", "until"];

    fn cells(&self) -> Vec<String> {
        let Self(row) = self;
        vec![
            row.code.clone(),
            row.levels.to_string(),
            row.closes.to_string(),
            or_dash(row.largest.as_ref()),
            or_dash(row.from.as_ref()),
            or_dash(row.until.as_ref()),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let (what, how) = match opts.verb {
        Verb::List => return list(globals).await,
        Verb::Show { run, http } => return show(globals.output, &http.site(globals)?, run).await,
        Verb::Price {
            symbol,
            price,
            when: When { ts, src, void: _ },
            how,
        } => {
            let price = CorrectedPrice {
                symbol,
                ts,
                price,
                src,
            };
            (Corrected::Price(price), how)
        }
        Verb::Rate {
            pair: (base, quote),
            rate,
            when: When { ts, src, void: _ },
            how,
        } => {
            let rate = CorrectedRate {
                base,
                quote,
                ts,
                rate,
                src,
            };
            (Corrected::Rate(rate), how)
        }
        Verb::Action { file, cancel, how } => (action(file, cancel)?, how),
        Verb::Withdraw { run, how } => (Corrected::Withdraw { run }, how),
    };
    let connection = Connection::open(&globals.broker, "correct", WINDOW).await?;
    let exit = state(&connection, globals, what, how).await?;
    connection.close().await;
    Ok(exit)
}

/// The action of a file as it is right, or the one that never was.
fn action(file: Option<PathBuf>, cancel: Option<String>) -> anyhow::Result<Corrected> {
    if let Some(id) = cancel {
        return Ok(Corrected::CancelAction { id });
    }
    let mut actions = super::action::read(file.as_slice())?.actions;
    match (actions.pop(), actions.is_empty()) {
        (Some(terms), true) => Ok(Corrected::Action(Box::new(terms))),
        _ => bail!("the file must hold one action"),
    }
}

async fn list(globals: &Globals) -> anyhow::Result<Exit> {
    let connection = Connection::open(&globals.broker, "correct", WINDOW).await?;
    let rows: Vec<CorrectionRow> = connection.list("correct.list").await?;
    connection.close().await;
    let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
    output::rows(globals.output, &rows)?;
    Ok(Exit::Done)
}

/// States a correction, and waits for what becomes of it.
async fn state(
    connection: &Connection,
    globals: &Globals,
    what: Corrected,
    how: How,
) -> anyhow::Result<Exit> {
    let How {
        reason,
        dry_run,
        no_wait,
    } = how;
    let request = Request {
        correction: Some(CorrectionRequest { what, reason }),
        dry_run,
        ..Request::default()
    };
    let timeout = if dry_run { PREVIEW_TIMEOUT } else { TIMEOUT };
    let summary: CorrectionSummary = connection.request("correct.add", request, timeout).await?;
    let Some(run) = summary.run else {
        let rows: Vec<Effect> = summary.indexes.into_iter().map(Effect).collect();
        output::rows(globals.output, &rows)?;
        return Ok(Exit::Done);
    };
    if no_wait {
        output::rows(globals.output, &[Listed(row(connection, run).await?)])?;
        return Ok(Exit::Done);
    }
    let bar = super::spinner();
    bar.set_message(format!("run {run}: walking the history"));
    let begun = Instant::now();
    let row = loop {
        let row = row(connection, run).await?;
        if row.state != "open" {
            break row;
        }
        if begun.elapsed() > PREVIEW_TIMEOUT {
            bail!("run {run} is still open: `divisor correct list` tells what becomes of it");
        }
        tokio::time::sleep(POLL).await;
    };
    bar.finish_and_clear();
    let why = row.why.clone();
    output::rows(globals.output, &[Listed(row)])?;
    match why {
        Some(why) => bail!("run {run} has changed nothing: {why}"),
        None => Ok(Exit::Done),
    }
}

/// A correction with what it has changed, as the HTTP side tells it.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    #[serde(flatten)]
    row: CorrectionRow,
    recorded: Option<String>,
    indexes: Vec<Covered>,
}

/// What a run has changed of an index.
#[derive(Debug, Serialize, Deserialize)]
struct Covered {
    code: String,
    policy: String,
    from: Option<String>,
    until: Option<String>,
    levels: u64,
    closes: u64,
    revisions: u64,
    largest: Option<Decimal>,
}

impl Row for Covered {
    const COLUMNS: &'static [&'static str] = &[
        "index",
        "policy",
        "from",
        "until",
        ">levels",
        ">closes",
        ">revisions",
        ">largest",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.code.clone(),
            self.policy.clone(),
            or_dash(self.from.as_ref()),
            or_dash(self.until.as_ref()),
            self.levels.to_string(),
            self.closes.to_string(),
            self.revisions.to_string(),
            or_dash(self.largest.as_ref()),
        ]
    }
}

/// Prints a correction with what it has changed.
async fn show(format: Format, site: &Site, run: u32) -> anyhow::Result<Exit> {
    let shown: Shown = web::json(site, &format!("api/v1/corrections/{run}")).await?;
    if format == Format::Json {
        output::json(&shown)?;
        return Ok(Exit::Done);
    }
    if format == Format::Table {
        let Shown { row, recorded, .. } = &shown;
        output::line(format_args!("run {}", row.run))?;
        let facts = [
            ("what", row.what.clone()),
            ("reason", row.reason.clone()),
            ("by", format!("{} at {}", row.by, row.time)),
            ("state", row.state.clone()),
            ("with run", or_dash(row.with.as_ref())),
            ("counts since", or_dash(recorded.as_ref())),
            ("why", or_dash(row.why.as_ref())),
        ];
        for (name, value) in facts.into_iter().filter(|(_, value)| value != "-") {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    output::rows(format, &shown.indexes)?;
    Ok(Exit::Done)
}

fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

async fn row(connection: &Connection, run: u32) -> anyhow::Result<CorrectionRow> {
    let rows: Vec<CorrectionRow> = connection.list("correct.list").await?;
    let row = rows.into_iter().find(|row| row.run == run);
    row.ok_or_else(|| anyhow::anyhow!("the daemon does not know run {run}"))
}

fn pair(text: &str) -> Result<(Currency, Currency), String> {
    let (base, quote) = text.split_once('/').ok_or("a pair reads as EUR/USD")?;
    let currency = |text| Currency::parse(text).map_err(|error| error.to_string());
    Ok((currency(base)?, currency(quote)?))
}
