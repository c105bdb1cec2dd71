//! A restated series equals one computed right from the start: random histories with something
//! wrong in them, corrected later, against the same histories without it.

use divisor_engine::{
    Batch, CorrectionState, Currency, Decimal, Edit, Edits, Engine, Input, Inserted, LabelId,
    Level, Origin, Outcome, Output, Patch, Rate, Right, SecurityId, Stated, Status, Tick, Time,
    Walk,
};

pub(crate) const HOUR: i64 = 3_600_000_000_000;
/// Thursday 2026-01-01.
pub(crate) const START: i64 = 1_767_225_600_000_000_000;

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
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

pub(crate) fn origin(ts: i64, number: u64) -> Origin {
    Origin {
        ts: Time::from_nanos(ts),
        received: Time::from_nanos(ts),
        source: LabelId(0),
        inc: Some(1),
        seq: Some(number),
    }
}

pub(crate) fn nothing() -> Input {
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

pub(crate) fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

/// Applies batches and gathers what a reader sees of the levels.
pub(crate) struct Line {
    pub(crate) engine: Engine,
    pub(crate) levels: Vec<Level>,
}

/// A level without the numbers of its publication.
pub(crate) type Seen = (u32, Decimal, Option<Decimal>, Time, Status, u32);

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::new(),
            levels: Vec::new(),
        }
    }

    fn batch_at(&self, first: u64, inputs: &[Input]) -> Batch {
        let at = i64::try_from(first).unwrap();
        Batch {
            first,
            time: Time::from_nanos(START + 60 * 24 * HOUR + at * 1_000_000_000),
            inputs: inputs.to_vec(),
        }
    }

    pub(crate) fn apply(&mut self, inputs: &[Input]) {
        let batch = self.batch_at(self.engine.next_position(), inputs);
        self.engine.apply(&batch);
        while let Some(output) = self.engine.poll_output() {
            self.gather(&output);
        }
    }

    fn gather(&mut self, output: &Output) {
        if let Output::Level(level) = output {
            self.levels.push(*level);
        } else {
            assert!(!matches!(output, Output::Refused { .. }), "{output:?}");
        }
    }

    fn seen(&self, from: usize) -> Vec<Seen> {
        self.levels[from..].iter().map(seen).collect()
    }
}

