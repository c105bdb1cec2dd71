//! Days with any actions in any order, beside a slow model that does one action after the other in
//! exact fractions as the table of METHODOLOGY §1.6 says.

use divisor_engine::{ActionState, RoundingMode};
use proptest::prelude::*;

use crate::exact::Q;
use crate::explore::{config, seeds};
use crate::support::World;

const SYMBOLS: [&str; 4] = ["A", "B", "C", "D"];
const INDEXES: [&str; 3] = ["CAP", "PRICE", "EQUAL"];

/// One random action: what kind, of which security, and its numbers.
#[derive(Debug, Clone)]
struct Act {
    kind: u8,
    symbol: usize,
    a: u32,
    b: u32,
}

fn act() -> impl Strategy<Value = Act> {
    (0..8u8, 0..4usize, 1..9u32, 1..9u32).prop_map(|(kind, symbol, a, b)| Act {
        kind,
        symbol,
        a,
        b,
    })
}

/// A security has at most one action of a rank, so that the model needs no rule for ties.
fn day() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(), 1..7).prop_map(|acts| {
        let mut kept: Vec<Act> = Vec::new();
        for act in acts {
            let same = |other: &Act| (other.symbol, rank(other)) == (act.symbol, rank(&act));
            if !kept.iter().any(same) {
                kept.push(act);
            }
        }
        kept
    })
}

const fn rank(act: &Act) -> u8 {
    match act.kind {
        0 | 1 => 2,
        2..=4 => 3,
        5 => 4,
        _ => 5,
    }
}

