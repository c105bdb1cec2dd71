//! What comes together on an ex-date: actions that were announced late, members that join, closes
//! that were still due, and what has not begun yet.

use divisor_engine::{ActionState, Output};

use crate::actions::{action, held, price, three_with};
use crate::support::{World, decimal, time};

fn members(world: &World, code: &str) -> Vec<String> {
    let basket = &world.index(code).definition.basket;
    basket.iter().map(|c| c.symbol.clone()).collect()
}

fn weights(world: &World, code: &str) -> Vec<String> {
    let weights = world.engine.weights(world.index(code).id, 6).unwrap();
    weights.iter().map(ToString::to_string).collect()
}

fn applied(world: &World, ids: &[&str]) {
    for id in ids {
        let state = world.engine.action(id).unwrap().state;
        assert_eq!(state, &ActionState::Applied, "{id}");
    }
}

#[test]
fn those_that_come_late_count_in_the_order_of_a_day() {
    let mut world = three_with("");
    let before = world.revisions("CAP").len();
    // As they are written the takeover would come after the review that knows nothing of B.
    world.load(
        r#"{"actions":[
        {"id":"review","ex_date":"2026-01-05","type":"rebalance","index":"CAP",
         "basket":[{"symbol":"A2","shares":3000},{"symbol":"C","shares":1000}]},
        {"id":"takeover","ex_date":"2026-01-05","type":"merger","symbol":"B","acquirer":"A2","ratio":2},
        {"id":"name","ex_date":"2026-01-04","type":"symbol_change","symbol":"A","to":"A2"}]}"#,
    );
    applied(&world, &["review", "takeover", "name"]);
    assert_eq!(members(&world, "CAP"), ["A2", "C"]);
    assert_eq!(members(&world, "PRICE"), ["A2", "C"]);
    assert_eq!(world.level("CAP"), "1000.00");
    assert_eq!(world.revisions("CAP").len(), before + 1);
    // One that cannot be applied is refused by name, the others with it: a load is whole.
    let why = world.refusal(
        r#"{"actions":[
        {"id":"more","ex_date":"2026-01-05","type":"share_change","symbol":"C","shares":2000},
        {"id":"gone","ex_date":"2026-01-05","type":"deletion","index":"CAP","symbol":"B"}]}"#,
    );
    assert!(why.starts_with("action gone:"), "{why}");
}

/// Adds NEW, at 10 before, to `CAP` on the day of another action.
fn joined(other: &str) -> World {
    let mut world = three_with("");
    world.load(
        r#"{"indexes":[{"code":"TOTAL","currency":"USD","of":"CAP",
            "variant":{"kind":"total_return"},"rounding":{"level":{"places":6}}}]}"#,
    );
    world.ticks("2026-01-05T21:30:00Z", &[("NEW", "10"), ("A", "100")]);
    world.load(&format!(
        r#"{{"actions":[{{"id":"1","ex_date":"2026-01-06","type":"addition","index":"CAP",
            "member":{{"symbol":"NEW","shares":10000}}}},
        {{"id":"0","ex_date":"2026-01-06",{other}}}]}}"#
    ));
    world.ticks("2026-01-06", &[("B", "100")]);
    applied(&world, &["0", "1"]);
    assert_eq!(world.level("CAP"), "1000.00");
    world
}

