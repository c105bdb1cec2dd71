//! A restated series equals one computed right from the start: random histories with something
//! wrong in them, corrected later, against the same histories without it.

use divisor_engine::{
    Batch, CorrectionState, Currency, Decimal, Edit, Engine, Input, Inserted, LabelId, Level,
    Origin, Outcome, Output, Patch, Rate, Right, SecurityId, Stated, Status, Tick, Time,
};

const HOUR: i64 = 3_600_000_000_000;
/// Thursday 2026-01-01.
const START: i64 = 1_767_225_600_000_000_000;

/// One index of each weighting that keeps something of the past, over two currencies, and variants.
const DEFINITIONS: &str = r#"{
    "securities": [
        {"symbol": "A", "currency": "USD"}, {"symbol": "B", "currency": "USD"},
        {"symbol": "C", "currency": "EUR"}, {"symbol": "D", "currency": "EUR"}],
    "indexes": [
        {"code": "PW", "currency": "USD", "weighting": {"scheme": "price"}, "base": {"value": "1000"},
         "basket": [{"symbol": "A"}, {"symbol": "B"}], "dissemination": {"mode": "tick"}},
        {"code": "MC", "currency": "USD", "weighting": {"scheme": "market_cap"},
         "base": {"value": "100"}, "basket": [{"symbol": "A", "shares": "1000"},
            {"symbol": "B", "shares": "2500"}, {"symbol": "C", "shares": "400"}]},
        {"code": "CW", "currency": "EUR", "weighting": {"scheme": "constant_weight"},
         "base": {"value": "50"}, "basket": [{"symbol": "A", "weight": "0.3"},
            {"symbol": "C", "weight": "0.4"}, {"symbol": "D", "weight": "0.2"}]},
        {"code": "EQ", "currency": "USD", "weighting": {"scheme": "equal", "reset": "daily"},
         "base": {"value": "100"}, "basket": [{"symbol": "A"}, {"symbol": "B"}, {"symbol": "D"}]},
        {"code": "TR", "currency": "USD", "of": "MC",
         "variant": {"kind": "total_return"}},
        {"code": "OF", "currency": "USD", "weighting": {"scheme": "fixed_weight", "reset": "weekly"},
         "base": {"value": "100"}, "basket": [{"symbol": "indexes/PW", "weight": "0.5"},
            {"symbol": "B", "weight": "0.5"}]}],
    "actions": [
        {"id": "split", "ex_date": "2026-01-03", "type": "split", "symbol": "A", "from": 1, "to": 2},
        {"id": "cash", "ex_date": "2026-01-04", "type": "dividend", "symbol": "B", "amount": "1.5"},
        {"id": "extra", "ex_date": "2026-01-05", "type": "dividend", "symbol": "C", "amount": "3",
         "kind": "special"}]}"#;

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

fn origin(ts: i64, number: u64) -> Origin {
    Origin {
        ts: Time::from_nanos(ts),
        received: Time::from_nanos(ts),
        source: LabelId(0),
        inc: Some(1),
        seq: Some(number),
    }
}

fn nothing() -> Input {
    Input::Label("feed".into())
}

/// Some days of prices and rates, several to a batch.
fn history(random: &mut Random, batches: usize) -> Vec<Vec<Input>> {
    let definitions = serde_json::from_str(DEFINITIONS).unwrap();
    let mut all = vec![vec![
        nothing(),
        Input::Define {
            by: LabelId(0),
            definitions: Box::new(definitions),
        },
    ]];
    let (mut ts, mut number) = (START, 0);
    for _ in 0..batches {
        let inputs = (0..random.below(5)).map(|_| {
            ts += 1 + i64::try_from(random.below(3)).unwrap() * HOUR / 2;
            number += 1;
            if random.below(8) == 0 {
                let mantissa = 100_000 + i64::try_from(random.below(30_000)).unwrap();
                let (base, quote) = (currency("EUR"), currency("USD"));
                return Input::Rate(Rate {
                    base,
                    quote,
                    mantissa,
                    places: 5,
                    origin: origin(ts, number),
                });
            }
            Input::Tick(Tick {
                security: SecurityId(u32::try_from(random.below(4)).unwrap()),
                price: price(random),
                origin: origin(ts, number),
                size: None,
                venue: None,
                kind: divisor_engine::Kind::Trade,
            })
        });
        all.push(inputs.collect());
    }
    all
}

