//! The sequencer: one thread that gives every input a position, makes it durable, applies it and
//! tells the world. It is where door, journal, engine and fan-out meet.
//!
//! A batch goes this way, and nothing overtakes:
//!
//! 1. gather: submissions become inputs, or refusals with a name ([`gather`])
//! 2. journal: one record, one fdatasync; while it runs the next batch gathers in the channel
//! 3. engine: the batch is applied, its effects come out
//! 4. announce: levels and events go to the fan-out ([`announce`])
//! 5. receipts: connections may acknowledge
//!
//! Acknowledged means durable (invariant 2), and a level leaves after the commit of what caused it
//! (invariant 3) unless [`Publish::Immediate`] says otherwise.

mod actions;
mod announce;
mod control;
pub(crate) mod corrections;
mod gather;
mod load;
mod operate;
pub(crate) mod queries;
mod staging;

use std::time::{Duration, Instant};

use divisor_engine::{Batch, Engine, Input};
use divisor_wire::command::DaemonStatus;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::crash::Point;
use crate::defect::Defect;
use crate::egress::{Announcement, Outlet};
use crate::health::Health;
use crate::ingress::{Question, Receipt, Sight, Submission};
use crate::journal::{AppendError, Log, ReadError, Record, Records};
use crate::metrics::Metrics;
use crate::record::{self, ReplayError};
use crate::restate::Desk;
use crate::shutdown::Shutdown;
use crate::snapshots::Keeper;
use announce::Announcer;
use gather::Gathering;
use staging::Loads;

/// How often the thread wakes without any input: to feed the watchdog and renew `divisor/status`.
const IDLE: Duration = Duration::from_millis(500);

/// How often a full journal is asked for room.
const ROOM_POLL: Duration = Duration::from_millis(100);

/// What a record takes beside its body, about: even timers fill a journal.
const RECORD_BYTES: u64 = 48;

/// When levels leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// After the batch that caused them is durable.
    Durable,
    /// At once, at the price that a crash can take back what was seen.
    Immediate,
}

/// How the sequencer works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Inputs in one batch at the most.
    pub batch_inputs_max: usize,
    /// Submissions taken from the channel at once.
    pub submissions_max: usize,
    /// How far a tick's time may lie ahead.
    pub future_max: Duration,
    /// When levels leave.
    pub publish: Publish,
    /// Whether levels leave in CBOR as well, on a topic of their own.
    pub compact_levels: bool,
    /// Bytes of records between two snapshots.
    pub snapshot_bytes: u64,
    /// Bytes of all staged loads together.
    pub load_bytes_max: usize,
    /// For how long no late price must have come before a run takes them in, and how long it waits
    /// for that at the most.
    pub late_quiet: Duration,
    /// See [`Self::late_quiet`].
    pub late_longest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_inputs_max: 16_384,
            submissions_max: 1_024,
            future_max: Duration::from_secs(60),
            publish: Publish::Durable,
            compact_levels: false,
            snapshot_bytes: 64 << 20,
            load_bytes_max: 64 << 20,
            late_quiet: Duration::from_secs(2),
            late_longest: Duration::from_secs(60),
        }
    }
}

