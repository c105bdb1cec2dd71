//! Late prices through a real daemon: the series is the one of prices that came in time and right.

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::compositions::are_alike;
use super::corrections::{series, verify, wait_counted};
use super::{Mqtt, column, daemon, fixture};

/// The published case of the return chain: weights, two days of prices, the level of the first.
struct Case {
    weights: [String; 2],
    days: Vec<[String; 2]>,
    base: String,
    level: String,
}

impl Case {
    /// The two days of the vector, and more that follow by rule.
    fn new(more: usize) -> Self {
        let file = fixture("vectors/16_seed_ets_demo_unit_cases.json");
        let case = &file["inputs"]["cases"][2];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pair = |value: &Value| [text(&value[0]), text(&value[1])];
        let mut days = vec![pair(&case["prev"]), pair(&case["curr"])];
        days.extend((0..more).map(|day| {
            let a = format!("1.0{}", 11 + day * 7 % 80);
            [a, format!("0.9{}", 91 - day * 13 % 80)]
        }));
        Self {
            weights: pair(&case["weights"]),
            days,
            base: text(&case["prev_level"]),
            level: text(&file["expected"]["results"][2]),
        }
    }

    /// `CHAIN` with its default, and `KEPT`, the same where what was published stands.
    fn items(&self) -> Value {
        let index = |code: &str| {
            json!({
                "code": code, "currency": "EUR", "weighting": { "scheme": "constant_weight" },
                "base": { "value": self.base }, "dissemination": { "mode": "tick" },
                "rounding": { "level": { "places": 6 } },
                "basket": [{ "symbol": "ONE", "weight": self.weights[0] },
                    { "symbol": "TWO", "weight": self.weights[1] }],
            })
        };
        let mut kept = index("KEPT");
        kept["corrections"] = json!({ "late_prices": "keep" });
        let security =
            |symbol: &str| json!({ "symbol": symbol, "currency": "EUR", "price_places": 10 });
        json!({
            "securities": [security("ONE"), security("TWO")],
            "indexes": [index("CHAIN"), kept],
        })
    }

    /// All prices: which one, its day and the price.
    fn prices(&self) -> Vec<(&'static str, usize, String)> {
        let days = self.days.iter().enumerate();
        let of_day = |(day, [one, two]): (usize, &[String; 2])| {
            [("ONE", day, one.clone()), ("TWO", day, two.clone())]
        };
        days.flat_map(of_day).collect()
    }
}

fn send(desk: &Mqtt, (symbol, day, price): &(&str, usize, String)) {
    let ts = format!("2020-{:02}-{:02}T00:00:00Z", 1 + day / 28, 1 + day % 28);
    desk.price(symbol, json!({ "price": price, "ts": ts, "src": "feed" }));
}

/// A daemon whose prices came as they should.
struct Right {
    database: TestDatabase,
    daemon: Daemon,
}

impl Right {
    fn of(case: &Case) -> Self {
        let database = Postgres::shared().database();
        let daemon = daemon().database(&database.url()).http().start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(&case.items());
        case.prices().iter().for_each(|price| send(&desk, price));
        desk.wait_acked();
        desk.wait_projected();
        Self { database, daemon }
    }

    fn series(&self) -> Vec<String> {
        by_time(series(&self.database, "CHAIN", "published"))
    }
}

fn options(database: &TestDatabase, quiet: &str) -> Options {
    let quiet = format!("ticks.late_quiet={quiet:?}");
    daemon().database(&database.url()).http().set(&quiet)
}

/// The level of each time, and the previous close: prices of one time may come in any order.
fn by_time(series: Vec<String>) -> Vec<String> {
    let mut last = std::collections::BTreeMap::new();
    for row in series {
        let (time, level) = row.split_at(22);
        last.insert(time.to_owned(), level.to_owned());
    }
    last.into_iter()
        .map(|(time, level)| time + &level)
        .collect()
}

/// Waits until everything that was late is in a run that counts.
fn wait_restated(desk: &Mqtt, database: &TestDatabase, right: &Right) {
    eventually("the series is right", || {
        desk.wait_projected();
        let now = by_time(series(database, "CHAIN", "infinity"));
        (now == right.series()).then_some(())
    });
}

