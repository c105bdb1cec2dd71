//! Nothing acknowledged is lost, everything counts once and can be reproduced, whatever is killed.
//!
//! Four publishers go on through all of it, each with its own outbox. The short mode is part of
//! every test run; `just faults` runs the long one. A failure prints its seed:
//! `DIVISOR_FAULT_SEED=… DIVISOR_FAULT_ROUNDS=… just faults` runs it again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase, eventually};
use divisord::exit;
use postgres::Client;
use serde_json::{Value, json};

use super::raw::{Publisher, Recorder, Seen, Wire, publish};
use super::{Mqtt, column, daemon, sum_of};

/// Deaths in the short mode.
const ROUNDS: u64 = 6;

/// Ticks of each publisher per second: what a debug build and a database beside it can follow.
pub(super) const RATE: u64 = 1_500;

pub(super) const FEEDS: [(&str, &str); 4] =
    [("S1", "f1"), ("S2", "f2"), ("S3", "f3"), ("S4", "f4")];

/// Four securities, and an index of each way to disseminate.
pub(super) fn market() -> Value {
    let symbols = FEEDS.map(|(symbol, _)| symbol);
    let securities = symbols.map(|symbol| json!({ "symbol": symbol, "currency": "USD" }));
    let prices = symbols.map(|symbol| json!({ "symbol": symbol, "price": "1" }));
    json!({
        "securities": securities,
        "prices": prices,
        "indexes": [
            sum_of("EACH", &symbols, json!({ "mode": "tick" })),
            sum_of("CALM", &symbols, json!({ "mode": "conflate" })),
            sum_of("CLOCK", &symbols, json!({ "mode": "interval", "every_ms": 100 })),
        ],
    })
}

/// A small generator: the point is that a seed gives the same faults again.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

pub(super) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A server of its own, since it dies; its watchdog ends it with this process.
pub(super) fn server() -> &'static Postgres {
    Box::leak(Box::new(Postgres::start().unwrap()))
}

#[test]
fn kill_9_of_daemon_and_postgresql() {
    let rounds = number("DIVISOR_FAULT_ROUNDS").unwrap_or(ROUNDS);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = number("DIVISOR_FAULT_SEED").unwrap_or(clock.unwrap().as_micros() as u64 | 1);
    println!("DIVISOR_FAULT_SEED={seed} DIVISOR_FAULT_ROUNDS={rounds}");
    let mut dice = Dice(seed);
    let server = server();
    let database = server.database();
    // Small enough that snapshots and the retention of segments are among what is interrupted.
    let mut daemon = daemon()
        .database(&database.url())
        .set("sequencer.snapshot_bytes=200KiB")
        .set("journal.keep=0")
        .start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let started = Instant::now();
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, RATE));
    let mut faults = BTreeMap::<&str, u64>::new();
    for _ in 0..rounds {
        thread::sleep(Duration::from_millis(50 + dice.below(1_500)));
        let (fault, next) = strike(dice.below(8), daemon, server, &database, &mut dice);
        daemon = next;
        *faults.entry(fault).or_default() += 1;
    }
    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    // What is under way to the subscriber.
    thread::sleep(Duration::from_millis(300));
    let seen = recorder.finish();
    let epoch = Mqtt::v4(&daemon, "operator").done("status", json!({}))["epoch"].clone();
    println!(
        "{rounds} rounds in {:.0?}: {faults:?}, epoch {epoch}, acknowledged {sent:?}, received {} \
         levels",
        started.elapsed(),
        seen.levels.len()
    );
    all_is_well(&daemon, &database, sent, &seen);
}

