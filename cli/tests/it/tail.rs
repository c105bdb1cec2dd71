//! `divisor tail`: levels as they are published, for people and for pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout};
use std::thread;

use divisor_testkit::Daemon;
use serde_json::Value;

use super::{Run, daemon, fixture, interrupt, small, spawn};

/// A tail that runs: what it prints can be read as it comes.
pub(super) struct Following {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    /// Starts it and waits for its header, which comes when the subscription stands.
    pub(super) fn start(daemon: &Daemon, arguments: &[&str]) -> Self {
        let mut child = spawn(daemon, arguments);
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut following = Self { child, lines };
        assert!(following.line().contains("level"));
        following
    }

    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end and gives the lines that were not read yet.
    pub(super) fn end(mut self) -> Run {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let mut run = Run::from(self.child.wait_with_output().unwrap(), &["tail"]);
        run.stdout = rest;
        run
    }
}

fn publish(daemon: &Daemon, symbol: &str, price: &str) {
    Run::of(daemon, &["publish", symbol, price]).code(0);
}

#[test]
fn shows_what_stands_and_ends_after_so_many_lines() {
    let daemon = small();
    let run = Run::of(&daemon, &["tail", "-n", "5"]).code(0);
    assert_eq!(run.stdout.lines().count(), 6, "{run:?}");
    assert!(run.stderr.is_empty(), "{run:?}");
    let run = Run::of(&daemon, &["tail", "SMALL.CAP", "-n", "1", "-o", "json"]).code(0);
    let level = run.object();
    assert_eq!(
        [&level["index"], &level["level"], &level["ts"]],
        ["SMALL.CAP", "1000.00", "2026-01-05T16:00:00.000000Z"]
    );
    let run = Run::of(&daemon, &["tail", "--for", "500ms", "-o", "csv"]).code(0);
    let mut lines = run.stdout.lines();
    let header = "index,level,chg,chg_pct,prev_close,ts,ts_calc,epoch,seq,pos,rev,status,stale";
    assert_eq!(lines.next(), Some(header));
    assert_eq!(lines.count(), 7);
}

#[test]
fn follows_levels_and_events() {
    let daemon = small();
    let names = ["tail", "SMALL.PRICE", "SMALL.EUR"];
    let mut following =
        Following::start(&daemon, &[&names[..], &["-n", "4", "-o", "csv"]].concat());
    let mut standing = [following.line(), following.line()];
    standing.sort();
    assert!(standing[0].starts_with("SMALL.EUR,114.55,"), "{standing:?}");
    assert!(
        standing[1].starts_with("SMALL.PRICE,100.00,"),
        "{standing:?}"
    );
    // In no other index than these, so nothing else comes in between.
    publish(&daemon, "BBB", "51.70");
    assert!(following.line().starts_with("SMALL.PRICE,101.00,"));
    publish(&daemon, "EEE", "11");
    let run = following.end().code(0);
    assert!(run.stdout.starts_with("SMALL.EUR,116.55,"), "{run:?}");

    let following = Following::start(&daemon, &["tail", "SMALL.PRICE", "--events", "--for", "3s"]);
    Run::of(&daemon, &["load", &fixture("small/day2.json")]).code(0);
    let revision = r#"{"revisions": [{"id": "r", "adjust": [{"symbol": "BBB", "less": "5"}]}]}"#;
    Run::with_stdin(&daemon, &["load", "-"], revision).code(0);
    let run = following.end().code(0);
    assert!(run.stderr.contains("SMALL.PRICE  revision 2"), "{run:?}");
}

#[test]
fn leaves_out_levels_that_did_not_change() {
    let daemon = small();
    let arguments = ["tail", "SMALL.PRICE", "--changed", "-n", "2", "-o", "csv"];
    let mut following = Following::start(&daemon, &arguments);
    assert!(following.line().starts_with("SMALL.PRICE,100.00,"));
    for price in ["50", "50.00", "51.70"] {
        publish(&daemon, "BBB", price);
    }
    let run = following.end().code(0);
    let seq = |line: &str| line.split(',').nth(8).map(str::to_owned);
    assert!(run.stdout.starts_with("SMALL.PRICE,101.00,"), "{run:?}");
    assert_eq!(seq(&run.stdout).as_deref(), Some("4"), "{run:?}");
    assert!(
        run.stderr.is_empty(),
        "what was left out is no gap: {run:?}"
    );
}

#[test]
fn says_when_an_index_is_not_there() {
    let daemon = daemon();
    Run::of(&daemon, &["tail", "NOBODY", "--for", "1s"])
        .code(0)
        .says("there is no index NOBODY yet");
}

