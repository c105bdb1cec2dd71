//! `divisord passwd` at a terminal: it asks twice, and shows nothing of what is typed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use divisor_testkit::eventually;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

const FLAGS: OpenptFlags = OpenptFlags::RDWR
    .union(OpenptFlags::NOCTTY)
    .union(OpenptFlags::CLOEXEC);

/// Runs `divisord passwd ann` at a terminal where somebody types these two lines; its exit code, and
/// all that the terminal showed.
fn passwd(file: &Path, typed: [&str; 2]) -> (Option<i32>, String) {
    let ours = openpt(FLAGS).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = File::from(ioctl_tiocgptpeer(&ours, FLAGS).unwrap());
    let terminal = || theirs.try_clone().unwrap();
    // setsid makes the terminal the one that the program can ask at.
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_divisord")])
        .args(["passwd", "ann", "--role", "operator", "--file"])
        .arg(file)
        .stdin(terminal())
        .stdout(terminal())
        .stderr(terminal())
        .spawn()
        .unwrap();
    let mut person = File::from(ours.try_clone().unwrap());
    let mut shown = String::new();
    for (prompt, line) in ["Password of ann: ", "Again: "].into_iter().zip(typed) {
        read_until(&mut person, &mut shown, prompt);
        eventually("the terminal to hide what is typed", || {
            let modes = tcgetattr(&ours).unwrap().local_modes;
            (!modes.contains(LocalModes::ECHO)).then_some(())
        });
        person.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    let code = child.wait().unwrap().code();
    // The end of what was said, which the terminal keeps.
    let mut theirs = theirs;
    theirs.write_all(b"<end>").unwrap();
    read_until(&mut person, &mut shown, "<end>");
    (code, shown)
}

fn read_until(person: &mut File, shown: &mut String, end: &str) {
    let mut byte = [0];
    while !shown.ends_with(end) {
        person.read_exact(&mut byte).unwrap();
        shown.push(char::from(byte[0]));
    }
}

#[test]
fn passwd_asks_twice_and_shows_nothing() {
    if Command::new("setsid").arg("--version").output().is_err() {
        println!("SKIPPED: without setsid a test has no terminal");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.toml");
    let (code, shown) = passwd(&file, ["hunter2", "hunter3"]);
    assert_eq!(code, Some(64), "{shown}");
    assert!(shown.contains("the two are not the same"), "{shown}");
    assert!(!file.exists(), "{shown}");
    let (code, shown) = passwd(&file, ["hunter2", "hunter2"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("added ann in "), "{shown}");
    assert!(!shown.contains("hunter"), "{shown}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("$argon2id$") && !text.contains("hunter"),
        "{text}"
    );
}
