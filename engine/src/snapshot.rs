//! The whole state as data: what a restart begins with instead of the first input.
//!
//! What can be derived (look-ups, the kernel's tables, time zones) is not in it and is built anew.
//! An engine that comes from a snapshot behaves like the one it was taken of, bit for bit.

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::life::Life;
use crate::period::Days;
use crate::{Engine, LabelId, SecurityId, period};

/// An engine on its way to or from storage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The form of the state. Another form is not read: the journal is replayed instead.
    form: u32,
    engine: Engine,
}

/// The form that this version writes and reads; rises with every change of the state's shape.
const FORM: u32 = 2;

/// Why a snapshot does not make an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Written by another version.
    #[error("the snapshot has form {found}, this version reads form {FORM}")]
    Form {
        /// The form it has.
        found: u32,
    },
    /// Its parts do not fit each other.
    #[error("the snapshot contradicts itself: {0}")]
    Contradiction(String),
}

impl Snapshot {
    /// The state of an engine whose outputs have been taken.
    #[must_use]
    pub fn of(engine: Engine) -> Self {
        Self { form: FORM, engine }
    }

    /// Builds what a snapshot leaves out.
    ///
    /// # Errors
    /// [`SnapshotError`], and never a panic: the data came from a file.
    pub fn into_engine(self) -> Result<Engine, SnapshotError> {
        if self.form != FORM {
            return Err(SnapshotError::Form { found: self.form });
        }
        let mut engine = self.engine;
        engine.derive()?;
        Ok(engine)
    }
}

impl Engine {
    /// Works out everything that follows from the state and is no part of it.
    pub(crate) fn derive(&mut self) -> Result<(), SnapshotError> {
        let engine = self;
        let wrong = |what: String| Err(SnapshotError::Contradiction(what));
        engine.symbols.clear();
        let living = (0u32..)
            .zip(&engine.securities)
            .filter(|(_, s)| s.life != Life::Deleted);
        for (id, security) in living {
            let symbol = security.definition.symbol.as_str().into();
            engine.symbols.insert(symbol, SecurityId(id));
        }
        for (id, text) in (0u32..).zip(&engine.labels) {
            engine.label_ids.insert(text.clone(), LabelId(id));
        }
        if !engine.has_all_names() {
            return wrong("it has other counts of indexes, codes and marks".to_owned());
        }
        for calendar in engine.calendars.values_mut() {
            match period::zone(&calendar.definition.zone) {
                Some(zone) => calendar.zone = zone,
                None => return wrong(format!("the time zone of {}", calendar.definition.name)),
            }
        }
        let securities = engine.securities.len();
        for index in &mut engine.indexes {
            let code = &index.definition.code;
            if !index.fits(securities) {
                return wrong(format!("the basket of {code}"));
            }
            match Days::new(&index.definition.day) {
                Ok(days) => index.days = days,
                Err(_) => return wrong(format!("the time zone of {code} is unknown")),
            }
            index.prepare();
        }
        if let Err(id) = engine.link_all() {
            return wrong(format!("index {} follows itself or nothing", id.0));
        }
        let count = engine.indexes.len();
        let in_range = |id: &crate::IndexId| id.at() < count;
        let hidden = engine
            .securities
            .iter()
            .filter_map(|s| s.component.as_ref());
        let stands_in = engine.indexes.iter().filter_map(|x| x.component);
        let fits = hidden.copied().all(|id| in_range(&id))
            && stands_in.into_iter().all(|id| id.at() < securities);
        if !fits || engine.ranks().is_none() {
            return wrong("indexes hold themselves or nothing".to_owned());
        }
        engine.lay_ranks();
        engine.kernel_is_stale = true;
        Ok(())
    }
}

impl Engine {
    /// Each index that is not deleted has its code, and each its mark.
    fn has_all_names(&self) -> bool {
        let count = self.indexes.len();
        let living = self.indexes.iter();
        let living = living.filter(|index| index.life != Life::Deleted).count();
        self.marks.len() == count
            && self.codes.len() == living
            && self.codes.values().all(|id| id.at() < count)
    }
}

impl Index {
    /// The parts of its basket fit each other and the securities.
    fn fits(&self, securities: usize) -> bool {
        let basket = &self.basket;
        let members = basket.holdings.len();
        let mut slots = basket.slots.iter();
        let mut holdings = basket.holdings.iter();
        basket.quantities.len() == members
            && basket.slots.len() == members
            && basket.rates.len() == basket.currencies.len()
            && self.divisor.is_none_or(crate::Decimal::is_positive)
            && basket.scale <= 2 * u32::from(crate::PLACES_MAX)
            && !basket.currencies.is_empty()
            && slots.all(|slot| *slot < basket.currencies.len())
            && holdings.all(|holding| holding.security.at() < securities)
    }
}