/// Why the sequencer ended. All but the first are reasons to end the process.
#[derive(Debug, thiserror::Error)]
pub enum SequencerError {
    /// The journal failed in a way that must not be retried.
    #[error(transparent)]
    Journal(#[from] AppendError),
    /// The journal cannot be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A batch cannot be written.
    #[error("encode a batch: {0}")]
    Encode(#[from] serde_json::Error),
    /// A stop was asked for while the journal is full. What waited for room was not acknowledged,
    /// so its senders still have it: an orderly end.
    #[error("wait for room in the journal: a stop was asked for")]
    Stopped,
}

/// What the sequencer works with.
#[derive(Debug)]
pub struct Parts<L, O, C> {
    /// Where inputs become durable.
    pub log: L,
    /// Where announcements go.
    pub outlet: O,
    /// The time.
    pub clock: C,
    /// What others may ask.
    pub health: Health,
    /// Where copies of the engine go.
    pub keeper: Keeper,
    /// What it counts.
    pub metrics: Metrics,
    /// Who looks at the state.
    pub questions: mpsc::Receiver<Question>,
    /// Who walks the history for corrections, where there is one.
    pub desk: Option<Desk>,
}

/// The sequencer, before its thread starts.
#[derive(Debug)]
pub struct Sequencer<L, O, C> {
    engine: Engine,
    log: L,
    outlet: O,
    clock: C,
    health: Health,
    settings: Settings,
    /// The batch that is being gathered.
    batch: Batch,
    /// When its time was read, by a clock that nobody sets.
    told: Duration,
    gathering: Gathering,
    loads: Loads,
    announcer: Announcer,
    /// The daemon has been announced as offline.
    is_leaving: bool,
    keeper: Keeper,
    /// Bytes of records since the last snapshot.
    since_snapshot: u64,
    /// The journal is known to hold nothing before this position.
    retired: u64,
    /// The record's body, kept for its memory.
    body: Vec<u8>,
    /// What goes out with the next receipts.
    announcements: Vec<Announcement>,
    metrics: Metrics,
    /// When the submissions of this turn were read from their sockets, and how many messages each has.
    arrivals: Vec<(Instant, u64)>,
    questions: mpsc::Receiver<Question>,
    desk: Option<Desk>,
}

/// Counts the bytes of the records that pass.
struct Counted<R> {
    records: R,
    bytes: u64,
}

impl<R: Records> Records for Counted<R> {
    fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        let record = self.records.next_record()?;
        if let Some(record) = &record {
            self.bytes += RECORD_BYTES + record.body.len() as u64;
        }
        Ok(record)
    }
}

impl<L: Log, O: Outlet, C: Clock> Sequencer<L, O, C> {
    /// Replays the log behind a snapshot's engine and starts a new epoch: the engine is where it
    /// was, the boot is recorded, retained levels are announced again. On a full journal it waits
    /// for room as long as `go_on` says so.
    ///
    /// # Errors
    /// When the log cannot be read or written; [`SequencerError::Stopped`] where it never had room.
    pub fn start(
        parts: Parts<L, O, C>,
        settings: Settings,
        snapshot: Engine,
        epoch: u64,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Self, SequencerError> {
        let Parts {
            log,
            outlet,
            clock,
            health,
            keeper,
            metrics,
            questions,
            desk,
        } = parts;
        let mut tail = Counted {
            records: log.reader_from(snapshot.next_position())?,
            bytes: 0,
        };
        if Defect::TailSkipped.is_on() {
            let _record = tail.next_record()?;
        }
        let engine = record::replay(snapshot, &mut tail, None)?;
        // The journal is the better witness where the count of boots was damaged.
        let epoch = if Defect::EpochReused.is_on() {
            engine.epoch()
        } else {
            epoch.max(engine.epoch() + 1)
        };
        let first = log.next_position();
        let time = clock.now().max(engine.time());
        let mut sequencer = Self {
            announcer: Announcer::new(epoch, settings.compact_levels),
            batch: Batch {
                first,
                time,
                inputs: Vec::new(),
            },
            told: clock.uptime(),
            gathering: Gathering::new(),
            loads: Loads::new(settings.load_bytes_max),
            keeper,
            is_leaving: false,
            since_snapshot: tail.bytes,
            retired: 0,
            body: Vec::new(),
            announcements: Vec::new(),
            engine,
            outlet,
            clock,
            health,
            settings,
            log,
            metrics,
            arrivals: Vec::new(),
            questions,
            desk,
        };
        sequencer.batch.inputs.push(Input::Boot { epoch });
        if sequencer.engine.label_count() == 0 {
            for text in gather::FIRST_LABELS {
                sequencer.batch.inputs.push(Input::Label(text.into()));
            }
        }
        sequencer.commit(go_on)?;
        if !Defect::RetainedForgotten.is_on() {
            sequencer
                .announcer
                .everything(&sequencer.engine, &mut sequencer.announcements);
        }
        sequencer.announce_status(true);
        sequencer.flush_announcements();
        sequencer.tell_corrections();
        Ok(sequencer)
    }

    /// Runs until the ingress channel is closed and empty.
    ///
    /// `beat` is called at each turn, at least twice a second, so that a watchdog fed by it proves
    /// that this loop moves. Once `shutdown` asks for a stop the daemon is announced as offline,
    /// while those who should hear it are still connected; then `goodbye` hears of it, and what
    /// still comes in is carried out as before. A stop also ends the wait for room in the journal.
    ///
    /// # Errors
    /// When the journal fails: the process must end, acknowledged inputs are safe.
    pub async fn run(
        mut self,
        mut ingress: mpsc::Receiver<Submission>,
        mut shutdown: Shutdown,
        goodbye: oneshot::Sender<()>,
        beat: impl Fn(),
    ) -> Result<(), SequencerError> {
        let mut submissions = Vec::new();
        let mut goodbye = Some(goodbye);
        let watched = shutdown.clone();
        // A wait for room is no standstill.
        let go_on = || {
            beat();
            !watched.is_stopping()
        };
        loop {
            let wait = self.time_to_next();
            let mut report = None;
            tokio::select! {
                received = ingress.recv_many(&mut submissions, self.settings.submissions_max) => {
                    if received == 0 {
                        break;
                    }
                }
                Some(question) = self.questions.recv() => self.answer(question),
                Some(told) = Desk::next(&mut self.desk) => report = Some(told),
                () = tokio::time::sleep(wait) => {}
                () = shutdown.stopping(), if goodbye.is_some() => {}
            }
            if shutdown.is_stopping()
                && let Some(goodbye) = goodbye.take()
            {
                self.announce_offline();
                let _ = goodbye.send(());
            }
            beat();
            let told = match report {
                Some(report) => self.report(report, &go_on),
                None => Ok(()),
            };
            match told.and_then(|()| self.turn(&mut submissions, &go_on)) {
                Err(SequencerError::Stopped) => {
                    tracing::warn!("stopping with a full journal: what waits is not acknowledged");
                    // Nor is it told: some of it is not durable.
                    self.announcements.clear();
                    self.announce_offline();
                    if let Some(goodbye) = goodbye.take() {
                        let _ = goodbye.send(());
                    }
                    break;
                }
                outcome => outcome?,
            }
        }
        self.finish();
        Ok(())
    }

    /// Lets somebody look at the state: all batches so far, and nothing of the next.
    fn answer(&self, question: Question) {
        question(&Sight {
            engine: &self.engine,
            epoch: self.announcer.epoch(),
            is_leaving: self.is_leaving,
        });
    }

    /// The end of an orderly stop: the next start finds everything in a snapshot and has nothing to
    /// replay.
    pub(crate) fn finish(self) {
        self.keeper.offer(self.engine);
    }

    /// The state.
    #[cfg(test)]
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where the inputs are.
    #[cfg(test)]
    pub(crate) const fn log(&self) -> &L {
        &self.log
    }

    /// One turn: everything that was submitted, and timers that are due.
    pub(crate) fn turn(
        &mut self,
        submissions: &mut Vec<Submission>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), SequencerError> {
        self.begin_batch();
        let due = self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= self.batch.time);
        self.metrics.queued(submissions.len());
        for submission in submissions.drain(..) {
            self.take(submission, go_on)?;
        }
        if Defect::ReceiptsEarly.is_on() {
            self.gathering.send_receipts();
        }
        if !self.batch.inputs.is_empty() || due {
            self.commit(go_on)?;
        }
        self.take_in_late(go_on)?;
        self.announce_status(false);
        self.flush_announcements();
        for (read, messages) in self.arrivals.drain(..) {
            self.metrics.left(read.elapsed(), messages);
        }
        self.gathering.send_receipts();
        Point::Acknowledged.pass();
        self.keep(self.settings.snapshot_bytes);
        Ok(())
    }

