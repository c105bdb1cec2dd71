//! Definitions that go out of service, come back, get another code and are deleted.

use divisor_engine::{Input, LabelId, Life, Named, Order, Output, Snapshot, Status};

use crate::support::World;

/// X of A and B, its total return R, an index of indexes T, and Y of A alone.
const WORLD: &str = r#"{"securities":[
    {"symbol":"A","currency":"USD"},{"symbol":"B","currency":"USD"},{"symbol":"C","currency":"USD"}],
    "indexes":[
    {"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"value":"100"},
     "basket":[{"symbol":"A"},{"symbol":"B"}]},
    {"code":"Y","currency":"USD","weighting":{"scheme":"price"},"base":{"divisor":"1"},
     "basket":[{"symbol":"A"}]},
    {"code":"R","currency":"USD","of":"X","variant":{"kind":"total_return"}},
    {"code":"T","currency":"USD","weighting":{"scheme":"price"},"base":{"value":"1000"},
     "basket":[{"symbol":"indexes/X"}]}]}"#;

fn world() -> World {
    let mut world = World::with(WORLD);
    world.ticks(
        "2026-01-05T10:00:00Z",
        &[("A", "10"), ("B", "30"), ("C", "5")],
    );
    world
}

fn named(name: &str) -> Named {
    match name.strip_prefix("security ") {
        Some(symbol) => Named::Security(symbol.to_owned()),
        None => Named::Index(name.to_owned()),
    }
}

/// `deactivate X`, `delete security A`, `rename X Z`.
fn order(text: &str) -> Order {
    let (verb, rest) = text.split_once(' ').unwrap();
    let (of, note) = (named(rest), None);
    match verb {
        "deactivate" => Order::Deactivate { of, note },
        "reactivate" => Order::Reactivate { of, note },
        "delete" => Order::Delete { of, note },
        "halt" => Order::Halt {
            index: rest.to_owned(),
            note,
        },
        "close" => Order::Close {
            index: rest.to_owned(),
        },
        _ => {
            let (index, to) = rest.split_once(' ').unwrap();
            Order::Rename {
                index: index.to_owned(),
                to: to.to_owned(),
            }
        }
    }
}

impl World {
    fn give(&mut self, text: &str) {
        let order = order(text);
        assert_eq!(self.engine.check_order(&order), Ok(()), "{text}");
        let (by, order) = (LabelId(0), Box::new(order));
        self.apply(vec![Input::Operate { by, order }]);
        let again = serde_json::to_string(&Snapshot::of(self.engine.clone())).unwrap();
        let read: Snapshot = serde_json::from_str(&again).unwrap();
        let mut engine = read.into_engine().unwrap();
        std::mem::swap(&mut self.engine, &mut engine);
    }

