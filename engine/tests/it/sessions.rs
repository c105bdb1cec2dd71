//! The day of an index: status, staleness, opening and close, and the gate before prices.

use divisor_engine::{
    Closed, Decimal, Effect, Input, Kind, LabelId, Order, Origin, Output, Status,
};

use crate::support::{World, decimal, time};

/// Regular hours in New York, a half day and a holiday of 2021.
const NEW_YORK: &str = r#"{"name":"N","zone":"America/New_York",
    "week":[{"days":["mon","tue","wed","thu","fri"],"pre_open":"09:00","open":"09:30","close":"16:00"}],
    "holidays":["2021-11-25"],
    "special":[{"date":"2021-11-26","open":"09:30","close":"13:00"}]}"#;

/// Securities A, B and C, 100 shares each, and an index `X` with these rules.
fn world(security: &str, index: &str) -> World {
    early(&format!(
        r#"{{"calendars":[{NEW_YORK}],
            "securities":[{{"symbol":"A","currency":"USD"{security}}},
                          {{"symbol":"B","currency":"USD"{security}}},
                          {{"symbol":"C","currency":"USD"{security}}}],
            "indexes":[{{"code":"X","currency":"USD","calendar":"N",
                "weighting":{{"scheme":"price"}},"base":{{"divisor":"1"}},{index}
                "basket":[{{"symbol":"A"}},{{"symbol":"B"}},{{"symbol":"C"}}]}}]}}"#
    ))
}

/// A world with these definitions at the beginning of 2021.
pub(crate) fn early(definitions: &str) -> World {
    let mut world = World::default();
    world.load_at("2021-01-01", definitions);
    world
}

impl World {
    /// A price of a kind, received when it was made unless `received` says otherwise.
    pub(crate) fn tick(
        &mut self,
        kind: Kind,
        symbol: &str,
        price: &str,
        ts: &str,
        received: Option<&str>,
    ) {
        let received = time(received.unwrap_or(ts));
        let origin = Origin {
            ts: time(ts),
            received,
            source: LabelId(0),
            inc: None,
            seq: None,
        };
        self.tick_of(kind, symbol, price, origin);
    }

    fn tick_of(&mut self, kind: Kind, symbol: &str, price: &str, origin: Origin) {
        let admitted = self
            .engine
            .admit_price(symbol, decimal(price), None, origin, None, None);
        let Ok(Input::Tick(mut tick)) = admitted else {
            panic!("{admitted:?}");
        };
        tick.kind = kind;
        let now = origin.received.max(self.engine.time());
        self.apply_at(now, vec![Input::Tick(tick)]);
    }

    /// Loads definitions that must be accepted, at a time.
    fn load_at(&mut self, at: &str, definitions: &str) {
        let definitions = Box::new(serde_json::from_str(definitions).unwrap());
        self.engine.plan(&definitions).unwrap();
        let by = LabelId(0);
        self.apply_at(time(at), vec![Input::Define { by, definitions }]);
    }

    /// The same at the time of the last batch.
    pub(crate) fn load_now(&mut self, definitions: &str) {
        let now = jiff::Timestamp::from(self.engine.time());
        self.load_at(&now.to_string(), definitions);
    }

    pub(crate) fn trade(&mut self, symbol: &str, price: &str, ts: &str) {
        self.tick(Kind::Trade, symbol, price, ts, None);
    }

    /// Lets time go by, with the timers that are due.
    pub(crate) fn wait(&mut self, until: &str) {
        let until = time(until);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= until) {
            let due = due.max(self.engine.time());
            self.apply_at(due, Vec::new());
            assert!(
                self.engine.poll_timeout() > Some(due),
                "a timer stands still"
            );
        }
        self.apply_at(until, Vec::new());
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.engine.check_order(&order).unwrap();
        let order = Box::new(order);
        let by = LabelId(0);
        self.apply_at(self.engine.time(), vec![Input::Operate { by, order }]);
    }

    pub(crate) fn closes(&self) -> Vec<Closed> {
        let close = |output: &Output| {
            let Output::Closed(closed) = output else {
                return None;
            };
            Some(closed.clone())
        };
        self.outputs.iter().filter_map(close).collect()
    }

    /// Every change of status with its time in New York.
    fn story(&self) -> Vec<String> {
        let line = |output: &Output| {
            let Output::Status { status, ts, .. } = output else {
                return None;
            };
            let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
            let local = zone.to_datetime(jiff::Timestamp::from(*ts));
            Some(format!(
                "{} {}",
                local.strftime("%d %H:%M:%S"),
                status.as_str()
            ))
        };
        self.outputs.iter().filter_map(line).collect()
    }
}

