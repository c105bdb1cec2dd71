//! The program as a user meets it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use divisor_engine::Input;
use divisord::journal::{Journal, Log, Settings};
use divisord::record;
use divisord::state::StateDir;

#[test]
fn help_is_at_every_level() {
    for verb in [
        &[][..],
        &["run"],
        &["check"],
        &["print-config"],
        &["passwd"],
        &["migrate"],
        &["journal"],
    ] {
        let output = divisord(Path::new("/nowhere"), &[verb, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{verb:?}");
        assert!(
            stdout(&output).contains("Example"),
            "{verb:?}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str], expected: i32, message: &str| {
        let output = divisord(dir.path(), arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {told}"
        );
        assert!(told.contains(message), "{arguments:?}: {told}");
    };
    code(&["check"], 0, "");
    code(&[], 64, "Usage");
    code(&["fly"], 64, "unrecognized subcommand");
    code(
        &["check", "--set", "x"],
        64,
        "divisord: failed to apply --set x: expected KEY=VALUE",
    );
    code(
        &["check", "--listen", "0.0.0.0:1883"],
        64,
        "divisord: failed to accept the configuration",
    );
    code(
        &["journal", "inspect"],
        74,
        "divisord: failed to read the directory of the journal",
    );
    let _taken = StateDir::take(dir.path()).unwrap();
    code(&["journal", "repair"], 75, "another divisord (process");
    fs::write(dir.path().join("file"), "").unwrap();
    let file = dir.path().join("file").display().to_string();
    code(
        &["journal", "repair", "--state", &file],
        73,
        "divisord: failed to use the state directory",
    );
}

#[test]
fn the_journal_can_be_inspected_exported_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    fs::create_dir(&journal_dir).unwrap();
    let settings = Settings {
        segment_bytes: 8192,
        ..Settings::default()
    };
    let (mut journal, _) = Journal::open(&journal_dir, settings).unwrap();
    for first in 0..6 {
        let input = Input::Label(format!("{first}").repeat(995).into());
        let mut body = Vec::new();
        record::encode(&[input], &mut body).unwrap();
        journal
            .append(first, 1, 1_763_821_800_123_456_000, &body)
            .unwrap();
        journal.commit().unwrap();
    }
    drop(journal);

    let inspected = divisord(dir.path(), &["journal", "inspect"]);
    let expected = "00000000000000000000.journal  epoch 1  positions 0..3  records 3  bytes 7216 of 8192\n\
                    00000000000000000003.journal  epoch 1  positions 3..6  records 3  bytes 7216 of 8192\n";
    assert_eq!(stdout(&inspected), expected);
    let exported = stdout(&divisord(dir.path(), &["journal", "export", "--from", "4"]));
    let line: serde_json::Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!(line["position"], 4);
    assert_eq!(line["time"], "2025-11-22T14:30:00.123456Z");
    assert_eq!(line["inputs"][0]["input"], "label");
    assert_eq!(line["inputs"][0]["text"], "4".repeat(995));
    assert_eq!(exported.lines().count(), 2);

    let file = journal_dir.join("00000000000000000000.journal");
    let mut bytes = fs::read(&file).unwrap();
    bytes[4096 + 1500] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(
        divisord(dir.path(), &["journal", "inspect"]).status.code(),
        Some(74)
    );
    let repaired = stdout(&divisord(dir.path(), &["journal", "repair"]));
    assert!(
        repaired.starts_with("the journal was cut and now ends at position 1;"),
        "{repaired}"
    );
    assert_eq!(
        divisord(dir.path(), &["journal", "inspect"]).status.code(),
        Some(0)
    );
    let again = stdout(&divisord(dir.path(), &["journal", "repair"]));
    assert_eq!(again, "the journal is good, nothing was changed\n");
}

/// Runs the program with this state directory and no configuration of the machine's.
fn divisord(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_divisord"))
        .args(arguments)
        .env_clear()
        .env("DIVISOR_STATE_DIR", state)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_password_goes_in_by_stdin_and_comes_out_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users.toml").display().to_string();
    let run = |password: &str, arguments: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_divisord"))
            .args(arguments)
            .env_clear()
            .env("DIVISOR_STATE_DIR", dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who needs no password may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("hunter2"), "{said}");
        (output.status.code(), said)
    };
    let named = format!("access.users_file={file}");
    let open = ["check", "--listen", "0.0.0.0:1883", "--set", &named];
    let (code, said) = run("", &open);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("failed to read the users"), "{said}");

    let (code, said) = run("hunter2\n", &["passwd", "ann", "--file", &file]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with(&format!("added ann in {file}\n")),
        "{said}"
    );
    assert!(
        said.contains("no rights yet") && said.contains("set access.users_file"),
        "{said}"
    );
    let (code, said) = run(
        "hunter2",
        &["passwd", "ann", "--role", "operator", "--set", &named],
    );
    assert_eq!((code, said), (Some(0), format!("changed ann in {file}\n")));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("\"$argon2id$") && text.contains("[\"operator\"]"),
        "{text}"
    );
    assert!(!text.contains("hunter2"));
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(run("", &open).0, Some(0));

    for (password, arguments, message) in [
        ("\n", &["passwd", "bob", "--file", &file][..], "it is empty"),
        ("x", &["passwd", "bob"], "name it with --file"),
        (
            "",
            &["passwd", "bob", "--remove", "--file", &file],
            "no such user",
        ),
    ] {
        let (code, said) = run(password, arguments);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(message), "{said}");
    }
    let (code, said) = run("", &["passwd", "ann", "--remove", "--set", &named]);
    assert_eq!((code, said), (Some(0), format!("removed ann in {file}\n")));
    let (code, said) = run("", &open);
    assert_eq!(code, Some(64), "nobody is left: {said}");
    assert!(said.contains("has no users"), "{said}");
}
