//! `divisor demo`: the whole system, with its own daemon, which leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Run, command, interrupt};

/// A demo whose temporary files lie in `dir`.
fn demo(dir: &Path, arguments: &[&str]) -> Command {
    // A PostgreSQL of another user must pass through.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).unwrap();
    let mut command = command(&[&["demo", "--listen", "127.0.0.1:0"][..], arguments].concat());
    command
        .env("TMPDIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Asserts that neither a file in `dir` nor a process that names it is left.
fn nothing_is_left(dir: &Path) {
    let name = dir.display().to_string();
    assert_eq!(
        std::fs::read_dir(dir).unwrap().count(),
        0,
        "files in {name}"
    );
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(
            !line.contains(&name),
            "{} runs: {line}",
            process.path().display()
        );
    }
}

#[test]
fn shows_the_days_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--days", "3", "--seconds", "1", "--quiet", "-o", "csv"];
    let output = demo(dir.path(), &arguments).output().unwrap();
    let run = Run::from(output, &arguments).code(0);
    assert_eq!(
        run.stdout,
        "day,computed,published,difference\n\
         2021-11-04,36124.23,36124.23,0.00\n\
         2021-11-05,36327.95,36327.95,0.00\n\
         2021-11-08,36432.22,36432.22,0.00\n"
    );
    assert_eq!(run.stderr, "", "quiet");
    nothing_is_left(dir.path());
}

#[test]
fn ctrl_c_ends_the_market_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--days", "1"];
    let mut running = demo(dir.path(), &arguments).spawn().unwrap();
    let stdout = BufReader::new(running.stdout.take().unwrap());
    let mut lines = stdout.lines().map_while(Result::ok);
    let live = lines.find(|line| line.contains("  DJIA  ") && line.ends_with("live"));
    assert!(live.is_some(), "it ended before");
    interrupt(&running);
    lines.for_each(drop);
    Run::from(running.wait_with_output().unwrap(), &arguments)
        .code(0)
        .says("equal in all 14 digits")
        .says(" acknowledged, ");
    nothing_is_left(dir.path());
}

#[test]
fn a_taken_port_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(&["demo", "--listen", &address])
        .env("TMPDIR", dir.path())
        .output();
    Run::from(output.unwrap(), &["demo"])
        .code(1)
        .says(&format!("failed to listen on {address}"));
    nothing_is_left(dir.path());
}
