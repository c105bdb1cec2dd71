//! Every combination of rules either calculates or is refused when its definition is loaded.
//!
//! Definitions are drawn as a user would write them, as JSON: mostly what fits the scheme, sometimes
//! what does not. What is accepted must have a level as soon as its prices and rates are there, and
//! must go on having one through days of prices, rates, resets and actions.

use std::cell::RefCell;
use std::collections::BTreeMap;

use divisor_engine::definition::Definitions;
use divisor_engine::{Decimal, Input, LabelId, Output};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::explore::{config, seeds};
use crate::support::World;

const SYMBOLS: [&str; 5] = ["A", "B", "C", "D", "E"];
const CURRENCIES: [&str; 5] = ["USD", "USD", "EUR", "JPY", "EUR"];
const RESETS: [&str; 9] = [
    "never",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "yearly",
    "third_friday_monthly",
    "third_friday_quarterly",
    "third_friday_yearly",
];
const MODES: [&str; 4] = ["half_up", "half_even", "down", "up"];

/// What is drawn from. A failure tells what came of it, not the numbers.
struct Deck(Vec<u32>);

impl std::fmt::Debug for Deck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} numbers", self.0.len())
    }
}

/// A row of numbers that decides everything, one after the other; 0 where it has ended, which is
/// always the plainest choice.
struct Draw<'a> {
    numbers: std::slice::Iter<'a, u32>,
}

impl Draw<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.numbers.next().map_or(0, |n| *n as usize % bound)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True in one of `n` cases.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// A decimal of `low..high` hundredths.
    fn hundredths(&mut self, low: usize, high: usize) -> Value {
        let n = low + self.below(high - low);
        json!(format!("{}.{:02}", n / 100, n % 100))
    }
}

