//! Indexes that are no plain sum of last prices: of other indexes, of products, of trades; and
//! weights that follow from scores and limits.

use divisor_engine::{Cause, Input, Kind, LabelId, Status};

use crate::support::{World, decimal, origin, time};

const TWO: &str = r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
    "indexes":[
    {"code":"I","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
     "basket":[{"symbol":"A"}]},
    {"code":"J","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
     "basket":[{"symbol":"B"}]}]}"#;

/// An index of I and J with these further fields.
fn of_two(fields: &str) -> String {
    format!(r#"{{"indexes":[{{"code":"X","currency":"USD",{fields}}}]}}"#)
}

#[test]
fn an_index_of_indexes_follows_their_levels() {
    let mut world = World::with(TWO);
    world.load(&of_two(
        r#""weighting":{"scheme":"constant_weight"},"base":{"value":"1000"},
        "rounding":{"level":{"places":6}},
        "basket":[{"symbol":"indexes/I","weight":"0.6"},{"symbol":"indexes/J","weight":"0.4"}]"#,
    ));
    world.ticks("2026-01-01", &[("A", "100")]);
    assert_eq!(
        world.index("X").status,
        Status::Pending,
        "J has no level yet"
    );
    world.ticks("2026-01-01", &[("B", "50")]);
    assert_eq!(world.level("X"), "1000.000000");
    // One level for a batch in which both move: 1000·(1 + 0.6·0.01 - 0.4·0.02).
    world.ticks("2026-01-02", &[("A", "101"), ("B", "49")]);
    assert_eq!(world.level_texts("X"), ["1000.000000", "998.000000"]);
    // Weights are constant: 998·(1 + 0.4·1/49).
    world.ticks("2026-01-03", &[("B", "50")]);
    assert_eq!(world.level("X"), "1006.146939");
    let view = world.index("X");
    assert_eq!(view.members.len(), 2);
    let hidden = world.engine.security(view.members[0].security).unwrap();
    assert_eq!(hidden.definition.symbol, "indexes/I");
    let refused = world.engine.admit_price(
        "indexes/I",
        decimal("1"),
        None,
        origin("2026-01-03"),
        None,
        None,
    );
    assert!(refused.is_err(), "nobody sends prices of an index");
}

#[test]
fn what_has_no_level_takes_it_from_those_that_hold_it() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"}],"indexes":[
        {"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
         "dissemination":{"mode":"tick"},"basket":[{"symbol":"indexes/S"}]},
        {"code":"S","currency":"USD","of":"I","variant":{"kind":"leveraged","factor":"2"}},
        {"code":"I","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
         "basket":[{"symbol":"A"}]}]}"#,
    );
    world.ticks("2026-01-01T10:00:00Z", &[("A", "100")]);
    world.ticks("2026-01-01T11:00:00Z", &[("A", "110")]);
    assert_eq!(world.level_texts("X"), ["100.00", "120.00"]);
    world.ticks("2026-01-01T12:00:00Z", &[("A", "50")]);
    assert_eq!(world.level("S"), "0.00");
    assert_eq!(
        world.index("X").status,
        Status::Pending,
        "a level of 0 is no price"
    );
    world.ticks("2026-01-01T13:00:00Z", &[("A", "105")]);
    assert_eq!(world.index("X").status, Status::Live);
    assert_eq!(world.level("X"), "110.00");
}

#[test]
fn refuses_indexes_that_hold_themselves() {
    let mut world = World::with(TWO);
    let price = r#""weighting":{"scheme":"price"},"base":{"divisor":"1"}"#;
    world.load(&of_two(&format!(
        r#"{price},"basket":[{{"symbol":"indexes/I"}}]"#
    )));
    let check = |code: &str, member: &str, expected: &str| {
        let refusal = world.refusal(&format!(
            r#"{{"revisions":[{{"id":"r","indexes":[{{"code":"{code}",
                "basket":[{{"symbol":"{member}"}}]}}]}}]}}"#
        ));
        assert!(refusal.contains(expected), "{code} of {member}: {refusal}");
    };
    check("I", "indexes/X", "follows itself");
    check("I", "indexes/I", "follows itself");
    check("I", "indexes/NONE", "not a known index");
    let refusal = world.refusal(&format!(
        r#"{{"indexes":[
            {{"code":"P","currency":"USD",{price},"basket":[{{"symbol":"indexes/Q"}}]}},
            {{"code":"Q","currency":"USD",{price},"basket":[{{"symbol":"indexes/P"}}]}}]}}"#
    ));
    assert!(refusal.contains("not a known index"), "{refusal}");
}

