//! What restated levels are made of: every one taken apart, beside those of a daemon that has never
//! been told anything wrong.

use divisor_testkit::{Daemon, Postgres, TestDatabase, eventually};
use serde_json::{Value, json};

use super::corrections::{correct, verify};
use super::http::{get, get_json};
use super::{Mqtt, column, daemon, sum_of};

/// The times that an index has levels of, as of now.
fn times(database: &TestDatabase, code: &str) -> Vec<String> {
    let sql = format!(
        "select distinct to_char(l.ts at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
         from index_level l join index_definition i on i.id = l.index_id \
         where i.code = '{code}' and counts(l.index_id, l.position, l.run, 'level', 'infinity') \
         order by 1"
    );
    column(database, &sql)
}

/// An explanation of the past, whose parts must come to the level that is stored.
#[track_caller]
fn explained(daemon: &Daemon, code: &str, at: &str, as_of: &str) -> Value {
    let path = format!("/api/v1/indexes/{code}/explain?at={at}&as_of={as_of}");
    let explanation = get_json(daemon, &path);
    let (calculated, stored) = (&explanation["level"], &explanation["of"]["level"]);
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    assert!(calculated.is_string(), "{path}: {explanation}");
    assert_eq!(number(calculated), number(stored), "{path}: {explanation}");
    explanation
}

/// Every level of an index that is right now, with its composition and its parts, is what another
/// daemon has published; and what was published is explained as it was.
#[track_caller]
pub(super) fn are_alike(
    (corrected, database): (&Daemon, &TestDatabase),
    reference: &Daemon,
    code: &str,
) {
    let times = times(database, code);
    assert!(times.len() > 3, "{code}: {times:?}");
    for at in &times {
        let now = explained(corrected, code, at, "now");
        let right = explained(reference, code, at, "published");
        for part in ["level", "divisor", "cash", "members"] {
            assert_eq!(now[part], right[part], "{code} at {at}: {part}");
        }
        explained(corrected, code, at, "published");
        let composition = |daemon: &Daemon| {
            let path = format!("/api/v1/indexes/{code}/composition?at={at}");
            let mut composition = get_json(daemon, &path);
            for part in ["revision", "run", "effective"] {
                composition[part] = Value::Null;
            }
            composition
        };
        assert_eq!(
            composition(corrected),
            composition(reference),
            "{code} at {at}"
        );
    }
    assert_eq!(
        revisions(corrected, code, "now"),
        revisions(reference, code, "now"),
        "revisions of {code}"
    );
}

/// The revisions of an index but for those that the end of a run has made, without their numbers.
fn revisions(daemon: &Daemon, code: &str, as_of: &str) -> Vec<[Value; 4]> {
    let mut found = Vec::new();
    let mut next = Some(String::new());
    while let Some(after) = next {
        let path = format!("/api/v1/indexes/{code}/revisions?limit=3&as_of={as_of}{after}");
        let page = get_json(daemon, &path);
        let rows = page["rows"].as_array().unwrap();
        // The definition has come when it came.
        let own =
            |row: &&Value| !["correction", "definition"].contains(&row["cause"].as_str().unwrap());
        let rows = rows.iter().filter(own);
        let parts = ["cause", "effective", "divisor", "constituents"];
        found.extend(rows.map(|row| parts.map(|part| row[part].clone())));
        next = page["next"].as_str().map(|next| format!("&after={next}"));
    }
    found
}

/// A daemon with its database.
struct Side {
    daemon: Daemon,
    database: TestDatabase,
    desk: Mqtt,
}

impl Side {
    fn start(items: &Value) -> Self {
        let database = Postgres::shared().database();
        let daemon = daemon().database(&database.url()).http().start();
        let desk = Mqtt::v5(&daemon, "desk");
        desk.load(items);
        Self {
            daemon,
            database,
            desk,
        }
    }

    fn price(&self, symbol: &str, ts: &str, price: &str) {
        let tick = json!({ "price": price, "ts": ts, "src": "feed" });
        self.desk.price(symbol, tick);
    }

