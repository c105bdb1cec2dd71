//! The tests of divisor from outside: the real program against a real divisord, one binary for all.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail like tests")]

mod actions;
mod backfill;
mod demo;
mod django;
mod feed;
mod history;
mod load;
mod login;
mod past;
mod queries;
mod tail;
mod watch;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use divisor_testkit::{Daemon, Options};
use serde_json::Value;

/// A daemon without a database: what the command line shows does not depend on one.
fn daemon() -> Daemon {
    Options::sibling_of(env!("CARGO_BIN_EXE_divisor")).start()
}

/// A daemon that knows the small universe.
fn small() -> Daemon {
    let daemon = daemon();
    Run::of(&daemon, &["load", &fixture("small/small.json")]).code(0);
    daemon
}

fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    root.join(name).display().to_string()
}

/// The program with these arguments and nothing of the machine's configuration.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_divisor"));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("DIVISOR")) {
        command.env_remove(key);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn url(daemon: &Daemon) -> String {
    format!("mqtt://{}", daemon.address())
}

/// Starts the program and does not wait for it.
fn spawn(daemon: &Daemon, arguments: &[&str]) -> Child {
    command(arguments)
        .env("DIVISOR_URL", url(daemon))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What Ctrl-C does.
fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &pid]).status();
    assert!(status.unwrap().success());
}

/// How a run of the program ended.
#[derive(Debug)]
#[expect(dead_code, reason = "a failed test shows all of it")]
struct Run {
    arguments: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Runs the program to its end.
    fn of(daemon: &Daemon, arguments: &[&str]) -> Self {
        let output = command(arguments).env("DIVISOR_URL", url(daemon)).output();
        Self::from(output.unwrap(), arguments)
    }

    /// The same with something on stdin.
    fn with_stdin(daemon: &Daemon, arguments: &[&str], text: &str) -> Self {
        let mut child = command(arguments)
            .env("DIVISOR_URL", url(daemon))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        Self::from(child.wait_with_output().unwrap(), arguments)
    }

    fn from(output: Output, arguments: &[&str]) -> Self {
        Self {
            arguments: arguments.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts how it ended.
    fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }

    /// Asserts what it said on stderr.
    fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "no `{part}` in {self:#?}");
        self
    }

    /// Asserts a part of the data.
    fn shows(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "no `{part}` in {self:#?}");
        self
    }

    /// The data as lines of JSON.
    fn json(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap();
        self.stdout.lines().map(parse).collect()
    }

    /// The only line of JSON.
    fn object(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{self:#?}");
        lines.remove(0)
    }
}

/// A directory for the files of a test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file and gives its path.
    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// The levels of the daemon as `CODE LEVEL`, in order of definition.
fn levels(daemon: &Daemon) -> Vec<String> {
    let run = Run::of(daemon, &["index", "list", "-o", "json"]).code(0);
    let line = |row: Value| {
        format!(
            "{} {}",
            row["code"].as_str().unwrap(),
            row["level"].as_str().unwrap_or("-")
        )
    };
    run.json().into_iter().map(line).collect()
}