#[test]
fn a_product_is_anchored_anew_without_a_jump() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"geometric","reset":"monthly"},
            "base":{"value":"100"},"rounding":{"level":{"places":6}},
            "basket":[{"symbol":"A","weight":"0.75"},{"symbol":"B","weight":"-0.25"}]}]}"#,
    );
    world.ticks("2026-01-01", &[("A", "16"), ("B", "16")]);
    assert_eq!(world.level("X"), "100.000000");
    world.ticks("2026-01-02", &[("A", "81"), ("B", "1")]);
    // (81/16)^0.75 · 16^0.25 = 3.375 · 2
    assert_eq!(world.level("X"), "675.000000");
    world.load(r#"{"revisions":[{"id":"s","adjust":[{"symbol":"A","split":{"from":1,"to":3}}]}]}"#);
    assert_eq!(world.level("X"), "675.000000");
    world.ticks("2026-02-02", &[("B", "16")]);
    assert_eq!(world.level("X"), "337.500000");
    let causes: Vec<Cause> = world.revisions("X").iter().map(|r| r.cause).collect();
    assert_eq!(
        causes,
        [
            Cause::Definition,
            Cause::Base,
            Cause::Revision,
            Cause::Reset
        ]
    );
    let id = world.engine.index_id("X").unwrap();
    assert_eq!(world.engine.recompute(id), Some(decimal("337.5")));
    assert!(world.index("X").divisor.is_none());
}

