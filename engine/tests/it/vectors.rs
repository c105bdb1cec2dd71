//! The vectors of `fixtures/vectors`: published index levels, textbook cases and other people's
//! fixtures, through the public definition format.
//!
//! A row maps a vector's JSON to definitions, prices and expectations; everything else is one
//! [`check`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::exact::Q;
use crate::support::World;

/// One thing to do or to see. Indexes and securities by name, numbers as the vector writes them.
enum Step {
    Load(Value),
    /// Definitions that must be refused, for a reason that holds this text.
    Refused(Value, &'static str),
    /// The coefficient of a member.
    Coefficient(&'static str, String, Q),
    Ticks(String, Vec<(String, Value)>),
    Rates(String, Vec<(String, String)>),
    Level(&'static str, Value, &'static str),
    Divisor(&'static str, Value),
    Price(&'static str, Value),
    Shares(&'static str, &'static str, Value),
    /// Weights of the members, in the order of the basket.
    Weights(&'static str, Value, &'static str),
}
use Step::{Coefficient, Divisor, Level, Load, Price, Rates, Refused, Shares, Ticks, Weights};

type Mapping = fn(&Value) -> Vec<Step>;

/// Every vector with what makes definitions, inputs and expectations of it.
const TABLE: [(&str, Mapping); 33] = [
    ("05_djia_daily_20days", daily_closes),
    ("07_djia_daily_20days", daily_closes),
    ("09_djia_weekly_2011", daily_closes),
    ("10_djia_divisor_20180626_ge_to_wba", replacement),
    (
        "13_djia_divisor_20211104_ibm_kyndryl_spinoff",
        spin_off_outside,
    ),
    (
        "15_solactive_assessment_top3_monthly_2020",
        monthly_top_three,
    ),
    ("16_seed_ets_demo_unit_cases", constant_weights),
    ("20_bkm_price_weighted_split", split_of_two),
    ("22_price_weighted_4for1_split", split_of_three),
    ("24_value_line_geometric", geometric),
    ("25_price_and_value_weighted_split", two_weightings),
    (
        "26_cfa_reading40_price_vs_total_return",
        price_and_total_return,
    ),
    ("30_terp", theoretical_prices),
    ("31_rights_issue_divisor", rights),
    ("33_split_and_reverse_split", cap_weighted_splits),
    ("34_spin_off_included", spin_off_inside),
    ("36_cash_merger", cash_merger),
    ("38_capping_cascade", capped_cascade),
    ("50_fa_base_date_base_value_initialisation", base_value),
    ("51_fa_divisor_initialisation", base_divisor),
    ("52_fa_divisor_continuity", continuity),
    ("53_fa_special_dividend_divisor_bridge", special_dividend),
    ("54_fa_intraday_level_with_FX", intraday_with_rates),
    ("57_fa_free_float_market_cap", float_weights),
    ("58_fa_capped_free_float", capped_float),
    ("60_fa_equal_weight", equal_weight),
    ("69_fa_price_return", price_return),
    ("70_fa_gross_total_return", total_return),
    ("71_fa_net_total_return", total_return),
    ("74_fa_currency_converted", converted),
    ("76_fa_leveraged_daily_reset", leveraged),
    ("80_fa_percentage_decrement", decrement),
    ("82_fa_free_float_factor_with_rounding_step", float_steps),
];

#[test]
fn agrees_with_every_vector() {
    for (file, mapping) in TABLE {
        check(file, mapping);
    }
}

#[test]
fn knows_every_vector() {
    let named: BTreeSet<_> = TABLE.iter().map(|(file, _)| *file).collect();
    assert_eq!(named.len(), TABLE.len(), "a vector is listed twice");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(stem) = name.strip_suffix(".json") {
            found.insert(stem.to_owned());
        }
    }
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    assert_eq!(named, found);
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors")
}

fn check(file: &str, mapping: Mapping) {
    let text = std::fs::read_to_string(directory().join(format!("{file}.json"))).unwrap();
    let vector: Value = serde_json::from_str(&text).unwrap();
    let mut world = World::default();
    for (at, step) in mapping(&vector).into_iter().enumerate() {
        let context = format!("{file}, step {at}");
        match step {
            Load(definitions) => world.load(&definitions.to_string()),
            Refused(definitions, why) => {
                let refusal = world.refusal(&definitions.to_string());
                assert!(refusal.contains(why), "{context}: {refusal}");
            }
            Coefficient(code, symbol, expected) => {
                let id = world.engine.security_id(&symbol).unwrap();
                let members = world.index(code).members;
                let member = members.iter().find(|m| m.security == id).unwrap();
                assert_eq!(Q::from(member.coefficient.unwrap()), expected, "{context}");
            }
            Ticks(ts, prices) => {
                let prices: Vec<_> = prices.iter().map(|(s, p)| (s, text_of(p))).collect();
                let prices: Vec<_> = prices
                    .iter()
                    .map(|(s, p)| (s.as_str(), p.as_str()))
                    .collect();
                world.ticks(&ts, &prices);
            }
            Rates(ts, rates) => {
                let of = |(base, rate): &(String, String)| world.rate(base, "USD", rate, &ts);
                let inputs = rates.iter().map(of).collect();
                world.apply(inputs);
            }
            Level(code, expected, tolerance) => {
                near(&world.level(code), &expected, tolerance, &context);
            }
            Divisor(code, expected) => near(&world.divisor(code), &expected, "0", &context),
            Price(symbol, expected) => {
                let id = world.engine.security_id(symbol).unwrap();
                let price = world.engine.security(id).unwrap().price.unwrap();
                near(&price.to_string(), &expected, "0", &context);
            }
            Shares(code, symbol, expected) => {
                let basket = &world.index(code).definition.basket;
                let member = basket.iter().find(|c| c.symbol == symbol).unwrap();
                near(
                    &member.shares.unwrap().to_string(),
                    &expected,
                    "0",
                    &context,
                );
            }
            Weights(code, expected, tolerance) => {
                for (weight, expected) in weights(&world, code).iter().zip(list(&expected)) {
                    let distance = (weight - &number(&expected)).abs();
                    assert!(distance <= Q::text(tolerance), "{context}: {weight:?}");
                }
            }
        }
    }
}

fn near(got: &str, expected: &Value, tolerance: &str, context: &str) {
    let distance = (&Q::text(got) - &number(expected)).abs();
    assert!(
        distance <= Q::text(tolerance),
        "{context}: {got}, expected {expected} within {tolerance}"
    );
}

/// The share of each member in the market value.
fn weights(world: &World, code: &str) -> Vec<Q> {
    let index = world.index(code);
    let values: Vec<Q> = index
        .members
        .iter()
        .map(|member| {
            let currency = world
                .engine
                .security(member.security)
                .unwrap()
                .definition
                .currency;
            let mut rates = world.engine.rates();
            let rate = rates.find(|view| view.base == currency);
            let rate = rate.map_or_else(|| Q::int(1), |view| view.rate.into());
            &(&Q::from(member.price.unwrap()) * &member.coefficient.unwrap().into()) * &rate
        })
        .collect();
    let total: Q = values.iter().cloned().sum();
    values.iter().map(|value| value / &total).collect()
}

/// A number of a vector, written as text or as number, without going through a float.
fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> Q {
    Q::text(&text_of(value))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(text_of).collect()
}

/// `price · (1 + r)` as a decimal text.
fn moved(price: &str, r: &str) -> String {
    let (price, r) = (crate::support::decimal(price), crate::support::decimal(r));
    let one = 10i128.pow(u32::from(r.places()));
    let places = price.places() + r.places();
    let product = divisor_engine::Decimal::new(price.mantissa() * (one + r.mantissa()), places);
    product.to_string()
}

/// Securities in USD under default bounds.
fn securities(symbols: &[String]) -> Value {
    let security = |s: &String| json!({"symbol": s, "currency": "USD"});
    symbols.iter().map(security).collect()
}

fn basket(symbols: &[String]) -> Value {
    symbols.iter().map(|s| json!({"symbol": s})).collect()
}

/// Index `X` in USD, before its basket.
fn index(scheme: &str, base: Value, places: u8) -> Value {
    json!({"code": "X", "currency": "USD", "weighting": {"scheme": scheme}, "base": base,
        "rounding": {"level": {"places": places, "mode": "half_up"}}})
}

fn with_basket(mut index: Value, basket: Value) -> Value {
    index["basket"] = basket;
    index
}

/// A day's prices, for symbols in the order of the columns.
fn row(ts: &str, symbols: &[String], prices: &Value) -> Step {
    Ticks(
        ts.to_owned(),
        symbols.iter().cloned().zip(list(prices)).collect(),
    )
}

/// `{"A": "100"}` as prices of one moment.
fn prices(ts: &str, map: &Value) -> Step {
    let map = map.as_object().unwrap();
    Ticks(
        ts.to_owned(),
        map.iter().map(|(s, p)| (s.clone(), p.clone())).collect(),
    )
}

fn daily_closes(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let symbols = texts(&inputs["tickers"]);
    let base = json!({"divisor": inputs["divisor"]});
    let mut steps = vec![Load(json!({
        "securities": securities(&symbols),
        "indexes": [with_basket(index("price", base, 2), basket(&symbols))],
    }))];
    for (at, date) in texts(&inputs["dates"]).iter().enumerate() {
        steps.push(row(date, &symbols, &inputs["closes_usd"][at]));
        if v["expected"]["exact"][at] == json!(true) {
            steps.push(Level("X", v["expected"]["levels"][at].clone(), "0"));
        }
    }
    steps
}

fn replacement(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let old = texts(&inputs["constituents_old"]);
    let closes = inputs["closes_usd"].as_object().unwrap();
    let all: Vec<String> = closes.keys().cloned().collect();
    let mut new = old.clone();
    for event in list(&inputs["events"]) {
        let ticker = text_of(&event["ticker"]);
        match event["op"].as_str().unwrap() {
            "delete" => new.retain(|symbol| *symbol != ticker),
            _ => new.push(ticker),
        }
    }
    let base = json!({"divisor": inputs["divisor_old"]});
    let level = &v["expected"]["level_before_equals_after"];
    vec![
        Load(json!({
            "securities": securities(&all),
            "indexes": [with_basket(index("price", base, 2), basket(&old))],
        })),
        prices("2018-06-25", &inputs["closes_usd"]),
        Level("X", level.clone(), "0"),
        Load(json!({"revisions": [{"id": "r",
            "indexes": [{"code": "X", "basket": basket(&new)}]}]})),
        Divisor("X", v["expected"]["divisor_new"].clone()),
        Level("X", level.clone(), "0"),
    ]
}

fn spin_off_outside(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let mut symbols = texts(&inputs["constituents_old"]);
    let event = &inputs["events"][0];
    let mut index = with_basket(
        index("price", json!({"divisor": inputs["divisor_old"]}), 2),
        basket(&symbols),
    );
    // The Dow never takes the child.
    index["actions"] = json!({"spin_offs": {"child": "drop"}});
    symbols.push("KD".to_owned());
    let level = &v["expected"]["level_before_equals_after"];
    let spin = json!({"id": "IBM-KD", "ex_date": "2021-11-04", "type": "spin_off", "symbol": event["parent"],
        "child": "KD", "ratio": event["child_per_parent"], "price": event["child_price"]});
    vec![
        Load(json!({"securities": securities(&symbols), "indexes": [index]})),
        prices("2021-11-03", &inputs["closes_usd"]),
        Level("X", level.clone(), "0"),
        Load(json!({"actions": [spin]})),
        Ticks(
            "2021-11-04".into(),
            vec![("AAPL".into(), inputs["closes_usd"]["AAPL"].clone())],
        ),
        Divisor("X", v["expected"]["divisor_new"].clone()),
        Level("X", level.clone(), "0"),
    ]
}

fn monthly_top_three(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let symbols = texts(&inputs["stocks"]);
    let dates = texts(&inputs["dates"]);
    // Equal shares outstanding: the rank by price is the rank by market value.
    let selection = |at: usize| -> Value {
        let mut ranked: Vec<_> = list(&inputs["prices"][at])
            .iter()
            .map(number)
            .zip(&symbols)
            .collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0));
        let members = ranked.iter().zip(list(&inputs["weights"]));
        members
            .map(|((_, s), w)| json!({"symbol": s, "weight": w}))
            .collect()
    };
    let start = dates.iter().position(|d| *d == inputs["start"]).unwrap();
    let mut steps = vec![
        Load(json!({"securities": securities(&symbols)})),
        row(&dates[start], &symbols, &inputs["prices"][start]),
    ];
    let base = json!({"value": inputs["base_level"]});
    let first = with_basket(index("fixed_weight", base, 2), selection(start - 1));
    steps.push(Load(json!({"indexes": [first]})));
    for (day, expected) in list(&v["expected"]["levels"]).into_iter().enumerate() {
        let at = start + day;
        assert_eq!(v["expected"]["dates"][day], dates[at], "the days match");
        steps.push(row(&dates[at], &symbols, &inputs["prices"][at]));
        steps.push(Level("X", expected, "0"));
        // Effective at the close of the first business day, chosen from the closes before it.
        if dates[at][..7] != dates[at - 1][..7] && at > start {
            steps.push(Load(json!({"revisions": [{"id": dates[at],
                "indexes": [{"code": "X", "basket": selection(at - 1)}]}]})));
        }
    }
    steps
}

fn constant_weights(v: &Value) -> Vec<Step> {
    let cases = list(&v["inputs"]["cases"]);
    let mut steps = Vec::new();
    let codes = ["RETURN", "INDEX_RETURN", "LEVEL"];
    for ((code, case), expected) in codes
        .into_iter()
        .zip(&cases)
        .zip(list(&v["expected"]["results"]))
    {
        let one = json!(["1"]);
        let weights = if case["weights"].is_null() {
            &one
        } else {
            &case["weights"]
        };
        let column = |value: &Value| {
            if value.is_array() {
                value.clone()
            } else {
                json!([value])
            }
        };
        let symbols: Vec<_> = (0..list(weights).len())
            .map(|i| format!("{code}.{i}"))
            .collect();
        let security = |s: &String| json!({"symbol": s, "currency": "USD", "price_places": 10, "price_max": 1000});
        let members = symbols.iter().zip(list(weights));
        let members: Value = members
            .map(|(s, w)| json!({"symbol": s, "weight": w}))
            .collect();
        let level = &case["prev_level"];
        let base = if level.is_null() {
            json!("1")
        } else {
            level.clone()
        };
        let mut index = index("constant_weight", json!({"value": base}), 6);
        index["code"] = json!(code);
        steps.push(Load(json!({
            "securities": symbols.iter().map(security).collect::<Value>(),
            "indexes": [with_basket(index, members)],
        })));
        steps.push(row("2026-01-05", &symbols, &column(&case["prev"])));
        steps.push(row("2026-01-06", &symbols, &column(&case["curr"])));
        // A return r is the level 1 + r of base 1.
        let expected = if level.is_null() {
            moved("1", &text_of(&expected))
        } else {
            text_of(&expected)
        };
        steps.push(Level(code, json!(expected), "0"));
    }
    steps
}

fn split_of_two(v: &Value) -> Vec<Step> {
    let (inputs, expected) = (&v["inputs"], &v["expected"]);
    let symbols = ["A".to_owned(), "B".to_owned()];
    let base = json!({"divisor": inputs["divisor"]});
    let split = &inputs["split"];
    let up = |s: &str| {
        (
            s.to_owned(),
            json!(moved(
                &text_of(&inputs["prices"][s]),
                &text_of(&inputs["moves"][s])
            )),
        )
    };
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index("price", base, 2), basket(&symbols))],
        })),
        prices("2026-01-05", &inputs["prices"]),
        Level("X", expected["level"].clone(), "0"),
        Ticks("2026-01-06".into(), vec![up("A"), up("B")]),
        Level("X", expected["level_after_moves"].clone(), "0"),
        prices("2026-01-07", &inputs["prices"]),
        Load(
            json!({"revisions": [{"id": "r", "adjust": [{"symbol": split["ticker"],
            "split": {"from": split["old"], "to": split["new"]}}]}]}),
        ),
        Divisor("X", expected["divisor_after_split"].clone()),
        Level("X", expected["level"].clone(), "0"),
    ]
}

