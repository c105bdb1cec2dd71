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
