//! What can be in the way of a start, and what the service manager hears.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use divisor_testkit::{Options, PATIENCE, Postgres};
use divisord::exit;
use serde_json::json;

use super::{Mqtt, daemon, pair};

#[test]
fn what_is_in_the_way_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let free = dir.path().join("free");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let busy = daemon().listen(address);
    refused(
        &busy,
        &free,
        exit::BUSY,
        &["listen on", &address.to_string(), "--listen"],
    );

    refused(
        &daemon(),
        &file,
        exit::STATE,
        &["state directory", "file", "--state"],
    );

    let running = daemon().start();
    let pid = running.pid().to_string();
    refused(
        &daemon(),
        running.state(),
        exit::BUSY,
        &["state directory", &pid, "uses it"],
    );
    let desk = Mqtt::v4(&running, "desk");
    assert_eq!(
        desk.done("status", json!({}))["state"],
        "online",
        "it was not disturbed"
    );

    for (set, words) in [
        ("journal.segment_bites=1MiB", ["segment_bites", "journal"]),
        ("ticks.future_max=soon", ["future_max", "duration"]),
        ("database.url=nonsense", ["database.url", "url"]),
    ] {
        refused(&daemon().set(set), &free, exit::CONFIG, &words);
    }

    let open = daemon().listen("0.0.0.0:1883".parse().unwrap());
    refused(&open, &free, exit::CONFIG, &["0.0.0.0:1883", "loopback"]);

    let nobody = "postgres://nobody@127.0.0.1:1/none?connect_timeout=2";
    refused(
        &daemon().database(nobody),
        &free,
        exit::DATABASE,
        &["PostgreSQL"],
    );
}

#[test]
fn a_database_belongs_to_one_journal() {
    let database = Postgres::shared().database();
    let mut first = daemon().database(&database.url()).start();
    let desk = Mqtt::v4(&first, "desk");
    desk.load(&pair());
    desk.wait_projected();
    assert!(first.stop().success());
    let dir = tempfile::tempdir().unwrap();
    let second = daemon().database(&database.url());
    refused(&second, dir.path(), exit::DATABASE, &["journal"]);
    // Its own daemon still may.
    Mqtt::v4(&first.restart(), "desk").wait_projected();
}

#[test]
fn a_torn_tail_is_cut_and_a_damaged_middle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let options = daemon().state(dir.path());
    let mut daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    for cent in 1..=50 {
        desk.price("AAA", format!("20.{cent:02}"));
    }
    daemon.kill();

    // The machine died while the last record was written: the tick is gone, all before it is there.
    let journal = journal_file(dir.path());
    let whole = fs::read(&journal).unwrap();
    let end = 1 + whole.iter().rposition(|byte| *byte != 0).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .unwrap()
        .set_len(end as u64 - 3)
        .unwrap();
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let mut daemon = options.clone().start();
    assert!(
        daemon.log().contains("cut the torn tail"),
        "{}",
        daemon.log()
    );
    let desk = Mqtt::v4(&daemon, "desk");
    let shown = desk.done("index.show", json!({ "code": "PAIR" }));
    assert_eq!(
        (&shown["row"]["level"], &shown["row"]["seq"]),
        (&json!("70.49"), &json!(50))
    );
    desk.price("AAA", "20.51");
    daemon.kill();

    // A byte in the middle: valid records follow, so nothing may be cut.
    let mut damaged = fs::read(&journal).unwrap();
    let middle = 4096 + (end - 4096) / 2;
    damaged[middle] ^= 0x10;
    fs::write(&journal, &damaged).unwrap();
    let name = journal.file_name().unwrap().to_str().unwrap().to_owned();
    refused(
        &options,
        dir.path(),
        exit::JOURNAL,
        &[&name, "byte", "journal repair"],
    );
    assert_eq!(fs::read(&journal).unwrap(), damaged, "nothing was touched");
}

#[test]
fn it_stops_at_once_with_clients_connected() {
    let mut daemon = daemon().start();
    let clients: Vec<Mqtt> = (0..20)
        .map(|i| match i % 2 {
            0 => Mqtt::v4(&daemon, &format!("client-{i}")),
            _ => Mqtt::v5(&daemon, &format!("client-{i}")),
        })
        .collect();
    clients[0].load(&pair());
    for client in &clients {
        client.subscribe("indexes/#");
        client.publish("securities/AAA/price", "21");
    }
    // Connected and silent: it has not even said who it is.
    let _stranger = TcpStream::connect(daemon.address()).unwrap();
    let asked = Instant::now();
    assert_eq!(daemon.stop().code(), Some(0));
    // Half of what a loaded machine may take, and less than any grace of a client that hangs.
    assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    TcpStream::connect(daemon.address()).unwrap_err();
}

#[test]
fn the_service_manager_hears_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        let mut bytes = [0; 512];
        while Instant::now() < deadline {
            let len = socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return before;
            }
            before.push(text);
        }
        panic!("no {wanted}, but {before:?}");
    };
    let options = daemon()
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "400000");
    let mut daemon = options.start();
    // The sequencer is alive a moment before the door is open.
    let before = heard("READY=1");
    assert!(
        before.iter().all(|word| word == "WATCHDOG=1\n"),
        "{before:?}"
    );
    let desk = Mqtt::v4(&daemon, "desk");
    assert_eq!(desk.done("status", json!({}))["state"], "online");
    // Fed while nothing happens, too.
    for _ in 0..3 {
        heard("WATCHDOG=1");
    }
    assert!(daemon.stop().success());
    heard("STOPPING=1");
}

/// Starts the daemon, which must end by itself with this code and one line that has these words.
fn refused(options: &Options, state: &Path, code: u8, words: &[&str]) {
    let mut command = options.command(state);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code.into()), "{words:?}: {text}");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("divisord: "))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(text.lines().last(), Some(lines[0]), "the last word: {text}");
    for word in words {
        assert!(lines[0].contains(word), "no `{word}` in: {}", lines[0]);
    }
    let lock = state.join("lock");
    if code != exit::BUSY && lock.exists() {
        // Nothing of it is left that would hold the directory.
        let probe = Command::new("flock")
            .args(["-n"])
            .arg(&lock)
            .arg("true")
            .status();
        assert!(
            probe.map_or(true, |status| status.success()),
            "still locked"
        );
    }
}

/// The oldest file of the journal, which has the records.
fn journal_file(state: &Path) -> PathBuf {
    let entries = fs::read_dir(state.join("journal")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "journal"));
    files.sort();
    files.swap_remove(0)
}
