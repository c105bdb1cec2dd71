//! `divisor index composition`, `revisions` and `history`: what an index was made of, and who made
//! it so.

use std::str::FromStr;

use clap::Args;
use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};

use super::{show, text};
use crate::cli::Globals;
use crate::commands::connected;
use crate::output::{self, Format, Row};
use crate::web::{self, Site, escape};

/// A revision as it is stated: `5`, or `5@2` for the one that run 2 has made, where `5@0` is what
/// was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    revision: u32,
    run: Option<u32>,
}

impl FromStr for Numbered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (revision, run) = match text.split_once('@') {
            Some((revision, run)) => (revision, Some(run)),
            None => (text, None),
        };
        let number = |text: &str| {
            let wrong = |_| "a revision is a number, or a number and its run as 5@2".to_owned();
            text.parse().map_err(wrong)
        };
        Ok(Self {
            revision: number(revision)?,
            run: run.map(number).transpose()?,
        })
    }
}

impl Numbered {
    /// The same as parameters of a request.
    pub(super) fn query(self) -> String {
        let run = self.run.map(|run| format!("&run={run}"));
        format!("revision={}{}", self.revision, run.unwrap_or_default())
    }
}

/// Which composition, or level.
#[derive(Debug, Default, Args)]
pub(crate) struct When {
    /// A time of the past: RFC 3339, or a date, whose day begins in UTC
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// What was right as of a time: `published`, `now` (as without it), or RFC 3339
    ///
    /// `published` leaves every correction out, a time those that came later.
    #[arg(long, value_name = "TIME")]
    pub(super) as_of: Option<String>,
}

impl When {
    /// True where what is in force is meant, which is told without PostgreSQL.
    pub(super) const fn is_now(&self) -> bool {
        self.at.is_none() && self.as_of.is_none()
    }

    /// The same as parameters of a request.
    pub(super) fn query(&self) -> String {
        let parameters = [("at", &self.at), ("as_of", &self.as_of)];
        let stated = parameters
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", escape(value.as_ref()?))));
        stated.collect::<Vec<_>>().join("&")
    }
}

/// What an index consists of, as the HTTP side tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Composition {
    pub(super) code: String,
    pub(super) revision: u32,
    #[serde(default)]
    pub(super) run: u32,
    pub(super) effective: Option<String>,
    pub(super) divisor: Option<Decimal>,
    pub(super) cash: Option<Decimal>,
    pub(super) members: Vec<Member>,
}

/// A constituent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) symbol: String,
    pub(super) coefficient: Option<Decimal>,
    pub(super) price: Option<Decimal>,
    pub(super) weight: Option<Decimal>,
}

impl Row for Member {
    const COLUMNS: &'static [&'static str] = &["symbol", ">coefficient", ">price", ">weight"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.symbol.clone(),
            text(self.coefficient.as_ref()),
            text(self.price.as_ref()),
            text(self.weight.as_ref()),
        ]
    }
}

/// Asks the HTTP side for a composition of the past.
pub(super) async fn composed(site: &Site, code: &str, which: &str) -> anyhow::Result<Composition> {
    let path = format!("api/v1/indexes/{}/composition?{which}", escape(code));
    web::json(site, &path).await
}

/// Prints a composition. The one in force comes over MQTT, as everything live.
pub(super) async fn composition(
    globals: &Globals,
    site: &Site,
    code: &str,
    when: &When,
    revision: Option<Numbered>,
) -> anyhow::Result<()> {
    let composition = match revision {
        Some(revision) => {
            let which = format!("{}&{}", revision.query(), when.query());
            composed(site, code, which.trim_end_matches('&')).await?
        }
        None if when.is_now() => {
            let ask = async |to: &_| Ok(show(to, code).await?);
            in_force(connected(globals, "index", ask).await?)
        }
        None => composed(site, code, &when.query()).await?,
    };
    if globals.output == Format::Json {
        return Ok(output::json(&composition)?);
    }
    if globals.output == Format::Table {
        let facts = [
            ("revision", told(composition.revision, composition.run)),
            ("effective", text(composition.effective.as_ref())),
            ("divisor", text(composition.divisor.as_ref())),
            ("cash", text(composition.cash.as_ref())),
        ];
        output::line(format_args!("{}", composition.code))?;
        for (name, value) in facts {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    Ok(output::rows(globals.output, &composition.members)?)
}

fn in_force(detail: divisor_wire::command::IndexDetail) -> Composition {
    let member = |row: divisor_wire::command::MemberRow| Member {
        symbol: row.symbol,
        coefficient: row.coefficient,
        price: row.price,
        weight: row.weight,
    };
    Composition {
        code: detail.row.code,
        revision: detail.row.rev,
        run: 0,
        effective: None,
        divisor: detail.divisor,
        cash: Some(detail.cash),
        members: detail.members.into_iter().map(member).collect(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Revision {
    revision: u32,
    #[serde(default)]
    run: u32,
    effective: String,
    cause: String,
    divisor: Option<Decimal>,
    constituents: u64,
    note: Option<String>,
    pos: u64,
}

impl Row for Revision {
    const COLUMNS: &'static [&'static str] = &[
        ">revision",
        ">run",
        "effective",
        "cause",
        ">divisor",
        ">constituents",
        "note",
        ">pos",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.revision.to_string(),
            self.run.to_string(),
            self.effective.clone(),
            self.cause.clone(),
            text(self.divisor.as_ref()),
            self.constituents.to_string(),
            self.note.clone().unwrap_or_default(),
            self.pos.to_string(),
        ]
    }
}

/// A revision with the run that has made it, where one has.
pub(super) fn told(revision: u32, run: u32) -> String {
    if run == 0 {
        return revision.to_string();
    }
    format!("{revision}@{run} (restated)")
}

/// Prints all revisions.
pub(super) async fn revisions(
    format: Format,
    site: &Site,
    code: &str,
    as_of: Option<&str>,
) -> anyhow::Result<()> {
    let as_of = as_of.map(|as_of| format!("?as_of={}", escape(as_of)));
    let as_of = as_of.unwrap_or_default();
    let path = format!("api/v1/indexes/{}/revisions{as_of}", escape(code));
    let rows: Vec<Revision> = web::rows(site, &path, "after").await?;
    Ok(output::rows(format, &rows)?)
}

#[derive(Debug, Serialize, Deserialize)]
struct Change {
    ts: String,
    by: String,
    what: String,
    text: String,
    pos: u64,
}

impl Row for Change {
    const COLUMNS: &'static [&'static str] = &["ts", "by", "what", "text", ">pos"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.ts.clone(),
            self.by.clone(),
            self.what.clone(),
            self.text.clone(),
            self.pos.to_string(),
        ]
    }
}

/// Prints all changes.
pub(super) async fn changes(format: Format, site: &Site, code: &str) -> anyhow::Result<()> {
    let path = format!("api/v1/indexes/{}/changes", escape(code));
    let rows: Vec<Change> = web::rows(site, &path, "after").await?;
    Ok(output::rows(format, &rows)?)
}
