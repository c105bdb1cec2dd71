//! The thread that walks the history for corrections: its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postgres::NoTls;

use super::{settings, store};
use crate::config::Config;
use crate::exit::{self, Failure};
use crate::health::Health;
use crate::restate::{Connect, Desk, Worker};
use crate::snapshots::Snapshots;
use crate::store::StoreError;

/// How long the thread may take to notice that it should end.
const LAST_STEP: Duration = Duration::from_secs(2);

/// The thread, where there is a history to walk.
pub(super) struct Restating {
    thread: Option<JoinHandle<()>>,
    give_up: Arc<AtomicBool>,
}

impl Restating {
    /// Starts the thread, and gives the sequencer's side of it.
    pub(super) fn start(
        config: &Config,
        snapshots: &Snapshots,
        health: &Health,
    ) -> Result<(Self, Option<Desk>), Failure> {
        let give_up = Arc::new(AtomicBool::new(false));
        let Some(connect) = connect(config)? else {
            let thread = None;
            return Ok((Self { thread, give_up }, None));
        };
        let unit = settings::partition(config);
        let ends = Arc::clone(&give_up);
        let (worker, desk) = Worker::new(connect, snapshots.clone(), unit, health.clone(), ends);
        let thread = thread::Builder::new()
            .name("restate".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| Failure::new(exit::INTERNAL, error))?;
        let thread = Some(thread);
        Ok((Self { thread, give_up }, Some(desk)))
    }

    /// Ends the thread. What is under way is done again after the next start.
    pub(super) fn finish(mut self) {
        self.give_up.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + LAST_STEP;
        if let Some(thread) = self.thread.take() {
            store::wait_until(deadline, &thread);
            // A thread that a server holds is left to the end of the process.
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// How the thread connects to the database that the store writes.
fn connect(config: &Config) -> Result<Option<Connect>, Failure> {
    let Some(settings) = store::connection(config)? else {
        return Ok(None);
    };
    Ok(Some(Box::new(move || {
        settings
            .connect(NoTls)
            .map_err(StoreError::during("connect to PostgreSQL"))
    })))
}
