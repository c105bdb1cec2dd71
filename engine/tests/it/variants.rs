//! Levels that follow another index: each kind against figures worked out by hand, and what all of
//! them have in common.

use crate::support::{World, decimal, time};

/// An index `U` whose level is the price of A, a variant `V` of it in the same currency, and
/// securities for rates.
fn world(variant: &str) -> World {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD","price_places":9},
                {"symbol":"RATE","currency":"USD"},{"symbol":"FWD","currency":"USD"}],
            "indexes":[{"code":"U","currency":"USD","weighting":{"scheme":"price"},
                "base":{"divisor":"1"},"rounding":{"level":{"places":6}},
                "basket":[{"symbol":"A"}]}]}"#,
    );
    world.load(&format!(
        r#"{{"indexes":[{{"code":"V","currency":"USD","of":"U","rounding":{{"level":{{"places":6}}}},
            {variant}}}]}}"#
    ));
    world
}

/// The levels of `V` while `U` closes at these levels on the given days.
fn levels(variant: &str, closes: &[(&str, &str)]) -> Vec<String> {
    let mut world = world(variant);
    let mut levels = Vec::new();
    for (day, close) in closes {
        if let Some((symbol, price)) = close.split_once('=') {
            world.ticks(day, &[(symbol, price)]);
        } else {
            world.ticks(day, &[("A", close)]);
            levels.push(world.level("V"));
        }
    }
    levels
}

#[track_caller]
fn check(variant: &str, closes: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(levels(variant, closes), expected, "{variant}");
}

#[test]
fn deducts_a_percentage() {
    // A weekend counts three days by the calendar, one by the index.
    let days = [
        ("2026-01-01", "100"),
        ("2026-01-02", "101"),
        ("2026-01-05", "102"),
    ];
    check(
        r#""variant":{"kind":"decrement","rate":"0.05"}"#,
        &days,
        // 100·(1.01 - 0.05/360); that times (102/101 - 0.05·3/360)
        &["100.000000", "100.986111", "101.943896"],
    );
    check(
        r#""variant":{"kind":"decrement","rate":"0.05","day_count":"day_365"}"#,
        &days,
        &["100.000000", "100.986301", "101.972332"],
    );
}

#[test]
fn deducts_points_down_to_a_floor() {
    let days = [
        ("2026-01-01", "100"),
        ("2026-01-02", "101"),
        ("2026-01-03", "102"),
    ];
    check(
        r#""base":{"value":"10"},"variant":{"kind":"decrement","points":"365","day_count":"act_365"}"#,
        &days,
        // 10·1.01 - 1 = 9.1; 9.1·102/101 - 1
        &["10.000000", "9.100000", "8.190099"],
    );
    check(
        r#""base":{"value":"10"},
            "variant":{"kind":"decrement","points":"3650","day_count":"act_365","floor":"0.5"}"#,
        &days,
        &["10.000000", "0.500000", "0.500000"],
    );
}

#[test]
fn multiplies_the_daily_return() {
    let days = [
        ("2026-01-01", "100"),
        ("2026-01-02", "102"),
        ("2026-01-05", "100.98"),
    ];
    check(
        r#""base":{"value":"1000"},"variant":{"kind":"leveraged","factor":"2","cost":"0.0001"}"#,
        &days,
        // 1000·(1 + 2·0.02 - 0.0001); that times (1 - 2·0.01 - 0.0001)
        &["1000.000000", "1039.900000", "1018.998010"],
    );
    check(
        r#""base":{"value":"1000"},"variant":{"kind":"leveraged","factor":"-1",
            "rate":{"annual":"0.036"},"borrow":{"annual":"0.0072"}}"#,
        &days,
        // 1000·(1 - 0.02 + 2·0.0001 - 0.00002); that times (1 + 0.01 + 2·0.0003 - 0.00006)
        &["1000.000000", "980.180000", "990.511097"],
    );
    // The level cannot fall below zero, and does not come back.
    check(
        r#""variant":{"kind":"leveraged","factor":"3"}"#,
        &[
            ("2026-01-01", "100"),
            ("2026-01-02", "60"),
            ("2026-01-05", "70"),
        ],
        &["100.000000", "0.000000", "0.000000"],
    );
}

