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
use serde::Serialize;

use crate::cli::Globals;
use crate::connection::{Connection, TIMEOUT, WINDOW};
use crate::exit::Exit;
use crate::output::{self, Row};

const EXAMPLES: &str = "\
Examples:
  divisor correct price AAPL --ts 2026-01-06T15:30:00Z --price 189.84 --reason \"a digit too many\"
  divisor correct price AAPL --ts 2026-01-06T15:30:00Z --void --reason \"cancelled by the exchange\"
  divisor correct rate EUR/USD --ts 2026-01-06T15:00:00Z --rate 1.0835 --reason \"revised fixing\" --dry-run
  divisor correct action missed-dividend.json --reason \"announced late\"
  divisor correct withdraw 3 --reason \"the first price was right\"
  divisor correct list";

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
            row.with
                .map_or_else(|| "-".to_owned(), |run| run.to_string()),
            row.why.clone().unwrap_or_else(|| "-".to_owned()),
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
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            row.code.clone(),
            row.levels.to_string(),
            row.closes.to_string(),
            row.largest
                .map_or_else(|| "-".to_owned(), |largest| largest.to_string()),
            text(&row.from),
            text(&row.until),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    // Files are read before anybody is asked.
    let action = match &opts.verb {
        Verb::Action {
            file: Some(file), ..
        } => {
            let mut actions = super::action::read(std::slice::from_ref(file))?.actions;
            actions.pop().filter(|_| actions.is_empty())
        }
        Verb::Action { .. }
        | Verb::Price { .. }
        | Verb::Rate { .. }
        | Verb::Withdraw { .. }
        | Verb::List => None,
    };
    let connection = Connection::open(&globals.broker, "correct", WINDOW).await?;
    let exit = match opts.verb {
        Verb::List => {
            let rows: Vec<CorrectionRow> = connection.list("correct.list").await?;
            let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
            output::rows(globals.output, &rows)?;
            Exit::Done
        }
        Verb::Price {
            symbol,
            price,
            when,
            how,
        } => {
            let When { ts, src, void: _ } = when;
            let what = Corrected::Price(CorrectedPrice {
                symbol,
                ts,
                price,
                src,
            });
            state(&connection, globals, what, how).await?
        }
        Verb::Rate {
            pair,
            rate,
            when,
            how,
        } => {
            let When { ts, src, void: _ } = when;
            let (base, quote) = pair;
            let what = Corrected::Rate(CorrectedRate {
                base,
                quote,
                ts,
                rate,
                src,
            });
            state(&connection, globals, what, how).await?
        }
        Verb::Action { cancel, how, .. } => {
            let what = match (cancel, action) {
                (Some(id), _) => Corrected::CancelAction { id },
                (None, Some(terms)) => Corrected::Action(Box::new(terms)),
                (None, None) => bail!("the file must hold one action"),
            };
            state(&connection, globals, what, how).await?
        }
        Verb::Withdraw { run, how } => {
            state(&connection, globals, Corrected::Withdraw { run }, how).await?
        }
    };
    connection.close().await;
    Ok(exit)
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
