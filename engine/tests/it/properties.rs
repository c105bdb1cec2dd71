//! Random universes and random days: the engine against the [`Model`], and what must hold
//! whatever the order, the batches and the replays.

use divisor_engine::definition::{
    Adjustment, Base, Constituent, Cut, Definitions, Dissemination, IndexDefinition, IndexRevision,
    Reset, RevisionDefinition, Rounding, SecurityDefinition, Split, Weighting,
};
use divisor_engine::{
    Currency, Decimal, Effect, IndexId, Input, LabelId, Level, Origin, Output, RoundingMode, Time,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::exact::Q;
use crate::explore::{config, seeds};
use crate::model::{Adjust, Model, Security, Stamp};
use crate::support::{World, currency};

const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];
const MINUTE: i64 = 60_000_000_000;
/// Sunday 2025-12-28, so that weeks, months, quarters and a year end soon.
const START: i64 = 1_766_880_000_000_000_000;

/// What happens. Numbers choose among what there is, modulo.
#[derive(Debug, Clone)]
enum Event {
    Price {
        security: u8,
        units: i64,
        after: u16,
        late: u8,
        identity: Option<(u64, u64)>,
    },
    Rate {
        base: u8,
        quote: u8,
        units: i64,
        after: u16,
        late: u8,
    },
    Split {
        security: u8,
        from: u32,
        to: u32,
    },
    Less {
        security: u8,
        percent: u8,
    },
    Basket {
        index: u8,
        members: Vec<(u8, i64)>,
    },
    Restore {
        index: u8,
    },
    Define(Plan),
    EndOfBatch,
}

/// An index to be defined.
#[derive(Debug, Clone)]
struct Plan {
    weighting: Weighting,
    currency: u8,
    members: Vec<(u8, i64)>,
    level: Cut,
    divisor: Cut,
    coefficient: Cut,
    pivot: bool,
    each_tick: bool,
    base: Decimal,
    by_divisor: bool,
}

/// A security to be defined: currency, places of a price, largest price.
type Listed = (u8, u8, Decimal);

#[derive(Debug, Clone)]
struct Story {
    securities: Vec<Listed>,
    events: Vec<Event>,
}

fn weighting() -> impl Strategy<Value = Weighting> {
    let reset = select(vec![
        Reset::Never,
        Reset::Daily,
        Reset::Weekly,
        Reset::Monthly,
        Reset::Quarterly,
        Reset::Yearly,
        Reset::ThirdFridayMonthly,
        Reset::ThirdFridayQuarterly,
        Reset::ThirdFridayYearly,
    ]);
    prop_oneof![
        Just(Weighting::Price),
        Just(Weighting::MarketCap),
        Just(Weighting::FixedUnits),
        Just(Weighting::ConstantWeight),
        reset.clone().prop_map(|reset| Weighting::Equal { reset }),
        reset.prop_map(|reset| Weighting::FixedWeight { reset }),
    ]
}

