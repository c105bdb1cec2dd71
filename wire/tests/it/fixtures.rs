//! The files of `fixtures/` load, and give the levels that stand beside them.

use divisor_engine::definition::{Definitions, Dissemination, Weighting};
use divisor_engine::{Batch, Decimal, Engine, Input, LabelId, Origin, Time};
use divisor_wire::command::Items;
use serde_json::Value;

#[expect(dead_code, reason = "an example has a main")]
#[path = "../../examples/universe.rs"]
mod universe;

/// Later than every price of a fixture.
const NOW: Time = Time::from_nanos(1_800_000_000_000_000_000);

#[test]
fn the_dow_closes_as_published() {
    let mut engine = Engine::new();
    load(&mut engine, "dow/before.json");
    assert_eq!(level(&engine, "DJIA"), "36157.58");
    load(&mut engine, "dow/spinoff.json");
    assert_eq!(level(&engine, "DJIA"), "36157.58");
    let days: Value = serde_json::from_str(&read("dow/days.json")).unwrap();
    let index = engine.index(engine.index_id("DJIA").unwrap()).unwrap();
    assert_eq!(
        index.divisor.unwrap().to_string(),
        days["divisor"].as_str().unwrap()
    );
    for day in days["days"].as_array().unwrap() {
        let date = day["date"].as_str().unwrap();
        let closes = day["closes"].as_object().unwrap().iter();
        let ts = time(&format!("{date}T21:00:00Z"));
        let ticks =
            closes.map(|(symbol, close)| price(&engine, symbol, close.as_str().unwrap(), ts));
        let ticks = ticks.collect();
        apply(&mut engine, ticks);
        if day["exact"] == Value::Bool(true) {
            assert_eq!(
                level(&engine, "DJIA"),
                day["published"].as_str().unwrap(),
                "{date}"
            );
        }
    }
}

#[test]
fn the_small_indexes_are_as_worked_out_by_hand() {
    let mut engine = Engine::new();
    let days = ["small/small.json", "small/day2.json", "small/day3.json"];
    let mut levels = Vec::new();
    for file in days {
        load(&mut engine, file);
        levels.push(
            engine
                .indexes()
                .map(|x| level(&engine, &x.definition.code))
                .collect::<Vec<_>>(),
        );
    }
    let mut tables = read("small/README.md");
    tables.replace_range(..tables.find("The levels:").unwrap(), "");
    for (at, index) in engine.indexes().enumerate() {
        let code = &index.definition.code;
        let row = format!(
            "| `{code}` | {} | {} | {} |",
            levels[0][at], levels[1][at], levels[2][at]
        );
        assert!(tables.contains(&row), "the README lacks {row}");
    }
}

#[test]
fn the_universe_is_what_its_generator_makes() {
    let written = read("universe/universe.json");
    assert!(
        written == universe::text(),
        "run `cargo run -p divisor-wire --example universe > fixtures/universe/universe.json`"
    );
    let items: Items = serde_json::from_str(&written).unwrap();
    let members: usize = items.indexes.iter().map(|x| x.basket.len()).sum();
    assert_eq!(
        (items.securities.len(), items.indexes.len(), members),
        (500, 20, 1_500)
    );
    let held = |symbol: &String| {
        items
            .indexes
            .iter()
            .any(|x| x.basket.iter().any(|c| c.symbol == *symbol))
    };
    assert!(
        items.securities.iter().all(|s| held(&s.symbol)),
        "every security is in an index"
    );
    let scheme = |x: Weighting| std::mem::discriminant(&x);
    let schemes: std::collections::HashSet<_> =
        items.indexes.iter().map(|x| scheme(x.weighting)).collect();
    assert_eq!(schemes.len(), 6, "every weighting");
    let conflated = items
        .indexes
        .iter()
        .filter(|x| x.dissemination == Dissemination::Conflate);
    assert!(conflated.count() > 10);
    let mut engine = Engine::new();
    apply_items(&mut engine, &items);
    for index in engine.indexes() {
        let base = index.definition.base.value;
        let level = index
            .level
            .unwrap_or_else(|| panic!("{} is pending", index.definition.code));
        assert!(
            base.is_none_or(|base| base == level.level),
            "{}",
            index.definition.code
        );
    }
}

fn read(path: &str) -> String {
    let path = format!("{}/../fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn load(engine: &mut Engine, path: &str) {
    let items: Items = serde_json::from_str(&read(path)).unwrap();
    apply_items(engine, &items);
}

/// Applies a load in its documented order: securities, rates, prices, indexes, revisions.
fn apply_items(engine: &mut Engine, items: &Items) {
    let (securities, indexes) = items.definitions();
    define(engine, securities);
    let rates = items.rates.iter().map(|r| {
        let ts = time(r.ts.as_deref().unwrap());
        engine
            .admit_rate(r.base, r.quote, r.rate, origin(ts))
            .unwrap()
    });
    let prices = items.prices.iter().map(|p| {
        price(
            engine,
            &p.symbol,
            &p.price.to_string(),
            time(p.ts.as_deref().unwrap()),
        )
    });
    let inputs = rates.chain(prices).collect();
    apply(engine, inputs);
    define(engine, indexes);
}

fn define(engine: &mut Engine, definitions: Definitions) {
    engine.plan(&definitions).unwrap();
    apply(
        engine,
        vec![Input::Define {
            by: LabelId(0),
            definitions: Box::new(definitions),
        }],
    );
}

fn apply(engine: &mut Engine, inputs: Vec<Input>) {
    let first = engine.next_position();
    engine.apply(&Batch {
        first,
        time: NOW,
        inputs,
    });
    while engine.poll_output().is_some() {}
}

fn price(engine: &Engine, symbol: &str, price: &str, ts: Time) -> Input {
    let price: Decimal = price.parse().unwrap();
    engine
        .admit_price(symbol, price, None, origin(ts), None, None)
        .unwrap()
}

fn origin(ts: Time) -> Origin {
    Origin {
        ts,
        received: ts,
        source: LabelId(0),
        inc: None,
        seq: None,
    }
}

fn time(text: &str) -> Time {
    divisor_wire::level::time(text).unwrap()
}

fn level(engine: &Engine, code: &str) -> String {
    let index = engine.index(engine.index_id(code).unwrap()).unwrap();
    index.level.unwrap().level.to_string()
}