/// Adds what is drawn in one of `n` cases.
fn maybe(
    d: &mut Draw<'_>,
    n: usize,
    to: &mut Value,
    field: &str,
    of: impl FnOnce(&mut Draw<'_>) -> Value,
) {
    if d.once_in(n) {
        to[field] = of(d);
    }
}

fn market() -> Value {
    let mut securities: Vec<Value> = SYMBOLS
        .iter()
        .zip(CURRENCIES)
        .map(|(s, c)| json!({"symbol": s, "currency": c, "price_max": "1000000"}))
        .collect();
    for symbol in ["SOFR", "FWD-EUR", "FWD-JPY"] {
        securities.push(json!({"symbol": symbol, "currency": "USD", "price_max": "1000000"}));
    }
    json!({
        "calendars": [{"name": "CAL", "zone": "America/New_York", "week": [
            {"days": ["mon", "tue", "wed", "thu", "fri"], "pre_open": "09:00", "open": "09:30", "close": "16:00"}]}],
        "securities": securities,
    })
}

fn member(d: &mut Draw<'_>, symbol: &str, scheme: &str) -> Value {
    let mut member = json!({ "symbol": symbol });
    // Weights in the thousands would not fit the sums, as shares do.
    let most = if scheme.ends_with("weight") {
        60
    } else {
        1_000_000
    };
    let amount = |d: &mut Draw<'_>| d.hundredths(1, most);
    let fraction = |d: &mut Draw<'_>| d.hundredths(1, 101);
    let wanted: &[&str] = match scheme {
        "price" | "fixed_units" => &["units"],
        "market_cap" => &["shares"],
        "fixed_weight" | "constant_weight" => &["weight"],
        "score" => &["shares", "score"],
        _ => &[],
    };
    if scheme == "geometric" {
        maybe(d, 3, &mut member, "weight", fraction);
    }
    for field in wanted {
        if !d.once_in(40) {
            member[*field] = amount(d);
        }
    }
    if ["market_cap", "score"].contains(&scheme) {
        maybe(d, 3, &mut member, "float", fraction);
        maybe(d, 6, &mut member, "foreign_limit", fraction);
        maybe(d, 8, &mut member, "strategic", |d| d.hundredths(0, 100));
    }
    maybe(d, 6, &mut member, "price", |d| d.hundredths(100, 20_000));
    let capped = ["market_cap", "fixed_weight", "score"].contains(&scheme);
    let seldom = if capped { 8 } else { 60 };
    maybe(d, seldom, &mut member, "issuer", |d| {
        json!(d.pick(&["I", "J"]))
    });
    maybe(d, seldom, &mut member, "group", |d| {
        json!(d.pick(&["G", "H"]))
    });
    for field in ["units", "shares", "weight", "score", "cap", "float"] {
        maybe(d, 60, &mut member, field, amount);
    }
    let seldom = if scheme == "score" { 10 } else { 200 };
    maybe(
        d,
        seldom,
        &mut member,
        "covariances",
        |_| json!({"A": "0.01", "B": "0.02", "C": "0.005", "D": "0.03", "E": "0.01"}),
    );
    if d.once_in(if scheme == "score" { 20 } else { 80 }) {
        member["scores"] = json!({"value": "1.5", "size": "-0.5"});
    }
    member
}

fn caps(d: &mut Draw<'_>) -> Value {
    let mut caps = json!({});
    maybe(d, 2, &mut caps, "weight_max", |d| d.hundredths(10, 101));
    maybe(d, 3, &mut caps, "group_max", |d| d.hundredths(20, 101));
    maybe(
        d,
        4,
        &mut caps,
        "groups",
        |d| json!({"G": d.hundredths(20, 101)}),
    );
    let concentration = |d: &mut Draw<'_>| json!({"above": d.hundredths(2, 40), "total_max": d.hundredths(10, 101)});
    maybe(d, 3, &mut caps, "concentration", concentration);
    maybe(
        d,
        4,
        &mut caps,
        "trigger",
        |d| json!({"weight_max": d.hundredths(10, 101), "concentration": concentration(d)}),
    );
    maybe(d, 3, &mut caps, "reset", |d| json!(d.pick(&RESETS)));
    caps
}

fn score(d: &mut Draw<'_>) -> Value {
    if d.once_in(8) {
        return json!({"least_variance": {"long_only": d.once_in(2)}});
    }
    let mut rule = json!({});
    maybe(d, 2, &mut rule, "size", |d| {
        json!(d.pick(&["0", "0.5", "1", "-1", "0.333"]))
    });
    maybe(d, 2, &mut rule, "power", |d| {
        json!(d.pick(&["0", "1", "-1", "2", "0.5"]))
    });
    maybe(d, 4, &mut rule, "tilt", |d| {
        json!(d.pick(&["0.5", "-0.25", "2"]))
    });
    maybe(d, 4, &mut rule, "multiple_max", |d| {
        json!(d.pick(&["3", "1.5"]))
    });
    maybe(
        d,
        6,
        &mut rule,
        "factors",
        |_| json!({"value": "0.5", "size": "0.5"}),
    );
    maybe(d, 6, &mut rule, "standardize", |_| json!(true));
    maybe(d, 6, &mut rule, "floor", |_| json!("0.1"));
    rule
}

// Only coefficients of more places may come out too long at prices that nobody knows beforehand.
fn rounding(d: &mut Draw<'_>) -> Value {
    let mut rounding = json!({});
    for (field, low, high) in [
        ("level", 0, 9),
        ("divisor", 6, 19),
        ("coefficient", 6, 15),
        ("carried", 6, 19),
    ] {
        maybe(
            d,
            3,
            &mut rounding,
            field,
            |d| json!({"places": low + d.below(high - low), "mode": d.pick(&MODES)}),
        );
    }
    rounding
}

fn action_rules(d: &mut Draw<'_>) -> Value {
    let mut dividends = json!({"adjust": d.pick(&["always", "above", "never"]),
        "reinvest": d.pick(&["index", "security"]), "net": d.once_in(2)});
    maybe(d, 2, &mut dividends, "share", |d| d.hundredths(1, 20));
    maybe(d, 2, &mut dividends, "tax", |d| d.hundredths(0, 101));
    maybe(d, 4, &mut dividends, "first", |d| json!(1 + d.below(3)));
    let mut rights = json!({"take": d.pick(&["up", "sold", "line"])});
    maybe(
        d,
        3,
        &mut rights,
        "dilutive",
        |d| json!({"from": d.hundredths(0, 100), "take": d.pick(&["up", "sold", "line"])}),
    );
    maybe(d, 3, &mut rights, "leaves", leaves);
    let child = d.pick(&["keep", "keep", "drop", "paid"]);
    let price = d.pick(&["estimate", "placeholder", "when_issued"]);
    let mut spin_offs = json!({"child": child, "price": price});
    if child == "keep" || d.once_in(20) {
        maybe(d, 3, &mut spin_offs, "leaves", leaves);
    }
    let mut shares = json!({"from": d.hundredths(0, 20)});
    for bound in ["value", "alone"] {
        maybe(d, 4, &mut shares, bound, |d| d.hundredths(0, 1_000_000));
    }
    maybe(d, 4, &mut shares, "float", |d| d.hundredths(0, 20));
    json!({
        "special_dividends": dividends,
        "rights": rights,
        "spin_offs": spin_offs,
        "mergers": {"price": d.pick(&["last", "terms"])},
        "share_changes": shares,
    })
}

fn leaves(d: &mut Draw<'_>) -> Value {
    json!({"after": 1 + d.below(2), "untraded": d.once_in(2), "proceeds": d.pick(&["index", "parent"])})
}

fn session(d: &mut Draw<'_>) -> Value {
    let mut rules = json!({"soq": d.once_in(2), "close": {"at": d.pick(&["scheduled", "official", "command"])}});
    maybe(d, 2, &mut rules, "opening", |d| d.hundredths(1, 10_100));
    maybe(d, 3, &mut rules, "final_after_s", |_| json!(600));
    maybe(d, 3, &mut rules, "delay_s", |_| json!(900));
    rules
}

/// An index of a basket, perhaps with other indexes in it.
fn basket_index(d: &mut Draw<'_>, code: &str, others: &[String]) -> Value {
    let scheme = d.pick(&[
        "price",
        "market_cap",
        "fixed_units",
        "equal",
        "fixed_weight",
        "constant_weight",
        "score",
        "geometric",
    ]);
    let mut weighting = json!({ "scheme": scheme });
    let can_reset = ["equal", "fixed_weight", "score", "geometric"].contains(&scheme);
    if can_reset || d.once_in(30) {
        maybe(d, 2, &mut weighting, "reset", |d| json!(d.pick(&RESETS)));
    }
    let count = 1 + d.below(SYMBOLS.len());
    let first = d.below(SYMBOLS.len());
    let mut basket: Vec<Value> = (0..count)
        .map(|at| member(d, SYMBOLS[(first + at) % SYMBOLS.len()], scheme))
        .collect();
    if !others.is_empty() && d.once_in(5) {
        let at = d.below(others.len());
        basket.push(member(d, &format!("indexes/{}", others[at]), scheme));
    }
    let least = scheme == "score" && d.once_in(6);
    if least {
        for member in &mut basket {
            let own = member["symbol"].as_str().unwrap_or_default().to_owned();
            member["covariances"] =
                json!({"A": "0.01", "B": "0.01", "C": "0.01", "D": "0.01", "E": "0.01"});
            member["covariances"][own] = json!(d.pick(&["0.04", "0.09", "0.02"]));
        }
    }
    let mut index = json!({"code": code, "currency": d.pick(&["USD", "EUR"]), "weighting": weighting,
        "base": {"value": d.pick(&["100", "1000", "250.5"])}, "basket": basket});
    let by_units = ["price", "market_cap", "fixed_units"].contains(&scheme);
    if d.once_in(if by_units { 6 } else { 60 }) {
        index["base"] = json!({"divisor": d.pick(&["1", "0.15188516925198"])});
    }
    let capped = ["market_cap", "fixed_weight", "score"].contains(&scheme);
    maybe(d, if capped { 2 } else { 30 }, &mut index, "caps", caps);
    maybe(
        d,
        if scheme == "score" { 2 } else { 40 },
        &mut index,
        "score",
        score,
    );
    if least {
        index["score"] = json!({"least_variance": {"long_only": d.once_in(2)}});
    }
    let counts = ["market_cap", "score"].contains(&scheme);
    maybe(
        d,
        if counts { 3 } else { 30 },
        &mut index,
        "float",
        |d| json!({"step": d.pick(&["0.05", "0.01", "0.25"]), "mode": d.pick(&MODES)}),
    );
    of_any(d, &mut index);
    index
}

/// What every index may state.
fn of_any(d: &mut Draw<'_>, index: &mut Value) {
    maybe(d, 2, index, "rounding", rounding);
    maybe(d, 3, index, "fx", |d| {
        json!({"pivot": d.pick(&["USD", "EUR"]), "places": 4 + d.below(15),
            "rates": d.pick(&["live", "live", "prior_close", "one"])})
    });
    maybe(d, 3, index, "dissemination", |d| match d.below(3) {
        0 => json!({"mode": "tick"}),
        1 => json!({"mode": "conflate"}),
        _ => json!({"mode": "interval", "every_ms": 500}),
    });
    maybe(d, 3, index, "day", |d| {
        json!({"zone": d.pick(&["UTC", "Asia/Tokyo", "America/New_York"]),
                "ends": d.pick(&["24:00", "24:00", "16:00", "02:30"])})
    });
    maybe(d, 4, index, "calendar", |_| json!("CAL"));
    let seldom = if index["calendar"].is_null() { 80 } else { 2 };
    maybe(d, seldom, index, "session", session);
    maybe(
        d,
        6,
        index,
        "stale",
        |d| json!({"after_s": 60, "weight": d.hundredths(1, 10_000)}),
    );
    maybe(d, 3, index, "actions", action_rules);
}

fn interest(d: &mut Draw<'_>) -> Value {
    let count = d.pick(&[
        "act_360", "act_365", "act_act", "30_360", "day_360", "day_365", "day_252",
    ]);
    match d.below(3) {
        0 => json!({"annual": d.hundredths(0, 20), "day_count": count}),
        1 => {
            json!({"security": "SOFR", "day_count": count, "quote": d.pick(&["percent", "hundred_less"])})
        }
        _ => json!({"daily": "0.0002"}),
    }
}

fn net(d: &mut Draw<'_>) -> Value {
    json!({"rate": d.hundredths(0, 101), "rules": [{"country": "US", "kind": "special", "rate": d.hundredths(0, 101)}]})
}

/// An index that follows another one.
fn variant_index(d: &mut Draw<'_>, code: &str, parent: &Value) -> Value {
    let reset = d.pick(&RESETS);
    let mut variant = match d.below(8) {
        0 => json!({"kind": "total_return", "reinvestment": d.pick(&["close", "prior_close"])}),
        1 => json!({"kind": "dividend_points", "reset": reset}),
        2 => {
            json!({"kind": "excess_return", "rate": interest(d), "method": d.pick(&["geometric", "additive"])})
        }
        3 => json!({"kind": "decrement", "day_count": "act_365"}),
        4 => json!({"kind": "converted", "direct": d.once_in(2)}),
        5 => {
            json!({"kind": "hedged", "reset": reset, "valuation": d.pick(&["interpolated", "spot"]),
            "forwards": [{"currency": "JPY", "security": "FWD-JPY"}]})
        }
        6 => {
            json!({"kind": "leveraged", "factor": d.pick(&["2", "-1", "-2", "0.5"]), "rate": interest(d)})
        }
        _ => {
            json!({"kind": "volatility_control", "target": d.hundredths(1, 50), "exposure_max": "1.5",
            "lag": 1 + d.below(3), "reset": d.pick(&["daily", "daily", "weekly", "monthly"]),
            "volatility": match d.below(4) {
                0 => json!({"days": 2}),
                1 => json!({"days": [2, 2 + d.below(3)]}),
                2 => json!({"security": "SOFR"}),
                _ => json!({"decay": ["0.94", "0.97"], "log": true}),
            }})
        }
    };
    let kind = variant["kind"].clone();
    if kind == "total_return" || kind == "dividend_points" {
        maybe(d, 2, &mut variant, "net", net);
    }
    if kind == "decrement" {
        let by = d.pick(&["rate", "points"]);
        variant[by] = d.hundredths(0, 50);
        maybe(d, 2, &mut variant, "floor", |d| d.hundredths(0, 500));
    }
    if kind == "leveraged" {
        maybe(d, 2, &mut variant, "trigger", |d| d.hundredths(1, 101));
        maybe(d, 3, &mut variant, "borrow", interest);
        maybe(d, 3, &mut variant, "cost", |_| json!("0.0001"));
    }
    let is_free = kind == "converted" || d.once_in(20);
    let currency = if is_free {
        json!(d.pick(&["USD", "EUR"]))
    } else {
        parent["currency"].clone()
    };
    let mut index =
        json!({"code": code, "currency": currency, "of": parent["code"], "variant": variant});
    maybe(d, 4, &mut index, "base", |_| json!({"value": "500"}));
    maybe(d, 2, &mut index, "rounding", rounding);
    index
}

fn action(d: &mut Draw<'_>, id: usize, day: &str, code: &str) -> Value {
    let symbol = d.pick(&SYMBOLS);
    let (a, b) = (1 + d.below(9), 1 + d.below(9));
    let terms = match d.below(17) {
        0 => json!({"type": "split", "symbol": symbol, "from": a, "to": a + b}),
        1 => json!({"type": "bonus", "symbol": symbol, "held": a, "new": b}),
        2 => {
            json!({"type": "dividend", "symbol": symbol, "amount": d.hundredths(1, 400), "country": "US",
            "kind": d.pick(&["ordinary", "special"])})
        }
        3 => {
            json!({"type": "return_of_capital", "symbol": symbol, "amount": d.hundredths(1, 100), "from": a, "to": b})
        }
        4 => {
            json!({"type": "rights", "symbol": symbol, "held": a, "new": b, "price": d.hundredths(1, 20_000),
            "line": d.pick(&SYMBOLS)})
        }
        5 => {
            json!({"type": "spin_off", "symbol": symbol, "child": d.pick(&SYMBOLS), "ratio": "0.1", "price": "1"})
        }
        6 => {
            json!({"type": "merger", "symbol": symbol, "acquirer": d.pick(&SYMBOLS), "ratio": a, "cash": b})
        }
        7 => json!({"type": "delisting", "symbol": symbol}),
        8 => json!({"type": "bankruptcy", "symbol": symbol, "price": d.hundredths(0, 10)}),
        9 => {
            json!({"type": "share_change", "symbol": symbol, "shares": d.hundredths(1, 1_000_000)})
        }
        10 => json!({"type": "float_change", "symbol": symbol, "float": d.hundredths(1, 101)}),
        11 => {
            json!({"type": "cap_reset", "index": code, "caps": [{"symbol": symbol, "cap": d.hundredths(1, 101)}]})
        }
        12 => {
            json!({"type": "redenomination", "symbol": symbol, "currency": d.pick(&["EUR", "JPY"]), "rate": "1.9"})
        }
        13 => json!({"type": "suspension", "symbol": symbol}),
        14 => {
            json!({"type": "deletion", "index": code, "symbol": symbol, "proceeds": d.pick(&SYMBOLS)})
        }
        15 => {
            let (new, scheme) = (
                d.pick(&SYMBOLS),
                d.pick(&["price", "market_cap", "fixed_weight", "equal"]),
            );
            let new = member(d, new, scheme);
            json!({"type": "addition", "index": code, "member": new, "replaces": symbol})
        }
        _ => json!({"type": "rebalance", "index": code, "days": a}),
    };
    let mut action = json!({"id": id.to_string(), "ex_date": day});
    if let (Some(action), Value::Object(terms)) = (action.as_object_mut(), terms) {
        action.extend::<Map<String, Value>>(terms);
    }
    action
}

/// How many of each kind were accepted and refused.
type Tally = RefCell<BTreeMap<String, (u32, u32)>>;

fn load(world: &mut World, definitions: &Value) -> Result<(), String> {
    let definitions: Definitions =
        serde_json::from_value(definitions.clone()).map_err(|e| e.to_string())?;
    let plan = world.engine.plan(&definitions);
    plan.map_err(|errors| format!("{errors:?}"))?;
    world.apply(vec![Input::Define {
        by: LabelId(0),
        definitions: Box::new(definitions),
    }]);
    Ok(())
}

/// Prices and rates of one moment, all of them.
fn trade(world: &mut World, d: &mut Draw<'_>, ts: &str) {
    let mut inputs = Vec::new();
    for (base, quote, low, high) in [
        ("EUR", "USD", 109, 112),
        ("USD", "EUR", 91, 93),
        ("USD", "JPY", 14_900, 15_100),
        ("EUR", "JPY", 16_400, 16_600),
    ] {
        let rate = d.hundredths(low, high);
        inputs.push(world.rate(base, quote, rate.as_str().unwrap(), ts));
    }
    let direct = 660 + d.below(10);
    inputs.push(world.rate("JPY", "USD", &format!("0.00{direct}"), ts));
    inputs.push(world.rate("JPY", "EUR", &format!("0.00{direct}"), ts));
    for symbol in SYMBOLS.iter().chain(&["SOFR", "FWD-EUR", "FWD-JPY"]) {
        let id = world.engine.security_id(symbol).unwrap();
        // Small steps, so that no level is wiped out, by whatever multiple it follows.
        let last = world.engine.security(id).unwrap().price;
        let price = match last {
            Some(last) => Decimal::new(
                last.mantissa() * (985 + d.below(30) as i128) / 1_000,
                last.places(),
            ),
            None if symbol.len() == 1 => Decimal::new(1_000 + d.below(29_000) as i128, 2),
            None if *symbol == "FWD-JPY" => "0.00664".parse().unwrap(),
            None => "1.1".parse().unwrap(),
        };
        if last.is_none() || !d.once_in(6) {
            inputs.push(world.price(symbol, &price.to_string(), ts));
        }
    }
    world.apply(inputs);
    // Levels at intervals leave.
    world.pass_second();
}

fn story(numbers: &[u32], tally: &Tally) -> Result<(), TestCaseError> {
    let mut d = Draw {
        numbers: numbers.iter(),
    };
    let mut world = World::default();
    world.load(&market().to_string());
    let mut told = Vec::new();
    let mut codes: Vec<String> = Vec::new();
    let early = d.once_in(2);
    if early {
        trade(&mut world, &mut d, "2026-01-02T15:00:00Z");
    }
    for at in 0..5 {
        let code = format!("X{at}");
        let follows = !codes.is_empty() && at > 0 && d.once_in(2);
        let index = if follows {
            let parent = d.below(told.len());
            variant_index(&mut d, &code, &told[parent])
        } else {
            basket_index(&mut d, &code, &codes)
        };
        let kind = index["variant"]["kind"]
            .as_str()
            .or_else(|| index["weighting"]["scheme"].as_str());
        let kind = kind.unwrap_or_default().to_owned();
        let result = load(&mut world, &json!({"indexes": [index]}));
        let mut tally = tally.borrow_mut();
        let counts = tally.entry(kind).or_default();
        if result.is_ok() {
            counts.0 += 1;
            codes.push(code);
            told.push(index);
        } else {
            counts.1 += 1;
        }
    }
    if !early {
        trade(&mut world, &mut d, "2026-01-02T15:00:00Z");
    }
    // What is there must calculate from now on.
    check(&world, &codes, &told)?;
    let days = ["2026-01-05", "2026-01-06", "2026-02-02", "2026-04-01"];
    for (at, day) in days.iter().enumerate() {
        let code = codes.first().cloned().unwrap_or_default();
        for nth in 0..d.below(3) {
            let action = action(&mut d, at * 10 + nth, day, &code);
            if load(&mut world, &json!({"actions": [action]})).is_ok() {
                told.push(action);
            }
        }
        for hour in [15, 20, 22] {
            trade(&mut world, &mut d, &format!("{day}T{hour}:30:00Z"));
            check(&world, &codes, &told)?;
        }
    }
    Ok(())
}

/// Every index has a level, the one that its parts give from scratch; nothing was refused on the way.
/// A level that has rounded to 0, or is above a thousand millions, is no price: what holds or follows
/// such an index waits, and says so.
fn check(world: &World, codes: &[String], told: &[Value]) -> Result<(), TestCaseError> {
    let context = || told.iter().map(|t| format!("{t}\n")).collect::<String>();
    for output in &world.outputs {
        prop_assert!(!matches!(output, Output::Refused { .. }), "{}", context());
    }
    let mut worthless: Vec<&str> = Vec::new();
    for code in codes {
        let index = world.index(code);
        let level = world.engine.recompute(index.id);
        let stands_on_worthless = told
            .iter()
            .filter(|definition| definition["code"] == **code)
            .flat_map(parts)
            .any(|part| worthless.contains(&part));
        prop_assert!(
            level.is_some() || (stands_on_worthless && index.waits_for.is_some()),
            "{code} waits for {:?}\n{}",
            index.waits_for,
            context()
        );
        let is_price = |level: Decimal| {
            let level: f64 = level.to_string().parse().unwrap();
            level > 0.0 && level <= 1e9
        };
        if !level.is_some_and(is_price) {
            worthless.push(code);
        }
    }
    Ok(())
}

/// The indexes that a definition names.
fn parts(definition: &Value) -> impl Iterator<Item = &str> {
    let basket = definition["basket"].as_array().into_iter().flatten();
    let held = basket.filter_map(|member| member["symbol"].as_str()?.strip_prefix("indexes/"));
    definition["of"].as_str().into_iter().chain(held)
}

#[test]
fn calculates_or_is_refused_when_it_is_loaded() {
    let tally = Tally::default();
    let numbers = prop::collection::vec(any::<u32>(), 0..1_200).prop_map(Deck);
    let mut runner = TestRunner::new(config(800, seeds!("combinations")));
    if let Err(failure) = runner.run(&numbers, |deck| story(&deck.0, &tally)) {
        panic!("{failure}");
    }
    // Neither refuses everything nor lets everything pass.
    let tally = tally.borrow();
    for (kind, (accepted, refused)) in tally.iter() {
        println!("{kind}: {accepted} accepted, {refused} refused");
        assert!(*accepted > 10, "{kind} was accepted only {accepted} times");
    }
    assert_eq!(tally.len(), 16, "{tally:?}");
}