    fn refuses(&self, text: &str, why: &str) {
        let refused = self.engine.check_order(&order(text));
        let refused = refused.expect_err(text).to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
}

#[test]
fn what_is_in_use_stays() {
    let mut world = world();
    world.refuses("deactivate X", "R uses it");
    world.refuses("deactivate security A", "X uses it");
    world.refuses("deactivate NONE", "no index NONE");
    world.refuses("deactivate security NONE", "no security NONE");
    world.refuses("deactivate security indexes/X", "no security");
    world.refuses("delete X", "X is active");
    world.refuses("reactivate X", "X is active");
    world.give("deactivate R");
    world.refuses("deactivate X", "T uses it");
    world.give("deactivate T");
    world.give("deactivate X");
    world.refuses("deactivate X", "X is inactive");
    world.refuses("delete X", "R uses it");
    world.refuses("reactivate R", "X, which it is made of, is inactive");
    world.refuses("reactivate T", "is inactive");
    world.refuses("halt X", "X is inactive");
    world.refuses("close X", "X is inactive");
    world.give("delete R");
    world.give("delete T");
    world.refuses("delete R", "no index R");
    world.give("deactivate security B");
    world.refuses("delete security B", "X uses it");
    world.refuses("reactivate X", "B, which it is made of, is inactive");
    world.give("delete X");
    world.give("delete security B");
    world.refuses("deactivate security A", "Y uses it");
    assert_eq!(world.engine.in_use(), (1, 2));
    let codes: Vec<String> = world
        .engine
        .indexes()
        .map(|x| x.definition.code.clone())
        .collect();
    assert_eq!(codes, ["Y"]);
    assert_eq!(world.engine.poll_timeout(), None);
    // What is left goes on.
    world.ticks("2026-01-05T11:00:00Z", &[("A", "11")]);
    assert_eq!(world.level("Y"), "11.00");
}

#[test]
fn an_inactive_index_goes_on_unseen() {
    let mut world = world();
    world.give("deactivate R");
    world.give("deactivate T");
    world.give("deactivate X");
    let last = *world.levels("X").last().unwrap();
    assert_eq!((last.status, last.seq), (Status::Inactive, 2));
    assert_eq!(
        last.level.to_string(),
        "100.00",
        "the last level, with what it is worth now"
    );
    world.ticks("2026-01-06T10:00:00Z", &[("A", "20")]);
    world.load(
        r#"{"actions":[{"id":"s","ex_date":"2026-01-07","type":"split","symbol":"B","from":1,"to":2}]}"#,
    );
    world.ticks("2026-01-07T10:00:00Z", &[("B", "15")]);
    assert_eq!(world.levels("X").len(), 2, "nothing leaves");
    assert!(
        !world
            .engine
            .indexes()
            .any(|x| x.definition.code == "X" && x.life == Life::Active)
    );
    world.give("reactivate X");
    let back = *world.levels("X").last().unwrap();
    // Base: (10 + 30)/100. A rises by 10; the split of B changes nothing.
    assert_eq!((back.level.to_string().as_str(), back.seq), ("125.00", 3));
    assert_eq!(back.status, Status::Live);
    world.give("reactivate R");
    world.give("reactivate T");
    assert_eq!(world.level("R"), "125.00");
    assert_eq!(world.level("T"), "1250.00");
    world.ticks("2026-01-07T11:00:00Z", &[("A", "24")]);
    assert_eq!(world.index("X").level.unwrap().seq, 4);
}

#[test]
fn an_inactive_index_wants_no_batches() {
    let mut world = World::with(
        r#"{"securities":[{"symbol":"A","currency":"USD"},{"symbol":"B","currency":"EUR"}],"indexes":[
        {"code":"X","currency":"USD","weighting":{"scheme":"price"},"base":{"value":"100"},
         "dissemination":{"mode":"interval","every_ms":1000},"basket":[{"symbol":"A"},{"symbol":"B"}]}]}"#,
    );
    let rate = |world: &World| world.rate("EUR", "USD", "1.1", "2026-01-05T10:00:00Z");
    world.apply(vec![rate(&world)]);
    world.ticks("2026-01-05T10:00:00Z", &[("A", "10"), ("B", "10")]);
    world.give("deactivate X");
    world.ticks("2026-01-05T11:00:00Z", &[("A", "11"), ("B", "12")]);
    world.apply(vec![world.rate(
        "EUR",
        "USD",
        "1.2",
        "2026-01-05T11:00:00Z",
    )]);
    world.apply(Vec::new());
    world.apply(Vec::new());
    assert_eq!(world.engine.poll_timeout(), None);
    world.give("reactivate X");
    // 11 + 12·1.2 over a divisor of 0.21.
    assert_eq!(world.level("X"), "120.95");
}

#[test]
fn names_and_numbers_are_never_given_again() {
    let mut world = world();
    let ids = (
        world.engine.index_id("Y").unwrap(),
        world.engine.security_id("C").unwrap(),
    );
    world.give("deactivate Y");
    world.give("delete Y");
    world.give("deactivate security C");
    assert!(
        world
            .engine
            .admit_price(
                "C",
                crate::support::decimal("5"),
                None,
                crate::support::origin("2026-01-05"),
                None,
                None
            )
            .is_err(),
        "prices of an inactive security are refused"
    );
    let of_c = r#"{"indexes":[{"code":"N","currency":"USD","weighting":{"scheme":"price"},
        "base":{"divisor":"1"},"basket":[{"symbol":"C"}]}]}"#;
    assert!(world.refusal(of_c).contains("`C` is inactive"));
    let addition = |symbol: &str| {
        format!(
            r#"{{"actions":[{{"id":"add-{symbol}","ex_date":"2026-02-02","type":"addition","index":"T",
            "member":{{"symbol":"{symbol}"}}}}]}}"#
        )
    };
    let review = r#"{"actions":[{"id":"review","ex_date":"2026-02-02","type":"rebalance","index":"T",
        "basket":[{"symbol":"indexes/X"},{"symbol":"C"}]}]}"#;
    for wanted in [&*addition("C"), review] {
        assert!(world.refusal(wanted).contains("`C` is inactive"));
    }
    world.load(r#"{"securities":[{"symbol":"E","currency":"USD"}]}"#);
    world.load(&addition("E"));
    world.refuses("deactivate security E", "add-E");
    world.give("delete security C");
    assert!(world.refusal(of_c).contains("not a known security"));
    let again = r#"{"indexes":[{"code":"Y","currency":"USD","weighting":{"scheme":"price"},
        "base":{"divisor":"1"},"basket":[{"symbol":"A"}]}]}"#;
    assert!(world.refusal(again).contains("not given again"));
    let again = r#"{"securities":[{"symbol":"C","currency":"USD"}]}"#;
    assert!(world.refusal(again).contains("not given again"));
    world.load(
        r#"{"securities":[{"symbol":"D","currency":"USD"}],"indexes":[{"code":"N","currency":"USD",
        "weighting":{"scheme":"price"},"base":{"divisor":"1"},"basket":[{"symbol":"A"}]}]}"#,
    );
    let (y, c) = ids;
    assert_ne!(world.engine.index_id("N"), Some(y));
    assert_ne!(world.engine.security_id("D"), Some(c));
    assert_eq!(
        world.engine.index_once("Y"),
        Some(y),
        "its history is found"
    );
    assert_eq!(world.engine.security_once("C"), Some(c));
    assert_eq!(world.engine.index(y).unwrap().life, Life::Deleted);
    assert_eq!(world.level("N"), "10.00");
}

