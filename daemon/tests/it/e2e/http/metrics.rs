//! `/metrics`: what happens is counted, and what dashboard and alerts name is there.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use divisor_testkit::eventually;
use serde_json::Value;

use super::client::get;
use super::with_pair;

fn value(text: &str, line: &str) -> f64 {
    let mut lines = text.lines();
    let found = lines.find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
    found
        .unwrap_or_else(|| panic!("no {line} in {text}"))
        .parse()
        .unwrap()
}

#[test]
fn what_happens_is_counted() {
    let (daemon, desk) = with_pair();
    let send = |topic: &str, payload: &str| desk.publish(topic, payload.to_owned());
    let tick = r#"{"price":"21","ts":"2026-01-05T17:00:00Z","src":"f","inc":1,"seq":4}"#;
    send("securities/AAA/price", tick);
    send("securities/AAA/price", tick);
    send(
        "securities/AAA/price",
        r#"{"price":"20","ts":"2026-01-05T16:59:00Z"}"#,
    );
    send(
        "securities/AAA/price",
        r#"{"price":"22","ts":"2026-01-05T17:00:01Z","src":"f","inc":1,"seq":7}"#,
    );
    send("securities/NONE/price", "1");
    send("securities/AAA/price", "-1");
    send(
        "securities/AAA/price",
        r#"{"price":"1","ts":"1799-12-31T00:00:00Z"}"#,
    );
    send("securities/A B/price", "1");
    send("indexes/PAIR/level", "1");
    desk.wait_acked();
    let text = eventually("the refusal of the topic", || {
        let text = get(&daemon, "/metrics").text();
        let refused = "divisor_ticks_total{result=\"refused\",reason=\"bad_topic\"}";
        (value(&text, refused) > 0.0).then_some(text)
    });
    let ticks = |result: &str, reason: &str, expected: f64| {
        let labels = format!("result=\"{result}\",reason=\"{reason}\"");
        let got = value(&text, &format!("divisor_ticks_total{{{labels}}}"));
        assert!((got - expected).abs() < f64::EPSILON, "{labels}: {got}");
    };
    // Two of the load among them.
    ticks("applied", "", 4.0);
    ticks("duplicate", "", 1.0);
    ticks("late", "", 1.0);
    ticks("held", "", 0.0);
    ticks("passed", "", 0.0);
    ticks("refused", "unknown_symbol", 1.0);
    ticks("refused", "price_not_positive", 1.0);
    ticks("refused", "timestamp_too_old", 1.0);
    ticks("refused", "bad_symbol", 1.0);
    ticks("refused", "rate_exceeded", 0.0);
    let denied = "divisor_denied_total{what=\"topic\",reason=\"bad_topic\"}";
    assert_eq!(value(&text, denied), 1.0);
    let status = super::client::json(&daemon, "/api/v1/status");
    let rejected = serde_json::json!({
        "bad_symbol": 1, "bad_topic": 1, "price_not_positive": 1, "timestamp_too_old": 1,
        "unknown_symbol": 1,
    });
    assert_eq!(
        status["feed"]["rejected"], rejected,
        "the page shows the same"
    );
    assert_eq!(value(&text, "divisor_source_gaps"), 2.0);
    assert_eq!(value(&text, "divisor_levels_total"), 3.0);
    assert_eq!(value(&text, "divisor_connections"), 1.0);
    assert_eq!(value(&text, "divisor_ready"), 1.0);
    assert_eq!(value(&text, "divisor_store{state=\"off\"}"), 1.0);
    assert_eq!(value(&text, "divisor_index_level{index=\"PAIR\"}"), 72.0);
    assert_eq!(value(&text, "divisor_indexes{status=\"live\"}"), 1.0);
    for histogram in ["divisor_commit_seconds", "divisor_tick_to_level_seconds"] {
        let count = value(&text, &format!("{histogram}_count"));
        let all = value(&text, &format!("{histogram}_bucket{{le=\"+Inf\"}}"));
        assert!(
            count > 0.0 && (count - all).abs() < f64::EPSILON,
            "{histogram}"
        );
    }
}

