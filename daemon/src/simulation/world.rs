//! One Divisor on simulated disks, clock, network and database, and what happens to it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use divisor_engine::Time;

use super::database::{Break, SimDatabase};
use super::market::{DEFINITIONS, Publisher};
use super::oracle::Oracle;
use super::schedule::{Op, What};
use crate::clock::Clock;
use crate::crash::{Ended, Point};
use crate::egress::{Announcement, Outlet};
use crate::health::Health;
use crate::ingress::Submission;
use crate::journal::sim::{Power, Random, SimDisk};
use crate::journal::{self, Journal, Source};
use crate::sequencer::{self, Parts, Publish, Sequencer};
use crate::snapshots::{Desk, Keeper, Snapshots};
use crate::store::{self, Follower};

/// A Thursday in New York's summer, in the evening of Tokyo: two index days lie ahead.
const START: i64 = 1_763_000_000_000_000_000;

/// Submissions on their way to the sequencer at the most.
const INGRESS_MAX: usize = 12;

/// Waits for room after which the disk has space and the database answers again.
const PATIENCE: u32 = 8;

/// Waits for room that are too many once everything is whole.
const PATIENCE_MAX: u32 = 60;

/// Everything outside of the daemon's process.
pub(super) struct World {
    power: Power,
    journal_disk: SimDisk,
    snapshot_disk: SimDisk,
    pub(super) time: Times,
    pub(super) database: SimDatabase,
    oracle: Arc<Mutex<Oracle>>,
    pub(super) settings: Settings,
    pub(super) publishers: Vec<Publisher>,
    operator: Publisher,
    /// What the network has brought and the sequencer has not taken.
    ingress: VecDeque<Submission>,
    pub(super) node: Option<Node>,
    unique: u64,
    loads: u64,
    /// Ends at a point of [`crate::crash`], and whether the power goes with it.
    pub(super) ends: u64,
    pub(super) ends_with_power: bool,
}

/// How this seed's daemon is set up.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) journal: journal::Settings,
    pub(super) sequencer: sequencer::Settings,
    store: store::Settings,
}

/// The wall clock, which somebody sets, and time itself, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Times {
    wall: Arc<AtomicI64>,
    uptime: Arc<AtomicI64>,
}

impl Times {
    /// Time goes by.
    pub(super) fn pass(&self, nanos: i64) {
        self.wall.fetch_add(nanos, Ordering::Relaxed);
        self.uptime.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Somebody sets the clock.
    pub(super) fn jump(&self, nanos: i64) {
        self.wall.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn wall(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }
}

/// The daemon's process.
pub(super) struct Node {
    pub(super) sequencer: Sequencer<Journal, SimOutlet, SimClock>,
    pub(super) threads: Arc<Mutex<Threads>>,
    pub(super) health: Health,
    source: Source,
}

/// The daemon's other threads, step by step.
pub(super) struct Threads {
    follower: Follower<SimDatabase>,
    desk: Desk,
    pub(super) rests: u32,
}

/// The clock, and what goes on while the sequencer waits for room.
pub(super) struct SimClock {
    time: Times,
    threads: Arc<Mutex<Threads>>,
    oracle: Arc<Mutex<Oracle>>,
    source: Source,
    disks: [SimDisk; 2],
    database: SimDatabase,
}

pub(super) struct SimOutlet {
    oracle: Arc<Mutex<Oracle>>,
    source: Source,
    publish: Publish,
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.time.wall())
    }

    fn uptime(&self) -> Duration {
        Duration::from_nanos(self.time.uptime.load(Ordering::Relaxed) as u64)
    }

    fn rest(&self, duration: Duration) {
        self.time.pass(duration.as_nanos() as i64);
        self.oracle.lock().unwrap().witness(&self.source);
        let mut threads = self.threads.lock().unwrap();
        threads.rests += 1;
        if threads.rests > PATIENCE {
            for disk in &self.disks {
                heal(disk);
            }
            // The journal's own ends the process; that of a snapshot is another file next time.
            self.disks[1].state().sync_fails = false;
            self.database.tables().is_down = false;
        }
        let _trouble = threads.follower.step();
        threads.desk.step();
    }
}

