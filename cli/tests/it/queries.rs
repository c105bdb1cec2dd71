//! `index`, `security`, `rate` and `status`; how commands end when nobody answers; and the help.

use std::process::Output;

use serde_json::json;

use super::{Run, command, daemon, fixture, small, url};

#[test]
fn indexes_are_listed_and_shown_in_every_format() {
    let daemon = small();
    Run::of(&daemon, &["load", &fixture("small/day2.json")]).code(0);
    let table = Run::of(&daemon, &["index", "list"]).code(0);
    let rows: Vec<Vec<&str>> = table
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0][0], "code");
    assert_eq!(rows[1][..2], ["SMALL.PRICE", "Price-weighted"]);
    let csv = Run::of(&daemon, &["index", "list", "-o", "csv"]).code(0);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "code,name,ccy,weighting,members,missing,level,chg,ts,seq,rev,status",
            "SMALL.PRICE,Price-weighted,USD,price,3,0,104.12,4.12,2026-01-06T16:00:00.000000Z,2,1,live",
        ]
    );
    let list = Run::of(&daemon, &["index", "list", "-o", "json"])
        .code(0)
        .json();
    let shown = Run::of(&daemon, &["index", "show", "SMALL.PRICE", "-o", "json"]).code(0);
    let shown = shown.object();
    assert_eq!(shown["row"], list[0]);
    assert_eq!(shown["divisor"], "1.70000000000000");
    assert_eq!(shown["prev_close"], "100.00");
    assert_eq!(shown["definition"]["weighting"], json!({"scheme": "price"}));
    Run::of(&daemon, &["index", "show", "SMALL.PRICE", "-o", "csv"])
        .code(0)
        .shows("symbol,ccy,price,coefficient,weight\nAAA,USD,22.00,");
    Run::of(&daemon, &["index", "show", "SMALL.PRICE"])
        .code(0)
        .shows("  previous close  100.00\n")
        .shows("  divisor         1.70000000000000\n");
    Run::of(&daemon, &["index", "show", "NOBODY"])
        .code(1)
        .says("error: there is no index NOBODY");
}

#[test]
fn securities_and_rates_are_listed_and_shown() {
    let daemon = small();
    Run::of(&daemon, &["security", "list"])
        .code(0)
        .shows("Dornbusch Druck");
    let shown = Run::of(&daemon, &["security", "show", "DDD", "-o", "json"]).code(0);
    assert_eq!(shown.object()["indexes"], json!(["SMALL.FX", "SMALL.EUR"]));
    Run::of(&daemon, &["security", "show", "DDD", "-o", "csv"])
        .code(0)
        .shows("DDD,Dornbusch Druck,EUR,40.00,");
    Run::of(&daemon, &["security", "show", "NOBODY"])
        .code(1)
        .says("error: there is no security NOBODY");
    let rates = Run::of(&daemon, &["rate", "list", "-o", "json"])
        .code(0)
        .object();
    assert_eq!(
        [
            &rates["base"],
            &rates["quote"],
            &rates["rate"],
            &rates["ts"]
        ],
        ["EUR", "USD", "1.10", "2026-01-05T16:00:00.000000Z"]
    );
    Run::of(&daemon, &["rate", "list"]).code(0).shows("1.10");
}

#[test]
fn long_lists_come_whole() {
    let daemon = daemon();
    let rows = |row: &dyn Fn(usize) -> String| (0..1201).map(row).collect::<Vec<_>>().join(",");
    let letters = |n: usize| {
        let letter = |by: usize| char::from(b'A' + u8::try_from(n / by % 26).unwrap());
        [letter(676), letter(26), letter(1)]
            .iter()
            .collect::<String>()
    };
    let text = format!(
        r#"{{"securities": [{}], "rates": [{}]}}"#,
        rows(&|n| format!(r#"{{"symbol": "S{n}", "currency": "USD"}}"#)),
        rows(&|n| format!(r#"{{"base": "{}", "quote": "ZZZ", "rate": 2}}"#, letters(n))),
    );
    Run::with_stdin(&daemon, &["load", "-"], &text).code(0);
    for list in ["security", "rate"] {
        let lines = Run::of(&daemon, &[list, "list", "-o", "json"])
            .code(0)
            .json();
        assert_eq!(lines.len(), 1201, "{list}");
        assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{list}");
    }
}

#[test]
fn status_is_one_line() {
    let daemon = small();
    let status = Run::of(&daemon, &["status", "-o", "json"]).code(0).object();
    assert_eq!(
        [&status["state"], &status["store"], &status["journal"]],
        ["online", "off", "ok"]
    );
    assert_eq!([&status["securities"], &status["indexes"]], [5, 7]);
    let table = Run::of(&daemon, &["status"]).code(0);
    assert_eq!(table.stdout.lines().count(), 2, "{table:?}");
}

#[test]
fn nobody_there_is_its_own_code() {
    let nowhere = |arguments: &[&str]| {
        let output = command(arguments)
            .env("DIVISOR_URL", "mqtt://127.0.0.1:1")
            .output();
        Run::from(output.unwrap(), arguments)
            .code(4)
            .says("127.0.0.1:1")
            .says("divisord run");
    };
    nowhere(&["status"]);
    nowhere(&["index", "list"]);
    nowhere(&["tail"]);
    nowhere(&["publish", "AAA", "1"]);
    nowhere(&["simulate"]);
    nowhere(&["load", &fixture("small/small.json")]);
}

#[test]
fn the_reader_of_a_pipe_may_leave_early() {
    let daemon = small();
    for list in ["index list", "security list -o csv", "tail -n 5"] {
        let program = env!("CARGO_BIN_EXE_divisor");
        // POSIX sh has no pipefail: the code goes to stderr.
        let script = format!("{{ '{program}' {list}; echo $? >&2; }} | head -1");
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .env("DIVISOR_URL", url(&daemon))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n", "{list}");
    }
}

#[test]
fn help_has_examples_at_every_level() {
    let help = |arguments: &[&str]| {
        let all = [arguments, &["--help"]].concat();
        let Output { status, stdout, .. } = command(&all).output().unwrap();
        assert!(status.success(), "{arguments:?}");
        String::from_utf8(stdout).unwrap()
    };
    let verbs = [
        &[][..],
        &["demo"],
        &["load"],
        &["simulate"],
        &["tail"],
        &["publish"],
        &["index"],
        &["index", "list"],
        &["index", "show"],
        &["security"],
        &["security", "list"],
        &["security", "show"],
        &["rate"],
        &["rate", "list"],
        &["status"],
    ];
    let top = help(&[]);
    for verb in verbs {
        assert!(help(verb).contains("Examples:"), "{verb:?}");
        assert!(
            verb.first().is_none_or(|verb| top.contains(verb)),
            "{verb:?}"
        );
    }
    assert!(top.contains("Exit codes:"), "{top}");
    let version = command(&["--version"]).output().unwrap();
    let expected = format!("divisor {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
    assert_eq!(command(&[]).output().unwrap().status.code(), Some(2));
    assert_eq!(command(&["fly"]).output().unwrap().status.code(), Some(2));
}
