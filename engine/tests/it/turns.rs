//! Where days, closes and announcements that come late meet.

use divisor_engine::{ActionState, Input, Kind, Named, Order, Output};

use crate::actions::{held, price, three_with};
use crate::support::{World, decimal, origin, time};

const L: &str = r#"{"name":"L","zone":"UTC",
    "week":[{"days":["mon","tue","wed","thu","fri"],"open":"09:30","close":"16:00"}]}"#;

/// A daily hedge over an evening in which the rate moves behind the close.
#[test]
fn hedge_has_no_gap_between_close_and_midnight() {
    let mut world = crate::sessions::early(&format!(
        r#"{{"calendars":[{L}],
        "securities":[{{"symbol":"A","currency":"EUR"}},{{"symbol":"FWD","currency":"USD"}}],
        "indexes":[{{"code":"U","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}},
        {{"code":"V","currency":"USD","of":"U","rounding":{{"level":{{"places":6}}}},
          "variant":{{"kind":"hedged","valuation":"spot","reset":"daily",
            "forwards":[{{"currency":"EUR","security":"FWD"}}]}}}}]}}"#
    ));
    let fx = |world: &mut World, rate: &str, ts: &str| {
        let spot = world.rate("EUR", "USD", rate, ts);
        let forward = world.price("FWD", rate, ts);
        world.apply_at(time(ts), vec![forward, spot]);
    };
    fx(&mut world, "1.00", "2021-01-06T10:00:00Z");
    world.trade("A", "100", "2021-01-06T15:00:00Z");
    world.trade("A", "100", "2021-01-07T15:00:00Z");
    assert_eq!(world.level("V"), "100.000000");
    // The dollar falls by a tenth behind the close of the 7th; nothing else ever moves.
    fx(&mut world, "1.10", "2021-01-07T20:00:00Z");
    world.trade("A", "100", "2021-01-08T15:00:00Z");
    assert_eq!(world.level("U"), "110.00");
    assert_eq!(world.level("V"), "100.000000", "hedged");
}

/// A dividend that is announced behind the close of its ex-date.
#[test]
fn late_dividend_behind_the_close_stays() {
    let mut world = crate::sessions::early(&format!(
        r#"{{"calendars":[{L}],"securities":[{{"symbol":"A","currency":"USD"}}],
        "indexes":[{{"code":"U","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}},
        {{"code":"T","currency":"USD","of":"U","variant":{{"kind":"total_return"}}}},
        {{"code":"P","currency":"USD","of":"U","variant":{{"kind":"total_return","reinvestment":"prior_close"}}}}]}}"#
    ));
    world.trade("A", "100", "2021-01-06T15:00:00Z");
    world.trade("A", "90", "2021-01-07T15:00:00Z");
    world.trade("A", "90", "2021-01-07T17:00:00Z");
    assert_eq!(world.closes().len(), 6);
    world.load_now(r#"{"actions":[{"id":"1","type":"dividend","symbol":"A","ex_date":"2021-01-07","amount":"10"}]}"#);
    let after = (world.level("T"), world.level("P"));
    world.trade("A", "90", "2021-01-08T15:00:00Z");
    assert_eq!(
        (after.0, after.1, world.level("T"), world.level("P")),
        (
            "100.00".into(),
            "100.00".into(),
            "100.00".into(),
            "100.00".into()
        )
    );
}

/// A dividend that is announced after the day of one index has begun, not of the other.
fn two_days(late: bool) -> World {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"S","currency":"USD"},{"symbol":"Z","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
            "basket":[{"symbol":"S"},{"symbol":"Z"}]},
        {"code":"Y","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
            "basket":[{"symbol":"S"}]},
        {"code":"T","currency":"USD","of":"Y","variant":{"kind":"total_return"}}]}"#,
    );
    let cash = r#"{"actions":[{"id":"1","type":"dividend","symbol":"S","ex_date":"2026-01-07","amount":"10"}]}"#;
    world.ticks("2026-01-05", &[("S", "100"), ("Z", "10")]);
    world.ticks("2026-01-06", &[("S", "100"), ("Z", "10")]);
    if !late {
        world.load(cash);
    }
    world.ticks("2026-01-07T08:00:00Z", &[("Z", "10")]);
    if late {
        world.load(cash);
    }
    world.ticks("2026-01-07T15:00:00Z", &[("S", "90")]);
    world
}

#[test]
fn late_dividend_counts_on_the_day_it_has() {
    let (early, late) = (two_days(false), two_days(true));
    assert_eq!(early.level("T"), "100.00");
    assert_eq!(late.level("T"), "100.00");
}

