//! `divisord replay`: calculates stored levels again.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use divisor_engine::{Engine, IndexId, Level, Status, Time};
use divisor_wire::level;

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::journal;
use crate::run;
use crate::snapshots::{self, Snapshots};
use crate::store::History;
use crate::store::rows::LevelRow;
use crate::verify::{self, Batches, Walk};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The first position, or the first time of calculation (RFC 3339)
    #[arg(long, value_name = "POSITION|TIME")]
    from: Option<Bound>,

    /// The position or time behind the last
    #[arg(long, value_name = "POSITION|TIME")]
    to: Option<Bound>,

    /// What is replayed
    #[arg(long, value_enum, default_value_t = Source::Journal)]
    source: Source,

    /// Only this index; may be repeated
    #[arg(long, value_name = "CODE")]
    index: Vec<String>,

    /// How levels are printed
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,

    /// Compare with the levels in PostgreSQL instead of printing
    ///
    /// Ends with 0 when all are equal, with 1 at the first that is not, which is named.
    #[arg(long)]
    compare: bool,
}

/// Where inputs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The journal in the state directory, as far back as it reaches
    Journal,
    /// Prices, rates and definitions in PostgreSQL, from the first on
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As on MQTT, one line each
    Json,
    /// One line each, with a heading
    Csv,
}

/// An end of a range.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Position(u64),
    Time(Time),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        let stamp: jiff::Timestamp = text
            .parse()
            .map_err(|_| "expected a position or a time like 2026-11-22T14:30:00Z".to_owned())?;
        i64::try_from(stamp.as_nanosecond())
            .map(|nanos| Self::Time(Time::from_nanos(nanos)))
            .map_err(|_| "outside the years 1677 to 2262".to_owned())
    }
}

impl Bound {
    /// True for what lies before it.
    fn is_after(self, position: u64, time: Time) -> bool {
        match self {
            Self::Position(bound) => position < bound,
            Self::Time(bound) => time < bound,
        }
    }
}

impl Replay {
    pub(super) fn run(&self, config: &Config) -> Result<(), Failure> {
        let mut access = run::look(config)?;
        let mut walk = match self.source {
            Source::Postgres => {
                let history = History::open(access.client()?, 0)?;
                Walk::new(Batches::Postgres(history), Engine::new())
            }
            Source::Journal => self.journal(config, &mut access)?,
        };
        if self.compare {
            self.compare(&mut walk)
        } else {
            self.print(&mut walk)
        }
    }

    fn journal<'a>(
        &self,
        config: &Config,
        access: &'a mut run::Access,
    ) -> Result<Walk<'a>, Failure> {
        let dir = config.journal_dir();
        if !dir.is_dir() {
            let error = anyhow!("find a journal in {}", config.state_dir.display());
            return Err(Failure::new(exit::STATE, error));
        }
        let view = journal::view(&dir)?;
        let snapshots = Snapshots::new(config.state_dir.join(snapshots::DIR));
        let near = match self.from {
            Some(Bound::Position(from)) => snapshots.newest(from.min(view.next)),
            Some(Bound::Time(_)) | None => None,
        };
        let engine = match near.filter(|engine| engine.next_position() >= view.oldest) {
            Some(engine) => engine,
            None => verify::oldest_state(&view, &snapshots)?,
        };
        let history = if self.compare {
            Some(History::open(access.client()?, engine.next_position())?)
        } else {
            None
        };
        let reader = view.source.reader_from(engine.next_position())?;
        Ok(Walk::new(Batches::Journal(reader, history), engine))
    }

    fn print(&self, walk: &mut Walk<'_>) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut line = Vec::new();
        if self.format == Format::Csv {
            line.extend_from_slice(
                b"index,seq,level,prev_close,ts,ts_calc,epoch,position,revision,status\n",
            );
        }
        loop {
            if let Err(error) = out.write_all(&line) {
                return super::written(Err(error));
            }
            line.clear();
            if !walk.step()? || self.is_behind(walk) {
                break;
            }
            for row in self.wanted(walk.levels(), walk.engine()) {
                self.line(&row, walk.engine(), &mut line);
            }
        }
        super::written(out.flush())
    }

    fn line(&self, row: &LevelRow, engine: &Engine, line: &mut Vec<u8>) {
        let code = engine.index_code(IndexId(row.index)).unwrap_or_default();
        let epoch = engine.epoch();
        match self.format {
            Format::Json => {
                level::encode(line, code, &level_of(row), epoch);
                line.push(b'\n');
            }
            Format::Csv => {
                let close = row.prev_close.map(|close| close.to_string());
                let close = close.unwrap_or_default();
                // A code has no comma or quote that would need care: it is a topic level.
                let code = if code.contains([',', '"']) {
                    format!("\"{}\"", code.replace('"', "\"\""))
                } else {
                    code.to_owned()
                };
                let _written = writeln!(
                    line,
                    "{code},{},{},{close},{},{},{epoch},{},{},{}",
                    row.seq, row.level, row.ts, row.ts_calc, row.position, row.revision, row.status
                );
            }
        }
    }

    fn compare(&self, walk: &mut Walk<'_>) -> Result<(), Failure> {
        let (mut levels, mut until) = (0, walk.engine().next_position());
        while walk.step()? && !self.is_behind(walk) {
            let Some(stored) = walk.stored_levels() else {
                break;
            };
            let computed = self.wanted(walk.levels(), walk.engine());
            let stored = self.wanted(stored, walk.engine());
            if let Some(found) = verify::level_difference(&computed, &stored, walk.engine()) {
                return Err(found.into());
            }
            levels += computed.len();
            until = walk.engine().next_position();
        }
        super::print(&format!(
            "{levels} levels are equal, up to position {until}\n"
        ))
    }

    /// True once nothing more can be in the range.
    fn is_behind(&self, walk: &Walk<'_>) -> bool {
        let batch = walk.batch();
        self.to
            .is_some_and(|to| !to.is_after(batch.first, batch.time))
    }

    /// The levels that were asked for.
    fn wanted(&self, levels: &[LevelRow], engine: &Engine) -> Vec<LevelRow> {
        let indexes: BTreeSet<u32> = self
            .index
            .iter()
            .filter_map(|code| engine.index_id(code))
            .map(|id| id.0)
            .collect();
        let is_wanted = |row: &&LevelRow| {
            (self.index.is_empty() || indexes.contains(&row.index))
                && !self
                    .from
                    .is_some_and(|from| from.is_after(row.position, row.ts_calc))
                && self
                    .to
                    .is_none_or(|to| to.is_after(row.position, row.ts_calc))
        };
        levels.iter().filter(is_wanted).cloned().collect()
    }
}

fn level_of(row: &LevelRow) -> Level {
    Level {
        index: IndexId(row.index),
        seq: row.seq,
        level: row.level,
        prev_close: row.prev_close,
        ts: row.ts,
        ts_calc: row.ts_calc,
        position: row.position,
        revision: row.revision,
        // A name that this version does not know is worth no more than a pending level.
        status: Status::parse(&row.status).unwrap_or_default(),
        stale: row.stale,
    }
}
