//! `divisor load`: checked before anything is sent, applied whole or not at all, repeatable.

use serde_json::json;

use super::{Files, Run, daemon, fixture, levels, small};

const DAY_1: [&str; 7] = [
    "SMALL.PRICE 100.00",
    "SMALL.CAP 1000.00",
    "SMALL.EQUAL 100.00",
    "SMALL.FIXED 100.00",
    "SMALL.CONST 100.00",
    "SMALL.FX 1000.00",
    "SMALL.EUR 114.55",
];

#[test]
fn loads_once_and_finds_nothing_new_the_second_time() {
    let daemon = daemon();
    let file = fixture("small/small.json");
    let first = Run::of(&daemon, &["load", &file, "-o", "json"]).code(0);
    let tally = |new, unchanged| json!({"new": new, "changed": 0, "unchanged": unchanged});
    assert_eq!(
        first.object(),
        json!({"dry_run": false, "securities": tally(5, 0), "indexes": tally(7, 0),
            "revisions": tally(0, 0), "actions": tally(0, 0), "prices": 6, "prices_repeated": 0, "changes": []})
    );
    assert!(first.stderr.contains("18 rows of 1 file in "), "{first:?}");
    assert_eq!(levels(&daemon), DAY_1);
    let second = Run::of(&daemon, &["load", &file, "-o", "json"]).code(0);
    assert_eq!(
        second.object(),
        json!({"dry_run": false, "securities": tally(0, 5), "indexes": tally(0, 7),
            "revisions": tally(0, 0), "actions": tally(0, 0), "prices": 0, "prices_repeated": 6, "changes": []})
    );
    let table = Run::of(&daemon, &["load", &file]).code(0);
    let lines: Vec<Vec<&str>> = table
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            vec!["kind", "new", "changed", "unchanged"],
            vec!["securities", "0", "0", "5"],
            vec!["indexes", "0", "0", "7"],
            vec!["revisions", "0", "0", "0"],
            vec!["actions", "0", "0", "0"],
            vec!["prices", "and", "rates", "0", "0", "6"],
        ]
    );
    Run::of(&daemon, &["load", &file, "-o", "csv"])
        .code(0)
        .shows("kind,new,changed,unchanged\nsecurities,0,0,5\n");
}

#[test]
fn days_load_together_or_one_by_one() {
    let day_3 = [
        "SMALL.PRICE 104.12",
        "SMALL.CAP 1235.06",
        "SMALL.EQUAL 117.11",
        "SMALL.FIXED 138.60",
        "SMALL.CONST 131.76",
        "SMALL.FX 1085.71",
        "SMALL.EUR 125.50",
    ];
    let [day_2_file, day_3_file] =
        ["day2", "day3"].map(|day| fixture(&format!("small/{day}.json")));
    let one_by_one = small();
    Run::of(&one_by_one, &["load", &day_2_file]).code(0);
    Run::of(&one_by_one, &["load", &day_3_file]).code(0);
    assert_eq!(levels(&one_by_one), day_3);
    let together = small();
    Run::of(&together, &["load", &day_2_file, &day_3_file]).code(0);
    assert_eq!(levels(&together), day_3);
    assert_ne!(day_3, DAY_1);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let daemon = daemon();
    let file = fixture("small/small.json");
    let dry = Run::of(&daemon, &["load", "--dry-run", &file, "-o", "json"])
        .code(0)
        .says("dry run, nothing applied");
    assert_eq!(dry.object()["indexes"]["new"], 7);
    assert!(levels(&daemon).is_empty());
    Run::of(&daemon, &["load", &file]).code(0);
    let files = Files::new();
    let changed = std::fs::read_to_string(&file).unwrap();
    let changed = changed.replace("Alder Timber", "Alder & Sons");
    let changed = files.write("changed.json", &changed);
    let line = "security AAA: name";
    Run::of(&daemon, &["load", "--dry-run", &changed])
        .code(0)
        .says(line);
    Run::of(&daemon, &["security", "show", "AAA"]).shows("Alder Timber");
    let real = Run::of(&daemon, &["load", &changed, "-o", "json"]).code(0);
    assert_eq!(real.object()["changes"], json!([line]));
    Run::of(&daemon, &["security", "show", "AAA"]).shows("Alder & Sons");
}

