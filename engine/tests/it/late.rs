//! Late prices: a series that restates them is the one of prices that all came in time, and all
//! other series are as they would be without.

use std::collections::BTreeSet;

use divisor_engine::definition::Definitions;
use divisor_engine::{
    Edit, Input, Kind, LabelId, Level, Origin, Rate, Right, SecurityId, Tick, Time,
};

use super::corrections::{
    Both, HOUR, Line, Random, START, currency, nothing, origin, rest, seen, through_json, walk,
};

/// `CW` restates by its weighting and `TR` as its parent does, `SUM` and `ABOVE` because they say so;
/// `PW`, `KEPT` and `OVER`, which holds one that keeps, do not.
const DEFINITIONS: &str = r#"{
    "securities": [
        {"symbol": "A", "currency": "USD"}, {"symbol": "B", "currency": "USD"},
        {"symbol": "C", "currency": "EUR"}, {"symbol": "D", "currency": "EUR"}],
    "indexes": [
        {"code": "CW", "currency": "USD", "weighting": {"scheme": "constant_weight"},
         "base": {"value": "50"}, "basket": [{"symbol": "A", "weight": "0.3"},
            {"symbol": "C", "weight": "0.4"}, {"symbol": "D", "weight": "0.2"}],
         "dissemination": {"mode": "tick"}},
        {"code": "TR", "currency": "USD", "of": "CW", "variant": {"kind": "total_return"},
         "dissemination": {"mode": "tick"}},
        {"code": "SUM", "currency": "USD", "weighting": {"scheme": "fixed_units"},
         "base": {"divisor": "1"}, "basket": [{"symbol": "A", "units": "1"}, {"symbol": "B", "units": "2"}],
         "corrections": {"late_prices": "restate"}, "dissemination": {"mode": "tick"}},
        {"code": "ABOVE", "currency": "USD", "weighting": {"scheme": "fixed_weight", "reset": "daily"},
         "base": {"value": "100"}, "basket": [{"symbol": "indexes/CW", "weight": "0.5"},
            {"symbol": "B", "weight": "0.5"}], "corrections": {"late_prices": "restate"}},
        {"code": "PW", "currency": "USD", "weighting": {"scheme": "price"}, "base": {"value": "1000"},
         "basket": [{"symbol": "A"}, {"symbol": "B"}], "dissemination": {"mode": "tick"}},
        {"code": "KEPT", "currency": "EUR", "weighting": {"scheme": "constant_weight"},
         "base": {"value": "50"}, "basket": [{"symbol": "C", "weight": "0.3"}, {"symbol": "D", "weight": "0.2"}],
         "corrections": {"late_prices": "keep"}, "dissemination": {"mode": "tick"}},
        {"code": "OVER", "currency": "EUR", "weighting": {"scheme": "fixed_weight", "reset": "daily"},
         "base": {"value": "100"}, "basket": [{"symbol": "indexes/KEPT", "weight": "1"}],
         "corrections": {"late_prices": "restate"}}],
    "actions": [
        {"id": "cash", "ex_date": "2026-01-04", "type": "dividend", "symbol": "C", "amount": "1.5"}]}"#;

/// The indexes whose series are compared level by level; `ABOVE` counts by its state.
const RESTATING: [u32; 3] = [0, 1, 2];
const KEEPING: [u32; 3] = [4, 5, 6];

fn of(inputs: &mut Vec<Vec<Input>>, text: &str) {
    let definitions: Definitions = serde_json::from_str(text).unwrap();
    let definitions = Box::new(definitions);
    let by = LabelId(0);
    inputs.push(vec![nothing(), Input::Define { by, definitions }]);
}

/// Pieces of a history: prices and rates in the order of their times, each in a batch of its own.
/// A piece ends with one of each, which is never spoiled: what comes behind it is late.
fn history(random: &mut Random, pieces: u64) -> Vec<Vec<Vec<Input>>> {
    let mut number = 0;
    let mut ts = START;
    let mut all = Vec::new();
    for piece in 0..pieces {
        let mut inputs = Vec::new();
        if piece == 0 {
            of(&mut inputs, DEFINITIONS);
        }
        for place in 0..PIECE {
            let subject = match PIECE - place {
                left @ 1..=LAST => left - 1,
                _ if number == 0 => 4,
                _ => random.below(9) / 2,
            };
            number += 1;
            ts += 1 + i64::try_from(random.below(3)).unwrap() * HOUR;
            inputs.push(vec![input(subject, random, ts, number)]);
        }
        all.push(inputs);
    }
    all
}