/// A bankruptcy of the next day while a close is still due, in a replay.
#[test]
fn reference_rate_takes_no_close_by_surprise() {
    let run = |brr: &str| {
        let mut world = crate::sessions::early(&format!(
            r#"{{"calendars":[{L}],
            "securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"USD"}}],
            "indexes":[{{"code":"X","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
                "base":{{"divisor":"1"}},"session":{{"close":{{"at":"official"}}}},
                "basket":[{{"symbol":"A"}},{{"symbol":"B"}}]}}{brr}]}}"#
        ));
        let now = Some("2026-06-01T12:00:00Z");
        world.load_now(
            r#"{"actions":[{"id":"0","ex_date":"2021-01-08","type":"bankruptcy","symbol":"A"}]}"#,
        );
        world.tick(Kind::Trade, "A", "100", "2021-01-07T15:00:00Z", now);
        world.tick(Kind::Trade, "B", "50", "2021-01-07T15:00:00Z", now);
        world.tick(Kind::Trade, "A", "1", "2021-01-08T10:00:00Z", now);
        world.tick(Kind::Trade, "B", "50", "2021-01-08T10:00:00Z", now);
        let closes = world.closes();
        let closes = closes
            .iter()
            .map(|c| format!("{} {} {}", c.day, c.level.level, c.members.len()));
        closes.collect::<Vec<_>>()
    };
    let brr = r#",{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
        "window":{"start":"09:00","end":"16:00"},"basket":[{"symbol":"A"}]}"#;
    assert_eq!(run(""), ["2021-01-07 150.00 2"]);
    assert_eq!(run(brr), ["2021-01-07 150.00 2"]);
}

/// A split of what a reference rate is made of.
#[test]
fn a_split_of_what_a_rate_is_made_of() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"BTC","currency":"USD"}],
        "indexes":[{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
            "window":{"start":"15:00","end":"16:00","partitions":1},
            "basket":[{"symbol":"BTC"}]},
        {"code":"X","currency":"USD","weighting":{"scheme":"fixed_units"},"base":{"value":"1000"},
            "basket":[{"symbol":"BTC","units":"1"}]}]}"#,
    );
    for (price, ts) in [
        ("100", "2026-07-01T15:10:00Z"),
        ("100", "2026-07-01T16:10:00Z"),
    ] {
        let input = sized(&world, "BTC", price, ts);
        world.apply(vec![input]);
    }
    assert_eq!(world.level("BRR"), "100.00");
    world.load(r#"{"actions":[{"id":"0","ex_date":"2026-07-02","type":"split","symbol":"BTC","from":1,"to":2}]}"#);
    let input = sized(&world, "BTC", "50", "2026-07-02T10:00:00Z");
    world.apply(vec![input]);
    assert_eq!(
        world.engine.action("0").unwrap().state,
        &ActionState::Applied
    );
    assert_eq!(world.level("X"), "1000.00");
}

fn sized(world: &World, symbol: &str, price: &str, ts: &str) -> Input {
    world
        .engine
        .admit_price(
            symbol,
            decimal(price),
            None,
            origin(ts),
            Some(decimal("1")),
            None,
        )
        .unwrap()
}

/// The first trade after a split, at a price that the gate believes.
#[test]
fn first_trade_of_a_split_is_in_the_rate() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"BTC","currency":"USD","gate":{"last":"10"}}],
        "indexes":[{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
            "window":{"start":"15:00","end":"16:00","partitions":1},
            "basket":[{"symbol":"BTC"}]}]}"#,
    );
    let put = |world: &mut World, price: &str, ts: &str| {
        let input = sized(world, "BTC", price, ts);
        world.apply(vec![input]);
    };
    put(&mut world, "100", "2026-07-01T12:00:00Z");
    world.load(r#"{"actions":[{"id":"0","ex_date":"2026-07-02","type":"split","symbol":"BTC","from":1,"to":2}]}"#);
    put(&mut world, "50", "2026-07-02T15:10:00Z");
    assert_eq!(world.last_effect(), divisor_engine::Effect::Applied);
    put(&mut world, "54", "2026-07-02T15:20:00Z");
    put(&mut world, "54", "2026-07-02T16:00:00Z");
    assert_eq!(
        world.level("BRR"),
        "50.00",
        "half of the size is traded at 50"
    );
}

/// A trade of a day on which trading is suspended.
#[test]
fn suspended_from_today() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"BTC","currency":"USD"}],
        "indexes":[{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
            "window":{"start":"15:00","end":"16:00","partitions":1},
            "basket":[{"symbol":"BTC"}]}]}"#,
    );
    let put = |world: &mut World, price: &str, ts: &str| {
        let input = sized(world, "BTC", price, ts);
        world.apply(vec![input]);
    };
    put(&mut world, "100", "2026-07-01T15:10:00Z");
    put(&mut world, "100", "2026-07-01T16:10:00Z");
    world.load(
        r#"{"actions":[{"id":"0","ex_date":"2026-07-02","type":"suspension","symbol":"BTC"},
        {"id":"1","ex_date":"2026-07-03","type":"resumption","symbol":"BTC"}]}"#,
    );
    put(&mut world, "50", "2026-07-02T15:10:00Z");
    assert_eq!(world.last_effect(), divisor_engine::Effect::Held);
    put(&mut world, "60", "2026-07-03T15:10:00Z");
    assert_eq!(world.last_effect(), divisor_engine::Effect::Applied);
    put(&mut world, "60", "2026-07-03T16:10:00Z");
    assert_eq!(world.level_texts("BRR"), ["100.00", "60.00"]);
}

