//! The fields of a tick and their rules, shared by both readers.

use divisor_engine::{Decimal, Kind, Time};

use super::{Tick, when};
use crate::Reason;

/// The longest `src`, `ccy` or `venue` in bytes; these texts end up in every row of the store.
const TEXT_BYTES_MAX: usize = 64;

/// A JSON or CBOR value as far as a tick cares.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    /// A text without its quotes and escapes.
    Text(&'a str),
    /// The literal of a number.
    Number(&'a str),
    /// A number that came as one: a CBOR integer or decimal fraction.
    Decimal(Decimal),
    /// The same as leaving the field out.
    Null,
    /// True, false, an object or an array: right for no field.
    Other,
}

/// The fields read so far, and the first thing that was wrong with them.
#[derive(Debug, Default)]
pub(super) struct Fields {
    seen: u16,
    wrong: Option<Reason>,
    price: Option<Decimal>,
    ts: Option<Time>,
    src: Option<Box<str>>,
    inc: Option<u64>,
    seq: Option<u64>,
    size: Option<Decimal>,
    ccy: Option<Box<str>>,
    venue: Option<Box<str>>,
    kind: Kind,
}

impl Fields {
    /// Takes one field; unknown names are ignored, a known name may come once.
    pub(super) fn set(&mut self, key: &str, value: Value<'_>) {
        let bit = match key {
            "price" => 1,
            "ts" => 1 << 1,
            "src" => 1 << 2,
            "inc" => 1 << 3,
            "seq" => 1 << 4,
            "size" => 1 << 5,
            "ccy" => 1 << 6,
            "venue" => 1 << 7,
            "type" => 1 << 8,
            _ => return,
        };
        let result = if self.seen & bit != 0 {
            Err(Reason::BadField)
        } else {
            self.seen |= bit;
            self.read(key, value)
        };
        if let Err(reason) = result {
            self.wrong.get_or_insert(reason);
        }
    }

    fn read(&mut self, key: &str, value: Value<'_>) -> Result<(), Reason> {
        if matches!(value, Value::Null) {
            return Ok(());
        }
        match key {
            "price" => self.price = Some(decimal(value).ok_or(Reason::BadPrice)?),
            "ts" => self.ts = Some(time(value).ok_or(Reason::BadTimestamp)?),
            "src" => self.src = Some(text(value).ok_or(Reason::BadField)?),
            "inc" => self.inc = Some(whole(value).ok_or(Reason::BadField)?),
            "seq" => self.seq = Some(whole(value).ok_or(Reason::BadField)?),
            "size" => {
                let size = decimal(value).filter(|size| size.mantissa() >= 0);
                self.size = Some(size.ok_or(Reason::BadField)?);
            }
            "ccy" => self.ccy = Some(text(value).ok_or(Reason::BadField)?),
            // Feeds have names of their own for what is a trade to us.
            "type" => self.kind = kind(value).ok_or(Reason::BadField)?,
            _ => self.venue = Some(text(value).ok_or(Reason::BadField)?),
        }
        Ok(())
    }

    /// The tick, or the first thing that was wrong with it.
    pub(super) fn finish(self) -> Result<Tick, Reason> {
        if let Some(reason) = self.wrong {
            return Err(reason);
        }
        let tick = bare(self.price.ok_or(Reason::BadPrice)?)?;
        Ok(Tick {
            ts: self.ts,
            src: self.src,
            inc: self.inc,
            seq: self.seq,
            size: self.size,
            ccy: self.ccy,
            venue: self.venue,
            kind: self.kind,
            ..tick
        })
    }
}

/// A tick that says nothing but its price.
pub(super) fn bare(price: Decimal) -> Result<Tick, Reason> {
    if price.is_positive() {
        Ok(Tick {
            price,
            ts: None,
            src: None,
            inc: None,
            seq: None,
            size: None,
            ccy: None,
            venue: None,
            kind: Kind::Trade,
        })
    } else {
        Err(Reason::PriceNotPositive)
    }
}

/// A tick from an element of an array that is not an object.
pub(super) fn element(value: Value<'_>) -> Result<Tick, Reason> {
    match value {
        Value::Text(_) | Value::Number(_) | Value::Decimal(_) => {
            bare(decimal(value).ok_or(Reason::BadPrice)?)
        }
        Value::Null | Value::Other => Err(Reason::Malformed),
    }
}

fn decimal(value: Value<'_>) -> Option<Decimal> {
    match value {
        Value::Text(literal) | Value::Number(literal) => {
            short_decimal(literal.as_bytes()).or_else(|| Decimal::parse(literal.as_bytes()).ok())
        }
        Value::Decimal(value) => Some(value),
        Value::Null | Value::Other => None,
    }
}

/// `digits` or `digits.digits` of at most 18 digits, which is every real price: the general parser
/// checks 128 bits at each digit, and that was a fifth of a tick's time.
fn short_decimal(literal: &[u8]) -> Option<Decimal> {
    if literal.len() > 18 {
        return None;
    }
    let mut mantissa = 0i64;
    let mut point = None;
    for (at, byte) in literal.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 && at + 1 < literal.len() => point = Some(at),
            _ => return None,
        }
    }
    let places = point.map_or(0, |at| literal.len() - at - 1);
    let places = u8::try_from(places).ok()?;
    (!literal.is_empty()).then(|| Decimal::new(mantissa.into(), places))
}

fn time(value: Value<'_>) -> Option<Time> {
    match value {
        Value::Text(text) => when::from_text(text),
        Value::Number(literal) => when::from_epoch(Decimal::parse(literal.as_bytes()).ok()?),
        Value::Decimal(count) => when::from_epoch(count),
        Value::Null | Value::Other => None,
    }
}

fn whole(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Text(digits) | Value::Number(digits) => {
            // `parse` alone would take a leading plus.
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        }
        Value::Decimal(number) => u64::try_from(number.at_places(0)?).ok(),
        Value::Null | Value::Other => None,
    }
}

fn kind(value: Value<'_>) -> Option<Kind> {
    match value {
        Value::Text(name) => Some(Kind::parse(name).unwrap_or_default()),
        Value::Number(_) | Value::Decimal(_) | Value::Null | Value::Other => None,
    }
}

fn text(value: Value<'_>) -> Option<Box<str>> {
    match value {
        Value::Text(text)
            if (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) =>
        {
            Some(text.into())
        }
        Value::Text(_) | Value::Number(_) | Value::Decimal(_) | Value::Null | Value::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_short_way_agrees(literal in "[-+]?[0-9]{0,12}[.]?[0-9]{0,9}(e[0-9])?") {
            if let Some(short) = short_decimal(literal.as_bytes()) {
                let general = Decimal::parse(literal.as_bytes()).unwrap();
                prop_assert_eq!(short.to_string(), general.to_string());
            }
        }
    }
}
