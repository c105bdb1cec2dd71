//! What a tick costs: `cargo bench -p divisor-engine`.
//!
//! The kernel rows give nanoseconds for each tick and index that holds its security, with levels
//! conflated away in large batches; the level rows what one rounded level adds. Figures are
//! medians of rounds, taken in turn so that a busy neighbour hits every row alike.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its result"
)]

use std::hint::black_box;
use std::time::Instant;

use divisor_engine::definition::{
    Base, Constituent, Definitions, Dissemination, IndexDefinition, Rounding, SecurityDefinition,
    Weighting,
};
use divisor_engine::{
    Batch, Currency, Decimal, Engine, Input, LabelId, Origin, Output, Tick, Time,
};

const SECURITIES: u32 = 500;
const BATCH: usize = 4_096;
const BATCHES: usize = 64;
const ROUNDS: usize = 9;
const START: i64 = 1_800_000_000_000_000_000;

/// A set-up with its figures so far.
struct Case {
    name: &'static str,
    /// Indexes that hold each security.
    indexes: u32,
    engine: Engine,
    ticks: Vec<Input>,
    /// Nanoseconds for each tick, by round.
    figures: Vec<f64>,
    levels: usize,
}

fn main() {
    let interval = Dissemination::Interval { every_ms: u32::MAX };
    let tick = Dissemination::Tick;
    let mut cases = [
        Case::new("kernel, no index", 0, interval, 1, 2),
        Case::new("kernel, 1 index", 1, interval, 1, 2),
        Case::new("kernel, 10 indexes", 10, interval, 1, 2),
        Case::new("kernel, 100 indexes", 100, interval, 1, 2),
        Case::new("conflated, 10 indexes", 10, Dissemination::Conflate, 1, 2),
        Case::new("level each tick, one currency", 10, tick, 1, 2),
        Case::new("level each tick, three currencies", 10, tick, 3, 2),
        Case::new("level each tick, 256 bits", 10, tick, 3, 18),
    ];
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.round();
        }
    }
    println!("CPU: {}", cpu());
    println!("{SECURITIES} securities, batches of {BATCH} ticks, median of {ROUNDS} rounds");
    println!(
        "{:36} {:>10} {:>14} {:>10}",
        "", "ns/tick", "ns/tick·index", "levels"
    );
    let base = cases[0].median();
    for case in &cases {
        let median = case.median();
        let each = (median - base) / f64::from(case.indexes.max(1));
        println!(
            "{:36} {median:10.1} {each:14.1} {:10}",
            case.name, case.levels
        );
    }
    println!(
        "daily reset of {SECURITIES} constant weights: {:.0} µs",
        reset_micros()
    );
    println!("ns/tick·index: what is over the row without an index, for each index");
}

impl Case {
    fn new(
        name: &'static str,
        indexes: u32,
        mode: Dissemination,
        currencies: u32,
        places: u8,
    ) -> Self {
        let mut case = Self::of(define(indexes, mode, currencies, places), indexes);
        case.name = name;
        case
    }

    fn of(definitions: Input, indexes: u32) -> Self {
        let mut engine = Engine::new();
        let mut inputs = vec![definitions];
        for (base, rate) in [("EUR", "1.1624"), ("JPY", "0.00639")] {
            let (base, quote) = (
                Currency::parse(base).unwrap(),
                Currency::parse("USD").unwrap(),
            );
            let rate: Decimal = rate.parse().unwrap();
            inputs.push(engine.admit_rate(base, quote, rate, origin(0)).unwrap());
        }
        apply(&mut engine, inputs);
        let mut random = 42u64;
        let mut ticks: Vec<Input> = (0..SECURITIES)
            .map(|at| price(&engine, at, 10_000))
            .collect();
        apply(&mut engine, std::mem::take(&mut ticks));
        for _ in 0..BATCH {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = u32::try_from((random >> 33) % u64::from(SECURITIES)).unwrap();
            ticks.push(price(
                &engine,
                at,
                9_000 + i128::from((random >> 20) % 2_000),
            ));
        }
        Self {
            name: "",
            indexes,
            engine,
            ticks,
            figures: Vec::new(),
            levels: 0,
        }
    }

