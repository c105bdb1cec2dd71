//! PostgreSQL's binary forms of numbers, times and rows, written straight into the COPY buffer.
//!
//! | Rust | PostgreSQL | form |
//! |---|---|---|
//! | [`Decimal`] | `numeric` | digits of base 10,000 with their weight, and the count of places |
//! | [`Time`] | `timestamptz` | microseconds since 2000-01-01; [`nanos_rest`] goes beside it |
//! | `u64` | `bigint` | the same 64 bits |

use std::error::Error;

use bytes::{BufMut, BytesMut};
use divisor_engine::{Decimal, PLACES_MAX, Time};
use postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// 1970-01-01 to 2000-01-01, PostgreSQL's epoch, in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// 39 digits of an `i128` and the padding of its last group.
const GROUPS_MAX: usize = 11;

/// `sign` of a negative `numeric`.
const NEGATIVE: u16 = 0x4000;

/// What a COPY BINARY stream begins with: signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows in the format of COPY BINARY.
#[derive(Debug, Default)]
pub(crate) struct CopyBuffer {
    bytes: BytesMut,
}

impl CopyBuffer {
    /// Empties the buffer and begins a stream.
    pub(crate) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(HEADER);
    }

    /// Begins a row of `columns` fields.
    pub(crate) fn row(&mut self, columns: i16) {
        // One check of the capacity for a whole row of the wide tables.
        self.bytes.reserve(256);
        self.bytes.put_i16(columns);
    }

    /// Ends the stream.
    pub(crate) fn end(&mut self) {
        self.bytes.put_i16(-1);
    }

    /// What was encoded since the last [`Self::clear`].
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was sent.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes.put_i32(2);
        self.bytes.put_i16(value);
    }

    /// An `integer` from a dense id or a small count, all of which are below 2^31.
    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.put_i32(4);
        self.bytes.put_i32(value.cast_signed());
    }

    /// A `bigint` of the same bits.
    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.put_i32(8);
        self.bytes.put_i64(value.cast_signed());
    }

    /// A `timestamptz`, cut to its microsecond.
    pub(crate) fn time(&mut self, time: Time) {
        self.bytes.put_i32(8);
        self.bytes.put_i64(micros_since_2000(time));
    }

    /// What the microsecond of [`Self::time`] leaves.
    pub(crate) fn nanos(&mut self, time: Time) {
        self.i16(nanos_rest(time));
    }

    pub(crate) fn numeric(&mut self, value: Decimal) {
        let (groups, count, weight) = groups_of(value);
        // 4 × 2 bytes of head and 2 for each group; a count of at most 11 fits everything.
        self.bytes.put_i32(8 + 2 * count as i32);
        put_numeric(&mut self.bytes, value, &groups[..count], weight);
    }

    /// A text. PostgreSQL cannot store U+0000, and one name with it must not stop the store.
    pub(crate) fn text(&mut self, text: &str) {
        if text.contains('\0') {
            return self.text(&without_nul(text));
        }
        // Texts come from messages of at most some megabytes.
        self.bytes.put_i32(text.len() as i32);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A field that may be null.
    pub(crate) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => put(self, value),
            None => self.bytes.put_i32(-1),
        }
    }
}

/// `text` with a replacement character for each U+0000.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The part of `time` that a `timestamptz` holds, rounded down.
fn micros_since_2000(time: Time) -> i64 {
    time.as_nanos().div_euclid(1_000) - EPOCH_MICROS
}

/// The nanoseconds 0 to 999 that a `timestamptz` cannot hold.
pub(crate) fn nanos_rest(time: Time) -> i16 {
    // The rest of a division by 1,000 fits.
    time.as_nanos().rem_euclid(1_000) as i16
}

