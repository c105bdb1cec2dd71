//! `divisor index composition`, `revisions` and `history`: what an index was made of, and who made
//! it so.

use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};

use super::{show, text};
use crate::cli::Globals;
use crate::commands::connected;
use crate::output::{self, Format, Row};
use crate::web::{self, Site, escape};

/// Which composition.
pub(super) enum Which {
    /// The one in force.
    Now,
    /// The one that the last level at a time was made with.
    At(String),
    /// The one that a revision fixed.
    Revision(u32),
}

impl Which {
    pub(super) fn of(at: Option<String>, revision: Option<u32>) -> Self {
        let at = at.map(Self::At);
        at.or(revision.map(Self::Revision)).unwrap_or(Self::Now)
    }
}

/// What an index consists of, as the HTTP side tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Composition {
    pub(super) code: String,
    pub(super) revision: u32,
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
    which: &Which,
) -> anyhow::Result<()> {
    let composition = match which {
        Which::Now => {
            let ask = async |to: &_| Ok(show(to, code).await?);
            in_force(connected(globals, "index", ask).await?)
        }
        Which::At(at) => composed(site, code, &format!("at={}", escape(at))).await?,
        Which::Revision(revision) => composed(site, code, &format!("revision={revision}")).await?,
    };
    if globals.output == Format::Json {
        return Ok(output::json(&composition)?);
    }
    if globals.output == Format::Table {
        let facts = [
            ("revision", composition.revision.to_string()),
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
        effective: None,
        divisor: detail.divisor,
        cash: Some(detail.cash),
        members: detail.members.into_iter().map(member).collect(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Revision {
    revision: u32,
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
            self.effective.clone(),
            self.cause.clone(),
            text(self.divisor.as_ref()),
            self.constituents.to_string(),
            self.note.clone().unwrap_or_default(),
            self.pos.to_string(),
        ]
    }
}

/// Prints all revisions.
pub(super) async fn revisions(format: Format, site: &Site, code: &str) -> anyhow::Result<()> {
    let path = format!("api/v1/indexes/{}/revisions", escape(code));
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