impl Outlet for SimOutlet {
    fn wants_prices(&self) -> bool {
        true
    }

    fn lost(&self) -> u64 {
        0
    }

    fn publish(&self, announcements: Vec<Announcement>) {
        let mut oracle = self.oracle.lock().unwrap();
        oracle.witness(&self.source);
        for announcement in announcements {
            oracle.announced(&announcement, self.publish);
        }
    }
}

fn is_faulty(disk: &SimDisk) -> bool {
    let state = disk.state();
    state.space.is_some() || state.refusals > 0 || state.sync_fails || state.sync_failed
}

fn heal(disk: &SimDisk) {
    let mut state = disk.state();
    state.space = None;
    state.refusals = 0;
}

impl Settings {
    fn draw(random: &mut Random) -> Self {
        // The market's definitions alone take four.
        let segments = 6 + random.below(4);
        Self {
            journal: journal::Settings {
                segment_bytes: journal::SEGMENT_BYTES_MIN,
                bytes_max: segments * journal::SEGMENT_BYTES_MIN,
                keep: random.below(3) * journal::SEGMENT_BYTES_MIN,
                sync: true,
                ahead: false,
            },
            sequencer: sequencer::Settings {
                batch_inputs_max: 1 + random.below(120) as usize,
                publish: if random.below(8) == 0 {
                    Publish::Immediate
                } else {
                    Publish::Durable
                },
                snapshot_bytes: 500 << random.below(6),
                ..sequencer::Settings::default()
            },
            store: store::Settings {
                batch_rows_max: 1 + random.below(60) as usize,
                flush_interval: Duration::ZERO,
            },
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let power = Power::default();
        let mut publishers = vec![
            Publisher::new("one", Some("shared")),
            Publisher::new("two", Some("shared")),
            Publisher::new("three", None),
        ];
        for publisher in &mut publishers {
            publisher.restart(1 + random.below(u64::MAX / 2));
        }
        let operator = Publisher::new("operator", None);
        Self {
            journal_disk: SimDisk::on(power.clone()),
            snapshot_disk: SimDisk::on(power.clone()),
            power,
            time: Times {
                wall: Arc::new(AtomicI64::new(START)),
                uptime: Arc::default(),
            },
            database: SimDatabase::default(),
            oracle: Arc::default(),
            settings: Settings::draw(&mut random),
            publishers,
            operator,
            ingress: VecDeque::new(),
            node: None,
            unique: 0,
            loads: 0,
            ends: 0,
            ends_with_power: false,
        }
    }

    pub(super) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap()
    }

    /// What was violated first.
    pub(super) fn violation(&self) -> Option<String> {
        self.oracle().violation.clone()
    }

    /// One step of the schedule, and what must be true behind it, also where the process ends in it.
    pub(super) fn step(&mut self, op: &Op) {
        let mut random = Random(op.seed);
        match catch_unwind(AssertUnwindSafe(|| self.act(op, &mut random))) {
            Ok(()) => {}
            Err(cause) if cause.is::<Ended>() => {
                self.ends += 1;
                self.crash(&mut random, self.ends_with_power);
            }
            Err(cause) => resume_unwind(cause),
        }
        self.time.pass(random.below(200_000_000) as i64);
        self.look(&mut random);
    }

    fn act(&mut self, op: &Op, random: &mut Random) {
        if self.node.is_none() {
            self.start(random);
        }
        match op.what {
            What::Publish => self.publish(random),
            What::Deliver => self.deliver(random),
            What::Turn => self.turn(1 + random.below(6) as usize),
            What::Follow => self.follow(1 + random.below(4)),
            What::Snapshot => self.snapshot(),
            What::Disconnect => self.disconnect(random),
            What::Operator => self.operate(random),
            What::Clock => self.jump(random),
            What::Disk => self.disk_fault(random),
            What::Database => self.database_fault(random),
            What::Cut => self.power.cut_after(random.below(25)),
            What::Kill => self.crash(random, false),
            What::Stop => self.stop(),
        }
    }