/// Inputs of a piece, and how many of them end it.
const PIECE: u64 = 80;
const LAST: u64 = 5;

/// A price of one of four securities, or a rate.
fn input(subject: u64, random: &mut Random, ts: i64, number: u64) -> Input {
    let origin = origin(ts, number);
    let mantissa = 100_000 + i64::try_from(random.below(30_000)).unwrap();
    if subject == 4 {
        return Input::Rate(Rate {
            base: currency("EUR"),
            quote: currency("USD"),
            mantissa,
            places: 5,
            origin,
        });
    }
    Input::Tick(Tick {
        security: SecurityId(u32::try_from(subject).unwrap()),
        price: mantissa * 150,
        origin,
        size: None,
        venue: None,
        kind: Kind::Trade,
    })
}

/// The same input with another figure.
fn wrong(input: &Input, random: &mut Random) -> Input {
    let times = 1 + i64::try_from(random.below(900)).unwrap();
    let mut wrong = input.clone();
    let figure = match &mut wrong {
        Input::Tick(tick) => Some(&mut tick.price),
        Input::Rate(rate) => Some(&mut rate.mantissa),
        Input::Define { .. }
        | Input::Operate { .. }
        | Input::Correct { .. }
        | Input::Restate { .. }
        | Input::Label(_)
        | Input::Boot { .. } => None,
    };
    let figure = figure.unwrap();
    *figure = *figure * times / 300 + 1;
    wrong
}

/// The same input as another source sends it once more.
fn again(input: &Input, number: u64) -> Input {
    let mut input = input.clone();
    if let Input::Tick(Tick { origin, .. }) | Input::Rate(Rate { origin, .. }) = &mut input {
        (origin.source, origin.seq) = (LabelId(1), Some(number));
    }
    input
}

/// How inputs come late.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Another figure first, and the right one later for the same time.
    Wrong,
    /// Nothing at its time.
    Missing,
    /// Late, wrong once more, and then right.
    Twice,
}

/// Spoils some inputs of a piece of the history, and sends them behind it in another order.
fn spoil(piece: &[Vec<Input>], random: &mut Random, both: &mut Both) {
    let mut behind = Vec::new();
    let spoiled = piece.len() - LAST as usize;
    for (place, inputs) in piece.iter().enumerate() {
        let input = &inputs[0];
        let is_price = matches!(input, Input::Tick(_) | Input::Rate(_));
        if !is_price || place >= spoiled || random.below(9) != 0 {
            both.apply(inputs.clone(), inputs);
            continue;
        }
        let fault = [Fault::Wrong, Fault::Missing, Fault::Twice][random.below(3) as usize];
        let first = match fault {
            Fault::Wrong => wrong(input, random),
            Fault::Missing | Fault::Twice => nothing(),
        };
        both.apply(vec![first], inputs);
        if matches!(fault, Fault::Twice) {
            behind.push((0, wrong(input, random)));
        }
        behind.push((1 + random.below(1_000), input.clone()));
    }
    behind.sort_by_key(|(order, _)| *order);
    for (number, (_, input)) in behind.iter().enumerate() {
        let number = 1_000_000 + both.came.len() as u64 * 1_000 + number as u64;
        both.apply(vec![again(input, number)], &[nothing()]);
    }
}

fn of_index(levels: &[Level], index: u32, ends: &BTreeSet<u64>) -> Vec<super::corrections::Seen> {
    let of = levels.iter().filter(|level| level.index.0 == index);
    of.filter(|level| !ends.contains(&level.position))
        .map(seen)
        .collect()
}