fn split_of_three(v: &Value) -> Vec<Step> {
    let (inputs, expected) = (&v["inputs"], &v["expected"]);
    let symbols: Vec<String> = inputs["prices"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let base = json!({"value": inputs["base_level"]});
    let split = &inputs["split"];
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index("price", base, 2), basket(&symbols))],
        })),
        prices("2026-01-05", &inputs["prices"]),
        Divisor("X", expected["divisor_old"].clone()),
        Load(
            json!({"revisions": [{"id": "r", "adjust": [{"symbol": split["ticker"],
            "split": {"from": split["old"], "to": split["new"]}}]}]}),
        ),
        Divisor("X", expected["divisor_new"].clone()),
        Level("X", expected["level_after"].clone(), "0"),
    ]
}

fn two_weightings(v: &Value) -> Vec<Step> {
    let (inputs, expected) = (&v["inputs"], &v["expected"]);
    let symbols = ["A".to_owned(), "B".to_owned()];
    let column = |day: &str| {
        let of = |s: &String| (s.clone(), inputs[day][s.as_str()]["p"].clone());
        symbols.iter().map(of).collect::<Vec<_>>()
    };
    let shares = |s: &String| json!({"symbol": s, "shares": inputs["jan1"][s.as_str()]["n"]});
    let base = |which: &str| json!({"value": inputs["base"][which]});
    let mut value_weighted = index("market_cap", base("value_weighted"), 2);
    value_weighted["code"] = json!("VW");
    let split = &inputs["split"];
    let (price, value) = (&expected["price_weighted"], &expected["value_weighted"]);
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [
                with_basket(index("price", base("price_weighted"), 2), basket(&symbols)),
                with_basket(value_weighted, symbols.iter().map(shares).collect()),
            ],
        })),
        Ticks("2026-01-01".into(), column("jan1")),
        Ticks("2026-06-30".into(), column("jun30")),
        Level("X", price.clone(), "0"),
        Level("VW", value.clone(), "0"),
        Load(
            json!({"revisions": [{"id": "r", "adjust": [{"symbol": split["ticker"],
            "split": {"from": split["old"], "to": split["new"]}}]}]}),
        ),
        Level("X", price.clone(), "0"),
        Level("VW", value.clone(), "0"),
    ]
}

