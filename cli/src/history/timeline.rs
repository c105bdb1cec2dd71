//! What happens when: an index begins behind the prices of its base date, a revision before the
//! prices of its effective time, an action before those of its ex-date.

use divisor_engine::Time;
use divisor_wire::command::{HistoryFile, HistoryRow, Items};

use super::file::{self, Dated};
use crate::exit::WrongInput;
use crate::feed::time;
use crate::fixtures::Source;

/// A step of history.
#[derive(Debug)]
pub(crate) enum Step {
    /// Definitions or revisions, applied whole.
    Load(Box<Items>),
    /// Rows, in the order of their times.
    Rows(Vec<HistoryRow>),
}

/// All of history.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The files that rows name.
    pub(crate) files: Vec<HistoryFile>,
    /// What happens, in its order.
    pub(crate) steps: Vec<Step>,
    /// How many rows there are.
    pub(crate) rows: u64,
}

impl Timeline {
    /// Puts definitions, revisions and the prices of all files in their order.
    pub(crate) fn of(items: &Items, tables: &[Source], dated: &Dated) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut rows = Vec::new();
        let mut take = |found: file::PriceFile| {
            files.push(found.identity);
            rows.extend(found.rows);
        };
        take(file::of_items(items, 0, dated)?);
        for (number, table) in (1u32..).zip(tables) {
            take(file::of_table(table, number, dated)?);
        }
        // Rows of one moment stay in the order of the files.
        rows.sort_by_key(|row| row.4);
        let total = rows.len() as u64;
        let steps = steps(items, rows).map_err(WrongInput)?;
        Ok(Self {
            files,
            steps,
            rows: total,
        })
    }
}

fn steps(items: &Items, rows: Vec<HistoryRow>) -> Result<Vec<Step>, Vec<String>> {
    let mut errors = Vec::new();
    // Definitions by the time before whose rows they come.
    let mut loads: Vec<(i64, Items)> = Vec::new();
    for index in &items.indexes {
        let base = index.base.date.as_deref().and_then(end_of_day);
        let load = Items {
            indexes: vec![index.clone()],
            ..Items::default()
        };
        loads.push((base.unwrap_or(i64::MIN), load));
    }
    for revision in &items.revisions {
        let Some(effective) = revision.effective else {
            errors.push(format!(
                "revision {}: `effective` is missing, which history needs",
                revision.id
            ));
            continue;
        };
        let load = Items {
            revisions: vec![revision.clone()],
            ..Items::default()
        };
        loads.push((effective.as_nanos(), load));
    }
    for action in &items.actions {
        // Before the prices of its day in every time zone; the engine brings it about.
        let ahead = action.ex_date.yesterday().unwrap_or(action.ex_date);
        let at = time(&ahead.to_string()).map_or(i64::MIN, Time::as_nanos);
        let load = Items {
            actions: vec![action.clone()],
            ..Items::default()
        };
        loads.push((at, load));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    loads.sort_by_key(|(at, _)| *at);
    let first = Items {
        calendars: items.calendars.clone(),
        pairs: items.pairs.clone(),
        securities: items.securities.clone(),
        ..Items::default()
    };
    let mut steps = Vec::new();
    if !first.is_empty() {
        steps.push(Step::Load(Box::new(first)));
    }
    let mut rows = rows;
    for (at, load) in loads {
        let rest = rows.split_off(rows.partition_point(|row| row.4 < at));
        push_rows(&mut steps, std::mem::replace(&mut rows, rest));
        match steps.last_mut() {
            // Several indexes at one time are one load.
            Some(Step::Load(last)) if !load.indexes.is_empty() && last.revisions.is_empty() => {
                last.append(load);
            }
            _ => steps.push(Step::Load(Box::new(load))),
        }
    }
    push_rows(&mut steps, rows);
    Ok(steps)
}

fn push_rows(steps: &mut Vec<Step>, rows: Vec<HistoryRow>) {
    if !rows.is_empty() {
        steps.push(Step::Rows(rows));
    }
}

/// The first moment after a date, or after the date of a time, in UTC; as `divisor load` has it.
fn end_of_day(text: &str) -> Option<i64> {
    let moment = jiff::Timestamp::from(time(text)?);
    let date = jiff::tz::TimeZone::UTC.to_datetime(moment).date();
    time(&date.tomorrow().ok()?.to_string()).map(Time::as_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_its_order() {
        let items: Items = serde_json::from_str(
            r#"{"securities":[{"symbol":"A","currency":"USD"}],
                "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},
                    "base":{"value":"100","date":"2021-11-03"},"basket":[{"symbol":"A"}]}],
                "revisions":[{"id":"r","effective":"2021-11-05T09:00:00Z"}],
                "prices":[{"symbol":"A","price":"1","ts":"2021-11-03T20:00:00Z"}]}"#,
        )
        .unwrap();
        let table = Source {
            name: "f.csv".to_owned(),
            text: "date,A\n2021-11-04,2\n2021-11-05,3\n".to_owned(),
        };
        let dated = Dated {
            at: "20:00".parse().unwrap(),
            zone: jiff::tz::TimeZone::UTC,
            kind: divisor_engine::Kind::Trade,
        };
        let timeline = Timeline::of(&items, &[table], &dated).unwrap();
        let tell = |step: &Step| match step {
            Step::Load(items) => format!(
                "{} securities, {} indexes, {} revisions",
                items.securities.len(),
                items.indexes.len(),
                items.revisions.len()
            ),
            Step::Rows(rows) => {
                let prices = rows.iter().map(|row| row.3.to_string());
                prices.collect::<Vec<_>>().join(" ")
            }
        };
        let steps: Vec<String> = timeline.steps.iter().map(tell).collect();
        assert_eq!(
            steps,
            [
                "1 securities, 0 indexes, 0 revisions",
                "1",
                "0 securities, 1 indexes, 0 revisions",
                "2",
                "0 securities, 0 indexes, 1 revisions",
                "3",
            ]
        );
        assert_eq!((timeline.rows, timeline.files.len()), (3, 2));
    }
}
