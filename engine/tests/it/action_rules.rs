//! Where providers differ over corporate actions, a rule says who is followed (METHODOLOGY §1.6).

use divisor_engine::ActionState;

use crate::actions::{action, held, price, state, three_with};
use crate::support::World;

/// Three indexes with the rules, after the action and one price of the day that is the last again.
fn opened(rules: &str, terms: &str) -> World {
    let mut world = three_with(rules);
    world.load(&action(terms));
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(state(&world), ActionState::Applied, "{rules}: {terms}");
    world
}

fn members(world: &World, code: &str) -> Vec<String> {
    let basket = &world.index(code).definition.basket;
    basket.iter().map(|c| c.symbol.clone()).collect()
}

fn weights(world: &World, code: &str) -> Vec<String> {
    let weights = world.engine.weights(world.index(code).id, 6).unwrap();
    weights.iter().map(ToString::to_string).collect()
}

#[test]
fn the_first_special_dividends_of_a_row_adjust() {
    let check = |first: u32, occurrence: &str, divisor: &str| {
        let rules = format!(r#""special_dividends":{{"first":{first}}}"#);
        let terms =
            format!(r#""type":"dividend","symbol":"A","amount":"10","kind":"special"{occurrence}"#);
        let world = opened(&rules, &terms);
        assert_eq!(world.divisor("CAP"), divisor, "{rules}: {terms}");
    };
    check(3, "", "290");
    check(3, r#","occurrence":3"#, "290");
    check(3, r#","occurrence":4"#, "300");
    check(1, r#","occurrence":2"#, "300");
}

#[test]
fn changes_of_shares_count_at_once_or_wait_for_the_review() {
    let check = |rules: &str, terms: &str, now: &str, later: &str| {
        let rules = format!(r#""share_changes":{{{rules}}}"#);
        let mut world = opened(&rules, terms);
        assert_eq!(held(&world, "CAP", "A").1, now, "{rules}: {terms}");
        world.load(
            r#"{"actions":[{"id":"review","ex_date":"2026-01-07","type":"rebalance","index":"CAP"}]}"#,
        );
        world.ticks("2026-01-07", &[("B", "100")]);
        assert_eq!(held(&world, "CAP", "A").1, later, "{rules}: {terms}");
        assert_eq!(world.level("CAP"), "1000.00", "{rules}: {terms}");
    };
    let shares = |n: u32| format!(r#""type":"share_change","symbol":"A","shares":{n}"#);
    let float = |f: &str| format!(r#""type":"float_change","symbol":"A","float":"{f}""#);
    // A share of 3 %, worth 3,000.
    check(r#""from":"0.03""#, &shares(1030), "1030", "1030");
    check(r#""from":"0.05""#, &shares(1030), "1000", "1030");
    check(r#""from":"0.05""#, &shares(970), "1000", "970");
    // Both bounds have to be reached, or the one that counts alone.
    let both = r#""from":"0.03","value":"4000""#;
    check(both, &shares(1030), "1000", "1030");
    check(both, &shares(1040), "1040", "1040");
    let alone = r#""from":"0.05","value":"4000","alone":"3000""#;
    check(alone, &shares(1030), "1030", "1030");
    check(alone, &shares(1029), "1000", "1029");
    check(r#""alone":"3000""#, &shares(1029), "1000", "1029");
    check(r#""alone":"3000""#, &shares(1030), "1030", "1030");
    // Five points of float, whatever the shares.
    let points = r#""from":"0.1","float":"0.05""#;
    check(points, &float("0.95"), "950", "950");
    check(points, &float("0.96"), "1000", "960");
    check(points, &shares(1050), "1000", "1050");
}

#[test]
fn changes_that_wait_add_up_split_and_give_way_to_a_stated_basket() {
    let rules = r#""share_changes":{"from":"0.05"}"#;
    let mut world = opened(rules, r#""type":"share_change","symbol":"A","shares":1030"#);
    assert_eq!(held(&world, "CAP", "A").1, "1000");
    // The split is of those that wait, too.
    world.load(
        r#"{"actions":[{"id":"2","ex_date":"2026-01-07","type":"split","symbol":"A","from":1,"to":2}]}"#,
    );
    world.ticks("2026-01-07", &[("B", "100")]);
    assert_eq!(held(&world, "CAP", "A").1, "2000");
    // 2,060 wait: a float of 0.98 leaves 2,018.8, still less than five percent away.
    world.load(
        r#"{"actions":[{"id":"3","ex_date":"2026-01-08","type":"float_change","symbol":"A","float":"0.98"}]}"#,
    );
    world.ticks("2026-01-08", &[("B", "100")]);
    assert_eq!(held(&world, "CAP", "A").1, "2000");
    let waiting = world.clone();
    // One that adds to them far enough brings all into force.
    world.load(
        r#"{"actions":[{"id":"4","ex_date":"2026-01-09","type":"share_change","symbol":"A","shares":2200}]}"#,
    );
    world.ticks("2026-01-09", &[("B", "100")]);
    assert_eq!(held(&world, "CAP", "A").1, "2156", "2200 · 0.98");
    // The review finds nothing that waits.
    let review = |basket: &str| {
        format!(
            r#"{{"actions":[{{"id":"5","ex_date":"2026-01-12","type":"rebalance","index":"CAP"{basket}}}]}}"#
        )
    };
    world.load(&review(""));
    world.ticks("2026-01-12", &[("B", "100")]);
    assert_eq!(held(&world, "CAP", "A").1, "2156");
    // Without that one it puts those that wait into force; a stated basket says it all anew.
    for (basket, shares) in [
        ("", "2018.8"),
        (
            r#","basket":[{"symbol":"A","shares":2010},{"symbol":"B","shares":1000}]"#,
            "2010",
        ),
    ] {
        let mut world = waiting.clone();
        world.load(&review(basket));
        world.ticks("2026-01-12", &[("B", "100")]);
        assert_eq!(held(&world, "CAP", "A").1, shares);
        assert_eq!(world.level("CAP"), "1000.00");
        world.load(&review("").replace(r#""5""#, r#""6""#).replace("-12", "-13"));
        world.ticks("2026-01-13", &[("B", "100")]);
        assert_eq!(held(&world, "CAP", "A").1, shares, "nothing is left");
    }
}

#[test]
fn rights_may_become_a_member_until_they_leave() {
    // Four new for one held at 50: theoretically 60, a right is worth 40.
    let terms = r#""type":"rights","symbol":"A","held":1,"new":4,"price":50,"line":"NEW""#;
    let dilutive = r#""rights":{"dilutive":{"from":2,"take":"line"},"leaves":{"after":2}}"#;
    let mut world = opened(dilutive, terms);
    assert_eq!(
        (price(&world, "A"), price(&world, "NEW")),
        ("60".into(), "40".into())
    );
    assert_eq!(members(&world, "CAP"), ["A", "B", "C", "NEW"]);
    assert_eq!(world.divisor("CAP"), "300");
    assert_eq!(
        weights(&world, "EQUAL"),
        ["0.200000", "0.333333", "0.333333", "0.133333"]
    );
    let leaves = world.engine.action("x@CAP").unwrap();
    assert_eq!(leaves.definition.ex_date.to_string(), "2026-01-08");
    world.ticks("2026-01-07", &[("NEW", "45")]);
    assert_eq!(world.level("CAP"), "1016.67", "1000 + 1000·5/300");
    world.ticks("2026-01-08", &[("B", "100")]);
    assert_eq!(members(&world, "CAP"), ["A", "B", "C"]);
    assert_eq!(world.level("CAP"), "1016.67");
    // One for one is none that dilutes; it is taken up.
    let less = terms.replace(r#""new":4"#, r#""new":1"#);
    let world = opened(dilutive, &less);
    assert_eq!(members(&world, "CAP"), ["A", "B", "C"]);
    assert_eq!(held(&world, "CAP", "A").1, "2000");
    // Where the action does not say which security the rights are, it is refused.
    let world = three_with(r#""rights":{"take":"line"}"#);
    let why = world.refusal(&action(&terms.replace(r#","line":"NEW""#, "")));
    assert_eq!(
        why,
        "action x: `line` must be stated where an index keeps the rights as a member"
    );
}

#[test]
fn a_child_leaves_by_the_rule_and_its_value_goes_where_the_rule_says() {
    let spin = r#""type":"spin_off","symbol":"A","child":"NEW","ratio":"0.5","price":"40""#;
    let check = |rule: &str, traded: Option<&str>, equal: &[&str], cap: &str| {
        let rules = format!(r#""spin_offs":{{"leaves":{{{rule}}}}}"#);
        let mut world = opened(&rules, spin);
        // The 6th of January 2026 is a Tuesday.
        let announced = world.engine.action("x@EQUAL").unwrap();
        assert_eq!(*announced.state, ActionState::Announced);
        if let Some(traded) = traded {
            world.ticks("2026-01-06T12:00:00Z", &[("NEW", traded)]);
        }
        let before = (world.level("CAP"), world.level("EQUAL"));
        world.ticks("2026-01-07", &[("B", "100")]);
        assert_eq!((world.level("CAP"), world.level("EQUAL")), before, "{rule}");
        assert_eq!(weights(&world, "EQUAL"), equal, "{rule}");
        assert_eq!(world.divisor("CAP"), cap, "{rule}");
    };
    // Into the index: every weight grows alike.
    check(
        r#""after":1"#,
        None,
        &["0.285714", "0.357143", "0.357143"],
        "280",
    );
    // Into the parent: it has its weight again; shares in CAP grow by 20/80.
    check(
        r#""after":1,"proceeds":"parent""#,
        None,
        &["0.333333", "0.333333", "0.333333"],
        "300",
    );
    // A child that has traded stays.
    let untraded = r#""after":1,"proceeds":"parent","untraded":true"#;
    check(
        untraded,
        Some("40"),
        &["0.266667", "0.333333", "0.333333", "0.066667"],
        "300",
    );
    check(untraded, None, &["0.333333", "0.333333", "0.333333"], "300");
}

#[test]
fn the_announced_deletion_can_be_cancelled_and_has_room_for_every_name() {
    let spin = r#""type":"spin_off","symbol":"A","child":"NEW","ratio":"0.5","price":"40""#;
    let rules = r#""spin_offs":{"leaves":{"after":1}}"#;
    let long = "x".repeat(64);
    let mut world = three_with(rules);
    world.load(&action(spin).replace(r#""id":"x""#, &format!(r#""id":"{long}""#)));
    world.ticks("2026-01-06", &[("B", "100")]);
    let leaves = format!("{long}@CAP");
    assert!(
        world
            .engine
            .preview(&world.engine.action(&leaves).unwrap().definition.clone())
            .is_ok()
    );
    world.load(&format!(r#"{{"cancelled":["{leaves}"]}}"#));
    world.ticks("2026-01-07", &[("B", "100")]);
    assert_eq!(members(&world, "CAP"), ["A", "B", "C", "NEW"]);
    assert_eq!(members(&world, "PRICE"), ["A", "B", "C"]);
}

#[test]
fn the_days_of_a_rule_are_those_of_the_index() {
    let spin = r#"{"actions":[{"id":"x","ex_date":"2026-07-01","type":"spin_off","symbol":"A","child":"NEW","ratio":1,"price":4}]}"#;
    let check = |calendars: &str, calendar: &str, after: u16, day: &str| {
        let mut world = World::with(&format!(
            r#"{{{calendars}"securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"NEW","currency":"USD"}}],
            "indexes":[{{"code":"X","currency":"USD","weighting":{{"scheme":"price"}}{calendar},
            "actions":{{"spin_offs":{{"leaves":{{"after":{after}}}}}}},"base":{{"value":"1000"}},"basket":[{{"symbol":"A"}}]}}]}}"#
        ));
        world.ticks("2026-06-30T15:00:00Z", &[("A", "100")]);
        world.load(spin);
        world.ticks("2026-07-01T15:00:00Z", &[("A", "96")]);
        let leaves = world.engine.action("x@X").unwrap();
        assert_eq!(
            leaves.definition.ex_date.to_string(),
            day,
            "{calendar} {after}"
        );
    };
    // Wednesday, the 1st of July 2026; Friday is a holiday of the calendar.
    check("", "", 1, "2026-07-02");
    check("", "", 3, "2026-07-06");
    let desk = r#""calendars":[{"name":"DESK","zone":"America/New_York","from":"2026-01-01","to":"2026-07-10",
        "week":[{"days":["mon","tue","wed","thu","fri"],"open":"09:30","close":"16:00"}],
        "holidays":["2026-07-03"]}],"#;
    let of = r#","calendar":"DESK""#;
    check(desk, of, 1, "2026-07-02");
    check(desk, of, 2, "2026-07-06");
    // Beyond what the calendar knows, Mondays to Fridays.
    check(desk, of, 7, "2026-07-13");
}

#[test]
fn a_child_may_count_as_a_dividend_or_by_its_own_market() {
    let spin = r#""type":"spin_off","symbol":"A","child":"NEW","ratio":"0.5","price":"40""#;
    // Paid: the price index falls with the parent, total return does not.
    let mut world = three_with(r#""spin_offs":{"child":"paid"}"#);
    world.load(
        r#"{"indexes":[{"code":"TOTAL","currency":"USD","of":"CAP","variant":{"kind":"total_return"}}]}"#,
    );
    world.load(&action(spin));
    world.ticks("2026-01-06", &[("A", "80")]);
    assert_eq!(members(&world, "CAP"), ["A", "B", "C"]);
    assert_eq!(
        (world.level("CAP"), world.divisor("CAP")),
        ("933.33".into(), "300".into())
    );
    assert_eq!(world.level("TOTAL"), "1000.00");
    // When-issued: what it trades at, and the smallest price where it does not.
    let rules = r#""spin_offs":{"price":"when_issued"}"#;
    let mut world = three_with(rules);
    world.ticks("2026-01-05T12:00:00Z", &[("NEW", "36")]);
    world.load(&action(spin));
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(price(&world, "NEW"), "36");
    assert_eq!(
        weights(&world, "EQUAL"),
        ["0.273333", "0.333333", "0.333333", "0.060000"]
    );
    let world = opened(rules, spin);
    assert_eq!(weights(&world, "EQUAL")[3], "0.000000");
    assert_eq!(world.level("EQUAL"), "1000.00");
    // A child outside that is no known security has only the stated price.
    let rules = r#""spin_offs":{"price":"when_issued","child":"drop"}"#;
    let world = opened(rules, &spin.replace("NEW", "ELSEWHERE"));
    assert_eq!(world.divisor("CAP"), "280");
}

#[test]
fn a_replacement_takes_over_the_weight() {
    let drifted = |first: &str| {
        let mut world = three_with("");
        world.load(
            r#"{"indexes":[{"code":"HELD","currency":"USD","weighting":{"scheme":"equal","reset":"never"},
            "base":{"value":"1000"},"basket":[{"symbol":"A"},{"symbol":"B"},{"symbol":"C"}]}]}"#,
        );
        world.ticks("2026-01-05T21:00:00Z", &[("A", "100")]);
        // Its weights drift to 0.5, 0.25, 0.25.
        world.ticks("2026-01-05T22:00:00Z", &[("A", "200")]);
        assert_eq!(weights(&world, "HELD")[0], "0.500000");
        world.load(&format!(
            r#"{{"actions":[{first}{{"id":"2","ex_date":"2026-01-06","type":"addition","index":"HELD",
            "member":{{"symbol":"BUYER"}},"replaces":"A"}}]}}"#
        ));
        world.ticks("2026-01-06", &[("B", "100")]);
        world
    };
    let world = drifted("");
    assert_eq!(members(&world, "HELD"), ["B", "C", "BUYER"]);
    assert_eq!(
        weights(&world, "HELD"),
        ["0.250000", "0.250000", "0.500000"]
    );
    assert_eq!(world.level("HELD"), "1333.33");
    // After a takeover at the terms of the offer, with what they were worth.
    let offer = r#"{"id":"1","ex_date":"2026-01-06","type":"merger","symbol":"A","cash":"300"},"#;
    let world = drifted(offer);
    assert_eq!(members(&world, "HELD"), ["B", "C", "BUYER"]);
    assert_eq!(
        weights(&world, "HELD"),
        ["0.250000", "0.250000", "0.500000"]
    );
}

#[test]
fn rules_and_terms_that_mean_nothing_are_refused() {
    let rule = |rules: &str, why: &str| {
        let mut world = World::default();
        world.load(r#"{"securities":[{"symbol":"A","currency":"USD"}]}"#);
        let refusal = world.refusal(&format!(
            r#"{{"indexes":[{{"code":"X","currency":"USD","weighting":{{"scheme":"price"}},"actions":{{{rules}}},
            "base":{{"value":"1"}},"basket":[{{"symbol":"A"}}]}}]}}"#
        ));
        assert!(refusal.contains(why), "{rules}: {refusal}");
    };
    rule(
        r#""special_dividends":{"adjust":"above"}"#,
        "needs a `share`",
    );
    rule(r#""special_dividends":{"first":0}"#, "must be 1 or above");
    rule(r#""spin_offs":{"leaves":{"after":0}}"#, "1 to 1000 days");
    rule(
        r#""spin_offs":{"child":"drop","leaves":{"after":1}}"#,
        "a child that is kept",
    );
    rule(r#""share_changes":{"value":"-1"}"#, "must not be below 0");
    let terms = |terms: &str, why: &str| {
        let refusal = three_with("").refusal(&action(terms));
        assert!(refusal.contains(why), "{terms}: {refusal}");
    };
    let dividend = r#""type":"dividend","symbol":"A","amount":"1""#;
    terms(
        &format!(r#"{dividend},"occurrence":2"#),
        "stated of special dividends only",
    );
    terms(
        &format!(r#"{dividend},"kind":"special","occurrence":0"#),
        "1 or above",
    );
    terms(
        r#""type":"rights","symbol":"A","held":1,"new":1,"price":50,"line":"NOBODY""#,
        "NOBODY",
    );
    terms(
        r#""type":"deletion","index":"CAP","symbol":"A","proceeds":"NOBODY""#,
        "NOBODY",
    );
    terms(
        r#""type":"rebalance","index":"CAP","days":3"#,
        "stated for several days",
    );
}

#[test]
fn a_geometric_level_takes_up_what_a_member_is_worth() {
    let check = |rules: &str, terms: &str, level: &str| {
        let mut world = three_with("");
        world.load(&format!(
            r#"{{"indexes":[{{"code":"G","currency":"USD","weighting":{{"scheme":"geometric"}},"actions":{{{rules}}},
            "base":{{"value":"1000"}},"basket":[{{"symbol":"A"}},{{"symbol":"B"}},{{"symbol":"C"}}]}}]}}"#
        ));
        world.ticks("2026-01-05T22:00:00Z", &[("A", "100")]);
        world.load(&action(terms));
        world.ticks("2026-01-06", &[("B", "100")]);
        assert_eq!(members(&world, "G"), ["B", "C"], "{terms}");
        assert_eq!(world.level("G"), level, "{rules}: {terms}");
        world.ticks("2026-01-06T22:00:00Z", &[("B", "121")]);
        let root = world.level("G").parse::<f64>().unwrap() / level.parse::<f64>().unwrap();
        assert!((root - 1.1).abs() < 1e-4, "two members of one half each");
    };
    // 1000 · 0.4^(1/3), 1000 · 1.3^(1/3), 1000 · 0.0001^(1/3).
    check(
        "",
        r#""type":"delisting","symbol":"A","price":"40""#,
        "736.81",
    );
    let terms = r#""mergers":{"price":"terms"}"#;
    check(
        terms,
        r#""type":"merger","symbol":"A","cash":"130""#,
        "1091.39",
    );
    let floor = r#""removals":{"bankrupt":"0.01"}"#;
    check(floor, r#""type":"bankruptcy","symbol":"A""#, "46.42");
    // Nothing is no factor: it leaves at its last price.
    check("", r#""type":"bankruptcy","symbol":"A""#, "1000.00");
    check(
        "",
        r#""type":"merger","symbol":"A","cash":"130""#,
        "1000.00",
    );
}
