//! Prices of the past corrected through a real daemon: what was published stays, what is right is
//! there beside it, and the present goes on from it.

use std::process::Command;

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::{Mqtt, column, daemon, sum_of};

/// Two securities and three indexes that keep something of the past; one restates nothing.
fn indexes() -> Value {
    let weighted = |code: &str, restate: &str| {
        json!({
            "code": code, "currency": "USD", "weighting": { "scheme": "constant_weight" },
            "base": { "value": "100" }, "dissemination": { "mode": "tick" },
            "corrections": { "restate": restate },
            "basket": [{ "symbol": "AAA", "weight": "0.5" }, { "symbol": "BBB", "weight": "0.4" }],
        })
    };
    json!({
        "securities": [
            { "symbol": "AAA", "currency": "USD" },
            { "symbol": "BBB", "currency": "USD" },
        ],
        "prices": [
            { "symbol": "AAA", "price": "20", "ts": "2026-01-05T16:00:00Z" },
            { "symbol": "BBB", "price": "50", "ts": "2026-01-05T16:00:00Z" },
        ],
        "indexes": [
            sum_of("PAIR", &["AAA", "BBB"], json!({ "mode": "tick" })),
            weighted("CW", "full"), weighted("KEPT", "never"), weighted("CLOSES", "closes"),
        ],
    })
}

/// Hour by hour prices of two days; `wrong` stands for the last price of AAA of the first.
fn trade(desk: &Mqtt, days: std::ops::RangeInclusive<u32>, wrong: &str) {
    for day in days {
        for hour in 9..17 {
            let ts = format!("2026-01-{day:02}T{hour:02}:00:00Z");
            let price = match (day, hour) {
                (6, 16) => wrong.to_owned(),
                _ => format!("{}.{hour:02}", 14 + day),
            };
            desk.price("AAA", json!({ "price": price, "ts": ts, "src": "feed" }));
            let price = format!("{}.{:02}", 40 + day, 90 - hour);
            desk.price("BBB", json!({ "price": price, "ts": ts, "src": "feed" }));
        }
    }
}

/// The levels of an index: `ts level` of what is right as of a time.
fn series(database: &TestDatabase, code: &str, as_of: &str) -> Vec<String> {
    let counts = match as_of {
        "published" => "l.run = 0".to_owned(),
        time => format!("counts(l.index_id, l.position, l.run, 'level', '{time}')"),
    };
    let sql = format!(
        "select l.ts || ' ' || l.level || ' ' || coalesce(l.prev_close::text, '-') \
         from index_level l join index_definition i on i.id = l.index_id \
         where i.code = '{code}' and {counts} order by l.position, l.seq"
    );
    column(database, &sql)
}

/// Consecutive equal lines count once: the end of a run publishes the present again.
fn without_repetitions(mut series: Vec<String>) -> Vec<String> {
    series.dedup();
    series
}

/// States a correction and waits until its rows count.
fn correct(desk: &Mqtt, database: &TestDatabase, what: Value) -> u64 {
    let body = json!({ "correction": { "what": what, "reason": "a test" } });
    let run = desk.done("correct.add", body)["run"].as_u64().unwrap();
    wait_counted(desk, database, run);
    run
}

fn wait_counted(desk: &Mqtt, database: &TestDatabase, run: u64) {
    eventually(&format!("run {run} counts"), || {
        let list = desk.done("correct.list", json!({}));
        let row = list["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["run"] == run)
            .cloned();
        assert_ne!(row.unwrap()["state"], "failed", "{list}");
        let runs = column(database, "select run::text from correction_run");
        runs.contains(&run.to_string()).then_some(())
    });
}

fn verify(options: &Options, daemon: &Daemon) {
    let mut command: Command = options.verb(daemon.state(), &["verify"]);
    let output = command.output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
}

fn price(ts: &str, price: Option<&str>) -> Value {
    json!({ "price": { "symbol": "AAA", "ts": ts, "price": price } })
}

#[test]
fn a_wrong_price_of_two_days_ago_is_corrected() {
    let (wrong, right) = (Postgres::shared().database(), Postgres::shared().database());
    let options = daemon().database(&wrong.url());
    let mut corrected = options.clone().start();
    let reference = daemon().database(&right.url()).start();
    let desk = Mqtt::v5(&corrected, "desk");
    let other = Mqtt::v5(&reference, "desk");
    desk.subscribe("indexes/+/event");
    desk.subscribe("indexes/+/level");
    desk.load(&indexes());
    other.load(&indexes());
    trade(&desk, 6..=8, "99");
    trade(&other, 6..=8, "21.5");
    desk.wait_projected();
    let published = series(&wrong, "CW", "published");

    let preview = json!({ "correction": { "what": price("2026-01-06T16:00:00Z", Some("21.5")),
        "reason": "a test" }, "dry_run": true });
    let preview = desk.done("correct.add", preview);
    let codes: Vec<&str> = preview["indexes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["PAIR", "CW"], "{preview}");
    assert_eq!(
        series(&wrong, "CW", "infinity"),
        published,
        "a preview changes nothing"
    );

    let run = correct(&desk, &wrong, price("2026-01-06T16:00:00Z", Some("21.5")));
    assert_eq!(run, 1);
    let event = desk.wait("the event of CW", |m| {
        let json = m.json();
        (m.topic == "indexes/CW/event" && json["event"] == "correction").then_some(json)
    });
    assert_eq!(event["status"], "restated", "{event}");
    assert!(
        event["from"]
            .as_str()
            .unwrap()
            .starts_with("2026-01-06T16:00:00"),
        "{event}"
    );
    assert_eq!(event["who"], json!(["desk"]), "{event}");
    assert_ne!(event["before"], event["after"], "{event}");

    // And later prices move both alike.
    trade(&desk, 9..=9, "");
    trade(&other, 9..=9, "");
    desk.wait_projected();
    other.wait_projected();
    for code in ["PAIR", "CW"] {
        let now = without_repetitions(series(&wrong, code, "infinity"));
        assert_eq!(
            now,
            without_repetitions(series(&right, code, "published")),
            "{code}"
        );
    }
    let as_published = series(&wrong, "CW", "published");
    assert_eq!(
        as_published[..published.len()],
        published,
        "what was published stays"
    );
    let kept = series(&wrong, "KEPT", "infinity");
    assert_eq!(kept, series(&wrong, "KEPT", "published"), "never is never");

    // The state is in the journal: without the history it is the same.
    let level = |desk: &Mqtt| desk.done("index.show", json!({ "code": "CW" }));
    let before = level(&desk);
    drop(desk);
    corrected.kill();
    corrected = corrected.restart();
    let desk = Mqtt::v5(&corrected, "desk");
    assert_eq!(level(&desk)["divisor"], before["divisor"]);
    desk.wait_projected();
    verify(&options, &corrected);

    // A price that never was, one that is missing, and a correction that was wrong.
    correct(&desk, &wrong, price("2026-01-07T10:00:00Z", None));
    correct(&desk, &wrong, price("2026-01-07T10:00:00Z", Some("21.1")));
    let run = correct(&desk, &wrong, price("2026-01-08T10:30:00Z", Some("23")));
    let body = json!({ "withdraw": { "run": run } });
    correct(&desk, &wrong, body);
    for run in [2, 3] {
        correct(&desk, &wrong, json!({ "withdraw": { "run": run } }));
    }
    let now = without_repetitions(series(&wrong, "CW", "infinity"));
    assert_eq!(
        now,
        without_repetitions(series(&right, "CW", "published")),
        "withdrawn"
    );
    desk.wait_projected();
    verify(&options, &corrected);
}