#[test]
fn who_joins_has_had_its_own_actions_of_the_day() {
    let split = r#""type":"split","symbol":"NEW","from":1,"to":2"#;
    let world = joined(split);
    assert_eq!(price(&world, "NEW"), "5");
    assert_eq!(held(&world, "CAP", "NEW"), ("10000".into(), "10000".into()));
    assert_eq!(world.divisor("CAP"), "350");
    // Bought at the close before, with the dividend: 10,000 of 1 in 400.
    let world = joined(r#""type":"dividend","symbol":"NEW","amount":"1""#);
    assert_eq!(world.divisor("CAP"), "400");
    assert_eq!(world.level("TOTAL"), "1025.000000");
    // A special one has left the price before.
    let world = joined(r#""type":"dividend","symbol":"NEW","amount":"1","kind":"special""#);
    assert_eq!(world.divisor("CAP"), "390");
    assert_eq!(world.level("TOTAL"), "1000.000000");
}

#[test]
fn who_joins_is_linked_whichever_input_comes_first() {
    let mut world = three_with("");
    world.ticks("2026-01-05T21:30:00Z", &[("NEW", "10"), ("A", "100")]);
    world.load(
        r#"{"actions":[{"id":"1","ex_date":"2026-01-06","type":"addition","index":"CAP",
            "member":{"symbol":"NEW","shares":10000}},
        {"id":"0","ex_date":"2026-01-06","type":"split","symbol":"NEW","from":1,"to":2}]}"#,
    );
    world.ticks("2026-01-06", &[("NEW", "6")]);
    applied(&world, &["0", "1"]);
    assert_eq!(world.divisor("CAP"), "350");
    assert_eq!(world.level("CAP"), "1028.57", "(300,000 + 60,000) / 350");
}

/// Two indexes whose sessions end at 16:00 and close by official prices: `OWN` of A, `OTHER` of A
/// and B.
fn closing() -> World {
    let index = |code: &str, basket: &str| {
        format!(
            r#"{{"code":"{code}","currency":"USD","calendar":"L","weighting":{{"scheme":"price"}},
            "base":{{"divisor":"1"}},"session":{{"close":{{"at":"official"}}}},"basket":[{basket}]}}"#
        )
    };
    let definitions = format!(
        r#"{{"calendars":[{{"name":"L","zone":"UTC",
            "week":[{{"days":["mon","tue","wed","thu","fri"],"open":"09:30","close":"16:00"}}]}}],
        "securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"USD"}}],
        "indexes":[{},{}]}}"#,
        index("OWN", r#"{"symbol":"A"}"#),
        index("OTHER", r#"{"symbol":"A"},{"symbol":"B"}"#),
    );
    let mut world = crate::sessions::early(&definitions);
    world.trade("A", "100", "2021-01-07T15:00:00Z");
    world.trade("B", "50", "2021-01-07T15:00:00Z");
    world.load_now(
        r#"{"actions":[
            {"id":"0","ex_date":"2021-01-08","type":"split","symbol":"A","from":1,"to":2}]}"#,
    );
    world
}

#[test]
fn a_close_that_is_still_due_comes_before_the_actions_of_the_next_day() {
    let mut world = closing();
    // No official price has come by the end of the day.
    world.trade("B", "51", "2021-01-08T10:00:00Z");
    applied(&world, &["0"]);
    for (code, close) in [("OWN", "100"), ("OTHER", "150")] {
        let id = world.index(code).id;
        let of = |output: &Output| {
            let Output::Closed(closed) = output else {
                return None;
            };
            (closed.level.index == id).then(|| closed.clone())
        };
        let closed: Vec<_> = world.outputs.iter().filter_map(of).collect();
        assert_eq!(closed.len(), 1, "{code}");
        let closed = &closed[0];
        assert_eq!(closed.day.to_string(), "2021-01-07");
        assert_eq!(closed.level.level, decimal(close), "{code}");
        assert_eq!(closed.divisor, Some(decimal("1")), "{code}");
        assert_eq!(closed.members[0].price, Some(decimal("100")), "{code}");
        assert!(closed.level.ts < time("2021-01-08T00:00:00Z"));
    }
    assert_eq!(price(&world, "A"), "50");
    assert_eq!(world.level("OTHER"), "151.50", "50 and 51 by 101/150");
}

