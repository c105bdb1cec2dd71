//! The time of a tick: RFC 3339, or a count since 1970 whose unit shows in its size.

use divisor_engine::{Decimal, RoundingMode, Time};

/// RFC 3339 text, or an epoch count as text.
pub(super) fn from_text(text: &str) -> Option<Time> {
    if let Some(time) = utc(text.as_bytes()) {
        return Some(time);
    }
    if text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
        && !text.contains(':')
    {
        // `2026-11-22` is made of the same bytes and is neither: a day is not a time.
        return from_epoch(Decimal::parse(text.as_bytes()).ok()?);
    }
    let stamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(stamp.as_nanosecond())
        .ok()
        .map(Time::from_nanos)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, before it when negative. Today is
/// 1.7 in the 9th, 12th, 15th or 18th power of ten, so the bounds between them leave every year from
/// 1973 to 5138 clear, and likewise every one before 1966; between these only seconds are.
pub(super) fn from_epoch(count: Decimal) -> Option<Time> {
    let whole = count.round(0, RoundingMode::Down).at_places(0)?;
    let places = match whole.unsigned_abs() {
        0..100_000_000_000 => 9,
        100_000_000_000..100_000_000_000_000 => 6,
        100_000_000_000_000..100_000_000_000_000_000 => 3,
        _ => 0,
    };
    // Finer than a nanosecond is cut: no clock means those digits.
    let nanos = count.round(places, RoundingMode::Down).at_places(places)?;
    i64::try_from(nanos).ok().map(Time::from_nanos)
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction]Z` between 1678 and 2261, the form nearly every tick has.
///
/// A tenth of what a general parser takes; `None` leaves offsets, leap seconds and every doubt to
/// the general one.
fn utc(text: &[u8]) -> Option<Time> {
    let (head, tail) = text.split_at_checked(19)?;
    if head[4] != b'-'
        || head[7] != b'-'
        || head[10] != b'T'
        || head[13] != b':'
        || head[16] != b':'
    {
        return None;
    }
    let year = number(&head[0..4])?;
    let month = number(&head[5..7])?;
    let day = number(&head[8..10])?;
    let hour = number(&head[11..13])?;
    let minute = number(&head[14..16])?;
    let second = number(&head[17..19])?;
    let fits = (1678..2262).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !fits {
        return None;
    }
    let nanos = match tail {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let missing = u32::try_from(9 - digits.len()).ok()?;
            number(digits)? * 10i64.pow(missing)
        }
        _ => return None,
    };
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(Time::from_nanos)
}

/// Up to nine digits as a number.
fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, counted in years that begin in March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
