//! `divisor action`: corporate actions, announced, looked at and cancelled.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use divisor_wire::command::{ActionPreview, ActionRow, BeforeAfter, Items, LoadSummary, Request};
use serde::Serialize;

use crate::cli::Globals;
use crate::commands::{connected, load};
use crate::connection::{Connection, TIMEOUT};
use crate::exit::Exit;
use crate::fixtures::{self, Form, Source};
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor action add fixtures/actions/split.json
  divisor action list --index DJIA
  divisor action preview 2026-06-10-ALFA-SPLIT       what it would do at the prices of the moment
  divisor action preview --file fixtures/actions/rights.json
  divisor action cancel 2026-06-10-ALFA-SPLIT";

/// Announce, list, preview and cancel corporate actions
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Verb {
    /// Announce the actions of some files
    ///
    /// An action is applied before the first input of its ex-date; until then it can be announced
    /// again with other terms, or cancelled.
    #[command(
        after_help = "Examples:\n  divisor action add split.json --dry-run\n  \
        echo '{\"actions\":[…]}' | divisor action add -"
    )]
    Add {
        /// Fixtures with `actions`; `-` is stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check everything and announce nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// One line for each action, in the order of their days
    #[command(after_help = "Examples:\n  divisor action list --symbol IBM -o json")]
    List {
        /// Those that concern this index
        #[arg(long, value_name = "CODE")]
        index: Option<String>,
        /// Those of this security
        #[arg(long)]
        symbol: Option<String>,
    },
    /// What an action would change: prices, shares, divisors
    #[command(after_help = "Examples:\n  divisor action preview 2026-06-10-ALFA-SPLIT")]
    Preview {
        /// The id of an announced action
        #[arg(required_unless_present = "file")]
        id: Option<String>,
        /// A fixture with one action that is not announced yet; `-` is stdin
        #[arg(long, value_name = "FILE", conflicts_with = "id")]
        file: Option<PathBuf>,
    },
    /// Cancel an announced action
    #[command(after_help = "Examples:\n  divisor action cancel 2026-06-10-ALFA-SPLIT")]
    Cancel {
        /// Its id
        id: String,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(ActionRow);

impl Row for Listed {
    const COLUMNS: &'static [&'static str] =
        &["action", "kind", "of", "ex_date", "due", "state", "note"];

    fn cells(&self) -> Vec<String> {
        let Self(row) = self;
        let of = row.symbol.as_ref().or(row.index.as_ref());
        vec![
            row.action.clone(),
            row.kind.clone(),
            of.cloned().unwrap_or_default(),
            row.ex_date.clone(),
            row.due.clone(),
            row.state.clone(),
            row.why
                .clone()
                .or_else(|| row.definition.note.clone())
                .unwrap_or_default(),
        ]
    }
}

/// A figure of a preview.
#[derive(Serialize)]
struct Figure {
    index: String,
    of: String,
    what: &'static str,
    before: String,
    after: String,
}

impl Row for Figure {
    const COLUMNS: &'static [&'static str] = &["index", "of", "what", ">before", ">after"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.index.clone(),
            self.of.clone(),
            self.what.to_owned(),
            self.before.clone(),
            self.after.clone(),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, globals: &Globals) -> anyhow::Result<Exit> {
    // Files are read before anybody is asked.
    let items = match &verb {
        Verb::Add { files, .. } => read(files)?,
        Verb::Preview {
            file: Some(file), ..
        } => read(std::slice::from_ref(file))?,
        Verb::List { .. } | Verb::Preview { .. } | Verb::Cancel { .. } => Items::default(),
    };
    connected(globals, "action", async |connection| {
        match verb {
            Verb::Add { dry_run, .. } => {
                let ids: Vec<String> = items.actions.iter().map(|a| a.id.clone()).collect();
                let summary = load::apply(connection, items, dry_run, false).await?;
                load::print(globals.output, &summary)?;
                if summary.actions.unchanged > 0 {
                    return still_open(connection, &ids).await;
                }
            }
            Verb::List { index, symbol } => {
                let wanted = Request {
                    code: index,
                    symbol,
                    ..Request::default()
                };
                let rows: Vec<ActionRow> = connection.list_of("action.list", wanted).await?;
                let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
                output::rows(globals.output, &rows)?;
            }
            Verb::Preview { id, file } => {
                let request = Request {
                    action: id,
                    items: file.map(|_| items),
                    ..Request::default()
                };
                let preview: ActionPreview = connection
                    .request("action.preview", request, TIMEOUT)
                    .await?;
                print(globals.output, &preview)?;
            }
            Verb::Cancel { id } => {
                let request = Request {
                    action: Some(id.clone()),
                    ..Request::default()
                };
                let summary: LoadSummary = connection
                    .request("action.cancel", request, TIMEOUT)
                    .await?;
                let said = if summary.actions.changed > 0 {
                    "is cancelled"
                } else {
                    "was cancelled before"
                };
                output::say(format_args!("{id} {said}"));
            }
        }
        Ok(Exit::Done)
    })
    .await
}

/// Loading what is known already changes nothing; but who announces what was cancelled wants more.
async fn still_open(connection: &Connection, ids: &[String]) -> anyhow::Result<Exit> {
    let known: Vec<ActionRow> = connection
        .list_of("action.list", Request::default())
        .await?;
    let mut exit = Exit::Done;
    for row in known.iter().filter(|row| ids.contains(&row.action)) {
        if matches!(row.state.as_str(), "cancelled" | "refused") {
            let (id, state) = (&row.action, &row.state);
            output::say(format_args!(
                "error: {id} is {state} and stays so: announce it under another id"
            ));
            exit = Exit::Failure;
        }
    }
    Ok(exit)
}

/// Fixtures that hold actions and nothing else.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Items> {
    let mut sources = Vec::new();
    for file in files {
        sources.push(Source::read(file)?);
    }
    let loaded = fixtures::parse(&sources, Some(Form::Json), false);
    let items = loaded.map_err(crate::exit::WrongInput)?.items;
    if items.actions.is_empty() || items.len() > items.actions.len() {
        return Err(crate::exit::WrongInput(vec![
            "only `actions` can be announced here, at least one; `divisor load` takes everything"
                .to_owned(),
        ]))
        .context("failed to read the actions");
    }
    Ok(items)
}

fn print(format: Format, preview: &ActionPreview) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(preview);
    }
    let mut rows = Vec::new();
    let mut add = |index: &str, of: &str, what, pair: &BeforeAfter| {
        let text = |value: Option<divisor_engine::Decimal>| {
            value.map_or_else(|| "-".to_owned(), |value| value.normalized().to_string())
        };
        if pair.before != pair.after || what == "level" || what == "divisor" {
            rows.push(Figure {
                index: index.to_owned(),
                of: of.to_owned(),
                what,
                before: text(pair.before),
                after: text(pair.after),
            });
        }
    };
    if let Some(price) = &preview.price {
        add("", "", "price", price);
    }
    for index in &preview.indexes {
        add(&index.code, "", "level", &index.level);
        add(&index.code, "", "divisor", &index.divisor);
        for member in &index.members {
            add(&index.code, &member.symbol, "price", &member.price);
            add(&index.code, &member.symbol, "shares", &member.shares);
            add(
                &index.code,
                &member.symbol,
                "coefficient",
                &member.coefficient,
            );
        }
    }
    output::rows(format, &rows)
}