fn cut(places: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Cut> {
    use RoundingMode::{Down, HalfEven, HalfUp, Up};
    let mode = prop_oneof![4 => Just(HalfUp), 1 => select(vec![HalfEven, Down, Up])];
    (places, mode).prop_map(|(places, mode)| Cut { places, mode })
}

fn members() -> impl Strategy<Value = Vec<(u8, i64)>> {
    let amount = prop_oneof![6 => 1..1_000_000i64, 1 => -500_000..0i64, 1 => 1..i64::MAX];
    prop::collection::vec((any::<u8>(), amount), 1..5)
}

fn plan() -> impl Strategy<Value = Plan> {
    let cuts = (cut(0..=6), cut(6..=18), cut(4..=18));
    let base = prop_oneof![
        6 => (1..1_000_000i64, 0..3u8),
        1 => (1..i64::MAX, 0..19u8),
    ];
    (
        weighting(),
        0..3u8,
        members(),
        cuts,
        any::<(bool, bool, bool)>(),
        base,
    )
        .prop_map(
            |(weighting, currency, members, cuts, (pivot, each_tick, by_divisor), base)| Plan {
                weighting,
                currency,
                members,
                level: cuts.0,
                divisor: cuts.1,
                coefficient: cuts.2,
                pivot,
                each_tick,
                base: Decimal::new(base.0.into(), base.1),
                by_divisor,
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let units = || prop_oneof![8 => 100..5_000_000i64, 1 => 1..10i64, 1 => Just(i64::MAX)];
    let after = || prop_oneof![6 => 0..3u16, 2 => 100..2_000u16, 1 => 0..40_000u16];
    let late = || prop_oneof![5 => Just(0u8), 1 => 1..200u8];
    let identity = prop::option::of((0..3u64, 0..30u64));
    prop_oneof![
        24 => (any::<u8>(), units(), after(), late(), identity).prop_map(
            |(security, units, after, late, identity)| Event::Price { security, units, after, late, identity }
        ),
        4 => (0..3u8, 0..3u8, units(), after(), late()).prop_map(
            |(base, quote, units, after, late)| Event::Rate { base, quote, units, after, late }
        ),
        2 => (any::<u8>(), 1..12u32, 1..12u32).prop_map(
            |(security, from, to)| Event::Split { security, from, to }
        ),
        1 => (any::<u8>(), 1..110u8).prop_map(|(security, percent)| Event::Less { security, percent }),
        2 => (any::<u8>(), members()).prop_map(|(index, members)| Event::Basket { index, members }),
        1 => any::<u8>().prop_map(|index| Event::Restore { index }),
        2 => plan().prop_map(Event::Define),
        8 => Just(Event::EndOfBatch),
    ]
}

fn story() -> impl Strategy<Value = Story> {
    let price_max = prop_oneof![
        6 => Just(Decimal::new(10_000_000, 0)),
        1 => (1..i64::MAX, 0..19u8).prop_map(|(m, p)| Decimal::new(m.into(), p)),
    ];
    let places = prop_oneof![6 => 0..7u8, 1 => 7..19u8];
    let fits = |(_, places, max): &Listed| {
        max.at_places(*places)
            .is_some_and(|m| (1..=i128::from(i64::MAX)).contains(&m))
    };
    let security = (0..3u8, places, price_max).prop_filter("fits the places", fits);
    let plans = prop::collection::vec(plan().prop_map(Event::Define), 1..4);
    let events = prop::collection::vec(event(), 1..80);
    (prop::collection::vec(security, 1..6), plans, events).prop_map(
        |(securities, plans, events)| Story {
            securities,
            events: plans.into_iter().chain(events).collect(),
        },
    )
}

/// The engine and its model under the same events.
struct Run {
    world: World,
    model: Model,
    clock: i64,
    pending: Vec<Input>,
    effects: Vec<Effect>,
    /// Every batch, for replays.
    batches: Vec<Vec<Input>>,
    revisions: u32,
}

impl Run {
    fn of(securities: &[Listed]) -> Self {
        let mut run = Self {
            world: World::default(),
            model: Model::default(),
            clock: START,
            pending: Vec::new(),
            effects: Vec::new(),
            batches: Vec::new(),
            revisions: 0,
        };
        let mut definitions = Definitions::default();
        for (at, (own, places, max)) in securities.iter().enumerate() {
            let currency = currency(CURRENCIES[usize::from(*own)]);
            let mut definition = SecurityDefinition::new(&format!("S{at}"), currency);
            definition.price_places = *places;
            definition.price_max = *max;
            run.model.securities.push(Security {
                symbol: definition.symbol.clone(),
                currency,
                places: *places,
                price_max: (*max).into(),
                price: None,
                last: None,
            });
            definitions.securities.push(definition);
        }
        run.define(definitions);
        run
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Price {
                security,
                units,
                after,
                late,
                identity,
            } => {
                let at = usize::from(*security) % self.model.securities.len();
                let stamp = self.stamp(*after, *late, *identity);
                self.price(at, *units, stamp);
            }
            Event::Rate {
                base,
                quote,
                units,
                after,
                late,
            } => {
                let (base, quote) = (
                    CURRENCIES[usize::from(*base)],
                    CURRENCIES[usize::from(*quote)],
                );
                let stamp = self.stamp(*after, *late, None);
                self.rate(currency(base), currency(quote), *units, stamp);
            }
            Event::Split { security, from, to } => {
                let at = usize::from(*security) % self.model.securities.len();
                let split = Some(Split {
                    from: *from,
                    to: *to,
                });
                self.adjust(at, &Adjust::Split(*from, *to), |a| a.split = split);
            }
            Event::Less { security, percent } => {
                let at = usize::from(*security) % self.model.securities.len();
                let Some(price) = self.world.engine.securities().nth(at).and_then(|s| s.price)
                else {
                    return;
                };
                let less =
                    Decimal::new(price.mantissa() * i128::from(*percent), price.places() + 2);
                self.adjust(at, &Adjust::Less(less.into()), |a| a.less = Some(less));
            }
            Event::Basket { index, members } if !self.model.indexes.is_empty() => {
                let at = usize::from(*index) % self.model.indexes.len();
                let basket = self.basket(members, self.model.indexes[at].definition.weighting);
                self.revise(at, Some(basket));
            }
            Event::Restore { index } if !self.model.indexes.is_empty() => {
                self.revise(usize::from(*index) % self.model.indexes.len(), None);
            }
            Event::Basket { .. } | Event::Restore { .. } => {}
            Event::Define(plan) => self.index(plan),
            Event::EndOfBatch => self.flush(),
        }
    }

    fn stamp(&mut self, after: u16, late: u8, identity: Option<(u64, u64)>) -> Stamp {
        self.clock += i64::from(after) * MINUTE;
        let ts = self.clock - i64::from(late) * MINUTE;
        (ts, identity.map(|i| i.0), identity.map(|i| i.1))
    }

    fn price(&mut self, at: usize, units: i64, stamp: Stamp) {
        let security = self.model.securities[at].clone();
        let price = Decimal::new(units.into(), security.places);
        let admitted =
            self.world
                .engine
                .admit_price(&security.symbol, price, None, origin(stamp), None, None);
        assert_eq!(admitted.is_ok(), Q::from(price) <= security.price_max);
        if let Ok(input) = admitted {
            self.pending.push(input);
            self.effects.push(self.model.tick(at, &price.into(), stamp));
        }
    }

    fn rate(&mut self, base: Currency, quote: Currency, units: i64, stamp: Stamp) {
        let rate = Decimal::new(units.into(), 5);
        if let Ok(input) = self
            .world
            .engine
            .admit_rate(base, quote, rate, origin(stamp))
        {
            self.pending.push(input);
            self.effects
                .push(self.model.rate(base, quote, &rate.into(), stamp));
        }
    }

    fn index(&mut self, plan: &Plan) {
        self.flush();
        let own = currency(CURRENCIES[usize::from(plan.currency)]);
        let stated = plan.by_divisor
            && !matches!(
                plan.weighting,
                Weighting::Equal { .. } | Weighting::FixedWeight { .. } | Weighting::ConstantWeight
            );
        let base = Base {
            value: (!stated).then_some(plan.base),
            divisor: stated.then_some(plan.base),
            date: None,
        };
        let code = format!("X{}", self.model.indexes.len());
        let basket = self.basket(&plan.members, plan.weighting);
        let mut definition = IndexDefinition::new(&code, own, plan.weighting, base, basket);
        definition.rounding = Rounding {
            level: plan.level,
            divisor: plan.divisor,
            coefficient: plan.coefficient,
            ..Rounding::default()
        };
        definition.fx.pivot = plan.pivot.then_some(own);
        if plan.each_tick {
            definition.dissemination = Dissemination::Tick;
        }
        let next = self.model.define(&definition);
        let definitions = Definitions {
            indexes: vec![definition],
            ..Definitions::default()
        };
        self.try_define(definitions, next);
    }

    /// Constituents with the fields that the weighting wants; each security once.
    fn basket(&self, members: &[(u8, i64)], weighting: Weighting) -> Vec<Constituent> {
        let mut basket: Vec<Constituent> = Vec::new();
        for (security, amount) in members {
            let at = usize::from(*security) % self.model.securities.len();
            let symbol = &self.model.securities[at].symbol;
            if basket.iter().any(|c| c.symbol == *symbol) {
                continue;
            }
            let mut member = Constituent::new(symbol);
            let hundredths = Some(Decimal::new((*amount).into(), 2));
            let positive = Some(Decimal::new(amount.unsigned_abs().into(), 2));
            match weighting {
                Weighting::None
                | Weighting::Score { .. }
                | Weighting::Geometric { .. }
                | Weighting::VolumeMedian => unreachable!("outside the model"),
                Weighting::Price if amount % 2 == 0 => member.units = positive,
                Weighting::Price | Weighting::Equal { .. } => {}
                Weighting::FixedUnits => member.units = hundredths,
                Weighting::MarketCap => {
                    member.shares = positive;
                    member.float = Some(Decimal::new(i128::from(amount % 89).abs() + 11, 2));
                    member.cap = (amount % 3 == 0).then(|| Decimal::new(1_234_567, 7));
                }
                Weighting::FixedWeight { .. } => member.weight = positive,
                Weighting::ConstantWeight => {
                    member.weight = Some(Decimal::new((*amount).into(), 7));
                }
            }
            basket.push(member);
        }
        basket
    }

    fn revise(&mut self, at: usize, basket: Option<Vec<Constituent>>) {
        self.flush();
        let next = self.model.revise(at, basket.as_deref());
        let code = self.model.indexes[at].definition.code.clone();
        let revision = IndexRevision {
            code,
            basket,
            definition: None,
        };
        self.revision(Vec::new(), vec![revision], next);
    }

    fn adjust(&mut self, at: usize, adjust: &Adjust, state: impl Fn(&mut Adjustment)) {
        self.flush();
        let next = self.model.adjust(at, adjust);
        let symbol = self.model.securities[at].symbol.clone();
        let mut adjustment = Adjustment {
            symbol,
            price: None,
            less: None,
            split: None,
        };
        state(&mut adjustment);
        self.revision(vec![adjustment], Vec::new(), next);
    }

    fn revision(
        &mut self,
        adjust: Vec<Adjustment>,
        indexes: Vec<IndexRevision>,
        next: Option<Model>,
    ) {
        self.revisions += 1;
        let revision = RevisionDefinition {
            id: format!("r{}", self.revisions),
            effective: None,
            note: None,
            adjust,
            indexes,
        };
        let definitions = Definitions {
            revisions: vec![revision],
            ..Definitions::default()
        };
        self.try_define(definitions, next);
    }

    /// Engine and model must agree on whether definitions can be; refused ones change nothing.
    fn try_define(&mut self, definitions: Definitions, next: Option<Model>) {
        let planned = self.world.engine.plan(&definitions);
        let reasons = planned.as_ref().err();
        assert_eq!(
            planned.is_ok(),
            next.is_some(),
            "{reasons:?}\n{definitions:?}"
        );
        if let Some(next) = next {
            self.check_continuity(&next, &definitions);
            self.model = next;
            self.define(definitions);
        } else {
            let before = self.views();
            self.world.apply(vec![Input::Define {
                by: LabelId(0),
                definitions: Box::new(definitions),
            }]);
            assert!(matches!(
                self.world.outputs.last(),
                Some(Output::Refused { .. })
            ));
            self.world.outputs.pop();
            assert_eq!(self.views(), before, "a refused definition changes nothing");
        }
    }

    fn views(&self) -> String {
        let engine = &self.world.engine;
        let (securities, indexes) = (engine.securities(), engine.indexes());
        format!(
            "{:?} {:?}",
            securities.collect::<Vec<_>>(),
            indexes.collect::<Vec<_>>()
        )
    }

    /// The level moves by no more than what the stated roundings can move it: half a unit of the
    /// divisor's last place, and half a unit of the adjusted price's.
    fn check_continuity(&self, next: &Model, definitions: &Definitions) {
        let adjusted: Vec<_> = definitions
            .revisions
            .iter()
            .flat_map(|r| &r.adjust)
            .collect();
        for at in 0..self.model.indexes.len() {
            let (Some(before), Some(after)) = (self.model.level(at), next.level(at)) else {
                continue;
            };
            let terms = next.indexes[at].terms.as_ref().unwrap();
            let rounding = next.indexes[at].definition.rounding;
            let whole = matches!(
                rounding.divisor.mode,
                RoundingMode::HalfUp | RoundingMode::HalfEven
            );
            let divisor = &Q::unit(rounding.divisor.places) / &Q::int(if whole { 2 } else { 1 });
            let mut bound = &(&before.abs() * &divisor) / &terms.divisor;
            for security in &next.securities {
                // A price that was cut: the level was kept at the exact one.
                if adjusted.iter().any(|a| a.symbol == security.symbol) {
                    let highest = terms.q.iter().map(Q::abs).max().unwrap();
                    let price = &Q::unit(security.places) / &Q::int(2);
                    // Rates of the story stay below 10^14.
                    let fx = Q::text("100000000000000");
                    bound = &bound + &(&(&(&highest * &price) * &fx) / &terms.divisor);
                }
            }
            assert!(
                (&after - &before).abs() <= bound,
                "X{at}: {before:?} to {after:?}"
            );
        }
    }

    fn define(&mut self, definitions: Definitions) {
        self.batches.push(vec![Input::Define {
            by: LabelId(0),
            definitions: Box::new(definitions.clone()),
        }]);
        self.world.define(definitions);
        self.compare();
    }

    fn flush(&mut self) {
        let inputs = std::mem::take(&mut self.pending);
        let from = self.world.outputs.len();
        self.batches.push(inputs.clone());
        self.world.apply(inputs);
        let effects = self.world.outputs[from..].iter().filter_map(|o| {
            if let Output::Tick { effect, .. } = o {
                Some(*effect)
            } else {
                None
            }
        });
        assert!(
            effects.eq(self.effects.drain(..)),
            "what became of each input"
        );
        self.compare();
    }

    /// Everything the engine shows is what the model says.
    fn compare(&mut self) {
        self.model.end_batch();
        for (at, index) in self.world.engine.indexes().enumerate() {
            let code = &index.definition.code;
            let expected = self.model.published(at);
            assert_eq!(
                self.world.engine.recompute(index.id).map(Q::from),
                expected,
                "{code} from scratch"
            );
            let terms = self.model.indexes[at].terms.as_ref();
            assert_eq!(
                index.divisor.map(Q::from),
                terms.map(|t| t.divisor.clone()),
                "{code}"
            );
            if let Some(terms) = terms {
                let q: Vec<Q> = index
                    .members
                    .iter()
                    .map(|m| m.coefficient.unwrap().into())
                    .collect();
                assert_eq!(q, terms.q, "{code}");
            }
            if expected.is_some() {
                assert_eq!(
                    index.level.map(|l| Q::from(l.level)),
                    expected,
                    "{code} as published"
                );
            }
            let levels = self.world.levels(code);
            assert!(contiguous(&levels), "{code}");
        }
    }
}

fn contiguous(levels: &[Level]) -> bool {
    (1..).zip(levels).all(|(seq, level)| level.seq == seq)
}

fn origin((ts, inc, seq): Stamp) -> Origin {
    let ts = Time::from_nanos(ts);
    Origin {
        ts,
        received: ts,
        source: LabelId(0),
        inc,
        seq,
    }
}

fn tell(story: &Story) -> Run {
    let mut run = Run::of(&story.securities);
    for event in &story.events {
        run.event(event);
    }
    run.flush();
    run
}

/// The batches again from the start, all at the same time of calculation.
fn replay(batches: impl IntoIterator<Item = Vec<Input>>) -> World {
    let mut world = World::default();
    for batch in batches {
        world.apply_at(Time::from_nanos(2_000_000_000_000_000_000), batch);
    }
    world
}

proptest! {
    #![proptest_config(config(256, seeds!("properties")))]

    #[test]
    fn agrees_with_the_model(story in story()) {
        tell(&story);
    }

    #[test]
    fn replays_to_the_same_outputs(story in story(), at in any::<prop::sample::Index>()) {
        let batches = tell(&story).batches;
        let whole = replay(batches.clone());
        prop_assert_eq!(&replay(batches.clone()).outputs, &whole.outputs);
        let (head, tail) = batches.split_at(at.index(batches.len()));
        let original = replay(head.to_vec());
        let mut copy = original.clone();
        drop(original);
        for batch in tail {
            copy.apply_at(Time::from_nanos(2_000_000_000_000_000_000), batch.clone());
        }
        prop_assert_eq!(&copy.outputs, &whole.outputs);
    }

    #[test]
    fn batches_do_not_matter_to_levels_at_each_tick(story in story()) {
        // A batch without inputs takes a position of its own, so it cannot be left out or added.
        let mut batches = tell(&story).batches;
        batches.retain(|batch| !batch.is_empty());
        let one_by_one = replay(batches.iter().flatten().map(|input| vec![input.clone()]));
        let at_once = replay(batches.clone());
        let all = replay([batches.into_iter().flatten().collect::<Vec<_>>()]);
        for index in one_by_one.engine.indexes() {
            let code = &index.definition.code;
let from_scratch = |world: &World| world.engine.recompute(index.id);
            prop_assert_eq!(from_scratch(&one_by_one), from_scratch(&all));
            if index.definition.dissemination == Dissemination::Tick {
                prop_assert_eq!(one_by_one.levels(code), at_once.levels(code));
                prop_assert_eq!(one_by_one.levels(code), all.levels(code));
            }
        }
    }

    #[test]
    fn order_within_a_moment_does_not_matter(
        story in story(),
        prices in prop::collection::vec((any::<u8>(), 1..5_000_000i64), 1..12),
        after in 0..3_000u16,
    ) {
        let mut run = tell(&story);
        let running: Vec<IndexId> =
            run.world.engine.indexes().map(|x| x.id).filter(|id| run.world.engine.recompute(*id).is_some()).collect();
        let stamp = run.stamp(after, 0, None);
        let mut seen = std::collections::BTreeSet::new();
        for (security, units) in prices {
            let at = usize::from(security) % run.model.securities.len();
            if seen.insert(at) {
                run.price(at, units, stamp);
            }
        }
        let mut backward = run.world.clone();
        backward.apply(run.pending.iter().rev().cloned().collect());
        run.world.apply(run.pending);
        for id in running {
            let level = |world: &World| world.engine.index(id).unwrap().level.map(|l| l.level);
            prop_assert_eq!(level(&run.world), level(&backward));
        }
    }
}