#[test]
fn is_fixed_anew_within_the_day_where_a_trigger_says_so() {
    let within = |variant: &str| {
        let mut world = world(variant);
        for (at, price) in [(10, "100"), (11, "60"), (12, "50"), (13, "55")] {
            world.ticks(&format!("2026-01-01T{at}:00:00Z"), &[("A", price)]);
        }
        (world.level_texts("V"), world.revisions("V").len())
    };
    let (levels, revisions) = within(r#""variant":{"kind":"leveraged","factor":"2"}"#);
    assert_eq!(levels, ["100.000000", "20.000000", "0.000000", "10.000000"]);
    assert_eq!(revisions, 2);
    let (levels, revisions) =
        within(r#""variant":{"kind":"leveraged","factor":"2","trigger":"0.4"}"#);
    // Fixed at 20 when it had lost 40 %: 20·(1 + 2·(50/60 - 1)), 20·(1 + 2·(55/60 - 1)).
    assert_eq!(
        levels,
        ["100.000000", "20.000000", "13.333333", "16.666667"]
    );
    assert_eq!(revisions, 3);
}

#[test]
fn takes_the_cash_rate_from_the_return() {
    let days = [
        ("2026-01-01", "RATE=3.6"),
        ("2026-01-01", "100"),
        ("2026-01-02", "101"),
        ("2026-01-02", "RATE=7.2"),
        ("2026-01-05", "102"),
    ];
    check(
        r#""variant":{"kind":"excess_return","rate":{"security":"RATE"}}"#,
        &days,
        // 101/1.0001; that times (102/101)/1.0006, the rate of the evening before
        &["100.000000", "100.989901", "101.928644"],
    );
    check(
        r#""variant":{"kind":"excess_return","method":"additive","rate":{"security":"RATE"}}"#,
        &days,
        &["100.000000", "100.990000", "101.929307"],
    );
    // Quoted as 100 less the rate, it can be negative.
    let days = [
        ("2026-01-01", "RATE=103.6"),
        ("2026-01-01", "100"),
        ("2026-01-02", "101"),
    ];
    check(
        r#""variant":{"kind":"excess_return","method":"additive",
            "rate":{"security":"RATE","quote":"hundred_less"}}"#,
        &days,
        &["100.000000", "101.010000"],
    );
}

#[test]
fn keeps_a_target_volatility() {
    let closes = [
        "100",
        "101",
        "99.99",
        "101.9898",
        "100.969902",
        "101.97960102",
    ];
    let days: Vec<(String, &str)> = closes
        .iter()
        .enumerate()
        .map(|(at, close)| (format!("2026-01-{:02}", at + 1), *close))
        .collect();
    let days: Vec<(&str, &str)> = days
        .iter()
        .map(|(day, close)| (day.as_str(), *close))
        .collect();
    // Returns 1, -1, 2, -1 and 1 %. Exposure 1 until there are two; then 0.1/√(σ²·252).
    check(
        r#""base":{"value":"1000"},"variant":{"kind":"volatility_control","target":"0.1",
            "exposure_max":"1.5","lag":1,"volatility":{"days":2},"cash":{"daily":"0.0001"}}"#,
        &days,
        &[
            "1000.000000",
            "1010.000000",
            "999.900000",
            "1008.863268",
            "1005.938306",
            "1008.996231",
        ],
    );
}

