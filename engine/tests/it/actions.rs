//! Corporate actions: what each kind does to price, shares, coefficient and divisor in each
//! weighting (METHODOLOGY §1.6), and when.

use divisor_engine::{ActionState, Effect};

use crate::support::{World, time};

/// Three stocks of 1,000 shares at 100: one index by value, one by price, one equal.
fn three() -> World {
    three_with("")
}

/// The same, with rules for all three indexes.
pub(crate) fn three_with(rules: &str) -> World {
    let rules = if rules.is_empty() {
        String::new()
    } else {
        format!(r#","actions":{{{rules}}}"#)
    };
    let securities: Vec<String> = ["A", "B", "C", "NEW", "BUYER"]
        .iter()
        .map(|s| format!(r#"{{"symbol":"{s}","currency":"USD"}}"#))
        .collect();
    let mut world = World::with(&format!(
        r#"{{"securities":[{}],"indexes":[
        {{"code":"CAP","currency":"USD","weighting":{{"scheme":"market_cap"}},"base":{{"divisor":"300"}}{rules},
          "basket":[{{"symbol":"A","shares":1000}},{{"symbol":"B","shares":1000}},{{"symbol":"C","shares":1000}}]}},
        {{"code":"PRICE","currency":"USD","weighting":{{"scheme":"price"}},"base":{{"value":"1000"}}{rules},
          "basket":[{{"symbol":"A"}},{{"symbol":"B"}},{{"symbol":"C"}}]}},
        {{"code":"EQUAL","currency":"USD","weighting":{{"scheme":"equal"}},"base":{{"value":"1000"}}{rules},
          "basket":[{{"symbol":"A"}},{{"symbol":"B"}},{{"symbol":"C"}}]}}]}}"#,
        securities.join(",")
    ));
    world.ticks(
        "2026-01-05",
        &[("A", "100"), ("B", "100"), ("C", "100"), ("BUYER", "50")],
    );
    world
}

