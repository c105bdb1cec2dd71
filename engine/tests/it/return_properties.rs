//! Total returns beside their price returns, through days of any actions.

use proptest::prelude::*;

use crate::action_properties::{INDEXES, day, open_on, start};
use crate::explore::{config, seeds};

/// Both conventions, gross and net.
const RETURNS: [(&str, &str); 3] = [
    ("CLOSE", r#""reinvestment":"close""#),
    ("PRIOR", r#""reinvestment":"prior_close""#),
    ("NET", r#""net":{"rate":"0.3"}"#),
];

proptest! {
    #![proptest_config(config(64, seeds!("return_properties")))]

    /// Without dividends that a price index lets pass there is nothing to reinvest: digit for digit, in
    /// every weighting, whatever else happens. Where an index takes special dividends out net of tax,
    /// this holds of returns net of tax.
    #[test]
    fn total_return_without_dividends_is_the_price_return(
        prices in prop::array::uniform5(20..90u32),
        days in prop::collection::vec((day(), prop::array::uniform5(20..90u32)), 1..4),
    ) {
        let mut world = start(prices);
        world.load(r#"{"indexes":[{"code":"CONST","currency":"USD","weighting":{"scheme":"constant_weight"},
            "base":{"value":"1000"},"rounding":{"level":{"places":4}},"basket":[{"symbol":"A","weight":"0.4"},
            {"symbol":"B","weight":"0.3"},{"symbol":"D","weight":"0.3"}]}]}"#);
        let rows = INDEXES.iter().map(|(code, _, other, ..)| (*code, *other));
        let codes: Vec<(&str, bool)> = rows.chain([("CONST", false)]).collect();
        for (code, _) in &codes {
            for (name, rule) in RETURNS {
                world.load(&format!(r#"{{"indexes":[{{"code":"{code}-{name}","currency":"USD","of":"{code}",
                    "rounding":{{"level":{{"places":4}}}},"variant":{{"kind":"total_return",{rule}}}}}]}}"#));
            }
        }
        let (mut gone, mut withheld) = (Vec::new(), false);
        for (at, (acts, prices)) in days.iter().enumerate() {
            let date = format!("2026-01-{:02}", 6 + at);
            for (nth, act) in acts.iter().enumerate() {
                // Only one child and one addition, and no ordinary dividend.
                let is_once = act.is_of_index() || act.kind == 4;
                if act.kind == 13 || (is_once && gone.contains(&act.kind)) {
                    continue;
                }
                withheld |= matches!(act.kind, 2 | 3);
                gone.push(act.kind);
                world.load(&format!(r#"{{"actions":[{}]}}"#, act.json_on(at * 10 + nth, &date)));
            }
            open_on(&mut world, 3, &format!("{date}T00:00:00Z"));
            for (symbol, price) in ["A", "B", "C", "D", "E"].into_iter().zip(prices) {
                world.ticks(&format!("{date}T12:00:00Z"), &[(symbol, &price.to_string())]);
                for (code, is_net) in &codes {
                    let alike = RETURNS.iter().filter(|(name, _)| *name == "NET" || !(withheld && *is_net));
                    for (name, _) in alike {
                        prop_assert_eq!(world.level(code), world.level(&format!("{code}-{name}")), "{} {}", code, name);
                    }
                }
            }
        }
    }
}
