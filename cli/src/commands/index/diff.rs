//! `divisor index diff`: what differs between two revisions.

use divisor_engine::Decimal;
use divisor_wire::command::BeforeAfter;
use serde::Serialize;

use super::past::{Composition, Member, Numbered, composed, told};
use super::text;
use crate::output::{self, Format, Row};
use crate::web::Site;

/// Two revisions side by side.
#[derive(Debug, Serialize)]
struct Difference {
    code: String,
    revisions: [u32; 2],
    runs: [u32; 2],
    effective: [Option<String>; 2],
    divisor: BeforeAfter,
    cash: BeforeAfter,
    members: Vec<Changed>,
}

/// A member that one of them lacks, or that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Changed {
    symbol: String,
    change: &'static str,
    coefficient: BeforeAfter,
    weight: BeforeAfter,
    price: BeforeAfter,
}

impl Row for Changed {
    const COLUMNS: &'static [&'static str] = &[
        "symbol",
        "change",
        ">coefficient_before",
        ">coefficient_after",
        ">weight_before",
        ">weight_after",
        ">price_before",
        ">price_after",
    ];

    fn cells(&self) -> Vec<String> {
        let figures = [self.coefficient, self.weight, self.price];
        let both = |figure: BeforeAfter| [figure.before, figure.after];
        let numbers = figures.into_iter().flat_map(both);
        [self.symbol.clone(), self.change.to_owned()]
            .into_iter()
            .chain(numbers.map(|number| text(number.as_ref())))
            .collect()
    }
}

/// Prints what differs.
pub(super) async fn run(
    format: Format,
    site: &Site,
    code: &str,
    before: Numbered,
    after: Numbered,
) -> anyhow::Result<()> {
    let before = composed(site, code, &before.query()).await?;
    let after = composed(site, code, &after.query()).await?;
    let difference = compare(before, after);
    if format == Format::Json {
        return Ok(output::json(&difference)?);
    }
    if format == Format::Table {
        let effective = difference
            .effective
            .each_ref()
            .map(|time| text(time.as_ref()));
        output::line(format_args!("{}", difference.code))?;
        let ([before, after], [from, to]) = (difference.revisions, difference.runs);
        let revisions = [told(before, from), told(after, to)];
        let pair = |both: BeforeAfter| [text(both.before.as_ref()), text(both.after.as_ref())];
        let facts = [
            ("revision", revisions),
            ("effective", effective),
            ("divisor", pair(difference.divisor)),
            ("cash", pair(difference.cash)),
        ];
        for (name, [before, after]) in facts {
            output::line(format_args!("  {name:<16}{before} → {after}"))?;
        }
    }
    Ok(output::rows(format, &difference.members)?)
}

fn compare(before: Composition, after: Composition) -> Difference {
    let find =
        |members: &[Member], symbol: &str| members.iter().find(|m| m.symbol == symbol).cloned();
    let mut symbols: Vec<&String> = before.members.iter().map(|m| &m.symbol).collect();
    symbols.extend(after.members.iter().map(|member| &member.symbol));
    let mut seen = std::collections::BTreeSet::new();
    symbols.retain(|symbol| seen.insert(*symbol));
    let members = symbols.into_iter().filter_map(|symbol| {
        let (old, new) = (find(&before.members, symbol), find(&after.members, symbol));
        let both = |of: fn(&Member) -> Option<Decimal>| BeforeAfter {
            before: old.as_ref().and_then(of),
            after: new.as_ref().and_then(of),
        };
        let coefficient = both(|member| member.coefficient);
        let weight = both(|member| member.weight);
        let differs = |pair: BeforeAfter| match (pair.before, pair.after) {
            (Some(before), Some(after)) => before.normalized() != after.normalized(),
            // What is not known of one of them says nothing.
            _ => false,
        };
        let change = match (&old, &new) {
            (None, _) => "added",
            (_, None) => "deleted",
            _ if differs(coefficient) || differs(weight) => "changed",
            _ => return None,
        };
        Some(Changed {
            symbol: symbol.clone(),
            change,
            coefficient,
            weight,
            price: both(|member| member.price),
        })
    });
    Difference {
        members: members.collect(),
        revisions: [before.revision, after.revision],
        runs: [before.run, after.run],
        effective: [before.effective, after.effective],
        divisor: BeforeAfter {
            before: before.divisor,
            after: after.divisor,
        },
        cash: BeforeAfter {
            before: before.cash,
            after: after.cash,
        },
        code: after.code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_added_deleted_and_changed_members() {
        let composition = |revision: u32, members: &[&str]| Composition {
            code: "X".to_owned(),
            revision,
            run: 0,
            effective: None,
            divisor: None,
            cash: None,
            members: members
                .iter()
                .map(|line| {
                    let parts: Vec<&str> = line.split(' ').collect();
                    Member {
                        symbol: parts[0].to_owned(),
                        coefficient: parts[1].parse().ok(),
                        price: None,
                        weight: parts[2].parse().ok(),
                    }
                })
                .collect(),
        };
        let before = composition(1, &["A 1 0.5", "B 2 0.25", "C 3 0.25"]);
        let after = composition(2, &["A 1.0 0.50", "C 3 0.3", "D 4 0.2"]);
        let difference = compare(before, after);
        let got: Vec<String> = difference
            .members
            .iter()
            .map(|row| format!("{} {}", row.symbol, row.change))
            .collect();
        assert_eq!(got, ["B deleted", "C changed", "D added"]);
        assert_eq!(difference.members[1].cells()[5], "0.3");
    }
}