/// The weights of an index whose members all cost 1, in basis points.
#[track_caller]
fn check_weights(fields: &str, expected: &[&str]) {
    let symbols: Vec<String> = (0..expected.len()).map(|at| format!("S{at}")).collect();
    let securities: Vec<String> = symbols
        .iter()
        .map(|s| format!(r#"{{"symbol":"{s}","currency":"USD"}}"#))
        .collect();
    let mut world = World::with(&format!(r#"{{"securities":[{}]}}"#, securities.join(",")));
    let prices: Vec<(&str, &str)> = symbols.iter().map(|s| (s.as_str(), "1")).collect();
    world.ticks("2026-01-01", &prices);
    world.load(&of_two(&format!(r#""base":{{"value":"100"}},{fields}"#)));
    let id = world.engine.index_id("X").unwrap();
    let weights = world.engine.weights(id, 4).unwrap();
    let weights: Vec<String> = weights.iter().map(ToString::to_string).collect();
    assert_eq!(weights, expected, "{fields}");
}

#[test]
fn weighs_by_size_and_score() {
    let members = |field: &str, values: &[&str]| {
        let rows: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, value)| format!(r#"{{"symbol":"S{at}","shares":"{value}","{field}":"2"}}"#))
            .collect();
        rows.join(",").replace(r#","score":"2""#, "")
    };
    // The root of 100, 400 and 900.
    check_weights(
        &format!(
            r#""weighting":{{"scheme":"score"}},"score":{{"size":"0.5","power":"0"}},"basket":[{}]"#,
            members("score", &["100", "400", "900"])
        ),
        &["0.1667", "0.3333", "0.5000"],
    );
    // Scores alone, and their reciprocals.
    let scored = r#""basket":[{"symbol":"S0","score":"1"},{"symbol":"S1","score":"3"}]"#;
    let scheme = r#""weighting":{"scheme":"score","reset":"quarterly"}"#;
    check_weights(
        &format!(r#"{scheme},"score":{{"size":"0"}},{scored}"#),
        &["0.2500", "0.7500"],
    );
    check_weights(
        &format!(r#"{scheme},"score":{{"size":"0","power":"-1"}},{scored}"#),
        &["0.7500", "0.2500"],
    );
    // Tilts of parent weights: 1 + 0.5·score, between 0 and 2.
    check_weights(
        &format!(
            r#"{scheme},"score":{{"tilt":"0.5","multiple_max":"2"}},"basket":[
            {{"symbol":"S0","weight":"0.5","score":"1"}},{{"symbol":"S1","weight":"0.3","score":"-3"}},
            {{"symbol":"S2","weight":"0.2","score":"8"}}]"#
        ),
        &["0.6522", "0.0000", "0.3478"],
    );
}

#[test]
fn makes_one_score_of_several() {
    let scheme = r#""weighting":{"scheme":"score"}"#;
    let basket = r#""basket":[
        {"symbol":"S0","scores":{"sales":"10","book":"1"}},
        {"symbol":"S1","scores":{"sales":"20","book":"2"}},
        {"symbol":"S2","scores":{"sales":"60","book":"3"}}]"#;
    check_weights(
        &format!(
            r#"{scheme},"score":{{"size":"0","factors":{{"sales":"1","book":"10"}}}},{basket}"#
        ),
        &["0.1333", "0.2667", "0.6000"],
    );
    // Standard scores of book: -1.2247, 0 and 1.2247, moved to 0.1, 1.3247 and 2.5495.
    check_weights(
        &format!(
            r#"{scheme},"score":{{"size":"0","factors":{{"book":"1"}},"standardize":true,"floor":"0.1"}},{basket}"#
        ),
        &["0.0252", "0.3333", "0.6415"],
    );
}

#[test]
fn weighs_by_covariances() {
    // 0.08 : 0.03 of the first two by hand; the third would be sold short.
    let basket = r#""basket":[
        {"symbol":"S0","covariances":{"S0":"0.04","S1":"0.01","S2":"0.05"}},
        {"symbol":"S1","covariances":{"S1":"0.09"}},
        {"symbol":"S2","covariances":{"S1":"0.03","S2":"0.16"}}]"#;
    let scheme = r#""weighting":{"scheme":"score","reset":"monthly"}"#;
    check_weights(
        &format!(r#"{scheme},"score":{{"least_variance":{{}}}},{basket}"#),
        &["0.7273", "0.2727", "0.0000"],
    );
    check_weights(
        &format!(
            r#"{scheme},"score":{{"least_variance":{{}}}},"caps":{{"weight_max":"0.6"}},{basket}"#
        ),
        &["0.6000", "0.4000", "0.0000"],
    );
}

#[test]
fn caps_hold_at_resets_and_drift_between() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"},
            {"symbol":"C","currency":"USD"}],
        "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"market_cap"},
            "base":{"value":"100"},"caps":{"reset":"monthly","weight_max":"0.5"},
            "basket":[{"symbol":"A","shares":"60"},{"symbol":"B","shares":"20"},
                      {"symbol":"C","shares":"20","float":"0.5"}]}]}"#,
    );
    let weights = |world: &World| {
        let id = world.engine.index_id("X").unwrap();
        let weights = world.engine.weights(id, 4).unwrap();
        weights
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    world.ticks("2026-01-01", &[("A", "1"), ("B", "1"), ("C", "1")]);
    assert_eq!(weights(&world), "0.5000 0.3333 0.1667");
    assert_eq!(
        world.index("X").definition.basket[0].cap,
        Some(decimal("0.5"))
    );
    world.ticks("2026-01-02", &[("A", "2")]);
    assert_eq!(weights(&world), "0.6667 0.2222 0.1111");
    world.load(r#"{"revisions":[{"id":"s","adjust":[{"symbol":"A","split":{"from":1,"to":2}}]}]}"#);
    assert_eq!(
        weights(&world),
        "0.6667 0.2222 0.1111",
        "an action leaves the factors alone"
    );
    let level = world.level("X");
    world.ticks("2026-02-02", &[("A", "1")]);
    assert_eq!(weights(&world), "0.5000 0.3333 0.1667");
    assert_eq!(world.level("X"), level);
}

#[test]
fn a_window_makes_one_rate_a_day() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"BTC","currency":"USD"}],
        "indexes":[{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
            "day":{"zone":"Europe/London"},
            "window":{"start":"15:00","end":"16:00","partitions":2},
            "basket":[{"symbol":"BTC"}]},
            {"code":"HOLDS","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
             "basket":[{"symbol":"indexes/BRR"}]}]}"#,
    );
    let trade = |world: &World, ts: &str, price: &str, size: &str, venue: u32| -> Input {
        let (size, venue) = (Some(decimal(size)), Some(LabelId(venue)));
        world
            .engine
            .admit_price("BTC", decimal(price), None, origin(ts), size, venue)
            .unwrap()
    };
    for (ts, price, size, venue) in [
        ("2026-07-01T13:59:59Z", "1", "9", 1),
        ("2026-07-01T14:00:00Z", "100", "1", 1),
        ("2026-07-01T14:20:00Z", "104", "2", 2),
        // Late for the last price, not for the window.
        ("2026-07-01T14:10:00Z", "90", "0.5", 1),
        ("2026-07-01T14:45:00Z", "110", "1", 1),
    ] {
        let input = trade(&world, ts, price, size, venue);
        world.apply(vec![input]);
    }
    assert_eq!(world.level("BRR"), "-");
    let input = trade(&world, "2026-07-01T15:00:00Z", "500", "1", 1);
    world.apply(vec![input]);
    // Half of 3.5 is reached at 104; the mean of 104 and 110.
    assert_eq!(world.level("BRR"), "107.00");
    assert_eq!(world.level("HOLDS"), "107.00");
    assert_eq!(world.levels("BRR").len(), 1);
    assert_eq!(world.levels("BRR")[0].ts, time("2026-07-01T15:00:00Z"));
    // A live window closes by the clock.
    let open = time("2030-07-01T14:30:00Z");
    let input = trade(&world, "2030-07-01T14:30:00Z", "200", "1", 1);
    world.apply_at(open, vec![input]);
    assert_eq!(
        world.engine.poll_timeout(),
        Some(time("2030-07-01T15:00:05Z"))
    );
    world.apply_at(time("2030-07-01T15:00:05Z"), vec![]);
    assert_eq!(world.level("BRR"), "200.00");
    let last = world.levels("BRR").pop().unwrap();
    assert_eq!(last.prev_close, Some(decimal("107")));
}