/// Maps whose keys are no texts, as lists of pairs.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Definitions;
    use crate::{Batch, Currency, Input, Origin, Output, Rate, Tick, Time};

    const DEFINITIONS: &str = r#"{
        "securities": [{"symbol": "A", "currency": "USD"}, {"symbol": "B", "currency": "EUR"}],
        "indexes": [
            {"code": "EQ", "currency": "USD", "weighting": {"scheme": "equal", "reset": "daily"},
             "base": {"value": "100"}, "basket": [{"symbol": "A"}, {"symbol": "B"}],
             "day": {"zone": "Asia/Tokyo"}, "dissemination": {"mode": "tick"}},
            {"code": "CW", "currency": "EUR", "weighting": {"scheme": "constant_weight"},
             "base": {"value": "50"}, "fx": {"pivot": "EUR"},
             "basket": [{"symbol": "A", "weight": "0.3"}, {"symbol": "B", "weight": "0.4"}]}],
        "revisions": [{"id": "later", "effective": "1970-01-01T00:02:00Z",
                       "indexes": [{"code": "EQ"}]}]}"#;

    fn origin(at: i64) -> Origin {
        let ts = Time::from_nanos(at * 3_600_000_000_000);
        let seq = Some(at.unsigned_abs());
        Origin {
            ts,
            received: ts,
            source: LabelId(0),
            inc: Some(1),
            seq,
        }
    }

    /// Hour by hour a price of each security and a rate, with repetitions.
    fn batches() -> Vec<Batch> {
        let definitions: Definitions = serde_json::from_str(DEFINITIONS).unwrap();
        let definitions = Definitions {
            revisions: Vec::new(),
            ..definitions
        };
        let mut inputs = vec![vec![
            Input::Label("test".into()),
            Input::Define {
                by: LabelId(0),
                definitions: Box::new(definitions),
            },
        ]];
        let (base, quote) = (
            Currency::parse("EUR").unwrap(),
            Currency::parse("USD").unwrap(),
        );
        for hour in 1..120i64 {
            let security = SecurityId(u32::from(hour % 2 == 0));
            let price = 10_000_000 + (hour * 7_919) % 1_000_000;
            let tick = Tick {
                security,
                price,
                origin: origin(hour),
                size: None,
                venue: None,
                kind: crate::Kind::Trade,
            };
            let mantissa = 108_000 + hour % 13;
            let rate = Rate {
                base,
                quote,
                mantissa,
                places: 5,
                origin: origin(1_000 + hour),
            };
            inputs.push(vec![
                Input::Tick(tick),
                Input::Rate(rate),
                Input::Tick(tick),
            ]);
        }
        let mut first = 0;
        let mut batches = Vec::new();
        for (at, inputs) in inputs.into_iter().enumerate() {
            let time = Time::from_nanos(i64::try_from(at).unwrap() * 1_000_000_000);
            let batch = Batch {
                first,
                time,
                inputs,
            };
            first = batch.next();
            batches.push(batch);
        }
        batches
    }

    fn outputs(engine: &mut Engine, batches: &[Batch]) -> Vec<Output> {
        batches.iter().for_each(|batch| engine.apply(batch));
        std::iter::from_fn(|| engine.poll_output()).collect()
    }

    #[test]
    fn goes_on_bit_for_bit() {
        let batches = batches();
        for cut in [0, 1, 2, 30, 77, batches.len()] {
            let mut whole = Engine::new();
            outputs(&mut whole, &batches[..cut]);
            let text = serde_json::to_string(&Snapshot::of(whole.clone())).unwrap();
            let read: Snapshot = serde_json::from_str(&text).unwrap();
            let mut resumed = read.into_engine().unwrap();
            let expected = outputs(&mut whole, &batches[cut..]);
            assert_eq!(
                outputs(&mut resumed, &batches[cut..]),
                expected,
                "cut at {cut}"
            );
            let levels = expected
                .iter()
                .filter(|o| matches!(o, Output::Level(_)))
                .count();
            assert!(cut > 77 || levels > 40, "the test compares something");
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut engine = Engine::new();
        outputs(&mut engine, &batches());
        let text = serde_json::to_string(&Snapshot::of(engine)).unwrap();
        let check = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            let damaged = text.replace(from, to);
            let read = serde_json::from_str::<Snapshot>(&damaged).map_err(|e| e.to_string());
            assert!(
                read.and_then(|s| s.into_engine().map_err(|e| e.to_string()))
                    .is_err(),
                "{to}: {}",
                damaged
                    .find(to)
                    .map_or("", |at| &damaged[at.saturating_sub(150)..at + 40])
            );
        };
        check("\"form\":2", "\"form\":1");
        check("Asia/Tokyo", "Asia/Nowhere");
        check("\"slots\":[0,1]", "\"slots\":[0,9]");
        check(
            "\"marks\":[",
            "\"marks\":[{\"ts\":0,\"touched\":false,\"newest\":0,\"behind\":0,\"is_quiet\":false,\"each_tick\":false},",
        );
        check("\"epoch\"", "\"epoche\"");
    }
}
