//! `divisor index`: the indexes of the daemon.

use clap::{Args, Subcommand};
use divisor_wire::command::{
    ExplainedRow, FollowRow, IndexDetail, IndexExplanation, IndexRow, MemberRow, Request,
};
use serde::Serialize;

use crate::cli::Globals;
use crate::connection::{Connection, RequestError, TIMEOUT, WINDOW};
use crate::exit::Exit;
use crate::output::{self, Format, Row};

const EXAMPLES: &str = "\
Examples:
  divisor index list
  divisor index show DJIA
  divisor index explain DJIA
  divisor index show DJIA -o json | jq .definition    as a fixture states it";

/// List indexes, or show one with its constituents
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One line for each index
    #[command(after_help = "Examples:\n  divisor index list -o csv")]
    List,
    /// The level taken apart, so that a calculator gives it again
    ///
    /// `level = (Σ price · coefficient · rate + cash) / divisor`, cut once at the end.
    #[command(after_help = "Examples:\n  divisor index explain DJIA -o csv")]
    Explain {
        /// The index code
        code: String,
    },
    /// An index with divisor, constituents and weights
    #[command(after_help = "Examples:\n  divisor index show DJIA")]
    Show {
        /// The index code
        code: String,
    },
}

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(IndexRow);

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        "code",
        "name",
        "ccy",
        "weighting",
        ">members",
        ">missing",
        ">level",
        ">chg",
        "ts",
        ">seq",
        ">rev",
        "status",
    ];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.code.clone(),
            row.name.clone().unwrap_or_default(),
            row.currency.to_string(),
            row.weighting.clone(),
            row.constituents.to_string(),
            row.missing.to_string(),
            text(row.level.as_ref()),
            text(row.chg.as_ref()),
            text(row.ts.as_ref()),
            row.seq.to_string(),
            row.rev.to_string(),
            row.status.clone(),
        ]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Member(MemberRow);

impl Row for Member {
    const COLUMNS: &'static [&'static str] =
        &["symbol", "ccy", ">price", ">coefficient", ">weight"];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.symbol.clone(),
            row.currency.to_string(),
            text(row.price.as_ref()),
            text(row.coefficient.as_ref()),
            text(row.weight.as_ref()),
        ]
    }
}

/// Runs the verb.
pub(crate) async fn run(opts: Opts, globals: &Globals) -> anyhow::Result<Exit> {
    let connection = Connection::open(&globals.broker, "index", WINDOW).await?;
    match opts.verb {
        Verb::List => {
            let rows: Vec<IndexRow> = connection.list("index.list").await?;
            let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
            output::rows(globals.output, &rows)?;
        }
        Verb::Explain { code } => {
            let request = Request {
                code: Some(code),
                ..Request::default()
            };
            let explanation = connection
                .request("index.explain", request, TIMEOUT)
                .await?;
            explain(globals.output, explanation)?;
        }
        Verb::Show { code } => {
            let detail = show(&connection, &code).await?;
            print(globals.output, detail)?;
        }
    }
    connection.close().await;
    Ok(Exit::Done)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Part(ExplainedRow);

impl Row for Part {
    const COLUMNS: &'static [&'static str] = &[
        "symbol",
        "ccy",
        ">price",
        ">coefficient",
        ">rate",
        ">value",
        ">points",
        ">weight",
    ];

    fn cells(&self) -> Vec<String> {
        let row = &self.0;
        vec![
            row.symbol.clone(),
            row.currency.to_string(),
            row.price.to_string(),
            row.coefficient.to_string(),
            row.rate.to_string(),
            row.value.to_string(),
            row.points.to_string(),
            text(row.weight.as_ref()),
        ]
    }
}

/// The parts first, then what is done with them.
fn explain(format: Format, explanation: IndexExplanation) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(&explanation);
    }
    let cut = explanation.rounding;
    let mode = serde_json::to_string(&cut.mode).unwrap_or_default();
    let steps = [
        ("cash", explanation.cash.to_string()),
        (
            "sum",
            format!("{} {}", explanation.sum, explanation.currency),
        ),
        ("divisor", explanation.divisor.to_string()),
        ("sum / divisor", explanation.quotient.to_string()),
        (
            "cut to",
            format!("{} places, {}", cut.places, mode.trim_matches('"')),
        ),
        (
            "level",
            format!("{} (revision {})", explanation.level, explanation.rev),
        ),
    ];
    let parts: Vec<Part> = explanation.members.into_iter().map(Part).collect();
    output::rows(format, &parts)?;
    if format == Format::Table {
        for (name, value) in steps {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    Ok(())
}

/// Asks for one index.
pub(crate) async fn show(connection: &Connection, code: &str) -> anyhow::Result<IndexDetail> {
    Ok(request(connection, code).await?)
}

/// The same, for those who want to know why there is none.
pub(crate) async fn request(
    connection: &Connection,
    code: &str,
) -> Result<IndexDetail, RequestError> {
    let request = Request {
        code: Some(code.to_owned()),
        ..Request::default()
    };
    connection.request("index.show", request, TIMEOUT).await
}

/// `0.5 · DJIA + 12.25`, so that a person with a calculator gets the level.
fn line(follows: &FollowRow) -> String {
    let parts = follows.slope.as_ref().zip(follows.offset.as_ref());
    parts.map_or_else(
        || follows.of.clone(),
        |(slope, offset)| format!("{slope} · {} + {offset}", follows.of),
    )
}

fn print(format: Format, detail: IndexDetail) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(&detail);
    }
    if format == Format::Table {
        let row = &detail.row;
        match &row.name {
            Some(name) => output::line(format_args!("{}  {name}", row.code))?,
            None => output::line(format_args!("{}", row.code))?,
        }
        let facts = [
            ("level", text(row.level.as_ref())),
            ("change", text(row.chg.as_ref())),
            ("previous close", text(detail.prev_close.as_ref())),
            ("as of", text(row.ts.as_ref())),
            ("status", row.status.clone()),
            ("waits for", text(detail.waits_for.as_ref())),
            ("weighting", row.weighting.clone()),
            ("currency", row.currency.to_string()),
            (
                "follows",
                detail.follows.as_ref().map_or_else(|| "-".to_owned(), line),
            ),
            ("divisor", text(detail.divisor.as_ref())),
            ("cash", detail.cash.to_string()),
            ("revision", row.rev.to_string()),
            ("levels", row.seq.to_string()),
        ];
        for (name, value) in facts {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    let members: Vec<Member> = detail.members.into_iter().map(Member).collect();
    output::rows(format, &members)
}
