//! `divisor index explain`: a level taken apart, of now or of the past.

use divisor_wire::command::{ExplainedRow, IndexExplanation, Request};
use serde::Serialize;

use super::past::When;
use super::text;
use crate::cli::Globals;
use crate::commands::connected;
use crate::connection::TIMEOUT;
use crate::output::{self, Format, Row};
use crate::web::{self, HttpArgs, escape};

/// Asks for the parts of a level and prints them.
pub(super) async fn run(
    globals: &Globals,
    http: &HttpArgs,
    code: String,
    when: &When,
) -> anyhow::Result<()> {
    let explanation = if when.is_now() {
        let request = Request {
            code: Some(code),
            ..Request::default()
        };
        connected(globals, "index", async |connection| {
            Ok(connection
                .request("index.explain", request, TIMEOUT)
                .await?)
        })
        .await?
    } else {
        let path = format!("api/v1/indexes/{}/explain?{}", escape(&code), when.query());
        web::json(&http.site(globals)?, &path).await?
    };
    print(globals.output, explanation)?;
    Ok(())
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
fn print(format: Format, explanation: IndexExplanation) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(&explanation);
    }
    let cut = explanation.rounding;
    let mode = serde_json::to_string(&cut.mode).unwrap_or_default();
    let of = explanation.of.as_ref();
    let mut steps = vec![
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
    if let Some(of) = of {
        let (made, by) = match of.run {
            0 => ("published", String::new()),
            run => ("restated", format!(", by run {run}")),
        };
        steps.push((made, format!("{} ({}, {}{by})", of.level, of.ts, of.status)));
        steps.push(("number", format!("{} at position {}", of.seq, of.pos)));
        if of.level != explanation.level {
            output::say(format_args!(
                "note: the stored level differs from what its parts come to"
            ));
        }
    }
    let parts: Vec<Part> = explanation.members.into_iter().map(Part).collect();
    output::rows(format, &parts)?;
    if format == Format::Table {
        for (name, value) in steps {
            output::line(format_args!("  {name:<16}{value}"))?;
        }
    }
    Ok(())
}
