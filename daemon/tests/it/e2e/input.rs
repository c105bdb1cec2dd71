//! What may not come in, and what becomes of what may.

use divisor_testkit::Postgres;
use serde_json::json;

use super::{Mqtt, column, daemon, pair};

/// Topic, payload, the reason on `divisor/rejected/{client}`, the reason code of MQTT 5.
const REFUSALS: &[(&str, &str, &str, &str)] = &[
    ("securities/AAA/price", "", "empty_payload", INVALID),
    ("securities/AAA/price", "abc", "malformed", INVALID),
    ("securities/AAA/price", "{\"price\":", "malformed", INVALID),
    ("securities/AAA/price", "{}", "bad_price", INVALID),
    (
        "securities/AAA/price",
        r#"{"price":"1,5"}"#,
        "bad_price",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":null}"#,
        "bad_price",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":"NaN"}"#,
        "bad_price",
        INVALID,
    ),
    ("securities/AAA/price", "null", "malformed", INVALID),
    ("securities/AAA/price", "inf", "malformed", INVALID),
    ("securities/AAA/price", "-Infinity", "malformed", INVALID),
    ("securities/AAA/price", "\u{feff}20", "malformed", INVALID),
    ("securities/AAA/price", "20\0", "malformed", INVALID),
    ("securities/AAA/price", "1e400", "bad_price", INVALID),
    ("securities/AAA/price", "1e-400", "bad_price", INVALID),
    (
        "securities/AAA/price",
        "1234567890123456789012345678901234567890",
        "bad_price",
        INVALID,
    ),
    (
        "securities/AAA/price",
        "170141183460469231731687303715884105727",
        "price_too_large",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":"inf"}"#,
        "bad_price",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":true}"#,
        "bad_price",
        INVALID,
    ),
    ("securities/AAA/price", "0", "price_not_positive", INVALID),
    (
        "securities/AAA/price",
        r#"{"price":-1}"#,
        "price_not_positive",
        INVALID,
    ),
    (
        "securities/AAA/price",
        "20.1234567",
        "price_too_fine",
        INVALID,
    ),
    (
        "securities/AAA/price",
        "10000000.01",
        "price_too_large",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":1,"ts":"noon"}"#,
        "bad_timestamp",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":1,"ts":"2100-01-01T00:00:00Z"}"#,
        "timestamp_in_future",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":1,"ccy":"EUR"}"#,
        "wrong_currency",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":1,"seq":-1}"#,
        "bad_field",
        INVALID,
    ),
    (
        "securities/AAA/price",
        r#"{"price":1,"price":2}"#,
        "bad_field",
        INVALID,
    ),
    (
        "securities/ZZZ/price",
        "1",
        "unknown_symbol",
        "ImplementationSpecificError",
    ),
    (
        "fx/EUR/EUR/rate",
        "1",
        "unknown_pair",
        "ImplementationSpecificError",
    ),
    ("fx/EUR/USD/rate", "-1", "price_not_positive", INVALID),
    ("indexes/PAIR/level", "1", "bad_topic", "NotAuthorized"),
    ("indexes/PAIR/event", "1", "bad_topic", "NotAuthorized"),
    ("divisor/status", "offline", "bad_topic", "NotAuthorized"),
    ("divisor/reply/other/1", "1", "bad_topic", "NotAuthorized"),
    ("securities/A/B/price", "1", "bad_topic", "NotAuthorized"),
    ("weather/oslo", "1", "bad_topic", "NotAuthorized"),
];

const INVALID: &str = "PayloadFormatInvalid";

#[test]
fn what_is_refused_is_named_and_changes_nothing() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let operator = Mqtt::v4(&daemon, "operator");
    operator.load(&pair());
    let before = operator.done("index.show", json!({ "code": "PAIR" }));
    let four = Mqtt::v4(&daemon, "a/four");
    let five = Mqtt::v5(&daemon, "five");
    for (topic, payload, reason, code) in REFUSALS {
        for (client, id, expected) in [(&four, "a%2Ffour", "Success"), (&five, "five", *code)] {
            client.forget();
            let got = client.send(topic, *payload);
            assert_eq!(got, expected, "{topic} {payload}");
            let report = client.wait(&format!("{topic} {payload} is reported"), |m| {
                (m.topic == format!("divisor/rejected/{id}")).then(|| m.json())
            });
            assert_eq!(report["reason"], *reason, "{topic} {payload}: {report}");
            assert_eq!(report["topic"], *topic, "{report}");
        }
    }
    let after = operator.done("index.show", json!({ "code": "PAIR" }));
    assert_eq!(after, before);
    // The same connections still work.
    four.price("AAA", "21");
    five.price("BBB", "51");
    operator.subscribe("indexes/PAIR/level");
    operator.wait_level("PAIR", "72.00");
    operator.wait_projected();
    let sql = "select symbol || ' ' || price || ' ' || src from tick where src not like 'load-%'";
    assert_eq!(column(&database, sql), ["AAA 21 a/four", "BBB 51 five"]);
}