    fn rate(&self, ts: &str, rate: &str) {
        let body = json!({ "price": rate, "ts": ts, "src": "bank" });
        let reason = self.desk.send("fx/EUR/USD/rate", body.to_string());
        assert_eq!(reason, "Success", "{ts}");
    }
}

/// An index of two currencies, the same with the rates of the day before, and one that holds both.
fn of_two_currencies() -> Value {
    let tick = json!({ "mode": "tick" });
    let live = sum_of("LIVE", &["AAA", "DDD"], tick.clone());
    let mut fixed = sum_of("FIXED", &["AAA", "DDD"], tick.clone());
    fixed["fx"] = json!({ "rates": "prior_close" });
    json!({
        "securities": [
            { "symbol": "AAA", "currency": "USD" },
            { "symbol": "DDD", "currency": "EUR" },
        ],
        "prices": [
            { "symbol": "AAA", "price": "20", "ts": "2026-01-05T16:00:00Z" },
            { "symbol": "DDD", "price": "50", "ts": "2026-01-05T16:00:00Z" },
        ],
        "rates": [{ "base": "EUR", "quote": "USD", "rate": "1.05", "ts": "2026-01-05T16:00:00Z" }],
        "indexes": [
            live, fixed, sum_of("TOP", &["indexes/LIVE", "indexes/FIXED"], tick),
        ],
    })
}

#[test]
fn rates_and_indexes_of_indexes_are_explained_as_they_should_have_been() {
    let items = of_two_currencies();
    let (wrong, right) = (Side::start(&items), Side::start(&items));
    for day in 6..=8 {
        let at = |hour: u32| format!("2026-01-{day:02}T{hour:02}:00:00Z");
        for side in [&wrong, &right] {
            let is_right = std::ptr::eq(side, &right);
            side.price("AAA", &at(9), &format!("2{day}.5"));
            let rate = if day == 6 && !is_right {
                "9.99"
            } else {
                "1.07"
            };
            side.rate(&at(10), rate);
            if day != 7 || is_right {
                side.price("DDD", &at(11), &format!("5{day}.25"));
            }
            if day != 7 || is_right {
                side.rate(&at(12), &format!("1.1{day}"));
            }
            let price = if day == 7 && !is_right { "77" } else { "22" };
            side.price("AAA", &at(13), price);
        }
    }
    let desk = &wrong.desk;
    desk.wait_projected();
    right.desk.wait_projected();
    let rate = |ts: &str, rate: &str| json!({ "rate": { "base": "EUR", "quote": "USD", "ts": ts, "rate": rate } });
    let price = |symbol: &str, ts: &str, price: &str| json!({ "price": { "symbol": symbol, "ts": ts, "price": price } });
    for what in [
        rate("2026-01-06T10:00:00Z", "1.07"),
        rate("2026-01-07T12:00:00Z", "1.17"),
        price("DDD", "2026-01-07T11:00:00Z", "57.25"),
        price("AAA", "2026-01-07T13:00:00Z", "22"),
    ] {
        correct(desk, &wrong.database, what);
    }
    desk.wait_projected();
    let codes = ["LIVE", "FIXED", "TOP"];
    for code in codes {
        are_alike((&wrong.daemon, &wrong.database), &right.daemon, code);
    }
    // What is published from then on has the corrections in it.
    for side in [&wrong, &right] {
        side.price("DDD", "2026-01-08T14:00:00Z", "59.5");
        side.rate("2026-01-08T15:00:00Z", "1.2");
        side.desk.wait_projected();
    }
    for code in codes {
        are_alike((&wrong.daemon, &wrong.database), &right.daemon, code);
    }
}

