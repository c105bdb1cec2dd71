//! A daemon that is started again and again, and one that cannot go on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use divisor_testkit::{Daemon, Options, PATIENCE, Postgres, eventually};
use serde_json::json;

use super::faults::{Dice, FEEDS, RATE, all_is_well, market, number, server};
use super::raw::{Publisher, Recorder, Wire, publish};
use super::{Mqtt, daemon, pair};

/// Starts in the short mode; `DIVISOR_FAULT_RESTARTS=1000 just faults` has more.
const STARTS: u64 = 25;

#[test]
fn kill_9_at_any_moment_of_a_start() {
    let starts = number("DIVISOR_FAULT_RESTARTS").unwrap_or(STARTS);
    let database = Postgres::shared().database();
    let mut daemon = daemon()
        .database(&database.url())
        .set("sequencer.snapshot_bytes=50KiB")
        .set("journal.keep=0")
        .start();
    Mqtt::v4(&daemon, "operator").load(&market());
    let recorder = Recorder::start(daemon.address());
    let publishers = FEEDS.map(|(s, f)| Publisher::start(daemon.address(), s, f, RATE / 3));
    let mut dice = Dice(24);
    let (mut tried, mut epoch) = (0, 1);
    while tried < starts {
        daemon.kill();
        // Most of these die before they listen, some before they have a place in the journal.
        for _ in 0..dice.below(4) {
            let options = super::daemon()
                .database(&database.url())
                .set("sequencer.snapshot_bytes=50KiB")
                .set("journal.keep=0")
                .listen(daemon.address());
            let mut child = quiet(&options, &daemon);
            thread::sleep(Duration::from_millis(dice.below(120)));
            let _ = child.kill();
            let _ = child.wait();
            tried += 1;
        }
        daemon = daemon.restart();
        tried += 1;
        let status = Mqtt::v5(&daemon, "operator").done("status", json!({}));
        let next = status["epoch"].as_u64().unwrap();
        assert!(next > epoch, "epoch {next} after {epoch}");
        epoch = next;
    }
    println!("{tried} starts, epoch {epoch}");
    let sent = publishers.map(Publisher::finish);
    Mqtt::v4(&daemon, "operator").wait_projected();
    thread::sleep(Duration::from_millis(300));
    all_is_well(&daemon, &database, sent, &recorder.finish());
}

fn quiet(options: &Options, daemon: &Daemon) -> Child {
    let mut command = options.command(daemon.state());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Nothing is left for even the record of a boot: the start waits for room, says so, and ends in
/// order when it is asked to; with room it goes on by itself.
#[test]
fn a_stop_is_heard_while_the_journal_is_full() {
    let server = server();
    let database = server.database();
    let dir = tempfile::tempdir().unwrap();
    let options = daemon()
        .database(&database.url())
        .state(dir.path())
        .set("journal.bytes_max=2MiB")
        .set("journal.keep=0")
        .set("service.stop_timeout=1s");
    let mut daemon = options.clone().start();
    let desk = Mqtt::v4(&daemon, "desk");
    desk.load(&pair());
    desk.wait_projected();
    server.halt();
    // With many ticks at once, and then one by one, so that hardly anything is left.
    let mut acked = fill(&daemon, 200);
    daemon = daemon.restart();
    acked += fill(&daemon, 1);
    // Asked to stop with a tick that waits for room.
    let recorder = Recorder::start(daemon.address());
    let says = |what: &str| {
        eventually(what, || {
            let state = recorder.look(|seen| seen.state.clone())?;
            (state == what).then_some(())
        });
    };
    says("online");
    assert_eq!(daemon.stop().code(), Some(0), "{}", daemon.log());
    says("offline");
    drop(recorder.finish());

    // Each start takes a little of what is left, until one finds nothing.
    let mut starts = 0;
    loop {
        let (mut child, lines) = started(&options, dir.path());
        let line = wait_for(&lines, &["listening for MQTT", "the journal is full"]);
        starts += 1;
        if line.contains("the journal is full") {
            terminate(&child);
            let code = child.wait().unwrap().code();
            assert_eq!(code, Some(0), "{:?}", lines.iter().collect::<Vec<_>>());
            break;
        }
        assert!(starts < 100, "it never fills up");
        child.kill().unwrap();
        let _ = child.wait();
    }
    let (mut child, lines) = started(&options, dir.path());
    wait_for(&lines, &["the journal is full"]);
    server.resume();
    wait_for(&lines, &["listening for MQTT"]);
    let stored = "select count(*) from tick where src = 'feed'";
    eventually("what was acknowledged is stored", || {
        let row = database.connect().query_one(stored, &[]).unwrap();
        (row.get::<_, i64>(0).cast_unsigned() >= acked).then_some(())
    });
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    println!("{acked} ticks acknowledged, {starts} starts");
}

/// Publishes until the journal is full, `burst` ticks at a time; how many were acknowledged.
fn fill(daemon: &Daemon, burst: u64) -> u64 {
    let recorder = Recorder::start(daemon.address());
    let is = |word: &str| {
        let status = recorder.look(|seen| seen.status.clone());
        status.is_some_and(|status| status.0 == word)
    };
    eventually("it has room", || is("ok").then_some(()));
    let mut wire = Wire::connect(daemon.address(), "feed").unwrap();
    let mut writer = wire.writer().unwrap();
    let (mut sent, mut acked) = (0, 0);
    eventually("the journal is full", || {
        let mut packets = Vec::new();
        for _ in 0..burst {
            sent += 1;
            let price = format!("{}.{:02}", 20 + sent % 100, sent % 89);
            let id = u16::try_from(sent % 65_535).unwrap() + 1;
            packets.extend(publish("securities/AAA/price", Some(id), &price));
        }
        writer.write_all(&packets).unwrap();
        while acked < sent && !is("full") {
            acked += u64::from(wire.acknowledged().unwrap().is_some());
        }
        is("full").then_some(())
    });
    drop(recorder.finish());
    acked
}

fn started(options: &Options, state: &std::path::Path) -> (Child, Receiver<String>) {
    let mut command = options.command(state);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    (child, lines)
}

fn wait_for(lines: &Receiver<String>, words: &[&str]) -> String {
    let mut said = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if words.iter().any(|word| line.contains(word)) => return line,
            Ok(line) => said.push(line),
            Err(error) => panic!("no {words:?} ({error}) in {said:#?}"),
        }
    }
}

fn terminate(child: &Child) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(status.unwrap().success());
}
