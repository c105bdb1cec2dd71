//! `divisord restore`: a new state directory from what PostgreSQL holds.

use anyhow::{Context, anyhow};
use clap::Args;
use divisor_engine::Engine;

use crate::config::{self, Config};
use crate::exit::{self, Failure};
use crate::journal;
use crate::run;
use crate::snapshots::{self, Snapshots};
use crate::state::StateDir;
use crate::store::{History, migrate};
use crate::verify::{Batches, Walk};

/// What a state directory may hold before it is restored.
const HARMLESS: [&str; 2] = ["lock", "postgres"];

/// Boots that PostgreSQL may not have heard of: the epochs of those are not used again, so that
/// (epoch, seq) never stands for two levels.
const BOOTS_LOST_MAX: u64 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Take everything from PostgreSQL: the only way there is
    #[arg(long, required = true)]
    from_postgres: bool,
}

impl Restore {
    pub(super) fn run(&self, config: &Config) -> Result<(), Failure> {
        let unusable = |error: anyhow::Error| Failure::new(exit::STATE, error);
        let mut access = run::own(config)?;
        let state = access.take_state()?;
        refuse_full(state.path()).map_err(unusable)?;
        let failed = |error: anyhow::Error| Failure::new(exit::DATABASE, error);
        let client = access.client()?;
        migrate(client).map_err(|error| failed(error.into()))?;
        let mut history = History::open(client, 0)?;
        let name = history.journal().map(str::to_owned);
        let (Some(name), Some(oldest)) = (name, history.oldest()?) else {
            return Err(failed(anyhow!("restore: the database holds nothing")));
        };
        if oldest != 0 {
            let gone = "restore: the rows before position";
            return Err(failed(anyhow!("{gone} {oldest} are gone")));
        }
        let mut walk = Walk::new(Batches::Postgres(history), Engine::new());
        while walk.step()? {
            if let Some(difference) = walk.compare() {
                return Err(difference.into());
            }
        }
        if let Some(difference) = walk.finish()? {
            return Err(difference.into());
        }
        let (engine, counts) = (walk.engine().clone(), walk.counts());
        let position = engine.next_position();
        write(&state, config, &name, engine)?;
        super::print(&format!(
            "restored journal {name} up to position {position}: {} ticks, {} rates, {} levels \
             computed again and equal\n",
            counts.ticks, counts.rates, counts.levels
        ))
    }
}

/// The journal comes last: without it the directory is still one that can be restored by hand.
fn write(state: &StateDir, config: &Config, name: &str, engine: Engine) -> Result<(), Failure> {
    let unusable = |error: std::io::Error| Failure::new(exit::STATE, error);
    let (position, epoch) = (engine.next_position(), engine.epoch());
    run::adopt(state, name).map_err(unusable)?;
    let snapshots = state.subdirectory(snapshots::DIR)?;
    Snapshots::new(snapshots).write(engine).map_err(unusable)?;
    let dir = state.subdirectory(config::JOURNAL)?;
    let epoch = epoch.saturating_add(BOOTS_LOST_MAX);
    Ok(journal::begin_at(
        &dir,
        position,
        epoch,
        config.journal.segment_bytes,
    )?)
}

fn refuse_full(dir: &std::path::Path) -> anyhow::Result<()> {
    let what = || format!("look into the state directory {}", dir.display());
    for entry in std::fs::read_dir(dir).with_context(what)? {
        let name = entry.with_context(what)?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            let name = name.to_string_lossy();
            let hint = "choose an empty one with --state DIR, or move this away";
            return Err(anyhow!("restore: {} holds {name} ({hint})", dir.display()));
        }
    }
    Ok(())
}