#[test]
fn keeps_a_volatility_that_is_stated() {
    let rule = |more: &str| {
        format!(
            r#""base":{{"value":"1000"}},"variant":{{"kind":"volatility_control","target":"0.1",
                "exposure_max":"1.5","lag":1,"volatility":{{"security":"RATE"}},
                "cash":{{"daily":"0.0001"}}{more}}}"#
        )
    };
    // Exposures 0.1/0.2 and 0.1/0.08: 1000·(1 + 0.5·0.01 + 0.5·0.0001), and with a quarter borrowed
    // 1005.05·(1 + 1.25·0.02 - 0.25·0.0001).
    check(
        &rule(""),
        &[
            ("2026-01-01", "RATE=20"),
            ("2026-01-01", "100"),
            ("2026-01-02", "101"),
            ("2026-01-02", "RATE=8"),
            ("2026-01-03", "103.02"),
        ],
        &["1000.000000", "1005.050000", "1030.151124"],
    );
    // Once a month, from the levels before: 1 until the first reset; 1010·(1 + 0.5·0.02 + 0.5·0.0001),
    // 1010·(1 + 0.5·0.0302 + 0.5·0.0002), then 1025.352·(1 + 1.25·0.01 - 0.25·0.0001).
    check(
        &rule(r#","reset":"monthly""#),
        &[
            ("2026-01-30", "RATE=20"),
            ("2026-01-30", "100"),
            ("2026-01-31", "101"),
            ("2026-02-01", "103.02"),
            ("2026-02-01", "RATE=8"),
            ("2026-02-02", "104.0502"),
            ("2026-03-01", "105.090702"),
        ],
        &[
            "1000.000000",
            "1010.000000",
            "1020.150500",
            "1025.352000",
            "1038.143266",
        ],
    );
}

#[test]
fn converts_at_the_live_rate() {
    let mut world = world(r#""variant":{"kind":"converted"}"#);
    world.load(
        r#"{"indexes":[{"code":"E","currency":"EUR","of":"U","variant":{"kind":"converted"},
                "rounding":{"level":{"places":6}},"dissemination":{"mode":"tick"}},
            {"code":"D","currency":"EUR","of":"U","variant":{"kind":"converted","direct":true},
                "fx":{"pivot":"USD"},"rounding":{"level":{"places":6}}}]}"#,
    );
    world.ticks("2026-01-01", &[("A", "100")]);
    assert_eq!(
        (world.level("V"), world.level("E")),
        ("100.000000".into(), "-".into())
    );
    let waits = world.index("E").waits_for.unwrap();
    assert!(waits.contains("rates"), "{waits}");
    let rate = |world: &World, rate: &str| world.rate("USD", "EUR", rate, "2026-01-01");
    let first = rate(&world, "0.8");
    world.apply(vec![first]);
    assert_eq!(
        (world.level("E"), world.level("D")),
        ("100.000000".into(), "80.000000".into())
    );
    let second = rate(&world, "0.9");
    world.apply(vec![second]);
    assert_eq!(
        (world.level("E"), world.level("D")),
        ("112.500000".into(), "90.000000".into())
    );
    world.ticks("2026-01-02", &[("A", "110")]);
    assert_eq!(
        (world.level("E"), world.level("D")),
        ("123.750000".into(), "99.000000".into())
    );
    assert_eq!(world.level_texts("E").len(), 3, "one at each tick");
}