/// One fault, and the daemon that goes on after it.
fn strike(
    which: u64,
    mut daemon: Daemon,
    server: &Postgres,
    database: &TestDatabase,
    dice: &mut Dice,
) -> (&'static str, Daemon) {
    let a_while = Duration::from_millis(dice.below(800));
    match which {
        0..=2 => ("daemon killed", daemon.restart()),
        3 => {
            server.halt();
            thread::sleep(a_while);
            server.resume();
            ("PostgreSQL killed", daemon)
        }
        4 => {
            server.halt();
            daemon = daemon.restart();
            thread::sleep(a_while);
            server.resume();
            ("both killed", daemon)
        }
        5 => {
            terminate(&mut admin(server), database);
            ("connection cut", daemon)
        }
        6 => {
            let pids = backends(&mut admin(server));
            signal("-STOP", &pids);
            thread::sleep(a_while);
            daemon = daemon.restart();
            signal("-CONT", &pids);
            ("PostgreSQL stopped, daemon killed", daemon)
        }
        _ => {
            daemon.kill();
            thread::sleep(a_while);
            ("daemon away", daemon.restart())
        }
    }
}

fn admin(server: &Postgres) -> Client {
    eventually("PostgreSQL answers", || server.admin().ok())
}

/// The server processes that serve daemons.
fn backends(admin: &mut Client) -> Vec<String> {
    let sql = "select pid::text from pg_stat_activity where application_name = 'divisord'";
    let rows = admin.query(sql, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn terminate(admin: &mut Client, _database: &TestDatabase) {
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
               where application_name = 'divisord'";
    admin.query(sql, &[]).unwrap();
}

fn signal(which: &str, pids: &[String]) {
    if !pids.is_empty() {
        // One that has ended meanwhile is no failure.
        let _status = Command::new("kill").arg(which).args(pids).status();
    }
}

/// Every acknowledged tick is stored once, stored = received = recomputed, retained = last stored.
pub(super) fn all_is_well(daemon: &Daemon, database: &TestDatabase, sent: [u64; 4], seen: &Seen) {
    assert_eq!(seen.contradiction, None);
    for ((_, feed), sent) in FEEDS.iter().zip(sent) {
        let sql = format!(
            "select concat_ws(' ', count(*), count(distinct seq), min(seq), max(seq)) from tick \
             where src = '{feed}'"
        );
        assert_eq!(
            column(database, &sql),
            [format!("{sent} {sent} 1 {sent}")],
            "{feed}"
        );
    }
    let sql = "select \"index\", seq::bigint, level::text from level";
    let rows = database.connect().query(sql, &[]).unwrap();
    let stored: BTreeMap<(String, u64), String> = rows
        .iter()
        .map(|row| ((row.get(0), row.get::<_, i64>(1) as u64), row.get(2)))
        .collect();
    assert_eq!(stored.len(), rows.len(), "a number is there twice");
    for (key, level) in &seen.levels {
        assert_eq!(stored.get(key), Some(level), "{key:?}");
    }
    let retained = Mqtt::v5(daemon, "late");
    retained.subscribe("indexes/+/level");
    for code in ["EACH", "CALM", "CLOCK"] {
        let of_index = stored.range((code.to_owned(), 0)..=(code.to_owned(), u64::MAX));
        assert!(
            of_index
                .clone()
                .zip(1..)
                .all(|((key, _), seq)| key.1 == seq),
            "{code}"
        );
        let ((_, seq), level) = of_index.last().unwrap();
        let message = retained.wait(code, |m| {
            m.retain.then(|| m.json()).filter(|m| m["index"] == code)
        });
        assert_eq!(
            (&message["seq"], &message["level"]),
            (&json!(seq), &json!(level)),
            "{code}"
        );
    }
    verified(daemon, database);
}

#[expect(
    clippy::print_stdout,
    reason = "the figures of a run are worth reading"
)]
pub(super) fn verified(daemon: &Daemon, database: &TestDatabase) {
    let options = super::daemon().database(&database.url());
    let mut command = options.verb(daemon.state(), &["verify"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit::OK.into()), "{told}{error}");
    println!("{told}");
}

