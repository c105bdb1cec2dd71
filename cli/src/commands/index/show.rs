//! `divisor index list` and `show`.

use divisor_wire::command::{FollowRow, IndexDetail, IndexRow, MemberRow, Request};
use serde::Serialize;

use super::text;
use crate::connection::{Connection, RequestError, TIMEOUT};
use crate::output::{self, Format, Row};

#[derive(Serialize)]
#[serde(transparent)]
struct Listed(IndexRow);

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

/// Prints all indexes.
pub(super) async fn list(connection: &Connection, format: Format) -> anyhow::Result<()> {
    let rows: Vec<IndexRow> = connection.list("index.list").await?;
    let rows: Vec<Listed> = rows.into_iter().map(Listed).collect();
    Ok(output::rows(format, &rows)?)
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

pub(super) fn print(format: Format, detail: IndexDetail) -> std::io::Result<()> {
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
