//! Which rates count: each as it comes, those before the day, or none (METHODOLOGY §1.4).

use divisor_engine::{Cause, Output, Snapshot};

use crate::support::World;

/// Ten shares in the currency of the index and ten in another.
fn world(rates: &str, weighting: &str) -> World {
    World::with(&format!(
        r#"{{"securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"EUR"}},{{"symbol":"C","currency":"GBP"}}],
        "indexes":[{{"code":"X","currency":"USD","fx":{{"rates":"{rates}"}},"base":{{"value":"1000"}},{weighting}}}]}}"#
    ))
}

const UNITS: &str = r#""weighting":{"scheme":"fixed_units"},"basket":[{"symbol":"A","units":10},{"symbol":"B","units":10}]"#;
const EQUAL: &str =
    r#""weighting":{"scheme":"equal","reset":"never"},"basket":[{"symbol":"A"},{"symbol":"B"}]"#;
const GEOMETRIC: &str =
    r#""weighting":{"scheme":"geometric"},"basket":[{"symbol":"A"},{"symbol":"B"}]"#;

fn rate(world: &mut World, ts: &str, rate: &str) {
    let input = world.rate("EUR", "USD", rate, ts);
    world.apply(vec![input]);
}

#[test]
fn rates_before_the_day_count_for_the_whole_day() {
    let check = |weighting: &str, levels: [&str; 3]| {
        let mut world = world("prior_close", weighting);
        rate(&mut world, "2026-01-05T09:00:00Z", "1.1");
        world.ticks("2026-01-05T10:00:00Z", &[("A", "100"), ("B", "100")]);
        rate(&mut world, "2026-01-05T11:00:00Z", "1.2");
        assert_eq!(
            world.level("X"),
            "1000.00",
            "{weighting}: a rate moves nothing"
        );
        world.ticks("2026-01-05T12:00:00Z", &[("B", "110")]);
        assert_eq!(world.level("X"), levels[0], "{weighting}");
        // The day begins with what the rate was at the end of the one before.
        rate(&mut world, "2026-01-06T09:00:00Z", "1.3");
        world.ticks("2026-01-06T10:00:00Z", &[("A", "100")]);
        assert_eq!(
            world.level("X"),
            levels[0],
            "{weighting}: no return overnight"
        );
        world.ticks("2026-01-06T12:00:00Z", &[("B", "121")]);
        assert_eq!(world.level("X"), levels[1], "{weighting}");
        let id = world.index("X").id;
        let again = world.engine.recompute(id).unwrap();
        assert_eq!(again.to_string(), levels[1], "{weighting}");
        let renewed = |o: &&Output| matches!(o, Output::Revised(r) if r.cause == Cause::Rates);
        assert_eq!(
            world.outputs.iter().filter(renewed).count(),
            1,
            "{weighting}"
        );
        // A restart goes on the same way.
        let snapshot = serde_json::to_string(&Snapshot::of(world.engine)).unwrap();
        let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
        world.engine = snapshot.into_engine().unwrap();
        rate(&mut world, "2026-01-06T13:00:00Z", "1.5");
        world.ticks("2026-01-06T14:00:00Z", &[("B", "110")]);
        assert_eq!(world.level("X"), levels[2], "{weighting}");
    };
    // 1000 · (1000 + 1210) / 2100; then · (1000 + 10·121·1.2) / (1000 + 10·110·1.2).
    check(UNITS, ["1052.38", "1112.26", "1052.38"]);
    // Halves of the value at 1.1: units of B at 500/110. At 1.2 they are worth 600, with B at 121 660: 1050 · 1160 / 1100.
    check(EQUAL, ["1050.00", "1107.27", "1050.00"]);
    check(GEOMETRIC, ["1048.81", "1100.00", "1048.81"]);
}

#[test]
fn a_member_that_joins_within_the_day_counts_at_the_rate_of_then() {
    let mut world = world("prior_close", UNITS);
    rate(&mut world, "2026-01-05T09:00:00Z", "1.1");
    world.ticks(
        "2026-01-05T10:00:00Z",
        &[("A", "100"), ("B", "100"), ("C", "50")],
    );
    rate(&mut world, "2026-01-05T11:00:00Z", "1.2");
    let pound = world.rate("GBP", "USD", "2", "2026-01-05T11:00:00Z");
    world.apply(vec![pound]);
    world.load(
        r#"{"revisions":[{"id":"r","indexes":[{"code":"X","basket":[{"symbol":"A","units":10},
        {"symbol":"B","units":10},{"symbol":"C","units":10}]}]}]}"#,
    );
    assert_eq!(world.level("X"), "1000.00");
    assert_eq!(
        world.divisor("X"),
        "3.1",
        "1000 + 1100 + 1000: euros still at 1.1"
    );
    let pound = world.rate("GBP", "USD", "3", "2026-01-05T12:00:00Z");
    world.apply(vec![pound]);
    world.ticks("2026-01-05T13:00:00Z", &[("C", "81")]);
    assert_eq!(world.level("X"), "1200.00", "(1000 + 1100 + 10·81·2) / 3.1");
}

#[test]
fn a_unit_of_any_currency_may_count_as_one() {
    let mut world = world("one", UNITS);
    // No rate is needed, and none moves the level.
    world.ticks("2026-01-05T10:00:00Z", &[("A", "100"), ("B", "100")]);
    assert_eq!(world.level("X"), "1000.00");
    let levels = world.levels("X").len();
    rate(&mut world, "2026-01-05T11:00:00Z", "1.2");
    assert_eq!(world.levels("X").len(), levels);
    world.ticks("2026-01-05T12:00:00Z", &[("B", "110")]);
    assert_eq!(world.level("X"), "1050.00");
}

#[test]
fn the_rule_may_change_and_belongs_to_the_parent() {
    let mut world = world("prior_close", UNITS);
    rate(&mut world, "2026-01-05T09:00:00Z", "1.1");
    world.ticks("2026-01-05T10:00:00Z", &[("A", "100"), ("B", "100")]);
    rate(&mut world, "2026-01-05T11:00:00Z", "1.2");
    world.load(&format!(
        r#"{{"indexes":[{{"code":"X","currency":"USD","base":{{"value":"1000"}},{UNITS}}}]}}"#
    ));
    assert_eq!(world.level("X"), "1000.00");
    assert_eq!(world.divisor("X"), "2.2");
    rate(&mut world, "2026-01-05T12:00:00Z", "1.42");
    assert_eq!(world.level("X"), "1100.00");
    let refusal = world.refusal(
        r#"{"indexes":[{"code":"V","currency":"USD","of":"X","fx":{"rates":"one"},"variant":{"kind":"total_return"}}]}"#,
    );
    assert!(
        refusal.contains("state `fx.rates` at its parent"),
        "{refusal}"
    );
}
