//! An engine with a hand on the sequence: positions, times and identities are filled in.

use divisor_engine::definition::Definitions;
use divisor_engine::{
    Batch, Currency, Decimal, Effect, Engine, IndexView, Input, LabelId, Level, Origin, Output,
    Revised, Time,
};

/// Batches are stamped with this time and one nanosecond more each, so that ticks of any past
/// day are accepted.
const NOW: i64 = 1_800_000_000_000_000_000;

/// An engine, and everything it has said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) outputs: Vec<Output>,
    batches: i64,
}

impl World {
    /// A world with these definitions.
    pub(crate) fn with(definitions: &str) -> Self {
        let mut world = Self::default();
        world.load(definitions);
        world
    }

    /// Loads definitions that must be accepted.
    pub(crate) fn load(&mut self, json: &str) {
        let definitions: Definitions = serde_json::from_str(json).unwrap();
        self.define(definitions);
    }

    /// As [`Self::load`], for definitions that were built.
    pub(crate) fn define(&mut self, definitions: Definitions) {
        if let Err(errors) = self.engine.plan(&definitions) {
            panic!("refused: {errors:?}");
        }
        self.apply(vec![Input::Define {
            by: LabelId(0),
            definitions: Box::new(definitions),
        }]);
    }

    /// Why definitions are refused: one line for each reason.
    pub(crate) fn refusal(&self, json: &str) -> String {
        let definitions: Definitions = serde_json::from_str(json).unwrap();
        match self.engine.plan(&definitions) {
            Ok((plan, _)) => panic!("accepted: {plan:?}"),
            Err(errors) => {
                let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
                lines.join("\n")
            }
        }
    }

    /// Applies inputs as one batch.
    pub(crate) fn apply(&mut self, inputs: Vec<Input>) {
        self.apply_at(Time::from_nanos(NOW + self.batches), inputs);
    }

    /// Lets a second pass, and what is due by then happen; then another one for the levels at
    /// intervals that waited for those below them.
    pub(crate) fn pass_second(&mut self) {
        self.batches += 1_000_000_000;
        self.apply(Vec::new());
        let until = Time::from_nanos(NOW + self.batches + 1_000_000_000);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due < until) {
            self.batches = self.batches.max(due.as_nanos() - NOW);
            self.apply(Vec::new());
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|next| next > due), "a timer stands still");
        }
    }

    /// Applies inputs as one batch of a given time.
    pub(crate) fn apply_at(&mut self, time: Time, inputs: Vec<Input>) {
        self.batches += 1;
        let first = self.engine.next_position();
        self.engine.apply(&Batch {
            first,
            time,
            inputs,
        });
        while let Some(output) = self.engine.poll_output() {
            self.outputs.push(output);
        }
    }

    /// A price that must be admitted, not yet applied.
    pub(crate) fn price(&self, symbol: &str, price: &str, ts: &str) -> Input {
        self.engine
            .admit_price(symbol, decimal(price), None, origin(ts), None, None)
            .unwrap()
    }

    /// A rate that must be admitted, not yet applied.
    pub(crate) fn rate(&self, base: &str, quote: &str, rate: &str, ts: &str) -> Input {
        self.engine
            .admit_rate(currency(base), currency(quote), decimal(rate), origin(ts))
            .unwrap()
    }

    /// Applies `symbol price` pairs of one moment as one batch.
    pub(crate) fn ticks(&mut self, ts: &str, prices: &[(&str, &str)]) {
        let inputs = prices.iter().map(|(s, p)| self.price(s, p, ts)).collect();
        self.apply(inputs);
    }

    pub(crate) fn index(&self, code: &str) -> IndexView<'_> {
        let id = self.engine.index_id(code).unwrap();
        self.engine.index(id).unwrap()
    }

    /// The last level of an index as text, `-` without one.
    pub(crate) fn level(&self, code: &str) -> String {
        let level = self.index(code).level;
        level.map_or_else(|| "-".to_owned(), |l| l.level.to_string())
    }

    /// The divisor of an index as text, without trailing zeros.
    pub(crate) fn divisor(&self, code: &str) -> String {
        let divisor = self.index(code).divisor;
        divisor.map_or_else(|| "-".to_owned(), |d| d.normalized().to_string())
    }

    /// All levels of an index so far.
    pub(crate) fn levels(&self, code: &str) -> Vec<Level> {
        let id = self.engine.index_id(code).unwrap();
        let mut levels = Vec::new();
        for output in &self.outputs {
            if let Output::Level(level) = output
                && level.index == id
            {
                levels.push(*level);
            }
        }
        levels
    }

    /// All levels of an index so far as text.
    pub(crate) fn level_texts(&self, code: &str) -> Vec<String> {
        let levels = self.levels(code);
        levels.iter().map(|l| l.level.to_string()).collect()
    }

    /// All revisions of an index so far.
    pub(crate) fn revisions(&self, code: &str) -> Vec<Revised> {
        let id = self.engine.index_id(code).unwrap();
        let mut revisions = Vec::new();
        for output in &self.outputs {
            if let Output::Revised(revised) = output
                && revised.index == id
            {
                revisions.push(revised.clone());
            }
        }
        revisions
    }

    /// What became of the last tick.
    pub(crate) fn last_effect(&self) -> Effect {
        let of = |output: &Output| {
            if let Output::Tick { effect, .. } = output {
                Some(*effect)
            } else {
                None
            }
        };
        self.outputs.iter().rev().find_map(of).unwrap()
    }
}

/// Securities A and B in USD, then one index `X` with the given fields besides code and currency.
pub(crate) fn world(index: &str) -> World {
    World::with(&format!(
        r#"{{"securities":[{{"symbol":"A","currency":"USD"}},{{"symbol":"B","currency":"USD"}}],
            "indexes":[{{"code":"X","currency":"USD",{index}}}]}}"#
    ))
}

/// Equal numbers of A and B, 100 at first.
pub(crate) const PRICE_INDEX: &str = r#""weighting":{"scheme":"price"},"base":{"value":"100"},
    "basket":[{"symbol":"A"},{"symbol":"B"}]"#;

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

/// A time: RFC 3339, or a date for the evening of that day in UTC.
pub(crate) fn time(text: &str) -> Time {
    let text = if text.len() == 10 {
        format!("{text}T21:00:00Z")
    } else {
        text.to_owned()
    };
    let stamp: jiff::Timestamp = text.parse().unwrap();
    Time::from_nanos(stamp.as_nanosecond().try_into().unwrap())
}

/// An origin without an identity.
pub(crate) fn origin(ts: &str) -> Origin {
    Origin {
        ts: time(ts),
        received: time(ts),
        source: LabelId(0),
        inc: None,
        seq: None,
    }
}