pub(crate) fn action(terms: &str) -> String {
    format!(r#"{{"actions":[{{"id":"x","ex_date":"2026-01-06",{terms}}}]}}"#)
}

pub(crate) fn state(world: &World) -> ActionState {
    world.engine.action("x").unwrap().state.clone()
}

pub(crate) fn price(world: &World, symbol: &str) -> String {
    let id = world.engine.security_id(symbol).unwrap();
    let price = world.engine.security(id).unwrap().price.unwrap();
    price.normalized().to_string()
}

/// The stated shares or units of a member and its coefficient.
pub(crate) fn held(world: &World, code: &str, symbol: &str) -> (String, String) {
    let index = world.index(code);
    let at = index
        .definition
        .basket
        .iter()
        .position(|c| c.symbol == symbol)
        .unwrap();
    let stated = &index.definition.basket[at];
    let text = |d: Option<divisor_engine::Decimal>| {
        d.map_or("-".to_owned(), |d| d.normalized().to_string())
    };
    (
        text(stated.shares.or(stated.units)),
        text(index.members[at].coefficient),
    )
}

/// Announces, lets the day begin with a price of B that is the last one again, and compares price
/// of A, shares of A in CAP, and the divisors of CAP and PRICE. Levels stay.
fn check(rules: &str, terms: &str, a: &str, shares: &str, cap: &str, price_divisor: &str) {
    let mut world = three_with(rules);
    let before = [
        world.level("CAP"),
        world.level("PRICE"),
        world.level("EQUAL"),
    ];
    world.load(&action(terms));
    assert_eq!(
        world.divisor("CAP"),
        "300",
        "{terms}: nothing before the day"
    );
    assert_eq!(state(&world), ActionState::Announced, "{terms}");
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(state(&world), ActionState::Applied, "{terms}");
    let after = [
        world.level("CAP"),
        world.level("PRICE"),
        world.level("EQUAL"),
    ];
    assert_eq!(after, before, "{terms}: levels are continuous");
    assert_eq!(price(&world, "A"), a, "{terms}: price");
    assert_eq!(held(&world, "CAP", "A").0, shares, "{terms}: shares");
    assert_eq!(world.divisor("CAP"), cap, "{terms}: divisor of CAP");
    assert_eq!(
        world.divisor("PRICE"),
        price_divisor,
        "{terms}: divisor of PRICE"
    );
}

#[test]
fn splits_and_free_shares() {
    let split = |kind: &str, from: u32, to: u32| {
        format!(r#""type":"{kind}","symbol":"A","from":{from},"to":{to}"#)
    };
    check("", &split("split", 1, 2), "50", "2000", "300", "0.25");
    check("", &split("reverse_split", 8, 1), "800", "125", "300", "1");
    check(
        "",
        r#""type":"bonus","symbol":"A","held":4,"new":1"#,
        "80",
        "1250",
        "300",
        "0.28",
    );
    check(
        "",
        r#""type":"stock_dividend","symbol":"A","held":100,"new":25"#,
        "80",
        "1250",
        "300",
        "0.28",
    );
}

#[test]
fn dividends_and_capital() {
    let dividend = |more: &str| format!(r#""type":"dividend","symbol":"A","amount":"10"{more}"#);
    check("", &dividend(""), "100", "1000", "300", "0.3");
    check(
        "",
        &dividend(r#","kind":"special""#),
        "90",
        "1000",
        "290",
        "0.29",
    );
    check(
        r#""special_dividends":{"net":true}"#,
        &dividend(r#","kind":"special","tax":"0.3""#),
        "90",
        "1000",
        "293",
        "0.293",
    );
    check(
        r#""special_dividends":{"reinvest":"security"}"#,
        &dividend(r#","kind":"special""#),
        "90",
        "1111.111111111111",
        "299.99999999999999",
        "0.29",
    );
    // A tenth of the price is recognised from a tenth on, and not from more on.
    let above =
        |share: &str| format!(r#""special_dividends":{{"adjust":"above","share":"{share}"}}"#);
    check(
        &above("0.1"),
        &dividend(r#","kind":"special""#),
        "90",
        "1000",
        "290",
        "0.29",
    );
    check(
        &above("0.11"),
        &dividend(r#","kind":"special""#),
        "90",
        "1000",
        "300",
        "0.3",
    );
    check(
        r#""special_dividends":{"adjust":"never"}"#,
        &dividend(r#","kind":"special""#),
        "90",
        "1000",
        "300",
        "0.3",
    );
    check(
        "",
        r#""type":"return_of_capital","symbol":"A","amount":"10""#,
        "90",
        "1000",
        "290",
        "0.29",
    );
    check(
        "",
        r#""type":"return_of_capital","symbol":"A","amount":"10","from":3,"to":2"#,
        "135",
        "666.666666666667",
        "290.00000000000005",
        "0.335",
    );
}

#[test]
fn rights_shares_and_float() {
    let rights = |price: u32, more: &str| {
        format!(r#""type":"rights","symbol":"A","held":4,"new":1,"price":{price}{more}"#)
    };
    check("", &rights(70, ""), "94", "1250", "317.5", "0.294");
    check(
        "",
        &rights(70, r#","missed_dividend":"5""#),
        "95",
        "1250",
        "318.75",
        "0.295",
    );
    check(
        r#""rights":{"take":"sold"}"#,
        &rights(70, ""),
        "94",
        "1000",
        "294",
        "0.294",
    );
    check("", &rights(100, ""), "100", "1000", "300", "0.3");
    check(
        "",
        &rights(96, r#","missed_dividend":"5""#),
        "100",
        "1000",
        "300",
        "0.3",
    );
    check(
        "",
        r#""type":"share_change","symbol":"A","shares":1030"#,
        "100",
        "1030",
        "303",
        "0.3",
    );
    check(
        r#""share_changes":{"from":"0.05"}"#,
        r#""type":"share_change","symbol":"A","shares":1030"#,
        "100",
        "1000",
        "300",
        "0.3",
    );
    check(
        "",
        r#""type":"float_change","symbol":"A","float":"0.4""#,
        "100",
        "1000",
        "240",
        "0.3",
    );
}

#[test]
fn a_spun_off_child_is_kept_or_dropped() {
    let spin = r#""type":"spin_off","symbol":"A","child":"NEW","ratio":"0.5","price":"40""#;
    let drop = r#""spin_offs":{"child":"drop"}"#;
    check(drop, spin, "80", "1000", "280", "0.28");
    check("", spin, "80", "1000", "300", "0.3");
    let mut world = three();
    world.load(&action(spin));
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(price(&world, "NEW"), "40");
    assert_eq!(held(&world, "CAP", "NEW").0, "500");
    assert_eq!(held(&world, "PRICE", "NEW").0, "0.5");
    // The child has the weight that the parent lost.
    let weights = world.engine.weights(world.index("EQUAL").id, 6).unwrap();
    let texts: Vec<String> = weights.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["0.266667", "0.333333", "0.333333", "0.066667"]);
    // A placeholder: the parent is not lowered, and the child counts from its first trade on.
    let mut world = three_with(r#""spin_offs":{"price":"placeholder"}"#);
    world.load(&action(spin));
    world.ticks("2026-01-06T08:00:00Z", &[("B", "100")]);
    assert_eq!(world.level("CAP"), "1000.00");
    world.ticks("2026-01-06T09:00:00Z", &[("NEW", "44")]);
    assert_eq!(world.level("CAP"), "1073.33", "1000 + 500·44/300");
    world.ticks("2026-01-06T09:00:01Z", &[("A", "78")]);
    assert_eq!(world.level("CAP"), "1000.00");
}

#[test]
fn a_rule_that_is_not_everybodys_holds_until_the_next_trade() {
    let mut world = three_with(r#""special_dividends":{"adjust":"never"}"#);
    world.load(&action(
        r#""type":"dividend","symbol":"A","amount":"10","kind":"special""#,
    ));
    world.ticks("2026-01-06T08:00:00Z", &[("B", "100")]);
    assert_eq!(price(&world, "A"), "90");
    assert_eq!(
        world.level("CAP"),
        "1000.00",
        "the market has not fallen yet"
    );
    let id = world.index("CAP").id;
    assert_eq!(world.engine.recompute(id).unwrap().to_string(), "1000.00");
    world.ticks("2026-01-06T09:00:00Z", &[("A", "91")]);
    assert_eq!(world.level("CAP"), "970.00", "291 / 300");
    assert_eq!(world.engine.recompute(id).unwrap().to_string(), "970.00");
}

#[test]
fn a_target_leaves_at_its_last_price_or_at_the_terms() {
    let gone = |world: &World, code: &str| {
        world
            .index(code)
            .definition
            .basket
            .iter()
            .all(|c| c.symbol != "A")
    };
    let check = |rules: &str, terms: &str, level: &str, divisor: &str| {
        let mut world = three_with(rules);
        world.load(&action(terms));
        world.ticks("2026-01-06", &[("B", "100")]);
        assert!(
            gone(&world, "CAP") && gone(&world, "PRICE") && gone(&world, "EQUAL"),
            "{terms}"
        );
        assert_eq!(world.level("CAP"), level, "{terms}");
        assert_eq!(world.divisor("CAP"), divisor, "{terms}");
    };
    let cash = r#""type":"merger","symbol":"A","cash":"130""#;
    check("", cash, "1000.00", "200");
    check(
        r#""mergers":{"price":"terms"}"#,
        cash,
        "1100.00",
        "181.81818181818182",
    );
    let both = r#""type":"merger","symbol":"A","cash":"30","acquirer":"BUYER","ratio":"2""#;
    check(
        r#""mergers":{"price":"terms"}"#,
        both,
        "1100.00",
        "181.81818181818182",
    );
    // Members that the acquirer is get its shares.
    let mut world = three();
    world.load(&action(
        r#""type":"merger","symbol":"A","acquirer":"B","ratio":"0.5""#,
    ));
    world.ticks("2026-01-06", &[("C", "100")]);
    assert_eq!(held(&world, "CAP", "B").0, "1500");
    assert_eq!(
        (world.level("CAP"), world.divisor("CAP")),
        ("1000.00".into(), "250".into())
    );
    // Delisting and bankruptcy: the loss first, then the divisor.
    check("", r#""type":"delisting","symbol":"A""#, "1000.00", "200");
    check(
        "",
        r#""type":"delisting","symbol":"A","price":"40""#,
        "800.00",
        "250",
    );
    check(
        r#""removals":{"delisted":"40"}"#,
        r#""type":"delisting","symbol":"A""#,
        "800.00",
        "250",
    );
    check("", r#""type":"bankruptcy","symbol":"A""#, "666.67", "300");
    check(
        r#""removals":{"bankrupt":"0.01"}"#,
        r#""type":"bankruptcy","symbol":"A""#,
        "666.70",
        "299.9850007499625",
    );
}

#[test]
fn members_and_factors_of_one_index() {
    let mut world = three();
    world.load(
        r#"{"actions":[
        {"id":"1","ex_date":"2026-01-06","type":"deletion","index":"CAP","symbol":"A"},
        {"id":"2","ex_date":"2026-01-06","type":"addition","index":"CAP","member":{"symbol":"BUYER","shares":4000}},
        {"id":"3","ex_date":"2026-01-06","type":"cap_reset","index":"CAP","caps":[{"symbol":"B","cap":"0.5"}]}]}"#,
    );
    world.ticks("2026-01-06", &[("C", "100")]);
    assert_eq!(world.level("CAP"), "1000.00");
    assert_eq!(
        world.divisor("CAP"),
        "350",
        "50 of B, 100 of C, 200 of BUYER"
    );
    let revisions = world.revisions("CAP");
    assert_eq!(revisions.len(), 2, "definition, and one for all three");
    assert_eq!(
        world.revisions("PRICE").len(),
        2,
        "definition and base: not concerned"
    );
}

#[test]
fn a_security_may_change_its_name_and_its_currency() {
    let mut world = three();
    world.load(&action(
        r#""type":"symbol_change","symbol":"A","to":"ALPHA""#,
    ));
    // The first price of the day comes under the new name already.
    world.ticks("2026-01-06", &[("ALPHA", "110")]);
    assert_eq!(state(&world), ActionState::Applied);
    assert!(world.engine.security_id("A").is_none());
    assert_eq!(world.level("CAP"), "1033.33");
    assert_eq!(world.index("CAP").definition.basket[0].symbol, "ALPHA");

    let mut world = three();
    let rate = world.rate("EUR", "USD", "2", "2026-01-05");
    world.apply(vec![rate]);
    world.load(&action(
        r#""type":"redenomination","symbol":"A","currency":"EUR","rate":"0.5""#,
    ));
    let tick = world.engine.admit_price(
        "A",
        crate::support::decimal("55"),
        Some("EUR"),
        crate::support::origin("2026-01-06"),
        None,
        None,
    );
    world.apply(vec![tick.unwrap()]);
    assert_eq!(state(&world), ActionState::Applied);
    assert_eq!(world.level("CAP"), "1033.33");
    assert_eq!(world.level("EQUAL"), "1033.33");
    assert_eq!(world.divisor("CAP"), "300");
}

#[test]
fn a_suspended_security_keeps_its_last_price() {
    let mut world = three();
    world.load(&action(r#""type":"suspension","symbol":"A""#));
    world.ticks("2026-01-06", &[("A", "200")]);
    assert_eq!(world.last_effect(), Effect::Held);
    assert_eq!(world.level("CAP"), "1000.00");
    world.load(
        r#"{"actions":[{"id":"y","ex_date":"2026-01-07","type":"resumption","symbol":"A"}]}"#,
    );
    world.ticks("2026-01-07", &[("A", "130")]);
    assert_eq!(world.level("CAP"), "1100.00");
}

#[test]
fn all_of_a_day_are_one_revision() {
    let mut world = three();
    world.load(
        r#"{"actions":[
        {"id":"d","ex_date":"2026-01-06","type":"dividend","symbol":"A","amount":"10","kind":"special"},
        {"id":"s","ex_date":"2026-01-06","type":"split","symbol":"A","from":1,"to":2},
        {"id":"b","ex_date":"2026-01-06","type":"split","symbol":"B","from":1,"to":4}]}"#,
    );
    world.ticks("2026-01-06", &[("C", "100")]);
    // The split first, then 10 off 50.
    assert_eq!(
        (price(&world, "A"), price(&world, "B")),
        ("40".into(), "25".into())
    );
    assert_eq!(world.divisor("CAP"), "280");
    assert_eq!(world.divisor("PRICE"), "0.165");
    for code in ["CAP", "PRICE", "EQUAL"] {
        let causes: Vec<_> = world
            .revisions(code)
            .iter()
            .map(|r| r.cause.as_str())
            .collect();
        assert_eq!(
            causes.iter().filter(|c| **c == "action").count(),
            1,
            "{code}: {causes:?}"
        );
        assert_eq!(world.level(code), "1000.00");
    }
}

#[test]
fn what_is_announced_may_change_until_its_day() {
    let mut world = three();
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":2"#));
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":5"#));
    let plain = world.clone();
    world.load(r#"{"cancelled":["x"]}"#);
    world.load(r#"{"cancelled":["x"]}"#);
    assert_eq!(state(&world), ActionState::Cancelled);
    world.ticks("2026-01-06", &[("A", "20")]);
    assert_eq!(price(&world, "A"), "20");
    assert_eq!(world.level("CAP"), "733.33");
    // The other one is carried out with its last terms, and is closed then.
    let mut world = plain;
    world.ticks("2026-01-06", &[("A", "20")]);
    assert_eq!(world.level("CAP"), "1000.00");
    let refusal = world.refusal(&action(r#""type":"split","symbol":"A","from":1,"to":3"#));
    assert!(refusal.contains("is applied already"), "{refusal}");
    assert!(
        world
            .refusal(r#"{"cancelled":["x"]}"#)
            .contains("is applied already")
    );
    assert!(
        world
            .refusal(r#"{"cancelled":["y"]}"#)
            .contains("no such action")
    );
    // Loading the same again is harmless.
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":5"#));
    assert_eq!(world.level("CAP"), "1000.00");
}

#[test]
fn terms_are_checked_when_they_are_announced() {
    let world = three();
    let check = |terms: &str, expected: &str| {
        let refusal = world.refusal(&action(terms));
        assert!(refusal.contains(expected), "{terms}: {refusal}");
    };
    check(r#""type":"split","symbol":"Z","from":1,"to":2"#, "`Z`");
    check(
        r#""type":"split","symbol":"A","from":2,"to":1"#,
        "`to` must be above `from`",
    );
    check(
        r#""type":"reverse_split","symbol":"A","from":1,"to":1"#,
        "`to` must be",
    );
    check(
        r#""type":"dividend","symbol":"A","amount":0"#,
        "`amount` must be above 0",
    );
    check(
        r#""type":"dividend","symbol":"A","amount":1,"tax":"1.1""#,
        "`tax` must be in 0 to 1",
    );
    check(
        r#""type":"merger","symbol":"A","ratio":1"#,
        "`acquirer` must be stated",
    );
    check(
        r#""type":"symbol_change","symbol":"A","to":"B""#,
        "another security",
    );
    check(r#""type":"deletion","index":"NONE","symbol":"B""#, "`NONE`");
    check(
        r#""zone":"Mars","type":"deletion","index":"CAP","symbol":"B""#,
        "`Mars`",
    );
    let late = r#"{"actions":[{"id":"x","ex_date":"2026-01-05","type":"split","symbol":"A","from":1,"to":2}]}"#;
    assert!(world.refusal(late).contains("has traded on that day"));
    let wrong = |json: &str| {
        serde_json::from_str::<divisor_engine::definition::Definitions>(json)
            .unwrap_err()
            .to_string()
    };
    assert!(
        wrong(&action(
            r#""type":"split","symbol":"A","from":1,"to":2,"held":3"#
        ))
        .contains("held")
    );
    assert!(wrong(&action(r#""type":"splitt","symbol":"A""#)).contains("splitt"));
}

#[test]
fn one_that_has_become_impossible_is_refused_and_leaves_no_trace() {
    let mut world = three();
    world.load(&action(
        r#""type":"dividend","symbol":"A","amount":"120","kind":"special""#,
    ));
    world.load(r#"{"actions":[{"id":"y","ex_date":"2026-01-06","type":"split","symbol":"B","from":1,"to":2}]}"#);
    world.ticks("2026-01-06", &[("C", "100")]);
    assert!(matches!(state(&world), ActionState::Refused(_)));
    assert_eq!(
        (price(&world, "A"), price(&world, "B")),
        ("100".into(), "50".into())
    );
    assert_eq!(world.level("CAP"), "1000.00");
}

#[test]
fn dividends_that_pass_wait_for_total_returns() {
    let mut world = three();
    world.load(&action(
        r#""type":"dividend","symbol":"A","amount":"1.5","country":"US""#,
    ));
    world.ticks("2026-01-06", &[("B", "100")]);
    let dividends = world.engine.dividends(world.index("CAP").id);
    assert_eq!(dividends.len(), 1);
    assert_eq!(dividends[0].amount.to_string(), "1.5");
    assert_eq!(dividends[0].country.as_deref(), Some("US"));
    assert_eq!(world.revisions("CAP").len(), 1, "no price index moves");
    world.ticks("2026-01-07", &[("B", "100")]);
    assert!(world.engine.dividends(world.index("CAP").id).is_empty());
}

#[test]
fn a_day_begins_where_the_index_is() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],"indexes":[
        {"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"value":"100"},
         "day":{"zone":"America/New_York"},"basket":[{"symbol":"A"},{"symbol":"B"}]}]}"#,
    );
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":2"#));
    assert_eq!(
        world.engine.action("x").unwrap().due,
        time("2026-01-06T05:00:00Z")
    );
    world.ticks("2026-01-06T04:59:59Z", &[("A", "11")]);
    assert_eq!(state(&world), ActionState::Announced);
    world.ticks("2026-01-06T05:00:00Z", &[("B", "30")]);
    assert_eq!(state(&world), ActionState::Applied);
    world.ticks("2026-01-06T05:00:01Z", &[("A", "5.5")]);
    assert_eq!(world.level("X"), "102.50");
}

#[test]
fn a_day_ends_where_the_index_says() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],"indexes":[
        {"code":"X","currency":"USD","weighting":{"scheme":"equal","reset":"daily"},"base":{"value":"100"},
         "day":{"zone":"Europe/London","ends":"16:00"},"basket":[{"symbol":"A"},{"symbol":"B"}]},
        {"code":"X2","currency":"USD","of":"X","variant":{"kind":"leveraged","factor":"2"}}]}"#,
    );
    world.ticks("2026-01-05T15:00:00Z", &[("A", "10"), ("B", "30")]);
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":2"#));
    assert_eq!(
        world.engine.action("x").unwrap().due,
        time("2026-01-05T16:00:00Z"),
        "2026-01-06 begins on the day before"
    );
    world.ticks("2026-01-05T15:59:59Z", &[("A", "20")]);
    assert_eq!(world.level("X"), "150.00");
    assert_eq!(world.level("X2"), "200.00");
    assert_eq!(
        world.engine.day_begin(world.index("X2").id),
        Some(time("2026-01-04T16:00:00Z"))
    );
    // From there on half of 150 is in each, and A is worth 10 after its split: 150·(1 + 0.5·0.1).
    world.ticks("2026-01-05T16:00:00Z", &[("A", "11")]);
    assert_eq!(state(&world), ActionState::Applied);
    assert_eq!(world.level("X"), "157.50");
    assert_eq!(world.level("X2"), "220.00");
    let last = world.levels("X").pop().unwrap();
    assert_eq!(last.prev_close, Some(crate::support::decimal("150")));
    // Midnight begins nothing.
    world.ticks("2026-01-06T00:00:00Z", &[("A", "12")]);
    assert_eq!(world.level("X"), "165.00");
    let last = world.levels("X").pop().unwrap();
    assert_eq!(last.prev_close, Some(crate::support::decimal("150")));
    assert_eq!(
        world.engine.day_begin(last.index),
        Some(time("2026-01-05T16:00:00Z"))
    );
}

#[test]
fn a_preview_says_what_would_change() {
    let world = three();
    let definitions = action(r#""type":"rights","symbol":"A","held":4,"new":1,"price":70"#);
    let definitions: divisor_engine::definition::Definitions =
        serde_json::from_str(&definitions).unwrap();
    let preview = world.engine.preview(&definitions.actions[0]).unwrap();
    let (before, after) = preview.price.unwrap();
    assert_eq!(
        (before.to_string(), after.to_string()),
        ("100".into(), "94".into())
    );
    let cap = preview.indexes.iter().find(|x| x.code == "CAP").unwrap();
    assert_eq!(cap.level.0, cap.level.1);
    assert_eq!(cap.divisor.1.unwrap().normalized().to_string(), "317.5");
    let member = &cap.members[0];
    assert_eq!(member.symbol, "A");
    assert_eq!(member.shares.1.unwrap().to_string(), "1250");
    assert!(world.engine.action("x").is_none(), "nothing was announced");
}

#[test]
fn weights_follow_the_prices_of_the_reference_date() {
    let mut world = three();
    world.load(&action(
        r#""type":"rebalance","index":"EQUAL","basket":[{"symbol":"A"},{"symbol":"BUYER"}],
           "reference":[{"symbol":"A","price":"100"},{"symbol":"BUYER","price":"25"}]"#,
    ));
    world.ticks("2026-01-06", &[("B", "100")]);
    assert_eq!(world.level("EQUAL"), "1000.00");
    let (a, buyer) = (
        held(&world, "EQUAL", "A").1,
        held(&world, "EQUAL", "BUYER").1,
    );
    assert_eq!((a.as_str(), buyer.as_str()), ("5000000", "20000000"));
    // 1 part of A and 2 parts of BUYER, which doubled since.
    world.ticks("2026-01-06", &[("BUYER", "75")]);
    assert_eq!(world.level("EQUAL"), "1333.33");
}

#[test]
fn every_example_is_applied_and_keeps_the_levels() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/actions");
    let read = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let mut universe = read("universe.json");
    let fields = universe.as_object_mut().unwrap();
    let (rates, prices) = (
        fields.remove("rates").unwrap(),
        fields.remove("prices").unwrap(),
    );
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut world = World::with(&universe.to_string());
    let rate = &rates[0];
    let rate = world.rate(
        &text(&rate["base"]),
        &text(&rate["quote"]),
        &text(&rate["rate"]),
        "2026-06-09",
    );
    world.apply(vec![rate]);
    for price in prices.as_array().unwrap() {
        world.ticks(
            "2026-06-09",
            &[(&text(&price["symbol"]), &text(&price["price"]))],
        );
    }
    let mut kinds = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "universe.json" {
            continue;
        }
        let mut world = world.clone();
        world.load(&read(&name).to_string());
        let (id, kind) = {
            let actions = world.engine.actions();
            (
                actions[0].definition.id.clone(),
                actions[0].definition.event.kind(),
            )
        };
        kinds.insert(kind);
        let before = ["VALUE", "PRICE", "EQUAL"].map(|code| world.level(code));
        world.ticks(
            "2026-06-10",
            &[
                ("DELTA", "25"),
                ("BRAVO", if kind == "redenomination" { "32" } else { "40" }),
            ],
        );
        assert_eq!(
            world.engine.action(&id).unwrap().state,
            &ActionState::Applied,
            "{name}"
        );
        let after = ["VALUE", "PRICE", "EQUAL"].map(|code| world.level(code));
        // A loss is taken, and some trades of the day are other ones than the theoretical price.
        if !["bankruptcy", "delisting", "return_of_capital", "spin_off"].contains(&kind) {
            assert_eq!(after, before, "{name}");
        }
    }
    assert_eq!(kinds.len(), 21, "an example of each kind: {kinds:?}");
}

#[test]
fn a_review_over_several_days_goes_there_in_equal_steps() {
    let mut world = three();
    let review = |index: &str, basket: &str| {
        format!(
            r#"{{"id":"{index}","ex_date":"2026-01-06","type":"rebalance","index":"{index}","days":4,"basket":[{basket}]}}"#
        )
    };
    world.load(&format!(
        r#"{{"actions":[{},{}]}}"#,
        review("CAP", r#"{"symbol":"A","shares":1400},{"symbol":"B","shares":1000,"float":"0.5"},{"symbol":"BUYER","shares":800}"#),
        review("EQUAL", r#"{"symbol":"A"},{"symbol":"BUYER"}"#),
    ));
    let mut days = Vec::new();
    for day in 6..10 {
        // A weekend in between, and several prices on a day, are no days of their own.
        let date = if day < 8 { day } else { day + 3 };
        for hour in ["08", "09"] {
            world.ticks(&format!("2026-01-{date:02}T{hour}:00:00Z"), &[("B", "100")]);
        }
        let shares = ["A", "B", "C", "BUYER"].map(|symbol| {
            let basket = &world.index("CAP").definition.basket;
            let member = basket.iter().find(|c| c.symbol == symbol);
            member.map_or("-".to_owned(), |c| {
                c.shares.unwrap().normalized().to_string()
            })
        });
        days.push(shares.join(" "));
        assert_eq!(world.level("CAP"), "1000.00");
        assert_eq!(world.level("EQUAL"), "1000.00");
    }
    assert_eq!(
        days,
        [
            "1100 875 750 200",
            "1200 750 500 400",
            "1300 625 250 600",
            "1400 1000 - 800"
        ]
    );
    assert_eq!(
        world.engine.action("CAP").unwrap().state,
        &ActionState::Applied
    );
    let weights = world.engine.weights(world.index("EQUAL").id, 4).unwrap();
    assert_eq!(
        weights.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["0.5000", "0.5000"]
    );
    assert_eq!(
        world.revisions("CAP").len(),
        5,
        "the definition and four days"
    );
}

#[test]
fn shares_in_firm_hands_are_split_with_the_others() {
    let mut world = crate::support::world(
        r#""weighting":{"scheme":"market_cap"},"base":{"value":"100"},
            "basket":[{"symbol":"A","shares":1000,"strategic":400},{"symbol":"B","shares":600}]"#,
    );
    world.ticks("2026-01-05", &[("A", "10"), ("B", "10")]);
    world.load(&action(r#""type":"split","symbol":"A","from":1,"to":2"#));
    world.ticks("2026-01-06", &[("B", "10")]);
    assert_eq!(world.level("X"), "100.00");
    assert_eq!(held(&world, "X", "A"), ("2000".into(), "1200".into()));
}
