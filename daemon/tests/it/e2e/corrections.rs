//! Prices of the past corrected through a real daemon: what was published stays, what is right is
//! there beside it, and the present goes on from it.

use std::process::Command;

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::compositions::are_alike;
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
pub(super) fn series(database: &TestDatabase, code: &str, as_of: &str) -> Vec<String> {
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
pub(super) fn correct(desk: &Mqtt, database: &TestDatabase, what: Value) -> u64 {
    let body = json!({ "correction": { "what": what, "reason": "a test" } });
    let run = desk.done("correct.add", body)["run"].as_u64().unwrap();
    wait_counted(desk, database, run);
    run
}

pub(super) fn wait_counted(desk: &Mqtt, database: &TestDatabase, run: u64) {
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

pub(super) fn verify(options: &Options, daemon: &Daemon) {
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

/// A daemon that is told something wrong, and one that is not.
struct Two {
    databases: [TestDatabase; 2],
    options: Options,
    corrected: Daemon,
    desk: Mqtt,
    other: Mqtt,
    reference: Daemon,
}

impl Two {
    fn start(wrong: &str) -> Self {
        let databases = [Postgres::shared().database(), Postgres::shared().database()];
        let options = daemon().database(&databases[0].url()).http();
        let corrected = options.clone().start();
        let reference = daemon().database(&databases[1].url()).http().start();
        let desk = Mqtt::v5(&corrected, "desk");
        let other = Mqtt::v5(&reference, "desk");
        desk.subscribe("indexes/+/event");
        desk.load(&indexes());
        other.load(&indexes());
        trade(&desk, 6..=8, wrong);
        trade(&other, 6..=8, "21.5");
        for desk in [&desk, &other] {
            desk.done(
                "order",
                json!({ "order": { "order": "close", "index": "CLOSES" } }),
            );
        }
        desk.wait_projected();
        Self {
            databases,
            options,
            corrected,
            desk,
            other,
            reference,
        }
    }

    /// What is right now is what the other has published.
    #[track_caller]
    fn is_right(&self, code: &str) {
        self.desk.wait_projected();
        self.other.wait_projected();
        let now = without_repetitions(series(&self.databases[0], code, "infinity"));
        let right = without_repetitions(series(&self.databases[1], code, "published"));
        assert_eq!(now, right, "{code}");
        are_alike((&self.corrected, &self.databases[0]), &self.reference, code);
        let sql = "with made as (select c.* from index_definition i, \
                   (values (60), (3600)) s(step), \
                   candles_of(i.id, s.step, '-infinity', 'infinity') c) \
                   select count(*)::text from ((table candle except table made) union all \
                   (table made except table candle)) d";
        assert_eq!(column(&self.databases[0], sql), ["0"], "candles");
    }

    fn kill_and_restart(mut self) -> Self {
        drop(self.desk);
        self.corrected.kill();
        self.corrected = self.corrected.restart();
        self.desk = Mqtt::v5(&self.corrected, "desk");
        self
    }
}

/// HTTP tells of a correction what its event tells.
fn is_among_events(daemon: &Daemon, event: &Value) {
    let notice = eventually("the correction is among what happened", || {
        let answer = super::http::get_json(daemon, "/api/v1/indexes/CW/events");
        let rows = answer["events"]
            .as_array()
            .or_else(|| answer["rows"].as_array());
        let rows = rows.unwrap_or_else(|| panic!("{answer}")).clone();
        rows.into_iter().find(|row| row["kind"] == "correction")
    });
    assert_eq!(notice["ts"], event["from"], "{notice}");
    assert_eq!(notice["pos"], event["pos"], "{notice}");
    let text = notice["text"].as_str().unwrap();
    assert!(text.starts_with("run 1 restates"), "{text}");
}

/// What HTTP says of the past, as of a time. Of the last day a run publishes the present again.
#[derive(Debug, PartialEq)]
struct Pages {
    candles: [Vec<Value>; 3],
    closes: Value,
}

impl Pages {
    fn read(daemon: &Daemon, as_of: &str) -> Self {
        let page = |path: &str| super::http::get_json(daemon, path);
        let candles = ["1m", "1h", "1d"].map(|step| {
            let path = format!(
                "/api/v1/indexes/CW/candles?step={step}&from=2026-01-05&to=2026-01-08&as_of={as_of}"
            );
            let mut rows = Vec::new();
            let mut next = Some(String::new());
            while let Some(cursor) = next {
                let found = page(&format!("{path}{cursor}"));
                rows.extend(found["rows"].as_array().unwrap().clone());
                next = found["next"].as_str().map(|next| format!("&cursor={next}"));
            }
            assert!(rows.len() > 1, "{step}");
            rows
        });
        let closes = page(&format!("/api/v1/indexes/CLOSES/closes?as_of={as_of}"));
        let [close] = closes["rows"].as_array().unwrap().as_slice() else {
            panic!("one day was closed: {closes}");
        };
        Self {
            candles,
            closes: close.clone(),
        }
    }
}

/// The closes that are right now are those of the other, beside those that were published.
fn closes_are_restated(two: &Two) {
    let closes = |database: &TestDatabase| {
        let sql = "select day || ' ' || level || ' ' || divisor from official_close c \
                   where counts(c.index_id, c.position, c.run, 'close', 'infinity') order by 1";
        column(database, sql)
    };
    let [corrected, other] = &two.databases;
    assert_eq!(closes(corrected), closes(other));
    let runs = "select run::text from official_close order by 1";
    assert_eq!(column(corrected, runs), ["0", "1"]);
}

#[test]
fn a_wrong_price_of_two_days_ago_is_corrected() {
    let mut two = Two::start("99");
    let database = &two.databases[0];
    let published = series(database, "CW", "published");
    let what = price("2026-01-06T16:00:00Z", Some("21.5"));
    let preview = json!({ "correction": { "what": what, "reason": "a test" }, "dry_run": true });
    let preview = two.desk.done("correct.add", preview);
    let rows = preview["indexes"].as_array().unwrap();
    let codes: Vec<&str> = rows.iter().filter_map(|row| row["code"].as_str()).collect();
    assert_eq!(codes, ["PAIR", "CW", "CLOSES"], "{preview}");
    assert_eq!(
        series(database, "CW", "infinity"),
        published,
        "a preview changes nothing"
    );

    let before = Pages::read(&two.corrected, "published");
    assert_eq!(Pages::read(&two.corrected, "now"), before);
    let sql =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let earlier = column(database, sql).remove(0);
    assert_eq!(correct(&two.desk, database, what), 1);
    let now = Pages::read(&two.corrected, "now");
    assert_ne!(now.candles, before.candles);
    assert_ne!(now.closes, before.closes);
    assert_eq!(now, Pages::read(&two.corrected, "2099-01-01"));
    assert_eq!(before, Pages::read(&two.corrected, "published"));
    assert_eq!(before, Pages::read(&two.corrected, &earlier));
    let event = two.desk.wait("the event of CW", |m| {
        let json = m.json();
        (m.topic == "indexes/CW/event" && json["event"] == "correction").then_some(json)
    });
    assert_eq!(event["status"], "restated", "{event}");
    let from = event["from"].as_str().unwrap();
    assert!(from.starts_with("2026-01-06T16:00:00"), "{event}");
    assert_eq!(event["who"], json!(["desk"]), "{event}");
    assert_ne!(event["before"], event["after"], "{event}");
    is_among_events(&two.corrected, &event);

    // And later prices move both alike.
    trade(&two.desk, 9..=9, "");
    trade(&two.other, 9..=9, "");
    two.is_right("PAIR");
    two.is_right("CW");
    let as_published = series(database, "CW", "published");
    assert_eq!(
        as_published[..published.len()],
        published,
        "what was published stays"
    );
    let kept = series(database, "KEPT", "infinity");
    assert_eq!(
        kept,
        series(database, "KEPT", "published"),
        "never is never"
    );

    closes_are_restated(&two);
    let intraday = series(database, "CLOSES", "infinity");
    assert_eq!(
        intraday,
        series(database, "CLOSES", "published"),
        "closes only"
    );

    // The state is in the journal: without the history it is the same.
    let divisor =
        |two: &Two| two.desk.done("index.show", json!({ "code": "CW" }))["divisor"].clone();
    let before = divisor(&two);
    two = two.kill_and_restart();
    assert_eq!(divisor(&two), before);
    two.desk.wait_projected();
    verify(&two.options, &two.corrected);
}

/// A price that never was, one that is missing, and corrections that were wrong.
#[test]
fn corrections_are_withdrawn() {
    let two = Two::start("21.5");
    let database = &two.databases[0];
    let void = correct(&two.desk, database, price("2026-01-07T16:00:00Z", None));
    assert_ne!(
        without_repetitions(series(database, "CW", "infinity")),
        without_repetitions(series(&two.databases[1], "CW", "published")),
    );
    let missing = correct(
        &two.desk,
        database,
        price("2026-01-08T10:30:00Z", Some("23")),
    );
    let late = price("2026-01-08T16:30:00Z", Some("23"));
    let body = json!({ "correction": { "what": late, "reason": "a test" } });
    let refused = two.desk.ask("correct.add", body);
    assert_eq!(refused["error"]["kind"], "refused", "{refused}");
    for run in [missing, void] {
        let withdraw = json!({ "withdraw": { "run": run } });
        correct(&two.desk, database, withdraw.clone());
        let body = json!({ "correction": { "what": withdraw, "reason": "once more" } });
        let refused = two.desk.ask("correct.add", body)["error"].to_string();
        assert!(refused.contains("is withdrawn already"), "{refused}");
    }
    two.is_right("CW");
    two.is_right("PAIR");
    verify(&two.options, &two.corrected);
}

/// A split that was missed and a dividend with other terms; and a daemon that dies in the middle.
#[test]
fn actions_of_the_past_are_corrected() {
    let (wrong, right) = (Postgres::shared().database(), Postgres::shared().database());
    let options = daemon().database(&wrong.url()).http();
    let mut corrected = options.clone().start();
    let reference = daemon().database(&right.url()).http().start();
    let desk = Mqtt::v5(&corrected, "desk");
    let other = Mqtt::v5(&reference, "desk");
    let dividend = |amount: &str| {
        json!({ "id": "cash", "ex_date": "2026-01-07", "type": "dividend", "symbol": "BBB",
            "amount": amount, "kind": "special" })
    };
    let split = json!({ "id": "split", "ex_date": "2026-01-08", "type": "split",
        "symbol": "AAA", "from": 1, "to": 2 });
    let mut items = indexes();
    items["actions"] = json!([dividend("5")]);
    desk.load(&items);
    items["actions"] = json!([dividend("0.5"), split]);
    other.load(&items);
    for desk in [&desk, &other] {
        trade(desk, 6..=8, "21.5");
        desk.wait_projected();
    }
    correct(&desk, &wrong, json!({ "action": dividend("0.5") }));
    // Stated, and killed at once.
    let body = json!({ "correction": { "what": { "action": split }, "reason": "a test" } });
    let run = desk.done("correct.add", body)["run"].as_u64().unwrap();
    drop(desk);
    corrected.kill();
    corrected = corrected.restart();
    let desk = Mqtt::v5(&corrected, "desk");
    wait_counted(&desk, &wrong, run);
    for desk in [&desk, &other] {
        trade(desk, 9..=9, "");
        desk.wait_projected();
    }
    for code in ["CW", "PAIR"] {
        let now = without_repetitions(series(&wrong, code, "infinity"));
        let should = without_repetitions(series(&right, code, "published"));
        assert_eq!(now, should, "{code}");
        are_alike((&corrected, &wrong), &reference, code);
    }
    verify(&options, &corrected);
}