fn check(seed: u64, begun_later: &mut usize, runs: &mut usize) {
    let mut random = Random(seed);
    let all = history(&mut random, 3);
    let mut both = Both::new();
    let mut never = Line::new();
    let mut ends = BTreeSet::new();
    let mut run = 0;
    for piece in &all {
        let from = both.came.len();
        spoil(piece, &mut random, &mut both);
        both.came[from..]
            .iter()
            .for_each(|inputs| never.apply(inputs));
        let ranges = both.live.engine.late().ranges().to_vec();
        if ranges.is_empty() {
            continue;
        }
        // What waits for its run survives a restart.
        let engine = &both.live.engine;
        assert_eq!(through_json(engine.late()), *engine.late());
        run += 1;
        *runs += 1;
        *begun_later += both.correct(run, Edit::Late { ranges });
        never.apply(&[nothing()]);
        never.apply(&[nothing()]);
        assert!(both.live.engine.late().is_empty(), "seed {seed}");
        ends.insert(both.live.engine.next_position() - 1);

        let engine = &both.live.engine;
        let left = serde_json::to_value(rest(engine, &both.should.engine)).unwrap();
        let left = left["indexes"].as_array().unwrap().iter();
        let left: Vec<u64> = left
            .map(|patched| patched["index"].as_u64().unwrap())
            .collect();
        assert!(left.iter().all(|id| *id >= 4), "seed {seed}: {left:?}");
        let (_, restated) = walk(&both.came, run, engine);
        for index in RESTATING {
            let right = of_index(&both.should.levels, index, &ends);
            let restated = of_index(&restated, index, &ends);
            assert_eq!(restated, right, "seed {seed}, run {run}: index {index}");
        }
        for index in KEEPING {
            let restated = of_index(&restated, index, &ends);
            let kept = of_index(&never.levels, index, &ends);
            assert_eq!(restated, kept, "seed {seed}, run {run}: index {index}");
        }
    }
    for index in KEEPING {
        let (live, kept) = (&both.live.levels, &never.levels);
        let (live, kept) = (of_index(live, index, &ends), of_index(kept, index, &ends));
        assert_eq!(live, kept, "seed {seed}: index {index} is kept");
        assert!(kept.len() > 40, "the test compares something");
    }
}

#[test]
fn late_prices_restate_what_says_so() {
    let (mut begun_later, mut runs) = (0, 0);
    for seed in 0..40 {
        check(seed, &mut begun_later, &mut runs);
    }
    assert!(runs > 80, "{runs}");
    assert!(begun_later > 20, "{begun_later}");
}

/// When a run is due: after silence, after the longest wait, or at once where they are many.
#[test]
fn late_prices_gather() {
    let mut line = Line::new();
    let mut inputs = Vec::new();
    of(&mut inputs, DEFINITIONS);
    line.apply(&inputs[0]);
    let (mut random, mut number) = (Random(1), 0);
    let mut tick = |ts: i64| {
        number += 1;
        input(0, &mut random, START + ts * HOUR, number)
    };
    let due = |line: &Line| line.engine.late().due(10, 25).map(Time::as_nanos);
    line.apply(&[tick(5)]);
    assert_eq!(due(&line), None, "nothing is late");
    line.apply(&[tick(4), tick(3)]);
    let first = line.engine.time().as_nanos();
    assert_eq!(line.engine.late().count(), 2);
    assert_eq!(due(&line), Some(first + 10), "silence");
    line.apply(&[tick(2)]);
    assert_eq!(due(&line), Some(first + 25), "the longest wait");
    for _ in 0..20_000 {
        line.apply(&[tick(2), nothing()]);
    }
    let last = line.engine.time().as_nanos();
    assert_eq!(line.engine.late().count(), 20_003);
    assert!(due(&line).is_some_and(|due| due <= last), "many");
}

/// A price of one day in the middle is said to be another one, several times.
struct Told {
    both: Both,
    run: u32,
    day: i64,
    place: u64,
}

impl Told {
    fn new(definitions: &str) -> Self {
        let mut inputs = Vec::new();
        of(&mut inputs, definitions);
        let mut both = Both::new();
        both.apply(inputs[0].clone(), &inputs[0]);
        for day in 0..6 {
            let tick = price(day, 10 + day);
            both.apply(vec![tick.clone()], &[tick]);
        }
        // The label and the definitions come first.
        let (day, place) = (3, 2 + 3);
        Self {
            both,
            run: 0,
            day,
            place,
        }
    }