/// The three stocks of vectors 31 to 37: securities, the index under its stated divisor, prices.
fn three_stocks(v: &Value) -> Vec<Step> {
    let constituents = v["inputs"]["constituents"].as_object().unwrap();
    let symbols: Vec<String> = constituents.keys().cloned().collect();
    let member = |s: &String| json!({"symbol": s, "shares": constituents[s]["shares"]});
    let base = json!({"divisor": v["inputs"]["divisor"]});
    let price = |s: &String| (s.clone(), constituents[s]["price"].clone());
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index("market_cap", base, 2), symbols.iter().map(member).collect())],
        })),
        Ticks("2026-01-05".into(), symbols.iter().map(price).collect()),
        Level("X", v["inputs"]["base_level"].clone(), "0"),
    ]
}

/// An action of the day after the prices, and an input that begins the day and moves nothing.
fn acted(terms: Value, opener: &str, price: &Value) -> [Step; 2] {
    let mut action = json!({"id": "x", "ex_date": "2026-01-06"});
    let fields = terms.as_object().unwrap().clone();
    action.as_object_mut().unwrap().extend(fields);
    [
        Load(json!({"actions": [action]})),
        Ticks(
            "2026-01-06".into(),
            vec![(opener.to_owned(), price.clone())],
        ),
    ]
}