#[test]
fn a_day_by_the_clock() {
    let rules = r#""session":{"close":{"after_s":600},"final_after_s":3600},"#;
    let mut world = world("", rules);
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-23T20:00:00Z");
    }
    world.wait("2021-11-23T20:59:00Z");
    world.trade("A", "11", "2021-11-23T20:59:00Z");
    world.wait("2021-11-24T14:45:00Z");
    world.trade("B", "12", "2021-11-24T14:45:00Z");
    assert_eq!(
        world.story(),
        [
            "23 15:00:00 live",
            "23 16:00:00 closing",
            "23 16:10:00 closed",
            "23 17:10:00 final",
            "24 09:00:00 pre_open",
            "24 09:30:00 live",
        ]
    );
    let closes = world.closes();
    assert_eq!(closes.len(), 2);
    assert_eq!(closes[0].day.to_string(), "2021-11-23");
    assert_eq!((closes[0].is_final, closes[1].is_final), (false, true));
    assert_eq!(closes[0].level.status, Status::Closed);
    assert_eq!(closes[0].level.level, decimal("31.00"));
    let last = world.levels("X").pop().unwrap();
    assert_eq!(
        (last.level, last.prev_close),
        (decimal("33.00"), Some(decimal("31.00")))
    );
}

#[test]
fn a_replay_of_the_past_is_not_overtaken() {
    let mut world = world("", "");
    let now = Some("2026-06-01T12:00:00Z");
    for (symbol, ts) in [
        ("A", "2021-11-23T20:00:00Z"),
        ("B", "2021-11-23T20:00:00Z"),
        ("C", "2021-11-23T20:00:00Z"),
        ("A", "2021-11-26T15:00:00Z"),
    ] {
        world.tick(Kind::Trade, symbol, "10", ts, now);
        assert_eq!(world.engine.poll_timeout(), None);
    }
    assert_eq!(
        world.story(),
        ["23 15:00:00 live", "23 16:00:00 closed", "26 09:30:00 live"]
    );
    assert_eq!(world.closes()[0].day.to_string(), "2021-11-23");
    // The half day ends with the first input behind it.
    world.tick(Kind::Trade, "A", "11", "2021-11-26T18:00:00Z", now);
    assert_eq!(
        world.index("X").status,
        Status::Live,
        "stamped with the close"
    );
    world.tick(Kind::Trade, "A", "12", "2021-11-26T18:00:01Z", now);
    assert_eq!(world.index("X").status, Status::Closed);
    // What is traded while the index is closed moves no level before the next session.
    assert_eq!(world.level("X"), "31.00");
    world.tick(Kind::Trade, "B", "10", "2021-11-29T15:00:00Z", now);
    assert_eq!(world.level("X"), "32.00");
}

#[test]
fn has_a_level_as_soon_as_the_last_part_comes_even_when_closed() {
    let check = |base: &str, order: &[&str]| {
        let mut world = early(&format!(
            r#"{{"calendars":[{NEW_YORK}],
                "securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"EUR"}},
                              {{"symbol":"C","currency":"USD"}}],
                "indexes":[
                    {{"code":"X","currency":"USD","weighting":{{"scheme":"price"}},"base":{{"divisor":"1"}},
                      "basket":[{{"symbol":"C"}}],"stale":{{"after_s":60,"weight":"0.01"}}}},
                    {{"code":"Y","currency":"USD","weighting":{{"scheme":"price"}},{base},"calendar":"N",
                      "basket":[{{"symbol":"A"}},{{"symbol":"B"}},{{"symbol":"indexes/X"}}]}}]}}"#
        ));
        // A Saturday.
        for (at, part) in order.iter().enumerate() {
            assert_eq!(world.level("Y"), "-", "{base} {order:?} before {part}");
            let ts = format!("2021-11-27T10:00:0{at}Z");
            if *part == "rate" {
                let rate = world.rate("EUR", "USD", "1.5", &ts);
                world.apply_at(time(&ts), vec![rate]);
            } else {
                world.trade(part, "10", &ts);
            }
        }
        let expected = if base.contains("divisor") {
            "35.00"
        } else {
            "100.00"
        };
        assert_eq!(world.level("Y"), expected, "{base} {order:?}");
        assert_eq!(world.index("Y").status, Status::Closed);
    };
    for base in [r#""base":{"divisor":"1"}"#, r#""base":{"value":"100"}"#] {
        check(base, &["B", "C", "rate", "A"]);
        check(base, &["A", "B", "rate", "C"]);
        check(base, &["A", "B", "C", "rate"]);
    }
}

