//! The reader that decides: `serde_json`, values kept as the text they came in.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{self, Fields, Value};
use super::{Decoded, Tick};
use crate::Reason;

/// Reads an object or an array.
///
/// Values below the tick's own level are skipped by `serde_json` without recursion, so depth
/// costs an attacker bytes and us nothing.
pub(super) fn decode(payload: &[u8], ticks_max: usize) -> Result<Decoded, Reason> {
    let outer: &RawValue = serde_json::from_slice(payload).map_err(|_| Reason::Malformed)?;
    let mut decoded = Decoded::default();
    if outer.get().starts_with('[') {
        let elements: Elements<'_> =
            serde_json::from_str(outer.get()).map_err(|_| Reason::Malformed)?;
        if elements.0.len() > ticks_max {
            return Err(Reason::TooManyTicks);
        }
        for element in elements.0 {
            decoded.push(tick(element));
        }
    } else if ticks_max == 0 {
        return Err(Reason::TooManyTicks);
    } else {
        decoded.push(tick(outer));
    }
    Ok(decoded)
}

fn tick(raw: &RawValue) -> Result<Tick, Reason> {
    if raw.get().starts_with('{') {
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        serde::Deserializer::deserialize_map(&mut deserializer, FieldsVisitor)
            .map_err(|_| Reason::Malformed)?
            .finish()
    } else {
        with_value(raw, fields::element).ok_or(Reason::Malformed)?
    }
}

/// Calls `read` with the value; `None` when a text holds an escape that is not one.
fn with_value<T>(raw: &RawValue, read: impl FnOnce(Value<'_>) -> T) -> Option<T> {
    let literal = raw.get();
    let value = match literal.as_bytes().first() {
        Some(b'"') => {
            let text: Text<'_> = serde_json::from_str(literal).ok()?;
            return Some(read(Value::Text(&text.0)));
        }
        Some(b'-' | b'0'..=b'9') => Value::Number(literal),
        Some(b'n') => Value::Null,
        _ => Value::Other,
    };
    Some(read(value))
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(transparent)]
struct Elements<'a>(#[serde(borrow, deserialize_with = "elements")] Vec<&'a RawValue>);

fn elements<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<&'de RawValue>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List)
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tick")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((key, raw)) = map.next_entry::<Text<'_>, &RawValue>()? {
            with_value(raw, |value| fields.set(&key.0, value))
                .ok_or_else(|| serde::de::Error::custom("not a text"))?;
        }
        Ok(fields)
    }
}
