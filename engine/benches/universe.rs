//! What a universe costs: `cargo bench -p divisor-engine --bench universe`.
//!
//! Ten thousand securities and a thousand indexes of a hundred members, so ten memberships for each
//! security, in all linear schemes; then the same with every variant on some of the indexes and on
//! all, and other shapes with as many memberships, to tell what follows memberships from what
//! follows constituents. Without `--bench` the shapes are a fiftieth, to see that it runs.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail loudly, and prints its result"
)]

use std::hint::black_box;
use std::time::Instant;

use divisor_engine::definition::{
    Base, Caps, Constituent, Definitions, Dissemination, IndexDefinition, Reset,
    SecurityDefinition, Variant, Weighting,
};
use divisor_engine::{Batch, Currency, Decimal, Engine, Input, LabelId, Origin, Output, Time};

const BATCH: usize = 4_096;
const START: i64 = 1_800_000_000_000_000_000;
const DAY: i64 = 86_400_000_000_000;

/// Every kind of variant, with the currency of its level.
const VARIANTS: [(&str, &str); 11] = [
    ("USD", r#"{"kind":"total_return"}"#),
    (
        "USD",
        r#"{"kind":"total_return","net":{"rate":"0.15"},"reinvestment":"prior_close"}"#,
    ),
    ("USD", r#"{"kind":"dividend_points","reset":"yearly"}"#),
    (
        "USD",
        r#"{"kind":"excess_return","rate":{"annual":"0.04"}}"#,
    ),
    ("USD", r#"{"kind":"decrement","rate":"0.05"}"#),
    ("USD", r#"{"kind":"decrement","points":"50"}"#),
    ("EUR", r#"{"kind":"converted"}"#),
    (
        "USD",
        r#"{"kind":"hedged","forwards":[{"currency":"EUR","security":"EURUSD.1M"},
            {"currency":"JPY","security":"JPYUSD.1M"}]}"#,
    ),
    (
        "USD",
        r#"{"kind":"leveraged","factor":"2","rate":{"annual":"0.04"}}"#,
    ),
    (
        "USD",
        r#"{"kind":"leveraged","factor":"-1","rate":{"annual":"0.04"}}"#,
    ),
    (
        "USD",
        r#"{"kind":"volatility_control","target":"0.10","exposure_max":"1.5","volatility":{"days":20}}"#,
    ),
];

/// Rates and forwards, in dollars.
const CURRENCIES: [(&str, &str); 2] = [("EUR", "1.1624"), ("JPY", "0.00639")];

struct Shape {
    name: &'static str,
    securities: u32,
    indexes: u32,
    members: u32,
    /// Each so-many-th index has every variant; none at 0.
    variants_each: u32,
    dissemination: Dissemination,
}

/// A shape with its figures so far.
struct Case {
    shape: Shape,
    engine: Engine,
    ticks: Vec<Input>,
    /// Milliseconds to try the definitions, to apply them, and to take the first prices.
    load: [f64; 3],
    /// What the process grew by, in MiB.
    grown: f64,
    /// Nanoseconds for each tick, by round.
    figures: Vec<f64>,
    levels: usize,
}

fn main() {
    let is_full = std::env::args().any(|argument| argument == "--bench");
    let (part, batches, rounds) = if is_full { (1, 64, 9) } else { (50, 1, 1) };
    let quiet = Dissemination::Interval { every_ms: u32::MAX };
    let conflate = Dissemination::Conflate;
    let shapes = [
        ("universe", 10_000, 1_000, 100, 0, quiet),
        ("variants on every tenth", 10_000, 1_000, 100, 10, quiet),
        ("variants on all", 10_000, 1_000, 100, 1, quiet),
        ("conflated", 10_000, 1_000, 100, 0, conflate),
        (
            "conflated, variants on every tenth",
            10_000,
            1_000,
            100,
            10,
            conflate,
        ),
        ("1 membership", 10_000, 100, 100, 0, quiet),
        ("100 memberships", 1_000, 1_000, 100, 0, quiet),
        ("10 members each", 10_000, 10_000, 10, 0, quiet),
        ("1,000 members each", 10_000, 100, 1_000, 0, quiet),
        ("5,000 members each", 10_000, 20, 5_000, 0, quiet),
    ];
    let mut cases: Vec<Case> = shapes
        .into_iter()
        .map(
            |(name, securities, indexes, members, variants_each, dissemination)| {
                Case::new(Shape {
                    name,
                    securities: securities / part,
                    indexes: (indexes / part).max(2),
                    members: members.min(securities / part),
                    variants_each,
                    dissemination,
                })
            },
        )
        .collect();
    for _ in 0..rounds {
        for case in &mut cases {
            case.round(batches);
        }
    }
    print(&mut cases, rounds);
}

fn print(cases: &mut [Case], rounds: usize) {
    println!("CPU: {}", cpu());
    println!("batches of {BATCH} ticks, median of {rounds} rounds; load in ms, each once");
    println!(
        "{:36} {:>10} {:>7} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "",
        "securities",
        "levels",
        "each",
        "plan",
        "apply",
        "prices",
        "MiB",
        "new day",
        "rate µs",
        "ns/tick",
        "sent"
    );
    for case in cases {
        let [plan, apply, prices] = case.load;
        let median = median(&mut case.figures);
        let (rate, day) = (case.rate_micros(), case.day_millis());
        println!(
            "{:36} {:10} {:7} {:6} {plan:7.0} {apply:7.0} {prices:7.0} {:7.0} {day:7.0} {rate:8.1} {median:8.1} {:8}",
            case.shape.name,
            case.engine.security_count(),
            case.engine.index_count(),
            case.shape.indexes * case.shape.members / case.shape.securities,
            case.grown,
            case.levels,
        );
    }
}

impl Case {
    fn new(shape: Shape) -> Self {
        let before = resident();
        let mut engine = Engine::new();
        let definitions = shape.definitions();
        let plan = timed(|| drop(black_box(engine.plan(&definitions).unwrap())));
        let define = Input::Define {
            by: LabelId(0),
            definitions: Box::new(definitions),
        };
        let load = timed(|| apply(&mut engine, vec![define], START));
        let mut inputs: Vec<Input> = CURRENCIES
            .iter()
            .map(|(base, rate)| exchange(&engine, (base, "USD"), rate, 0))
            .collect();
        inputs.push(exchange(&engine, ("USD", "EUR"), "0.8603", 0));
        for (base, rate) in CURRENCIES {
            let forward = format!("{base}USD.1M");
            inputs.push(price(&engine, &forward, rate.parse().unwrap(), 0));
        }
        let first = |at| price(&engine, &symbol(at), Decimal::new(10_000, 2), 0);
        inputs.extend((0..shape.securities).map(first));
        let prices = timed(|| apply(&mut engine, inputs, START));
        let is_quiet = matches!(shape.dissemination, Dissemination::Interval { .. });
        let waits = engine.indexes().find(|index| index.level.is_none());
        let waits = waits.map(|index| (&index.definition.code, index.definition.kind()));
        assert!(is_quiet || waits.is_none(), "no level: {waits:?}");
        let ticks = shape.ticks(&engine);
        Self {
            shape,
            engine,
            ticks,
            load: [plan, load, prices],
            grown: resident() - before,
            figures: Vec::new(),
            levels: 0,
        }
    }

    fn round(&mut self, batches: usize) {
        let mut millis = 0.0;
        for _ in 0..batches {
            let inputs = self.ticks.clone();
            millis += timed(|| self.levels = apply(&mut self.engine, inputs, START));
        }
        self.figures.push(millis * 1e6 / (BATCH * batches) as f64);
    }

    /// What a rate costs that every index with a member in its currency depends on.
    fn rate_micros(&mut self) -> f64 {
        let mut figures: Vec<f64> = (1..=21)
            .map(|at| {
                let rate = format!("1.16{at:02}");
                let rate = exchange(&self.engine, ("EUR", "USD"), &rate, at);
                timed(|| apply(&mut self.engine, vec![rate], START)) * 1e3
            })
            .collect();
        median(&mut figures)
    }

    /// What the first prices of the next day cost, with resets and the new lines of variants.
    fn day_millis(&mut self) -> f64 {
        let next = |at| price(&self.engine, &symbol(at), Decimal::new(10_100, 2), DAY);
        let inputs = (0..self.shape.securities).map(next).collect();
        timed(|| apply(&mut self.engine, inputs, START + DAY))
    }
}

impl Shape {
    fn definitions(&self) -> Definitions {
        let usd = currency("USD");
        let security = |at: u32| {
            let code = ["USD", "EUR", "JPY"][(at % 3) as usize];
            SecurityDefinition::new(&symbol(at), currency(code))
        };
        let mut securities: Vec<_> = (0..self.securities).map(security).collect();
        for (base, _) in CURRENCIES {
            securities.push(SecurityDefinition::new(&format!("{base}USD.1M"), usd));
        }
        let mut indexes: Vec<_> = (0..self.indexes).map(|at| self.index(at)).collect();
        let varied =
            (0..self.indexes).filter(|at| self.variants_each > 0 && at % self.variants_each == 0);
        for at in varied {
            for (kind, (code, variant)) in VARIANTS.iter().enumerate() {
                let variant: Variant = serde_json::from_str(variant).unwrap();
                let (own, of) = (format!("X{at}.{kind}"), format!("X{at}"));
                let mut index = IndexDefinition::following(&own, currency(code), &of, variant);
                index.dissemination = self.dissemination;
                indexes.push(index);
            }
        }
        Definitions {
            securities,
            indexes,
            ..Definitions::default()
        }
    }

    /// The schemes in turn, by parts of the universe that go round it.
    fn index(&self, at: u32) -> IndexDefinition {
        let reset = Reset::Monthly;
        let schemes = [
            Weighting::MarketCap,
            Weighting::MarketCap,
            Weighting::Price,
            Weighting::Equal { reset },
            Weighting::FixedWeight { reset },
            Weighting::ConstantWeight,
            Weighting::FixedUnits,
        ];
        let turn = at as usize % schemes.len();
        let weighting = schemes[turn];
        let member = |k: u32| {
            let flat = at * self.members + k;
            // A step without a divisor in common with the number of securities: each round of the
            // universe holds each security once.
            let (round, place) = (flat / self.securities, flat % self.securities);
            let step = u64::from(10 * round + 3);
            let place = u64::from(place) * step % u64::from(self.securities);
            let place = u32::try_from(place).unwrap();
            let mut member = Constituent::new(&symbol(place));
            match weighting {
                Weighting::MarketCap => {
                    member.shares = Some(Decimal::from(1_000_000 + i64::from(place) * 7_919));
                    member.float = Some(Decimal::new(85, 2));
                }
                Weighting::FixedUnits => member.units = Some(Decimal::from(1 + i64::from(k))),
                Weighting::FixedWeight { .. } | Weighting::ConstantWeight => {
                    // All sizes divide a power of ten.
                    member.weight = Some(Decimal::new(i128::from(10_000 / self.members), 4));
                }
                Weighting::None
                | Weighting::Price
                | Weighting::Equal { .. }
                | Weighting::Score { .. }
                | Weighting::Geometric { .. }
                | Weighting::VolumeMedian => {}
            }
            member
        };
        let base = Base {
            value: Some(Decimal::from(1_000)),
            ..Base::default()
        };
        let basket = (0..self.members).map(member).collect();
        let mut index =
            IndexDefinition::new(&format!("X{at}"), currency("USD"), weighting, base, basket);
        index.dissemination = self.dissemination;
        if turn == 1 {
            // Half above the equal weight, which binds the largest third.
            index.caps = Some(Caps {
                reset,
                weight_max: Some(Decimal::new(
                    i128::from((15_000 / self.members).min(10_000)),
                    4,
                )),
                ..Caps::default()
            });
        }
        index
    }

    /// A batch of ticks that go anywhere.
    fn ticks(&self, engine: &Engine) -> Vec<Input> {
        let mut random = 42u64;
        let mut tick = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = u32::try_from((random >> 33) % u64::from(self.securities)).unwrap();
            let cents = 9_000 + i128::from((random >> 20) % 2_000);
            price(engine, &symbol(at), Decimal::new(cents, 2), 1)
        };
        (0..BATCH).map(|_| tick()).collect()
    }
}

fn symbol(at: u32) -> String {
    format!("S{at}")
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

fn price(engine: &Engine, symbol: &str, price: Decimal, after: i64) -> Input {
    let origin = origin(after);
    engine
        .admit_price(symbol, price, None, origin, None, None)
        .unwrap()
}

fn exchange(engine: &Engine, (base, quote): (&str, &str), rate: &str, after: i64) -> Input {
    let pair = (currency(base), currency(quote));
    let rate = rate.parse().unwrap();
    engine
        .admit_rate(pair.0, pair.1, rate, origin(after))
        .unwrap()
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

/// Applies a batch and counts its levels.
fn apply(engine: &mut Engine, inputs: Vec<Input>, time: i64) -> usize {
    engine.apply(&Batch {
        first: engine.next_position(),
        time: Time::from_nanos(time),
        inputs,
    });
    let mut levels = 0;
    while let Some(output) = engine.poll_output() {
        assert!(!matches!(output, Output::Refused { .. }), "refused");
        levels += usize::from(matches!(black_box(output), Output::Level(_)));
    }
    levels
}

/// Milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64() * 1e3
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
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
