//! `divisord journal`: looks into the journal, or cuts a damaged one.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use clap::Subcommand;
use divisor_engine::Time;

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::journal::{self, Record, SegmentReport};
use crate::state::StateDir;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Lists the segments and checks every record
    ///
    /// Changes nothing, so it may be run beside the daemon. Ends with 74 when something is damaged.
    #[command(after_help = "Example:\n  divisord journal inspect --state /var/lib/divisor")]
    Inspect,
    /// Prints every record as one line of JSON: position, time, count, body in hex
    #[command(after_help = "Example:\n  divisord journal export --from 1000 | head")]
    Export {
        /// The first position to print
        #[arg(long, value_name = "POSITION", default_value_t = 0)]
        from: u64,
    },
    /// Cuts a damaged journal at its first damage
    ///
    /// Prices behind the cut are lost, although they were acknowledged: restore the files from a
    /// copy if there is one. What is cut is kept in files named `….damaged`. The daemon must not run.
    #[command(after_help = "Example:\n  divisord journal repair --state /var/lib/divisor")]
    Repair,
}

impl Verb {
    pub(super) fn run(&self, config: &Config) -> Result<(), Failure> {
        let dir = config.journal_dir();
        match self {
            Self::Inspect => inspect(&dir),
            Self::Export { from } => export(&dir, *from),
            Self::Repair => {
                let _state = StateDir::take(&config.state_dir)?;
                repair(&dir)
            }
        }
    }
}

fn inspect(dir: &Path) -> Result<(), Failure> {
    let reports = journal::walk(dir, &mut |_| ControlFlow::Continue(()))?;
    let mut text = String::new();
    for report in &reports {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{}  epoch {}  positions {}..{}  records {}  bytes {} of {}{}",
            report.file,
            report.epoch,
            report.first,
            report.next,
            report.records,
            report.used,
            report.len,
            if report.torn > 0 {
                format!("  unfinished commit of {} bytes", report.torn)
            } else {
                String::new()
            },
        );
    }
    if reports.is_empty() {
        text.push_str("the journal is empty\n");
    }
    super::print(&text)?;
    first_problem(reports)
}

fn export(dir: &Path, from: u64) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = Ok(());
    let reports = journal::walk(dir, &mut |record| {
        if record.next() <= from {
            return ControlFlow::Continue(());
        }
        printed = out.write_all(line(record).as_bytes());
        if printed.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    super::written(printed.and_then(|()| out.flush()))?;
    first_problem(reports)
}

fn repair(dir: &Path) -> Result<(), Failure> {
    match journal::repair(dir)? {
        None => super::print("the journal is good, nothing was changed\n"),
        Some(repaired) => super::print(&format!(
            "the journal was cut and now ends at position {}; what was cut is kept in {}\n",
            repaired.next,
            repaired.aside.join(", ")
        )),
    }
}

/// One record as one line of JSON.
fn line(record: &Record) -> String {
    let mut line = format!(
        r#"{{"position":{},"time":"{}","count":{},"body":""#,
        record.first,
        Time::from_nanos(record.time),
        record.count
    );
    for byte in &record.body {
        let _written = write!(line, "{byte:02x}");
    }
    line.push_str("\"}\n");
    line
}

/// The first damage is how the verb ends.
fn first_problem(reports: Vec<SegmentReport>) -> Result<(), Failure> {
    match reports.into_iter().find_map(|report| report.problem) {
        Some(problem) => Err(Failure::new(exit::JOURNAL, problem)),
        None => Ok(()),
    }
}