#[test]
fn sells_its_foreign_currencies_forward() {
    let hedged = |valuation: &str| {
        let mut world = World::with(&format!(
            r#"{{"securities":[{{"symbol":"A","currency":"EUR"}},{{"symbol":"FWD","currency":"USD"}}],
                "indexes":[{{"code":"U","currency":"USD","weighting":{{"scheme":"price"}},
                    "base":{{"divisor":"1"}},"basket":[{{"symbol":"A"}}]}},
                {{"code":"V","currency":"USD","of":"U","rounding":{{"level":{{"places":6}}}},
                  "variant":{{"kind":"hedged","valuation":"{valuation}",
                    "forwards":[{{"currency":"EUR","security":"FWD"}}]}}}}]}}"#
        ));
        let mut levels = Vec::new();
        // Prices stand still; the dollar falls.
        for (day, spot, forward) in [
            ("2026-01-01", "1.00", "1.01"),
            ("2026-01-11", "1.10", "1.12"),
            ("2026-02-01", "1.20", "1.21"),
        ] {
            let inputs = vec![
                world.rate("EUR", "USD", spot, day),
                world.price("FWD", forward, day),
                world.price("A", "100", day),
            ];
            world.apply(inputs);
            levels.push(world.level("V"));
        }
        levels
    };
    // 100·(1.1 + 1.01 - 1.1), then fixed at the last levels of January, 1.10 and 1.12:
    // 101·(120/110 + (1.12 - 1.20)/1.10).
    assert_eq!(hedged("spot"), ["101.000000", "101.000000", "102.836364"]);
    // Ten of 31 days are over: worth W with 1/W = 1/1.1 + 21/31·(1/1.12 - 1/1.1); in February 10
    // are left.
    assert_eq!(
        hedged("interpolated"),
        ["100.000000", "99.653061", "101.174338"]
    );
}

#[test]
fn variants_of_variants_move_together() {
    let mut world = world(r#""variant":{"kind":"leveraged","factor":"2"}"#);
    world.load(
        r#"{"indexes":[
            {"code":"DD","currency":"USD","of":"D","variant":{"kind":"decrement","rate":"0.36"},
             "rounding":{"level":{"places":6}}},
            {"code":"D","currency":"USD","of":"V","variant":{"kind":"decrement","rate":"0.36"}}]}"#,
    );
    world.ticks("2026-01-01", &[("A", "100")]);
    world.ticks("2026-01-02", &[("A", "110")]);
    // 100·1.2 = 120, less a thousandth of what each was before.
    assert_eq!(world.level("D"), "119.90");
    assert_eq!(world.level("DD"), "119.800000");
    let view = world.index("DD");
    assert_eq!(
        view.follows.unwrap().parent,
        world.engine.index_id("D").unwrap()
    );
    assert!(view.members.is_empty() && view.divisor.is_none());
}

#[test]
fn the_last_level_of_a_day_leaves_before_the_next_begins() {
    let mut world = world(
        r#""dissemination":{"mode":"interval","every_ms":60000},
            "variant":{"kind":"decrement","rate":"0.36"}"#,
    );
    world.ticks("2026-01-01", &[("A", "100")]);
    let inputs = vec![
        world.price("A", "101", "2026-01-01T22:00:00Z"),
        world.price("A", "102", "2026-01-02T09:00:00Z"),
    ];
    world.apply(inputs);
    let levels = world.levels("V");
    let close = levels.last().unwrap();
    assert_eq!(close.level, decimal("101"));
    assert_eq!(close.ts, time("2026-01-01T22:00:00Z"));
    world.apply_at(time("2027-02-01T00:00:00Z"), vec![]);
    let next = world.levels("V").pop().unwrap();
    assert_eq!(next.prev_close, Some(decimal("101")));
    // 101·(102/101 - 0.001)
    assert_eq!(next.level, decimal("101.899"));
}