fn rights(v: &Value) -> Vec<Step> {
    let (event, expected) = (&v["inputs"]["event"], &v["expected"]);
    let mut steps = three_stocks(v);
    let terms = json!({"type": "rights", "symbol": event["ticker"], "held": event["held"],
        "new": event["new"], "price": event["sub"]});
    steps.extend(acted(
        terms,
        "S1",
        &v["inputs"]["constituents"]["S1"]["price"],
    ));
    steps.extend([
        Price("S0", expected["price"].clone()),
        Shares("X", "S0", expected["shares"].clone()),
        Divisor("X", expected["divisor_new"].clone()),
        Level("X", expected["level"].clone(), "0"),
    ]);
    steps
}

fn cap_weighted_splits(v: &Value) -> Vec<Step> {
    let mut steps = three_stocks(v);
    // Each case starts from the same three stocks, so the first is taken back before the second.
    for (case, (from, to)) in [(1, 2), (8, 1)].into_iter().enumerate() {
        let ratio = number(&v["inputs"]["cases"][case]["ratio"]);
        assert_eq!(ratio, &Q::int(to) / &Q::int(from));
        let split = |id: &str, from: i64, to: i64| {
            Load(json!({"revisions": [{"id": format!("{id}{case}"),
                "adjust": [{"symbol": "S0", "split": {"from": from, "to": to}}]}]}))
        };
        let expected = &v["expected"]["cases"][case];
        steps.extend([
            split("there", from, to),
            Price("S0", expected["price"].clone()),
            Shares("X", "S0", expected["shares"].clone()),
            Divisor("X", expected["divisor"].clone()),
            Level("X", expected["level"].clone(), "0"),
            split("back", to, from),
        ]);
    }
    steps
}