#[test]
fn a_new_code_takes_everything_along() {
    let mut world = world();
    let id = world.engine.index_id("X").unwrap();
    world.refuses("rename X Y", "is or was given");
    world.refuses("rename X X", "is or was given");
    world.refuses("rename X a/b", "is not a name");
    world.load(
        r#"{"revisions":[{"id":"then","effective":"2030-01-01T00:00:00Z","indexes":[{"code":"Y"}]}],
        "actions":[{"id":"r","ex_date":"2030-01-02","type":"rebalance","index":"X"}]}"#,
    );
    world.refuses("rename Y Z", "then, which is to come, names it");
    world.refuses("rename X Z", "r, which is to come, names it");
    world.load(r#"{"cancelled":["r"]}"#);
    world.give("rename X Z");
    assert_eq!(
        (world.engine.index_id("Z"), world.engine.index_id("X")),
        (Some(id), None)
    );
    let news = world
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Life(_)));
    assert_eq!(news.count(), 1);
    world.ticks("2026-01-05T11:00:00Z", &[("A", "14")]);
    assert_eq!(world.level("Z"), "110.00");
    assert_eq!(world.level("R"), "110.00");
    assert_eq!(world.level("T"), "1100.00");
    assert_eq!(world.index("R").definition.of.as_deref(), Some("Z"));
    assert_eq!(world.index("T").definition.basket[0].symbol, "indexes/Z");
    assert_eq!(world.levels("Z").last().unwrap().seq, 2, "numbers go on");
    let taken = r#"{"indexes":[{"code":"X","currency":"USD","weighting":{"scheme":"price"},
        "base":{"divisor":"1"},"basket":[{"symbol":"A"}]}]}"#;
    assert!(world.refusal(taken).contains("not given again"));
    let later = r#"{"indexes":[{"code":"L","currency":"USD","weighting":{"scheme":"price"},
        "base":{"divisor":"1"},"basket":[{"symbol":"indexes/Z"}]}]}"#;
    world.load(later);
    assert_eq!(world.level("L"), "110.00");
    // Its own former code it may have back.
    world.give("rename Z X");
    assert_eq!(world.engine.index_id("X"), Some(id));
    assert_eq!(world.index("T").definition.basket[0].symbol, "indexes/X");
}

#[test]
fn a_doubtful_index_shows_in_those_that_hold_it() {
    let mut world = world();
    assert_eq!(world.index("T").status, Status::Live);
    world.give("halt X");
    let last = *world.levels("T").last().unwrap();
    assert_eq!((last.status, last.stale), (Status::Stale, 1));
    assert_eq!(last.level.to_string(), "1000.00");
    let order = Order::Resume {
        index: "X".to_owned(),
    };
    let (by, order) = (LabelId(0), Box::new(order));
    world.apply(vec![Input::Operate { by, order }]);
    let last = *world.levels("T").last().unwrap();
    assert_eq!((last.status, last.stale), (Status::Live, 0));
    // By weight where a rule says so.
    let heavy = r#"{"indexes":[{"code":"W","currency":"USD","weighting":{"scheme":"fixed_weight"},
        "base":{"value":"100"},"stale":{"after_s":3600,"weight":"50"},
        "basket":[{"symbol":"indexes/X","weight":"0.4"},{"symbol":"indexes/Y","weight":"0.6"}]}]}"#;
    world.load(heavy);
    assert_eq!(
        world.index("W").status,
        Status::Live,
        "an index is not stale by its age"
    );
    world.give("halt X");
    let worth = |world: &World| {
        let level = world.levels("W").last().copied().unwrap();
        (level.status, level.stale)
    };
    assert_eq!(worth(&world), (Status::Live, 1));
    world.give("halt Y");
    assert_eq!(worth(&world), (Status::Stale, 2));
}