/// A redenomination between the plan of a review and its day.
#[test]
fn reference_prices_follow_a_redenomination() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"HRK"},{"symbol":"B","currency":"EUR"}],
        "indexes":[{"code":"X","currency":"EUR","weighting":{"scheme":"equal"},"base":{"value":"100"},
            "basket":[{"symbol":"A"},{"symbol":"B"}]}]}"#,
    );
    let rate = world.rate("HRK", "EUR", "0.125", "2026-01-05");
    world.apply(vec![rate]);
    world.ticks("2026-01-05", &[("A", "800"), ("B", "100")]);
    world.load(r#"{"actions":[
        {"id":"0","ex_date":"2026-01-06","type":"redenomination","symbol":"A","currency":"EUR","rate":"0.125"},
        {"id":"1","ex_date":"2026-01-07","type":"rebalance","index":"X","reference":[
            {"symbol":"A","price":"800","rate":"0.125"},{"symbol":"B","price":"100"}]}]}"#);
    world.ticks("2026-01-06", &[("A", "100"), ("B", "100")]);
    world.ticks("2026-01-07", &[("B", "100")]);
    assert_eq!(
        world.engine.action("1").unwrap().state,
        &ActionState::Applied
    );
    let weights = world.engine.weights(world.index("X").id, 4).unwrap();
    let weights: Vec<_> = weights.iter().map(ToString::to_string).collect();
    assert_eq!(weights, ["0.5000", "0.5000"]);
}

/// A takeover on a day of a review that takes several.
#[test]
fn a_takeover_on_the_way_of_a_review() {
    let mut world = three_with("");
    world.load(
        r#"{"actions":[
        {"id":"0","ex_date":"2026-01-06","type":"merger","symbol":"B","acquirer":"A","ratio":1},
        {"id":"1","ex_date":"2026-01-06","type":"rebalance","index":"CAP","days":2,
         "basket":[{"symbol":"A","shares":3000},{"symbol":"C","shares":1000}]}]}"#,
    );
    world.ticks("2026-01-06", &[("C", "100")]);
    // 2,000 after the takeover, and half of the way to 3,000.
    assert_eq!(held(&world, "CAP", "A"), ("2500".into(), "2500".into()));
}

/// A takeover, and a deletion whose proceeds go to the acquirer.
#[test]
fn proceeds_to_an_acquirer() {
    let mut world = three_with("");
    world.load(r#"{"actions":[
        {"id":"0","ex_date":"2026-01-06","type":"merger","symbol":"B","acquirer":"A","ratio":1},
        {"id":"1","ex_date":"2026-01-06","type":"deletion","index":"CAP","symbol":"C","proceeds":"A"}]}"#);
    world.ticks("2026-01-06", &[("A", "100")]);
    assert_eq!(held(&world, "CAP", "A").0, "3000");
}

