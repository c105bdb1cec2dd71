//! The compact reader: CBOR with integer keys (docs/wire/divisor.cddl), a map for a tick, an array
//! for several. Texts as keys are read as well, so that a JSON tick in CBOR is understood.

use divisor_engine::Decimal;
use minicbor::data::{IanaTag, Type};
use minicbor::decode::{Decoder, Error};

use super::fields::{self, Fields, Value};
use super::{Decoded, Tick};
use crate::{Reason, cbor};

/// The names behind the integer keys.
const KEYS: [&str; 9] = [
    "price", "ts", "seq", "src", "inc", "size", "ccy", "venue", "type",
];

/// Reads a tick, an array of them, or a bare decimal fraction.
pub(super) fn decode(payload: &[u8], ticks_max: usize) -> Result<Decoded, Reason> {
    let mut reader = Reader(Decoder::new(payload));
    let decoded = reader.message(ticks_max)?;
    if reader.0.position() == payload.len() {
        Ok(decoded)
    } else {
        Err(Reason::Malformed)
    }
}

/// Bytes that are no CBOR at all spoil the message, as bytes that are no JSON do.
impl From<Error> for Reason {
    fn from(_: Error) -> Self {
        Self::Malformed
    }
}

struct Reader<'a>(Decoder<'a>);

impl<'a> Reader<'a> {
    fn message(&mut self, ticks_max: usize) -> Result<Decoded, Reason> {
        let mut decoded = Decoded::default();
        if !self.is_array()? {
            if ticks_max == 0 {
                return Err(Reason::TooManyTicks);
            }
            decoded.push(self.element()?);
            return Ok(decoded);
        }
        let mut left = self.0.array()?;
        while self.has_next(&mut left)? {
            if decoded.len() == ticks_max {
                return Err(Reason::TooManyTicks);
            }
            decoded.push(self.element()?);
        }
        Ok(decoded)
    }

    fn is_array(&self) -> Result<bool, Error> {
        Ok(matches!(self.0.datatype()?, Type::Array | Type::ArrayIndef))
    }

    /// A tick of its own, or the bare price of one; `Err` on the outside is no CBOR.
    fn element(&mut self) -> Result<Result<Tick, Reason>, Reason> {
        if !matches!(self.0.datatype()?, Type::Map | Type::MapIndef) {
            return Ok(fields::element(self.value()?));
        }
        let mut fields = Fields::default();
        let mut left = self.0.map()?;
        while self.has_next(&mut left)? {
            let key = self.value()?;
            let value = self.value()?;
            if let Some(name) = name(key) {
                fields.set(name, value);
            }
        }
        Ok(fields.finish())
    }

    /// Whether another element follows, in a list of known length or up to its break.
    fn has_next(&mut self, left: &mut Option<u64>) -> Result<bool, Error> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.0.datatype()? == Type::Break => {
                self.0.skip()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Any value. What no field can use is passed over, however deep it is nested.
    fn value(&mut self) -> Result<Value<'a>, Error> {
        let decoder = &mut self.0;
        match decoder.datatype()? {
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => Ok(Value::Decimal(Decimal::new(decoder.int()?.into(), 0))),
            Type::String => Ok(Value::Text(decoder.str()?)),
            Type::Null | Type::Undefined => {
                decoder.skip()?;
                Ok(Value::Null)
            }
            Type::Tag => self.tagged(),
            Type::Bool
            | Type::F16
            | Type::F32
            | Type::F64
            | Type::Simple
            | Type::Bytes
            | Type::BytesIndef
            | Type::StringIndef
            | Type::Array
            | Type::ArrayIndef
            | Type::Map
            | Type::MapIndef => {
                decoder.skip()?;
                Ok(Value::Other)
            }
            Type::Break | Type::Unknown(_) => Err(Error::message("not a value")),
        }
    }

    /// A decimal fraction; a time, whose tag says no more than the field does; or nothing of ours.
    fn tagged(&mut self) -> Result<Value<'a>, Error> {
        match IanaTag::try_from(self.0.tag()?) {
            Ok(IanaTag::Decimal) => {
                let value = cbor::decimal_fraction(&mut self.0)?;
                Ok(value.map_or(Value::Other, Value::Decimal))
            }
            Ok(IanaTag::DateTime | IanaTag::Timestamp) if self.0.datatype()? != Type::Tag => {
                self.value()
            }
            _ => {
                self.0.skip()?;
                Ok(Value::Other)
            }
        }
    }
}

/// The field that a key means; unknown ones are ignored.
fn name(key: Value<'_>) -> Option<&str> {
    match key {
        Value::Text(name) => Some(name),
        Value::Decimal(number) => usize::try_from(number.at_places(0)?)
            .ok()
            .and_then(|at| KEYS.get(at).copied()),
        Value::Number(_) | Value::Null | Value::Other => None,
    }
}