fn spin_off_inside(v: &Value) -> Vec<Step> {
    let (event, expected) = (&v["inputs"]["event"], &v["expected"]);
    let mut steps = three_stocks(v);
    let child = json!({"symbol": "CHILD", "currency": "USD"});
    steps.push(Load(json!({"securities": [child]})));
    let terms = json!({"type": "spin_off", "symbol": event["ticker"], "child": "CHILD",
        "ratio": event["child_per_parent"], "price": expected["child_price"]});
    steps.extend(acted(
        terms,
        "S1",
        &v["inputs"]["constituents"]["S1"]["price"],
    ));
    steps.extend([
        Price("S0", expected["parent_price"].clone()),
        Price("CHILD", expected["child_price"].clone()),
        Shares("X", "CHILD", expected["child_shares"].clone()),
        Divisor("X", expected["divisor"].clone()),
        Level("X", expected["level"].clone(), "0"),
    ]);
    steps
}

/// By the rule that recognises the terms of the offer before the target leaves.
fn cash_merger(v: &Value) -> Vec<Step> {
    let (event, expected) = (&v["inputs"]["event"], &v["expected"]);
    let mut steps = three_stocks(v);
    if let Load(definitions) = &mut steps[0] {
        definitions["indexes"][0]["actions"] = json!({"mergers": {"price": "terms"}});
    }
    let terms = json!({"type": "merger", "symbol": event["ticker"], "cash": event["cash"]});
    steps.extend(acted(
        terms,
        "S1",
        &v["inputs"]["constituents"]["S1"]["price"],
    ));
    steps.push(Level("X", expected["level"].clone(), "0"));
    steps.push(Level("X", expected["level_after_deletion"].clone(), "0"));
    steps
}

fn float_market(constituents: &[Value], base: Value) -> Vec<Step> {
    let currency = |c: &Value| if c["fx"] == json!(1) { "USD" } else { "EUR" };
    let security = |c: &Value| json!({"symbol": c["id"], "currency": currency(c)});
    let member =
        |c: &Value| json!({"symbol": c["id"], "shares": c["shares"], "float": c["floatFactor"]});
    let foreign = constituents.iter().filter(|c| currency(c) == "EUR");
    let rates = foreign
        .map(|c| ("EUR".to_owned(), text_of(&c["fx"])))
        .collect();
    vec![
        Load(json!({
            "securities": constituents.iter().map(security).collect::<Value>(),
            "indexes": [with_basket(index("market_cap", base, 6), constituents.iter().map(member).collect())],
        })),
        Rates("2026-01-02".into(), rates),
        Ticks(
            "2026-01-02".into(),
            constituents
                .iter()
                .map(|c| (text_of(&c["id"]), c["price"].clone()))
                .collect(),
        ),
    ]
}

fn base_value(v: &Value) -> Vec<Step> {
    let base = json!({"value": v["inputs"]["baseLevel"], "date": v["inputs"]["baseDate"]});
    let mut steps = float_market(&list(&v["inputs"]["constituents"]), base);
    steps.push(Divisor("X", v["expected"]["divisor"].clone()));
    steps.push(Level("X", v["expected"]["indexLevel"].clone(), "0"));
    steps
}

fn float_weights(v: &Value) -> Vec<Step> {
    let mut steps = float_market(&list(&v["inputs"]["constituents"]), json!({"value": "100"}));
    steps.push(Weights("X", v["expected"]["weights"].clone(), "0.0000005"));
    steps
}

/// One security of price 1 whose shares are the market value.
fn market_value(value: &Value, base: Value) -> Vec<Step> {
    let member = json!({"id": "A", "price": 1, "shares": value, "floatFactor": 1, "fx": 1});
    float_market(&[member], base)
}

fn base_divisor(v: &Value) -> Vec<Step> {
    let base = json!({"value": v["inputs"]["baseLevel"]});
    let mut steps = market_value(&v["inputs"]["marketValue"], base);
    steps.push(Divisor("X", v["expected"]["divisor"].clone()));
    steps.push(Level("X", v["expected"]["indexLevel"].clone(), "0"));
    steps
}