#[test]
fn wrong_input_is_told_with_its_place_and_nothing_is_sent() {
    let daemon = daemon();
    let files = Files::new();
    let check = |name: &str, text: &str, message: &str| {
        let path = files.write(name, text);
        Run::of(&daemon, &["load", &path])
            .code(2)
            .says(&message.replace(name, &path));
    };
    check("broken.json", "{\"prices\":\n [", "broken.json:2:2: EOF");
    check(
        "field.json",
        "{\n \"securitys\": []}",
        "field.json:2:12: unknown field `securitys`, expected one of",
    );
    check(
        "price.csv",
        "symbol,price\nAAA,1\nBBB,one\n",
        "price.csv:3: price `one`: not a decimal number",
    );
    check(
        "zero.json",
        r#"{"prices":[{"symbol":"AAA","price":"0"}]}"#,
        "zero.json: the price 0 of `AAA` is not above zero",
    );
    check("empty.json", "", "empty.json: empty");
    Run::of(&daemon, &["load", "/nowhere.json"])
        .code(2)
        .says("/nowhere.json: No such file");
    // Each file's complaints, not only those of the first.
    let [a, b] = [files.write("a.json", "{"), files.write("b.json", "[")];
    Run::of(&daemon, &["load", &a, &b])
        .code(2)
        .says("a.json:1:1")
        .says("b.json:1:1");
    // Nothing is sent: there is no broker at this address.
    let path = files.write("broken.json", "{");
    Run::of(&daemon, &["load", &path, "--url", "mqtt://127.0.0.1:1"]).code(2);
    assert!(levels(&daemon).is_empty());
}

#[test]
fn one_bad_definition_applies_nothing() {
    let daemon = daemon();
    let files = Files::new();
    let path = files.write(
        "bad.json",
        r#"{"securities": [{"symbol": "GOOD", "currency": "USD"}],
            "prices": [{"symbol": "GOOD", "price": "10"}],
            "indexes": [
            {"code": "FINE", "currency": "USD", "weighting": {"scheme": "price"},
             "base": {"value": 100}, "basket": [{"symbol": "GOOD"}]},
            {"code": "BAD", "currency": "USD", "weighting": {"scheme": "price"},
             "base": {"value": 100}, "basket": [{"symbol": "NOBODY"}]}]}"#,
    );
    Run::of(&daemon, &["load", &path])
        .code(1)
        .says("nothing was applied")
        .says("BAD")
        .says("NOBODY");
    assert!(levels(&daemon).is_empty());
    let status = Run::of(&daemon, &["status", "-o", "json"]).code(0).object();
    assert_eq!(
        (&status["securities"], &status["indexes"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn prices_come_as_csv_tall_wide_and_on_stdin() {
    let daemon = small();
    let files = Files::new();
    let tall = files.write(
        "tall.csv",
        "symbol,price,ts,venue\nAAA,22,2026-01-06T16:00:00Z,XNYS\nBBB,45,2026-01-06T16:00:00Z,\n",
    );
    Run::of(&daemon, &["load", &tall])
        .code(0)
        .says("the column `venue` is not part of a load");
    Run::of(&daemon, &["load", "-"]).code(2).says("-: empty");
    let wide = "date;CCC;DDD\n2026-01-06;110;\n2026-01-07;99;21\n";
    let stdin = Run::with_stdin(&daemon, &["load", "-", "-o", "json"], wide).code(0);
    assert_eq!(stdin.object()["prices"], 3);
    let prices = Run::of(&daemon, &["security", "list", "-o", "csv"]).code(0);
    let prices: Vec<&str> = prices.stdout.lines().collect();
    assert_eq!(
        prices,
        [
            "symbol,name,ccy,price,ts,life",
            "AAA,Alder Timber,USD,22.00,2026-01-06T16:00:00.000000Z,active",
            "BBB,Birch Bank,USD,45.00,2026-01-06T16:00:00.000000Z,active",
            "CCC,Cedar Chemicals,USD,99.00,2026-01-07T00:00:00.000000Z,active",
            "DDD,Dornbusch Druck,EUR,21.00,2026-01-07T00:00:00.000000Z,active",
            "EEE,Eiche Energie,EUR,10.00,2026-01-05T16:00:00.000000Z,active",
        ]
    );
    let json = r#"{"prices": [{"symbol": "AAA", "price": 23}]}"#;
    Run::with_stdin(&daemon, &["load", "-"], json).code(0);
    Run::of(&daemon, &["security", "show", "AAA"]).shows("23.00");
    Run::with_stdin(&daemon, &["load", "-"], "symbol,price\nNOBODY,1\n")
        .code(1)
        .says("price of NOBODY");
}