#[test]
fn opens_when_enough_has_traded() {
    let mut world = world("", r#""session":{"opening":"60"},"#);
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-23T20:00:00Z");
    }
    world.wait("2021-11-24T14:31:00Z");
    assert_eq!(world.index("X").status, Status::Indicative);
    world.trade("A", "10", "2021-11-24T14:31:00Z");
    assert_eq!(world.index("X").status, Status::Indicative);
    world.trade("B", "10", "2021-11-24T14:32:00Z");
    assert_eq!(world.index("X").status, Status::Live);
}

#[test]
fn counts_the_stale() {
    let mut world = world("", r#""stale":{"after_s":60,"weight":"50"},"#);
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-24T15:00:00Z");
    }
    world.trade("A", "11", "2021-11-24T15:00:40Z");
    world.wait("2021-11-24T15:01:10Z");
    let last = world.levels("X").pop().unwrap();
    assert_eq!((last.stale, last.status), (2, Status::Stale));
    world.trade("B", "11", "2021-11-24T15:01:20Z");
    let last = world.levels("X").pop().unwrap();
    assert_eq!((last.stale, last.status), (1, Status::Live));
    world.wait("2021-11-24T15:01:50Z");
    assert_eq!(world.index("X").stale, 2);
    // Nobody is stale for a night.
    world.trade("A", "12", "2021-11-24T20:59:30Z");
    world.wait("2021-11-26T14:30:15Z");
    assert_eq!(world.index("X").stale, 2);
    world.wait("2021-11-26T14:30:30Z");
    assert_eq!(world.index("X").stale, 3);
}

#[test]
fn a_jump_halts_until_an_operator_has_looked() {
    let mut world = world("", r#""jump_max":"5","#);
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-24T15:00:00Z");
    }
    world.trade("A", "20", "2021-11-24T15:01:00Z");
    let last = world.levels("X").pop().unwrap();
    assert_eq!(
        (last.level, last.status),
        (decimal("30.00"), Status::Halted)
    );
    world.trade("B", "10.5", "2021-11-24T15:02:00Z");
    assert_eq!(
        world.levels("X").len(),
        2,
        "nothing leaves while it is halted"
    );
    world.order(Order::Resume { index: "X".into() });
    let last = world.levels("X").pop().unwrap();
    assert_eq!((last.level, last.status), (decimal("40.50"), Status::Live));
    world.order(Order::Halt {
        index: "X".into(),
        note: None,
    });
    assert_eq!(world.index("X").status, Status::Halted);
    let again = Order::Halt {
        index: "X".into(),
        note: None,
    };
    assert!(world.engine.check_order(&again).is_err());
    // A halt over the close leaves the day without one, until an operator states it.
    world.wait("2021-11-24T22:00:00Z");
    assert!(world.closes().is_empty());
    world.order(Order::Resume { index: "X".into() });
    assert_eq!(world.index("X").status, Status::Closed);
    world.order(Order::Close { index: "X".into() });
    assert_eq!(world.closes()[0].day.to_string(), "2021-11-24");
    world.order(Order::Confirm { index: "X".into() });
    assert_eq!(world.index("X").status, Status::Final);
}

