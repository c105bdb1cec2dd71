//! What CBOR (RFC 8949) has for our numbers and times, in both directions.
//!
//! | value | in | out |
//! |---|---|---|
//! | a decimal | tag 4 `[exponent, mantissa]`, an integer, a text | tag 4 |
//! | a time | whole s, ms, µs or ns since 1970 by size, RFC 3339 text, both also tagged | whole µs, finer digits in a key of their own |
//!
//! Floats are refused: what a price is must not depend on how one is printed.

use divisor_engine::{Decimal, PLACES_MAX, pow10};
use minicbor::data::{IanaTag, Tag, Type};
use minicbor::decode::{Decoder, Error};
use minicbor::encode::{Encoder, Write};

/// Whether a payload is CBOR by its first byte: a map, an array or a decimal fraction. JSON begins
/// with none of these bytes, and no UTF-8 text does.
#[must_use]
pub const fn is_cbor(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(0x80..=0xbf | 0xc4))
}

/// Reads a decimal fraction whose tag has been read: `[exponent, mantissa]`.
///
/// `Ok(None)` is a number that is well-formed and cannot be held: an exponent out of reach.
pub(crate) fn decimal_fraction(decoder: &mut Decoder<'_>) -> Result<Option<Decimal>, Error> {
    let length = decoder.array()?;
    if length.is_some_and(|length| length != 2) {
        return Err(Error::message("a decimal fraction has two parts"));
    }
    let exponent = decoder.i128()?;
    let mantissa = decoder.i128()?;
    if length.is_none() {
        if decoder.datatype()? != Type::Break {
            return Err(Error::message("a decimal fraction has two parts"));
        }
        decoder.skip()?;
    }
    Ok(decimal(exponent, mantissa))
}

fn decimal(exponent: i128, mantissa: i128) -> Option<Decimal> {
    let digits = u8::try_from(exponent.unsigned_abs()).ok()?;
    if digits > PLACES_MAX {
        return None;
    }
    if exponent > 0 {
        Some(Decimal::new(mantissa.checked_mul(pow10(digits)?)?, 0))
    } else {
        Some(Decimal::new(mantissa, digits))
    }
}

/// Writes a decimal fraction.
pub(crate) fn write_decimal<W: Write>(
    encoder: &mut Encoder<W>,
    value: Decimal,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    encoder
        .tag(Tag::from(IanaTag::Decimal))?
        .array(2)?
        .i64(-i64::from(value.places()))?
        .i128(value.mantissa())?;
    Ok(())
}
