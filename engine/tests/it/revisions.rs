//! What a revision, an adjustment and a reload change, and what they must not.

use crate::support::{PRICE_INDEX, World, time, world};

#[test]
fn reference_prices_serve_the_base_and_no_later_revision() {
    let mut world = world(
        r#""weighting":{"scheme":"market_cap"},"base":{"value":"100"},
            "basket":[{"symbol":"A","shares":10,"price":"10"},{"symbol":"B","shares":10,"price":"30"}]"#,
    );
    world.ticks("2026-01-05", &[("A", "20"), ("B", "60")]);
    assert_eq!(world.level("X"), "200.00");
    world.load(r#"{"revisions":[{"id":"r","adjust":[{"symbol":"A","less":"10"}]}]}"#);
    assert_eq!(world.level("X"), "200.00", "a revision keeps the level");
    world.load(
        r#"{"indexes":[{"code":"X","currency":"USD","rounding":{"level":{"places":3}},
            "weighting":{"scheme":"market_cap"},"base":{"value":"100"},
            "basket":[{"symbol":"A","shares":10,"price":"10"},{"symbol":"B","shares":10,"price":"30"}]}]}"#,
    );
    assert_eq!(world.level("X"), "200.000", "so does a new rounding");
}

#[test]
fn a_reference_price_starts_the_indexes_that_waited_for_it() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10")]);
    assert_eq!(world.level("X"), "-");
    world.load(
        r#"{"indexes":[{"code":"Y","currency":"USD","weighting":{"scheme":"price"},
            "base":{"value":"100"},"basket":[{"symbol":"B","price":"30"}]}]}"#,
    );
    assert_eq!(world.level("Y"), "100.00");
    assert_eq!(world.level("X"), "100.00");
    world.ticks("2026-01-05", &[("B", "50")]);
    assert_eq!(world.level("X"), "150.00");
}

#[test]
fn a_split_leaves_drifted_weights_alone() {
    for (weighting, weight) in [
        (r#"{"scheme":"equal"}"#, ""),
        (r#"{"scheme":"fixed_weight"}"#, r#","weight":"0.5""#),
        (r#"{"scheme":"constant_weight"}"#, r#","weight":"0.5""#),
    ] {
        let index = format!(
            r#""weighting":{weighting},"base":{{"value":"100"}},
                "basket":[{{"symbol":"A"{weight}}},{{"symbol":"B"{weight}}}]"#
        );
        let mut split = world(&index);
        split.ticks("2026-01-05T10:00:00Z", &[("A", "10"), ("B", "30")]);
        split.ticks("2026-01-05T11:00:00Z", &[("A", "20"), ("B", "30")]);
        let mut plain = split.clone();
        split.load(
            r#"{"revisions":[{"id":"r","adjust":[{"symbol":"A","split":{"from":1,"to":4}}]}]}"#,
        );
        assert_eq!(split.level("X"), "150.00", "{weighting}");
        split.ticks("2026-01-05T12:00:00Z", &[("A", "6")]);
        plain.ticks("2026-01-05T12:00:00Z", &[("A", "24")]);
        assert_eq!(split.level("X"), plain.level("X"), "{weighting}");
        // A special dividend keeps the weights too: the rest is reinvested in the same security.
        split.load(r#"{"revisions":[{"id":"d","adjust":[{"symbol":"A","less":"3"}]}]}"#);
        split.ticks("2026-01-05T13:00:00Z", &[("A", "6")]);
        plain.ticks("2026-01-05T13:00:00Z", &[("A", "48")]);
        assert_eq!(split.level("X"), plain.level("X"), "{weighting}");
        // Named, the index gets its weights back.
        split.load(r#"{"revisions":[{"id":"w","indexes":[{"code":"X"}]}]}"#);
        split.ticks("2026-01-05T14:00:00Z", &[("A", "12")]);
        plain.load(r#"{"revisions":[{"id":"w","indexes":[{"code":"X"}]}]}"#);
        plain.ticks("2026-01-05T14:00:00Z", &[("A", "96")]);
        assert_eq!(split.level("X"), plain.level("X"), "{weighting}");
    }
}

#[test]
fn loading_a_fixture_again_does_not_undo_a_split() {
    let index = r#""weighting":{"scheme":"market_cap"},"base":{"value":"100"},
        "basket":[{"symbol":"A","shares":10},{"symbol":"B","shares":10}]"#;
    let mut world = world(index);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(r#"{"revisions":[{"id":"r","adjust":[{"symbol":"A","split":{"from":1,"to":2}}]}]}"#);
    let again =
        |extra: &str| format!(r#"{{"indexes":[{{"code":"X","currency":"USD",{extra}{index}}}]}}"#);
    world.load(&again(""));
    assert_eq!(world.revisions("X").len(), 3, "definition, base, revision");
    world.load(&again(r#""rounding":{"level":{"places":1}},"#));
    world.ticks("2026-01-05", &[("A", "6")]);
    assert_eq!(world.level("X"), "105.0", "20 shares of A");
}

#[test]
fn a_revision_names_each_thing_once() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    let twice = r#"{"revisions":[{"id":"r","adjust":[{"symbol":"A","less":"1"},{"symbol":"A","less":"2"}]}]}"#;
    assert!(
        world.refusal(twice).contains("`A`"),
        "{}",
        world.refusal(twice)
    );
    let twice = r#"{"revisions":[{"id":"r","indexes":[{"code":"X"},{"code":"X"}]}]}"#;
    assert!(
        world.refusal(twice).contains("`X`"),
        "{}",
        world.refusal(twice)
    );
}

#[test]
fn a_price_of_before_a_split_does_not_count_after_it() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(
        r#"{"revisions":[{"id":"r","effective":"2026-01-07T00:00:00Z",
            "adjust":[{"symbol":"A","split":{"from":1,"to":2}}]}]}"#,
    );
    assert_eq!(world.level("X"), "100.00");
    // Newer than A's last price, but from the time when a share was still worth 10.
    world.ticks("2026-01-06", &[("A", "10.2")]);
    assert_eq!(world.level("X"), "100.00");
    world.ticks("2026-01-07", &[("A", "5.1")]);
    assert_eq!(world.level("X"), "100.29");
}

#[test]
fn an_index_without_a_level_says_what_it_waits_for() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"EUR"},
                {"symbol":"TINY","currency":"USD","price_places":18,"price_max":"1"}],
            "indexes":[
            {"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"value":"100"},
             "basket":[{"symbol":"A"},{"symbol":"B"}]},
            {"code":"T","currency":"USD","weighting":{"scheme":"equal"},"base":{"value":"100"},
             "basket":[{"symbol":"TINY"}]}]}"#,
    );
    let waits = |world: &World, code: &str| world.index(code).waits_for.unwrap_or_default();
    assert_eq!(waits(&world, "X"), "a price of A, B");
    world.ticks("2026-01-05", &[("A", "10")]);
    assert_eq!(waits(&world, "X"), "a price of B");
    world.ticks("2026-01-05", &[("B", "10")]);
    assert_eq!(waits(&world, "X"), "a rate from EUR to USD");
    let rate = world.rate("EUR", "USD", "1.5", "2026-01-05");
    world.apply(vec![rate]);
    assert_eq!(waits(&world, "X"), "");
    assert_eq!(world.level("X"), "100.00");
    // Units of a billion at such a price are beyond what a sum can hold.
    world.ticks("2026-01-05", &[("TINY", "0.000000000000000001")]);
    assert!(
        waits(&world, "T").starts_with("another definition: "),
        "{}",
        waits(&world, "T")
    );
}