#[test]
fn a_variant_survives_a_change_of_its_rule() {
    let mut world = world(r#""variant":{"kind":"leveraged","factor":"2"}"#);
    world.ticks("2026-01-01", &[("A", "100")]);
    world.ticks("2026-01-02", &[("A", "110")]);
    assert_eq!(world.level("V"), "120.000000");
    let changed = |variant: &str| {
        format!(
            r#"{{"indexes":[{{"code":"V","currency":"USD","of":"U",
                "rounding":{{"level":{{"places":6}}}},{variant}}}]}}"#
        )
    };
    world.load(&changed(r#""variant":{"kind":"leveraged","factor":"-1"}"#));
    assert_eq!(world.level("V"), "120.000000");
    world.ticks("2026-01-02", &[("A", "99")]);
    // Fixed at 120 and 110 when the rule changed: 120·(1 + 0.1).
    assert_eq!(world.level("V"), "132.000000");
    let refusal = world.refusal(&changed(r#""variant":{"kind":"leveraged","factor":"0"}"#));
    assert!(refusal.contains("factor of 0"), "{refusal}");
}

#[test]
fn a_rate_of_a_new_day_does_not_count_for_the_one_before() {
    check(
        r#""variant":{"kind":"excess_return","rate":{"security":"RATE"}}"#,
        &[
            ("2026-01-01", "RATE=3.6"),
            ("2026-01-01", "100"),
            ("2026-01-02", "RATE=7.2"),
            ("2026-01-02", "101"),
        ],
        &["100.000000", "100.989901"],
    );
}

#[test]
fn keeps_what_it_has_gathered_when_its_rule_changes() {
    let rule = |target: &str, places: u8| {
        format!(
            r#""rounding":{{"level":{{"places":{places}}}}},"variant":{{"kind":"volatility_control",
                "target":"{target}","exposure_max":"1.5","lag":1,"volatility":{{"days":2}}}}"#
        )
    };
    let changed = |target: &str, places: u8| {
        let rule = rule(target, places);
        format!(r#"{{"indexes":[{{"code":"V","currency":"USD","of":"U",{rule}}}]}}"#)
    };
    let run = |change: Option<(&str, u8)>| {
        let mut world = world(r#""variant":{"kind":"decrement","rate":"0"}"#);
        world.load(&format!(
            r#"{{"indexes":[{{"code":"W","currency":"USD","of":"U",{}}}]}}"#,
            rule("0.1", 6)
        ));
        for (day, close) in [
            ("2026-01-01", "100"),
            ("2026-01-02", "101"),
            ("2026-01-03", "99.99"),
        ] {
            world.ticks(day, &[("A", close)]);
        }
        if let Some((target, places)) = change {
            world.load(&changed(target, places).replace(r#""V""#, r#""W""#));
        }
        world.ticks("2026-01-04", &[("A", "101.9898")]);
        (world.level("W"), world.revisions("W").len())
    };
    let (level, revisions) = run(None);
    let (shorter, shown) = run(Some(("0.1", 4)));
    assert_eq!(
        (level.as_str(), shorter.as_str()),
        ("100.880782", "100.8808")
    );
    assert_eq!(shown, revisions + 1, "other places lay no line anew");
    // A smaller target takes less of 2 %: 0.05/√(0.0002·252) = 0.222718.
    let (level, _) = run(Some(("0.05", 6)));
    assert_eq!(level, "100.435391");
}

/// Two members, a total return by each convention, and the points.
fn paying() -> World {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
            "indexes":[
            {"code":"U","currency":"USD","weighting":{"scheme":"fixed_units"},
             "base":{"divisor":"2"},"rounding":{"level":{"places":6}},
             "basket":[{"symbol":"A","units":"10"},{"symbol":"B","units":"5"}]},
            {"code":"GROSS","currency":"USD","of":"U","variant":{"kind":"total_return"},
             "rounding":{"level":{"places":6}}},
            {"code":"NET","currency":"USD","of":"U","rounding":{"level":{"places":6}},
             "variant":{"kind":"total_return","net":{"rate":"0.25","rules":[
                {"country":"DE","rate":"0.4"},{"kind":"special","rate":"0"}]}}},
            {"code":"PRIOR","currency":"USD","of":"U","rounding":{"level":{"places":6}},
             "variant":{"kind":"total_return","reinvestment":"prior_close"}},
            {"code":"POINTS","currency":"USD","of":"U","rounding":{"level":{"places":6}},
             "variant":{"kind":"dividend_points","reset":"monthly"}}]}"#,
    );
    world.ticks("2026-01-29", &[("A", "20"), ("B", "40")]);
    world
}

#[track_caller]
fn check_all(world: &World, expected: [&str; 5]) {
    let codes = ["U", "GROSS", "NET", "PRIOR", "POINTS"];
    assert_eq!(codes.map(|code| world.level(code)), expected);
}

#[test]
fn withholds_by_who_pays() {
    let mut world = paying();
    world.load(
        r#"{"indexes":[{"code":"REIT","currency":"USD","of":"U","rounding":{"level":{"places":6}},
            "variant":{"kind":"total_return","net":{"rate":"0.25","rules":[
                {"country":"US","payer":"reit","rate":"0.5"}]}}}]}"#,
    );
    world.load(
        r#"{"actions":[
            {"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2",
             "country":"US","payer":"reit"},
            {"id":"2","type":"dividend","symbol":"B","ex_date":"2026-01-30","amount":"4","country":"US"}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "18")]);
    // 10 points each: 190 + 5 + 7.5.
    assert_eq!(world.level("REIT"), "202.500000");
}