#[test]
fn what_an_index_holds_is_stated_as_of_its_base_date() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"market_cap"},
            "base":{"value":"100","date":"2026-01-09"},
            "basket":[{"symbol":"A","shares":1000},{"symbol":"B","shares":1000}]}]}"#,
    );
    world.load(
        r#"{"actions":[
        {"id":"0","ex_date":"2026-01-07","type":"split","symbol":"A","from":1,"to":2},
        {"id":"1","ex_date":"2026-01-12","type":"split","symbol":"A","from":1,"to":5}]}"#,
    );
    world.ticks("2026-01-06", &[("A", "100")]);
    world.ticks("2026-01-07", &[("A", "50")]);
    applied(&world, &["0"]);
    world.ticks("2026-01-09", &[("A", "50"), ("B", "50")]);
    assert_eq!(held(&world, "X", "A"), ("1000".into(), "1000".into()));
    assert_eq!(world.level("X"), "100.00");
    world.ticks("2026-01-12", &[("A", "10")]);
    assert_eq!(held(&world, "X", "A"), ("5000".into(), "5000".into()));
    assert_eq!(world.level("X"), "100.00");
    let why = world.refusal(
        r#"{"indexes":[{"code":"Y","currency":"USD","weighting":{"scheme":"price"},
            "base":{"value":"100","date":"soon"},"basket":[{"symbol":"A"}]}]}"#,
    );
    assert!(why.contains("base date"), "{why}");
}

#[test]
fn a_day_of_a_review_is_one_with_a_session() {
    let mut world = World::with(
        r#"{"calendars":[{"name":"L","zone":"UTC","holidays":["2026-01-12"],
            "week":[{"days":["mon","tue","wed","thu","fri"],"open":"09:30","close":"16:00"}]}],
        "securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","calendar":"L","weighting":{"scheme":"market_cap"},
            "base":{"value":"100"},"basket":[{"symbol":"A","shares":1000},{"symbol":"B","shares":1000}]}]}"#,
    );
    world.ticks("2026-01-08", &[("A", "10"), ("B", "10")]);
    // A Friday, and the Tuesday after a holiday.
    world.load(
        r#"{"actions":[{"id":"0","ex_date":"2026-01-09","type":"rebalance","index":"X","days":2,
            "basket":[{"symbol":"A","shares":2000},{"symbol":"B","shares":1000}]}]}"#,
    );
    let mut shares = |ts: &str| {
        world.ticks(ts, &[("B", "10")]);
        held(&world, "X", "A").0
    };
    assert_eq!(shares("2026-01-09T12:00:00Z"), "1500");
    assert_eq!(shares("2026-01-11T12:00:00Z"), "1500");
    assert_eq!(shares("2026-01-12T12:00:00Z"), "1500");
    assert_eq!(shares("2026-01-13T12:00:00Z"), "2000");
}

#[test]
fn reference_prices_follow_what_actions_do_to_prices() {
    let mut world = three_with("");
    world.load(
        r#"{"actions":[{"id":"review","ex_date":"2026-01-08","type":"rebalance","index":"EQUAL",
            "reference":[{"symbol":"A","price":"100"},{"symbol":"B","price":"100"},
                         {"symbol":"C","price":"100"}]},
        {"id":"0","ex_date":"2026-01-07","type":"split","symbol":"A","from":1,"to":2},
        {"id":"1","ex_date":"2026-01-08","type":"split","symbol":"B","from":1,"to":4},
        {"id":"2","ex_date":"2026-01-08","type":"dividend","symbol":"C","amount":"20","kind":"special"}]}"#,
    );
    world.ticks("2026-01-07", &[("C", "100")]);
    world.ticks("2026-01-08", &[("C", "80")]);
    applied(&world, &["review", "0", "1", "2"]);
    assert_eq!(world.level("EQUAL"), "1000.00");
    let third = "0.333333";
    assert_eq!(weights(&world, "EQUAL"), [third; 3]);
}

