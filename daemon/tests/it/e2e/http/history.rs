//! History against a slow model: every answer is what the rows of the tables say.

use divisor_testkit::{Daemon, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::client::{get, json as get_json};
use super::{Mqtt, daemon, pair};
use crate::e2e::column;

/// A daemon with a database, and `PAIR` with levels over some days, seconds and gaps.
struct World {
    daemon: Daemon,
    database: TestDatabase,
    desk: Mqtt,
}

fn world() -> World {
    let database = Postgres::shared().database();
    let daemon = daemon().http().database(&database.url()).start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    let mut price = 2_000;
    for day in ["06", "07", "09"] {
        for second in 0..180u32 {
            // Some seconds have several levels, some none.
            for part in 0..second % 4 {
                price += (second as i32 * 7 + part as i32 * 13) % 31 - 15;
                let time = format!(
                    "2026-01-{day}T14:{:02}:{:02}.{part}00Z",
                    second / 60,
                    second % 60
                );
                let tick = json!({
                    "price": format!("{}.{:02}", price / 100, price % 100),
                    "ts": time, "size": "100", "venue": "XNYS",
                });
                desk.publish("securities/AAA/price", tick.to_string());
            }
        }
    }
    desk.wait_acked();
    desk.wait_projected();
    World {
        daemon,
        database,
        desk,
    }
}

/// All pages of a query, put together.
fn all(daemon: &Daemon, path: &str, query: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get_json(daemon, &format!("{path}?{query}{cursor}"));
        rows.extend(page["rows"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

#[test]
fn levels_and_prices_are_the_rows_of_the_tables() {
    let world = world();
    let levels = "/api/v1/indexes/PAIR/levels";
    let expected = column(
        &world.database,
        "select seq || ' ' || level || ' ' || revision from index_level order by ts, seq",
    );
    assert!(expected.len() > 500);
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        format!("{} {} {}", row["seq"], text("level"), row["rev"])
    };
    for limit in [7, 250, 10_000] {
        let rows = all(
            &world.daemon,
            levels,
            &format!("from=2026-01-01&limit={limit}"),
        );
        let got: Vec<String> = rows.iter().map(row).collect();
        super::super::assert_same(&format!("pages of {limit}"), &got, &expected);
    }
    let last = get_json(&world.daemon, &format!("{levels}?limit=3"));
    let got: Vec<String> = last["rows"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(got, expected[expected.len() - 3..]);
    let range = "from=2026-01-06T14:00:10Z&to=2026-01-06T14:00:20Z";
    let rows = all(&world.daemon, levels, range);
    let sql = "select count(*)::text from index_level where ts >= '2026-01-06 14:00:10+00' \
               and ts < '2026-01-06 14:00:20+00'";
    assert_eq!(column(&world.database, sql), [rows.len().to_string()]);
    let prices = "/api/v1/securities/AAA/prices";
    let expected = column(
        &world.database,
        "select position || ' ' || price || ' ' || effect from price_tick \
         where security_id = 0 order by ts, position",
    );
    let rows = all(&world.daemon, prices, "from=2026-01-01&limit=100");
    let got: Vec<String> = rows
        .iter()
        .map(|row| {
            let applied = u8::from(row["effect"] != "applied");
            format!(
                "{} {} {applied}",
                row["pos"],
                row["price"].as_str().unwrap()
            )
        })
        .collect();
    super::super::assert_same("prices", &got, &expected);
    assert_eq!(rows[5]["venue"], "XNYS");
    let csv = get(&world.daemon, &format!("{levels}.csv?limit=2"));
    assert_eq!(csv.text().lines().count(), 3);
    drop(world.desk);
}

/// Candles by the slow, obvious way: from all levels, in the test.
fn model(world: &World, seconds: i64) -> Vec<Value> {
    let rows = all(
        &world.daemon,
        "/api/v1/indexes/PAIR/levels",
        "from=2026-01-01&limit=10000",
    );
    let mut candles: Vec<(i64, Vec<String>)> = Vec::new();
    for row in rows {
        let ts: jiff::Timestamp = row["ts"].as_str().unwrap().parse().unwrap();
        let bin = ts.as_second().div_euclid(seconds) * seconds;
        let level = row["level"].as_str().unwrap().to_owned();
        match candles.last_mut() {
            Some((last, levels)) if *last == bin => levels.push(level),
            _ => candles.push((bin, vec![level])),
        }
    }
    let number = |text: &String| text.parse::<f64>().unwrap();
    let best = |levels: &[String], sign: f64| {
        let by = |a: &&String, b: &&String| (number(a) * sign).total_cmp(&(number(b) * sign));
        levels.iter().max_by(by).unwrap().clone()
    };
    candles
        .iter()
        .map(|(bin, levels)| {
            let ts = jiff::Timestamp::from_second(*bin).unwrap();
            json!({
                "ts": format!("{ts:.6}"), "open": levels[0], "high": best(levels, 1.0),
                "low": best(levels, -1.0), "close": levels.last().unwrap(), "count": levels.len(),
            })
        })
        .collect()
}

#[test]
fn candles_of_every_step_are_those_of_the_levels() {
    let world = world();
    let path = "/api/v1/indexes/PAIR/candles";
    for (step, seconds) in [
        ("1s", 1),
        ("5s", 5),
        ("1m", 60),
        ("5m", 300),
        ("15m", 900),
        ("1h", 3_600),
        ("1d", 86_400),
    ] {
        let expected = model(&world, seconds);
        for limit in [2, 100, 3_000] {
            let query = format!("step={step}&from=2026-01-01&limit={limit}");
            let got = all(&world.daemon, path, &query);
            assert_eq!(got.len(), expected.len(), "{query}");
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got, expected, "{query}");
            }
        }
        let last = get_json(&world.daemon, &format!("{path}?step={step}&limit=2"));
        let last = last["rows"].as_array().unwrap();
        // Of the shortest, the last two steps of time, which may lack a level.
        let tail = &expected[expected.len() - last.len()..];
        assert_eq!(last, tail, "{step}");
        assert!(!last.is_empty());
    }
    let range = format!("{path}?step=1m&from=2026-01-06T14:01:30Z&to=2026-01-06T14:03:00Z");
    let rows = get_json(&world.daemon, &range)["rows"].clone();
    let starts: Vec<&str> = (rows.as_array().unwrap().iter())
        .map(|row| row["ts"].as_str().unwrap())
        .collect();
    let whole = ["2026-01-06T14:01:00.000000Z", "2026-01-06T14:02:00.000000Z"];
    assert_eq!(starts, whole, "the candle that `from` falls in is whole");
}

/// More levels than an answer may read: pages end early, none lacks a level, and a candle of more than
/// all that stands alone.
#[test]
fn dense_levels_make_short_pages() {
    let world = world();
    // Seconds of 5,000 levels, and one of 45,000.
    world
        .database
        .connect()
        .batch_execute(
            "create table index_level_dense partition of index_level
                 for values from ('2025-01-01') to ('2025-02-01');
             insert into index_level (ts, ts_calc, position, seq, index_id, revision, stale,
                                      ts_nanos, ts_calc_nanos, status, level)
             select t, t, 0, n, 0, 1, 0, 0, 0, 'live', 100 + n % 97 + n / 5000
             from generate_series(0, 144999) n, lateral (
                 select timestamptz '2025-01-06 10:00+00' + case
                     when n < 100000 then n * interval '200 microseconds'
                     else interval '20 s' + (n - 100000) * interval '22 microseconds' end as t) t",
        )
        .unwrap();
    let path = "/api/v1/indexes/PAIR/candles";
    let range = "from=2025-01-01&to=2025-02-01&step=1s";
    let first = get_json(&world.daemon, &format!("{path}?{range}"));
    let rows = first["rows"].as_array().unwrap();
    assert!((5..=8).contains(&rows.len()), "{} of them", rows.len());
    assert!(first["next"].is_string());
    let rows = all(&world.daemon, path, range);
    let counts: Vec<u64> = rows
        .iter()
        .map(|row| row["count"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [&[5_000; 20][..], &[45_000]].concat());
    let sql = "select to_char(open, 'FM999') || ' ' || to_char(high, 'FM999') || ' ' || \
               to_char(low, 'FM999') || ' ' || to_char(close, 'FM999') \
               from candles_of(0, 1, '2025-01-01', '2025-02-01') order by ts";
    let text = |row: &Value| {
        let value = |key: &str| row[key].as_str().unwrap().to_owned();
        ["open", "high", "low", "close"].map(value).join(" ")
    };
    let got: Vec<String> = rows.iter().map(text).collect();
    assert_eq!(got, column(&world.database, sql));
    // The last, of an index whose last second is one of these.
    let last = get_json(
        &world.daemon,
        &format!("{path}?to=2025-02-01&step=1s&limit=10"),
    );
    let last = last["rows"].as_array().unwrap();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0], rows[20]);
}

#[test]
fn revisions_compositions_and_events_are_told() {
    let world = world();
    let more = json!({ "revisions": [{ "id": "r1", "note": "a split of AAA",
        "adjust": [{ "symbol": "AAA", "split": { "from": 1, "to": 2 } }] }] });
    world.desk.load(&more);
    world.desk.wait_projected();
    let revisions = get_json(&world.daemon, "/api/v1/indexes/PAIR/revisions")["rows"].clone();
    let revisions = revisions.as_array().unwrap();
    let causes: Vec<&str> = (revisions.iter())
        .map(|row| row["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes.last(), Some(&"revision"), "{causes:?}");
    assert_eq!(revisions.last().unwrap()["constituents"], 2);
    let first = get_json(&world.daemon, "/api/v1/indexes/PAIR/revisions?limit=1");
    assert_eq!(first["rows"][0], revisions[0]);
    let after = first["next"].as_str().unwrap();
    let second = get_json(
        &world.daemon,
        &format!("/api/v1/indexes/PAIR/revisions?limit=1&after={after}"),
    );
    assert_eq!(second["rows"][0], revisions[1]);
    let now = get_json(&world.daemon, "/api/v1/indexes/PAIR/composition");
    assert_eq!(now["revision"], revisions.last().unwrap()["revision"]);
    let then = get_json(
        &world.daemon,
        "/api/v1/indexes/PAIR/composition?at=2026-01-05T16:30:00Z",
    );
    assert_eq!(then["members"][0]["price"], "20.00");
    assert_eq!(then["members"][0]["weight"], "0.285714");
    assert_eq!(then["members"][1]["weight"], "0.714286");
    let early = get(
        &world.daemon,
        "/api/v1/indexes/PAIR/composition?at=2020-01-01",
    );
    assert_eq!(early.status, 404);
    let events = get_json(&world.daemon, "/api/v1/indexes/PAIR/events")["rows"].clone();
    let texts: Vec<&str> = (events.as_array().unwrap().iter())
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("(revision)")),
        "{texts:?}"
    );
    assert!(
        texts.iter().any(|text| text.contains("status live")),
        "{texts:?}"
    );
    let everywhere = get_json(&world.daemon, "/api/v1/events?limit=1000")["rows"].clone();
    assert_eq!(everywhere, events);
}

#[test]
fn members_show_what_they_moved_since_the_close() {
    let world = world();
    let facts = eventually("the closes", || {
        let facts = get_json(&world.daemon, "/api/v1/indexes/PAIR");
        (!facts["members"][0]["prev_close"].is_null()).then_some(facts)
    });
    let sql = "select price::text from tick where symbol = 'AAA' and ts < '2026-01-08' \
               order by ts desc, position desc limit 1";
    let close: f64 = column(&world.database, sql)[0].parse().unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    let (aaa, bbb) = (&facts["members"][0], &facts["members"][1]);
    assert!((number(&aaa["prev_close"]) - close).abs() < 1e-9, "{aaa}");
    assert_eq!(bbb["prev_close"], "50.00");
    assert_eq!(bbb["chg_pct"], "0.00");
    let points = number(&aaa["contribution"]) + number(&bbb["contribution"]);
    assert!(
        (points - number(&facts["row"]["chg"])).abs() < 1e-6,
        "they add up: {facts}"
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let world = world();
    let check = |path: &str, status: u16| {
        let answer = get(&world.daemon, &format!("/api/v1/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    };
    check("indexes/NONE/levels", 404);
    check("securities/NONE/prices", 404);
    check("indexes/PAIR/levels?from=soon", 400);
    check("indexes/PAIR/levels?from=2026-01-02&to=2026-01-01", 400);
    check("indexes/PAIR/levels?cursor=x", 400);
    check("indexes/PAIR/levels?until=2026-01-01", 400);
    check("indexes/PAIR/candles?step=7m", 400);
    check("indexes/PAIR/levels?cursor=9223372036854775807.0", 400);
    check("indexes/PAIR/levels?from=1677-09-22&limit=1", 200);
    check("indexes/PAIR/candles?from=1677-09-22&step=1s&limit=1", 200);
    check("indexes/PAIR/candles?to=1700-01-01&step=1d", 200);
    check("indexes/PAIR/levels?limit=999999999", 200);
    check("indexes/PAIR'%20or%20true/levels", 404);
}

#[test]
fn without_postgresql_history_is_unavailable_and_live_goes_on() {
    // Its watchdog ends the server with this process.
    let server: &'static Postgres = Box::leak(Box::new(Postgres::start().unwrap()));
    let database = server.database();
    let daemon = daemon().http().database(&database.url()).start();
    let desk = Mqtt::v5(&daemon, "desk");
    desk.load(&pair());
    desk.wait_projected();
    let levels = "/api/v1/indexes/PAIR/levels";
    assert_eq!(get_json(&daemon, levels)["rows"][0]["level"], "70.00");
    server.halt();
    eventually("history is away", || {
        let answer = get(&daemon, levels);
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 503).then(|| {
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_ne!(answer.header("retry-after"), "");
        })
    });
    super::price(&desk, "AAA", "25", "2026-01-05T17:00:00Z");
    eventually("the level", || {
        let row = get_json(&daemon, "/api/v1/indexes")["rows"][0].clone();
        (row["level"] == "75.00").then_some(())
    });
    let facts = get_json(&daemon, "/api/v1/indexes/PAIR");
    assert_eq!(facts["members"][0]["prev_close"], Value::Null);
    eventually("degraded, and ready all the same", || {
        let ready = get(&daemon, "/readyz");
        assert_eq!(ready.status, 200);
        (ready.json()["degraded"] != json!([])).then_some(())
    });
    server.resume();
    eventually("history is back", || {
        (get(&daemon, levels).status == 200).then_some(())
    });
    desk.wait_projected();
    assert_eq!(
        get_json(&daemon, levels)["rows"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn a_daemon_without_a_database_says_so() {
    let (daemon, _desk) = super::with_pair();
    let answer = get(&daemon, "/api/v1/indexes/PAIR/candles");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("stores nothing"),
        "{}",
        answer.text()
    );
}