fn continuity(v: &Value) -> Vec<Step> {
    let (inputs, expected) = (&v["inputs"], &v["expected"]);
    let base = json!({"divisor": inputs["oldDivisor"]});
    let mut steps = market_value(&inputs["oldMarketValue"], base);
    let member = json!({"symbol": "A", "shares": inputs["newMarketValue"]});
    steps.extend([
        Level("X", expected["oldLevel"].clone(), "0"),
        Load(json!({"revisions": [{"id": "r", "indexes": [{"code": "X", "basket": [member]}]}]})),
        Divisor("X", expected["newDivisor"].clone()),
        Level("X", expected["bridgedLevel"].clone(), "0"),
    ]);
    steps
}

fn special_dividend(v: &Value) -> Vec<Step> {
    let (inputs, expected) = (&v["inputs"], &v["expected"]);
    let base = json!({"divisor": inputs["preEventDivisor"]});
    let mut steps = market_value(&inputs["preEventMarketValue"], base);
    let price =
        &number(&expected["postEventMarketValue"]) / &number(&inputs["preEventMarketValue"]);
    assert_eq!(
        price,
        Q::text("0.96"),
        "what the one share is worth after it"
    );
    steps.push(Level("X", expected["preEventLevel"].clone(), "0"));
    let terms = json!({"type": "dividend", "symbol": "A", "amount": "0.04", "kind": "special"});
    steps.extend(acted(terms, "A", &json!("0.96")));
    steps.extend([
        Divisor("X", expected["newDivisor"].clone()),
        Level("X", expected["bridgedLevel"].clone(), "0"),
    ]);
    steps
}

fn intraday_with_rates(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let currencies = ["AUD", "CAD", "CHF"];
    let symbols = ["A".to_owned(), "B".to_owned(), "C".to_owned()];
    let security = |(s, c): (&String, &str)| json!({"symbol": s, "currency": c});
    let member = |(at, s): (usize, &String)| json!({"symbol": s, "shares": inputs["indexShares"][at], "float": inputs["floatFactors"][at]});
    let base = json!({"divisor": inputs["divisor"]});
    let members = symbols.iter().enumerate().map(member).collect();
    let mut steps = vec![Load(json!({
        "securities": symbols.iter().zip(currencies).map(security).collect::<Value>(),
        "indexes": [with_basket(index("market_cap", base, 6), members)],
    }))];
    for (at, snapshot) in list(&inputs["snapshots"]).iter().enumerate() {
        let ts = format!("2026-01-05T{}:00Z", text_of(&snapshot["timestamp"]));
        let rates = currencies
            .iter()
            .map(|c| (*c).to_owned())
            .zip(texts(&snapshot["fxRates"]));
        steps.push(Rates(ts.clone(), rates.collect()));
        steps.push(row(&ts, &symbols, &snapshot["prices"]));
        steps.push(Level(
            "X",
            v["expected"]["levels"][at]["level"].clone(),
            "0",
        ));
    }
    steps
}

fn equal_weight(v: &Value) -> Vec<Step> {
    let symbols = texts(&v["inputs"]["ids"]);
    let returns = texts(&v["inputs"]["returns"]);
    let before = symbols.iter().map(|s| (s.clone(), json!("100")));
    let after = symbols
        .iter()
        .zip(&returns)
        .map(|(s, r)| (s.clone(), json!(moved("100", r))));
    let index = index("equal", json!({"value": "1"}), 6);
    let level = moved("1", &text_of(&v["expected"]["portfolioReturn"]));
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index, basket(&symbols))],
        })),
        Ticks("2026-01-05".into(), before.collect()),
        Weights("X", v["expected"]["weights"].clone(), "0"),
        Ticks("2026-01-06".into(), after.collect()),
        Level("X", json!(level), "0"),
    ]
}

fn price_return(v: &Value) -> Vec<Step> {
    let symbols = ["A".to_owned()];
    let base = json!({"value": v["inputs"]["baseLevel"]});
    let mut steps = vec![Load(json!({
        "securities": securities(&symbols),
        "indexes": [with_basket(index("price", base, 6), basket(&symbols))],
    }))];
    for (day, price) in list(&v["inputs"]["prices"]).into_iter().enumerate() {
        steps.push(Ticks(
            format!("2026-01-{:02}", day + 1),
            vec![("A".into(), price)],
        ));
        steps.push(Level("X", v["expected"]["levels"][day].clone(), "0"));
    }
    steps
}

fn converted(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let base = json!({"value": inputs["baseLevel"]});
    let (mut price, mut rate) = ("1".to_owned(), "1".to_owned());
    let mut steps = vec![
        Load(json!({
            "securities": [{"symbol": "A", "currency": "EUR", "price_places": 18, "price_max": 9}],
            "indexes": [with_basket(index("price", base, 6), json!([{"symbol": "A"}]))],
        })),
        Rates("2026-01-01".into(), vec![("EUR".into(), rate.clone())]),
        Ticks("2026-01-01".into(), vec![("A".into(), json!(price))]),
        Level("X", v["expected"]["levels"][0].clone(), "0"),
    ];
    let returns = texts(&inputs["localReturns"])
        .into_iter()
        .zip(texts(&inputs["fxReturns"]));
    for (day, (local, fx)) in returns.enumerate() {
        (price, rate) = (moved(&price, &local), moved(&rate, &fx));
        let ts = format!("2026-01-{:02}", day + 2);
        steps.push(Rates(ts.clone(), vec![("EUR".into(), rate.clone())]));
        steps.push(Ticks(ts, vec![("A".into(), json!(price))]));
        steps.push(Level("X", v["expected"]["levels"][day + 1].clone(), "0"));
    }
    steps
}