#[test]
fn closes_with_official_prices() {
    let mut world = world(
        r#","calendar":"N""#,
        r#""session":{"close":{"at":"official","after_s":3600},"soq":true},"#,
    );
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-23T20:00:00Z");
    }
    world.wait("2021-11-24T14:30:00Z");
    for (symbol, price) in [("A", "10.2"), ("B", "10.3")] {
        world.tick(Kind::Open, symbol, price, "2021-11-24T14:30:01Z", None);
    }
    world.trade("C", "10.6", "2021-11-24T14:31:00Z");
    world.tick(
        Kind::Open,
        "C",
        "10.5",
        "2021-11-24T14:30:59Z",
        Some("2021-11-24T14:32:00Z"),
    );
    let quoted = world.outputs.iter().rev().find_map(|output| {
        let Output::Quotation(quotation) = output else {
            return None;
        };
        Some((quotation.level, quotation.missing))
    });
    assert_eq!(quoted, Some((decimal("31.00"), 0)));
    assert_eq!(
        world.level("X"),
        "31.10",
        "the trade is younger than the opening price"
    );
    world.wait("2021-11-24T21:00:01Z");
    assert_eq!(world.index("X").status, Status::Closing);
    world.trade("C", "11", "2021-11-24T21:01:00Z");
    for (symbol, price) in [("A", "10.5"), ("B", "10.4"), ("C", "10.7")] {
        world.tick(
            Kind::Close,
            symbol,
            price,
            "2021-11-24T21:00:00Z",
            Some("2021-11-24T21:05:00Z"),
        );
    }
    let closes = world.closes();
    assert_eq!(
        closes.len(),
        2,
        "the day before closed at the latest an hour after"
    );
    assert_eq!(
        (closes[1].level.level, closes[1].soq),
        (decimal("31.60"), Some(decimal("31.00")))
    );
    // Trades behind the official close do not count.
    world.trade("A", "12", "2021-11-24T22:00:00Z");
    assert_eq!(world.last_effect(), Effect::AfterClose);
}

#[test]
fn a_prior_close_in_a_quotation_has_been_split_with_the_price() {
    let mut world = world(r#","calendar":"N""#, r#""session":{"soq":true},"#);
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "20", "2021-11-23T20:00:00Z");
        world.tick(Kind::Close, symbol, "20", "2021-11-23T21:00:00Z", None);
    }
    world.load_now(
        r#"{"actions":[
            {"id":"0","ex_date":"2021-11-24","type":"split","symbol":"A","from":1,"to":2}]}"#,
    );
    for symbol in ["B", "C"] {
        world.tick(Kind::Open, symbol, "20", "2021-11-24T14:30:01Z", None);
    }
    world.wait("2021-11-24T21:00:01Z");
    // A has not opened: 10 for it, with the level as it was.
    let closes = world.closes();
    assert_eq!(closes.last().unwrap().soq, Some(decimal("60.00")));
}

#[test]
fn a_variant_is_fixed_at_the_official_close() {
    let mut world = early(
        r#"{"calendars":[{"name":"L","zone":"UTC",
                "week":[{"days":["mon","tue","wed","thu","fri"],"open":"09:30","close":"16:00"}]}],
            "securities":[{"symbol":"A","currency":"USD"}],
            "indexes":[
            {"code":"U","currency":"USD","calendar":"L","weighting":{"scheme":"price"},
             "base":{"divisor":"1"},"basket":[{"symbol":"A"}]},
            {"code":"TWICE","currency":"USD","of":"U","variant":{"kind":"leveraged","factor":"2"}},
            {"code":"LESS","currency":"USD","of":"U",
             "variant":{"kind":"decrement","rate":"0.36"}}]}"#,
    );
    // Friday the 8th closes at 110; 99 is of the evening, 100 of the weekend.
    world.trade("A", "100", "2021-01-07T15:00:00Z");
    world.trade("A", "110", "2021-01-08T15:00:00Z");
    world.trade("A", "99", "2021-01-08T17:00:00Z");
    world.trade("A", "100", "2021-01-09T12:00:00Z");
    world.trade("A", "100", "2021-01-10T12:00:00Z");
    world.trade("A", "121", "2021-01-11T15:00:00Z");
    // 100·1.2·1.2, and 100·(1.1 - 0.001)·(1.1 - 3·0.001): the weekend accrues with Monday.
    assert_eq!(world.level("TWICE"), "144.00");
    assert_eq!(world.level("LESS"), "120.56");
}

