//! Days with any actions in any order, beside the slow [`Book`] of each index.

use divisor_engine::ActionState;
use proptest::prelude::*;

use crate::action_model::{Act, Book, EURO, KINDS, SYMBOLS, Scheme};
use crate::exact::Q;
use crate::explore::{config, seeds};
use crate::support::World;

/// Code, scheme, the other rules, weighting, what a member states besides its symbol.
pub(crate) type Row = (
    &'static str,
    Scheme,
    bool,
    &'static str,
    fn(usize) -> String,
);

pub(crate) const INDEXES: [Row; 10] = [
    (
        "CAP",
        Scheme::Cap,
        false,
        r#"{"scheme":"market_cap"}"#,
        shares,
    ),
    (
        "CAP-2",
        Scheme::Cap,
        true,
        r#"{"scheme":"market_cap"}"#,
        shares,
    ),
    (
        "UNITS",
        Scheme::Units,
        false,
        r#"{"scheme":"fixed_units"}"#,
        units,
    ),
    (
        "UNITS-2",
        Scheme::Units,
        true,
        r#"{"scheme":"fixed_units"}"#,
        units,
    ),
    (
        "PRICE",
        Scheme::Price,
        false,
        r#"{"scheme":"price"}"#,
        units,
    ),
    (
        "PRICE-2",
        Scheme::Price,
        true,
        r#"{"scheme":"price"}"#,
        units,
    ),
    (
        "EQUAL",
        Scheme::Weight,
        false,
        r#"{"scheme":"equal"}"#,
        |_| String::new(),
    ),
    (
        "FIXED",
        Scheme::Weight,
        false,
        r#"{"scheme":"fixed_weight"}"#,
        weight,
    ),
    (
        "FIXED-2",
        Scheme::Weight,
        true,
        r#"{"scheme":"fixed_weight"}"#,
        weight,
    ),
    (
        "SCORE",
        Scheme::Weight,
        false,
        r#"{"scheme":"score"}"#,
        |at| format!(r#","shares":1000,"score":{}"#, at + 1),
    ),
];

fn shares(_: usize) -> String {
    r#","shares":1000,"float":"0.6""#.to_owned()
}

fn units(at: usize) -> String {
    format!(r#","units":{}"#, at + 1)
}

fn weight(at: usize) -> String {
    format!(r#","weight":"0.{}""#, at + 1)
}

/// A day's actions. A security has at most one action of a rank, and D none, so that the model needs
/// no rule for ties and a trade of D finds its price as it was.
pub(crate) fn day() -> impl Strategy<Value = Vec<Act>> {
    let act = (0..KINDS, 0..3usize, 1..9u32, 1..9u32).prop_map(|(kind, symbol, a, b)| Act {
        kind,
        symbol,
        a,
        b,
    });
    prop::collection::vec(act, 1..9).prop_map(|acts| {
        let mut kept: Vec<Act> = Vec::new();
        for act in acts {
            let same = |other: &Act| {
                (other.rank() == act.rank() && other.symbol == act.symbol)
                    || (act.is_of_index() && other.kind == act.kind)
                    || (act.kind == 4 && other.kind == 4)
            };
            if !kept.iter().any(same) {
                kept.push(act);
            }
        }
        kept
    })
}

pub(crate) fn start(prices: [u32; 5]) -> World {
    let securities: Vec<_> = SYMBOLS
        .iter()
        .chain(&["E", "Z"])
        .map(|s| format!(r#"{{"symbol":"{s}","currency":"USD"}}"#))
        .collect();
    let index = |(code, _, other, weighting, member): &Row| {
        let members = SYMBOLS.iter().enumerate();
        let basket: Vec<_> = members
            .map(|(at, s)| format!(r#"{{"symbol":"{s}"{}}}"#, member(at)))
            .collect();
        let rules = if *other {
            r#"{"special_dividends":{"net":true,"tax":"0.2","reinvest":"security"},"rights":{"take":"sold"},
                "mergers":{"price":"terms"}}"#
        } else {
            r#"{"spin_offs":{"child":"drop"}}"#
        };
        format!(
            r#"{{"code":"{code}","currency":"USD","weighting":{weighting},"base":{{"value":"1000"}},
            "actions":{rules},"rounding":{{"level":{{"places":4}}}},"basket":[{}]}}"#,
            basket.join(",")
        )
    };
    let indexes: Vec<String> = INDEXES.iter().map(index).collect();
    let mut world = World::with(&format!(
        r#"{{"securities":[{}],"indexes":[{}]}}"#,
        securities.join(","),
        indexes.join(",")
    ));
    let rate = world.rate("EUR", "USD", EURO, "2026-01-05");
    world.apply(vec![rate]);
    let prices = prices.map(|price| price.to_string());
    for (symbol, price) in SYMBOLS.iter().chain(&["E"]).zip(&prices) {
        world.ticks("2026-01-05", &[(symbol, price)]);
    }
    world
}

fn announce(world: &mut World, acts: &[Act], order: &[usize]) {
    let rows: Vec<_> = order.iter().map(|at| acts[*at].json(*at)).collect();
    world.load(&format!(r#"{{"actions":[{}]}}"#, rows.join(",")));
}

/// The first input of the day.
fn open(world: &mut World, symbol: usize) {
    open_on(world, symbol, "2026-01-06T00:00:00Z");
}

pub(crate) fn open_on(world: &mut World, symbol: usize, ts: &str) {
    let id = world.engine.security_id(SYMBOLS[symbol]).unwrap();
    let security = world.engine.security(id).unwrap();
    let price = security.price.unwrap().to_string();
    world.ticks(ts, &[(SYMBOLS[symbol], &price)]);
}

fn numbers(world: &World, code: &str) -> (Q, Vec<Q>) {
    let index = world.index(code);
    let q = index.members.iter().map(|m| m.coefficient.unwrap().into());
    (index.divisor.unwrap().into(), q.collect())
}

fn state(world: &World, id: usize) -> ActionState {
    world.engine.action(&id.to_string()).unwrap().state.clone()
}

/// An index in its two other forms.
struct Forms {
    book: Book,
    chain: Q,
    /// The market value of the base, carried.
    base: Q,
    /// How far the rounding of divisors can have taken the level.
    slack: Q,
}

impl Forms {
    fn of(world: &World, (code, scheme, other, ..): &Row, prices: &[u32]) -> Self {
        let book = Book::new(code, *scheme, *other, prices, numbers(world, code));
        let chain = Q::int(1_000);
        let slack = (&book.level - &chain).abs();
        Self {
            base: book.worth(),
            book,
            chain,
            slack,
        }
    }

    fn day(&mut self, acts: &[Act], traded: &[(&str, u32)]) {
        let (before, level) = (self.book.worth(), self.book.level.clone());
        acts.iter().for_each(|act| self.book.apply(act));
        // What was gained before the divisor moved.
        let gained = &self.book.level / &level;
        self.book.settle();
        let first = self.book.worth();
        self.base = &(&self.base * &first) / &(&before * &gained);
        for (symbol, price) in traded {
            self.book.trade(symbol, &Q::int((*price).into()));
        }
        let moved = &self.book.worth() / &first;
        self.chain = &(&self.chain * &gained) * &moved;
        let unit = &(&self.chain * &(&Q::unit(14) / &Q::int(2))) / &self.book.divisor;
        self.slack = &(&(&self.slack * &gained) * &moved) + &(&unit + &unit);
    }

    /// `MV / base MV · base value`.
    fn by_base(&self) -> Q {
        &(&self.book.worth() / &self.base) * &Q::int(1_000)
    }
}

proptest! {
    #![proptest_config(config(96, seeds!("action_properties")))]

    #[test]
    fn agrees_with_the_table(prices in prop::array::uniform5(20..90u32), acts in day()) {
        let mut world = start(prices);
        let books: Vec<Book> = INDEXES
            .iter()
            .map(|(code, scheme, other, ..)| Book::new(code, *scheme, *other, &prices, numbers(&world, code)))
            .collect();
        let order: Vec<usize> = (0..acts.len()).collect();
        announce(&mut world, &acts, &order);
        open(&mut world, 3);
        for at in &order {
            prop_assert_eq!(state(&world, *at), ActionState::Applied, "{:?}", acts[*at]);
        }
        let mut sorted: Vec<&Act> = acts.iter().collect();
        sorted.sort_by_key(|act| act.rank());
        for mut book in books {
            let code = book.code;
            sorted.iter().for_each(|act| book.apply(act));
            book.settle();
            let divisor = book.divisor.clone();
            prop_assert_eq!(numbers(&world, code), (divisor.clone(), book.coefficients()), "{}", code);
            // Continuous: the exact level moves by less than half a unit of the divisor's last place.
            let (then, now) = (&book.level, &book.worth() / &divisor);
            let bound = &(then / &divisor) * &(&Q::unit(14) / &Q::int(2));
            prop_assert!((then - &now).abs() <= bound, "{}: {:?} {:?}", code, then, now);
        }
    }

    #[test]
    fn order_of_announcement_and_cancelled_ones_leave_no_trace(
        acts in day(), extra in day(), opener in 0..4usize,
    ) {
        let mut one = start([40, 50, 60, 70, 80]);
        let forwards: Vec<usize> = (0..acts.len()).collect();
        announce(&mut one, &acts, &forwards);
        let mut other = start([40, 50, 60, 70, 80]);
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
            world.ticks("2026-01-06T10:00:00Z", &[("A", "42"), ("B", "51"), ("C", "7"), ("D", "71")]);
        }
        for (code, ..) in INDEXES {
            prop_assert_eq!(one.level_texts(code), other.level_texts(code));
            prop_assert_eq!(numbers(&one, code), numbers(&other, code));
        }
        for at in forwards {
            prop_assert_eq!(state(&one, at), ActionState::Applied);
            prop_assert_eq!(state(&other, at), ActionState::Applied);
        }
    }

    /// The other two forms of METHODOLOGY §1.2, never rounded: the daily chain, and the market value over
    /// that of the base. Both carry on from day to day what the divisor carries in the engine.
    #[test]
    fn divisor_chain_and_base_value_agree(
        prices in prop::collection::vec(prop::array::uniform5(20..90u32), 3..6),
        days in prop::collection::vec(day(), 5),
    ) {
        let mut world = start(prices[0]);
        let mut forms: Vec<Forms> = INDEXES.iter().map(|row| Forms::of(&world, row, &prices[0])).collect();
        let mut once = Vec::new();
        for (day, (prices, acts)) in prices[1..].iter().zip(days).enumerate() {
            let mut acts = acts;
            acts.retain(|act| match act.kind {
                15 | 16 => false,
                4 | 12 | 14 if once.contains(&act.kind) => false,
                kind => {
                    once.push(kind);
                    true
                }
            });
            let date = format!("2026-01-{:02}", 6 + day);
            for (at, act) in acts.iter().enumerate() {
                world.load(&format!(r#"{{"actions":[{}]}}"#, act.json_on(day * 10 + at, &date)));
            }
            let noon = format!("{date}T12:00:00Z");
            open_on(&mut world, 3, &format!("{date}T00:00:00Z"));
            acts.sort_by_key(Act::rank);
            let traded: Vec<(&str, u32)> =
                ["A", "B", "C", "E", "Z", "D"].into_iter().zip([0, 1, 2, 4, 0, 3].map(|at| prices[at])).collect();
            for (symbol, price) in &traded {
                world.ticks(&noon, &[(symbol, &price.to_string())]);
            }
            for form in &mut forms {
                form.day(&acts, &traded);
                let level = Q::text(&world.level(form.book.code));
                prop_assert_eq!(&form.chain, &form.by_base(), "{}", form.book.code);
                let most = &form.slack + &(&Q::unit(4) / &Q::int(2));
                prop_assert!((&level - &form.chain).abs() <= most, "{}: {:?} {:?}", form.book.code, level, form.chain);
            }
        }
    }

    /// Actions of different securities do not depend on each other: whichever comes first by its id, the
    /// result is the same.
    #[test]
    fn order_of_independent_actions_does_not_matter(kinds in prop::array::uniform3(0..9u8), a in 1..9u32, b in 1..9u32) {
        let acts: Vec<Act> = kinds
            .iter()
            .enumerate()
            .filter(|(at, kind)| **kind != 4 || *at == 0)
            .map(|(symbol, kind)| Act { kind: *kind, symbol, a, b })
            .collect();
        let worlds = [false, true].map(|backwards| {
            let mut world = start([40, 50, 60, 70, 80]);
            let ids = (0..acts.len()).map(|at| if backwards { acts.len() - at } else { at });
            let rows: Vec<String> = acts.iter().zip(ids).map(|(act, id)| act.json(id)).collect();
            world.load(&format!(r#"{{"actions":[{}]}}"#, rows.join(",")));
            open(&mut world, 3);
            world
        });
        for (code, ..) in INDEXES {
            prop_assert_eq!(worlds[0].level(code), worlds[1].level(code));
            prop_assert_eq!(numbers(&worlds[0], code), numbers(&worlds[1], code), "{}", code);
        }
    }
}