#[test]
fn reinvests_dividends_on_their_day() {
    let mut world = paying();
    check_all(
        &world,
        [
            "200.000000",
            "200.000000",
            "200.000000",
            "200.000000",
            "0.000000",
        ],
    );
    world.load(
        r#"{"actions":[
            {"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2"},
            {"id":"2","type":"dividend","symbol":"B","ex_date":"2026-01-30","amount":"4","country":"DE"}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "18")]);
    // 10 and 10 points; net 7.5 and 6. 190 + 20; 190 + 13.5; 200·190/(200 - 20).
    check_all(
        &world,
        [
            "190.000000",
            "210.000000",
            "203.500000",
            "211.111111",
            "20.000000",
        ],
    );
    world.ticks("2026-01-31", &[("B", "44")]);
    // All rise by 10 in 190.
    check_all(
        &world,
        [
            "200.000000",
            "221.052632",
            "214.210526",
            "222.222222",
            "20.000000",
        ],
    );
    world.load(
        r#"{"actions":[
            {"id":"3","type":"dividend","symbol":"A","ex_date":"2026-02-01","amount":"1"}]}"#,
    );
    world.ticks("2026-02-01", &[("A", "18")]);
    check_all(
        &world,
        [
            "200.000000",
            "226.578947",
            "218.226974",
            "227.920228",
            "5.000000",
        ],
    );
}

#[test]
fn reinvests_a_late_dividend_when_it_is_announced() {
    let mut world = paying();
    world.ticks("2026-01-30", &[("A", "18")]);
    check_all(
        &world,
        [
            "190.000000",
            "190.000000",
            "190.000000",
            "190.000000",
            "0.000000",
        ],
    );
    world.load(
        r#"{"actions":[
            {"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2"}]}"#,
    );
    world.ticks("2026-01-30T22:00:00Z", &[("A", "18")]);
    check_all(
        &world,
        [
            "190.000000",
            "200.000000",
            "197.500000",
            "200.000000",
            "10.000000",
        ],
    );
}

#[test]
fn a_dividend_counts_once_whatever_comes_behind_it() {
    let mut world = paying();
    world.load(
        r#"{"actions":[
            {"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2"}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "18")]);
    let after = [
        "190.000000",
        "200.000000",
        "197.500000",
        "200.000000",
        "10.000000",
    ];
    check_all(&world, after);
    // Of the same day, and of the index; and of one whose dividend came before.
    world.load(
        r#"{"actions":[
            {"id":"2","type":"share_change","symbol":"B","ex_date":"2026-01-30","shares":"7"}]}"#,
    );
    check_all(&world, after);
    world.ticks("2026-01-30T22:00:00Z", &[("A", "18")]);
    check_all(&world, after);
}

#[test]
fn a_late_dividend_adds_to_what_an_earlier_rule_has_reinvested() {
    let mut world = paying();
    world.load(
        r#"{"actions":[
            {"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30","amount":"2"}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "18")]);
    world.load(
        r#"{"indexes":[{"code":"GROSS","currency":"USD","of":"U","rounding":{"level":{"places":6}},
            "variant":{"kind":"total_return","net":{"rate":"0.25"}}}]}"#,
    );
    assert_eq!(world.level("GROSS"), "200.000000");
    world.load(
        r#"{"actions":[
            {"id":"2","type":"dividend","symbol":"B","ex_date":"2026-01-30","amount":"4"}]}"#,
    );
    // 7.5 points more at 190: 200·197.5/190.
    assert_eq!(world.level("GROSS"), "207.894737");
}