/// An index that is not restated has a corrected price from the correction on; what it published
/// before is explained by what it had then.
#[test]
fn what_is_not_restated_is_explained_as_it_came() {
    let mut items = super::pair();
    let mut second = items["indexes"][0].clone();
    items["indexes"][0]["corrections"] = json!({ "restate": "never" });
    second["code"] = json!("CLOSES");
    second["corrections"] = json!({ "restate": "closes" });
    items["indexes"].as_array_mut().unwrap().push(second);
    let side = Side::start(&items);
    side.price("AAA", "2026-01-06T15:00:00Z", "25");
    side.price("BBB", "2026-01-06T16:00:00Z", "51");
    side.desk.wait_projected();
    let wrong =
        json!({ "price": { "symbol": "AAA", "ts": "2026-01-06T15:00:00Z", "price": "22" } });
    correct(&side.desk, &side.database, wrong);
    side.price("BBB", "2026-01-06T17:00:00Z", "52");
    side.desk.wait_projected();
    // The level that is told at the end of a run has the last time before it.
    for (code, at, price) in [
        ("PAIR", "2026-01-06T16:30:00Z", "25"),
        ("PAIR", "2026-01-06T17:30:00Z", "22"),
        ("CLOSES", "2026-01-06T15:30:00Z", "25"),
        ("CLOSES", "2026-01-06T16:30:00Z", "22"),
        ("CLOSES", "2026-01-06T17:30:00Z", "22"),
    ] {
        for as_of in ["now", "published"] {
            let explanation = explained(&side.daemon, code, at, as_of);
            let first = &explanation["members"][0]["price"];
            assert_eq!(first, price, "{code} {at} {as_of}");
        }
    }
}

/// A split that was told with other terms: the level is the same at the ex-date, and the
/// revision is another one. Numbers of the run and of what was published are told apart.
#[test]
fn revisions_are_read_as_published_and_as_right() {
    let items = |split: Value| {
        let mut items = super::pair();
        items["actions"] = json!([split]);
        items
    };
    let split = |from: u32, to: u32| {
        json!({ "id": "split", "ex_date": "2026-01-07", "type": "split", "symbol": "AAA",
            "from": from, "to": to })
    };
    let wrong = Side::start(&items(split(1, 5)));
    let right = Side::start(&items(split(1, 2)));
    for side in [&wrong, &right] {
        side.price("BBB", "2026-01-06T16:00:00Z", "51");
        side.price("AAA", "2026-01-07T15:00:00Z", "10.5");
        side.price("BBB", "2026-01-07T16:00:00Z", "52");
        side.price("AAA", "2026-01-08T15:00:00Z", "11");
        side.desk.wait_projected();
    }
    let published = revisions(&wrong.daemon, "PAIR", "now");
    correct(
        &wrong.desk,
        &wrong.database,
        json!({ "action": split(1, 2) }),
    );
    are_alike((&wrong.daemon, &wrong.database), &right.daemon, "PAIR");
    assert_eq!(revisions(&wrong.daemon, "PAIR", "published"), published);

    // The second revision: of the run, and as it was published.
    let composition = |query: &str| {
        let path = format!("/api/v1/indexes/PAIR/composition?{query}");
        get_json(&wrong.daemon, &path)
    };
    let units = |composition: &Value| composition["members"][0]["coefficient"].clone();
    let second = "revision=2";
    let now = composition(second);
    assert_eq!((&now["run"], units(&now)), (&json!(1), json!("2")), "{now}");
    let was = composition("revision=2&as_of=published");
    assert_eq!((&was["run"], units(&was)), (&json!(0), json!("5")), "{was}");
    assert_eq!(composition("revision=2&run=0"), was);
    assert_eq!(composition("revision=2&run=1"), now);
    let missing = get(
        &wrong.daemon,
        "/api/v1/indexes/PAIR/composition?revision=2&run=9",
    );
    assert_eq!(missing.status, 404);
    let why = missing.json()["detail"].clone();
    assert_eq!(why, "PAIR has no revision 2 of run 9");

    verify(
        &daemon().database(&wrong.database.url()).http(),
        &wrong.daemon,
    );
    eventually("events name the revision that is right", || {
        let events = get_json(&wrong.daemon, "/api/v1/indexes/PAIR/events");
        let text = events.to_string();
        text.contains("run 1 restates").then_some(())
    });
}
