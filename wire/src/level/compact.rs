//! The compact form of a level: CBOR with integer keys, on `indexes/{code}/level/cbor` where the
//! configuration asks for it (docs/wire/divisor.cddl).
//!
//! Times are whole microseconds since 1970, which every client can hold exactly; what is finer
//! stands, in nanoseconds, under a key of its own and only where there is any.

use divisor_engine::{Decimal, Level, Time};
use minicbor::data::{IanaTag, Tag, Type};
use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

use super::{LevelMessage, change};
use crate::cbor;

/// The keys, in the order in which they are written.
mod key {
    pub(super) const V: u8 = 0;
    pub(super) const INDEX: u8 = 1;
    pub(super) const LEVEL: u8 = 2;
    pub(super) const CHG: u8 = 3;
    pub(super) const CHG_PCT: u8 = 4;
    pub(super) const PREV_CLOSE: u8 = 5;
    pub(super) const TS: u8 = 6;
    pub(super) const TS_CALC: u8 = 7;
    pub(super) const EPOCH: u8 = 8;
    pub(super) const SEQ: u8 = 9;
    pub(super) const POS: u8 = 10;
    pub(super) const REV: u8 = 11;
    pub(super) const STATUS: u8 = 12;
    pub(super) const STALE: u8 = 13;
    /// Nanoseconds 0 to 999 behind `ts`.
    pub(super) const TS_NANOS: u8 = 14;
    /// Nanoseconds 0 to 999 behind `ts_calc`.
    pub(super) const TS_CALC_NANOS: u8 = 15;
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// Writes the CBOR of a level: the same facts as [`super::encode`] in less than half of the bytes.
pub fn encode(out: &mut Vec<u8>, code: &str, level: &Level, epoch: u64) {
    // Writing to a Vec cannot fail.
    let _ = write(out, code, level, epoch);
}

fn write(out: &mut Vec<u8>, code: &str, level: &Level, epoch: u64) -> Written {
    let (ts, ts_nanos) = micros(level.ts);
    let (ts_calc, ts_calc_nanos) = micros(level.ts_calc);
    let change = change(level.level, level.prev_close);
    let decimals = [
        (key::LEVEL, Some(level.level)),
        (key::CHG, change.map(|(chg, _)| chg)),
        (key::CHG_PCT, change.map(|(_, percent)| percent)),
        (key::PREV_CLOSE, level.prev_close),
    ];
    let nanos = [
        (key::TS_NANOS, ts_nanos),
        (key::TS_CALC_NANOS, ts_calc_nanos),
    ];
    let present = decimals.iter().filter(|(_, value)| value.is_some()).count()
        + nanos.iter().filter(|(_, nanos)| *nanos != 0).count();
    let mut encoder = Encoder::new(out);
    encoder.map(10 + present as u64)?;
    encoder.u8(key::V)?.u8(1)?;
    encoder.u8(key::INDEX)?.str(code)?;
    for (key, value) in decimals {
        if let Some(value) = value {
            encoder.u8(key)?;
            cbor::write_decimal(&mut encoder, value)?;
        }
    }
    encoder.u8(key::TS)?.i64(ts)?;
    encoder.u8(key::TS_CALC)?.i64(ts_calc)?;
    encoder.u8(key::EPOCH)?.u64(epoch)?;
    encoder.u8(key::SEQ)?.u64(level.seq)?;
    encoder.u8(key::POS)?.u64(level.position)?;
    encoder.u8(key::REV)?.u32(level.revision)?;
    encoder.u8(key::STATUS)?.str(level.status.as_str())?;
    encoder.u8(key::STALE)?.u32(level.stale)?;
    for (key, nanos) in nanos {
        if nanos != 0 {
            encoder.u8(key)?.i64(nanos)?;
        }
    }
    Ok(())
}

fn micros(time: Time) -> (i64, i64) {
    let nanos = time.as_nanos();
    (nanos.div_euclid(1_000), nanos.rem_euclid(1_000))
}

/// Reads what [`encode`] writes, into the form that JSON has; unknown keys are passed over.
///
/// # Errors
/// When the bytes are no CBOR map, or a key is missing or of another type.
pub fn decode(payload: &[u8]) -> Result<LevelMessage, Error> {
    let mut decoder = Decoder::new(payload);
    let mut parts = Parts::default();
    let mut left = decoder.map()?;
    loop {
        match &mut left {
            Some(0) => break,
            Some(count) => *count -= 1,
            None if decoder.datatype()? == Type::Break => break,
            None => {}
        }
        parts.read(&mut decoder)?;
    }
    parts.finish()
}

/// The fields as they come.
#[derive(Default)]
struct Parts {
    v: Option<u8>,
    index: Option<String>,
    /// Level, change, change in percent, previous close.
    decimals: [Option<Decimal>; 4],
    /// `ts` and `ts_calc` in microseconds, then their nanoseconds.
    times: [Option<i64>; 4],
    /// Epoch, sequence number, position, revision, stale.
    counts: [Option<u64>; 5],
    status: Option<String>,
}

impl Parts {
    fn read(&mut self, decoder: &mut Decoder<'_>) -> Result<(), Error> {
        let Ok(key) = u8::try_from(decoder.int()?) else {
            return decoder.skip();
        };
        match key {
            key::V => self.v = Some(decoder.u8()?),
            key::INDEX => self.index = Some(decoder.str()?.to_owned()),
            key::LEVEL..=key::PREV_CLOSE => {
                if decoder.tag()? != Tag::from(IanaTag::Decimal) {
                    return Err(Error::message("a decimal fraction is expected"));
                }
                let slot = usize::from(key - key::LEVEL);
                self.decimals[slot] = cbor::decimal_fraction(decoder)?;
            }
            key::TS => self.times[0] = Some(decoder.i64()?),
            key::TS_CALC => self.times[1] = Some(decoder.i64()?),
            key::TS_NANOS => self.times[2] = Some(decoder.i64()?),
            key::TS_CALC_NANOS => self.times[3] = Some(decoder.i64()?),
            key::EPOCH => self.counts[0] = Some(decoder.u64()?),
            key::SEQ => self.counts[1] = Some(decoder.u64()?),
            key::POS => self.counts[2] = Some(decoder.u64()?),
            key::REV => self.counts[3] = Some(decoder.u64()?),
            key::STALE => self.counts[4] = Some(decoder.u64()?),
            key::STATUS => self.status = Some(decoder.str()?.to_owned()),
            _ => decoder.skip()?,
        }
        Ok(())
    }

