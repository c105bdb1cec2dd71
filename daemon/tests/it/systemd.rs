//! What is installed beside the program: the unit, the user and the directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exposure that `systemd-analyze security` may give the unit, in tenths: 0 is a locked box, 100
/// a root shell. What is left is the network, and the user and group for files.
const EXPOSURE_MAX: u32 = 12;

/// Runs one of systemd's tools; none where it is missing, which is said.
#[expect(clippy::print_stdout, reason = "a test says what it leaves out")]
fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("{name} is not installed: not tested with it");
            None
        }
    }
}

fn shipped(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("systemd").join(name)
}

/// A copy of the unit that starts the program of this build, since systemd looks whether it exists.
fn unit(dir: &Path) -> String {
    let text = fs::read_to_string(shipped("divisord.service")).unwrap();
    let text = text.replace("/usr/bin/divisord", env!("CARGO_BIN_EXE_divisord"));
    let path = dir.join("divisord.service");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn the_unit_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let unit = unit(dir.path());
    let arguments = ["verify", "--man=no", "--recursive-errors=no", &unit];
    let Some(output) = tool("systemd-analyze", &arguments) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), "");
}

#[test]
fn the_unit_exposes_little() {
    let dir = tempfile::tempdir().unwrap();
    let unit = unit(dir.path());
    let analyze = |threshold: u32| {
        let threshold = format!("--threshold={threshold}");
        let arguments = ["security", "--offline=yes", "--no-pager", &threshold, &unit];
        tool("systemd-analyze", &arguments)
    };
    let Some(output) = analyze(EXPOSURE_MAX) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    // The threshold is read as it is meant: nothing that has a network is at 0.
    assert!(analyze(0).is_some_and(|output| !output.status.success()));
}

#[test]
fn the_user_and_the_directories_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let root = format!("--root={}", dir.path().display());
    for (name, verb, file) in [
        ("systemd-sysusers", "--dry-run", "divisor.sysusers"),
        // Not every version has a --dry-run; in an empty root nothing of the machine is touched.
        ("systemd-tmpfiles", "--create", "divisor.tmpfiles"),
    ] {
        let file = shipped(file).display().to_string();
        if let Some(output) = tool(name, &[verb, &root, &file]) {
            assert!(output.status.success(), "{name}: {}", said(&output));
        }
    }
}