/// Names that change, in a load that comes late.
fn named(late: bool) -> World {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"OLD","currency":"USD"},{"symbol":"B","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"market_cap"},"base":{"value":"100"},
            "basket":[{"symbol":"OLD","shares":1000},{"symbol":"B","shares":1000}]}]}"#,
    );
    world.ticks("2026-01-05", &[("OLD", "100"), ("B", "100")]);
    let (name, rest) = (
        r#"{"id":"0","ex_date":"2026-01-06","type":"symbol_change","symbol":"OLD","to":"NEW"}"#,
        |who: &str| {
            format!(
                r#"{{"id":"1","ex_date":"2026-01-07","type":"dividend","kind":"special","symbol":"{who}","amount":"10"}},
        {{"id":"2","ex_date":"2026-01-08","type":"split","symbol":"OLD","from":1,"to":2}}"#
            )
        },
    );
    if !late {
        let rest = rest("OLD");
        world.load(&format!(r#"{{"actions":[{name},{rest}]}}"#));
    }
    for day in ["2026-01-06", "2026-01-07", "2026-01-08"] {
        world.ticks(day, &[("B", "100")]);
    }
    if late {
        let rest = rest("NEW");
        world.load(&format!(r#"{{"actions":[{name},{rest}]}}"#));
    }
    world
}

#[test]
fn late_names() {
    assert_eq!(price(&named(false), "NEW"), "45");
    assert_eq!(price(&named(true), "NEW"), "45");
}

/// A total return in another currency, held by an index of indexes.
#[test]
fn converted_total_return_is_one() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"}],
        "indexes":[{"code":"U","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},"basket":[{"symbol":"A"}]},
        {"code":"T","currency":"USD","of":"U","variant":{"kind":"total_return"}},
        {"code":"E","currency":"EUR","of":"T","variant":{"kind":"converted"}},
        {"code":"I","currency":"EUR","weighting":{"scheme":"equal"},"base":{"value":"100"},"basket":[{"symbol":"indexes/E"}]}]}"#,
    );
    world.load(r#"{"indexes":[{"code":"IT","currency":"EUR","of":"I","variant":{"kind":"total_return"}}]}"#);
}

/// A variant that was out of service over a close.
#[test]
fn inactive_variants_are_fixed_at_the_close_too() {
    let run = |pause: bool| {
        let mut world = crate::sessions::early(&format!(
            r#"{{"calendars":[{L}],"securities":[{{"symbol":"A","currency":"USD"}}],
            "indexes":[{{"code":"U","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
                "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}},
            {{"code":"V","currency":"USD","of":"U","variant":{{"kind":"leveraged","factor":"2"}}}}]}}"#
        ));
        let of = || Named::Index("V".into());
        world.trade("A", "100", "2021-01-06T15:00:00Z");
        world.trade("A", "110", "2021-01-07T15:00:00Z");
        if pause {
            world.order(Order::Deactivate {
                of: of(),
                note: None,
            });
        }
        world.trade("A", "99", "2021-01-07T17:00:00Z");
        world.trade("A", "121", "2021-01-08T15:00:00Z");
        if pause {
            world.order(Order::Reactivate {
                of: of(),
                note: None,
            });
        }
        world.trade("A", "121", "2021-01-08T15:10:00Z");
        world.level("V")
    };
    assert_eq!((run(false), run(true)), ("144.00".into(), "144.00".into()));
}

/// A bankruptcy that comes late for one index, before the close of another.
#[test]
fn late_action_and_a_close_that_is_due() {
    let run = |late: bool| {
        let mut world = crate::sessions::early(&format!(
            r#"{{"calendars":[{L}],
            "securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"USD"}},{{"symbol":"Z","currency":"USD"}}],
            "indexes":[{{"code":"X","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
                "base":{{"divisor":"1"}},"session":{{"close":{{"at":"official"}}}},
                "basket":[{{"symbol":"A"}},{{"symbol":"B"}}]}},
                {{"code":"Y","currency":"USD","weighting":{{"scheme":"price"}},"base":{{"divisor":"1"}},
                "basket":[{{"symbol":"A"}},{{"symbol":"Z"}}]}}]}}"#
        ));
        let now = Some("2026-06-01T12:00:00Z");
        let gone =
            r#"{"actions":[{"id":"0","ex_date":"2021-01-08","type":"bankruptcy","symbol":"A"}]}"#;
        for (s, p) in [("A", "100"), ("B", "50"), ("Z", "10")] {
            world.tick(Kind::Trade, s, p, "2021-01-07T15:00:00Z", now);
        }
        if !late {
            world.load_now(gone);
        }
        world.tick(Kind::Trade, "Z", "10", "2021-01-08T08:00:00Z", now);
        if late {
            world.load_now(gone);
        }
        world.tick(Kind::Trade, "B", "50", "2021-01-08T10:00:00Z", now);
        let closes = world.closes();
        let closes = closes
            .iter()
            .map(|c| format!("{} {} {}", c.day, c.level.level, c.members.len()));
        closes.collect::<Vec<_>>()
    };
    assert_eq!(run(false), ["2021-01-07 150.00 2"]);
    assert_eq!(run(true), ["2021-01-07 150.00 2"]);
}