/// The groups of four decimal digits that stand on both sides of the point, most significant
/// first and without zeros at the ends, their count, and the weight of the first.
fn groups_of(value: Decimal) -> ([u16; GROUPS_MAX], usize, i16) {
    let mut reversed = [0u16; GROUPS_MAX];
    let mut length = 0;
    let mut rest = value.mantissa().unsigned_abs();
    let places = u32::from(value.places());
    let mut push = |group: u16| {
        reversed[length] = group;
        length += 1;
    };
    // The last group behind the point may be partial: its digits count from the left.
    let partial = places % 4;
    if partial != 0 {
        let unit = 10u128.pow(partial);
        push((rest % unit) as u16 * 10u16.pow(4 - partial));
        rest /= unit;
    }
    while rest > u128::from(u64::MAX) {
        push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    // Nearly all prices and levels come here at once, where a division is cheap.
    let mut rest = rest as u64;
    while rest > 0 {
        push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let behind_point = places.div_ceil(4) as i16;
    let trailing = reversed[..length]
        .iter()
        .take_while(|group| **group == 0)
        .count();
    let leading = reversed[trailing..length]
        .iter()
        .rev()
        .take_while(|group| **group == 0)
        .count();
    let count = length - trailing - leading;
    let weight = (length - leading) as i16 - 1 - behind_point;
    let mut groups = [0u16; GROUPS_MAX];
    for (place, group) in reversed[trailing..trailing + count]
        .iter()
        .rev()
        .enumerate()
    {
        groups[place] = *group;
    }
    (groups, count, if count == 0 { 0 } else { weight })
}

fn put_numeric(bytes: &mut BytesMut, value: Decimal, groups: &[u16], weight: i16) {
    bytes.put_i16(groups.len() as i16);
    bytes.put_i16(weight);
    bytes.put_u16(if value.mantissa() < 0 { NEGATIVE } else { 0 });
    bytes.put_u16(u16::from(value.places()));
    for group in groups {
        bytes.put_u16(*group);
    }
}

/// A decimal as a parameter or a result column of type `numeric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numeric(pub Decimal);

impl ToSql for Numeric {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let (groups, count, weight) = groups_of(self.0);
        put_numeric(out, self.0, &groups[..count], weight);
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        decode(raw)
            .map(Self)
            .ok_or_else(|| "not a decimal of 38 digits".into())
    }

    accepts!(NUMERIC);
}

fn decode(raw: &[u8]) -> Option<Decimal> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let count = words.next()?;
    let weight = i32::from(words.next()?.cast_signed());
    let sign = words.next()?;
    let places = u8::try_from(words.next()?)
        .ok()
        .filter(|places| *places <= PLACES_MAX)?;
    if sign != 0 && sign != NEGATIVE {
        // NaN and the infinities.
        return None;
    }
    let mut mantissa = 0i128;
    for (place, group) in words.take(usize::from(count)).enumerate() {
        // The value of the group's last digit, as a power of ten in units of the last place.
        let exponent = 4 * (weight - i32::try_from(place).ok()?) + i32::from(places);
        let group = i128::from(group);
        let part = match u32::try_from(exponent) {
            Ok(exponent) => group.checked_mul(10i128.checked_pow(exponent)?)?,
            // Digits of the padding behind the last place, all zero.
            Err(_) => group / 10i128.checked_pow(exponent.unsigned_abs())?,
        };
        mantissa = mantissa.checked_add(part)?;
    }
    Some(Decimal::new(
        if sign == NEGATIVE {
            -mantissa
        } else {
            mantissa
        },
        places,
    ))
}

/// A time as a parameter or a result column of type `timestamptz`, cut to its microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub Time);

impl ToSql for Stamp {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(micros_since_2000(self.0));
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Stamp {
    fn from_sql(_ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let nanos = micros
            .checked_add(EPOCH_MICROS)
            .and_then(|m| m.checked_mul(1_000));
        // The microsecond of the earliest time begins before it.
        let earliest = micros == micros_since_2000(Time::MIN);
        match nanos {
            Some(nanos) => Ok(Self(Time::from_nanos(nanos))),
            None if earliest => Ok(Self(Time::MIN)),
            None => Err("outside the years 1677 to 2262".into()),
        }
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(value: Decimal) -> Vec<u8> {
        let mut buffer = CopyBuffer::default();
        buffer.numeric(value);
        buffer.bytes()[4..].to_vec()
    }

    #[test]
    fn numbers_have_the_canonical_groups() {
        let check = |text: &str, weight: i16, groups: &[u16]| {
            let value: Decimal = text.parse().unwrap();
            let (all, count, found) = groups_of(value);
            assert_eq!((found, &all[..count]), (weight, groups), "{text}");
            let back = decode(&bytes_of(value)).unwrap();
            assert_eq!(
                (back.mantissa(), back.places()),
                (value.mantissa(), value.places()),
                "{text}"
            );
        };
        check("0", 0, &[]);
        check("0.000", 0, &[]);
        check("1", 0, &[1]);
        check("10000", 1, &[1]);
        check("189.84", 0, &[189, 8400]);
        check("-0.5", -1, &[5000]);
        check("0.00001", -2, &[1000]);
        check("39131.53", 1, &[3, 9131, 5300]);
        check(
            "12345678901234567890123456789012345678",
            9,
            &[12, 3456, 7890, 1234, 5678, 9012, 3456, 7890, 1234, 5678],
        );
    }

    #[test]
    fn the_extremes_of_mantissa_and_places_survive() {
        for mantissa in [i128::MAX, -i128::MAX, 1, -1, 10_i128.pow(38)] {
            for places in 0..=PLACES_MAX {
                let value = Decimal::new(mantissa, places);
                let back = decode(&bytes_of(value)).unwrap();
                assert_eq!((back.mantissa(), back.places()), (mantissa, places));
            }
        }
    }

    #[test]
    fn times_keep_their_nanoseconds() {
        for nanos in [
            0,
            1,
            -1,
            999,
            -999,
            1_763_821_800_123_456_789,
            i64::MAX,
            i64::MIN + 1_000,
        ] {
            let time = Time::from_nanos(nanos);
            let micros = micros_since_2000(time) + EPOCH_MICROS;
            assert_eq!(micros * 1_000 + i64::from(nanos_rest(time)), nanos);
        }
    }
}