#[test]
fn the_only_member_of_an_index_stays() {
    let mut world = three_with("");
    world.load(
        r#"{"indexes":[{"code":"SOLE","currency":"USD","weighting":{"scheme":"price"},
            "base":{"value":"100"},"basket":[{"symbol":"A"}]}]}"#,
    );
    world.load(&action(r#""type":"bankruptcy","symbol":"A""#));
    world.ticks("2026-01-06", &[("B", "100")]);
    applied(&world, &["x"]);
    assert_eq!(members(&world, "CAP"), ["B", "C"]);
    assert_eq!(world.level("CAP"), "666.67");
    assert_eq!(members(&world, "SOLE"), ["A"]);
    assert_eq!(world.level("SOLE"), "100.00");
}

#[test]
fn indexes_come_and_go_as_members() {
    let mut world = three_with("");
    world.load(
        r#"{"indexes":[{"code":"MIX","currency":"USD","weighting":{"scheme":"equal"},
            "base":{"value":"100"},"basket":[{"symbol":"indexes/CAP"},{"symbol":"A"}]},
        {"code":"V","currency":"USD","of":"CAP","variant":{"kind":"leveraged","factor":"2"}}]}"#,
    );
    world.ticks("2026-01-05T21:30:00Z", &[("A", "100")]);
    world.load(&action(
        r#""type":"addition","index":"MIX","member":{"symbol":"indexes/PRICE"},"replaces":"indexes/CAP""#,
    ));
    world.ticks("2026-01-06", &[("A", "100")]);
    assert_eq!(members(&world, "MIX"), ["A", "indexes/PRICE"]);
    assert_eq!(world.level("MIX"), "100.00");
    world.load(
        r#"{"actions":[{"id":"y","ex_date":"2026-01-07","type":"rebalance","index":"MIX",
            "basket":[{"symbol":"indexes/EQUAL"},{"symbol":"indexes/PRICE"}]}]}"#,
    );
    let planned = world.engine.action("y").unwrap().definition.clone();
    let proforma = world.engine.proforma(&planned).unwrap();
    assert_eq!(proforma.turnover.normalized(), decimal("0.5"));
    world.ticks("2026-01-07", &[("A", "130")]);
    applied(&world, &["y"]);
    // PRICE and EQUAL both rise by a tenth.
    assert_eq!(world.level("MIX"), "110.00");
    let check = |terms: &str, expected: &str| {
        let why = world.refusal(&action(terms).replace(r#""id":"x""#, r#""id":"z""#));
        assert!(why.contains(expected), "{terms}: {why}");
    };
    check(
        r#""type":"addition","index":"MIX","member":{"symbol":"indexes/NONE"}"#,
        "not a known index",
    );
    check(
        r#""type":"addition","index":"V","member":{"symbol":"A"}"#,
        "a variant has no members",
    );
    check(
        r#""type":"rebalance","index":"V""#,
        "a variant has no members",
    );
}

#[test]
fn an_index_cannot_join_itself() {
    let mut world = three_with("");
    world.load(&action(
        r#""type":"addition","index":"EQUAL","member":{"symbol":"indexes/EQUAL"}"#,
    ));
    world.ticks("2026-01-06", &[("B", "110")]);
    let state = world.engine.action("x").unwrap().state.clone();
    assert!(matches!(state, ActionState::Refused(_)), "{state:?}");
    assert_eq!(members(&world, "EQUAL"), ["A", "B", "C"]);
    assert_eq!(world.level("EQUAL"), "1033.33");
}

#[test]
fn a_takeover_adds_to_shares_that_wait() {
    let mut world = three_with(r#""share_changes":{"from":"0.05"}"#);
    world.load(&action(
        r#""type":"share_change","symbol":"A","shares":1010"#,
    ));
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(held(&world, "CAP", "A").0, "1000");
    world.load(
        r#"{"actions":[
        {"id":"y","ex_date":"2026-01-07","type":"merger","symbol":"B","acquirer":"A","ratio":"0.5"},
        {"id":"z","ex_date":"2026-01-08","type":"rebalance","index":"CAP"}]}"#,
    );
    world.ticks("2026-01-07", &[("C", "100")]);
    assert_eq!(held(&world, "CAP", "A").0, "1500");
    world.ticks("2026-01-08", &[("C", "100")]);
    assert_eq!(held(&world, "CAP", "A").0, "1510");
    assert_eq!(world.level("CAP"), "1000.00");
}