#[test]
fn dividends_below_an_index_of_indexes_are_not_lost() {
    let mut world = paying();
    let basket = |code: &str, held: &str| {
        format!(
            r#"{{"code":"{code}","currency":"USD","weighting":{{"scheme":"equal"}},
                "base":{{"value":"100"}},"basket":[{{"symbol":"indexes/{held}"}},{{"symbol":"A"}}]}}"#
        )
    };
    let total = |of: &str| {
        format!(
            r#"{{"code":"T.{of}","currency":"USD","of":"{of}","variant":{{"kind":"total_return"}}}}"#
        )
    };
    let (prices, returns) = (basket("PRICES", "U"), basket("RETURNS", "GROSS"));
    world.load(&format!(r#"{{"indexes":[{prices},{returns}]}}"#));
    world.load(&format!(r#"{{"indexes":[{}]}}"#, total("RETURNS")));
    let expected = "holds price indexes";
    let why = world.refusal(&format!(r#"{{"indexes":[{}]}}"#, total("PRICES")));
    assert!(why.contains(expected), "{why}");
    // Nor may one join later.
    let changed = basket("RETURNS", "U");
    let why = world.refusal(&format!(r#"{{"indexes":[{changed}]}}"#));
    assert!(why.contains(expected), "{why}");
    world.load(
        r#"{"actions":[{"id":"1","ex_date":"2026-01-30","type":"addition","index":"RETURNS",
            "member":{"symbol":"indexes/U"}}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "20")]);
    let state = world.engine.action("1").unwrap().state.clone();
    assert!(
        matches!(&state, divisor_engine::ActionState::Refused(why) if why.contains(expected)),
        "{state:?}"
    );
    assert_eq!(world.index("RETURNS").members.len(), 2);
}

#[test]
fn a_quanto_index_takes_dividends_in_the_currency_of_the_price() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"EUR"}],
            "indexes":[{"code":"Q","currency":"USD","weighting":{"scheme":"price"},
                "fx":{"rates":"one"},"base":{"divisor":"1"},"basket":[{"symbol":"A"}]},
            {"code":"T","currency":"USD","of":"Q","variant":{"kind":"total_return"}}]}"#,
    );
    let rate = world.rate("EUR", "USD", "1.10", "2026-01-29");
    world.apply(vec![rate]);
    world.ticks("2026-01-29", &[("A", "100")]);
    world.load(
        r#"{"actions":[{"id":"1","type":"dividend","symbol":"A","ex_date":"2026-01-30",
            "amount":"11","currency":"USD"}]}"#,
    );
    world.ticks("2026-01-30", &[("A", "90")]);
    assert_eq!(world.level("T"), "100.00", "11 dollars are 10 euros");
}

#[test]
fn a_total_return_without_dividends_is_the_price_return() {
    let mut world = paying();
    for (day, price) in [
        ("2026-01-30", "7.77"),
        ("2026-01-31", "7"),
        ("2026-02-02", "31.31"),
    ] {
        world.ticks(day, &[("A", price)]);
        world.ticks(day, &[("B", "13.37")]);
        let level = world.level("U");
        for code in ["GROSS", "NET", "PRIOR"] {
            assert_eq!(world.level(code), level, "{code} on {day}");
        }
    }
    assert_eq!(world.revisions("GROSS").len(), 2, "nothing is fixed anew");
}

