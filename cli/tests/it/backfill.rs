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
fn published(daemon: &Daemon, code: &str) -> Vec<Value> {
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let mut replay = options.verb(daemon.state(), &["replay", "--index", code]);
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

    let (of_live, of_history) = (published(&live, "DJIA"), published(&history, "DJIA"));
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
    assert_eq!(published(&history, "DJIA"), of_history);
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

/// Closes of many days under one divisor, with the levels that were published.
struct Series(Value);

impl Series {
    fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        Self(serde_json::from_str(&text).unwrap())
    }

    fn tickers(&self) -> Vec<&str> {
        let tickers = self.0["inputs"]["tickers"].as_array().unwrap();
        tickers
            .iter()
            .map(|ticker| ticker.as_str().unwrap())
            .collect()
    }

    fn definitions(&self) -> String {
        let tickers = self.tickers();
        let row = |symbol: &&str| json!({ "symbol": symbol });
        let security = |symbol: &&str| json!({ "symbol": symbol, "currency": "USD" });
        json!({
            "securities": tickers.iter().map(security).collect::<Vec<_>>(),
            "indexes": [{ "code": "DJIA", "currency": "USD", "weighting": { "scheme": "price" },
                "base": { "divisor": self.0["inputs"]["divisor"] }, "rounding": { "divisor": { "places": 14 } },
                "dissemination": { "mode": "tick" }, "basket": tickers.iter().map(row).collect::<Vec<_>>() }],
        })
        .to_string()
    }

    /// Each close as `line` writes it, from a symbol, a price and a date.
    fn closes(&self, line: impl Fn(&str, &str, &str) -> String) -> String {
        let inputs = &self.0["inputs"];
        let mut text = String::new();
        let days = inputs["dates"].as_array().unwrap().iter();
        for (date, closes) in days.zip(inputs["closes_usd"].as_array().unwrap()) {
            for (symbol, close) in self.tickers().iter().zip(closes.as_array().unwrap()) {
                let close = close
                    .as_str()
                    .map_or_else(|| close.to_string(), str::to_owned);
                text.push_str(&line(symbol, &close, date.as_str().unwrap()));
            }
        }
        text
    }

    /// How many days are as published, all that must be among them.
    fn exact(&self, levels: &[Value]) -> usize {
        let days = self.0["inputs"]["dates"].as_array().unwrap();
        let mut exact = 0;
        for (at, date) in days.iter().enumerate() {
            let of_day = |level: &&Value| {
                level["ts"]
                    .as_str()
                    .unwrap()
                    .starts_with(date.as_str().unwrap())
            };
            let close = levels
                .iter()
                .rfind(of_day)
                .unwrap_or_else(|| panic!("no level on {date}"));
            let published = &self.0["expected"]["levels"][at];
            let is_exact = close["level"] == *published;
            assert!(
                is_exact || self.0["expected"]["exact"][at] == false,
                "{date}: {close} {published}"
            );
            exact += usize::from(is_exact);
        }
        exact
    }
}

/// The Dow to the cent, under its published divisors, by MQTT and by files. `DOW_SERIES` names further
/// files of the same form, longer ones, with spaces between.
#[test]
fn published_levels_come_out_live_and_from_files() {
    let pieces = ["05_djia_daily_20days", "07_djia_daily_20days"];
    let mut files: Vec<String> = pieces
        .map(|name| fixture(&format!("vectors/{name}.json")))
        .into();
    let more = std::env::var("DOW_SERIES").unwrap_or_default();
    files.extend(more.split_whitespace().map(str::to_owned));
    for path in files {
        let series = Series::read(&path);
        let directory = Files::new();
        let definitions = directory.write("dow.json", &series.definitions());
        let live = daemon();
        Run::of(&live, &["load", &definitions]).code(0);
        let lines =
            series.closes(|symbol, close, date| format!("{symbol} {close} {date}T21:00:00Z\n"));
        Run::with_stdin(&live, &["publish", "-"], &lines).code(0);
        let history = daemon();
        let rows =
            series.closes(|symbol, close, date| format!("{date}T21:00:00Z,{symbol},{close}\n"));
        let csv = directory.write("closes.csv", &format!("date,symbol,price\n{rows}"));
        Run::of(&history, &["backfill", &definitions, &csv]).code(0);
        let (of_live, of_history) = (published(&live, "DJIA"), published(&history, "DJIA"));
        assert_eq!(of_live.len(), of_history.len(), "{path}");
        let differs = of_live.iter().zip(&of_history).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{path}");
        let exact = series.exact(&of_live);
        println!(
            "{path}: {exact} of {} days to the cent",
            series.0["counts"]["days"]
        );
        assert_eq!(json!(exact), series.0["counts"]["exact"], "{path}");
        let divisor = shown(&live)["divisor"].clone();
        assert_eq!(divisor, series.0["inputs"]["divisor"], "{path}");
    }
}

