//! `divisor index` over what is past: compositions, revisions, explanations, changes; and the verbs
//! that make and end an index.

use divisor_testkit::{Daemon, Options, Postgres, TestDatabase};
use serde_json::{Value, json};

use super::history::run;
use super::{Files, fixture};

/// The small universe with its three days, stored.
fn small_with_history() -> (Daemon, TestDatabase) {
    let database = Postgres::shared().database();
    let options = Options::sibling_of(env!("CARGO_BIN_EXE_divisor"));
    let daemon = options.http().database(&database.url()).start();
    for file in ["small/small.json", "small/day2.json", "small/day3.json"] {
        run(&daemon, &["load", &fixture(file)]).code(0);
    }
    stored(&daemon);
    (daemon, database)
}

/// Waits until everything that the daemon has taken is in PostgreSQL.
fn stored(daemon: &Daemon) {
    divisor_testkit::eventually("everything is stored", || {
        let status = run(daemon, &["status", "-o", "json"]).code(0).object();
        (status["pos"] == status["projected"]).then_some(())
    });
}

/// A person with the prices, coefficients, rates and the divisor gets each level that was published.
#[test]
fn levels_of_the_past_are_taken_apart() {
    let (daemon, _database) = small_with_history();
    let indexes = run(&daemon, &["index", "list", "-o", "json"])
        .code(0)
        .json();
    let mut explained = 0;
    for index in indexes {
        let code = index["code"].as_str().unwrap();
        let all = ["history", code, "--from", "2026-01-01", "-o", "json"];
        for level in run(&daemon, &all).code(0).json() {
            let ts = level["ts"].as_str().unwrap();
            let at = ["index", "explain", code, "--at", ts, "-o", "json"];
            let got = run(&daemon, &at).code(0).object();
            let of = &got["of"];
            assert_eq!(
                [&of["ts"], &got["rev"]],
                [&level["ts"], &level["rev"]],
                "{code}"
            );
            // Of several levels at one time it is the last.
            if of["seq"] == level["seq"] {
                assert_eq!(
                    [&got["level"], &of["level"]],
                    [&level["level"]; 2],
                    "{code} {ts}"
                );
                explained += 1;
            }
            let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
            let members = got["members"].as_array().unwrap();
            let product =
                |m: &Value| number(&m["price"]) * number(&m["coefficient"]) * number(&m["rate"]);
            let sum = members.iter().map(product).sum::<f64>() + number(&got["cash"]);
            let by_hand = sum / number(&got["divisor"]);
            assert!(
                (by_hand - number(&got["level"])).abs() < 0.006,
                "{code} {ts}: {by_hand}"
            );
        }
    }
    assert!(explained >= 15, "{explained} levels were explained");
    let now = run(&daemon, &["index", "explain", "SMALL.FX", "-o", "json"])
        .code(0)
        .object();
    let last = [
        "index",
        "explain",
        "SMALL.FX",
        "--at",
        "2027-01-01",
        "-o",
        "json",
    ];
    let last = run(&daemon, &last).code(0).object();
    assert_eq!(
        now["members"], last["members"],
        "the past ends at the present"
    );
    run(
        &daemon,
        &["index", "explain", "SMALL.FX", "--at", "2027-01-01"],
    )
    .code(0)
    .shows("  published");
    run(
        &daemon,
        &["index", "explain", "SMALL.FX", "--at", "2000-01-01"],
    )
    .code(2)
    .says("no level yet");
}

#[test]
fn revisions_are_listed_compared_and_traced() {
    let (daemon, _database) = small_with_history();
    let files = Files::new();
    let text = json!({ "revisions": [{ "id": "r1", "note": "BBB leaves", "indexes": [
        { "code": "SMALL.PRICE", "basket": [{ "symbol": "AAA" }, { "symbol": "DDD" }] }] }] });
    let revision = files.write("revision.json", &text.to_string());
    // DDD is in euros, which the index has a rate for.
    run(&daemon, &["load", &revision]).code(0);
    stored(&daemon);
    let list = ["index", "revisions", "SMALL.PRICE", "-o", "json"];
    let revisions = run(&daemon, &list).code(0).json();
    let last = revisions.last().unwrap();
    assert_eq!(last["cause"], "revision");
    let (old, new) = (
        (revisions.len() - 1).to_string(),
        revisions.len().to_string(),
    );
    let diff = ["index", "diff", "SMALL.PRICE", &old, &new];
    let got = run(&daemon, &[&diff[..], &["-o", "json"]].concat())
        .code(0)
        .object();
    let changed: Vec<(&str, &str)> = (got["members"].as_array().unwrap().iter())
        .map(|row| {
            (
                row["symbol"].as_str().unwrap(),
                row["change"].as_str().unwrap(),
            )
        })
        .collect();
    let (gone, come) = (("BBB", "deleted"), ("DDD", "added"));
    assert!(
        changed.contains(&gone) && changed.contains(&come),
        "{changed:?}"
    );
    assert_eq!(got["divisor"]["after"], last["divisor"]);
    run(&daemon, &diff).code(0).shows(" → ").shows("deleted");
    let composition = ["index", "composition", "SMALL.PRICE", "-o", "json"];
    let now = run(&daemon, &composition).code(0).object();
    assert_eq!(now["members"].as_array().unwrap().len(), 2);
    let then = run(
        &daemon,
        &[&composition[..], &["--at", "2026-01-06T23:00:00Z"]].concat(),
    );
    let then = then.code(0).object();
    assert_eq!(then["members"].as_array().unwrap().len(), 3);
    let by_revision = run(&daemon, &[&composition[..], &["--revision", &old]].concat());
    assert_eq!(
        by_revision.code(0).object()["divisor"],
        got["divisor"]["before"]
    );
    run(&daemon, &["index", "revisions", "NONE"])
        .code(2)
        .says("no index NONE");
}

