//! The thread: takes tasks, walks, and finishes what a former life has begun.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use divisor_engine::{Correction, CorrectionState, Corrections, Edit, Position};
use divisor_wire::command::CommandError;
use postgres::Client;
use tokio::sync::mpsc;

use super::begin;
use super::find::{FindError, find};
use super::walk::{Corrected, Covered};
use super::{Ask, Desk, Handover, Report, Task, write};
use crate::health::Health;
use crate::snapshots::Snapshots;
use crate::store::{History, HistoryError, Kept, PartitionUnit, RunWriter, StoreError};

/// How long a failed connection rests before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// How often a sleeping thread looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often PostgreSQL is asked whether it has come so far.
const POLL: Duration = Duration::from_millis(50);

/// Reports on their way.
const REPORTS: usize = 64;

/// Makes connections to the database.
pub type Connect = Box<dyn FnMut() -> Result<Client, StoreError> + Send>;

/// Why a walk has ended early.
#[derive(Debug, thiserror::Error)]
enum WalkError {
    /// PostgreSQL is away.
    #[error(transparent)]
    Away(StoreError),
    /// It cannot be, and trying again would not help.
    #[error("{0}")]
    Impossible(String),
    /// The daemon stops.
    #[error("the daemon stops")]
    Stopped,
}

impl From<HistoryError> for WalkError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(error) => error.into(),
            HistoryError::Rows { .. } => Self::Impossible(error.to_string()),
        }
    }
}

impl From<StoreError> for WalkError {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            Self::Away(error)
        } else {
            Self::Impossible(error.to_string())
        }
    }
}

/// The thread's state.
#[expect(missing_debug_implementations, reason = "it can make connections")]
pub struct Worker {
    connect: Connect,
    snapshots: Snapshots,
    unit: PartitionUnit,
    tasks: Receiver<Task>,
    reports: mpsc::Sender<Report>,
    health: Health,
    give_up: Arc<AtomicBool>,
    corrections: Corrections,
    /// Restated runs whose rows are known to count.
    finished: BTreeSet<u32>,
    /// After a failure: not before this time.
    rests_until: Option<Instant>,
    /// What was said last of a trouble.
    trouble: Option<String>,
}

impl Worker {
    /// The thread's state, and the sequencer's side.
    #[must_use]
    pub fn new(
        connect: Connect,
        snapshots: Snapshots,
        unit: PartitionUnit,
        health: Health,
        give_up: Arc<AtomicBool>,
    ) -> (Self, Desk) {
        let (to_worker, tasks) = std::sync::mpsc::channel();
        let (reports, to_sequencer) = mpsc::channel(REPORTS);
        let worker = Self {
            connect,
            snapshots,
            unit,
            tasks,
            reports,
            health,
            give_up,
            corrections: Corrections::default(),
            finished: BTreeSet::new(),
            rests_until: None,
            trouble: None,
        };
        (worker, Desk::new(to_worker, to_sequencer))
    }