/// Shares that change within the day of a dividend, and another dividend behind them.
#[test]
fn points_of_a_dividend_stay() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
            "indexes":[
            {"code":"U","currency":"USD","weighting":{"scheme":"market_cap"},
             "base":{"divisor":"2"},"rounding":{"level":{"places":6}},
             "basket":[{"symbol":"A","shares":"10"},{"symbol":"B","shares":"5"}]},
            {"code":"GROSS","currency":"USD","of":"U","variant":{"kind":"total_return"},
             "rounding":{"level":{"places":6}}},
            {"code":"POINTS","currency":"USD","of":"U","variant":{"kind":"dividend_points","reset":"yearly"},
             "rounding":{"level":{"places":6}}}]}"#,
    );
    world.ticks("2026-01-29", &[("A", "20"), ("B", "40")]);
    world.load(r#"{"actions":[{"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2"}]}"#);
    world.ticks("2026-01-30", &[("A", "18")]);
    assert_eq!(
        (
            world.level("U"),
            world.level("GROSS"),
            world.level("POINTS")
        ),
        ("190.000000".into(), "200.000000".into(), "10.000000".into())
    );
    world.load(r#"{"actions":[{"id":"2","type":"share_change","symbol":"B","ex_date":"2026-01-30","shares":"14"}]}"#);
    // 180 + 560 = 740 at 190.
    assert_eq!(
        (
            world.level("U"),
            world.level("GROSS"),
            world.level("POINTS")
        ),
        ("190.000000".into(), "200.000000".into(), "10.000000".into())
    );
    world.load(r#"{"actions":[{"id":"3","type":"dividend","symbol":"B","ex_date":"2026-01-30","amount":"0.037"}]}"#);
    // 14·0.037/(740/190) = 0.133 points more.
    assert_eq!(
        (world.level("GROSS"), world.level("POINTS")),
        ("200.133000".into(), "10.133000".into())
    );
}

/// An index of an index that was defined before it, and two days in a batch.
#[test]
fn closes_upwards() {
    let run = |first: &str, second: &str, together: bool| {
        let mut world = World::with(
            r#"{"securities":[{"symbol":"S","currency":"USD"},{"symbol":"R","currency":"USD"}]}"#,
        );
        let one = |code: &str, basket: &str| {
            format!(
                r#"{{"indexes":[{{"code":"{code}","currency":"USD",
            "weighting":{{"scheme":"fixed_units"}},"base":{{"divisor":"1"}},"basket":[{basket}]}}]}}"#
            )
        };
        let s = r#"{"symbol":"S","units":"1"}"#;
        world.load(&one(first, s));
        world.load(&one(second, s));
        world.ticks("2026-01-05", &[("S", "100")]);
        world.load(&one(
            "I",
            &format!(r#"{s},{{"symbol":"indexes/A","units":"1"}}"#),
        ));
        world.ticks("2026-01-05T21:30:00Z", &[("S", "100")]);
        let level = world.level("I");
        let inputs = vec![
            world.price("S", "110", "2026-01-05T22:00:00Z"),
            world.price("S", "120", "2026-01-06T10:00:00Z"),
        ];
        if together {
            world.apply(inputs)
        } else {
            for i in inputs {
                world.apply(vec![i]);
            }
        }
        let last = world.levels("I").pop().unwrap();
        (
            level,
            last.prev_close.map(|p| p.to_string()),
            last.level.to_string(),
        )
    };
    assert_eq!(run("I", "A", true), run("A", "I", true));
}

/// A calendar whose sessions end where the days of the index do.
fn round_the_clock(live: bool, actions: &str) -> World {
    let mut world = crate::sessions::early(
        r#"{"calendars":[{"name":"W","zone":"UTC",
            "week":[{"days":["mon","tue","wed","thu","fri","sat","sun"],"open":"00:00","close":"24:00"}]}],
        "securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
        "indexes":[{"code":"U","currency":"USD","calendar":"W","weighting":{"scheme":"price"},
            "base":{"divisor":"1"},"basket":[{"symbol":"A"},{"symbol":"B"}]},
        {"code":"V","currency":"USD","of":"U","variant":{"kind":"leveraged","factor":"2"}}]}"#,
    );
    if !actions.is_empty() {
        world.load_now(actions);
    }
    for (day, price) in [("05", "50"), ("06", "60"), ("07", "71")] {
        let ts = format!("2021-01-{day}T12:00:00Z");
        if live {
            world.wait(&ts);
        }
        let received = if live {
            ts.clone()
        } else {
            "2026-06-01T12:00:00Z".to_owned()
        };
        for (s, p) in [("B", "50"), ("A", price)] {
            world.tick(Kind::Trade, s, p, &ts, Some(&received));
        }
    }
    world
}

/// Sessions that end with the day, replayed.
#[test]
fn a_close_at_the_end_of_the_day_comes_before_the_next() {
    let level = |live| round_the_clock(live, "").level("V");
    // 100·(1 + 2·0.1)·(1 + 2·0.1)
    assert_eq!(level(true), "144.00");
    assert_eq!(level(false), "144.00");
}

#[test]
fn and_before_its_actions() {
    let closes = |live| {
        let gone =
            r#"{"actions":[{"id":"0","ex_date":"2021-01-07","type":"bankruptcy","symbol":"B"}]}"#;
        let world = round_the_clock(live, gone);
        let u = world.index("U").id;
        let closes = world.closes();
        let of = closes.iter().filter(|c| c.level.index == u);
        of.map(|c| format!("{} {}", c.day, c.level.level))
            .collect::<Vec<_>>()
    };
    let expected = ["2021-01-05 100.00", "2021-01-06 110.00", "2021-01-07 77.45"];
    assert_eq!(closes(true)[..2], expected[..2]);
    assert_eq!(closes(false)[..2], expected[..2]);
}

