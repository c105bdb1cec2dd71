//! The server against its own description: every real answer is one that `docs/openapi.json` allows.

use divisor_testkit::{Postgres, eventually};
use serde_json::{Map, Value, json};

use super::client::{get, get_with};
use super::{Mqtt, daemon, pair, with_pair};

/// A validator of the part of JSON Schema that the description uses; what it does not know fails.
struct Schema<'a> {
    document: &'a Value,
}

impl Schema<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = schema.as_object().ok_or(format!("{at}: no schema"))?;
        for (keyword, rule) in schema {
            self.keyword(schema, keyword, rule, value, at)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{at}: {why}: {value} against {keyword} {rule}"));
        match keyword {
            "description" | "default" => Ok(()),
            "$ref" => {
                let path = rule.as_str().unwrap().trim_start_matches('#');
                let target = self.document.pointer(path);
                self.check(target.ok_or(format!("{at}: {path} is nowhere"))?, value, at)
            }
            "anyOf" => {
                let mut ways = rule.as_array().unwrap().iter();
                match ways.any(|way| self.check(way, value, at).is_ok()) {
                    true => Ok(()),
                    false => fail("none fits"),
                }
            }
            "type" if has_type(rule, value) => Ok(()),
            "type" => fail("wrong type"),
            "enum" if rule.as_array().unwrap().contains(value) => Ok(()),
            "enum" => fail("not one of them"),
            "minimum" if !value.is_number() || value.as_f64() >= rule.as_f64() => Ok(()),
            "minimum" => fail("too small"),
            "pattern" => match value.as_str() {
                Some(text) if !is_decimal(text) => fail("no decimal"),
                _ => Ok(()),
            },
            "format" => match value.as_str() {
                Some(text) if text.parse::<jiff::Timestamp>().is_err() => fail("no time"),
                _ => Ok(()),
            },
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                for (place, item) in items {
                    self.check(rule, item, &format!("{at}[{place}]"))?;
                }
                Ok(())
            }
            "required" => {
                let names = rule.as_array().unwrap().iter().filter_map(Value::as_str);
                match value.as_object() {
                    Some(object) => match names.into_iter().find(|n| !object.contains_key(*n)) {
                        Some(name) => fail(&format!("`{name}` is missing")),
                        None => Ok(()),
                    },
                    None => Ok(()),
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        self.check(rule, value, &format!("{at}.{name}"))?;
                    }
                }
                Ok(())
            }
            "additionalProperties" => self.additional(schema, rule, value, at),
            _ => fail("a keyword that the test does not know"),
        }
    }

    fn additional(
        &self,
        schema: &Map<String, Value>,
        rule: &Value,
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, value) in value.as_object().into_iter().flatten() {
            if known.is_some_and(|known| known.contains_key(name)) {
                continue;
            }
            if rule == &Value::Bool(false) {
                return Err(format!("{at}: `{name}` is not described"));
            }
            self.check(rule, value, &format!("{at}.{name}"))?;
        }
        Ok(())
    }
}

fn has_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let names = rule
        .as_array()
        .map_or(std::slice::from_ref(rule), Vec::as_slice);
    names.iter().filter_map(Value::as_str).any(is)
}

/// The only pattern of the description.
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    match text.split_once('.') {
        Some((whole, places)) => digits(whole) && digits(places),
        None => digits(text),
    }
}

/// Checks an answer against what the description says of its path, status and type.
pub(super) fn check(document: &Value, path: &str, answer: &super::client::Answer) {
    let described = &document["paths"][path]["get"]["responses"];
    let status = answer.status.to_string();
    let content = &described[&status]["content"];
    let content_type = answer.header("content-type");
    let bare = content_type.split(';').next().unwrap_or_default();
    let schema = &content[bare]["schema"];
    assert!(
        !schema.is_null(),
        "{path}: {status} {bare} is not described"
    );
    if bare.ends_with("json") {
        let outcome = Schema { document }.check(schema, &answer.json(), path);
        assert_eq!(outcome, Ok(()));
    }
}

#[test]
fn answers_are_as_described() {
    let (daemon, _desk) = with_pair();
    let document = get(&daemon, "/api/v1/openapi.json").json();
    let live = [
        ("/api/v1/indexes", "/api/v1/indexes"),
        ("/api/v1/indexes", "/api/v1/indexes.csv"),
        ("/api/v1/indexes", "/api/v1/indexes?limit=0"),
        ("/api/v1/indexes/{code}", "/api/v1/indexes/PAIR"),
        ("/api/v1/indexes/{code}", "/api/v1/indexes/NONE"),
        ("/api/v1/securities", "/api/v1/securities"),
        ("/api/v1/securities/{symbol}", "/api/v1/securities/AAA"),
        ("/api/v1/securities/{symbol}", "/api/v1/securities/NONE"),
        ("/api/v1/status", "/api/v1/status"),
        (
            "/api/v1/topics/{topic}",
            "/api/v1/topics/indexes/PAIR/level",
        ),
        ("/api/v1/topics/{topic}", "/api/v1/topics/divisor/status"),
        ("/api/v1/topics/{topic}", "/api/v1/topics/no/such"),
        ("/healthz", "/healthz"),
        ("/readyz", "/readyz"),
        ("/metrics", "/metrics"),
    ];
    for (path, target) in live {
        check(&document, path, &get(&daemon, target));
    }
    let mut stream = super::client::Stream::open(&daemon, "");
    let snapshot = stream.wait("snapshot").data;
    let schema = &document["components"]["schemas"]["Snapshot"];
    let outcome = Schema {
        document: &document,
    }
    .check(schema, &snapshot, "snapshot");
    assert_eq!(outcome, Ok(()));
}