#[test]
fn ctrl_c_ends_it() {
    let daemon = small();
    let mut following = Following::start(&daemon, &["tail", "SMALL.CAP"]);
    following.line();
    interrupt(&following.child);
    following.end().code(130);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let daemon = small();
    let mut following = Following::start(&daemon, &["tail", "SMALL.PRICE"]);
    following.line();
    let Following { child, lines } = following;
    drop(lines);
    publish(&daemon, "BBB", "51.70");
    Run::from(child.wait_with_output().unwrap(), &["tail"]).code(0);
}

#[test]
fn goes_on_when_the_daemon_comes_back() {
    let daemon = small();
    let mut following = Following::start(&daemon, &["tail", "SMALL.PRICE", "-n", "2", "-o", "csv"]);
    following.line();
    let daemon = daemon.restart();
    publish(&daemon, "BBB", "51.70");
    let run = following.end().code(0);
    assert!(run.stdout.starts_with("SMALL.PRICE,101.00,"), "{run:?}");
}

#[test]
fn colours_only_where_they_are_wanted() {
    let daemon = small();
    publish(&daemon, "BBB", "51.70");
    let colours = |arguments: &[&str], environment: &[(&str, &str)]| {
        let all = [&["tail", "SMALL.PRICE", "-n", "1"][..], arguments].concat();
        let output = super::command(&all)
            .env("DIVISOR_URL", super::url(&daemon))
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let run = Run::from(output, &all).code(0).shows("101.00");
        run.stdout.contains('\u{1b}')
    };
    assert!(!colours(&[], &[]), "a pipe");
    assert!(colours(&["--color", "always"], &[]));
    assert!(colours(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!colours(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
    let json = ["--color", "always", "-o", "json"];
    assert!(!colours(&json, &[]), "data is not coloured");
}

#[test]
fn json_is_what_was_published() {
    let daemon = small();
    let run = Run::of(&daemon, &["tail", "-n", "7", "-o", "json"]).code(0);
    let mut codes: Vec<String> = Vec::new();
    for level in run.json() {
        assert_eq!(level["v"], 1);
        assert!(
            level["level"].is_string() && level["seq"].is_number(),
            "{level}"
        );
        codes.extend(level["index"].as_str().map(str::to_owned));
    }
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 7);
    assert_ne!(codes[0], Value::Null);
}

/// Only divisord may publish levels, and it leaves none out on demand; so a broker of a few bytes
/// stands in for it: CONNACK, SUBACK, and levels with these numbers.
fn broker(listener: &TcpListener, numbers: &[u64]) {
    let (mut stream, _) = listener.accept().unwrap();
    packet(&mut stream);
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
    let subscribe = packet(&mut stream);
    let suback = [0x90, 3, subscribe[0], subscribe[1], 0];
    stream.write_all(&suback).unwrap();
    for seq in numbers {
        let topic = "indexes/X/level";
        let payload = format!(
            r#"{{"v":1,"index":"X","level":"1","ts":"2021-11-04T21:00:00.000000Z",
            "ts_calc":"2021-11-04T21:00:00.000000Z","epoch":1,"seq":{seq},"pos":{seq},"rev":1,
            "status":"live","stale":0,"chg":null,"chg_pct":null,"prev_close":null}}"#
        );
        let rest = 2 + topic.len() + payload.len();
        let (low, high) = (rest % 128 + 128, rest / 128);
        let mut bytes = vec![
            0x30,
            u8::try_from(low).unwrap(),
            u8::try_from(high).unwrap(),
        ];
        bytes.extend([0, u8::try_from(topic.len()).unwrap()]);
        bytes.extend(topic.bytes().chain(payload.bytes()));
        stream.write_all(&bytes).unwrap();
    }
    // Until the client says goodbye.
    packet(&mut stream);
}

/// The body of the next packet, of less than 128 bytes.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).unwrap();
    body
}

#[test]
fn warns_of_missing_levels() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let arguments = ["tail", "-n", "4", "-o", "csv", "--url", &url];
    let server = thread::spawn(move || broker(&listener, &[1, 2, 5, 5, 6]));
    let run = Run::from(super::command(&arguments).output().unwrap(), &arguments).code(0);
    server.join().unwrap();
    assert_eq!(
        run.stdout.lines().count(),
        5,
        "the repeated one is left out: {run:?}"
    );
    assert_eq!(
        run.stderr,
        "warning: levels 3 to 4 of X are missing\n4 levels printed, 2 missing\n"
    );
}