#[test]
fn an_index_without_a_calendar_closes_by_command() {
    let mut world = early(
        r#"{"securities":[{"symbol":"A","currency":"USD"}],
            "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},
                "base":{"divisor":"1"},"basket":[{"symbol":"A"}]}]}"#,
    );
    world.trade("A", "10", "2021-11-24T15:00:00Z");
    world.order(Order::Close { index: "X".into() });
    assert_eq!(world.closes()[0].day.to_string(), "2021-11-24");
    world.trade("A", "12", "2021-11-24T16:00:00Z");
    world.trade("A", "13", "2021-11-25T16:00:00Z");
    let last = world.levels("X").pop().unwrap();
    assert_eq!(
        last.prev_close,
        Some(decimal("10.00")),
        "the official close, not the last level"
    );
}

#[test]
fn holds_what_is_not_plausible() {
    let gate = r#","calendar":"N","gate":{"last":"10","close":"20","widen":"2","cross":{"percent":"3","within_s":60}}"#;
    let mut world = world(gate, "");
    let mut check = |source: u32, price: &str, ts: &str, expected: Option<&str>| {
        let ts = time(ts);
        let (received, source) = (ts, LabelId(source));
        let before = world.engine.held().count();
        let origin = Origin {
            ts,
            received,
            source,
            inc: None,
            seq: None,
        };
        world.tick_of(Kind::Trade, "A", price, origin);
        let held = world.engine.held().nth(before);
        assert_eq!(
            held.map(|(_, held)| held.doubt.as_str()),
            expected,
            "{price} at {ts}"
        );
        let is_held = world.last_effect() == Effect::Held;
        assert_eq!(is_held, expected.is_some(), "{price} at {ts}");
    };
    check(0, "100", "2021-11-24T15:00:00Z", None);
    check(0, "110", "2021-11-24T15:00:01Z", None);
    check(1, "116", "2021-11-24T15:00:02Z", Some("cross"));
    check(1, "112", "2021-11-24T15:00:03Z", None);
    check(0, "130", "2021-11-24T15:00:04Z", Some("last"));
    // The first price of a session may be twice as far away; the second may not.
    check(0, "130", "2021-11-26T14:31:00Z", None);
    check(0, "138", "2021-11-26T14:31:01Z", Some("close"));
    check(0, "134", "2021-11-26T14:31:02Z", None);
}

#[test]
fn a_held_price_counts_when_it_is_released() {
    let mut world = world(r#","gate":{"last":"10"}"#, "");
    for symbol in ["A", "B", "C"] {
        world.trade(symbol, "10", "2021-11-24T15:00:00Z");
    }
    world.trade("A", "12", "2021-11-24T15:00:01Z");
    assert_eq!(world.last_effect(), Effect::Held);
    assert_eq!(world.level("X"), "30.00");
    let (held, _) = world.engine.held().next().unwrap();
    world.order(Order::Release { held });
    assert_eq!(world.level("X"), "32.00");
    assert!(world.engine.check_order(&Order::Reject { held }).is_err());
    world.trade("A", "20", "2021-11-24T15:00:02Z");
    let (held, _) = world.engine.held().next().unwrap();
    world.trade("A", "12.5", "2021-11-24T15:00:03Z");
    assert!(
        world.engine.check_order(&Order::Release { held }).is_err(),
        "a newer one counts"
    );
    world.order(Order::Reject { held });
    assert_eq!(
        (world.engine.held().count(), world.level("X").as_str()),
        (0, "32.50")
    );
    // A split is no jump of the price.
    world.load(r#"{"revisions":[{"id":"s","adjust":[{"symbol":"A","split":{"from":1,"to":5}}]}]}"#);
    world.trade("A", "2.6", "2021-11-24T15:00:04Z");
    assert_eq!(world.last_effect(), Effect::Applied);
}

#[test]
fn the_best_source_counts() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD",
            "sources":{"order":["prime","second"],"silent_s":30}}]}"#,
    );
    world.apply(vec![
        Input::Label("second".into()),
        Input::Label("prime".into()),
    ]);
    let mut send = |source: u32, ts: &str| {
        let ts = time(ts);
        let source = LabelId(source);
        let admitted = world.engine.admit_price(
            "A",
            Decimal::ONE,
            None,
            Origin {
                ts,
                received: ts,
                source,
                inc: None,
                seq: None,
            },
            None,
            None,
        );
        let now = world.engine.time();
        world.apply_at(now, vec![admitted.unwrap()]);
        world.last_effect()
    };
    assert_eq!(send(0, "2021-11-24T15:00:00Z"), Effect::Applied);
    assert_eq!(send(1, "2021-11-24T15:00:01Z"), Effect::Applied);
    assert_eq!(send(0, "2021-11-24T15:00:02Z"), Effect::Outranked);
    assert_eq!(send(0, "2021-11-24T15:00:31Z"), Effect::Applied);
    assert_eq!(send(1, "2021-11-24T15:00:32Z"), Effect::Applied);
}