#[test]
fn changes_are_traced() {
    let (daemon, _database) = small_with_history();
    let files = Files::new();
    let text = json!({ "revisions": [{ "id": "r1", "note": "BBB leaves", "indexes": [
        { "code": "SMALL.PRICE", "basket": [{ "symbol": "AAA" }, { "symbol": "DDD" }] }] }] });
    let revision = files.write("revision.json", &text.to_string());
    run(&daemon, &["load", &revision]).code(0);
    let renamed = json!({ "indexes": [{ "code": "SMALL.PRICE", "name": "Prices, plainly",
        "currency": "USD", "weighting": { "scheme": "price" }, "base": { "value": "100" },
        "basket": [{ "symbol": "AAA" }, { "symbol": "DDD" }] }] });
    let renamed = files.write("renamed.json", &renamed.to_string());
    let outcome = run(&daemon, &["load", &renamed]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    run(&daemon, &["halt", "SMALL.PRICE", "--note", "a look"]).code(0);
    stored(&daemon);
    let traced = run(&daemon, &["index", "history", "SMALL.PRICE", "-o", "json"])
        .code(0)
        .json();
    let texts: Vec<&str> = traced
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts[0], "created");
    assert_eq!(texts[1], "r1: BBB leaves");
    assert!(
        texts[2].starts_with("changed ") && texts[2].contains("name"),
        "{texts:?}"
    );
    assert_eq!(texts[3], "halt: a look");
    assert!(
        traced
            .iter()
            .all(|row| !row["by"].as_str().unwrap().is_empty())
    );
}

#[test]
fn simple_indexes_are_created_from_flags() {
    let (daemon, _database) = small_with_history();
    let flags = ["--currency", "USD", "--base", "100", "--members"];
    let create = |code: &str, more: &[&str]| {
        run(
            &daemon,
            &[&["index", "create", code], &flags[..], more].concat(),
        )
    };
    create("MINE", &["AAA=2,BBB", "--scheme", "price", "--dry-run"]).code(0);
    run(&daemon, &["index", "show", "MINE"]).code(1);
    create(
        "MINE",
        &["AAA=2,BBB", "--scheme", "price", "--name", "My own"],
    )
    .code(0);
    let shown = run(&daemon, &["index", "show", "MINE", "-o", "json"])
        .code(0)
        .object();
    assert_eq!(
        [&shown["row"]["level"], &shown["row"]["name"]],
        ["100.00", "My own"]
    );
    assert_eq!(
        shown["definition"]["basket"][0],
        json!({ "symbol": "AAA", "units": "2" })
    );
    create("MINE", &["AAA"]).code(1).says("there already");
    create("EQ", &["AAA=1", "--scheme", "equal"])
        .code(2)
        .says("no number");
    create("EQ", &["NONE", "--scheme", "equal"])
        .code(1)
        .says("NONE");
    create(
        "EQ",
        &["AAA,BBB", "--scheme", "equal", "--reset", "monthly"],
    )
    .code(0);
    let files = Files::new();
    let text = json!({ "indexes": [{ "code": "FILED", "currency": "USD", "base": { "value": 10 },
        "weighting": { "scheme": "price" }, "basket": [{ "symbol": "AAA" }] }] });
    let file = files.write("filed.json", &text.to_string());
    run(&daemon, &["index", "create", &file]).code(0);
    run(&daemon, &["index", "create", &file])
        .code(1)
        .says("there already");
    // Official closes are history of their own.
    run(&daemon, &["close", "MINE"]).code(0);
    stored(&daemon);
    let closes = run(&daemon, &["history", "MINE", "--closes", "-o", "json"])
        .code(0)
        .json();
    assert_eq!(closes.len(), 1);
    assert_eq!(
        [&closes[0]["level"], &closes[0]["status"]],
        ["100.00", "closed"]
    );
}