/// The final close is not the first one.
#[test]
fn final_close() {
    let mut world = crate::sessions::early(&format!(
        r#"{{"calendars":[{L}],
        "securities":[{{"symbol":"A","currency":"USD","calendar":"L"}}],
        "indexes":[{{"code":"X","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"session":{{"close":{{"at":"official","after_s":600}},"final_after_s":3600}},
            "basket":[{{"symbol":"A"}}]}},
        {{"code":"V","currency":"USD","of":"X","variant":{{"kind":"leveraged","factor":"2"}}}}]}}"#
    ));
    world.trade("A", "100", "2021-01-06T15:00:00Z");
    world.wait("2021-01-07T15:00:00Z");
    world.trade("A", "100", "2021-01-07T15:00:00Z");
    world.wait("2021-01-07T16:00:01Z");
    world.tick(
        Kind::Close,
        "A",
        "100",
        "2021-01-07T16:00:00Z",
        Some("2021-01-07T16:00:01Z"),
    );
    world.tick(
        Kind::Close,
        "A",
        "110",
        "2021-01-07T16:00:00Z",
        Some("2021-01-07T16:00:30Z"),
    );
    world.wait("2021-01-07T18:00:00Z");
    let closes = world.closes();
    let last = closes
        .iter()
        .rev()
        .find(|c| c.level.index == world.index("X").id)
        .unwrap();
    assert_eq!((last.is_final, last.level.level), (true, decimal("110.00")));
    world.wait("2021-01-08T15:00:00Z");
    world.trade("A", "121", "2021-01-08T15:00:00Z");
    let prev = world
        .levels("X")
        .pop()
        .unwrap()
        .prev_close
        .unwrap()
        .to_string();
    // 100·(1 + 2·0.1)·(1 + 2·0.1)
    assert_eq!((prev, world.level("V")), ("110.00".into(), "144.00".into()));
}

/// A snapshot after each step.
#[test]
fn snapshots() {
    let run = |cut: bool| {
        let mut world = crate::sessions::early(&format!(
            r#"{{"calendars":[{L}],
            "securities":[{{"symbol":"A","currency":"HRK"}},{{"symbol":"B","currency":"EUR"}},{{"symbol":"FWD","currency":"EUR"}}],
            "indexes":[{{"code":"X","currency":"EUR","calendar":"L","weighting":{{"scheme":"equal","reset":"third_friday_monthly"}},"base":{{"value":"100"}},
                "basket":[{{"symbol":"A"}},{{"symbol":"B"}}]}},
            {{"code":"T","currency":"EUR","of":"X","variant":{{"kind":"total_return"}}}},
            {{"code":"LV","currency":"EUR","of":"T","variant":{{"kind":"leveraged","factor":"2"}}}},
            {{"code":"H","currency":"EUR","of":"X","variant":{{"kind":"hedged","forwards":[{{"currency":"HRK","security":"FWD"}}]}}}},
            {{"code":"R","currency":"HRK","weighting":{{"scheme":"volume_median"}},"window":{{"start":"15:00","end":"16:00"}},"basket":[{{"symbol":"A"}}]}}]}}"#
        ));
        let snap = |world: &mut World| {
            if cut {
                let text =
                    serde_json::to_string(&divisor_engine::Snapshot::of(world.engine.clone()))
                        .unwrap();
                let read: divisor_engine::Snapshot = serde_json::from_str(&text).unwrap();
                world.engine = read.into_engine().unwrap();
            }
        };
        let rate = world.rate("HRK", "EUR", "0.125", "2021-01-05T10:00:00Z");
        world.apply_at(time("2021-01-05T10:00:00Z"), vec![rate]);
        world.load_now(r#"{"actions":[
            {"id":"a","ex_date":"2021-01-07","type":"split","symbol":"A","from":1,"to":2},
            {"id":"b","ex_date":"2021-01-08","type":"dividend","symbol":"A","amount":"10"},
            {"id":"c","ex_date":"2021-01-08","type":"dividend","kind":"special","symbol":"B","amount":"10"},
            {"id":"d","ex_date":"2021-01-12","type":"rebalance","index":"X","days":3,"reference":[
                {"symbol":"A","price":"800","rate":"0.125"},{"symbol":"B","price":"100"}]}]}"#);
        snap(&mut world);
        for day in [
            "05", "06", "07", "08", "09", "11", "12", "13", "14", "15", "18",
        ] {
            for (n, at) in ["14:00", "15:10", "15:30", "17:00", "20:00"]
                .iter()
                .enumerate()
            {
                let ts = format!("2021-01-{day}T{at}:00Z");
                let d: i64 = day.parse().unwrap();
                let size = if day < "07" { 800 } else { 400 };
                for (s, p) in [
                    ("A", size + 7 * d + n as i64),
                    ("B", 100 - d + 2 * n as i64),
                    ("FWD", 1),
                ] {
                    let p = if s == "FWD" {
                        "0.126".to_owned()
                    } else {
                        p.to_string()
                    };
                    let input = sized(&world, s, &p, &ts);
                    world.apply_at(time(&ts), vec![input]);
                    snap(&mut world);
                }
            }
        }
        let mut all = Vec::new();
        for code in ["X", "T", "LV", "H", "R"] {
            all.push(world.level_texts(code));
        }
        all
    };
    let (a, b) = (run(false), run(true));
    assert_eq!(a, b);
}