#[test]
fn postgresql_in_every_mood() {
    let server = server();
    let database = server.database();
    let daemon = daemon().database(&database.url()).start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, RATE / 3));
    let store_is = |word: &str| {
        eventually(&format!("the store is {word}"), || {
            let status = recorder.look(|seen| seen.status.clone())?;
            (status.1 == word).then_some(())
        });
    };
    let goes_on = |what: &str| {
        let (before, seen) = (
            publishers[0].acked(),
            recorder.look(|seen| seen.levels.len()),
        );
        eventually(&format!("publishing goes on: {what}"), || {
            let acked = publishers[0].acked() > before + 100;
            (acked && recorder.look(|s| s.levels.len()) > seen + 100).then_some(())
        });
    };
    let name = column(&database, "select current_database()::text").remove(0);

    let pids = backends(&mut admin(server));
    signal("-STOP", &pids);
    goes_on("PostgreSQL hangs");
    store_is("degraded");
    signal("-CONT", &pids);
    store_is("ok");

    for _ in 0..5 {
        terminate(&mut admin(server), &database);
        thread::sleep(Duration::from_millis(100));
    }
    goes_on("connections are cut");
    store_is("ok");

    let mut admin = admin(server);
    let read_only = format!("alter database {name} set default_transaction_read_only = ");
    admin.batch_execute(&format!("{read_only} on")).unwrap();
    terminate(&mut admin, &database);
    store_is("degraded");
    goes_on("PostgreSQL is read-only");
    admin.batch_execute(&format!("{read_only} off")).unwrap();
    terminate(&mut admin, &database);
    store_is("ok");

    // Whoever comes last gets no connection.
    let mut crowd = Vec::new();
    loop {
        while let Ok(client) = server.admin() {
            crowd.push(client);
        }
        if recorder
            .look(|seen| seen.status.clone())
            .is_some_and(|s| s.1 == "degraded")
        {
            break;
        }
        terminate(&mut admin, &database);
    }
    goes_on("there is no connection left");
    drop(crowd);
    store_is("ok");

    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
}

#[test]
fn neither_start_nor_stop_waits_for_a_postgresql_that_hangs() {
    let database = Postgres::shared().database();
    let options = daemon().database(&database.url());
    let mut daemon = options.set("service.stop_timeout=1s").start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&market());
    desk.wait_projected();
    daemon.kill();
    // Somebody stands on the row that every transaction begins with.
    let mut client = database.connect();
    let mut tx = client.transaction().unwrap();
    tx.query("select position from projection for update", &[])
        .unwrap();
    let started = Instant::now();
    let mut daemon = daemon.restart();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    let desk = Mqtt::v4(&daemon, "desk");
    assert_eq!(desk.done("status", json!({}))["store"], "degraded");
    desk.price("S1", "2.50");
    // Nor does a stop.
    let started = Instant::now();
    assert!(daemon.stop().success());
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    tx.rollback().unwrap();
    let daemon = daemon.restart();
    Mqtt::v4(&daemon, "desk").wait_projected();
    verified(&daemon, &database);
}

/// A small file system, unmounted at the end.
pub(super) struct Tmpfs(PathBuf);