    /// Works until the sequencer has ended, or the daemon gives up.
    pub fn run(mut self) {
        while !self.stops() {
            match self.tasks.recv_timeout(PATIENCE) {
                Ok(task) => {
                    self.take(task);
                    while let Ok(task) = self.tasks.try_recv() {
                        self.take(task);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.rests_until.is_none_or(|until| Instant::now() >= until) {
                self.work();
            }
        }
    }

    fn stops(&self) -> bool {
        self.give_up.load(Ordering::Relaxed)
    }

    fn take(&mut self, task: Task) {
        match task {
            Task::Corrections(corrections) => self.corrections = corrections,
            Task::Ask(ask) => self.ask(*ask),
        }
    }

    fn tell(&self, report: Report) {
        // A sequencer that has ended hears nothing any more.
        let _ = self.reports.blocking_send(report);
    }

    /// Finds what is asked for, and says what it would do or that it can be stated.
    fn ask(&mut self, ask: Ask) {
        let Ask {
            sought,
            by,
            what,
            reason,
            dry_run,
            reply,
        } = ask;
        let found = (self.connect)()
            .map_err(FindError::from)
            .and_then(|mut client| find(&mut client, &sought, &self.corrections));
        let edit = match found {
            Ok(edit) => edit,
            Err(error) => return self.tell(Report::Refused(reply, refusal(&error))),
        };
        if !dry_run {
            return self.tell(Report::Found {
                edit,
                by,
                what,
                reason,
                reply,
            });
        }
        match self.preview(&edit) {
            Ok(found) => self.tell(Report::Preview(reply, found)),
            Err(error) => {
                self.tell(Report::Refused(reply, told("refused", error.to_string())));
            }
        }
    }

    /// Walks to where PostgreSQL is, and writes nothing.
    fn preview(&mut self, edit: &Edit) -> Result<Vec<divisor_engine::Found>, WalkError> {
        let mut reader = (self.connect)()?;
        let with = self.corrections.with(edit);
        let through = u32::try_from(with.all().len()).unwrap_or(u32::MAX);
        let at_most = self.health.projected();
        let walk = begin::begin(&mut reader, &self.snapshots, &with, through, at_most)?;
        let kept = Kept::read(&mut reader)?;
        let mut corrected = Corrected::new(u32::MAX, walk, Covered::new()).from(kept.levels);
        let _reached = self.walk(&mut reader, &mut corrected, None, None)?;
        Ok(corrected.found())
    }

    /// One piece of work, if there is any: an open run, or one whose rows do not count yet.
    fn work(&mut self) {
        let outcome = self.try_work();
        self.rests_until = None;
        match outcome {
            Ok(()) => self.trouble = None,
            Err(WalkError::Stopped) => {}
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_deref() != Some(&text) {
                    tracing::warn!(error = %text, "a restatement waits");
                    self.trouble = Some(text);
                }
                self.rests_until = Some(Instant::now() + RETRY);
            }
        }
    }

    fn try_work(&mut self) -> Result<(), WalkError> {
        for (run, position) in restated(&self.corrections) {
            if !self.finished.contains(&run) && self.is_stored(run) {
                self.finish(run, position)?;
                self.finished.insert(run);
            }
        }
        let open: Vec<u32> = self.corrections.open().map(|c| c.run).collect();
        let (Some(first), Some(last)) = (open.first().copied(), open.last().copied()) else {
            return Ok(());
        };
        if !self.is_stored(last) {
            return Ok(());
        }
        match self.restate(last) {
            // One of them alone may be possible.
            Err(WalkError::Impossible(_)) if first < last => match self.restate(first) {
                Err(WalkError::Impossible(why)) => self.fail(first, why),
                outcome => outcome,
            },
            Err(WalkError::Impossible(why)) => self.fail(last, why),
            outcome => outcome,
        }
    }

    /// PostgreSQL has come as far as a correction: what that speaks of can be read.
    fn is_stored(&self, run: u32) -> bool {
        let stated = self.corrections.get(run).map(|c| c.position);
        stated.is_some_and(|position| position < self.health.projected())
    }

    /// Tells that open runs cannot be, and waits until that is known.
    fn fail(&mut self, through: u32, why: String) -> Result<(), WalkError> {
        self.tell(Report::Failed { through, why });
        self.await_corrections(through)
    }

    /// Waits until a run is not open any more.
    fn await_corrections(&mut self, run: u32) -> Result<(), WalkError> {
        let is_open = |c: Option<&Correction>| c.is_some_and(|c| c.state == CorrectionState::Open);
        while is_open(self.corrections.get(run)) {
            match self.tasks.recv_timeout(PATIENCE) {
                Ok(task) => self.take(task),
                Err(RecvTimeoutError::Timeout) if !self.stops() => {}
                Err(_) => return Err(WalkError::Stopped),
            }
        }
        Ok(())
    }

    /// Walks to the present, hands the state over, and makes the run count.
    fn restate(&mut self, through: u32) -> Result<(), WalkError> {
        tracing::info!(
            run = through,
            "restating: walking the history with its corrections"
        );
        let at_most = self.health.projected();
        let (mut reader, mut writer, mut corrected) = self.begin(through, at_most)?;
        let position = loop {
            self.walk(&mut reader, &mut corrected, None, Some(&mut writer))?;
            let (answer, answered) = sync_channel(1);
            self.tell(Report::Walked {
                through,
                walk: Box::new(corrected.walk().clone()),
                found: corrected.found(),
                answer,
            });
            match self.await_answer(&answered)? {
                Handover::At(position) => break position,
                Handover::Nearer => std::thread::sleep(POLL),
                Handover::Over => return self.await_corrections(through),
            }
        };
        self.close(&mut reader, &mut writer, &mut corrected, through, position)?;
        self.finished.insert(through);
        self.await_corrections(through)
    }

    fn await_answer(&self, answered: &Receiver<Handover>) -> Result<Handover, WalkError> {
        loop {
            match answered.recv_timeout(PATIENCE) {
                Ok(handover) => return Ok(handover),
                Err(RecvTimeoutError::Timeout) if !self.stops() => {}
                Err(_) => return Err(WalkError::Stopped),
            }
        }
    }

    /// Writes the rows of a run that is in the state already, if they do not count yet.
    fn finish(&mut self, run: u32, position: Position) -> Result<(), WalkError> {
        let mut client = (self.connect)()?;
        if write::finished(&mut client)?.contains_key(&run) {
            return Ok(());
        }
        tracing::info!(run, "finishing a restatement that was interrupted");
        let (mut reader, mut writer, mut corrected) = self.begin(run, position)?;
        self.close(&mut reader, &mut writer, &mut corrected, run, position)
    }

    fn begin(
        &mut self,
        run: u32,
        at_most: Position,
    ) -> Result<(Client, RunWriter, Corrected), WalkError> {
        let mut reader = (self.connect)()?;
        let mut writer = RunWriter::over((self.connect)()?)?;
        write::clear(writer.client(), run)?;
        let covered = write::covered(writer.client(), run)?;
        let kept = Kept::read(&mut reader)?;
        let corrections = &self.corrections;
        let walk = begin::begin(&mut reader, &self.snapshots, corrections, run, at_most)?;
        let corrected = Corrected::new(run, walk, covered).from(kept.levels);
        Ok((reader, writer, corrected))
    }

    /// Walks the rest of the way to the end of a run, once PostgreSQL has come there.
    fn close(
        &mut self,
        reader: &mut Client,
        writer: &mut RunWriter,
        corrected: &mut Corrected,
        run: u32,
        position: Position,
    ) -> Result<(), WalkError> {
        while corrected.engine().next_position() < position {
            if self.stops() {
                return Err(WalkError::Stopped);
            }
            if self.health.projected() <= position {
                std::thread::sleep(POLL);
            }
            self.walk(reader, corrected, Some(position), Some(writer))?;
        }
        write::stage(writer, corrected, self.unit, true)?;
        write::finish(writer.client(), run, position, corrected)?;
        tracing::info!(run, position, "restated");
        Ok(())
    }

    /// Walks what PostgreSQL holds, up to a position.
    fn walk(
        &self,
        reader: &mut Client,
        corrected: &mut Corrected,
        end: Option<Position>,
        mut writer: Option<&mut RunWriter>,
    ) -> Result<Position, WalkError> {
        let from = corrected.engine().next_position();
        let mut history = History::open(reader, from)?;
        while end.is_none_or(|end| corrected.engine().next_position() < end)
            && let Some(stored) = history.next_batch()?
        {
            if self.stops() {
                return Err(WalkError::Stopped);
            }
            let batch = history.batch(&stored)?;
            if batch.first != corrected.engine().next_position() {
                let why = format!("the history lacks what is before position {}", batch.first);
                return Err(WalkError::Impossible(why));
            }
            corrected
                .step(&batch, &stored)
                .map_err(WalkError::Impossible)?;
            if let Some(writer) = &mut writer {
                write::stage(writer, corrected, self.unit, false)?;
            } else {
                corrected.forget_rows();
            }
        }
        Ok(corrected.engine().next_position())
    }
}

fn refusal(error: &FindError) -> CommandError {
    let (kind, message) = match error {
        FindError::Refused(why) => ("refused", why.clone()),
        FindError::Store(error) => (
            "unavailable",
            format!("a correction needs the history: failed to {error}"),
        ),
    };
    told(kind, message)
}

fn told(kind: &str, message: String) -> CommandError {
    CommandError {
        kind: kind.to_owned(),
        message,
        details: Vec::new(),
    }
}

/// The runs that are in the state, and the positions that ended them.
fn restated(corrections: &Corrections) -> BTreeSet<(u32, Position)> {
    let of = |c: &Correction| match c.state {
        CorrectionState::Restated { run, position } => Some((run, position)),
        CorrectionState::Open | CorrectionState::Failed { .. } => None,
    };
    corrections.all().iter().filter_map(of).collect()
}
