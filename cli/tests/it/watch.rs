//! `divisor watch`, in a terminal that `script` makes, and without one.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use super::{Run, small, url};

/// What switches to the terminal's second screen, and back.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// The program in a terminal of its own; `None` where the machine cannot make one.
fn in_terminal(url: &str, arguments: &str) -> Option<Child> {
    let program = env!("CARGO_BIN_EXE_divisor");
    let line = format!("stty rows 30 cols 120; exec {program} watch {arguments}");
    let mut command = Command::new("script");
    command
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &line,
            "/dev/null",
        ])
        .env("DIVISOR_URL", url)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().ok()
}

#[expect(clippy::print_stderr, reason = "what is skipped must be seen")]
fn skipped() {
    eprintln!("SKIPPED: `script` is missing, so there is no terminal to watch in");
}

#[test]
fn shows_levels_until_q() {
    let daemon = small();
    let Some(mut child) = in_terminal(&url(&daemon), "small") else {
        skipped();
        return;
    };
    let mut out = child.stdout.take().unwrap();
    let mut seen = String::new();
    let mut bytes = [0; 4096];
    // Everything that is to be seen comes by itself; the test's own time limit is the patience.
    while !(seen.contains("SMALL.CAP") && seen.contains("1000.00") && seen.contains("online")) {
        let read = out.read(&mut bytes).unwrap();
        assert!(read > 0, "it ended: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(seen.contains(ENTER), "{seen:?}");
    child.stdin.take().unwrap().write_all(b"q").unwrap();
    out.read_to_string(&mut seen).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{seen:?}");
    assert!(seen.contains(LEAVE), "the terminal is as it was: {seen:?}");
}

#[test]
fn ends_by_itself_after_a_time() {
    let daemon = small();
    let Some(child) = in_terminal(&url(&daemon), "--for 1s") else {
        skipped();
        return;
    };
    let output = child.wait_with_output().unwrap();
    let run = Run::from(output, &["watch"]).code(0);
    assert!(run.stdout.contains(LEAVE), "{run:?}");
}

#[test]
fn refuses_what_is_no_terminal() {
    let daemon = small();
    Run::of(&daemon, &["watch"])
        .code(2)
        .says("divisor tail prints lines");
}