/// What clients do wrong, and what is lost on the way to them, has a reason of its own.
#[test]
fn denials_and_losses_have_their_reason() {
    let (daemon, _desk) = with_pair();
    let knock = |bytes: &[u8]| {
        let mut stream = std::net::TcpStream::connect(daemon.address()).unwrap();
        stream
            .set_read_timeout(Some(divisor_testkit::PATIENCE))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    };
    knock(b"GET /mqtt HTTP/9.9\r\n\r\n");
    // MQTT 3.1, and 5 whose first packet after CONNECT is another CONNECT.
    knock(b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01a");
    let connect = b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01z";
    knock(&[&connect[..], connect].concat());
    let text = eventually("all are counted", || {
        let text = get(&daemon, "/metrics").text();
        let ended = value(
            &text,
            "divisor_connections_ended_total{reason=\"protocol\"}",
        );
        (ended > 0.0).then_some(text)
    });
    let denied = |reason: &str| {
        let labels = format!("what=\"connection\",reason=\"{reason}\"");
        value(&text, &format!("divisor_denied_total{{{labels}}}"))
    };
    assert_eq!(denied("protocol_version"), 1.0, "{text}");
    assert_eq!(denied("credentials"), 0.0);
    for line in [
        "divisor_denied_total{what=\"subscription\",reason=\"not_authorized\"}",
        "divisor_messages_dropped_total{reason=\"router_lag\"}",
        "divisor_messages_dropped_total{reason=\"queue_messages\"}",
        "divisor_retained_refused_total",
        "divisor_rate_pauses_total",
        "divisor_shared_groups",
        "divisor_connections_ended_total{reason=\"write_timeout\"}",
    ] {
        assert_eq!(value(&text, line), 0.0, "{line}");
    }
}

/// The format: each family is announced once, before its lines, and no line is there twice.
#[test]
fn the_text_is_well_formed() {
    let (daemon, _desk) = with_pair();
    let answer = get(&daemon, "/metrics");
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    let mut families = BTreeSet::new();
    let mut lines = BTreeSet::new();
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(&family), "{line} under {family}");
            assert!(lines.insert(series.to_owned()), "{series} twice");
            value.parse::<f64>().unwrap();
        }
    }
    assert!(families.len() > 20);
}

/// Every metric that the dashboard or an alert names exists, with the labels they select by.
#[test]
fn dashboard_and_alerts_name_what_is_there() {
    let (daemon, _desk) = with_pair();
    let text = get(&daemon, "/metrics").text();
    let file = |name: &str| {
        let path = format!("{}/../contrib/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let alerts = file("prometheus/alerts.yml");
    let dashboard: Value = serde_json::from_str(&file("grafana/dashboard.json")).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 8);
    let rules = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    expressions.extend(rules.map(str::to_owned));
    assert!(alerts.contains("expr: "));
    let mut named = 0;
    for expression in &expressions {
        for name in names(expression) {
            let exists = text.lines().any(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            });
            assert!(exists, "{name} of `{expression}` is not on /metrics");
            named += 1;
        }
        for selector in selectors(expression) {
            assert!(text.contains(selector), "{selector} of `{expression}`");
        }
    }
    assert!(named > 15, "{named}");
}

fn collect(value: &Value, into: &mut Vec<String>) {
    if let Some(text) = value.get("expr").and_then(Value::as_str) {
        into.push(text.to_owned());
    }
    let inner = value.as_array().into_iter().flatten();
    let inner = inner.chain(value.as_object().into_iter().flat_map(|o| o.values()));
    for value in inner {
        collect(value, into);
    }
}

/// The `label="value"` pairs of our own metrics.
fn selectors(expression: &str) -> impl Iterator<Item = &str> {
    let own = expression.split("divisor_").skip(1);
    let braced = own.filter_map(|part| {
        let (name, rest) = part.split_once('{')?;
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| rest.split('}').next().unwrap_or_default())
    });
    braced.flat_map(|pairs| pairs.split(',').map(str::trim))
}

fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("divisor_"))
}