#[test]
fn holds_rates() {
    let mut world =
        World::with(r#"{"pairs":[{"base":"EUR","quote":"USD","last":"3","inversion":true}]}"#);
    let mut check = |base: &str, quote: &str, rate: &str, seconds: i64, expected| {
        let ts = format!("2021-11-24T15:00:{seconds:02}Z");
        let input = world.rate(base, quote, rate, &ts);
        world.apply(vec![input]);
        assert_eq!(world.last_effect(), expected, "{rate}");
        world
            .engine
            .held()
            .last()
            .map(|(_, held)| held.doubt.as_str())
    };
    check("EUR", "USD", "1.0825", 0, Effect::Applied);
    check("EUR", "USD", "1.09", 1, Effect::Applied);
    assert_eq!(check("EUR", "USD", "1.15", 2, Effect::Held), Some("last"));
    assert_eq!(
        check("EUR", "USD", "0.92", 3, Effect::Held),
        Some("inverted")
    );
    check("USD", "EUR", "0.80", 4, Effect::Applied);
    assert_eq!(
        check("EUR", "USD", "1.091", 5, Effect::Held),
        Some("inverted")
    );
}

#[test]
fn refuses_rules_that_ask_for_nothing() {
    let check = |rule: &str, why: &str| {
        let world = World::with(r#"{"securities":[{"symbol":"A","currency":"USD"}]}"#);
        let refused = world.refusal(&format!(
            r#"{{"indexes":[{{"code":"X","currency":"USD","weighting":{{"scheme":"price"}},
                "base":{{"divisor":"1"}},{rule},"basket":[{{"symbol":"A"}}]}}]}}"#
        ));
        assert!(refused.contains(why), "{refused}");
    };
    check(r#""calendar":"N""#, "not a known calendar");
    check(r#""session":{"soq":true}"#, "needs a `calendar`");
    check(r#""stale":{}"#, "needs `after_s` or `sessions`");
    check(r#""stale":{"after_s":0}"#, "above 0");
    check(r#""jump_max":"-1""#, "must be above 0");
    check(r#""jump_max":"1.00001""#, "at most 4 places");
}

#[test]
fn a_rule_of_staleness_that_comes_later_lets_time_pass() {
    let definitions = |rule: &str| {
        format!(
            r#"{{"securities":[{{"symbol":"A","currency":"USD"}}],
                "indexes":[{{"code":"X","currency":"USD","weighting":{{"scheme":"price"}},{rule}
                    "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}}]}}"#
        )
    };
    let mut world = early(&definitions(""));
    let at = |second: u32| {
        time(&format!(
            "2021-11-24T15:0{}:{:02}Z",
            second / 60,
            second % 60
        ))
    };
    let price = world.price("A", "10", "2021-11-24T15:00:00Z");
    world.apply_at(at(0), vec![price]);
    world.apply_at(at(100), Vec::new());
    assert_eq!(world.index("X").status, Status::Live);
    assert_eq!(world.engine.poll_timeout(), None);
    let by = LabelId(0);
    let rule = definitions(r#""stale":{"after_s":120,"weight":"50"},"#);
    let definitions = serde_json::from_str(&rule).unwrap();
    world.apply_at(at(110), vec![Input::Define { by, definitions }]);
    assert_eq!(world.index("X").status, Status::Live);
    world.apply_at(at(121), Vec::new());
    assert_eq!(world.index("X").status, Status::Stale);
}