/// Splits, dividends, a merger and a review over two days.
const EVENTS: &str = r#"{"actions": [
    {"id": "split", "ex_date": "2026-06-10", "type": "split", "symbol": "ALFA", "from": 1, "to": 4},
    {"id": "quarter", "ex_date": "2026-06-11", "type": "dividend", "symbol": "BRAVO", "amount": "0.5"},
    {"id": "special", "ex_date": "2026-06-11", "type": "dividend", "symbol": "ALFA", "amount": "1", "kind": "special"},
    {"id": "review", "ex_date": "2026-06-11", "type": "rebalance", "index": "EQUAL", "days": 2,
     "basket": [{"symbol": "ALFA"}, {"symbol": "BRAVO"}, {"symbol": "DELTA"}]},
    {"id": "merger", "ex_date": "2026-06-15", "type": "merger", "symbol": "CHARLIE", "acquirer": "ALFA",
     "ratio": "0.05", "cash": "6"}]}"#;

const UNIVERSE: &str = r#"{"securities": [
    {"symbol": "ALFA", "currency": "USD"}, {"symbol": "BRAVO", "currency": "EUR"},
    {"symbol": "CHARLIE", "currency": "USD"}, {"symbol": "DELTA", "currency": "USD"}],
    "indexes": [
    {"code": "VALUE", "currency": "USD", "weighting": {"scheme": "market_cap"}, "base": {"value": "1000"},
     "dissemination": {"mode": "tick"},
     "basket": [{"symbol": "ALFA", "shares": "1000"}, {"symbol": "BRAVO", "shares": "2000", "float": "0.8"},
                {"symbol": "CHARLIE", "shares": "9000"}]},
    {"code": "EQUAL", "currency": "USD", "weighting": {"scheme": "equal", "reset": "weekly"},
     "base": {"value": "1000"}, "dissemination": {"mode": "tick"},
     "basket": [{"symbol": "ALFA"}, {"symbol": "BRAVO"}, {"symbol": "CHARLIE"}]},
    {"code": "GROSS", "currency": "USD", "of": "VALUE", "variant": {"kind": "total_return"},
     "dissemination": {"mode": "tick"}}]}"#;

