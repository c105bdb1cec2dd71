//! What is refused, and that a refusal changes nothing.

use divisor_engine::Effect;
use divisor_engine::definition::{Definitions, Dissemination, Weighting};

use crate::support::{PRICE_INDEX, world};

#[test]
fn reads_every_form_of_the_public_format() {
    let read = |text: &str| serde_json::from_str::<Dissemination>(text);
    assert_eq!(
        read(r#"{"mode":"interval","every_ms":250}"#).unwrap(),
        Dissemination::Interval { every_ms: 250 }
    );
    assert!(read(r#"{"mode":"tick","every_ms":250}"#).is_err());
    let read = |text: &str| serde_json::from_str::<Weighting>(text);
    assert_eq!(read(r#"{"scheme":"price"}"#).unwrap(), Weighting::Price);
    assert!(read(r#"{"scheme":"price","reset":"daily"}"#).is_err());
    assert!(read(r#"{"scheme":"equal","rest":"daily"}"#).is_err());
}

#[test]
fn the_bound_of_a_price_holds_for_prices_under_way() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    let lower = |max: &str| {
        format!(r#"{{"securities":[{{"symbol":"A","currency":"USD","price_max":"{max}"}}]}}"#)
    };
    assert!(world.refusal(&lower("9")).contains("price_max"));
    let under_way = world.price("A", "1000", "2026-01-05");
    world.load(&lower("100"));
    world.apply(vec![under_way]);
    assert_eq!(world.last_effect(), Effect::Late);
    assert_eq!(world.level("X"), "100.00");
}

#[test]
fn a_higher_bound_must_fit_indexes_that_still_wait() {
    let world = world(
        r#""weighting":{"scheme":"market_cap"},"base":{"value":"100"},
            "basket":[{"symbol":"A","shares":"100000000000000.000001"}]"#,
    );
    let higher = r#"{"securities":[{"symbol":"A","currency":"USD","price_max":"9000000000000"}]}"#;
    assert!(world.refusal(higher).contains("126 bits"));
}

#[test]
fn a_reference_price_beyond_the_bound_is_refused() {
    let world = world(PRICE_INDEX);
    let index = |price: &str| {
        format!(
            r#"{{"indexes":[{{"code":"Y","currency":"USD","weighting":{{"scheme":"price"}},
                "base":{{"value":"100"}},"basket":[{{"symbol":"B","price":"{price}"}}]}}]}}"#
        )
    };
    assert!(world.refusal(&index("10000001")).contains("price_max"));
    assert!(world.refusal(&index("0.0000001")).contains("price_max"));
}

#[test]
fn a_refused_load_changes_nothing() {
    let mut world = world(PRICE_INDEX);
    world.ticks("2026-01-05", &[("A", "10"), ("B", "30")]);
    let before = format!("{:?}", world.engine);
    let definitions: Definitions = serde_json::from_str(
        r#"{"securities":[{"symbol":"C","currency":"USD"}],
            "revisions":[{"id":"good","adjust":[{"symbol":"A","less":"1"}]},
                         {"id":"bad","adjust":[{"symbol":"A","less":"100"}]}]}"#,
    )
    .unwrap();
    assert!(world.engine.plan(&definitions).is_err());
    assert_eq!(format!("{:?}", world.engine), before);
}