/// An index `U` in USD whose level is the price of A, and `X`, a variant of it.
fn variant_of_a_price(base: &Value, variant: Value) -> Step {
    let security = json!({"symbol": "A", "currency": "USD", "price_places": 16, "price_max": 500});
    let parent = json!({"code": "U", "currency": "USD", "weighting": {"scheme": "price"},
        "base": {"divisor": "1"}, "basket": [{"symbol": "A"}]});
    let variant = json!({"code": "X", "currency": "USD", "of": "U", "variant": variant,
        "base": {"value": base}, "rounding": {"level": {"places": 6}}});
    Load(json!({"securities": [security], "indexes": [parent, variant]}))
}

fn leveraged(v: &Value) -> Vec<Step> {
    let (inputs, levels) = (&v["inputs"], list(&v["expected"]["levels"]));
    let rule = json!({"kind": "leveraged", "factor": inputs["leverage"],
        "cost": text_of(&inputs["dailyCost"])});
    let mut price = "100".to_owned();
    let mut steps = vec![
        variant_of_a_price(&inputs["baseLevel"], rule),
        Ticks("2026-01-01".into(), vec![("A".into(), json!(price))]),
        Level("X", levels[0].clone(), "0"),
    ];
    for (day, r) in texts(&inputs["returns"]).iter().enumerate() {
        price = crate::support::decimal(&moved(&price, r))
            .normalized()
            .to_string();
        let ts = format!("2026-01-{:02}", day + 2);
        steps.push(Ticks(ts, vec![("A".into(), json!(price))]));
        steps.push(Level("X", levels[day + 1].clone(), "0"));
    }
    steps
}

fn decrement(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    assert_eq!(inputs["dayCount"], json!(360));
    let rule = json!({"kind": "decrement", "rate": text_of(&inputs["annualDecrementRate"]),
        "day_count": "day_360"});
    let mut steps = vec![variant_of_a_price(&inputs["baseLevel"], rule)];
    for (day, level) in list(&inputs["underlyingLevels"]).into_iter().enumerate() {
        let ts = format!("2026-01-{:02}", day + 1);
        steps.push(Ticks(ts, vec![("A".into(), level)]));
        steps.push(Level("X", v["expected"]["levels"][day].clone(), "0"));
    }
    steps
}

fn geometric(v: &Value) -> Vec<Step> {
    let symbols: Vec<String> = ["A", "B", "C"].map(str::to_owned).to_vec();
    let index = index("geometric", json!({"value": "1"}), 6);
    let after = symbols.iter().zip(texts(&v["inputs"]["returns"]));
    let level = moved("1", &text_of(&v["expected"]["return"]));
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index, basket(&symbols))],
        })),
        row("2026-01-01", &symbols, &json!(["100", "100", "100"])),
        Ticks(
            "2026-01-02".into(),
            after
                .map(|(s, r)| (s.clone(), json!(moved("100", &r))))
                .collect(),
        ),
        Level("X", json!(level), "0.0005"),
    ]
}

fn capped_cascade(v: &Value) -> Vec<Step> {
    let weights = v["inputs"]["weights"].as_object().unwrap();
    let symbols: Vec<String> = weights.keys().cloned().collect();
    let members: Value = weights
        .iter()
        .map(|(s, w)| json!({"symbol": s, "weight": w}))
        .collect();
    let capped = |cap: &Value| {
        let mut index = index("fixed_weight", json!({"value": "100"}), 2);
        index["caps"] = json!({"weight_max": cap});
        with_basket(index, members.clone())
    };
    let expected: Value = symbols
        .iter()
        .map(|s| v["expected"]["weights"][s].clone())
        .collect();
    vec![
        Load(json!({"securities": securities(&symbols)})),
        row("2026-01-01", &symbols, &json!(["10", "20", "40"])),
        Load(json!({"indexes": [capped(&v["inputs"]["cap"])]})),
        Weights("X", expected, "0"),
        Refused(
            json!({"indexes": [capped(&v["expected"]["infeasible_cap"])]}),
            "leave no weights",
        ),
    ]
}

fn capped_float(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let symbols = texts(&inputs["ids"]);
    let values = list(&inputs["marketValues"]);
    let member = |(s, value): (&String, &Value)| json!({"symbol": s, "shares": value});
    let mut index = index("market_cap", json!({"value": "100"}), 2);
    index["caps"] = json!({"weight_max": text_of(&inputs["cap"])});
    let basket = symbols.iter().zip(&values).map(member).collect();
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(index, basket)],
        })),
        row("2026-01-01", &symbols, &json!(["1", "1", "1", "1", "1"])),
        Weights("X", v["expected"]["weights"].clone(), "0.0000005"),
    ]
}