pub(crate) fn seen(l: &Level) -> Seen {
    (l.index.0, l.level, l.prev_close, l.ts, l.status, l.stale)
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

/// The inputs of a history that came late, by what edits say.
fn late(history: &[Vec<Input>], edits: &Edits) -> Vec<(u64, Input)> {
    let ranges: Vec<_> = edits.late().collect();
    let mut first = 0;
    let mut found = Vec::new();
    for inputs in history {
        for (position, input) in (first..).zip(inputs) {
            if ranges
                .iter()
                .any(|(from, until)| (*from..*until).contains(&position))
            {
                found.push((position, input.clone()));
            }
        }
        first += (inputs.len() as u64).max(1);
    }
    found
}

/// The corrected past and its levels, by a walk from a state on; none where that has gone too far.
pub(crate) fn walk_from(
    from: &Engine,
    history: &[Vec<Input>],
    through: u32,
    present: &Engine,
) -> Option<(Walk, Vec<Level>)> {
    let edits = present.corrections().edits_from(from, through)?;
    let late = late(history, &edits);
    let mut walk = Walk::new(from.clone(), edits, &late)?;
    let mut levels = Vec::new();
    let (mut first, mut line) = (0, Line::new());
    for inputs in history {
        let batch = line.batch_at(first, inputs);
        first = batch.next();
        if batch.first < from.next_position() {
            continue;
        }
        walk.apply(&batch);
        while let Some(output) = walk.poll_output() {
            line.gather(&output);
        }
    }
    levels.append(&mut line.levels);
    Some((walk, levels))
}

/// The same from the beginning.
pub(crate) fn walk(history: &[Vec<Input>], through: u32, present: &Engine) -> (Walk, Vec<Level>) {
    walk_from(&Engine::new(), history, through, present).unwrap()
}

/// What is still to be patched between a state and one that is right.
pub(crate) fn rest(is: &Engine, should: &Engine) -> Patch {
    let should = Walk::new(should.clone(), Edits::default(), &[]).unwrap();
    is.patch_to(&should).unwrap()
}

pub(crate) fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// The history as it came and was corrected, and the one that was right from the start.
pub(crate) struct Both {
    pub(crate) live: Line,
    pub(crate) should: Line,
    pub(crate) came: Vec<Vec<Input>>,
    /// States of the past that are kept to begin walks with.
    pub(crate) states: Vec<Engine>,
}

impl Both {
    pub(crate) fn new() -> Self {
        Self {
            live: Line::new(),
            should: Line::new(),
            came: Vec::new(),
            states: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, live: Vec<Input>, should: &[Input]) {
        self.live.apply(&live);
        if self.came.len().is_multiple_of(7) {
            self.states.push(self.live.engine.clone());
        }
        self.should.apply(should);
        self.came.push(live);
    }

    /// Corrects the past, as a run of this number. Says with how many of the states walks can begin.
    pub(crate) fn correct(&mut self, run: u32, edit: Edit) -> usize {
        let stated = Box::new(Stated {
            edit,
            what: String::new(),
            reason: "a test".to_owned(),
        });
        let by = LabelId(0);
        self.apply(vec![Input::Correct { by, stated }], &[nothing()]);
        let present = &self.live.engine;
        let (walked, levels) = walk(&self.came, run, present);
        let patch = present.patch_to(&walked).unwrap();
        let mut begun = 0;
        for state in &self.states {
            if let Some((from_there, later)) = walk_from(state, &self.came, run, present) {
                begun += 1;
                let at = state.next_position();
                assert_eq!(present.patch_to(&from_there).unwrap(), patch, "from {at}");
                assert!(ends_with(&levels, &later), "the levels from {at} on");
            }
        }
        let (patch, found) = (Box::new(patch), Vec::new());
        let outcome = Box::new(through_json(&Outcome::Restated { patch, found }));
        let through = run;
        self.apply(vec![Input::Restate { through, outcome }], &[nothing()]);
        begun
    }

    /// The state and the series are the right ones, and a walk from the beginning gives them again.
    fn compare(&self, run: u32, seed: u64) {
        let live = &self.live.engine;
        let state = &live.corrections().get(run).unwrap().state;
        assert!(
            matches!(state, CorrectionState::Restated { .. }),
            "seed {seed}: {state:?}"
        );
        let rest = rest(live, &self.should.engine);
        assert_eq!(rest, Patch::default(), "seed {seed}, run {run}: the states");
        let (again, restated) = walk(&self.came, run, live);
        let rest = live.patch_to(&again).unwrap();
        assert_eq!(rest, Patch::default(), "seed {seed}, run {run}: a walk");
        let right = &self.should.levels;
        assert_eq!(
            values(&restated, live),
            values(right, live),
            "seed {seed}, run {run}"
        );
    }
}

/// Corrects two faults one after the other, with trading before, between and behind.
fn check(seed: u64, faults: [Fault; 2], begun_later: &mut usize) {
    let mut random = Random(seed);
    let whole = history(&mut random, 120);
    let parts = [30 + random.below(20), 60 + random.below(20)].map(|n| usize::try_from(n).unwrap());
    let mut both = Both::new();
    let mut begun = 0;
    for (run, (fault, end)) in (1u32..).zip(faults.into_iter().zip(parts)) {
        let (wrong, right, edit) = spoil(&whole[begun..end], fault, &mut random);
        let shift = both.live.engine.next_position();
        for (wrong, right) in wrong.into_iter().zip(&right) {
            both.apply(wrong, right);
        }
        begun = end;
        *begun_later += both.correct(run, shifted(edit, shift));
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

/// The last levels are these, but for the numbers of their publication.
fn ends_with(all: &[Level], last: &[Level]) -> bool {
    let of = |index: u32, levels: &[Level]| -> Vec<Seen> {
        let levels = levels.iter().filter(|level| level.index.0 == index);
        levels.map(seen).collect()
    };
    let indexes = all.iter().map(|level| level.index.0).max().unwrap_or(0);
    (0..=indexes).all(|index| of(index, all).ends_with(&of(index, last)))
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
        other @ (Edit::Withdraw { .. } | Edit::Late { .. }) => other,
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
    let mut begun_later = 0;
    for seed in 0..12 {
        for faults in [
            [Wrong, Wrong],
            [Missing, Extra],
            [Extra, Wrong],
            [Wrong, Missing],
        ] {
            check(seed, faults, &mut begun_later);
        }
    }
    assert!(
        begun_later > 100,
        "walks begin with states of the past: {begun_later}"
    );
}