    /// Takes a snapshot when enough bytes have come since the last, and drops what no start needs.
    fn keep(&mut self, enough: u64) {
        if self.since_snapshot >= enough && self.keeper.offer(self.engine.clone()) {
            self.since_snapshot = 0;
        }
        let needed = if Defect::JournalDroppedEarly.is_on() {
            self.health.durable()
        } else {
            self.health.needed_from()
        };
        if needed > self.retired {
            self.retired = needed;
            if let Err(error) = self.log.retain_from(needed) {
                tracing::warn!(%error, "failed to delete old segments of the journal");
            }
        }
    }

    /// Takes one submission: ticks join the batch, a command ends it and is carried out alone.
    fn take(
        &mut self,
        submission: Submission,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), SequencerError> {
        let Submission {
            client,
            messages,
            receipts,
            read,
        } = submission;
        self.arrivals.push((read, messages.len() as u64));
        let mut refusals = Vec::new();
        let mut durable = 0;
        let copies = self.outlet.wants_prices();
        for message in messages {
            durable = message.ticket;
            if let crate::ingress::Content::Command { .. } = &message.content {
                self.command(&client, &message, &mut refusals, go_on)?;
                continue;
            }
            let accepted = self.gathering.message(
                &self.engine,
                &self.settings,
                &mut self.batch,
                &client,
                &message,
                &mut refusals,
                &mut self.announcements,
            );
            if copies && accepted {
                let copy = Announcement::passing(message.topic, message.payload);
                self.announcements.push(copy);
            }
            if self.batch.inputs.len() >= self.settings.batch_inputs_max {
                self.commit(go_on)?;
            }
        }
        self.outlet.count_refusals(&refusals);
        self.gathering
            .receipts
            .push((receipts, Receipt { durable, refusals }));
        Ok(())
    }

    /// Makes the batch durable, applies it and collects what it causes.
    fn commit(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), SequencerError> {
        self.body.clear();
        record::encode(&self.batch.inputs, &mut self.body)?;
        if self.body.len() as u64 > self.log.body_bytes_max() && self.batch.inputs.len() > 1 {
            return self.commit_halves(go_on);
        }
        let count = u32::try_from(self.batch.inputs.len()).unwrap_or(u32::MAX);
        let begun = Instant::now();
        self.append(count, go_on)?;
        if self.settings.publish == Publish::Immediate || Defect::LevelsEarly.is_on() {
            self.apply();
            self.flush_announcements();
            self.log.commit()?;
            self.metrics.committed(begun.elapsed());
        } else {
            self.log.commit()?;
            self.metrics.committed(begun.elapsed());
            self.apply();
        }
        self.health
            .set_durable(self.engine.next_position(), self.engine.time());
        self.since_snapshot += RECORD_BYTES + self.body.len() as u64;
        self.gathering.committed();
        self.begin_batch();
        Ok(())
    }