#[test]
fn prices_that_are_sent_again_in_another_order_restate_the_series() {
    let case = Case::new(60);
    let right = Right::of(&case);
    assert!(right.series()[1].contains(&case.level));
    let database = Postgres::shared().database();
    let options = options(&database, "400ms");
    let daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/+/event");
    desk.load(&case.items());
    // Every third is wrong at first, every seventh does not come at all.
    let all = case.prices();
    let last = all.len() - 2;
    for (place, price) in all.iter().enumerate() {
        let (symbol, day, _) = *price;
        match place {
            place if place < last && place % 7 == 3 => {}
            place if place < last && place % 3 == 1 => send(&desk, &(symbol, day, "3.5".into())),
            _ => send(&desk, price),
        }
    }
    desk.wait_acked();
    desk.wait_projected();
    let published = series(&database, "CHAIN", "published");
    let kept = series(&database, "KEPT", "published");
    assert_ne!(by_time(published.clone()), right.series());
    // All of them once more, from somewhere in the middle on.
    for place in 0..last {
        send(&desk, &all[place * 37 % last]);
    }
    desk.wait_acked();
    wait_restated(&desk, &database, &right);
    let as_published = series(&database, "CHAIN", "published");
    assert_eq!(
        as_published[..published.len()],
        published,
        "what was published stays"
    );
    assert_eq!(series(&database, "KEPT", "infinity"), kept, "keep is keep");
    are_alike((&daemon, &database), &right.daemon, "CHAIN");
    let runs = column(&database, "select count(*)::text from correction_run");
    assert!(
        ["1", "2", "3"].contains(&runs[0].as_str()),
        "{runs:?} walks for all of them"
    );

    let event = desk.wait("the event", |m| {
        let json = m.json();
        (m.topic == "indexes/CHAIN/event" && json["event"] == "correction").then_some(json)
    });
    assert_eq!(event["why"], json!(["late price"]), "{event}");
    assert_eq!(event["who"], json!(["divisord"]), "{event}");
    let metrics = super::http::get_text(&daemon, "/metrics");
    assert!(
        metrics.contains("divisor_late_prices_waiting 0"),
        "{metrics}"
    );
    verify(&options, &daemon);
}

/// All of one security before the other: every price of the second is of a day that is over.
#[test]
fn prices_that_come_by_security_give_the_series_by_day() {
    let case = Case::new(20);
    let right = Right::of(&case);
    let database = Postgres::shared().database();
    let options = options(&database, "400ms");
    let mut daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&case.items());
    let mut all = case.prices();
    all.sort_by_key(|(symbol, day, _)| (*symbol, *day));
    all.iter().for_each(|price| send(&desk, price));
    desk.wait_acked();
    wait_restated(&desk, &database, &right);
    // And the present is right without the history.
    let level = |desk: &Mqtt| desk.done("index.show", json!({ "code": "CHAIN" }))["level"].clone();
    let before = level(&desk);
    drop(desk);
    daemon.kill();
    let daemon = daemon.restart();
    let desk = Mqtt::v5(&daemon, "desk");
    assert_eq!(level(&desk), before);
    desk.wait_projected();
    verify(&options, &daemon);
}

/// Killed between a late price and its run; and two open runs that share a walk.
#[test]
fn late_prices_survive_the_death_of_the_daemon() {
    let case = Case::new(10);
    let right = Right::of(&case);
    let database = Postgres::shared().database();
    let options = options(&database, "1s");
    let mut daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&case.items());
    let all = case.prices();
    let wrong = |price: &(&'static str, usize, String)| (price.0, price.1, "2".to_owned());
    for (place, price) in all.iter().enumerate() {
        match place {
            4 | 9 => send(&desk, &wrong(price)),
            _ => send(&desk, price),
        }
    }
    desk.wait_projected();
    // Nothing can be walked while somebody holds this table.
    let mut holder = database.connect();
    let mut holding = holder.transaction().unwrap();
    holding
        .batch_execute("lock table batch in access exclusive mode")
        .unwrap();
    let (symbol, day, price) = &all[4];
    let ts = format!("2020-01-{:02}T00:00:00Z", 1 + day);
    let what = json!({ "price": { "symbol": symbol, "ts": ts, "price": price } });
    let body = json!({ "correction": { "what": what, "reason": "a test" } });
    assert_eq!(desk.done("correct.add", body)["run"], 1);
    send(&desk, &all[9]);
    desk.wait_acked();
    drop(desk);
    daemon.kill();
    daemon = daemon.restart();
    let desk = Mqtt::v5(&daemon, "desk");
    let rows = eventually("two runs are open", || {
        let rows = desk.done("correct.list", json!({}))["rows"].clone();
        (rows.as_array().unwrap().len() == 2).then_some(rows)
    });
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["state"] == "open"),
        "{rows}"
    );
    assert_eq!(rows[1]["what"], "1 late price", "{rows}");
    drop(desk);
    daemon.kill();
    daemon = daemon.restart();
    holding.rollback().unwrap();
    let desk = Mqtt::v5(&daemon, "desk");
    wait_counted(&desk, &database, 2);
    let rows = desk.done("correct.list", json!({}))["rows"].clone();
    let with: Vec<&Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["with"])
        .collect();
    assert_eq!(with, [2, 2], "{rows}");
    wait_restated(&desk, &database, &right);
    verify(&options, &daemon);
}

