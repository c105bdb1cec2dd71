//! `divisord journal`: looks into the journal, or cuts a damaged one.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use clap::Subcommand;
use divisor_engine::{Batch, Decimal, Engine, Input, Origin};
use serde_json::{Value, json};

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::journal::{self, Record, SegmentReport};
use crate::record::{self, RecordError};
use crate::state::StateDir;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Lists the segments and checks every record
    ///
    /// Changes nothing, so it may be run beside the daemon. Ends with 74 when something is damaged.
    #[command(after_help = "Example:\n  divisord journal inspect --state /var/lib/divisor")]
    Inspect,
    /// Prints every record as one line of JSON: position, time, inputs
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
    let mut export = Export::default();
    let mut failed = None;
    let reports = journal::walk(dir, &mut |record| {
        match export.line(record) {
            Ok(line) if record.next() > from => printed = out.write_all(line.as_bytes()),
            Ok(_) => {}
            Err(error) => failed = Some(error),
        }
        if printed.is_ok() && failed.is_none() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    super::written(printed.and_then(|()| out.flush()))?;
    if let Some(error) = failed {
        return Err(Failure::new(exit::JOURNAL, error));
    }
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

/// Turns records into text, with the names that the records before them have introduced.
#[derive(Default)]
struct Export {
    engine: Engine,
    batch: Batch,
}

impl Export {
    /// One record as one line of JSON.
    fn line(&mut self, record: &Record) -> Result<String, RecordError> {
        record::decode(record, &mut self.batch)?;
        // A journal whose beginning has been retired names securities by number only.
        if self.engine.next_position() == record.first {
            self.engine.apply(&self.batch);
            while self.engine.poll_output().is_some() {}
        }
        let inputs: Vec<Value> = self
            .batch
            .inputs
            .iter()
            .map(|input| self.input(input))
            .collect();
        let line = json!({
            "position": record.first,
            "time": self.batch.time.to_string(),
            "inputs": inputs,
        });
        Ok(format!("{line}\n"))
    }

    fn input(&self, input: &Input) -> Value {
        match input {
            Input::Tick(tick) => {
                let security = self.engine.security(tick.security);
                let places = security.map_or(0, |s| s.definition.price_places);
                json!({
                    "input": "tick",
                    "security": tick.security.0,
                    "symbol": security.map(|s| s.definition.symbol.as_str()),
                    "price": Decimal::new(tick.price.into(), places).normalized(),
                    "size": tick.size,
                    "venue": tick.venue.and_then(|label| self.engine.label_text(label)),
                    "origin": self.origin(&tick.origin),
                })
            }
            Input::Rate(rate) => json!({
                "input": "rate",
                "base": rate.base,
                "quote": rate.quote,
                "rate": rate.value(),
                "origin": self.origin(&rate.origin),
            }),
            Input::Define { by, definitions } => json!({
                "input": "define",
                "by": self.engine.label_text(*by),
                "definitions": definitions,
            }),
            Input::Operate { by, order } => json!({
                "input": "operate",
                "by": self.engine.label_text(*by),
                "order": order,
            }),
            Input::Correct { by, stated } => json!({
                "input": "correct",
                "by": self.engine.label_text(*by),
                "stated": stated,
            }),
            Input::Restate { through, outcome } => json!({
                "input": "restate",
                "through": through,
                "outcome": outcome,
            }),
            Input::Label(text) => json!({ "input": "label", "text": text }),
            Input::Boot { epoch } => json!({ "input": "boot", "epoch": epoch }),
        }
    }

    fn origin(&self, origin: &Origin) -> Value {
        json!({
            "ts": origin.ts.to_string(),
            "received": origin.received.to_string(),
            "src": self.engine.label_text(origin.source),
            "inc": origin.inc,
            "seq": origin.seq,
        })
    }
}

/// The first damage is how the verb ends.
fn first_problem(reports: Vec<SegmentReport>) -> Result<(), Failure> {
    match reports.into_iter().find_map(|report| report.problem) {
        Some(problem) => Err(Failure::new(exit::JOURNAL, problem)),
        None => Ok(()),
    }
}
