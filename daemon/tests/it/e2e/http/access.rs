//! Who sees what: the users of MQTT, by Basic or by a session's cookie.

use std::path::Path;

use divisor_testkit::{Daemon, Options};
use divisord::access::{Change, change};
use serde_json::json;

use super::client::{Answer, get, get_with, send};
use super::{daemon, pair};
use crate::e2e::Mqtt;

/// `ann:ann-pw`, who may see all; `one:one-pw`, who may see PAIR alone; `lvl:lvl-pw`, who may see its
/// level; `not:not-pw`, who may see nothing; and a wrong password.
const ANN: (&str, &str) = ("authorization", "Basic YW5uOmFubi1wdw==");
const ONE: (&str, &str) = ("authorization", "Basic b25lOm9uZS1wdw==");
const LVL: (&str, &str) = ("authorization", "Basic bHZsOmx2bC1wdw==");
const NOT: (&str, &str) = ("authorization", "Basic bm90Om5vdC1wdw==");
const WRONG: (&str, &str) = ("authorization", "Basic YW5uOndyb25n");

/// Everybody, in the order of what they may.
const CALLERS: [&[(&str, &str)]; 6] = [&[], &[WRONG], &[NOT], &[LVL], &[ONE], &[ANN]];

fn users(path: &Path) {
    let admin = ["admin".to_owned()];
    for (name, roles, grant) in [
        ("ann", &admin[..], ""),
        ("one", &[], "\"indexes/PAIR/#\""),
        ("lvl", &[], "\"indexes/PAIR/level\""),
        ("not", &[], ""),
    ] {
        let new = Change {
            password: Some(&format!("{name}-pw")),
            roles,
            ..Change::default()
        };
        change(path, name, &new).unwrap();
        // The user that was added stands at the end.
        let mut text = std::fs::read_to_string(path).unwrap();
        text.push_str(&format!("subscribe = [{grant}]\n"));
        std::fs::write(path, text).unwrap();
    }
}

/// A daemon that has users, and knows `PAIR` and `OTHER`.
fn with_users() -> (Daemon, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let start = |options: Options| options.http().state(&state).start();
    // Loaded while everybody on this machine may.
    let mut open = start(daemon());
    let desk = Mqtt::v5(&open, "desk");
    desk.load(&pair());
    let other = super::sum_of("OTHER", &["AAA"], json!({ "mode": "tick" }));
    desk.load(&json!({ "indexes": [other] }));
    assert!(open.stop().success());
    let path = dir.path().join("users.toml");
    users(&path);
    let file = format!("access.users_file={}", path.display());
    (start(daemon().set(&file)), dir)
}

fn post(daemon: &Daemon, headers: &[(&str, &str)], body: &str) -> Answer {
    let json = [("content-type", "application/json")];
    send(
        daemon,
        "POST",
        "/api/v1/session",
        &[&json, headers].concat(),
        body,
    )
}