/// A dividend that is announced between the pre-open and the first price of its day.
#[test]
fn pre_open_is_no_input() {
    let run = |at: &str| {
        let mut world = crate::sessions::early(
            r#"{"calendars":[{"name":"P","zone":"UTC",
                "week":[{"days":["mon","tue","wed","thu","fri"],"pre_open":"09:00","open":"09:30","close":"16:00"}]}],
            "securities":[{"symbol":"A","currency":"USD"}],
            "indexes":[{"code":"U","currency":"USD","calendar":"P","weighting":{"scheme":"price"},
                "base":{"divisor":"1"},"basket":[{"symbol":"A"}]},
            {"code":"T","currency":"USD","of":"U","variant":{"kind":"total_return"}}]}"#,
        );
        for day in ["05", "06"] {
            let ts = format!("2021-01-{day}T15:00:00Z");
            world.wait(&ts);
            world.trade("A", "100", &ts);
        }
        world.wait(at);
        world.load_now(r#"{"actions":[{"id":"1","type":"dividend","symbol":"A","ex_date":"2021-01-07","amount":"10"}]}"#);
        world.wait("2021-01-07T09:40:00Z");
        world.trade("A", "90", "2021-01-07T09:40:00Z");
        world.level("T")
    };
    assert_eq!(run("2021-01-07T08:50:00Z"), "100.00");
    assert_eq!(run("2021-01-07T09:10:00Z"), "100.00");
}

/// The same with a special dividend and a reset
#[test]
fn pre_open_and_order() {
    let run = |at: &str| {
        let mut world = crate::sessions::early(
            r#"{"calendars":[{"name":"P","zone":"UTC",
                "week":[{"days":["mon","tue","wed","thu","fri"],"pre_open":"09:00","open":"09:30","close":"16:00"}]}],
            "securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
            "indexes":[{"code":"U","currency":"USD","calendar":"P","weighting":{"scheme":"price"},
                "base":{"divisor":"1"},"basket":[{"symbol":"A"},{"symbol":"B"}]},
            {"code":"V","currency":"USD","of":"U","variant":{"kind":"leveraged","factor":"2"}}]}"#,
        );
        for day in ["05", "06"] {
            let ts = format!("2021-01-{day}T15:00:00Z");
            world.wait(&ts);
            world.trade("A", "100", &ts);
            world.trade("B", "100", &ts);
        }
        world.wait(at);
        world.load_now(r#"{"actions":[{"id":"1","type":"bankruptcy","symbol":"A","price":"80","ex_date":"2021-01-07"}]}"#);
        world.wait("2021-01-07T09:40:00Z");
        world.trade("B", "100", "2021-01-07T09:40:00Z");
        (world.level("U"), world.level("V"))
    };
    assert_eq!(
        run("2021-01-07T08:50:00Z"),
        ("180.00".into(), "160.00".into())
    );
    assert_eq!(
        run("2021-01-07T09:10:00Z"),
        ("180.00".into(), "160.00".into())
    );
}

/// Rates that move between two dividends of a day
#[test]
fn points_at_their_rate() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"EUR"},{"symbol":"B","currency":"USD"}],
            "indexes":[
            {"code":"U","currency":"USD","weighting":{"scheme":"fixed_units"},
             "base":{"divisor":"1"},"basket":[{"symbol":"A","units":"1"},{"symbol":"B","units":"1"}]},
            {"code":"P","currency":"USD","of":"U","variant":{"kind":"dividend_points","reset":"yearly"}}]}"#,
    );
    let rate = world.rate("EUR", "USD", "1.00", "2026-01-29");
    world.apply(vec![rate]);
    world.ticks("2026-01-29", &[("A", "100"), ("B", "100")]);
    world.load(r#"{"actions":[{"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"10"}]}"#);
    world.ticks("2026-01-30", &[("A", "90")]);
    assert_eq!(world.level("P"), "10.00");
    let rate = world.rate("EUR", "USD", "2.00", "2026-01-30");
    world.apply(vec![rate]);
    assert_eq!(world.level("P"), "10.00");
    world.load(r#"{"actions":[{"id":"2","type":"dividend","symbol":"B","ex_date":"2026-01-30","amount":"1"}]}"#);
    assert_eq!(world.level("P"), "11.00");
}

/// A special dividend that an index does not take out of the price, and its opening quotation.
#[test]
fn quotation_at_the_price_that_the_index_sees() {
    let mut world = crate::sessions::early(&format!(
        r#"{{"calendars":[{L}],
        "securities":[{{"symbol":"A","currency":"USD","calendar":"L"}},{{"symbol":"B","currency":"USD","calendar":"L"}}],
        "indexes":[{{"code":"X","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"session":{{"soq":true}},"actions":{{"special_dividends":{{"adjust":"never"}}}},
            "basket":[{{"symbol":"A"}},{{"symbol":"B"}}]}}]}}"#
    ));
    for s in ["A", "B"] {
        world.trade(s, "100", "2021-01-07T15:00:00Z");
        world.tick(Kind::Close, s, "100", "2021-01-07T16:00:00Z", None);
    }
    world.load_now(r#"{"actions":[{"id":"0","ex_date":"2021-01-08","type":"dividend","kind":"special","symbol":"A","amount":"10"}]}"#);
    world.tick(Kind::Open, "B", "100", "2021-01-08T09:30:01Z", None);
    assert_eq!(world.level("X"), "200.00");
    world.wait("2021-01-08T16:00:01Z");
    assert_eq!(world.closes().last().unwrap().soq, Some(decimal("200.00")));
}