    /// What must be true at any time; and the end of a process without power.
    pub(super) fn look(&mut self, random: &mut Random) {
        if let Some(node) = &self.node {
            self.oracle().witness(&node.source);
            // C5: nothing but segments, the count of boots and what is prepared.
            let (bytes, bytes_max) = (self.journal_disk.bytes(), self.settings.journal.bytes_max);
            if bytes > bytes_max + 64 {
                self.oracle()
                    .fail("C5 bounded disk", format!("{bytes} bytes, not {bytes_max}"));
            }
            let snapshots = self.observed_snapshots().positions().unwrap_or_default();
            // Two or three, and what a crash has brought back.
            if snapshots.len() > 6 {
                self.oracle()
                    .fail("C5 bounded disk", format!("snapshots {snapshots:?}"));
            }
        }
        let tables = self.database.tables();
        self.oracle().database(&tables);
        drop(tables);
        if self.power.is_off() {
            let cut = random.below(3) > 0;
            self.crash(random, cut);
        }
    }

    fn observed_snapshots(&self) -> Snapshots {
        Snapshots::on(Arc::new(self.snapshot_disk.observed()))
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::on(Arc::new(self.snapshot_disk.clone()))
    }

    /// Ends the process: killed, or with the power of the whole machine.
    pub(super) fn crash(&mut self, random: &mut Random, cut: bool) {
        // What had left the process by then has left.
        self.hear();
        self.node = None;
        self.ingress.clear();
        for publisher in self.publishers.iter_mut().chain([&mut self.operator]) {
            publisher.disconnect();
        }
        if cut {
            self.journal_disk = self.journal_disk.crash(random.below(u64::MAX));
            self.snapshot_disk = self.snapshot_disk.crash(random.below(u64::MAX));
        }
        self.syncs_again();
        self.power.restore();
        if random.below(4) == 0 {
            self.power.cut_after(random.below(20));
        }
        if random.below(3) == 0 {
            self.rot(random);
        }
    }

    /// Damages the newest snapshot, where another one leads as far.
    fn rot(&self, random: &mut Random) {
        let positions = self.observed_snapshots().positions().unwrap_or_default();
        if let [_, .., newest] = positions.as_slice() {
            let name = format!("{newest:020}.snapshot");
            self.snapshot_disk.damage(&name, |bytes| {
                let at = random.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            });
        }
    }

    /// Starts the process, again where the power goes off meanwhile.
    pub(super) fn start(&mut self, random: &mut Random) {
        for _ in 0..4 {
            let faulty = is_faulty(&self.journal_disk) || is_faulty(&self.snapshot_disk);
            match self.try_start() {
                Ok(()) => return,
                Err(_) if self.power.is_off() => {
                    let cut = random.below(2) > 0;
                    if cut {
                        self.journal_disk = self.journal_disk.crash(random.below(u64::MAX));
                        self.snapshot_disk = self.snapshot_disk.crash(random.below(u64::MAX));
                    }
                    self.power.restore();
                }
                // A start on a faulty disk may fail; the service manager tries again.
                Err(_) if faulty => self.heal_disks(),
                Err(error) => return self.oracle().fail("a start succeeds", error),
            }
        }
        self.power.restore();
        self.heal_disks();
        if let Err(error) = self.try_start() {
            self.oracle().fail("a start succeeds", error);
        }
    }

    fn heal_disks(&self) {
        for disk in [&self.journal_disk, &self.snapshot_disk] {
            heal(disk);
        }
        self.syncs_again();
    }

    fn syncs_again(&self) {
        for disk in [&self.journal_disk, &self.snapshot_disk] {
            let mut state = disk.state();
            (state.sync_fails, state.sync_failed) = (false, false);
        }
    }

