//! `divisor backfill`: history and live prices give the same, and history twice is history once.

use std::fmt::Write as _;
use std::io::Write as _;

use divisor_testkit::{Daemon, Options};
use serde_json::{Value, json};

use super::{Files, Run, daemon, fixture};

/// When New York closed at one o'clock.
const HALF_DAY: &str = "2021-11-26";

/// The Dow of November 2021 by the New York calendar: definitions, the spin-off, and closes by day.
struct Dow {
    definitions: String,
    spinoff: Value,
    /// Date, closes by symbol, published level and whether that is exact.
    days: Vec<Value>,
}

fn dow() -> Dow {
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(fixture(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let mut before = read("dow/before.json");
    before["indexes"][0]["calendar"] = json!("XNYS");
    before["indexes"][0]["dissemination"] = json!({"mode": "tick"});
    let mut spinoff = read("dow/spinoff.json");
    spinoff["revisions"][0]["effective"] = json!("2021-11-04T08:00:00Z");
    Dow {
        definitions: before.to_string(),
        spinoff,
        days: read("dow/days.json")["days"].as_array().unwrap().clone(),
    }
}

impl Dow {
    /// `date,symbol,price` for each close.
    fn csv(&self) -> String {
        let mut csv = "date,symbol,price\n".to_owned();
        for day in &self.days {
            for (symbol, close) in day["closes"].as_object().unwrap() {
                let (date, close) = (day["date"].as_str().unwrap(), close.as_str().unwrap());
                // The day after Thanksgiving ends three hours earlier.
                let time = if date == HALF_DAY { "T18:00:00Z" } else { "" };
                writeln!(csv, "{date}{time},{symbol},{close}").unwrap();
            }
        }
        csv
    }

    /// `SYMBOL PRICE TS` for each close, as `divisor publish` reads it.
    fn lines(&self) -> String {
        let mut lines = String::new();
        for day in &self.days {
            for (symbol, close) in day["closes"].as_object().unwrap() {
                let (date, close) = (day["date"].as_str().unwrap(), close.as_str().unwrap());
                // New York changed its clocks on the 7th.
                let utc = match date {
                    HALF_DAY => "18",
                    _ if date < "2021-11-07" => "20",
                    _ => "21",
                };
                writeln!(lines, "{symbol} {close} {date}T{utc}:00:00Z").unwrap();
            }
        }
        lines
    }
}

/// What was published of the index, from the journal, without what tells one run from another.
fn published(daemon: &Daemon) -> Vec<Value> {
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let mut replay = options.verb(daemon.state(), &["replay", "--index", "DJIA"]);
    let output = replay.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut levels: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for level in &mut levels {
        for own in ["ts_calc", "epoch", "pos"] {
            level.as_object_mut().unwrap().remove(own);
        }
    }
    levels
}

fn shown(daemon: &Daemon) -> Value {
    Run::of(daemon, &["index", "show", "DJIA", "-o", "json"])
        .code(0)
        .object()
}

#[test]
fn the_dow_is_the_same_live_and_from_files() {
    let dow = dow();
    let files = Files::new();
    let definitions = files.write("dow.json", &dow.definitions);
    let spinoff = files.write("spinoff.json", &dow.spinoff.to_string());
    let calendar = fixture("calendars/XNYS.json");

    let live = daemon();
    Run::of(&live, &["load", &calendar, &definitions]).code(0);
    Run::of(&live, &["load", &spinoff]).code(0);
    let lines = dow.lines();
    Run::with_stdin(&live, &["publish", "-"], &lines).code(0);

    let history = daemon();
    let packed = files.write("closes.csv.gz", "");
    let file = std::fs::File::create(&packed).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(dow.csv().as_bytes()).unwrap();
    gz.finish().unwrap();
    let arguments = [
        "backfill",
        &packed,
        &spinoff,
        &definitions,
        &calendar,
        "--at",
        "16:00",
        "--zone",
        "America/New_York",
        "-o",
        "json",
    ];
    let first = Run::of(&history, &arguments).code(0).object();
    let rows = dow.days.len() * 30 + 30;
    assert_eq!(
        (&first["applied"], &first["refused"]),
        (&json!(rows), &json!(0))
    );

    let (of_live, of_history) = (published(&live), published(&history));
    assert!(of_live.len() > dow.days.len() * 30);
    for (one, other) in of_live.iter().zip(&of_history) {
        assert_eq!(one, other);
    }
    assert_eq!(of_live.len(), of_history.len());
    assert_eq!(shown(&live)["divisor"], json!("0.15172752595384"));
    assert_eq!(shown(&history)["divisor"], json!("0.15172752595384"));
    let closes: Vec<&Value> = of_history
        .iter()
        .filter(|l| l["status"] == "closed")
        .collect();
    for day in dow.days.iter().filter(|day| day["exact"] == true) {
        let date = day["date"].as_str().unwrap();
        let of_day = |level: &&&Value| level["ts"].as_str().unwrap().starts_with(date);
        // The last day is not over yet.
        let last = || of_history.iter().rfind(|level| of_day(&level));
        let close = closes.iter().find(of_day).copied().or_else(last).unwrap();
        assert_eq!(close["level"], day["published"], "{date}");
    }

    let second = Run::of(&history, &arguments).code(0).object();
    assert_eq!(
        (&second["applied"], &second["repeated"]),
        (&json!(0), &json!(rows))
    );
    assert_eq!(second["definitions"], json!(0));
    assert_eq!(published(&history), of_history);
}

#[test]
fn tells_what_it_could_not_take() {
    let daemon = daemon();
    let files = Files::new();
    let definitions = files.write(
        "a.json",
        r#"{"securities":[{"symbol":"A","currency":"USD"}]}"#,
    );
    let prices = files.write(
        "a.csv",
        "symbol,price,date\nA,1.50,2021-11-04\nB,2,2021-11-04\n",
    );
    let run = Run::of(&daemon, &["backfill", &definitions, &prices, "-o", "json"]).code(3);
    let run = run.says("refused: B 2 of 2021-11-04T00:00:00.000000Z: unknown_symbol");
    let outcome = run.object();
    assert_eq!(
        (&outcome["applied"], &outcome["refused"]),
        (&json!(1), &json!(1))
    );
    let revision = files.write("r.json", r#"{"revisions":[{"id":"r"}]}"#);
    Run::of(&daemon, &["backfill", &revision])
        .code(2)
        .says("revision r: `effective` is missing");
}

#[test]
fn operators_hold_close_and_confirm() {
    let daemon = daemon();
    let files = Files::new();
    let definitions = files.write(
        "x.json",
        r#"{"securities":[{"symbol":"A","currency":"USD","gate":{"last":"10"}}],
            "prices":[{"symbol":"A","price":"10","ts":"2021-11-24T15:00:00Z"}],
            "indexes":[{"code":"X","currency":"USD","calendar":"XNYS","weighting":{"scheme":"price"},
                "base":{"value":"100"},"basket":[{"symbol":"A"}]}]}"#,
    );
    Run::of(
        &daemon,
        &["load", &fixture("calendars/XNYS.json"), &definitions],
    )
    .code(0);
    let status = || {
        let run = Run::of(&daemon, &["index", "list", "-o", "json"]).code(0);
        let row = run.object();
        format!(
            "{} {}",
            row["level"].as_str().unwrap(),
            row["status"].as_str().unwrap()
        )
    };
    assert_eq!(status(), "100.00 live");
    let send = |price: &str, ts: &str| {
        Run::of(&daemon, &["publish", "A", price, "--ts", ts]).code(0);
    };
    send("12", "2021-11-24T15:01:00Z");
    assert_eq!(status(), "100.00 live");
    let held = Run::of(&daemon, &["price", "hold", "list", "-o", "json"])
        .code(0)
        .object();
    assert_eq!(
        (&held["subject"], &held["price"], &held["doubt"]),
        (&json!("A"), &json!("12"), &json!("last"))
    );
    let number = held["held"].to_string();
    Run::of(&daemon, &["price", "hold", "release", &number]).code(0);
    assert_eq!(status(), "120.00 live");
    Run::of(&daemon, &["price", "hold", "reject", &number])
        .code(1)
        .says("no price or rate is held at position");
    Run::of(&daemon, &["halt", "X", "--note", "a test"]).code(0);
    send("12.5", "2021-11-24T15:02:00Z");
    assert_eq!(status(), "120.00 halted");
    Run::of(&daemon, &["resume", "X"]).code(0);
    assert_eq!(status(), "125.00 live");
    Run::of(&daemon, &["close", "X"]).code(0);
    assert_eq!(status(), "125.00 closed");
    Run::of(&daemon, &["close", "X"])
        .code(1)
        .says("X is closed already");
    Run::of(&daemon, &["close", "X", "--confirm"]).code(0);
    assert_eq!(status(), "125.00 final");
}

#[test]
fn shows_calendars() {
    let daemon = daemon();
    let calendar = fixture("calendars/XNYS.json");
    Run::of(&daemon, &["load", &calendar]).code(0);
    Run::of(
        &daemon,
        &[
            "calendar",
            "show",
            "XNYS",
            "--from",
            "2021-11-24",
            "--sessions",
            "2",
        ],
    )
    .code(0)
    .shows("2021-11-26T18:00:00.000000Z");
    let run = Run::of(&daemon, &["calendar", "list", "-o", "json"])
        .code(0)
        .object();
    assert_eq!((&run["name"], &run["indexes"]), (&json!("XNYS"), &json!(0)));
}