    /// Commits a batch that no record can hold as two.
    fn commit_halves(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), SequencerError> {
        let later = self.batch.inputs.split_off(self.batch.inputs.len() / 2);
        self.commit(go_on)?;
        self.batch.inputs = later;
        self.commit(go_on)
    }

    /// Appends the record, waiting while the journal is full: acknowledgements and levels stay
    /// back, nothing is dropped (invariant 5).
    fn append(&mut self, count: u32, go_on: &dyn Fn() -> bool) -> Result<(), SequencerError> {
        loop {
            let time = self.batch.time.as_nanos();
            match self.log.append(self.batch.first, count, time, &self.body) {
                Ok(()) => {
                    if self.health.journal_is_full() {
                        tracing::warn!("the journal has room again");
                        self.health.set_journal_full(false);
                    }
                    return Ok(());
                }
                Err(AppendError::Full { .. }) if Defect::FullIgnored.is_on() => return Ok(()),
                Err(AppendError::Full { why }) if go_on() => {
                    if !self.health.journal_is_full() {
                        tracing::error!(why, "the journal is full: acknowledgements are held back");
                        self.health.set_journal_full(true);
                        self.announce_full();
                    }
                    // Room comes from a snapshot, from what PostgreSQL has caught up with, and from
                    // what `journal.keep` has held so far: it yields to a longer journal.
                    self.retired = 0;
                    self.keep(1);
                    // What can be read stays readable.
                    while let Ok(question) = self.questions.try_recv() {
                        self.answer(question);
                    }
                    self.clock.rest(ROOM_POLL);
                }
                Err(AppendError::Full { .. }) => return Err(SequencerError::Stopped),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn apply(&mut self) {
        self.engine.apply(&self.batch);
        let tally = self
            .announcer
            .outputs(&mut self.engine, &mut self.announcements);
        let inputs = self.batch.inputs.len() as u64;
        self.metrics.applied(tally, inputs, self.batch.time);
        self.metrics.set_gaps(self.engine.gaps());
        let late = self.engine.late();
        self.metrics.set_late(late.count(), late.lost());
    }

    /// Prepares an empty batch at the present time, which never falls.
    ///
    /// Where the wall clock was set back, time goes on at half speed from where it was until the
    /// clock has caught up: intervals still end, and the error shrinks.
    fn begin_batch(&mut self) {
        let uptime = self.clock.uptime();
        let passed = uptime.saturating_sub(self.told).as_micros() / 2;
        self.told = uptime;
        let passed = i64::try_from(passed).unwrap_or(0).saturating_mul(1_000);
        let slowly = self.batch.time.saturating_add(passed);
        self.batch.first = self.engine.next_position();
        self.batch.time = self.clock.now().max(slowly);
        if Defect::TimeFalls.is_on() {
            self.batch.time = self.clock.now();
        }
        self.batch.inputs.clear();
    }

    /// How long the thread may sleep.
    fn time_to_next(&self) -> Duration {
        let Some(due) = self.engine.poll_timeout() else {
            return IDLE;
        };
        let now = self.clock.now().max(self.batch.time);
        let nanos = due.as_nanos().saturating_sub(now.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)).min(IDLE)
    }

    fn flush_announcements(&mut self) {
        if !self.announcements.is_empty() {
            Point::PublishDue.pass();
            self.outlet.publish(std::mem::take(&mut self.announcements));
            Point::Published.pass();
        }
    }

    fn announce_status(&mut self, always: bool) {
        let (status, now) = (self.status(), self.batch.time);
        self.announcer
            .status(status, now, always, &mut self.announcements);
    }

    fn status(&self) -> DaemonStatus {
        let epoch = self.announcer.epoch();
        DaemonStatus {
            lost: self.outlet.lost(),
            ..queries::status(&self.engine, &self.health, epoch, self.is_leaving)
        }
    }

    /// The status alone: what else waits is not durable yet.
    fn announce_full(&mut self) {
        let waiting = std::mem::take(&mut self.announcements);
        self.announce_status(true);
        self.flush_announcements();
        self.announcements = waiting;
    }

    /// The last word of an orderly stop: retained, so that everybody sees it.
    fn announce_offline(&mut self) {
        self.is_leaving = true;
        self.announce_status(true);
        self.flush_announcements();
    }
}