    fn try_start(&mut self) -> Result<(), String> {
        let disk = Arc::new(self.journal_disk.clone());
        let (log, recovered) =
            Journal::open_on(disk, self.settings.journal).map_err(|e| e.to_string())?;
        let reads = log.source();
        let source = reads.through(Arc::new(self.journal_disk.observed()));
        self.oracle()
            .recovered(&source, recovered.oldest, recovered.next);
        let snapshots = self.snapshots();
        snapshots.clean().map_err(|e| e.to_string())?;
        let health = Health::default();
        let snapshot = snapshots.newest(recovered.next).unwrap_or_default();
        let (keeper, desk) = Keeper::new(snapshots.clone(), health.clone());
        let database = self.database.clone();
        let follower = Follower::new(
            database.clone(),
            reads,
            snapshots,
            health.clone(),
            self.settings.store.clone(),
        );
        let threads = Arc::new(Mutex::new(Threads {
            follower,
            desk,
            rests: 0,
        }));
        let clock = SimClock {
            time: self.time.clone(),
            threads: Arc::clone(&threads),
            oracle: Arc::clone(&self.oracle),
            source: source.clone(),
            disks: [self.journal_disk.clone(), self.snapshot_disk.clone()],
            database,
        };
        let outlet = SimOutlet {
            oracle: Arc::clone(&self.oracle),
            source: source.clone(),
            publish: self.settings.sequencer.publish,
        };
        // What the broker retained is gone with its memory.
        self.oracle().forget_retained();
        let parts = Parts {
            log,
            outlet,
            clock,
            health: health.clone(),
            keeper,
            metrics: crate::metrics::Metrics::default(),
            questions: tokio::sync::mpsc::channel(1).1,
            desk: None,
        };
        let waits = Arc::clone(&threads);
        let power = self.power.clone();
        let go_on = move || goes_on(&waits, &power);
        let settings = self.settings.sequencer.clone();
        let sequencer = Sequencer::start(parts, settings, snapshot, recovered.epoch, &go_on)
            .map_err(|e| e.to_string());
        self.stuck(&threads);
        let sequencer = sequencer?;
        self.oracle().witness(&source);
        self.oracle().same_state(sequencer.engine());
        self.node = Some(Node {
            sequencer,
            threads,
            health,
            source,
        });
        Ok(())
    }

    /// A journal that stays full although disk and database are whole is a violation.
    fn stuck(&self, threads: &Mutex<Threads>) {
        let mut threads = threads.lock().unwrap();
        if threads.rests > PATIENCE_MAX {
            let snapshots = self.observed_snapshots().positions().unwrap_or_default();
            let projected = self.database.tables().position;
            let trouble = threads.follower.step();
            let mut oracle = self.oracle();
            let next = oracle.next();
            oracle.fail("a full journal ends by itself", format!(
                "it stays full: {:?} of {} up to {next}, stored up to {projected} ({trouble:?}), snapshots at {snapshots:?}",
                self.journal_disk.sizes(), self.settings.journal.bytes_max,
            ));
        }
        threads.rests = 0;
    }

    /// The operator loads the market until it is there: a crash forgets what is half loaded.
    pub(super) fn has_market(&mut self) -> bool {
        let is_there = self.oracle().engine.security_count() > 0;
        if !is_there && self.operator.is_done() {
            self.operator.load("first", DEFINITIONS, None, false);
        }
        is_there
    }

    fn publish(&mut self, random: &mut Random) {
        if !self.has_market() {
            return self.send(self.publishers.len(), 3);
        }
        let at = random.below(self.publishers.len() as u64) as usize;
        let now = self.time.wall().min(START + (START / 1_000_000));
        for _ in 0..=random.below(8) {
            self.publishers[at].publish(random, now, &mut self.unique);
        }
        self.deliver(random);
    }

    /// Each publisher makes a message, and the network brings all there are.
    pub(super) fn publish_all(&mut self, random: &mut Random) {
        let now = self.time.wall();
        for publisher in &mut self.publishers {
            publisher.publish(random, now, &mut self.unique);
        }
        self.send_all();
    }

    pub(super) fn send_all(&mut self) {
        for at in 0..=self.publishers.len() {
            self.send(at, 20);
        }
    }

    fn deliver(&mut self, random: &mut Random) {
        for _ in 0..=random.below(3) {
            let at = random.below(self.publishers.len() as u64 + 1) as usize;
            self.send(at, 1 + random.below(5) as usize);
        }
    }