#[test]
fn definitions_retire_from_the_command_line() {
    let (daemon, _database) = small_with_history();
    let say = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        run(&daemon, &arguments)
    };
    say("index deactivate SMALL.PRICE NONE --note test")
        .code(3)
        .says("no index NONE");
    say("index list -o csv")
        .code(0)
        .shows("SMALL.PRICE,")
        .shows(",inactive");
    say("index deactivate SMALL.PRICE")
        .code(1)
        .says("SMALL.PRICE is inactive");
    say("security deactivate AAA").code(1).says("uses it");
    say("index reactivate SMALL.PRICE").code(0);
    say("index delete SMALL.PRICE")
        .code(1)
        .says("SMALL.PRICE is active");
    say("index rename SMALL.PRICE PLAIN").code(0);
    say("index show PLAIN").code(0);
    say("index deactivate PLAIN").code(0);
    say("index delete PLAIN").code(0);
    say("index show PLAIN").code(1).says("no index PLAIN");
    stored(&daemon);
    let traced = say("index history PLAIN -o json").code(0).json();
    let texts: Vec<&str> = traced
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    let expected = [
        "created",
        "deactivate: test",
        "reactivate",
        "rename to PLAIN",
        "deactivate",
        "delete",
    ];
    assert_eq!(texts, expected);
    say("history SMALL.PRICE -n 1 -o json")
        .code(0)
        .shows("inactive");
    say("index revisions PLAIN").code(0).shows("base");
}

/// A price was wrong: what was published and what is right are read side by side.
#[test]
fn the_corrected_past_is_shown_beside_the_published_one() {
    let (daemon, _database) = small_with_history();
    let reason = ["--reason", "two digits exchanged"];
    let price = |more: &[&'static str]| {
        let ts = "2026-01-06T16:00:00Z";
        let verb = ["correct", "price", "CCC", "--ts", ts, "--price", "101"];
        run(&daemon, &[&verb[..], &reason[..], more].concat())
    };
    price(&["--dry-run"]).code(0).shows("SMALL.EQUAL");
    run(&daemon, &["correct", "show", "1"])
        .code(2)
        .says("no correction 1");
    price(&[]).code(0).shows("restated");
    stored(&daemon);
    let listed = run(&daemon, &["correct", "list", "-o", "json"])
        .code(0)
        .json();
    let show = ["correct", "show", "1"];
    let shown = divisor_testkit::eventually("the run counts", || {
        let shown = run(&daemon, &[&show[..], &["-o", "json"]].concat());
        let shown = shown.code(0).object();
        shown["recorded"].is_string().then_some(shown)
    });
    for part in ["run", "what", "reason", "by", "time", "state", "with"] {
        assert_eq!(shown[part], listed[0][part], "{part}");
    }
    let equal = (shown["indexes"].as_array().unwrap().iter())
        .find(|row| row["code"] == "SMALL.EQUAL")
        .unwrap();
    assert_eq!(equal["policy"], "full", "{shown}");
    let count = |part: &str| equal[part].as_u64().unwrap();
    assert!(count("levels") > 0 && count("revisions") > 0, "{shown}");
    let table = run(&daemon, &show).code(0);
    table.shows("two digits exchanged").shows("counts since");

    let revisions = |more: &[&'static str]| {
        let list = ["index", "revisions", "SMALL.EQUAL", "-o", "json"];
        run(&daemon, &[&list[..], more].concat()).code(0).json()
    };
    let restated = (revisions(&[]).into_iter().rev()).find(|row| row["run"] == 1);
    let number = restated.unwrap()["revision"].as_u64().unwrap();
    assert!(
        revisions(&["--as-of", "published"])
            .iter()
            .all(|row| row["run"] == 0)
    );
    let (was, is) = (format!("{number}@0"), format!("{number}@1"));
    let diff = run(&daemon, &["index", "diff", "SMALL.EQUAL", &was, &is]);
    diff.code(0).shows("(restated)").shows("changed");
    run(&daemon, &["index", "diff", "SMALL.EQUAL", "1", "2@x"])
        .code(2)
        .says("5@2");

    let explain = |as_of: &'static str| {
        let at = ["--at", "2026-01-06T23:00:00Z", "--as-of", as_of];
        let verb = ["index", "explain", "SMALL.EQUAL", "-o", "json"];
        let got = run(&daemon, &[&verb[..], &at].concat()).code(0).object();
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        assert_eq!(number(&got["level"]), number(&got["of"]["level"]), "{got}");
        let ccc = (got["members"].as_array().unwrap().iter())
            .find(|member| member["symbol"] == "CCC")
            .unwrap();
        (got["of"]["run"].clone(), number(&ccc["price"]))
    };
    assert_eq!(explain("now"), (json!(1), 101.0));
    assert_eq!(explain("published"), (json!(0), 110.0));
}
