//! When levels leave, and what the end of a day does.

use divisor_engine::{Cause, Status};

use crate::support::{PRICE_INDEX, World, decimal, time, world};

#[test]
fn a_tick_index_publishes_when_it_is_defined_and_revised() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}]}"#,
    );
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(
        r#"{"indexes":[{"code":"X","currency":"USD","dissemination":{"mode":"tick"},
            "weighting":{"scheme":"price"},"base":{"value":"100"},
            "basket":[{"symbol":"A"},{"symbol":"B"}]}]}"#,
    );
    assert_eq!(world.level_texts("X"), ["100.00"]);
    world.load(r#"{"revisions":[{"id":"r","adjust":[{"symbol":"A","price":"5"}]}]}"#);
    assert_eq!(world.level_texts("X"), ["100.00", "100.00"]);
    world.ticks("2026-01-05", &[("A", "6")]);
    assert_eq!(world.level_texts("X").len(), 3);
}

#[test]
fn a_batch_over_midnight_publishes_the_close_of_the_day_it_ends() {
    for mode in [
        r#"{"mode":"tick"}"#,
        r#"{"mode":"conflate"}"#,
        r#"{"mode":"interval","every_ms":60000}"#,
    ] {
        let mut world = world(&format!(r#""dissemination":{mode},{PRICE_INDEX}"#));
        world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
        let inputs = vec![
            world.price("A", "12", "2026-01-05T22:00:00Z"),
            world.price("A", "13", "2026-01-06T09:00:00Z"),
        ];
        world.apply(inputs);
        let close = world
            .levels("X")
            .into_iter()
            .rfind(|l| l.ts == time("2026-01-05T22:00:00Z"));
        let close = close.unwrap_or_else(|| panic!("no close in {mode}"));
        assert_eq!(close.level, decimal("105.00"), "{mode}");
        world.ticks("2026-01-06T10:00:00Z", &[("B", "31")]);
        world.apply_at(time("2027-02-01T00:00:00Z"), vec![]);
        let last = world.levels("X").pop().unwrap();
        assert_eq!(last.level, decimal("110.00"), "{mode}");
        assert_eq!(last.prev_close, Some(decimal("105.00")), "{mode}");
    }
}

#[test]
fn prices_loaded_before_an_index_give_its_first_day() {
    let mut world = World::with(r#"{"securities":[{"symbol":"A","currency":"USD"}]}"#);
    world.ticks("2021-11-03T20:00:00Z", &[("A", "10")]);
    world.load(
        r#"{"indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},
            "base":{"value":"100"},"basket":[{"symbol":"A"}]}]}"#,
    );
    assert_eq!(world.levels("X")[0].ts, time("2021-11-03T20:00:00Z"));
    world.ticks("2021-11-04T14:00:00Z", &[("A", "11")]);
    let level = world.levels("X").pop().unwrap();
    assert_eq!(level.prev_close, Some(decimal("100.00")));
}

#[test]
fn a_new_member_begins_the_days_of_its_new_index() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"}],
            "indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},
            "base":{"value":"100"},"basket":[{"symbol":"A"}]}]}"#,
    );
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(
        r#"{"revisions":[{"id":"r","indexes":[{"code":"X","basket":[{"symbol":"A"},{"symbol":"B"}]}]}]}"#,
    );
    world.ticks("2026-01-06", &[("B", "32")]);
    let level = world.levels("X").pop().unwrap();
    assert_eq!(
        (level.level, level.prev_close),
        (decimal("105.00"), Some(decimal("100.00")))
    );
}

#[test]
fn a_renamed_index_keeps_its_day() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.load(&format!(
        r#"{{"indexes":[{{"code":"X","name":"New","currency":"USD",{PRICE_INDEX}}}]}}"#
    ));
    world.ticks("2026-01-06", &[("A", "12")]);
    let level = world.levels("X").pop().unwrap();
    assert_eq!(level.prev_close, Some(decimal("100.00")));
}

#[test]
fn resets_at_the_first_input_of_a_period() {
    let mut world = world(
        r#""weighting":{"scheme":"equal","reset":"monthly"},"base":{"value":"100"},
            "basket":[{"symbol":"A"},{"symbol":"B"}]"#,
    );
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    world.ticks("2026-01-30", &[("A", "20")]);
    assert_eq!(world.level("X"), "150.00");
    world.ticks("2026-02-02", &[("A", "22")]);
    // Half of 150 in A, up a tenth.
    assert_eq!(world.level("X"), "157.50");
    let causes: Vec<_> = world.revisions("X").iter().map(|r| r.cause).collect();
    assert_eq!(causes, [Cause::Definition, Cause::Base, Cause::Reset]);
    assert_eq!(world.index("X").status, Status::Live);
}
