//! The body of a journal record: a batch's inputs as bytes, and back.
//!
//! Every input begins with a tag byte. Numbers are little-endian. Ticks are packed, since they are
//! nearly all of a journal; definitions are JSON, since people read them. A new kind of input gets
//! a new tag; a changed one too, so that old journals stay readable.
//!
//! | tag | input | fields |
//! |---|---|---|
//! | 1 | tick | security u32, price i64, origin, size (decimal), venue u32, kind u8; the last three by flag |
//! | 2 | rate | base 8 bytes, quote 8 bytes, mantissa i64, places u8, origin |
//! | 3 | define | by u32, length u32, JSON |
//! | 4 | label | length u32, text |
//! | 5 | boot | epoch u64 |
//! | 6 | operate | by u32, length u32, JSON |
//! | 7 | correct | by u32, length u32, JSON |
//! | 8 | restate | through u32, length u32, JSON |
//!
//! An origin is flags u8 (1 inc, 2 seq, 4 size, 8 venue, 16 a kind that is not a trade), ts i64, received i64, source u32, then
//! inc u64 and seq u64 where flagged. A decimal is mantissa i128, places u8.

use divisor_engine::{
    Batch, Currency, Decimal, Engine, Input, Kind, LabelId, Origin, PLACES_MAX, Rate, SecurityId,
    Tick, Time,
};

use crate::journal::{ReadError, Record, Records};

const TICK: u8 = 1;
const RATE: u8 = 2;
const DEFINE: u8 = 3;
const LABEL: u8 = 4;
const BOOT: u8 = 5;
const OPERATE: u8 = 6;
const CORRECT: u8 = 7;
const RESTATE: u8 = 8;

const HAS_INC: u8 = 1;
const HAS_SEQ: u8 = 2;
const HAS_SIZE: u8 = 4;
const HAS_VENUE: u8 = 8;
const HAS_KIND: u8 = 16;

/// A record whose checksum is right but whose body makes no sense: written by another version, or
/// a defect. The daemon refuses to go on rather than guess.
#[derive(Debug, thiserror::Error)]
#[error("read input {place} of the journal record at position {first}: {why}")]
pub struct RecordError {
    /// The record's first position.
    pub first: u64,
    /// Which input of it, counted from 0.
    pub place: u32,
    /// What does not fit.
    pub why: String,
}

/// Appends the inputs of a batch to `out`.
///
/// # Errors
/// When a definition cannot be written as JSON, which no definition that was read from JSON does.
pub fn encode(inputs: &[Input], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    for input in inputs {
        match input {
            Input::Tick(tick) => encode_tick(tick, out),
            Input::Rate(rate) => {
                out.push(RATE);
                out.extend_from_slice(&rate.base.to_bytes());
                out.extend_from_slice(&rate.quote.to_bytes());
                out.extend_from_slice(&rate.mantissa.to_le_bytes());
                out.push(rate.places);
                encode_origin(&rate.origin, 0, out);
            }
            Input::Define { by, definitions } => {
                out.push(DEFINE);
                out.extend_from_slice(&by.0.to_le_bytes());
                encode_bytes(&serde_json::to_vec(definitions)?, out);
            }
            Input::Operate { by, order } => {
                out.push(OPERATE);
                out.extend_from_slice(&by.0.to_le_bytes());
                encode_bytes(&serde_json::to_vec(order)?, out);
            }
            Input::Correct { by, stated } => {
                out.push(CORRECT);
                out.extend_from_slice(&by.0.to_le_bytes());
                encode_bytes(&serde_json::to_vec(stated)?, out);
            }
            Input::Restate { through, outcome } => {
                out.push(RESTATE);
                out.extend_from_slice(&through.to_le_bytes());
                encode_bytes(&serde_json::to_vec(outcome)?, out);
            }
            Input::Label(text) => {
                out.push(LABEL);
                encode_bytes(text.as_bytes(), out);
            }
            Input::Boot { epoch } => {
                out.push(BOOT);
                out.extend_from_slice(&epoch.to_le_bytes());
            }
        }
    }
    Ok(())
}

fn encode_tick(tick: &Tick, out: &mut Vec<u8>) {
    out.push(TICK);
    out.extend_from_slice(&tick.security.0.to_le_bytes());
    out.extend_from_slice(&tick.price.to_le_bytes());
    let size = if tick.size.is_some() { HAS_SIZE } else { 0 };
    let venue = if tick.venue.is_some() { HAS_VENUE } else { 0 };
    let kind = if tick.kind == Kind::Trade {
        0
    } else {
        HAS_KIND
    };
    encode_origin(&tick.origin, size | venue | kind, out);
    if let Some(size) = tick.size {
        out.extend_from_slice(&size.mantissa().to_le_bytes());
        out.push(size.places());
    }
    if let Some(venue) = tick.venue {
        out.extend_from_slice(&venue.0.to_le_bytes());
    }
    if kind != 0 {
        out.push(tick.kind.code());
    }
}