    fn round(&mut self) {
        let mut nanos = 0u128;
        self.levels = 0;
        for _ in 0..BATCHES {
            let batch = Batch {
                first: self.engine.next_position(),
                time: Time::from_nanos(START),
                inputs: self.ticks.clone(),
            };
            let start = Instant::now();
            self.engine.apply(black_box(&batch));
            while let Some(output) = self.engine.poll_output() {
                self.levels += usize::from(matches!(black_box(output), Output::Level(_)));
            }
            nanos += start.elapsed().as_nanos();
        }
        self.figures.push(nanos as f64 / (BATCH * BATCHES) as f64);
    }

    fn median(&self) -> f64 {
        let mut figures = self.figures.clone();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }
}

/// What the first tick of a day costs an index that restores all its weights.
fn reset_micros() -> f64 {
    let Input::Define {
        by,
        mut definitions,
    } = define(1, Dissemination::Tick, 3, 2)
    else {
        panic!("not a definition")
    };
    for index in &mut definitions.indexes {
        index.weighting = Weighting::ConstantWeight;
        for member in &mut index.basket {
            (member.shares, member.float) = (None, None);
            member.weight = Some(Decimal::new(2, 3));
        }
    }
    let mut case = Case::of(Input::Define { by, definitions }, 1);
    let mut figures: Vec<f64> = (1..=21)
        .map(|day| {
            let origin = origin(day * 86_400_000_000_000);
            let price = Decimal::new(10_100 + i128::from(day), 2);
            let tick = case
                .engine
                .admit_price("S7", price, None, origin, None, None);
            let tick = tick.unwrap();
            let start = Instant::now();
            apply(&mut case.engine, vec![tick]);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Indexes that all hold every security, under the bounds and places of the defaults.
fn define(indexes: u32, dissemination: Dissemination, currencies: u32, places: u8) -> Input {
    let currency = |at: u32| ["USD", "EUR", "JPY"][(at % currencies) as usize];
    let security = |at: u32| {
        SecurityDefinition::new(&format!("S{at}"), Currency::parse(currency(at)).unwrap())
    };
    let member = |at: u32| {
        let mut member = Constituent::new(&format!("S{at}"));
        member.shares = Some(Decimal::from(1_000_000 + i64::from(at) * 7_919));
        member.float = Some(Decimal::new(85, 2));
        member
    };
    let mut rounding = Rounding::default();
    rounding.level.places = places;
    let index = |at: u32| {
        let base = Base {
            value: Some(Decimal::from(1_000)),
            divisor: None,
            date: None,
        };
        let usd = Currency::parse("USD").unwrap();
        let basket = (0..SECURITIES).map(member).collect();
        let mut index =
            IndexDefinition::new(&format!("X{at}"), usd, Weighting::MarketCap, base, basket);
        index.rounding = rounding;
        index.dissemination = dissemination;
        index
    };
    Input::Define {
        by: LabelId(0),
        definitions: Box::new(Definitions {
            securities: (0..SECURITIES).map(security).collect(),
            indexes: (0..indexes).map(index).collect(),
            ..Definitions::default()
        }),
    }
}

fn price(engine: &Engine, at: u32, cents: i128) -> Input {
    let price = Decimal::new(cents, 2);
    let admitted = engine.admit_price(&format!("S{at}"), price, None, origin(1), None, None);
    let Ok(Input::Tick(tick)) = admitted else {
        panic!("not admitted")
    };
    Input::Tick(Tick { ..tick })
}

fn origin(after: i64) -> Origin {
    let ts = Time::from_nanos(START + after);
    Origin {
        ts,
        received: ts,
        source: LabelId(0),
        inc: None,
        seq: None,
    }
}

fn apply(engine: &mut Engine, inputs: Vec<Input>) {
    let first = engine.next_position();
    engine.apply(&Batch {
        first,
        time: Time::from_nanos(START),
        inputs,
    });
    while engine.poll_output().is_some() {}
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{name}, {cores} cores")
}
