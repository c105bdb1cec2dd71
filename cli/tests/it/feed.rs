//! `divisor simulate` and `divisor publish`: every tick accounted for.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use divisor_testkit::{Daemon, Proxy, Upstream};
use serde_json::Value;

use super::{Files, Run, command, interrupt, levels, small, spawn};

/// The last price of each security.
fn prices(daemon: &Daemon) -> Vec<String> {
    let run = Run::of(daemon, &["security", "list", "-o", "json"]).code(0);
    let price = |row: Value| row["price"].as_str().unwrap().to_owned();
    run.json().into_iter().map(price).collect()
}

/// Asserts an account in which nothing is missing.
fn complete(run: &Run, sent: u64) {
    let account = run.object();
    for (field, expected) in [
        ("sent", sent),
        ("acknowledged", sent),
        ("unacknowledged", 0),
        ("refused", 0),
    ] {
        assert_eq!(account[field], expected, "{field}: {run:?}");
    }
}

#[test]
fn accounts_for_every_tick_and_repeats_itself_with_the_same_seed() {
    let arguments = "simulate --seed 7 --rate 200/s --count 400 -o json";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let daemons = [small(), small()];
    let before = prices(&daemons[0]);
    for daemon in &daemons {
        let run = Run::of(daemon, &arguments).code(0);
        complete(&run, 400);
        let account = run.object();
        let seconds = account["seconds"].as_f64().unwrap();
        assert!((1.9..10.0).contains(&seconds), "400 at 200/s: {account}");
        assert!(account["p50_ms"].as_f64() > Some(0.0), "{account}");
    }
    let after = prices(&daemons[0]);
    assert_ne!(after, before);
    assert_eq!(after, prices(&daemons[1]));
    assert_eq!(levels(&daemons[0]), levels(&daemons[1]));
}

#[test]
fn sends_as_fast_as_it_goes_for_a_while() {
    let daemon = small();
    let arguments = "simulate --speed max --duration 2s --publishers 2 --batch 10 -o json";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let run = Run::of(&daemon, &arguments).code(0);
    let sent = run.object()["sent"].as_u64().unwrap();
    assert!(sent > 1_000, "{run:?}");
    complete(&run, sent);
    let status = Run::of(&daemon, &["status", "-o", "json"]).object();
    assert!(status["pos"].as_u64() > Some(sent), "{status}");
}

#[test]
fn paces_by_interval_and_chooses_securities() {
    let daemon = small();
    let arguments = ["simulate", "--every", "100ms", "--securities", "AAA,CCC"];
    let run = Run::of(&daemon, &[&arguments[..], &["--count", "10"]].concat()).code(0);
    let cells: Vec<&str> = run
        .stdout
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(cells[..4], ["10", "10", "0", "0"], "{run:?}");
    let prices = prices(&daemon);
    assert_eq!([&prices[1], &prices[3]], ["50.00", "40.00"], "not chosen");
    Run::of(&daemon, &["simulate", "--securities", "AAA,NOBODY"])
        .code(2)
        .says("the daemon has no security NOBODY");
    Run::of(&daemon, &["simulate", "--speed", "10x"])
        .code(2)
        .says("--replay");
}

#[test]
fn rates_move_when_asked() {
    let daemon = small();
    let rate = || {
        let run = Run::of(&daemon, &["rate", "list", "-o", "json"]).code(0);
        run.object()["rate"].as_str().unwrap().to_owned()
    };
    assert_eq!(rate(), "1.10");
    let simulate = |arguments: &[&str]| {
        let rest = [
            "--count",
            "60",
            "--rate",
            "1000",
            "--volatility",
            "10",
            "-o",
            "json",
        ];
        Run::of(&daemon, &[&["simulate"], arguments, &rest].concat())
    };
    complete(&simulate(&[]).code(0), 60);
    assert_eq!(rate(), "1.10");
    complete(&simulate(&["--fx"]).code(0), 60);
    let moved = rate();
    assert!(moved != "1.10" && moved.len() <= "1.10000".len(), "{moved}");
    complete(&simulate(&["--fx=EUR/USD=2"]).code(0), 60);
    assert!(
        rate().starts_with("2.0") || rate().starts_with("1.9"),
        "{}",
        rate()
    );
    simulate(&["--fx", "GBP/USD"])
        .code(2)
        .says("the daemon knows no rate GBP/USD; give a start: --fx GBP/USD=RATE");
}

#[test]
fn replays_a_recording() {
    let daemon = small();
    let files = Files::new();
    // The second day of fixtures/small.
    let day = "symbol,price,ts
EUR/USD,1.20,2026-01-06T16:00:00Z
AAA,22,2026-01-06T16:00:00Z
BBB,45,2026-01-06T16:00:00.1Z
CCC,110,2026-01-06T16:00:00.2Z
DDD,42,2026-01-06T16:00:00.5Z
EEE,10,2026-01-06T16:00:01Z
";
    let path = files.write("day.csv", day);
    let run = Run::of(&daemon, &["simulate", "--replay", &path, "-o", "json"]).code(0);
    complete(&run, 6);
    let seconds = run.object()["seconds"].as_f64().unwrap();
    assert!(seconds >= 1.0, "as fast as recorded: {run:?}");
    let day_2 = [
        "SMALL.PRICE 104.12",
        "SMALL.CAP 1035.06",
        "SMALL.EQUAL 103.33",
        "SMALL.FIXED 110.00",
        "SMALL.CONST 108.00",
        "SMALL.FX 1123.81",
        "SMALL.EUR 117.00",
    ];
    assert_eq!(levels(&daemon), day_2);
    let other = small();
    let arguments = ["simulate", "--replay", "-", "--speed", "max", "-o", "json"];
    complete(&Run::with_stdin(&other, &arguments, day).code(0), 6);
    assert_eq!(levels(&other), day_2);
    let unknown = files.write("unknown.csv", "symbol,price\nAAA,23\nNOBODY,1\nNOBODY,2\n");
    let run = Run::of(&daemon, &["simulate", "--replay", &unknown, "-o", "json"])
        .code(3)
        .says("refused: unknown_symbol: 2, first on securities/NOBODY/price");
    let account = run.object();
    assert_eq!(
        (&account["sent"], &account["refused"]),
        (&3.into(), &2.into())
    );
}