fn encode_origin(origin: &Origin, flags: u8, out: &mut Vec<u8>) {
    let inc = if origin.inc.is_some() { HAS_INC } else { 0 };
    let seq = if origin.seq.is_some() { HAS_SEQ } else { 0 };
    out.push(flags | inc | seq);
    out.extend_from_slice(&origin.ts.as_nanos().to_le_bytes());
    out.extend_from_slice(&origin.received.as_nanos().to_le_bytes());
    out.extend_from_slice(&origin.source.0.to_le_bytes());
    for number in [origin.inc, origin.seq].into_iter().flatten() {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    // A body is far below 4 GiB: a load is bounded by its own limit.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a record back into the batch it was.
///
/// # Errors
/// [`RecordError`] when the body is not what [`encode`] writes.
pub fn decode(record: &Record, batch: &mut Batch) -> Result<(), RecordError> {
    batch.first = record.first;
    batch.time = Time::from_nanos(record.time);
    batch.inputs.clear();
    let mut cursor = Cursor(&record.body);
    for place in 0..record.count {
        let input = cursor.input().map_err(|why| RecordError {
            first: record.first,
            place,
            why,
        })?;
        batch.inputs.push(input);
    }
    if cursor.0.is_empty() {
        return Ok(());
    }
    let why = format!("{} bytes follow the last input", cursor.0.len());
    Err(RecordError {
        first: record.first,
        place: record.count,
        why,
    })
}

/// Why a journal could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record makes no sense.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Applies a log's records to an engine that is where they begin, up to position `end` or to the
/// last one.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    mut engine: Engine,
    records: &mut impl Records,
    end: Option<u64>,
) -> Result<Engine, ReplayError> {
    let mut batch = Batch {
        first: 0,
        time: Time::MIN,
        inputs: Vec::new(),
    };
    while end.is_none_or(|end| engine.next_position() < end)
        && let Some(record) = records.next_record()?
    {
        decode(&record, &mut batch)?;
        engine.apply(&batch);
        while engine.poll_output().is_some() {}
    }
    Ok(engine)
}

/// What is left of a body.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn input(&mut self) -> Result<Input, String> {
        match self.byte()? {
            TICK => self.tick(),
            RATE => self.rate(),
            DEFINE => {
                let by = LabelId(u32::from_le_bytes(self.array()?));
                let definitions = serde_json::from_slice(self.bytes()?)
                    .map_err(|e| format!("definitions: {e}"))?;
                Ok(Input::Define { by, definitions })
            }
            OPERATE => {
                let by = LabelId(u32::from_le_bytes(self.array()?));
                let order =
                    serde_json::from_slice(self.bytes()?).map_err(|e| format!("order: {e}"))?;
                Ok(Input::Operate { by, order })
            }
            CORRECT => {
                let by = LabelId(u32::from_le_bytes(self.array()?));
                let stated = serde_json::from_slice(self.bytes()?)
                    .map_err(|e| format!("correction: {e}"))?;
                Ok(Input::Correct { by, stated })
            }
            RESTATE => {
                let through = u32::from_le_bytes(self.array()?);
                let outcome = serde_json::from_slice(self.bytes()?)
                    .map_err(|e| format!("outcome of a run: {e}"))?;
                Ok(Input::Restate { through, outcome })
            }
            LABEL => {
                let text = std::str::from_utf8(self.bytes()?).map_err(|e| e.to_string())?;
                Ok(Input::Label(text.into()))
            }
            BOOT => Ok(Input::Boot {
                epoch: u64::from_le_bytes(self.array()?),
            }),
            tag => Err(format!("unknown kind of input {tag}")),
        }
    }

    fn tick(&mut self) -> Result<Input, String> {
        let security = SecurityId(u32::from_le_bytes(self.array()?));
        let price = i64::from_le_bytes(self.array()?);
        let (origin, flags) = self.origin()?;
        let size = if flags & HAS_SIZE == 0 {
            None
        } else {
            let mantissa = i128::from_le_bytes(self.array()?);
            let places = self.byte()?;
            if places > PLACES_MAX {
                return Err(format!("a size with {places} places"));
            }
            Some(Decimal::new(mantissa, places))
        };
        let venue = if flags & HAS_VENUE == 0 {
            None
        } else {
            Some(LabelId(u32::from_le_bytes(self.array()?)))
        };
        let kind = if flags & HAS_KIND == 0 {
            Kind::Trade
        } else {
            let code = self.byte()?;
            Kind::of_code(code).ok_or_else(|| format!("a price of kind {code}"))?
        };
        Ok(Input::Tick(Tick {
            security,
            price,
            origin,
            size,
            venue,
            kind,
        }))
    }

    fn rate(&mut self) -> Result<Input, String> {
        let base = Currency::from_bytes(self.array()?).map_err(|e| e.to_string())?;
        let quote = Currency::from_bytes(self.array()?).map_err(|e| e.to_string())?;
        let mantissa = i64::from_le_bytes(self.array()?);
        let places = self.byte()?;
        if places > PLACES_MAX {
            return Err(format!("a rate with {places} places"));
        }
        let (origin, _) = self.origin()?;
        Ok(Input::Rate(Rate {
            base,
            quote,
            mantissa,
            places,
            origin,
        }))
    }

    fn origin(&mut self) -> Result<(Origin, u8), String> {
        let flags = self.byte()?;
        let ts = Time::from_nanos(i64::from_le_bytes(self.array()?));
        let received = Time::from_nanos(i64::from_le_bytes(self.array()?));
        let source = LabelId(u32::from_le_bytes(self.array()?));
        let mut number = |flag| -> Result<Option<u64>, String> {
            if flags & flag == 0 {
                Ok(None)
            } else {
                Ok(Some(u64::from_le_bytes(self.array()?)))
            }
        };
        let inc = number(HAS_INC)?;
        let seq = number(HAS_SEQ)?;
        Ok((
            Origin {
                ts,
                received,
                source,
                inc,
                seq,
            },
            flags,
        ))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (array, rest) = self
            .0
            .split_first_chunk()
            .ok_or("the record ends too early")?;
        self.0 = rest;
        Ok(*array)
    }

    fn bytes(&mut self) -> Result<&'a [u8], String> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self
            .0
            .split_at_checked(len)
            .ok_or("the record ends too early")?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use divisor_engine::definition::{Definitions, SecurityDefinition};
    use proptest::prelude::*;

    use super::*;

    fn origin() -> impl Strategy<Value = Origin> {
        let number = prop::option::of(any::<u64>());
        (
            any::<i64>(),
            any::<i64>(),
            any::<u32>(),
            number.clone(),
            number,
        )
            .prop_map(|(ts, received, source, inc, seq)| Origin {
                ts: Time::from_nanos(ts),
                received: Time::from_nanos(received),
                source: LabelId(source),
                inc,
                seq,
            })
    }

    fn input() -> impl Strategy<Value = Input> {
        let size = prop::option::of((any::<i128>(), 0..=PLACES_MAX));
        let venue = prop::option::of(any::<u32>());
        let usd = Currency::parse("USD").unwrap();
        let definitions = Definitions {
            securities: vec![SecurityDefinition::new("BRK.B", usd)],
            ..Definitions::default()
        };
        prop_oneof![
            (any::<u32>(), any::<i64>(), origin(), size, venue, 0..4usize).prop_map(
                |(security, price, origin, size, venue, kind)| Input::Tick(Tick {
                    security: SecurityId(security),
                    price,
                    origin,
                    size: size.map(|(m, p)| Decimal::new(m, p)),
                    venue: venue.map(LabelId),
                    kind: Kind::ALL[kind],
                })
            ),
            (any::<i64>(), 0..=18u8, origin()).prop_map(move |(mantissa, places, origin)| {
                let quote = Currency::parse("EURX1234").unwrap();
                Input::Rate(Rate {
                    base: usd,
                    quote,
                    mantissa,
                    places,
                    origin,
                })
            }),
            Just(Input::Define {
                by: LabelId(3),
                definitions: Box::new(definitions)
            }),
            any::<u64>().prop_map(|held| Input::Operate {
                by: LabelId(4),
                order: Box::new(divisor_engine::Order::Release { held }),
            }),
            ".{0,40}".prop_map(|text| Input::Label(text.into())),
            any::<u64>().prop_map(|epoch| Input::Boot { epoch }),
        ]
    }

    proptest! {
        #[test]
        fn reads_what_it_wrote(inputs in prop::collection::vec(input(), 0..20), cut in any::<prop::sample::Index>()) {
            let mut body = Vec::new();
            encode(&inputs, &mut body).unwrap();
            let count = u32::try_from(inputs.len()).unwrap();
            let record = Record { first: 7, count, time: 9, body: body.clone().into() };
            let mut batch = Batch::default();
            decode(&record, &mut batch).unwrap();
            prop_assert_eq!(&batch.inputs, &inputs);
            // A shorter or longer body is an error, never a panic or another batch.
            if !body.is_empty() {
                let short = body[..cut.index(body.len())].to_vec();
                let short = Record { body: short.into(), ..record.clone() };
                prop_assert!(decode(&short, &mut batch).is_err());
            }
            body.push(0);
            let long = Record { body: body.into(), ..record };
            prop_assert!(decode(&long, &mut batch).is_err());
        }

        #[test]
        fn garbage_is_an_error(body in prop::collection::vec(any::<u8>(), 1..80)) {
            let record = Record { first: 0, count: 3, time: 0, body: body.into() };
            let _ = decode(&record, &mut Batch::default());
        }
    }
}