/// 15 to 25 with six places, and now and then far away.
fn price(random: &mut Random) -> i64 {
    let price = 15_000_000 + i64::try_from(random.below(10_000_000)).unwrap();
    if random.below(20) == 0 {
        price * 7
    } else {
        price
    }
}

fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

/// Applies batches and gathers what a reader sees of the levels.
struct Line {
    engine: Engine,
    levels: Vec<Level>,
}

/// A level without the numbers of its publication.
type Seen = (u32, Decimal, Option<Decimal>, Time, Status, u32);

impl Line {
    fn new() -> Self {
        Self {
            engine: Engine::new(),
            levels: Vec::new(),
        }
    }

    fn batch(&self, inputs: &[Input]) -> Batch {
        let first = self.engine.next_position();
        let at = i64::try_from(first).unwrap();
        Batch {
            first,
            time: Time::from_nanos(START + 60 * 24 * HOUR + at * 1_000_000_000),
            inputs: inputs.to_vec(),
        }
    }

    fn apply(&mut self, inputs: &[Input]) {
        let batch = self.batch(inputs);
        self.engine.apply(&batch);
        self.gather();
    }

    fn gather(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            if let Output::Level(level) = output {
                self.levels.push(level);
            } else {
                assert!(!matches!(output, Output::Refused { .. }), "{output:?}");
            }
        }
    }

    fn seen(&self, from: usize) -> Vec<Seen> {
        let seen = |l: &Level| (l.index.0, l.level, l.prev_close, l.ts, l.status, l.stale);
        self.levels[from..].iter().map(seen).collect()
    }
}

/// What is wrong: a price or rate, one that never was, one that is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Wrong,
    Extra,
    Missing,
}

/// The history as it came, and what corrects it.
fn spoil(
    right: &[Vec<Input>],
    fault: Fault,
    random: &mut Random,
) -> (Vec<Vec<Input>>, Vec<Vec<Input>>, Edit) {
    let mut places = Vec::new();
    let mut position = 0u64;
    for (at, inputs) in right.iter().enumerate() {
        for (n, input) in inputs.iter().enumerate() {
            if matches!(input, Input::Tick(_) | Input::Rate(_)) {
                places.push((at, n, position + n as u64));
            }
        }
        position += (inputs.len() as u64).max(1);
    }
    let (at, n, position) = places[usize::try_from(random.below(places.len() as u64)).unwrap()];
    let (mut right, mut wrong) = (right.to_vec(), right.to_vec());
    let good = right[at][n].clone();
    let edit = match (fault, good) {
        (Fault::Wrong, Input::Tick(tick)) => {
            wrong[at][n] = Input::Tick(Tick {
                price: price(random),
                ..tick
            });
            Edit::Replace {
                position,
                right: Right::Price(tick.price),
            }
        }
        (Fault::Wrong, Input::Rate(rate)) => {
            wrong[at][n] = Input::Rate(Rate {
                mantissa: rate.mantissa * 2,
                ..rate
            });
            let Rate {
                mantissa, places, ..
            } = rate;
            Edit::Replace {
                position,
                right: Right::Rate { mantissa, places },
            }
        }
        (Fault::Extra, _) => {
            right[at][n] = nothing();
            Edit::Replace {
                position,
                right: Right::Nothing,
            }
        }
        (Fault::Missing, Input::Tick(tick)) => {
            wrong[at][n] = nothing();
            let (before, input) = (position, Inserted::Tick(tick));
            Edit::Insert { before, input }
        }
        (Fault::Missing, Input::Rate(rate)) => {
            wrong[at][n] = nothing();
            let (before, input) = (position, Inserted::Rate(rate));
            Edit::Insert { before, input }
        }
        (fault, input) => panic!("{fault:?} of {input:?}"),
    };
    (wrong, right, edit)
}