    /// The level of the day after a correction.
    fn level(&mut self, edit: Edit) -> Option<i128> {
        self.run += 1;
        self.both.correct(self.run, edit);
        let (_, levels) = walk(&self.both.came, self.run, &self.both.live.engine);
        let ts = Time::from_nanos(START + self.day * 24 * HOUR);
        let of_day = levels.iter().rev().find(|level| level.ts == ts)?;
        Some(of_day.level.mantissa() / 100)
    }

    /// The same price once more, and the run that takes it in.
    fn late(&mut self, figure: i64) -> Edit {
        let tick = price(self.day, figure);
        self.both.apply(vec![tick], &[nothing()]);
        let ranges = self.both.live.engine.late().ranges().to_vec();
        Edit::Late { ranges }
    }

    fn stated(&self, figure: i64) -> Edit {
        Edit::Replace {
            position: self.place,
            right: Right::Price(figure * 1_000_000),
        }
    }
}

const SUM: &str = r#"{"securities": [{"symbol": "A", "currency": "USD"}],
    "indexes": [{"code": "SUM", "currency": "USD", "weighting": {"scheme": "fixed_units"},
        "base": {"divisor": "1"}, "basket": [{"symbol": "A", "units": "1"}],
        "corrections": {"late_prices": "restate"}, "dissemination": {"mode": "tick"}}]}"#;

fn price(day: i64, figure: i64) -> Input {
    let ts = Time::from_nanos(START + day * 24 * HOUR);
    Input::Tick(Tick {
        security: SecurityId(0),
        price: figure * 1_000_000,
        origin: Origin {
            ts,
            received: ts,
            source: LabelId(0),
            inc: None,
            seq: None,
        },
        size: None,
        venue: None,
        kind: Kind::Trade,
    })
}

/// Of all that is said of one price the last is right, whether it came or was stated.
#[test]
fn the_last_word_about_a_price_is_right() {
    let mut told = Told::new(SUM);
    let late = told.late(50);
    assert_eq!(told.level(late), Some(50), "it came again");
    let stated = told.stated(60);
    assert_eq!(told.level(stated), Some(60), "it was corrected");
    let late = told.late(70);
    assert_eq!(told.level(late), Some(70), "and came once more");
    assert_eq!(told.level(Edit::Withdraw { run: 3 }), Some(60));
    assert_eq!(told.level(Edit::Withdraw { run: 2 }), Some(50));
    assert_eq!(told.level(Edit::Withdraw { run: 1 }), Some(13), "as it was");
    assert_eq!(told.level(Edit::Withdraw { run: 4 }), Some(70));
    // The late price itself is corrected, and then never was.
    let position = told.both.live.engine.next_position();
    let late = told.late(80);
    assert_eq!(told.level(late), Some(80));
    let right = Right::Price(90_000_000);
    assert_eq!(told.level(Edit::Replace { position, right }), Some(90));
    let right = Right::Nothing;
    assert_eq!(told.level(Edit::Replace { position, right }), Some(70));
}

/// What a gate would have held is held, and what had come stays in its place until an operator looks.
#[test]
fn a_gate_holds_late_prices_too() {
    let gate = r#""gate": {"last": "15"}"#;
    let guarded = SUM.replace(
        r#""currency": "USD"}],"#,
        &format!(r#""currency": "USD", {gate}}}],"#),
    );
    assert_ne!(guarded, SUM);
    let mut told = Told::new(&guarded);
    let at = |told: &Told| told.both.live.engine.next_position();
    let position = at(&told);
    let late = told.late(60);
    assert_eq!(told.level(late), Some(13), "far away");
    let held =
        |told: &Told| -> Vec<u64> { told.both.live.engine.held().map(|(at, _)| at).collect() };
    assert_eq!(held(&told), [position]);
    let late = told.late(12);
    assert_eq!(told.level(late), Some(12), "near enough");
}