/// The order of variants in a snapshot.
#[test]
fn order_of_variants() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"}],
        "indexes":[{"code":"U","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},"basket":[{"symbol":"A"}]},
        {"code":"V","currency":"USD","of":"U","variant":{"kind":"total_return"}},
        {"code":"W","currency":"USD","of":"V","variant":{"kind":"leveraged","factor":"2"}},
        {"code":"X","currency":"USD","of":"U","variant":{"kind":"leveraged","factor":"2"}}]}"#,
    );
    world.ticks("2026-01-05", &[("A", "100")]);
    let text = serde_json::to_string(&divisor_engine::Snapshot::of(world.engine.clone())).unwrap();
    let read: divisor_engine::Snapshot = serde_json::from_str(&text).unwrap();
    let mut other = world.clone();
    other.engine = read.into_engine().unwrap();
    world.ticks("2026-01-06", &[("A", "110")]);
    other.ticks("2026-01-06", &[("A", "110")]);
    let order = |w: &World| {
        w.outputs
            .iter()
            .filter_map(|o| {
                if let Output::Level(l) = o {
                    Some(l.index.0)
                } else {
                    None
                }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(order(&world), order(&other));
}

/// The previous close of a variant is its official close, too.
#[test]
fn previous_close_of_a_variant() {
    let mut world = crate::sessions::early(&format!(
        r#"{{"calendars":[{L}],"securities":[{{"symbol":"A","currency":"USD"}}],
        "indexes":[{{"code":"U","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}},
        {{"code":"T","currency":"USD","of":"U","variant":{{"kind":"total_return"}}}}]}}"#
    ));
    world.trade("A", "100", "2021-01-06T15:00:00Z");
    world.trade("A", "110", "2021-01-07T15:00:00Z");
    world.trade("A", "99", "2021-01-07T17:00:00Z");
    // The closed index says again what it is worth.
    world.load_now(
        r#"{"indexes":[{"code":"U","currency":"USD","calendar":"L","weighting":{"scheme":"price"},
            "base":{"divisor":"1"},"session":{"final_after_s":1},"basket":[{"symbol":"A"}]}]}"#,
    );
    world.trade("A", "121", "2021-01-08T15:00:00Z");
    let prev = |code: &str| {
        world
            .levels(code)
            .pop()
            .unwrap()
            .prev_close
            .map(|p| p.to_string())
    };
    assert_eq!(
        (prev("U"), prev("T")),
        (Some("110.00".into()), Some("110.00".into()))
    );
}

/// A split within an open window.
#[test]
fn a_split_in_a_window() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"T","currency":"USD"}],
        "indexes":[{"code":"R","currency":"USD","weighting":{"scheme":"volume_median"},
            "window":{"start":"14:00","end":"16:00","partitions":1},
            "basket":[{"symbol":"T"}]}]}"#,
    );
    let put = |world: &mut World, price: &str, ts: &str| {
        let input = sized(world, "T", price, ts);
        world.apply(vec![input]);
    };
    world.load(r#"{"actions":[{"id":"0","ex_date":"2026-07-02","zone":"Asia/Tokyo","type":"split","symbol":"T","from":1,"to":2}]}"#);
    put(&mut world, "100", "2026-07-01T14:30:00Z");
    put(&mut world, "100", "2026-07-01T14:31:00Z");
    put(&mut world, "100", "2026-07-01T14:32:00Z");
    put(&mut world, "50", "2026-07-01T15:30:00Z");
    put(&mut world, "50", "2026-07-01T16:00:00Z");
    assert_eq!(world.level("R"), "50.00");
}

/// A rate has the currency of what it is made of.
#[test]
fn a_redenomination_of_what_a_rate_is_made_of() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"T","currency":"HRK"}],
        "indexes":[{"code":"R","currency":"HRK","weighting":{"scheme":"volume_median"},
            "window":{"start":"14:00","end":"16:00"},"basket":[{"symbol":"T"}]}]}"#,
    );
    world.load(
        r#"{"actions":[{"id":"0","ex_date":"2026-07-02","type":"redenomination","symbol":"T",
            "currency":"EUR","rate":"0.125"}]}"#,
    );
    world.ticks("2026-07-02", &[("T", "100")]);
    let ActionState::Refused(why) = world.engine.action("0").unwrap().state else {
        panic!("it is accepted");
    };
    assert!(why.contains("a reference rate is made of this"), "{why}");
}