#[test]
fn a_scheduled_revision_takes_effect_at_its_time() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    let at = time("2027-06-01T07:00:00Z");
    world.load(
        r#"{"revisions":[{"id":"r","effective":"2027-06-01T09:00:00+02:00",
            "adjust":[{"symbol":"A","split":{"from":1,"to":2}}]}]}"#,
    );
    assert_eq!(world.divisor("X"), "0.4", "not yet");
    assert_eq!(world.engine.poll_timeout(), Some(at));
    // Its mistakes show when it is loaded, not when it is due.
    let bad = r#"{"revisions":[{"id":"bad","effective":"2027-07-01T00:00:00Z",
        "adjust":[{"symbol":"A","less":"10"}]}]}"#;
    assert!(world.refusal(bad).contains("not above 0"));
    world.ticks("2026-01-06", &[("A", "12")]);
    world.apply_at(at, vec![]);
    assert_eq!(world.engine.poll_timeout(), None);
    // 42 before, 36 after, at 6 for A: the level stays at 105.
    assert_eq!(world.level("X"), "105.00");
    assert_eq!(world.divisor("X"), "0.34285714285714");
    let revised = world.revisions("X").pop().unwrap();
    assert_eq!(revised.effective, at);
}

#[test]
fn a_definition_may_change_at_a_stated_time() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    let change = |code: &str, more: &str| {
        format!(
            r#"{{"revisions":[{{"id":"d","effective":"2027-06-01T07:00:00Z","indexes":[{{"code":"X"{more},
                "definition":{{"code":"{code}","currency":"USD",{PRICE_INDEX},
                "rounding":{{"level":{{"places":4}}}}}}}}]}}]}}"#
        )
    };
    assert!(
        world
            .refusal(&change("Y", ""))
            .contains("the code of its index")
    );
    assert!(
        world
            .refusal(&change("X", r#","basket":[{"symbol":"A"}]"#))
            .contains("no second basket")
    );
    world.load(&change("X", ""));
    world.ticks("2026-01-06", &[("A", "10"), ("B", "30")]);
    assert_eq!(world.level("X"), "100.00", "not yet");
    world.apply_at(time("2027-06-01T07:00:00Z"), vec![]);
    assert_eq!(world.level("X"), "100.0000");
    assert_eq!(world.index("X").definition.rounding.level.places, 4);
}