#[test]
fn a_rate_is_made_of_trades_that_are_believed() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"BTC","currency":"USD","gate":{"last":"50"}}],
        "indexes":[{"code":"BRR","currency":"USD","weighting":{"scheme":"volume_median"},
            "day":{"zone":"Europe/London"},
            "window":{"start":"15:00","end":"16:00","partitions":1},
            "basket":[{"symbol":"BTC"}]}]}"#,
    );
    let mut trade = |ts: &str, price: &str, kind: Kind| {
        let size = Some(decimal("1"));
        let admitted =
            world
                .engine
                .admit_price("BTC", decimal(price), None, origin(ts), size, None);
        let Ok(Input::Tick(mut tick)) = admitted else {
            panic!("{admitted:?}");
        };
        tick.kind = kind;
        world.apply(vec![Input::Tick(tick)]);
        world.level("BRR")
    };
    trade("2026-07-01T14:10:00Z", "100", Kind::Trade);
    trade("2026-07-01T14:20:00Z", "102", Kind::Close);
    // Held: more than half away from the last.
    trade("2026-07-01T14:30:00Z", "1000", Kind::Trade);
    assert_eq!(trade("2026-07-01T15:00:00Z", "101", Kind::Trade), "100.00");
    // A straggler does not open the window again.
    trade("2026-07-01T14:59:00Z", "90", Kind::Trade);
    assert_eq!(trade("2026-07-01T16:00:00Z", "101", Kind::Trade), "100.00");
}

#[track_caller]
fn check_refused(fields: &str, expected: &str) {
    let refusal = World::with(TWO).refusal(&of_two(fields));
    assert!(refusal.contains(expected), "{fields}: {refusal}");
}

#[test]
fn refuses_rules_that_do_not_go_together() {
    let check = check_refused;
    let base = r#""base":{"value":"100"}"#;
    let plain = r#""basket":[{"symbol":"A"},{"symbol":"B"}]"#;
    let shares = r#""basket":[{"symbol":"A","shares":"1"},{"symbol":"B","shares":"1"}]"#;
    let caps = r#""caps":{"weight_max":"0.6"}"#;
    check(&format!(r#"{base},{plain}"#), "neither a weighting nor");
    check(
        &format!(r#""weighting":{{"scheme":"equal"}},{base},{caps},{plain}"#),
        "have caps",
    );
    check(
        &format!(
            r#""weighting":{{"scheme":"market_cap"}},{base},"caps":{{"weight_max":"0.4"}},{shares}"#
        ),
        "leave no weights",
    );
    check(
        &format!(r#""weighting":{{"scheme":"price"}},{base},"float":{{"step":"0.05"}},{plain}"#),
        "free float",
    );
    check(
        &format!(r#""weighting":{{"scheme":"market_cap"}},{base},"float":{{"step":"2"}},{shares}"#),
        "steps",
    );
    check(
        &format!(r#""weighting":{{"scheme":"price"}},{base},"score":{{"size":"0"}},{plain}"#),
        "about scores",
    );
    check(
        &format!(r#""weighting":{{"scheme":"score"}},{base},{shares}"#),
        "needs `score`",
    );
    check(
        &format!(
            r#""weighting":{{"scheme":"score"}},{base},"score":{{"multiple_max":"2"}},{shares}"#
        ),
        "only with a `tilt`",
    );
}

#[test]
fn refuses_windows_and_bases_that_do_not_fit() {
    let check = check_refused;
    let base = r#""base":{"value":"100"}"#;
    let plain = r#""basket":[{"symbol":"A"},{"symbol":"B"}]"#;
    check(
        &format!(r#""weighting":{{"scheme":"volume_median"}},{plain}"#),
        "base",
    );
    let window = r#""window":{"start":"15:00","end":"16:00"}"#;
    check(
        &format!(r#""weighting":{{"scheme":"volume_median"}},{window},{plain}"#),
        "one security",
    );
    check(
        &format!(
            r#""weighting":{{"scheme":"volume_median"}},{base},{window},"basket":[{{"symbol":"A"}}]"#
        ),
        "without a base",
    );
    check(
        r#""weighting":{"scheme":"volume_median"},"window":{"start":"16:00","end":"15:00"},"basket":[{"symbol":"A"}]"#,
        "ends after it begins",
    );
    check(
        &format!(
            r#""weighting":{{"scheme":"market_cap"}},{base},"basket":[{{"symbol":"A","shares":"5","strategic":"5"}}]"#
        ),
        "below `shares`",
    );
    check(
        &format!(r#""weighting":{{"scheme":"geometric"}},"base":{{"divisor":"1"}},{plain}"#),
        "starts from a base value",
    );
}