    fn send(&mut self, at: usize, most: usize) {
        let publisher = self.publishers.get_mut(at).unwrap_or(&mut self.operator);
        if self.ingress.len() < INGRESS_MAX
            && let Some(submission) = publisher.submit(most)
        {
            self.ingress.push_back(submission);
        }
    }

    pub(super) fn turn(&mut self, most: usize) {
        let most = most.min(self.ingress.len());
        let mut submissions: Vec<Submission> = self.ingress.drain(..most).collect();
        let Some(node) = &mut self.node else { return };
        let (waits, power) = (Arc::clone(&node.threads), self.power.clone());
        let outcome = node
            .sequencer
            .turn(&mut submissions, &|| goes_on(&waits, &power));
        let bytes = node.sequencer.log().bytes();
        self.stuck(&waits);
        if bytes > self.settings.journal.bytes_max {
            self.oracle()
                .fail("C5 bounded disk", format!("the journal counts {bytes}"));
        }
        self.hear();
        if let Err(error) = outcome {
            let is_expected = self.power.is_off() || self.journal_disk.state().sync_failed;
            if !is_expected {
                self.oracle().fail("the sequencer goes on", &error);
            }
            // An error of fdatasync ends the process; what is on the disk then, nobody knows.
            let cut = self.power.is_off() || self.unique.is_multiple_of(2);
            let mut random = Random(self.unique ^ 0x5eed);
            self.crash(&mut random, cut);
        }
    }

    fn hear(&mut self) {
        let mut oracle = self.oracle.lock().unwrap();
        if let Some(node) = &self.node {
            oracle.witness(&node.source);
        }
        for publisher in self.publishers.iter_mut().chain([&mut self.operator]) {
            publisher.hear(&mut oracle);
        }
    }

    pub(super) fn with_threads(&mut self, act: impl FnOnce(&mut Threads)) {
        if let Some(node) = &self.node {
            act(&mut node.threads.lock().unwrap());
        }
    }

    pub(super) fn snapshot(&mut self) {
        self.with_threads(|threads| threads.desk.step());
    }

    pub(super) fn follow(&mut self, steps: u64) {
        self.with_threads(|threads| {
            for _ in 0..steps {
                let _trouble = threads.follower.step();
            }
        });
    }

    fn disconnect(&mut self, random: &mut Random) {
        let at = random.below(self.publishers.len() as u64) as usize;
        let publisher = &mut self.publishers[at];
        if random.below(2) == 0 && publisher.starts < 8 {
            publisher.restart(1 + random.below(u64::MAX / 2));
        } else {
            publisher.disconnect();
        }
    }

    fn operate(&mut self, random: &mut Random) {
        if random.below(3) == 0 {
            let order = self.oracle().order(random);
            return self.operator.order(&order);
        }
        if random.below(3) == 0 || !self.has_market() {
            return self.operator.ask(random);
        }
        self.loads += 1;
        let id = format!("load-{}", self.loads);
        let symbol = format!("N{}", self.loads);
        let now = self.time.wall();
        let later = Time::from_nanos(now + random.below(5_000_000_000) as i64);
        let day = later.to_string()[..10].to_owned();
        let change = match random.below(6) {
            0 => format!(
                "\"revisions\":[{{\"id\":\"r{}\",\"effective\":\"{later}\",\"indexes\":[{{\"code\":\"EQ\"}}]}}]",
                self.loads
            ),
            1 => format!(
                "\"indexes\":[{{\"code\":\"I{}\",\"currency\":\"USD\",\"weighting\":{{\"scheme\":\"price\"}},\
                 \"base\":{{\"value\":\"10\"}},\"dissemination\":{{\"mode\":\"conflate\"}},\
                 \"basket\":[{{\"symbol\":\"KO\"}},{{\"symbol\":\"{symbol}\"}}]}}]",
                self.loads
            ),
            2 => format!(
                "\"actions\":[{{\"id\":\"a{}\",\"ex_date\":\"{day}\",\"type\":\"rebalance\",\"index\":\"EQ\"}}]",
                self.loads
            ),
            3 => format!(
                "\"actions\":[{{\"id\":\"a{}\",\"ex_date\":\"{day}\",\"type\":\"dividend\",\"symbol\":\"KO\",\
                 \"amount\":\"0.5\"}}]",
                self.loads
            ),
            _ => format!(
                "\"prices\":[{{\"symbol\":\"KO\",\"price\":\"{}\"}}]",
                50 + random.below(20)
            ),
        };
        let items = format!(
            "{{\"securities\":[{{\"symbol\":\"{symbol}\",\"currency\":\"USD\"}}],{change}}}"
        );
        self.operator
            .load(&id, &items, Some(&symbol), random.below(6) == 0);
        self.send(self.publishers.len(), 3);
    }

