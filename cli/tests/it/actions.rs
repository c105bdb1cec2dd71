//! `divisor action`: announced, previewed, cancelled, and applied on its day.

use serde_json::json;

use super::{Files, Run, daemon, fixture, levels};

#[test]
fn an_action_is_announced_previewed_and_applied_on_its_day() {
    let daemon = daemon();
    Run::of(&daemon, &["load", &fixture("actions/universe.json")]).code(0);
    let before = levels(&daemon);
    let rights = fixture("actions/rights.json");
    let preview = Run::of(
        &daemon,
        &["action", "preview", "--file", &rights, "-o", "json"],
    )
    .code(0);
    let preview = preview.object();
    assert_eq!(preview["price"], json!({"before": "100", "after": "94"}));
    let value = &preview["indexes"][0];
    assert_eq!(
        (&value["code"], &value["level"]["after"]),
        (&json!("VALUE"), &json!("1000.00"))
    );
    assert_eq!(
        value["members"][0]["shares"],
        json!({"before": "1000", "after": "1250"})
    );

    let split = fixture("actions/split.json");
    Run::of(&daemon, &["action", "add", &split, &rights, "--dry-run"]).code(0);
    Run::of(&daemon, &["action", "list", "-o", "csv"])
        .code(0)
        .shows("action,kind,of,ex_date,due,state,note\n");
    Run::of(&daemon, &["action", "add", &split, &rights])
        .code(0)
        .shows("actions");
    Run::of(&daemon, &["action", "cancel", "2026-06-10-ALFA-RIGHTS"])
        .code(0)
        .says("is cancelled");
    Run::of(&daemon, &["action", "add", &rights])
        .code(1)
        .says("is cancelled and stays so");
    Run::of(&daemon, &["action", "add", &split]).code(0);
    Run::of(&daemon, &["action", "cancel", "NOTHING"])
        .code(1)
        .says("no such action");
    let states = || {
        let list = Run::of(
            &daemon,
            &["action", "list", "--symbol", "ALFA", "-o", "json"],
        )
        .code(0);
        let state = |row: serde_json::Value| row["state"].as_str().unwrap().to_owned();
        list.json().into_iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(states(), ["announced", "cancelled"]);
    assert_eq!(levels(&daemon), before);

    let files = Files::new();
    let day = files.write(
        "day.csv",
        "symbol,price,ts\nBRAVO,40,2026-06-10\nALFA,25,2026-06-10\n",
    );
    Run::of(&daemon, &["load", &day]).code(0);
    assert_eq!(states(), ["applied", "cancelled"]);
    assert_eq!(levels(&daemon), before);
    Run::of(&daemon, &["action", "cancel", "2026-06-10-ALFA-SPLIT"])
        .code(1)
        .says("is applied already");
    let wrong = files.write("wrong.json", r#"{"prices":[{"symbol":"ALFA","price":1}]}"#);
    Run::of(&daemon, &["action", "add", &wrong]).code(2);
}

#[test]
fn a_review_is_planned_saved_announced_and_applied() {
    let daemon = daemon();
    Run::of(&daemon, &["load", &fixture("actions/universe.json")]).code(0);
    let before = levels(&daemon);
    let files = Files::new();
    let basket = files.write("basket.json", r#"[{"symbol":"ALFA"},{"symbol":"DELTA"}]"#);
    let plan = files.write("plan.json", "");
    let arguments = [
        "rebalance",
        "plan",
        "EQUAL",
        "--effective",
        "2026-06-10",
        "--basket",
        &basket,
    ];
    let planned = Run::of(
        &daemon,
        &[&arguments[..], &["--save", &plan, "-o", "json"]].concat(),
    )
    .code(0);
    let planned = planned.object();
    assert_eq!(planned["additions"], json!(["DELTA"]));
    assert_eq!(planned["deletions"], json!(["BRAVO", "CHARLIE"]));
    assert_eq!(planned["turnover"], "0.6666666666");
    assert_eq!(
        planned["members"][1]["weight"],
        json!({"before": null, "after": "0.5000000000"})
    );
    assert_eq!(
        planned["action"]["reference"][1],
        json!({"symbol": "DELTA", "price": "25"})
    );
    Run::of(&daemon, &[&arguments[..], &["-o", "csv"]].concat())
        .code(0)
        .shows("symbol,price,coefficient_before,coefficient_after,weight_before,weight_after\nALFA,100,");
    let shown = Run::of(&daemon, &["rebalance", "show", &plan, "-o", "json"]).code(0);
    assert_eq!(shown.object()["members"], planned["members"]);
    Run::of(&daemon, &["rebalance", "apply", &plan]).code(0);
    Run::of(&daemon, &["rebalance", "show", "2026-06-10-EQUAL"])
        .code(0)
        .shows("turnover");
    assert_eq!(levels(&daemon), before, "nothing before its day");
    // Half of the move from the reference date to the effective day is DELTA's.
    let day = files.write(
        "day.csv",
        "symbol,price,ts\nALFA,100,2026-06-10\nDELTA,30,2026-06-10\n",
    );
    Run::of(&daemon, &["load", &day]).code(0);
    assert_eq!(levels(&daemon)[2], "EQUAL 1100.00");
    // A calculator gives the level again.
    let parts = Run::of(&daemon, &["index", "explain", "EQUAL", "-o", "json"])
        .code(0)
        .object();
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let sum: f64 = parts["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| number(&m["price"]) * number(&m["coefficient"]) * number(&m["rate"]))
        .sum();
    assert!(
        (sum / number(&parts["divisor"]) - 1100.0).abs() < 1e-9,
        "{parts}"
    );
    assert_eq!(parts["level"], "1100.00");
    Run::of(&daemon, &["index", "explain", "EQUAL"])
        .code(0)
        .shows("2 places, half_up");
}