#[test]
fn a_child_that_is_a_member_becomes_a_larger_one() {
    // Half a share of B, at 100, for each A at 100.
    let spin = r#""type":"spin_off","symbol":"A","child":"B","ratio":"0.5""#;
    let rules = r#""spin_offs":{"price":"placeholder","leaves":{"after":1}}"#;
    for rules in ["", rules] {
        let mut world = three_with(rules);
        world.load(&action(spin));
        world.ticks("2026-01-06", &[("C", "100")]);
        applied(&world, &["x"]);
        assert_eq!(price(&world, "A"), "50", "{rules}");
        assert_eq!(held(&world, "CAP", "B"), ("1500".into(), "1500".into()));
        assert_eq!(held(&world, "PRICE", "B"), ("1.5".into(), "1.5".into()));
        assert_eq!(
            weights(&world, "EQUAL"),
            ["0.166667", "0.500000", "0.333333"]
        );
        for code in ["CAP", "PRICE", "EQUAL"] {
            assert_eq!(members(&world, code), ["A", "B", "C"]);
            assert_eq!(world.level(code), "1000.00", "{code}");
            assert!(world.engine.action(&format!("x@{code}")).is_none());
        }
    }
}

#[test]
fn a_name_that_a_security_had_is_not_given_to_a_new_one() {
    let mut world = three_with("");
    world.load(&action(r#""type":"symbol_change","symbol":"A","to":"A2""#));
    world.ticks("2026-01-06", &[("B", "100")]);
    let why = world.refusal(r#"{"securities":[{"symbol":"A","currency":"USD"}]}"#);
    assert!(why.contains("not given again"), "{why}");
}

#[test]
fn what_a_net_index_leaves_in_the_price_is_in_its_gross_return() {
    let check = |terms: &str, gross: &str, net: &str| {
        let mut world = three_with(r#""special_dividends":{"net":true,"tax":"0.25"}"#);
        world.load(
            r#"{"indexes":[
            {"code":"GROSS","currency":"USD","of":"CAP","variant":{"kind":"total_return"}},
            {"code":"NET","currency":"USD","of":"CAP",
             "variant":{"kind":"total_return","net":{"rate":"0.15"}}}]}"#,
        );
        world.load(&action(terms));
        world.ticks("2026-01-06", &[("A", "90")]);
        assert_eq!(world.level("GROSS"), gross, "{terms}");
        assert_eq!(world.level("NET"), net, "{terms}");
        assert_eq!(world.level("CAP"), net, "{terms}");
    };
    // The price should be 92.5 and is 90: 1000·290/292.5. Gross the 2.5 that were withheld come back.
    check(
        r#""type":"dividend","symbol":"A","amount":"10","kind":"special""#,
        "1000.00",
        "991.45",
    );
    check(
        r#""type":"return_of_capital","symbol":"A","amount":"10""#,
        "1000.00",
        "991.45",
    );
}

#[test]
fn a_dividend_comes_in_any_currency_that_has_a_rate() {
    let mut world = three_with("");
    world.load(
        r#"{"indexes":[{"code":"TOTAL","currency":"USD","of":"CAP","variant":{"kind":"total_return"}}]}"#,
    );
    // Only the other way about.
    let rate = world.rate("USD", "CHF", "0.8", "2026-01-05");
    world.apply(vec![rate]);
    world.load(&action(
        r#""type":"dividend","symbol":"A","amount":"8","currency":"CHF""#,
    ));
    world.ticks("2026-01-06", &[("A", "100")]);
    assert_eq!(world.level("TOTAL"), "1033.33", "10 dollars in 300");
}