    fn jump(&mut self, random: &mut Random) {
        let hour = 3_600_000_000_000;
        let by = match random.below(4) {
            0 => -hour,
            1 => hour,
            2 => random.below(3) as i64 * 8 * hour,
            _ => random.below(2_000_000_000) as i64 - 1_000_000_000,
        };
        self.time.jump(by);
    }

    fn disk_fault(&mut self, random: &mut Random) {
        let disk = [&self.journal_disk, &self.snapshot_disk][random.below(2) as usize];
        let mut state = disk.state();
        match random.below(6) {
            0 | 1 => state.space = Some(random.below(20_000)),
            2 => state.space = None,
            3 | 4 => state.refusals = 1 + random.below(3) as u32,
            _ => state.sync_fails = true,
        }
    }

    fn database_fault(&mut self, random: &mut Random) {
        let mut tables = self.database.tables();
        match random.below(5) {
            0 | 1 => tables.is_down = !tables.is_down,
            2 => tables.breaks = Some(Break::BeforeCommit),
            _ => tables.breaks = Some(Break::AfterCommit),
        }
    }

    /// An orderly stop: the sequencer ends, snapshots are written, the store catches up.
    fn stop(&mut self) {
        self.turn(usize::MAX);
        let Some(node) = self.node.take() else { return };
        node.sequencer.finish();
        let mut threads = node.threads.lock().unwrap();
        for _ in 0..3 {
            let _trouble = threads.follower.step();
            threads.desk.step();
        }
        drop(threads);
        for publisher in self.publishers.iter_mut().chain([&mut self.operator]) {
            publisher.disconnect();
        }
        self.ingress.clear();
    }

    /// Everything is whole again: what waits arrives, and what was promised is there.
    pub(super) fn end(&mut self, seed: u64) {
        let mut random = Random(seed ^ 0xe4d);
        Point::disarm();
        self.power.restore();
        let sync_failed = self.journal_disk.state().sync_failed;
        if self.power.is_off() || sync_failed {
            self.crash(&mut random, true);
        }
        self.power.restore();
        self.heal_disks();
        {
            let mut tables = self.database.tables();
            tables.is_down = false;
            tables.breaks = None;
        }
        for round in 0..400 {
            if self.violation().is_some() {
                return;
            }
            if self.node.is_none() {
                self.start(&mut random);
            }
            self.time.pass(1_000_000_000);
            self.send_all();
            self.turn(usize::MAX);
            self.follow(3);
            self.snapshot();
            self.look(&mut random);
            let publishers = self.publishers.iter().chain([&self.operator]);
            let sent = publishers.clone().all(Publisher::is_done) && self.ingress.is_empty();
            let stored = self.database.tables().position == self.oracle().next();
            if sent && stored && round > 2 {
                break;
            }
        }
        // And from what it leaves behind it starts again.
        self.stop();
        self.start(&mut random);
        self.follow(50);
        let publishers = self.publishers.iter().chain([&self.operator]);
        let waiting = publishers.filter(|publisher| !publisher.is_done()).count();
        let mut oracle = self.oracle.lock().unwrap();
        if waiting > 0 {
            oracle.fail(
                "everything arrives in the end",
                format!("{waiting} outboxes are not empty"),
            );
        }
        if let Some(node) = &self.node {
            oracle.witness(&node.source);
        }
        oracle.everything(&self.database.tables());
        oracle.loads();
    }
}

/// Whether to go on waiting for room.
fn goes_on(threads: &Mutex<Threads>, power: &Power) -> bool {
    !power.is_off() && threads.lock().unwrap().rests <= PATIENCE_MAX
}