/// What is too long or too deep for a table: refused by name, and nothing else changes.
#[test]
fn poison_of_any_size_changes_nothing() {
    // So that the poison itself is read, and not turned away for its size.
    let daemon = daemon().set("mqtt.payload_bytes_max=262144").start();
    let operator = Mqtt::v4(&daemon, "operator");
    operator.load(&pair());
    let before = operator.done("index.show", json!({ "code": "PAIR" }));
    let client = Mqtt::v5(&daemon, "feed");
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    let fields = format!(r#"{{"price":1{}}}"#, r#","x":1"#.repeat(20_000));
    let cases: [(Vec<u8>, &str); 8] = [
        (deep("[", "]").into(), "malformed"),
        (deep(r#"{"a":"#, "}").into(), "bad_price"),
        (
            format!(r#"{{"price":{}}}"#, deep("[", "]")).into(),
            "bad_price",
        ),
        ("9".repeat(200_000).into(), "bad_price"),
        (format!("\"{}\"", "9".repeat(200_000)).into(), "bad_price"),
        (b"20\xff".to_vec(), "malformed"),
        (b"{\"price\":1,\"src\":\"\xc3\x28\"}".to_vec(), "malformed"),
        (vec![0; 200_000], "malformed"),
    ];
    let mut wrong = Vec::new();
    for (payload, reason) in cases {
        client.forget();
        let told = String::from_utf8_lossy(&payload[..payload.len().min(40)]).into_owned();
        let got = client.send("securities/AAA/price", payload);
        assert_eq!(got, INVALID, "{told}");
        let report = client.wait(&format!("{told} is reported"), |m| {
            m.topic.starts_with("divisor/rejected/").then(|| m.json())
        });
        wrong.extend((report["reason"] != reason).then_some((told, report)));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // Fields that nobody knows are no poison, however many.
    assert_eq!(client.send("securities/BBB/price", fields), "Success");
    let after = operator.done("index.show", json!({ "code": "PAIR" }));
    assert_eq!(
        after["row"]["seq"],
        before["row"]["seq"].as_u64().unwrap() + 1
    );
    assert_eq!(client.ended(), None);
}

#[test]
fn the_good_ticks_of_an_array_count() {
    let daemon = daemon().start();
    let client = Mqtt::v5(&daemon, "feed");
    client.subscribe("indexes/PAIR/level");
    client.load(&pair());
    let ticks = r#"[{"price":21},{"price":-1},"x",22.5,{"price":"23","ts":"never"}]"#;
    assert_eq!(client.send("securities/AAA/price", ticks), "Success");
    let report = client.wait("the report", |m| {
        m.topic.starts_with("divisor/rejected/").then(|| m.json())
    });
    let refused = json!([
        { "place": 1, "reason": "price_not_positive" },
        { "place": 2, "reason": "bad_price" },
        { "place": 4, "reason": "bad_timestamp" },
    ]);
    assert_eq!(
        (&report["accepted"], &report["refused"]),
        (&json!(2), &refused)
    );
    client.wait_level("PAIR", "72.50");
    let levels: Vec<_> = client
        .levels("PAIR")
        .iter()
        .map(|m| m.level.to_string())
        .collect();
    assert_eq!(levels, ["70.00", "71.00", "72.50"]);
    // Nothing good in it: the whole message is refused, and so is what is no list of ticks.
    assert_eq!(client.send("securities/AAA/price", "[0,-1]"), INVALID);
    assert_eq!(client.send("securities/AAA/price", "[[1]]"), INVALID);
    assert_eq!(client.ended(), None);
}

#[test]
fn late_ticks_are_stored_and_flagged_and_duplicates_are_not_stored() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let client = Mqtt::v4(&daemon, "feed");
    client.subscribe("indexes/PAIR/level");
    client.load(&pair());
    let tick = |price: &str, minute: u32, seq: u32| {
        let ts = format!("2026-01-06T10:{minute:02}:00Z");
        json!({ "price": price, "ts": ts, "src": "s", "inc": 1, "seq": seq })
    };
    client.price("AAA", tick("22", 5, 1));
    client.price("AAA", tick("99", 4, 2));
    client.price("AAA", tick("22", 5, 1));
    client.price("AAA", tick("23", 6, 3));
    let last = client.wait_level("PAIR", "73.00");
    assert_eq!(last.seq, 3, "base, 22 and 23");
    client.wait_projected();
    let sql = "select price || ' ' || effect from tick where src = 's' order by position";
    assert_eq!(
        column(&database, sql),
        ["22 applied", "99 late", "23 applied"]
    );
}

#[test]
fn times_are_understood_in_every_unit() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let client = Mqtt::v5(&daemon, "feed");
    client.load(&pair());
    for ts in [
        r#""2026-11-20T12:00:00.000001Z""#,
        r#""2026-11-20T13:00:00.000002+01:00""#,
        "1795176000.000003",
        "1795176000000.004",
        "1795176000000005",
        "1795176000000006000",
    ] {
        client.price("AAA", format!(r#"{{"price":21,"ts":{ts}}}"#));
    }
    client.wait_projected();
    let sql = "select to_char(ts at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from tick \
               where src = 'feed' order by position";
    let expected: Vec<_> = (1..=6)
        .map(|n| format!("2026-11-20 12:00:00.00000{n}"))
        .collect();
    assert_eq!(column(&database, sql), expected);
}

/// Series go back further than 1970, and days begin there as they do today.
#[test]
fn the_past_reaches_back_to_1800() {
    let database = Postgres::shared().database();
    let daemon = daemon().database(&database.url()).start();
    let client = Mqtt::v5(&daemon, "feed");
    client.subscribe("indexes/OLD/level");
    let start = "1899-12-30T16:00:00Z";
    client.load(&json!({
        "securities": [
            { "symbol": "AAA", "currency": "USD" },
            { "symbol": "BBB", "currency": "USD" },
        ],
        "prices": [
            { "symbol": "AAA", "price": "20", "ts": start },
            { "symbol": "BBB", "price": "50", "ts": start },
        ],
        "indexes": [{
            "code": "OLD", "currency": "USD", "base": { "value": "100" },
            "weighting": { "scheme": "equal", "reset": "daily" },
            "dissemination": { "mode": "tick" },
            "basket": [{ "symbol": "AAA" }, { "symbol": "BBB" }],
        }],
    }));
    // Doubles one of two equal members on each of four days, the last of them today.
    client.price("AAA", r#"{"price":40,"ts":-2209100400000}"#);
    client.price("BBB", r#"{"price":100,"ts":-2209014000}"#);
    client.price("AAA", r#"{"price":80,"ts":"1900-01-01T17:00:00Z"}"#);
    client.price("BBB", "200");
    client.wait_level("OLD", "506.25");
    let late = r#"{"price":1,"ts":"1800-01-01T00:00:00Z"}"#;
    assert_eq!(client.send("securities/AAA/price", late), "Success");
    let broken = r#"{"price":1,"ts":"1799-12-31T23:59:59.999999Z"}"#;
    assert_eq!(client.send("securities/AAA/price", broken), INVALID);
    client.wait("the report", |m| {
        let report = m.topic.starts_with("divisor/rejected/").then(|| m.json())?;
        (report["reason"] == "timestamp_too_old").then_some(())
    });
    client.wait_projected();
    let sql = "select level || to_char(ts at time zone 'UTC', ' YYYY-MM-DD HH24:MI') from level \
               where ts < '2000-01-01' order by seq";
    assert_eq!(
        column(&database, sql),
        [
            "100.00 1899-12-30 16:00",
            "150.00 1899-12-30 17:00",
            "225.00 1899-12-31 17:00",
            "337.50 1900-01-01 17:00",
        ]
    );
    let sql = "select price || ' ' || effect || extract(year from ts) from tick \
               where ts < '1899-01-01'";
    assert_eq!(column(&database, sql), ["1 late1800"]);
    let sql = "select c.relname::text from pg_inherits join pg_class c on c.oid = inhrelid \
               where inhparent = 'price_tick'::regclass order by 1 limit 3";
    let expected = [
        "price_tick_1800_01",
        "price_tick_1899_12",
        "price_tick_1900_01",
    ];
    assert_eq!(column(&database, sql), expected);
}