/// The corrected state and its levels, by a walk from the beginning.
fn walk(history: &[Vec<Input>], through: u32, present: &Engine) -> Line {
    let edits = present.corrections().edits(through);
    let mut line = Line::new();
    for inputs in history {
        let batch = line.batch(inputs);
        line.engine.apply_edited(&batch, &edits);
        line.gather();
    }
    line
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// The history as it came and was corrected, and the one that was right from the start.
struct Both {
    live: Line,
    should: Line,
    came: Vec<Vec<Input>>,
}

impl Both {
    fn apply(&mut self, live: Vec<Input>, should: &[Input]) {
        self.live.apply(&live);
        self.should.apply(should);
        self.came.push(live);
    }

    /// Corrects the past, as a run of this number.
    fn correct(&mut self, run: u32, edit: Edit) {
        let stated = Box::new(Stated {
            edit,
            what: String::new(),
            reason: "a test".to_owned(),
        });
        let by = LabelId(0);
        self.apply(vec![Input::Correct { by, stated }], &[nothing()]);
        let walked = walk(&self.came, run, &self.live.engine);
        let patch = Box::new(self.live.engine.patch_to(&walked.engine).unwrap());
        let found = Vec::new();
        let outcome = through_json(&Outcome::Restated { patch, found });
        let outcome = Box::new(outcome);
        let through = run;
        self.apply(vec![Input::Restate { through, outcome }], &[nothing()]);
    }

    /// The state and the series are the right ones, and a walk from the beginning gives them again.
    fn compare(&self, run: u32, seed: u64) {
        let live = &self.live.engine;
        let state = &live.corrections().get(run).unwrap().state;
        assert!(
            matches!(state, CorrectionState::Restated { .. }),
            "seed {seed}: {state:?}"
        );
        let rest = live.patch_to(&self.should.engine).unwrap();
        assert_eq!(rest, Patch::default(), "seed {seed}, run {run}: the states");
        let again = walk(&self.came, run, live);
        let rest = live.patch_to(&again.engine).unwrap();
        assert_eq!(rest, Patch::default(), "seed {seed}, run {run}: a walk");
        let (restated, right) = (&again.levels, &self.should.levels);
        assert_eq!(
            values(restated, live),
            values(right, live),
            "seed {seed}, run {run}"
        );
    }
}

/// Corrects two faults one after the other, with trading before, between and behind.
fn check(seed: u64, faults: [Fault; 2]) {
    let mut random = Random(seed);
    let whole = history(&mut random, 120);
    let parts = [30 + random.below(20), 60 + random.below(20)].map(|n| usize::try_from(n).unwrap());
    let mut both = Both {
        live: Line::new(),
        should: Line::new(),
        came: Vec::new(),
    };
    let mut begun = 0;
    for (run, (fault, end)) in (1u32..).zip(faults.into_iter().zip(parts)) {
        let (wrong, right, edit) = spoil(&whole[begun..end], fault, &mut random);
        let shift = both.live.engine.next_position();
        for (wrong, right) in wrong.into_iter().zip(&right) {
            both.apply(wrong, right);
        }
        begun = end;
        both.correct(run, shifted(edit, shift));
        both.compare(run, seed);
    }
    let (from_live, from_should) = (both.live.levels.len(), both.should.levels.len());
    for inputs in &whole[begun..] {
        both.apply(inputs.clone(), inputs);
    }
    let (live, should) = (both.live.seen(from_live), both.should.seen(from_should));
    assert_eq!(live, should, "seed {seed}: later levels differ");
    assert!(live.len() > 20, "seed {seed}: the test compares something");
    contiguous(&both.live.levels, seed);
}

/// The levels of an input or batch; those of a run's end are news of the same state.
fn values(levels: &[Level], engine: &Engine) -> Vec<Seen> {
    let ends: Vec<u64> = engine
        .corrections()
        .all()
        .iter()
        .filter_map(|c| match c.state {
            CorrectionState::Restated { position, .. } => Some(position),
            CorrectionState::Open | CorrectionState::Failed { .. } => None,
        })
        .collect();
    let seen = |l: &Level| (l.index.0, l.level, l.prev_close, l.ts, l.status, l.stale);
    levels
        .iter()
        .filter(|l| !ends.contains(&l.position))
        .map(seen)
        .collect()
}

fn shifted(edit: Edit, by: u64) -> Edit {
    match edit {
        Edit::Replace { position, right } => Edit::Replace {
            position: position + by,
            right,
        },
        Edit::Insert { before, input } => Edit::Insert {
            before: before + by,
            input,
        },
        Edit::Withdraw { run } => Edit::Withdraw { run },
    }
}

fn contiguous(levels: &[Level], seed: u64) {
    let mut last = std::collections::BTreeMap::new();
    for level in levels {
        let before = last.insert(level.index, level.seq).unwrap_or(0);
        assert_eq!(level.seq, before + 1, "seed {seed}: {level:?}");
    }
}

#[test]
fn a_restated_series_is_the_right_one() {
    use Fault::{Extra, Missing, Wrong};
    for seed in 0..12 {
        for faults in [
            [Wrong, Wrong],
            [Missing, Extra],
            [Extra, Wrong],
            [Wrong, Missing],
        ] {
            check(seed, faults);
        }
    }
}