    fn finish(self) -> Result<LevelMessage, Error> {
        let missing = || Error::message("a key of the level is missing");
        let [level, chg, chg_pct, prev_close] = self.decimals;
        let [epoch, seq, pos, rev, stale] = self.counts;
        let short = |count: Option<u64>| count.and_then(|n| u32::try_from(n).ok());
        let time = |micros: Option<i64>, nanos: Option<i64>| {
            let nanos = micros?
                .checked_mul(1_000)?
                .checked_add(nanos.unwrap_or(0))?;
            Some(Time::from_nanos(nanos).to_string())
        };
        Ok(LevelMessage {
            v: self.v.ok_or_else(missing)?,
            index: self.index.ok_or_else(missing)?,
            level: level.ok_or_else(missing)?,
            chg,
            chg_pct,
            prev_close,
            ts: time(self.times[0], self.times[2]).ok_or_else(missing)?,
            ts_calc: time(self.times[1], self.times[3]).ok_or_else(missing)?,
            epoch: epoch.ok_or_else(missing)?,
            seq: seq.ok_or_else(missing)?,
            pos: pos.ok_or_else(missing)?,
            rev: short(rev).ok_or_else(missing)?,
            status: self.status.ok_or_else(missing)?,
            stale: short(stale).ok_or_else(missing)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use divisor_engine::{IndexId, Status};
    use proptest::prelude::*;

    use super::*;

    fn level(mantissa: i64, places: u8, close: Option<i64>, ts: i64, ts_calc: i64) -> Level {
        Level {
            index: IndexId(0),
            seq: 99_120,
            level: Decimal::new(mantissa.into(), places),
            prev_close: close.map(|close| Decimal::new(close.into(), places)),
            ts: Time::from_nanos(ts),
            ts_calc: Time::from_nanos(ts_calc),
            position: u64::MAX,
            revision: 7,
            status: Status::Live,
            stale: 3,
        }
    }

    proptest! {
        /// Both forms say the same.
        #[test]
        fn agrees_with_json(
            mantissa in any::<i64>(),
            places in 0u8..=18,
            close in proptest::option::of(any::<i64>()),
            ts in any::<i64>(),
            ts_calc in any::<i64>(),
            code in "[!-~]{1,20}",
        ) {
            let level = level(mantissa, places, close, ts, ts_calc);
            let (mut json, mut compact) = (Vec::new(), Vec::new());
            super::super::encode(&mut json, &code, &level, 3);
            encode(&mut compact, &code, &level, 3);
            let expected: LevelMessage = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(decode(&compact).unwrap(), expected);
        }

        /// Whatever comes is read or refused.
        #[test]
        fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn is_less_than_half_of_json() {
        let level = level(
            3_913_153,
            2,
            Some(3_906_911),
            1_763_821_800_123_456_000,
            1_763_821_800_124_011_000,
        );
        let (mut json, mut compact) = (Vec::new(), Vec::new());
        super::super::encode(&mut json, "DOW30", &level, 3);
        encode(&mut compact, "DOW30", &level, 3);
        assert!(
            compact.len() * 2 < json.len(),
            "{} of {}",
            compact.len(),
            json.len()
        );
        assert!(cbor::is_cbor(&compact) && !cbor::is_cbor(&json));
    }

    #[test]
    fn what_is_missing_is_an_error() {
        for hex in [
            &[0xa0][..],
            &[0xa1, 0x00, 0x01],
            &[0x80],
            &[],
            &[0xbf, 0xff],
        ] {
            assert!(decode(hex).is_err(), "{hex:?}");
        }
    }
}
