//! What is true now.

use divisor_testkit::eventually;
use serde_json::{Value, json};

use super::client::{get, get_with, json as get_json, send};
use super::{price, with_pair};

#[test]
fn lists_and_facts_agree_with_mqtt() {
    let (daemon, desk) = with_pair();
    price(&desk, "AAA", "21.5", "2026-01-05T17:00:00Z");
    let row = eventually("the level", || {
        let row = get_json(&daemon, "/api/v1/indexes")["rows"][0].clone();
        (row["level"] == "71.50").then_some(row)
    });
    let expected = json!({
        "code": "PAIR", "name": null, "currency": "USD", "weighting": "fixed_units",
        "constituents": 2, "missing": 0, "level": "71.50", "chg": null, "chg_pct": null,
        "prev_close": null, "ts": "2026-01-05T17:00:00.000000Z", "ts_calc": row["ts_calc"],
        "seq": 2, "rev": row["rev"], "status": "live", "stale": 0,
    });
    assert_eq!(row, expected);
    let facts = get_json(&daemon, "/api/v1/indexes/PAIR");
    assert_eq!(facts["row"], row);
    let shown = desk.done("index.show", json!({ "code": "PAIR" }));
    for key in ["definition", "divisor", "cash"] {
        assert_eq!(facts[key], shown[key], "{key}");
    }
    let member = &facts["members"][0];
    assert_eq!(member["symbol"], "AAA");
    assert_eq!(member["price"], "21.50");
    assert_eq!(member["ts"], "2026-01-05T17:00:00.000000Z");
    assert_eq!(member["weight"], shown["members"][0]["weight"]);
    let security = get_json(&daemon, "/api/v1/securities/AAA");
    assert_eq!(security["row"]["price"], "21.50");
    assert_eq!(security["indexes"], json!(["PAIR"]));
    let status = get_json(&daemon, "/api/v1/status");
    assert_eq!(status["indexes"], 1);
    assert_eq!(
        status["feed"]["accepted"], 3,
        "two of the load, one of the feed"
    );
}

#[test]
fn a_topic_holds_what_a_subscriber_gets() {
    let (daemon, desk) = with_pair();
    price(&desk, "AAA", "21.5", "2026-01-05T17:00:00Z");
    let message = eventually("the level", || {
        let message = get_json(&daemon, "/api/v1/topics/indexes/PAIR/level");
        let payload = message["payload"].as_str().unwrap_or_default();
        payload.contains(r#""level":"71.50""#).then_some(message)
    });
    assert_eq!(message["topic"], "indexes/PAIR/level");
    assert_eq!(message["retained"], true);
    let level: Value = serde_json::from_str(message["payload"].as_str().unwrap()).unwrap();
    assert_eq!(level["index"], "PAIR");
    assert_eq!(level["seq"], 2);
    let status = get_json(&daemon, "/api/v1/topics/divisor/status");
    assert!(status["payload"].as_str().unwrap().contains("online"));
    assert_eq!(
        get(&daemon, "/api/v1/topics/indexes/PAIR/event").status,
        404
    );
}

#[test]
fn pages_follow_each_other() {
    let (daemon, _desk) = with_pair();
    let first = get(&daemon, "/api/v1/securities?limit=1");
    assert_eq!(first.json()["rows"][0]["symbol"], "AAA");
    assert_eq!(first.json()["next"], "AAA");
    assert_eq!(first.header("link"), "<?limit=1&after=AAA>; rel=\"next\"");
    let second = get_json(&daemon, "/api/v1/securities?limit=1&after=AAA");
    assert_eq!(second["rows"][0]["symbol"], "BBB");
    assert_eq!(second["next"], Value::Null);
    let csv = get(&daemon, "/api/v1/securities.csv?limit=1");
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(
        csv.text(),
        "symbol,name,currency,price,ts,life\nAAA,,USD,20.00,2026-01-05T16:00:00.000000Z,active\n"
    );
    assert_eq!(csv.header("link"), "<?limit=1&after=AAA>; rel=\"next\"");
    let csv = get_with(&daemon, "/api/v1/indexes", &[("accept", "text/csv")]).text();
    assert!(csv.starts_with("code,name,currency,"), "{csv}");
}

#[test]
fn what_makes_no_sense_is_a_problem() {
    let (daemon, _desk) = with_pair();
    let check = |method: &str, path: &str, status: u16, detail: &str| {
        let answer = send(&daemon, method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        let said = problem["detail"].as_str().unwrap();
        assert!(said.contains(detail), "{path}: {said}");
    };
    check("GET", "/api/v1/indexes/NONE", 404, "no index NONE");
    check("GET", "/api/v1/indexes?after=NONE", 404, "no index NONE");
    check("GET", "/api/v1/securities/NONE", 404, "no security NONE");
    check(
        "GET",
        "/api/v1/securities?after=NONE",
        404,
        "no security NONE",
    );
    check("GET", "/api/v1/indexes?limit=0", 400, "limit");
    check("GET", "/api/v1/indexes?limit=many", 400, "");
    check("GET", "/api/v1/indexes?colour=red", 400, "colour");
    check("GET", "/api/v1/stream?index=NONE", 404, "no index NONE");
    check("GET", "/api/v1/stream?code=PAIR", 400, "index");
    check("GET", "/api/v1/nothing", 404, "no such page");
    check("GET", "/../Cargo.toml", 404, "");
    check("GET", "/%2e%2e/Cargo.toml", 404, "");
    check("POST", "/api/v1/indexes", 405, "reads");
    check("DELETE", "/api/v1/indexes/PAIR", 405, "reads");
    let csv = get_with(&daemon, "/api/v1/status", &[("accept", "text/csv")]);
    assert_eq!(csv.status, 406);
}

#[test]
fn answers_are_tagged_compressed_and_safe() {
    let (daemon, _desk) = with_pair();
    let page = get(&daemon, "/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    for name in ["unsafe", "http:", "https:", "*"] {
        assert!(!policy.contains(name), "{policy}");
    }
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let facts = get(&daemon, "/api/v1/indexes/PAIR");
    let tag = facts.header("etag").to_owned();
    let same = get_with(&daemon, "/api/v1/indexes/PAIR", &[("if-none-match", &tag)]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), tag);
    let small = get_with(
        &daemon,
        "/api/v1/indexes/PAIR",
        &[("accept-encoding", "gzip")],
    );
    assert_eq!(small.header("content-encoding"), "gzip");
    assert_eq!(small.header("etag"), tag, "a weak tag names the content");
    assert!(small.body.len() < facts.body.len());
    assert_eq!(small.body[..2], [0x1f, 0x8b]);
    assert_eq!(facts.header("access-control-allow-origin"), "");
}

#[test]
fn probes_answer() {
    let (mut daemon, _desk) = with_pair();
    assert_eq!(get(&daemon, "/healthz").text(), "ok\n");
    let ready = get(&daemon, "/readyz");
    assert_eq!(
        (ready.status, ready.json()),
        (200, json!({ "ready": true, "reasons": [], "degraded": [] }))
    );
    assert!(daemon.stop().success());
}