impl Act {
    fn json(&self, id: usize) -> String {
        let (symbol, a, b) = (SYMBOLS[self.symbol], self.a, self.b);
        let terms = match self.kind {
            0 if a < b => format!(r#""type":"split","symbol":"{symbol}","from":{a},"to":{b}"#),
            0 if a > b => {
                format!(r#""type":"reverse_split","symbol":"{symbol}","from":{a},"to":{b}"#)
            }
            0 | 1 => format!(r#""type":"bonus","symbol":"{symbol}","held":{a},"new":{b}"#),
            2 => format!(
                r#""type":"dividend","symbol":"{symbol}","amount":"0.{a}","kind":"special""#
            ),
            3 => format!(
                r#""type":"return_of_capital","symbol":"{symbol}","amount":"0.{a}","from":{b},"to":1"#
            ),
            4 => format!(
                r#""type":"spin_off","symbol":"{symbol}","child":"Z","ratio":"0.{a}","price":"0.{b}""#
            ),
            5 => {
                format!(r#""type":"rights","symbol":"{symbol}","held":{a},"new":{b},"price":"0.5""#)
            }
            6 => format!(
                r#""type":"share_change","symbol":"{symbol}","shares":{}"#,
                1_000 + a * 37
            ),
            _ => format!(r#""type":"float_change","symbol":"{symbol}","float":"0.{a}{b}""#),
        };
        format!(r#"{{"id":"{id}","ex_date":"2026-01-06",{terms}}}"#)
    }
}

/// One member of the model: what METHODOLOGY calls p, S, IWF and q.
#[derive(Debug, Clone)]
struct Member {
    price: Q,
    shares: Q,
    float: Q,
    /// Of the equal index.
    q: Q,
}

impl Member {
    fn apply(&mut self, act: &Act) {
        let int = |n: u32| Q::int(n.into());
        let tenth = |n: u32| &int(n) / &int(10);
        let (a, b) = (int(act.a), int(act.b));
        let before = self.price.clone();
        match act.kind {
            0 if act.a != act.b => {
                self.price = &(&before * &a) / &b;
                self.shares = stored(&(&(&self.shares * &b) / &a));
            }
            0 | 1 => {
                let after = &a + &b;
                self.price = &(&before * &a) / &after;
                self.shares = stored(&(&(&self.shares * &after) / &a));
            }
            2 => self.price = &before - &tenth(act.a),
            3 => {
                self.price = &(&before - &tenth(act.a)) * &b;
                self.shares = stored(&(&self.shares / &b));
            }
            4 => self.price = &before - &(&tenth(act.a) * &tenth(act.b)),
            5 => {
                let half = &int(1) / &int(2);
                if (&before - &half).is_positive() {
                    let after = &a + &b;
                    self.price = &(&(&before * &a) + &(&half * &b)) / &after;
                    self.shares = stored(&(&(&self.shares * &after) / &a));
                }
            }
            6 => self.shares = int(1_000 + act.a * 37),
            _ => self.float = &int(act.a * 10 + act.b) / &int(100),
        }
        // The weight stays.
        self.q = &(&self.q * &before) / &self.price;
    }
}

fn stored(value: &Q) -> Q {
    value.round(12, RoundingMode::HalfUp)
}

fn start(prices: [u32; 4]) -> World {
    let securities: Vec<_> = SYMBOLS
        .iter()
        .chain(&["Z"])
        .map(|s| format!(r#"{{"symbol":"{s}","currency":"USD"}}"#))
        .collect();
    let index = |code: &str, scheme: &str, member: &str| {
        let basket: Vec<_> = SYMBOLS
            .iter()
            .map(|s| format!(r#"{{"symbol":"{s}"{member}}}"#))
            .collect();
        format!(
            r#"{{"code":"{code}","currency":"USD","weighting":{{"scheme":"{scheme}"}},"base":{{"value":"1000"}},
            "actions":{{"spin_offs":{{"child":"drop"}}}},"rounding":{{"level":{{"places":4}}}},"basket":[{}]}}"#,
            basket.join(",")
        )
    };
    let mut world = World::with(&format!(
        r#"{{"securities":[{}],"indexes":[{},{},{}]}}"#,
        securities.join(","),
        index("CAP", "market_cap", r#","shares":1000,"float":"0.6""#),
        index("PRICE", "price", ""),
        index("EQUAL", "equal", ""),
    ));
    let prices = prices.map(|price| price.to_string());
    for (symbol, price) in SYMBOLS.iter().zip(&prices) {
        world.ticks("2026-01-05", &[(symbol, price)]);
    }
    world
}

fn announce(world: &mut World, acts: &[Act], order: &[usize]) {
    let rows: Vec<_> = order.iter().map(|at| acts[*at].json(*at)).collect();
    world.load(&format!(r#"{{"actions":[{}]}}"#, rows.join(",")));
}

/// The first input of the day: a rate that moves nothing would do as well.
fn open(world: &mut World, symbol: usize) {
    let id = world.engine.security_id(SYMBOLS[symbol]).unwrap();
    let price = world
        .engine
        .security(id)
        .unwrap()
        .price
        .unwrap()
        .to_string();
    world.ticks("2026-01-06T00:00:00Z", &[(SYMBOLS[symbol], &price)]);
}

fn numbers(world: &World, code: &str) -> (Q, Vec<Q>) {
    let index = world.index(code);
    let q = index.members.iter().map(|m| m.coefficient.unwrap().into());
    (index.divisor.unwrap().into(), q.collect())
}

proptest! {
    #![proptest_config(config(96, seeds!("action_properties")))]

    #[test]
    fn agrees_with_the_table(prices in prop::array::uniform4(20..90u32), acts in day()) {
        let mut world = start(prices);
        let before: Vec<(Q, Vec<Q>)> = INDEXES.iter().map(|code| numbers(&world, code)).collect();
        let order: Vec<usize> = (0..acts.len()).collect();
        announce(&mut world, &acts, &order);
        // A security without an action opens the day, so that its price is the last one again.
        let quiet = (0..4).find(|at| acts.iter().all(|act| act.symbol != *at));
        prop_assume!(quiet.is_some());
        open(&mut world, quiet.unwrap());
        let mut members: Vec<Member> = (0..4)
            .map(|at| Member {
                price: Q::int(prices[at].into()),
                shares: Q::int(1_000),
                float: Q::text("0.6"),
                q: before[2].1[at].clone(),
            })
            .collect();
        let mut sorted: Vec<&Act> = acts.iter().collect();
        sorted.sort_by_key(|act| rank(act));
        for act in sorted {
            members[act.symbol].apply(act);
        }
        for (at, code) in INDEXES.iter().enumerate() {
            let q = |m: &Member| match at {
                0 => stored(&(&m.shares * &m.float)),
                1 => Q::int(1),
                _ => stored(&m.q),
            };
            let after: Vec<Q> = members.iter().map(q).collect();
            let old = (0..4).map(|i| &Q::int(prices[i].into()) * &before[at].1[i]);
            let old: Q = old.sum();
            let new: Q = members.iter().zip(&after).map(|(m, q)| &m.price * q).sum();
            let divisor = (&(&before[at].0 * &new) / &old).round(14, RoundingMode::HalfUp);
            let unchanged = after == before[at].1 && new == old;
            let expected = if unchanged { before[at].0.clone() } else { divisor };
            prop_assert_eq!(numbers(&world, code), (expected.clone(), after), "{}", code);
            // Continuous: the exact level moves by less than half a unit of the divisor's last place.
            let (then, now) = (&old / &before[at].0, &new / &expected);
            let bound = &(&then / &expected) * &(&Q::unit(14) / &Q::int(2));
            prop_assert!((&then - &now).abs() <= bound, "{}: {:?} {:?}", code, then, now);
        }
    }

    #[test]
    fn order_of_announcement_and_cancelled_ones_leave_no_trace(
        acts in day(), extra in day(), opener in 0..4usize,
    ) {
        let mut one = start([40, 50, 60, 70]);
        let forwards: Vec<usize> = (0..acts.len()).collect();
        announce(&mut one, &acts, &forwards);
        let mut other = start([40, 50, 60, 70]);
        // Others come and go, and the same are announced backwards, one by one.
        let rows: Vec<_> = extra.iter().enumerate().map(|(at, act)| act.json(100 + at)).collect();
        other.load(&format!(r#"{{"actions":[{}]}}"#, rows.join(",")));
        for at in forwards.iter().rev() {
            announce(&mut other, &acts, &[*at]);
        }
        for at in 0..extra.len() {
            other.load(&format!(r#"{{"cancelled":["{}"]}}"#, 100 + at));
        }
        for world in [&mut one, &mut other] {
            world.ticks("2026-01-05T23:00:00Z", &[("A", "41")]);
            open(world, opener);
            world.ticks("2026-01-06T10:00:00Z", &[("A", "42"), ("B", "51"), ("C", "7")]);
        }
        for code in INDEXES {
            prop_assert_eq!(one.level_texts(code), other.level_texts(code));
            prop_assert_eq!(numbers(&one, code), numbers(&other, code));
        }
        for at in forwards {
            let id = at.to_string();
            let state = |world: &World| world.engine.action(&id).unwrap().state.clone();
            prop_assert_eq!(state(&one), ActionState::Applied);
            prop_assert_eq!(state(&other), ActionState::Applied);
        }
    }
}