impl Tmpfs {
    pub(super) fn mount(dir: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let options = format!("size={size},mode=700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir)
            .stderr(Stdio::null())
            .status();
        mount
            .is_ok_and(|status| status.success())
            .then(|| Self(dir.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_withholds_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let Some(_disk) = Tmpfs::mount(&journal, "16m") else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let server = server();
    let database = server.database();
    let options: Options = daemon().database(&database.url()).state(dir.path());
    let mut daemon = options.start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, 4 * RATE));
    let journal_is = |word: &str| {
        eventually(&format!("the journal is {word}"), || {
            let status = recorder.look(|seen| seen.status.clone())?;
            (status.0 == word).then_some(())
        });
    };
    let numbers = || {
        let acked: Vec<u64> = publishers.iter().map(Publisher::acked).collect();
        (acked, recorder.look(|seen| seen.levels.len()))
    };
    let elses = journal.join("somebody-elses");
    for round in 0..2 {
        // As long as PostgreSQL takes what is there, room is made of that.
        server.halt();
        // What the journal lets go of is taken, too.
        let before = eventually("nothing is acknowledged, no level leaves", || {
            fill(&elses);
            let before = numbers();
            thread::sleep(Duration::from_millis(700));
            let is_full = recorder.look(|seen| seen.status.clone())?.0 == "full";
            (is_full && numbers() == before).then_some(before)
        });
        fs::remove_file(&elses).unwrap();
        journal_is("ok");
        server.resume();
        let (acked, _) = before;
        eventually("it goes on", || {
            (publishers[0].acked() > acked[0] + 50).then_some(())
        });
        if round == 0 {
            daemon = daemon.restart();
        }
    }
    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
    assert!(daemon.stop().success());
}

#[test]
fn a_full_journal_waits_for_postgresql_and_goes_on() {
    let server = server();
    let database = server.database();
    let mut daemon = daemon()
        .database(&database.url())
        .set("journal.bytes_max=4MiB")
        .set("journal.keep=0")
        .start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, 4 * RATE));
    let is = |what: &str, journal: &str, store: &str| {
        eventually(what, || {
            let status = recorder.look(|seen| seen.status.clone())?;
            (status == (journal.to_owned(), store.to_owned())).then_some(())
        });
    };
    for _ in 0..2 {
        server.halt();
        is("the journal is full", "full", "degraded");
        server.resume();
        is("it has room again", "ok", "ok");
    }
    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
    daemon = daemon.restart();
    Mqtt::v4(&daemon, "operator").wait_projected();
    verified(&daemon, &database);
}

/// Takes all the room there is, beside what it has taken before.
pub(super) fn fill(path: &Path) {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_flood_is_slowed_and_nothing_is_dropped() {
    const FLOOD: u64 = 10_000;
    let database = Postgres::shared().database();
    let daemon = daemon()
        .database(&database.url())
        .set("sequencer.queue_submissions_max=4")
        .start();
    Mqtt::v4(&daemon, "operator").load(&market());
    for qos in [1, 0] {
        let started = Instant::now();
        let floods = FEEDS.map(|(symbol, feed)| {
            let address = daemon.address();
            let topic = format!("securities/{symbol}/price");
            thread::spawn(move || flood(address, &topic, feed, qos, FLOOD))
        });
        for flood in floods {
            flood.join().unwrap();
        }
        let stored = format!("{}", 4 * FLOOD);
        let sql = format!("select count(*)::text from tick where src like 'f%' and inc = {qos}");
        eventually("everything is stored", || {
            (column(&database, &sql) == [stored.as_str()]).then_some(())
        });
        println!(
            "QoS {qos}: {} ticks in {:.1?}, memory at most {} MiB",
            4 * FLOOD,
            started.elapsed(),
            memory_max(&daemon) >> 20
        );
        assert!(memory_max(&daemon) < 1 << 30, "memory is bounded");
    }
    Mqtt::v4(&daemon, "operator").wait_projected();
    verified(&daemon, &database);
}

/// Writes without ever waiting for an answer; the answers are counted beside it.
fn flood(address: std::net::SocketAddr, topic: &str, feed: &str, qos: u64, count: u64) {
    use std::io::Write;
    let mut wire = Wire::connect(address, &format!("{feed}-{qos}")).unwrap();
    let mut writer = wire.writer().unwrap();
    let acks = thread::spawn(move || {
        let mut acked = 0;
        while qos == 1 && acked < count {
            acked += u64::from(wire.acknowledged().unwrap().is_some());
        }
        wire
    });
    for seq in 1..=count {
        let id = (qos == 1).then_some((seq % 65_535) as u16 + 1);
        let cents = seq % 100;
        let payload =
            format!(r#"{{"price":"9.{cents:02}","src":"{feed}","inc":{qos},"seq":{seq}}}"#);
        writer.write_all(&publish(topic, id, &payload)).unwrap();
    }
    // A clean goodbye: what was written before it is read.
    let wire = acks.join().unwrap();
    writer.write_all(&[0xe0, 0]).unwrap();
    drop(wire);
}

/// The most memory that the daemon has had, in bytes.
fn memory_max(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}
