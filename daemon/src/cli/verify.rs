//! `divisord verify`: compares everything that is stored with everything that it follows from.

use std::fmt::Write as _;

use divisor_engine::{Corrections, Engine};

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::journal::{self, View};
use crate::restate::{self, Checked};
use crate::run;
use crate::snapshots::Snapshots;
use crate::store::History;
use crate::verify::{self, Batches, Counts, Walk};

/// Runs the verb: first PostgreSQL against itself, then the journal against PostgreSQL.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let mut access = run::look(config)?;
    let snapshots = Snapshots::new(config.state_dir.join(crate::snapshots::DIR));
    let mut text = String::new();
    let outcome = postgres(&mut access, &snapshots, &mut text).and_then(|()| {
        let dir = config.journal_dir();
        if dir.is_dir() {
            // PostgreSQL first, so that a daemon that goes on meanwhile has the journal ahead.
            journal(&mut access, &dir, &snapshots, &mut text)
        } else {
            text.push_str("journal     none\n");
            Ok(())
        }
    });
    super::print(&text)?;
    outcome
}

/// The rows against a replay of the rows.
fn postgres(
    access: &mut run::Access,
    snapshots: &Snapshots,
    text: &mut String,
) -> Result<(), Failure> {
    let Some(client) = &mut access.client else {
        text.push_str("PostgreSQL  none\n");
        return Ok(());
    };
    let mut history = History::open(client, 0)?;
    let reached = history.reached();
    let name = history.journal().unwrap_or("none").to_owned();
    let _ = writeln!(text, "PostgreSQL  positions 0..{reached} of journal {name}");
    match history.oldest()? {
        Some(0) => {}
        None => return Ok(()),
        Some(oldest) => {
            let _ = writeln!(
                text,
                "recomputed  not: the rows before position {oldest} are gone"
            );
            return Ok(());
        }
    }
    let kept = history.kept().prices;
    let (start, history) = if kept == 0 {
        (Engine::new(), history)
    } else {
        drop(history);
        let Some(start) = first_state(snapshots, kept..=reached) else {
            let _ = writeln!(
                text,
                "recomputed  not: prices before position {kept} are not kept, and there is no \
                 state of behind them"
            );
            return Ok(());
        };
        let from = start.next_position();
        (start, History::open(client, from)?)
    };
    let from = start.next_position();
    let mut walk = Walk::new(Batches::Postgres(history), start);
    let outcome = compare(&mut walk, snapshots);
    summary("recomputed", &walk, from, text, outcome.is_ok());
    outcome?;
    let corrections = walk.engine().corrections().clone();
    drop(walk);
    restated(client, snapshots, &corrections, text)
}

/// The oldest state of some positions.
fn first_state(snapshots: &Snapshots, of: std::ops::RangeInclusive<u64>) -> Option<Engine> {
    let positions = snapshots.all_positions().unwrap_or_default();
    let mut usable = positions
        .into_iter()
        .filter(|position| of.contains(position));
    usable.find_map(|position| snapshots.read(position).ok())
}

/// The rows of corrections against walks with them.
fn restated(
    client: &mut postgres::Client,
    snapshots: &Snapshots,
    corrections: &Corrections,
    text: &mut String,
) -> Result<(), Failure> {
    if corrections.all().is_empty() {
        return Ok(());
    }
    let Checked {
        runs,
        levels,
        closes,
        unkept,
        difference,
    } = restate::check(client, snapshots, corrections)?;
    let equal = if difference.is_none() {
        "equal"
    } else {
        "DIFFERENT"
    };
    let _ = writeln!(
        text,
        "restated    {runs} runs: {levels} levels, {closes} closes: {equal}"
    );
    if unkept > 0 {
        let _ = writeln!(
            text,
            "            {unkept} runs not: they have begun with prices that are not kept"
        );
    }
    difference.map_or(Ok(()), |difference| Err(difference.into()))
}

/// The journal against the rows.
fn journal(
    access: &mut run::Access,
    dir: &std::path::Path,
    snapshots: &Snapshots,
    text: &mut String,
) -> Result<(), Failure> {
    let start = verify::oldest_state(&journal::view(dir)?, snapshots)?;
    let from = start.next_position();
    let history = match &mut access.client {
        Some(client) => Some(History::open(client, from)?),
        None => None,
    };
    let reached = history.as_ref().map(History::reached);
    // Looked at again behind the rows: what is stored was journaled before.
    let View {
        oldest,
        next,
        source,
    } = journal::view(dir)?;
    let mut walk = Walk::new(Batches::Journal(source.reader_from(from)?, history), start);
    let outcome = compare(&mut walk, snapshots);
    let _ = writeln!(text, "journal     positions {oldest}..{next}");
    if let Some(behind) = reached
        .and_then(|reached| next.checked_sub(reached))
        .filter(|n| *n > 0)
    {
        let _ = writeln!(text, "            {behind} not in PostgreSQL yet");
    }
    summary("compared", &walk, from, text, outcome.is_ok());
    outcome
}

fn compare(walk: &mut Walk<'_>, snapshots: &Snapshots) -> Result<(), Failure> {
    let internal = |error: serde_json::Error| Failure::new(exit::INTERNAL, error);
    let positions = snapshots.positions().unwrap_or_default();
    while walk.step()? {
        if let Some(difference) = walk.compare() {
            return Err(difference.into());
        }
        if positions.contains(&walk.engine().next_position())
            && let Some(difference) = walk.compare_snapshot(snapshots).map_err(internal)?
        {
            return Err(difference.into());
        }
    }
    match walk.finish()? {
        Some(difference) => Err(difference.into()),
        None => Ok(()),
    }
}

fn summary(what: &str, walk: &Walk<'_>, from: u64, text: &mut String, is_equal: bool) {
    let Counts {
        batches,
        ticks,
        rates,
        levels,
        snapshots,
    } = walk.counts();
    let next = walk.engine().next_position();
    let equal = if is_equal { "equal" } else { "DIFFERENT" };
    let _ = writeln!(
        text,
        "{what:<11} positions {from}..{next}: {batches} batches, {ticks} ticks, {rates} rates, \
         {levels} levels, {snapshots} snapshots: {equal}"
    );
}
