//! A timeline on its way: several messages are under way, a load waits for all before it.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use divisor_wire::command::{History, HistoryFile, HistoryRow, HistorySummary, Request};
use indicatif::ProgressBar;

use super::timeline::{Step, Timeline};
use crate::commands::load;
use crate::connection::{Asked, Connection};

/// A daemon that is busy with history answers late.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Rows in one message: well below the 256 KiB that a packet may have, with the longest symbols.
const ROWS: usize = 1_500;

/// Messages under way; the daemon has some at hand while one is answered.
const WINDOW: usize = 8;

/// What became of a timeline.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    /// Definitions that were new or changed.
    pub(crate) definitions: u64,
    /// Rows that count.
    pub(crate) applied: u64,
    /// Rows that were there before.
    pub(crate) repeated: u64,
    /// Rows that are stored and older than what counts.
    pub(crate) late: u64,
    /// Rows that wait for an operator.
    pub(crate) held: u64,
    /// Rows that are stored and do not count.
    pub(crate) passed: u64,
    /// Rows that were refused.
    pub(crate) refused: u64,
    /// The first of them, in words.
    pub(crate) reasons: Vec<String>,
}

/// A message under way with what is needed to tell its rows.
struct UnderWay {
    asked: Asked,
    rows: Vec<HistoryRow>,
}

/// Reasons told one by one.
const REASONS_MAX: usize = 20;

/// Sends a timeline and counts what becomes of it.
pub(crate) async fn send(
    connection: &Connection,
    timeline: Timeline,
    bar: &ProgressBar,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut under_way = VecDeque::new();
    for step in timeline.steps {
        match step {
            Step::Rows(rows) => {
                for rows in rows.chunks(ROWS) {
                    if under_way.len() == WINDOW {
                        hear(connection, &mut under_way, bar, outcome).await?;
                    }
                    let asked = ask(connection, &timeline.files, rows).await?;
                    let rows = rows.to_vec();
                    under_way.push_back(UnderWay { asked, rows });
                }
            }
            Step::Load(items) => {
                while !under_way.is_empty() {
                    hear(connection, &mut under_way, bar, outcome).await?;
                }
                let summary = load::apply(connection, *items, false, false).await?;
                let tallies = [
                    summary.calendars,
                    summary.pairs,
                    summary.securities,
                    summary.indexes,
                    summary.revisions,
                    summary.actions,
                ];
                outcome.definitions += tallies.iter().map(|t| t.new + t.changed).sum::<u64>();
            }
        }
    }
    while !under_way.is_empty() {
        hear(connection, &mut under_way, bar, outcome).await?;
    }
    Ok(())
}

/// Sends rows with the files that they come from, numbered anew.
async fn ask(
    connection: &Connection,
    files: &[HistoryFile],
    rows: &[HistoryRow],
) -> anyhow::Result<Asked> {
    let mut used: Vec<u32> = rows.iter().map(|row| row.0).collect();
    used.sort_unstable();
    used.dedup();
    let number = |file: u32| used.binary_search(&file).unwrap_or(0);
    let rows = rows.iter().cloned().map(|mut row| {
        row.0 = u32::try_from(number(row.0)).unwrap_or(0);
        row
    });
    let history = History {
        rows: rows.collect(),
        files: used
            .iter()
            .filter_map(|file| files.get(*file as usize).cloned())
            .collect(),
    };
    let request = Request {
        history: Some(history),
        ..Request::default()
    };
    Ok(connection.ask("history", request).await?)
}

async fn hear(
    connection: &Connection,
    under_way: &mut VecDeque<UnderWay>,
    bar: &ProgressBar,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let Some(UnderWay { asked, rows }) = under_way.pop_front() else {
        return Ok(());
    };
    let summary: HistorySummary = connection
        .answer("history", asked, TIMEOUT)
        .await
        .context("failed to send history; send it again, what has arrived is not taken twice")?;
    outcome.applied += summary.applied;
    outcome.repeated += summary.repeated;
    outcome.late += summary.late;
    outcome.held += summary.held;
    outcome.passed += summary.passed;
    outcome.refused += summary.refused;
    for (place, reason) in summary.reasons {
        if let Some(row) = rows.get(place as usize)
            && outcome.reasons.len() < REASONS_MAX
        {
            let ts = divisor_engine::Time::from_nanos(row.4);
            outcome
                .reasons
                .push(format!("{} {} of {ts}: {reason}", row.2, row.3));
        }
    }
    bar.inc(rows.len() as u64);
    if let Some(last) = rows.last() {
        let at = jiff::Timestamp::from(divisor_engine::Time::from_nanos(last.4));
        bar.set_message(at.strftime("%Y-%m-%d").to_string());
    }
    Ok(())
}