fn float_steps(v: &Value) -> Vec<Step> {
    let records = list(&v["inputs"]["records"]);
    let symbols: Vec<String> = records.iter().map(|r| text_of(&r["id"])).collect();
    let member = |r: &Value| json!({"symbol": r["id"], "shares": r["issuedShares"], "strategic": r["strategicShares"]});
    let members: Value = records.iter().map(member).collect();
    let plain = with_basket(index("market_cap", json!({"value": "1"}), 2), members);
    let mut stepped = plain.clone();
    stepped["code"] = json!("STEPS");
    stepped["float"] = json!({"step": text_of(&v["inputs"]["roundingStep"])});
    let mut steps = vec![
        Load(json!({"securities": securities(&symbols), "indexes": [plain, stepped]})),
        row("2026-01-01", &symbols, &json!(["1", "1", "1"])),
    ];
    for (record, result) in records.iter().zip(list(&v["expected"]["results"])) {
        let shares = number(&record["issuedShares"]);
        for (code, field) in [("X", "rawFreeFloat"), ("STEPS", "freeFloatFactor")] {
            let expected = &shares * &number(&result[field]);
            steps.push(Coefficient(code, text_of(&record["id"]), expected));
        }
    }
    steps
}

/// A dividend that is announced before its day.
fn dividend(at: usize, symbol: &str, ex_date: &str, amount: &Value, tax: Option<&Value>) -> Step {
    let mut action = json!({"id": format!("d{at}"), "type": "dividend", "symbol": symbol,
        "ex_date": ex_date, "amount": text_of(amount)});
    if let Some(tax) = tax {
        action["tax"] = json!(text_of(tax));
    }
    Load(json!({"actions": [action]}))
}

fn price_and_total_return(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let symbols: Vec<String> = ["A", "B"].map(str::to_owned).to_vec();
    let total = |net: bool| {
        let rule = if net {
            json!({"kind": "total_return", "net": {"rate": "0"}})
        } else {
            json!({"kind": "total_return"})
        };
        json!({"code": if net { "NET" } else { "GROSS" }, "currency": "USD", "of": "X",
            "variant": rule, "rounding": {"level": {"places": 6}}})
    };
    let price = index("price", json!({"value": "1"}), 6);
    vec![
        Load(json!({
            "securities": securities(&symbols),
            "indexes": [with_basket(price, basket(&symbols)), total(false), total(true)],
        })),
        prices("2026-01-01", &inputs["begin"]),
        dividend(0, "B", "2026-01-02", &inputs["dividend"]["B"], None),
        prices("2026-01-02", &inputs["end"]),
        Level(
            "X",
            json!(moved("1", &text_of(&v["expected"]["price_return"]))),
            "0",
        ),
        Level(
            "GROSS",
            json!(moved("1", &text_of(&v["expected"]["total_return"]))),
            "0",
        ),
        Level(
            "NET",
            json!(moved("1", &text_of(&v["expected"]["total_return"]))),
            "0",
        ),
    ]
}

/// Gross, and net where the vector states what is withheld.
fn total_return(v: &Value) -> Vec<Step> {
    let inputs = &v["inputs"];
    let rates = inputs["withholdingRates"].as_array();
    let mut rule = json!({"kind": "total_return"});
    if rates.is_some() {
        rule["net"] = json!({"rate": "0"});
    }
    let mut steps = vec![variant_of_a_price(&inputs["baseLevel"], rule)];
    for (day, price) in list(&inputs["prices"]).into_iter().enumerate() {
        let ts = format!("2026-01-{:02}", day + 1);
        let amount = &inputs["dividends"][day];
        if *amount != json!(0) {
            let tax = rates.map(|rates| &rates[day]);
            steps.push(dividend(day, "A", &ts, amount, tax));
        }
        steps.push(Ticks(ts, vec![("A".into(), price)]));
        steps.push(Level("X", v["expected"]["levels"][day].clone(), "0"));
    }
    steps
}

/// The price after rights, and the last one where they are not in the money.
fn theoretical_prices(v: &Value) -> Vec<Step> {
    let cases = list(&v["inputs"]["cases"]);
    let names = ["A", "B", "C", "D"];
    let symbols: Vec<String> = names.map(str::to_owned).to_vec();
    let cum: Value = cases.iter().map(|case| case["cum"].clone()).collect();
    let action = |(symbol, case): (&&str, &Value)| {
        json!({"id": format!("rights-{symbol}"), "type": "rights", "symbol": symbol,
            "ex_date": "2026-01-02", "held": case["held"], "new": case["new"],
            "price": case["sub"]})
    };
    let actions: Value = names.iter().zip(&cases).map(action).collect();
    let mut steps = vec![
        Load(json!({"securities": securities(&symbols)})),
        row("2026-01-01", &symbols, &cum),
        Load(json!({
            "indexes": [with_basket(index("price", json!({"value": "1"}), 6), basket(&symbols))],
            "actions": actions,
        })),
        // Any price of the day opens it.
        Ticks(
            "2026-01-02".into(),
            vec![("A".into(), v["expected"]["terp"][0].clone())],
        ),
    ];
    for (symbol, expected) in names.iter().zip(list(&v["expected"]["terp"])) {
        steps.push(Price(symbol, expected));
    }
    steps
}