#[test]
fn a_user_and_a_password_are_asked_for() {
    let (daemon, _dir) = with_users();
    let check = |path: &str, headers: &[(&str, &str)], status: u16| {
        let answer = get_with(&daemon, path, headers);
        assert_eq!(
            answer.status,
            status,
            "{path} {headers:?}: {}",
            answer.text()
        );
        answer
    };
    // What says nothing of Divisor's data is for everybody.
    for path in ["/", "/healthz", "/readyz", "/api/v1/openapi.json"] {
        check(path, &[], 200);
    }
    for path in [
        "/api/v1/indexes",
        "/api/v1/indexes/PAIR",
        "/api/v1/indexes/PAIR/levels",
        "/api/v1/events",
        "/api/v1/securities/AAA/prices",
        "/api/v1/status",
        "/api/v1/stream",
        "/api/v1/session",
        "/metrics",
    ] {
        let answer = check(path, &[], 401);
        assert!(answer.header("www-authenticate").starts_with("Basic"));
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let asked = check("/api/v1/indexes", &[("sec-fetch-mode", "cors")], 401);
    assert_eq!(
        asked.header("www-authenticate"),
        "",
        "the page has a form of its own"
    );
    check("/api/v1/indexes", &[WRONG], 401);
    check("/api/v1/indexes", &[("authorization", "Bearer x")], 400);
    let seen = check("/api/v1/indexes", &[ANN], 200).json();
    assert_eq!(seen["rows"].as_array().unwrap().len(), 2);
    check("/metrics", &[ANN], 200);
    let who = check("/api/v1/session", &[ANN], 200).json();
    assert_eq!(who, json!({ "user": "ann" }));
}

/// What an index has in PostgreSQL, for those who may see its levels.
const STORED: [&str; 7] = [
    "levels",
    "levels.csv",
    "candles",
    "revisions",
    "composition?at=2026-01-05",
    "explain?at=2026-01-05",
    "closes",
];

/// Every route for everybody: nobody, a wrong password, one who has no rights but the daemon's
/// status, one who has an index, one who has only its level, and one who has all. History is 503
/// where it is allowed, since there is no database.
#[test]
fn every_route_asks_who_it_is() {
    let (daemon, _dir) = with_users();
    let check = |path: &str, expected: [u16; 6]| {
        let got = CALLERS.map(|headers| super::client::status(&daemon, path, headers));
        assert_eq!(got, expected, "{path}");
    };
    check("/", [200; 6]);
    check("/healthz", [200; 6]);
    check("/readyz", [200; 6]);
    check("/api/v1/openapi.json", [200; 6]);
    check("/api/v1/nothing", [404; 6]);
    let known = [401, 401, 200, 200, 200, 200];
    check("/metrics", known);
    for path in ["status", "session", "indexes", "indexes.csv", "securities"] {
        check(&format!("/api/v1/{path}"), known);
    }
    check("/api/v1/events", [401, 401, 503, 503, 503, 503]);
    check(
        "/api/v1/sparklines?index=OTHER",
        [401, 401, 503, 503, 503, 503],
    );
    let index = |found| [401, 401, 403, found, found, found];
    check("/api/v1/indexes/PAIR", index(200));
    check("/api/v1/indexes/PAIR/composition", index(200));
    for path in STORED {
        check(&format!("/api/v1/indexes/PAIR/{path}"), index(503));
    }
    check(
        "/api/v1/indexes/PAIR/events",
        [401, 401, 403, 403, 503, 503],
    );
    check(
        "/api/v1/indexes/PAIR/changes",
        [401, 401, 403, 403, 503, 503],
    );
    let all = |found| [401, 401, 403, 403, 403, found];
    for path in ["", "/composition"] {
        check(&format!("/api/v1/indexes/OTHER{path}"), all(200));
        check(&format!("/api/v1/indexes/NONE{path}"), all(404));
    }
    for path in STORED.iter().chain(&["events", "changes"]) {
        check(&format!("/api/v1/indexes/OTHER/{path}"), all(503));
        check(&format!("/api/v1/indexes/NONE/{path}"), all(404));
    }
    check("/api/v1/securities/AAA", all(200));
    check("/api/v1/securities/NONE", all(404));
    check("/api/v1/securities/AAA/prices", all(503));
    check(
        "/api/v1/securities?after=AAA",
        [401, 401, 404, 404, 404, 200],
    );
    check("/api/v1/corrections", all(200));
    check("/api/v1/corrections.csv", all(200));
    check("/api/v1/corrections/1", all(404));
    check("/api/v1/stream?index=OTHER", all(200));
    check("/api/v1/stream?index=PAIR", index(200));
}

/// What lies on a topic, and whether anything does, is told to those who might subscribe.
#[test]
fn every_topic_asks_who_it_is() {
    let (daemon, _dir) = with_users();
    let check = |topic: &str, expected: [u16; 6]| {
        let path = format!("/api/v1/topics/{topic}");
        let got = CALLERS.map(|headers| super::client::status(&daemon, &path, headers));
        assert_eq!(got, expected, "{topic}");
    };
    let known = [401, 401, 200, 200, 200, 200];
    let index = |found| [401, 401, 403, found, found, found];
    let all = |found| [401, 401, 403, 403, 403, found];
    check("divisor/status", known);
    check("indexes/PAIR/level", index(200));
    check("indexes/PAIR/event", [401, 401, 403, 403, 404, 404]);
    check("indexes/OTHER/level", all(200));
    check("indexes/NONE/level", all(404));
    check("securities/AAA/price", all(404));
    check("divisor/reply/x/1", all(404));
    check("indexes/+/level", all(404));
    check("weather/oslo", all(404));
}

/// What a page shows beside an index is hidden as well, where it is somebody else's.
#[test]
fn prices_of_members_need_their_own_right() {
    let (daemon, _dir) = with_users();
    let members = |path: &str, headers| get_with(&daemon, path, headers).json()["members"].clone();
    for path in ["/api/v1/indexes/PAIR", "/api/v1/indexes/PAIR/composition"] {
        let seen = members(path, &[ANN]);
        assert_eq!(seen[0]["price"], "20.00", "{path}");
        assert!(seen[0]["weight"].is_string(), "{path}");
        let hidden = members(path, &[ONE]);
        assert_eq!(hidden[0]["symbol"], "AAA");
        assert_eq!(hidden[0]["coefficient"], seen[0]["coefficient"]);
        for key in ["price", "weight"] {
            assert_eq!(hidden[0][key], json!(null), "{path} {key}");
        }
    }
    let holders = |headers| get_with(&daemon, "/api/v1/securities/AAA", headers).json();
    assert_eq!(holders(&[ANN])["indexes"], json!(["PAIR", "OTHER"]));
}

#[test]
fn rights_are_those_of_mqtt() {
    let (daemon, _dir) = with_users();
    let status = |path: &str| get_with(&daemon, path, &[ONE]).status;
    let list = get_with(&daemon, "/api/v1/indexes", &[ONE]).json();
    assert_eq!(list["rows"].as_array().unwrap().len(), 1);
    assert_eq!(list["rows"][0]["code"], "PAIR");
    assert_eq!(status("/api/v1/indexes/PAIR"), 200);
    assert_eq!(status("/api/v1/indexes/OTHER"), 403);
    assert_eq!(status("/api/v1/indexes/OTHER/levels"), 403);
    assert_eq!(
        status("/api/v1/indexes/PAIR/levels"),
        503,
        "there is no database"
    );
    assert_eq!(status("/api/v1/securities/AAA"), 403);
    assert_eq!(
        status("/api/v1/status"),
        200,
        "which everybody may read over MQTT"
    );
    let metrics = get_with(&daemon, "/metrics", &[ONE]).text();
    assert!(metrics.contains("{index=\"PAIR\"}") && !metrics.contains("OTHER"));
    assert_eq!(status("/api/v1/stream?index=OTHER"), 403);
    let securities = get_with(&daemon, "/api/v1/securities", &[ONE]).json();
    assert_eq!(securities["rows"], json!([]));
    let mut stream = super::client::Stream::open_with(&daemon, "", &[ONE]);
    let first = stream.wait("snapshot").data;
    assert_eq!(first["levels"].as_array().unwrap().len(), 1);
}

#[test]
fn a_session_lasts_until_it_is_ended() {
    let (daemon, _dir) = with_users();
    assert_eq!(
        post(&daemon, &[], r#"{"user":"ann","password":"no"}"#).status,
        401
    );
    assert_eq!(post(&daemon, &[], r#"{"user":"ann"}"#).status, 400);
    let form = [("content-type", "text/plain")];
    let body = r#"{"user":"ann","password":"ann-pw"}"#;
    let foreign = send(&daemon, "POST", "/api/v1/session", &form, body);
    assert_eq!(foreign.status, 400, "what a foreign page's form could send");
    let answer = post(&daemon, &[("x-forwarded-proto", "https")], body);
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({ "user": "ann" }))
    );
    let cookie = answer.header("set-cookie").to_owned();
    for word in ["HttpOnly", "SameSite=Strict", "Secure"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap().to_owned();
    let with = |cookie: &str| get_with(&daemon, "/api/v1/indexes", &[("cookie", cookie)]).status;
    assert_eq!(with(&pair), 200);
    assert_eq!(with("divisor_session=0"), 401);
    let mut stream = super::client::Stream::open_with(&daemon, "", &[("cookie", &pair)]);
    stream.wait("snapshot");
    let out = send(
        &daemon,
        "DELETE",
        "/api/v1/session",
        &[("cookie", &pair)],
        "",
    );
    assert_eq!(out.status, 204);
    assert_eq!(with(&pair), 401);
}

#[test]
fn sessions_and_streams_end_with_the_password_they_began_with() {
    let (daemon, dir) = with_users();
    let body = r#"{"user":"ann","password":"ann-pw"}"#;
    let answer = post(&daemon, &[("x-forwarded-proto", "https")], body);
    let cookie = answer.header("set-cookie").to_owned();
    let pair = [("cookie", cookie.split(';').next().unwrap())];
    let mut hers = super::client::Stream::open_with(&daemon, "", &pair);
    hers.wait("snapshot");
    let fresh = Change {
        password: Some("fresh"),
        ..Change::default()
    };
    change(&dir.path().join("users.toml"), "ann", &fresh).unwrap();
    daemon.reload("reloaded the users and their rights");
    while hers.next().is_some() {}
    assert_eq!(get_with(&daemon, "/api/v1/indexes", &pair).status, 401);
    assert_eq!(post(&daemon, &[], body).status, 401);
    let body = r#"{"user":"ann","password":"fresh"}"#;
    assert_eq!(post(&daemon, &[], body).status, 200);
    // Who has nothing to do with it goes on.
    assert_eq!(get_with(&daemon, "/api/v1/indexes", &[ONE]).status, 200);
}

#[test]
fn without_users_only_this_machine_is_let_in() {
    let daemon = daemon().http().start();
    assert_eq!(get(&daemon, "/api/v1/indexes").status, 200);
    let told = [("x-forwarded-for", "192.0.2.7")];
    assert_eq!(get_with(&daemon, "/api/v1/indexes", &told).status, 401);
    let state = tempfile::tempdir().unwrap();
    let options = super::daemon().set("http.listen=0.0.0.0:0");
    let output = options.command(state.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("http.listen"), "{said}");
}