/// A walk begins with a snapshot of before what it corrects, and gives what one from the beginning gives.
#[test]
fn a_walk_begins_with_a_state_of_the_past() {
    let case = Case::new(120);
    let right = Right::of(&case);
    let database = Postgres::shared().database();
    let options = options(&database, "400ms").set("sequencer.snapshot_bytes=\"2 KiB\"");
    let daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&case.items());
    let all = case.prices();
    let wrong = [all.len() - 30, all.len() - 20, 4];
    for (place, price) in all.iter().enumerate() {
        let (symbol, day, _) = *price;
        if wrong.contains(&place) {
            send(&desk, &(symbol, day, "3.5".into()));
        } else {
            send(&desk, price);
        }
        // So that snapshots are written on the way, and known to be in PostgreSQL.
        if place % 30 == 0 {
            desk.wait_acked();
            desk.wait_projected();
        }
    }
    desk.wait_acked();
    for (run, place) in (1..).zip(wrong) {
        send(&desk, &all[place]);
        desk.wait_acked();
        eventually("a run is open", || {
            let rows = desk.done("correct.list", json!({}))["rows"].clone();
            (rows.as_array().unwrap().len() == run).then_some(())
        });
        wait_counted(&desk, &database, run as u64);
    }
    wait_restated(&desk, &database, &right);
    let begun = "select run || ' ' || (begun > 0) from correction_run order by run";
    assert_eq!(column(&database, begun)[..2], ["1 true", "2 true"]);
    verify(&options, &daemon);
}

/// Prices that are not kept any more cannot be walked again: the run says so and changes nothing.
#[test]
fn a_run_without_its_history_fails() {
    let case = Case::new(10);
    let database = Postgres::shared().database();
    let mut daemon = options(&database, "400ms").start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&case.items());
    case.prices().iter().for_each(|price| send(&desk, price));
    desk.price("ONE", json!({ "price": "1.5", "src": "feed" }));
    desk.wait_acked();
    desk.wait_projected();
    let published = series(&database, "CHAIN", "infinity");
    drop(desk);
    daemon.kill();
    let state = daemon.state().to_owned();
    let kept = options(&database, "400ms").state(&state);
    let options = kept.set("store.keep_ticks=\"2592000s\"");
    let daemon = options.clone().start();
    let desk = Mqtt::v5(&daemon, "desk");
    eventually("old prices are dropped", || {
        let old = "select count(*)::text from price_tick where ts < '2021-01-01'";
        (column(&database, old) == ["0"]).then_some(())
    });
    let what = json!({ "price": { "symbol": "ONE", "ts": "2020-01-04T00:00:00Z", "price": "7" } });
    let body = json!({ "correction": { "what": what, "reason": "a test" } });
    let refused = desk.ask("correct.add", body)["error"]["message"].to_string();
    assert!(refused.contains("store.keep_ticks"), "{refused}");
    send(&desk, &("ONE", 3, "7".into()));
    let why = eventually("the run has failed", || {
        let rows = desk.done("correct.list", json!({}))["rows"].clone();
        rows[0]["why"].as_str().map(ToOwned::to_owned)
    });
    assert!(why.contains("store.keep_ticks"), "{why}");
    desk.wait_projected();
    assert_eq!(series(&database, "CHAIN", "infinity"), published);
    // What is not kept is not compared; the rest is.
    verify(&options, &daemon);
    column(
        &database,
        "with wrong as (update index_level set level = level + 1 \
        where position = (select max(position) from index_level) returning 1) \
        select count(*)::text from wrong",
    );
    let mut again = options.verb(daemon.state(), &["verify"]);
    assert!(!again.output().unwrap().status.success());
}