/// The same of history, of a daemon with a database.
#[test]
fn history_is_as_described() {
    let database = Postgres::shared().database();
    let daemon = daemon().http().database(&database.url()).start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    desk.publish(
        "securities/AAA/price",
        r#"{"price":"21","size":"5","venue":"X"}"#.to_owned(),
    );
    desk.wait_acked();
    desk.wait_projected();
    let document = get(&daemon, "/api/v1/openapi.json").json();
    let index = "/api/v1/indexes/{code}";
    for (path, query) in [
        ("levels", "?limit=1&from=2026-01-01"),
        ("levels", "?limit=none"),
        ("candles", "?limit=1&from=2026-01-01&step=1d"),
        ("candles", "?step=1s"),
        ("composition", ""),
        ("composition", "?at=2026-01-06"),
        ("composition", "?at=2000-01-01"),
        ("composition", "?revision=1"),
        ("composition", "?revision=99"),
        ("revisions", ""),
        ("explain", ""),
        ("explain", "?at=2026-01-06"),
        ("explain", "?at=2000-01-01"),
        ("changes", ""),
        ("closes", ""),
        ("closes", "?from=soon"),
        ("events", ""),
    ] {
        let answer = get(&daemon, &format!("/api/v1/indexes/PAIR/{path}{query}"));
        check(&document, &format!("{index}/{path}"), &answer);
        let csv = get_with(
            &daemon,
            &format!("/api/v1/indexes/PAIR/{path}{query}"),
            &CSV,
        );
        check(&document, &format!("{index}/{path}"), &csv);
    }
    check(&document, "/api/v1/events", &get(&daemon, "/api/v1/events"));
    let what = json!({ "price": { "symbol": "AAA", "ts": "2026-01-05T16:00:00Z", "price": "21" } });
    let body = json!({ "correction": { "what": what, "reason": "a test" } });
    desk.done("correct.add", body);
    let correction = eventually("a correction counts", || {
        let found = get(&daemon, "/api/v1/corrections/1");
        found.json()["recorded"].is_string().then_some(found)
    });
    check(&document, "/api/v1/corrections/{run}", &correction);
    for headers in [&[][..], &CSV] {
        let all = get_with(&daemon, "/api/v1/corrections", headers);
        check(&document, "/api/v1/corrections", &all);
    }
    let lines = get(&daemon, "/api/v1/sparklines?index=PAIR");
    check(&document, "/api/v1/sparklines", &lines);
    let prices = get(&daemon, "/api/v1/securities/AAA/prices");
    check(&document, "/api/v1/securities/{symbol}/prices", &prices);
    let away = with_pair().0;
    let answer = get(&away, "/api/v1/indexes/PAIR/levels");
    check(&document, &format!("{index}/levels"), &answer);
}

const CSV: [(&str, &str); 1] = [("accept", "text/csv")];

/// What is described is there: no path of the description leads nowhere.
#[test]
fn every_path_is_served() {
    let (daemon, _desk) = with_pair();
    let document = get(&daemon, "/api/v1/openapi.json").json();
    for path in document["paths"].as_object().unwrap().keys() {
        if path.ends_with("/stream") {
            continue;
        }
        let target = path.replace("{code}", "PAIR").replace("{symbol}", "AAA");
        let target = target.replace("{topic}", "divisor/status");
        let answer = get(&daemon, &target.replace("{run}", "1"));
        let missing = ("/api/v1/corrections/{run}", "there is no correction 1");
        if answer.status == 404 {
            let why = answer.json()["detail"].clone();
            assert_eq!((path.as_str(), why), (missing.0, json!(missing.1)));
        }
        assert!(
            document["paths"][path]["get"]["responses"]
                .get(answer.status.to_string())
                .is_some()
        );
    }
}

#[test]
fn the_validator_finds_faults() {
    let schema = json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": ["string", "null"], "pattern": "-" },
                        "b": { "type": "array", "items": { "type": "integer", "minimum": 1 } } },
    });
    let check = |value: Value| {
        let document = json!({});
        let schema_checker = Schema {
            document: &document,
        };
        schema_checker.check(&schema, &value, "x").is_ok()
    };
    assert!(check(json!({ "a": "1.5" })) && check(json!({ "a": null, "b": [1, 2] })));
    for wrong in [
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": "1." }),
        json!({ "a": null, "b": [0] }),
        json!({ "a": null, "b": [1.5] }),
        json!({ "a": null, "c": 1 }),
        json!([]),
    ] {
        assert!(!check(wrong.clone()), "{wrong}");
    }
}
