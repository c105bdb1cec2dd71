//! `divisor rebalance`: reviews planned beforehand, shown and announced.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use divisor_engine::Decimal;
use divisor_engine::definition::action::Rebalance;
use divisor_engine::definition::{ActionDefinition, Constituent, Event};
use divisor_wire::command::{BeforeAfter, Items, Proforma, ProformaRow, Request};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::{connected, load};
use crate::connection::{Connection, TIMEOUT};
use crate::exit::{Exit, WrongInput};
use crate::fixtures::Source;
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor rebalance plan EQUAL --effective 2026-06-22 --basket new.json --save review.json
  divisor rebalance plan EQUAL --effective 2026-06-22 -o csv      the pro-forma file
  divisor rebalance apply review.json
  divisor rebalance show 2026-06-22-EQUAL";

/// Plan a review, show its pro-forma composition, announce it
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    /// The composition that a review would give; nothing is announced
    ///
    /// Prices and rates of the moment become the reference prices of the review: by them weights
    /// become units, whatever the prices of the effective day are.
    #[command(
        after_help = "Examples:\n  divisor rebalance plan EQUAL --effective 2026-06-22 --days 4"
    )]
    Plan {
        /// The index
        code: String,
        /// The effective day: applied before its first input
        #[arg(long, value_name = "DATE")]
        effective: jiff::civil::Date,
        /// The new basket, a JSON array of constituents; the present one when absent
        #[arg(long, value_name = "FILE")]
        basket: Option<PathBuf>,
        /// Over how many days of the index the units change
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=250))]
        days: u32,
        /// A name for the review; `DATE-CODE` when absent
        #[arg(long)]
        id: Option<String>,
        /// Writes the plan to a file that `apply` reads
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
    /// The pro-forma composition of a planned or announced review, at the prices of the moment
    #[command(
        after_help = "Examples:\n  divisor rebalance show 2026-06-22-EQUAL -o csv\n  divisor rebalance show review.json"
    )]
    Show {
        /// The id of an announced review, or the file of a saved plan
        #[arg(value_name = "ID|FILE")]
        review: String,
    },
    /// Announce the review of a saved plan
    #[command(after_help = "Examples:\n  divisor rebalance apply review.json")]
    Apply {
        /// What `plan --save` wrote
        file: PathBuf,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Member(ProformaRow);

impl Row for Member {
    const COLUMNS: &'static [&'static str] = &[
        "symbol",
        ">price",
        ">coefficient_before",
        ">coefficient_after",
        ">weight_before",
        ">weight_after",
    ];

    fn cells(&self) -> Vec<String> {
        let Self(row) = self;
        let text = |value: Option<Decimal>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let BeforeAfter { before, after } = row.coefficient;
        vec![
            row.symbol.clone(),
            text(row.price),
            text(before),
            text(after),
            text(row.weight.before),
            text(row.weight.after),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    match verb {
        Verb::Plan {
            code,
            effective,
            basket,
            days,
            id,
            save,
        } => {
            let basket = basket
                .as_deref()
                .map(read::<Vec<Constituent>>)
                .transpose()?;
            let id = id.unwrap_or_else(|| format!("{effective}-{code}"));
            let review = Rebalance {
                index: code,
                basket,
                reference: Vec::new(),
                days: i64::from(days).into(),
            };
            let action = ActionDefinition {
                id,
                ex_date: effective,
                zone: None,
                note: None,
                event: Event::Rebalance(review),
            };
            let request = Request {
                items: Some(only(action)),
                ..Request::default()
            };
            let proforma = ask(globals, request).await?;
            if let Some(file) = save {
                let text = serde_json::to_string_pretty(&proforma)?;
                std::fs::write(&file, text + "\n")
                    .with_context(|| format!("failed to write {}", file.display()))?;
            }
            print(globals.output, proforma)?;
        }
        Verb::Show { review } => {
            let request = shown(review)?;
            print(globals.output, ask(globals, request).await?)?;
        }
        Verb::Apply { file } => {
            let proforma: Proforma = read(&file).context("this is no saved plan")?;
            let review = only(proforma.action);
            let apply = async |to: &Connection| load::apply(to, review, false, false).await;
            let summary = connected(globals, "rebalance", apply).await?;
            load::print(globals.output, &summary)?;
        }
    }
    Ok(Exit::Done)
}

/// The review of a saved plan where there is such a file, else the announced one of that name.
fn shown(review: String) -> anyhow::Result<Request> {
    let file = Path::new(&review);
    if file.is_file() {
        let plan: Proforma = read(file).context("this is no saved plan")?;
        return Ok(Request {
            items: Some(only(plan.action)),
            ..Request::default()
        });
    }
    Ok(Request {
        action: Some(review),
        ..Request::default()
    })
}

fn only(action: ActionDefinition) -> Items {
    Items {
        actions: vec![action],
        ..Items::default()
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> anyhow::Result<T> {
    let source = Source::read(file)?;
    serde_json::from_str(&source.text)
        .map_err(|error| WrongInput::one(format!("{}: {error}", source.name)).into())
}

async fn ask(globals: &Globals, request: Request) -> anyhow::Result<Proforma> {
    connected(globals, "rebalance", async |connection| {
        let proforma = connection
            .request("rebalance.plan", request, TIMEOUT)
            .await?;
        Ok(proforma)
    })
    .await
}

fn print(format: Format, proforma: Proforma) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(&proforma);
    }
    if format == Format::Table {
        let text = |value: Option<Decimal>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let facts = [
            ("review", proforma.action.id.clone()),
            ("index", proforma.index.clone()),
            ("effective", proforma.effective.clone()),
            ("level", text(proforma.level)),
            ("divisor before", text(proforma.divisor.before)),
            ("divisor after", text(proforma.divisor.after)),
            ("turnover", proforma.turnover.to_string()),
            ("additions", proforma.additions.join(" ")),
            ("deletions", proforma.deletions.join(" ")),
        ];
        for (name, value) in facts {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    let members: Vec<Member> = proforma.members.into_iter().map(Member).collect();
    output::rows(format, &members)
}