#[test]
fn nothing_is_missing_when_the_daemon_dies_in_the_middle() {
    let arguments = "simulate --seed 3 --rate 500/s --count 1500 -o json";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let calm = small();
    let quiet = spawn(&calm, &arguments);
    let daemon = small();
    let running = spawn(&daemon, &arguments);
    thread::sleep(Duration::from_secs(1));
    let daemon = daemon.restart();
    let run = Run::from(running.wait_with_output().unwrap(), &arguments).code(0);
    complete(&run, 1500);
    let run = Run::from(quiet.wait_with_output().unwrap(), &arguments).code(0);
    complete(&run, 1500);
    assert_eq!(prices(&daemon), prices(&calm));
    assert_eq!(levels(&daemon), levels(&calm));
    let status = Run::of(&daemon, &["status", "-o", "json"]).code(0).object();
    assert_eq!(status["epoch"], 2);
}

/// The client library forgets what is pending when its connection breaks; the outbox does not.
#[test]
fn nothing_is_missing_when_the_network_is_cut() {
    let arguments = "simulate --seed 3 --rate 500/s --count 1500 -o json";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let (calm, daemon) = (small(), small());
    let quiet = spawn(&calm, &arguments);
    let network = Proxy::start(Upstream::Tcp(daemon.address()));
    let running = command(&arguments)
        .env("DIVISOR_URL", format!("mqtt://{}", network.address()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for round in 0..6 {
        thread::sleep(Duration::from_millis(400));
        if round % 2 == 1 {
            // Acknowledgements are lost with the connection: what is sent again has arrived.
            network.silence(true);
            thread::sleep(Duration::from_millis(100));
        }
        network.cut();
        network.silence(false);
    }
    for child in [running, quiet] {
        let run = Run::from(child.wait_with_output().unwrap(), &arguments).code(0);
        complete(&run, 1500);
    }
    assert!(network.connections() > 3, "{}", network.connections());
    assert_eq!(prices(&daemon), prices(&calm));
    assert_eq!(levels(&daemon), levels(&calm));
}

#[test]
fn ctrl_c_ends_a_simulation_with_its_account() {
    let daemon = small();
    let running = spawn(&daemon, &["simulate", "--rate", "100", "-o", "json"]);
    thread::sleep(Duration::from_secs(1));
    interrupt(&running);
    let run = Run::from(running.wait_with_output().unwrap(), &["simulate"]).code(130);
    let sent = run.object()["sent"].as_u64().unwrap();
    assert!(sent > 1, "{run:?}");
    complete(&run, sent);
}

#[test]
fn publishes_one_price_and_many() {
    let daemon = small();
    let one = [
        "publish",
        "AAA",
        "22.5",
        "--ts",
        "2026-01-06",
        "--src",
        "desk",
    ];
    let run = Run::of(&daemon, &[&one[..], &["-o", "json"]].concat()).code(0);
    complete(&run, 1);
    let shown = Run::of(&daemon, &["security", "show", "AAA", "-o", "json"]).object();
    assert_eq!(
        [&shown["row"]["price"], &shown["row"]["ts"], &shown["src"]],
        ["22.50", "2026-01-06T00:00:00.000000Z", "desk"]
    );
    let lines = "# prices of the morning\nBBB 51\n\nCCC,101.5\nEUR/USD 1.2 2026-01-06T09:00:00Z\n";
    let run = Run::with_stdin(&daemon, &["publish", "-", "-o", "json"], lines).code(0);
    complete(&run, 3);
    Run::of(&daemon, &["rate", "list", "-o", "csv"])
        .code(0)
        .shows("EUR,USD,1.20,2026-01-06T09:00:00.000000Z,");
    let run = Run::with_stdin(&daemon, &["publish", "-", "-o", "json"], "BBB\nCCC 102\n")
        .code(3)
        .says("-:1: a line is SYMBOL PRICE [TS]");
    complete(&run, 1);
}

#[test]
fn a_refused_price_is_told() {
    let daemon = small();
    let refused = |arguments: &[&str], reason: &str| {
        let run = Run::of(&daemon, &[&["publish"], arguments].concat());
        run.code(3).says(reason);
    };
    refused(&["NOBODY", "1"], "refused: unknown_symbol: 1");
    refused(&["AAA", "-1"], "refused: price_not_positive: 1");
    refused(&["AAA", "20", "--ccy", "EUR"], "refused: wrong_currency: 1");
    refused(
        &["AAA", "20", "--ts", "2100-01-01"],
        "refused: timestamp_in_future: 1",
    );
    Run::of(&daemon, &["publish", "AAA"])
        .code(2)
        .says("the price is missing");
    assert_eq!(prices(&daemon)[0], "20.00");
}
