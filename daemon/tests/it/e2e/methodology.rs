//! The examples that users copy: each is loaded as it lies, and gives the number that its table has
//! worked out by hand.

use std::collections::BTreeSet;
use std::path::Path;

use divisor_testkit::Postgres;
use serde_json::{Value, json};

use super::http::get_json;
use super::{Mqtt, daemon, fixture};

/// A row of a table: file, index, figure.
struct Example {
    file: String,
    code: String,
    figure: String,
}

/// The rows of the table below the line that begins with `head`.
fn table(head: &str) -> Vec<Example> {
    let path = format!(
        "{}/../fixtures/methodology/README.md",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let below = &text[text.find(head).unwrap()..];
    let rows = below
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let read = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        Example {
            file: cells[1]
                .split_once("](")
                .unwrap()
                .1
                .trim_end_matches(')')
                .to_owned(),
            code: cells[2].trim_matches('`').to_owned(),
            figure: cells[3].to_owned(),
        }
    };
    rows.map(read).collect()
}

/// What an example loads: its note is for people.
fn items(file: &str) -> Value {
    let mut items = fixture(&format!("methodology/{file}"));
    let note = items.as_object_mut().unwrap().remove("note");
    assert!(
        note.is_some_and(|note| note.is_string()),
        "{file} says what it shows"
    );
    items
}

fn files(below: &str) -> BTreeSet<String> {
    let path = format!("{}/../fixtures/{below}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(Path::new(&path)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".json")).collect()
}

#[test]
fn examples_give_the_levels_worked_out_by_hand() {
    let examples = table("| file | index | level |");
    assert!(examples.len() > 25, "{}", examples.len());
    let mut named: BTreeSet<String> = BTreeSet::new();
    for example in &examples {
        let Example { file, code, figure } = example;
        named.insert(file.clone());
        let daemon = daemon().start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(&items(file));
        let shown = desk.done("index.show", json!({ "code": code }));
        assert_eq!(
            shown["row"]["level"],
            figure.as_str(),
            "{file}: {}",
            shown["row"]
        );
        assert_eq!(shown["row"]["status"], "live", "{file}");
    }
    named.insert("weighting/volume_median.json".to_owned());
    for kind in ["weighting", "variant", "review"] {
        for name in files(&format!("methodology/{kind}")) {
            assert!(
                named.contains(&format!("{kind}/{name}")),
                "{kind}/{name} has no row"
            );
        }
    }
}

#[test]
fn a_past_level_is_explained_at_the_rates_of_its_day() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).http().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&items("weighting/local_currency.json"));
    desk.wait_projected();
    // It began with the prices of its base, not with the load.
    let revisions = get_json(&daemon, "/api/v1/indexes/LOCAL/revisions");
    assert_eq!(
        revisions["rows"][0]["effective"], "2026-01-05T21:00:00.000000Z",
        "{revisions}"
    );
    // Both the rate of the table and the rate of the day have moved on since.
    for (at, level, rate) in [
        ("2026-01-05T22:00:00Z", "1000.00", "1.25"),
        ("2026-01-06T22:00:00Z", "1100.00", "1.25"),
        ("2026-01-07T22:00:00Z", "1250.00", "1.5"),
    ] {
        let path = format!("/api/v1/indexes/LOCAL/explain?at={at}");
        let explained = get_json(&daemon, &path);
        assert_eq!(explained["level"], explained["of"]["level"], "{explained}");
        assert_eq!(explained["level"], level, "{at}");
        assert_eq!(explained["members"][1]["rate"], rate, "{at}: {explained}");
    }
}

#[test]
fn the_reference_rate_is_made_of_trades() {
    let daemon = daemon().start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&items("weighting/volume_median.json"));
    for (ts, price, size) in [
        ("2026-01-05T15:01:00Z", "100", "2"),
        ("2026-01-05T15:02:00Z", "104", "1"),
        ("2026-01-05T15:31:00Z", "110", "3"),
        ("2026-01-05T16:00:00Z", "1", "1"),
    ] {
        desk.price("BTC", json!({ "price": price, "size": size, "ts": ts }));
    }
    let shown = desk.done("index.show", json!({ "code": "BITCOIN" }));
    assert_eq!(shown["row"]["level"], "105.00", "{}", shown["row"]);
}

#[test]
fn actions_give_the_divisors_worked_out_by_hand() {
    let examples = table("| file | index | divisor |");
    let named: BTreeSet<String> = examples
        .iter()
        .map(|example| example.file.rsplit('/').next().unwrap().to_owned())
        .chain(["universe.json".to_owned(), "rebalance.json".to_owned()])
        .collect();
    assert_eq!(named, files("actions"), "each kind has a row");
    for Example { file, code, figure } in examples {
        let daemon = daemon().start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(&fixture("actions/universe.json"));
        let action = fixture(&format!("methodology/{file}"));
        desk.load(&action);
        let symbol = if action["actions"][0]["type"] == "symbol_change" {
            "ALPHA"
        } else {
            "ALFA"
        };
        desk.price(
            symbol,
            json!({ "price": "90", "ts": "2026-06-10T14:30:00Z" }),
        );
        let shown = desk.done("index.show", json!({ "code": code }));
        let divisor = shown["divisor"].as_str().unwrap();
        let divisor = divisor.trim_end_matches('0').trim_end_matches('.');
        assert_eq!(divisor, figure, "{file}: {shown}");
        let listed = desk.done("action.list", json!({}))["rows"][0].clone();
        assert_eq!(listed["state"], Value::from("applied"), "{file}: {listed}");
    }
}