#[test]
fn refuses_what_cannot_be_followed() {
    let world = world(r#""variant":{"kind":"decrement","rate":"0.05"}"#);
    let check = |index: &str, expected: &str| {
        let refusal = world.refusal(&format!(r#"{{"indexes":[{index}]}}"#));
        assert!(refusal.contains(expected), "{index}: {refusal}");
    };
    let usd = |rest: &str| format!(r#"{{"code":"N","currency":"USD",{rest}}}"#);
    let rule = r#""variant":{"kind":"decrement","rate":"0.05"}"#;
    check(&usd(&format!(r#""of":"NONE",{rule}"#)), "not a known index");
    check(&usd(&format!(r#""of":"N",{rule}"#)), "not a known index");
    check(&usd(rule), "does not state what it is `of`");
    check(&usd(r#""of":"U""#), "not its `variant`");
    check(
        &usd(&format!(r#""of":"U",{rule},"basket":[{{"symbol":"A"}}]"#)),
        "cannot have a weighting or a basket",
    );
    check(
        &usd(&format!(r#""of":"U",{rule},"base":{{"divisor":"1"}}"#)),
        "has no divisor",
    );
    check(
        &usd(&format!(r#""of":"U",{rule},"day":{{"zone":"Asia/Tokyo"}}"#)),
        "parent's days",
    );
    check(
        &format!(r#"{{"code":"N","currency":"EUR","of":"U",{rule}}}"#),
        "another currency than its parent",
    );
    for (variant, expected) in [
        (r#"{"kind":"decrement"}"#, "either a `rate` or `points`"),
        (
            r#"{"kind":"decrement","rate":"0.05","points":"3"}"#,
            "either a `rate` or `points`",
        ),
        (r#"{"kind":"decrement","rate":"-0.05"}"#, "out of range"),
        (r#"{"kind":"excess_return","rate":{}}"#, "one of `annual`"),
        (
            r#"{"kind":"excess_return","rate":{"security":"NONE"}}"#,
            "not a known security",
        ),
        (r#"{"kind":"hedged","forwards":[]}"#, "no forwards"),
        (
            r#"{"kind":"hedged","forwards":[{"currency":"USD","security":"FWD"}]}"#,
            "its own",
        ),
        (
            r#"{"kind":"leveraged","factor":"2","trigger":"0"}"#,
            "trigger of 0",
        ),
        (
            r#"{"kind":"total_return","net":{"rate":"1.5"}}"#,
            "out of range",
        ),
    ] {
        check(&usd(&format!(r#""of":"U","variant":{variant}"#)), expected);
    }
    let of_variant = r#"{"code":"N","currency":"USD","of":"V","variant":{"kind":"total_return"}}"#;
    check(of_variant, "without dividends of its own");
    for unknown in [
        r#"{"kind":"leveraged","factor":"2","reset":"daily"}"#,
        r#"{"kind":"decrement","rates":"0.05"}"#,
        r#"{"kind":"no_such_kind"}"#,
    ] {
        let text = usd(&format!(r#""of":"U","variant":{unknown}"#));
        let read = serde_json::from_str::<divisor_engine::definition::IndexDefinition>(&text);
        assert!(read.is_err(), "{unknown}");
    }
}

#[test]
fn refuses_volatilities_that_cannot_be_measured() {
    let world = world(r#""variant":{"kind":"decrement","rate":"0.05"}"#);
    for (rule, expected) in [
        (r#""volatility":{}"#, "`days`"),
        (r#""volatility":{"days":1}"#, "2 to 1,000 `days`"),
        (
            r#""volatility":{"days":20,"security":"FWD"}"#,
            "or has it of a `security`",
        ),
        (
            r#""volatility":{"security":"NONE"}"#,
            "not a known security",
        ),
        (
            r#""volatility":{"days":20},"reset":"never""#,
            "never sets its exposure",
        ),
    ] {
        let refusal = world.refusal(&format!(
            r#"{{"indexes":[{{"code":"N","currency":"USD","of":"U","variant":
                {{"kind":"volatility_control","target":"0.1","exposure_max":"2",{rule}}}}}]}}"#
        ));
        assert!(refusal.contains(expected), "{rule}: {refusal}");
    }
}