#[test]
fn actions_and_reviews_are_the_same_live_and_from_files() {
    let directory = Files::new();
    let definitions = directory.write("universe.json", UNIVERSE);
    let events = directory.write("events.json", EVENTS);
    let (mut csv, mut lines) = ("ts,symbol,price\n".to_owned(), String::new());
    let start = [
        ("EUR/USD", 125),
        ("ALFA", 10_000),
        ("BRAVO", 3_200),
        ("CHARLIE", 1_000),
        ("DELTA", 2_500),
    ];
    for (step, day) in ["09", "10", "11", "12", "15", "16"].into_iter().enumerate() {
        for (at, (subject, cents)) in start.into_iter().enumerate() {
            let split = if subject == "ALFA" && step > 0 { 4 } else { 1 };
            let cents = (cents + (step * (at + 3) * 7) % 40) / split;
            let (ts, price) = (
                format!("2026-06-{day}T20:0{at}:00Z"),
                format!("{}.{:02}", cents / 100, cents % 100),
            );
            writeln!(csv, "{ts},{subject},{price}").unwrap();
            writeln!(lines, "{subject} {price} {ts}").unwrap();
        }
    }
    let prices = directory.write("prices.csv", &csv);
    let live = daemon();
    Run::of(&live, &["load", &definitions]).code(0);
    Run::of(&live, &["action", "add", &events]).code(0);
    Run::with_stdin(&live, &["publish", "-"], &lines).code(0);
    let history = daemon();
    Run::of(&history, &["backfill", &prices, &events, &definitions]).code(0);
    let states = |daemon: &Daemon| {
        let actions = Run::of(daemon, &["action", "list", "-o", "json"])
            .code(0)
            .json();
        let state = |row: &Value| {
            format!(
                "{} {}",
                row["action"].as_str().unwrap(),
                row["state"].as_str().unwrap()
            )
        };
        actions.iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(states(&live), states(&history));
    assert!(
        states(&live)
            .iter()
            .all(|state| state.ends_with(" applied")),
        "{:?}",
        states(&live)
    );
    for code in ["VALUE", "EQUAL", "GROSS"] {
        let (of_live, of_history) = (published(&live, code), published(&history, code));
        assert!(of_live.len() >= 15, "{code}: {} levels", of_live.len());
        let differs = of_live.iter().zip(&of_history).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{code}");
        assert_eq!(of_live.len(), of_history.len(), "{code}");
        let show = |daemon: &Daemon| {
            let shown = Run::of(daemon, &["index", "show", code, "-o", "json"])
                .code(0)
                .object();
            [
                shown["divisor"].clone(),
                shown["members"].clone(),
                shown["row"]["rev"].clone(),
            ]
        };
        assert_eq!(show(&live), show(&history), "{code}");
    }
}

/// Two indexes and a variant by the New York calendar, of securities whose prices pass a gate.
fn of_sessions() -> Value {
    let security = |symbol: &str| {
        json!({ "symbol": symbol, "currency": "USD", "calendar": "XNYS",
            "gate": { "last": "20", "close": "25" } })
    };
    let index = |code: &str, scheme: &str| {
        let member = |symbol: &str| match scheme {
            "constant_weight" => json!({ "symbol": symbol, "weight": "0.3" }),
            _ => json!({ "symbol": symbol }),
        };
        let basket = ["A", "B", "C"].map(member);
        json!({ "code": code, "currency": "USD", "calendar": "XNYS",
            "weighting": { "scheme": scheme }, "base": { "value": "1000" },
            "dissemination": { "mode": "tick" }, "stale": { "after_s": 3600, "weight": "30" },
            "session": { "opening": "80", "close": { "at": "official", "after_s": 1800 },
                "final_after_s": 7200 }, "basket": basket })
    };
    let securities = ["A", "B", "C"].map(security);
    let dividend = json!({ "id": "cash", "ex_date": "2021-11-24", "type": "dividend",
        "symbol": "B", "amount": "0.4" });
    let gross = json!({ "code": "GROSS", "currency": "USD", "of": "PRICE",
        "variant": { "kind": "total_return" }, "dissemination": { "mode": "tick" } });
    json!({ "securities": securities, "actions": [dividend],
        "indexes": [index("PRICE", "price"), index("CONST", "constant_weight"), gross] })
}

/// Four days before and after Thanksgiving, as symbol, price, time and kind: trades beside official
/// prices, one that is twice the last, and half a day, whose close is at 18:00.
fn sessions() -> Vec<(&'static str, String, String, &'static str)> {
    let days = [
        ("22", "15:00 trade 18:00 trade 21:00 close 21:01 trade"),
        ("23", "14:31 open 16:00 trade 20:59 trade 21:00 close"),
        ("24", "14:30 open 14:40 trade 19:00 trade 21:00 close"),
        ("26", "14:30 trade 17:30 trade 18:00 close 19:00 trade"),
    ];
    let mut ticks = Vec::new();
    for (step, (day, hours)) in days.into_iter().enumerate() {
        let words: Vec<&str> = hours.split(' ').collect();
        for (at, hour) in words.chunks(2).enumerate() {
            for (symbol, cents) in [("A", 1_000), ("B", 2_400), ("C", 5_000)] {
                let mut cents = cents + (step * 31 + at * 17 + cents / 7) % 60;
                match (symbol, day, at) {
                    ("B", "23", 1) => cents *= 2,
                    ("C", "26", _) => cents += 900,
                    _ => {}
                }
                let (ts, price) = (
                    format!("2021-11-{day}T{}:00Z", hour[0]),
                    format!("{}.{:02}", cents / 100, cents % 100),
                );
                ticks.push((symbol, price, ts, hour[1]));
            }
        }
    }
    ticks
}

/// What the files give is what live prices gave: sessions, half a day, official closes beside trades,
/// a price that is held.
#[test]
fn days_with_gates_and_official_closes_are_the_same_live_and_from_files() {
    let directory = Files::new();
    let definitions = directory.write("universe.json", &of_sessions().to_string());
    let ticks = sessions();
    let mut csv = "ts,symbol,price,type\n".to_owned();
    for (symbol, price, ts, kind) in &ticks {
        writeln!(csv, "{ts},{symbol},{price},{kind}").unwrap();
    }
    let prices = directory.write("prices.csv", &csv);
    let calendar = fixture("calendars/XNYS.json");
    let live = daemon();
    Run::of(&live, &["load", &calendar, &definitions]).code(0);
    // Runs of one kind at once, in their order.
    for run in ticks.chunk_by(|a, b| a.3 == b.3) {
        let mut lines = String::new();
        for (symbol, price, ts, _) in run {
            writeln!(lines, "{symbol} {price} {ts}").unwrap();
        }
        let kind = run[0].3;
        Run::with_stdin(&live, &["publish", "-", "--type", kind], &lines).code(0);
    }
    let history = daemon();
    Run::of(&history, &["backfill", &calendar, &definitions, &prices]).code(0);
    let held = |daemon: &Daemon| {
        let list = Run::of(daemon, &["price", "hold", "list", "-o", "json"]);
        let rows = list.code(0).json().into_iter();
        let told = |row: Value| ["subject", "price", "doubt", "ts"].map(|part| row[part].clone());
        rows.map(told).collect::<Vec<_>>()
    };
    assert_eq!(held(&live), held(&history));
    assert_eq!(held(&live).len(), 1, "{:?}", held(&live));
    for code in ["PRICE", "CONST", "GROSS"] {
        let (of_live, of_history) = (published(&live, code), published(&history, code));
        let differs = of_live.iter().zip(&of_history).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{code}");
        assert_eq!(of_live.len(), of_history.len(), "{code}");
        let of = |status: &str| of_live.iter().filter(|l| l["status"] == status).count();
        assert!(of("live") > 10, "{code}: {of_live:?}");
        assert_eq!(of("closed"), 4, "{code}: {of_live:?}");
    }
}
