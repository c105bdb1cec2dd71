//! Decimal numbers as a mantissa and a count of places, and the one rounding of the engine.
//!
//! | operation | result |
//! |---|---|
//! | `parse("189.84")` | mantissa 18984, 2 places |
//! | `at_places(6)` | the same value, mantissa 189840000; `None` when digits would be lost |
//! | `round(1, HalfUp)` | 189.8 |
//! | `{}` | `189.84`, all places printed, never an exponent |
//!
//! A decimal is never a float: the literal is parsed digit by digit (DESIGN §11, "Numbers in
//! code"), and no operation here rounds unless its name says so.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most places a decimal may carry. 10^38 is the last power of ten in an `i128`.
pub const PLACES_MAX: u8 = 38;

/// A decimal number: `mantissa * 10^-places`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decimal {
    mantissa: i128,
    places: u8,
}

/// How a quotient is cut to its places. The names are those of the index providers' books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingMode {
    /// Ties away from zero: 0.005 becomes 0.01 (METHODOLOGY §1.8). The rule of most providers.
    #[default]
    HalfUp,
    /// Ties to the even digit.
    HalfEven,
    /// Toward zero.
    Down,
    /// Away from zero.
    Up,
}

/// Why a text is not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text holds something that is not a digit, a sign, a point or an exponent.
    #[error("not a decimal number")]
    Syntax,
    /// More digits than 38 or an exponent out of reach.
    #[error("more than {PLACES_MAX} digits")]
    TooLong,
}

impl Decimal {
    /// Zero without places.
    pub const ZERO: Self = Self {
        mantissa: 0,
        places: 0,
    };
    /// One without places.
    pub const ONE: Self = Self {
        mantissa: 1,
        places: 0,
    };

    /// `mantissa * 10^-places`; `places` above [`PLACES_MAX`] is an error of the caller.
    #[must_use]
    pub const fn new(mantissa: i128, places: u8) -> Self {
        debug_assert!(places <= PLACES_MAX);
        Self { mantissa, places }
    }

    /// The digits as one integer, in units of `10^-places`.
    #[must_use]
    pub const fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// How many digits stand behind the point.
    #[must_use]
    pub const fn places(self) -> u8 {
        self.places
    }

    /// True for numbers above zero.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.mantissa > 0
    }

    /// The same value in units of `10^-places`, or `None` when it has finer digits or overflows.
    #[must_use]
    pub fn at_places(self, places: u8) -> Option<i128> {
        match places.cmp(&self.places) {
            Ordering::Equal => Some(self.mantissa),
            Ordering::Greater => self.mantissa.checked_mul(pow10(places - self.places)?),
            Ordering::Less => {
                let unit = pow10(self.places - places)?;
                (self.mantissa % unit == 0).then(|| self.mantissa / unit)
            }
        }
    }

    /// The same value without trailing zeros behind the point.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        while self.places > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.places -= 1;
        }
        self
    }

    /// The value cut to `places` by `mode`; a value with fewer places is returned as it is.
    #[must_use]
    pub fn round(self, places: u8, mode: RoundingMode) -> Self {
        if places >= self.places {
            return self;
        }
        match pow10(self.places - places) {
            Some(unit) => Self::new(div_round(self.mantissa, unit, mode), places),
            None => Self::new(0, places),
        }
    }

    /// The value printed with exactly `places` places; finer digits are cut half up.
    #[must_use]
    pub fn with_places(self, places: u8) -> Self {
        let cut = self.round(places, RoundingMode::HalfUp);
        match cut.at_places(places) {
            Some(mantissa) => Self::new(mantissa, places),
            None => cut,
        }
    }

    /// Parses the bytes of a JSON number or a decimal text: sign, digits, point, exponent.
    ///
    /// # Errors
    /// [`DecimalError`] when it is not one or does not fit 38 digits.
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        let (negative, mut rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let mut mantissa: i128 = 0;
        let mut places: i32 = 0;
        let mut digits = 0u32;
        let mut point = false;
        while let [byte, tail @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    mantissa = mantissa
                        .checked_mul(10)
                        .and_then(|m| m.checked_add(i128::from(byte - b'0')))
                        .ok_or(DecimalError::TooLong)?;
                    digits += 1;
                    places += i32::from(point);
                }
                b'.' if !point && digits > 0 => point = true,
                b'e' | b'E' if digits > 0 => {
                    places -= exponent(tail)?;
                    rest = &[];
                    break;
                }
                _ => return Err(DecimalError::Syntax),
            }
            rest = tail;
        }
        if digits == 0 || !rest.is_empty() || matches!(text, [.., b'.']) {
            return Err(DecimalError::Syntax);
        }
        while places > i32::from(PLACES_MAX) && mantissa % 10 == 0 && mantissa != 0 {
            mantissa /= 10;
            places -= 1;
        }
        if mantissa == 0 {
            places = places.clamp(0, i32::from(PLACES_MAX));
        }
        while places < 0 {
            mantissa = mantissa.checked_mul(10).ok_or(DecimalError::TooLong)?;
            places += 1;
        }
        let places = u8::try_from(places).map_err(|_| DecimalError::TooLong)?;
        if places > PLACES_MAX {
            return Err(DecimalError::TooLong);
        }
        Ok(Self {
            mantissa: if negative { -mantissa } else { mantissa },
            places,
        })
    }
}

/// The exponent of a scientific literal, bounded so that no text can make the loops above long.
fn exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let text = std::str::from_utf8(text).map_err(|_| DecimalError::Syntax)?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    match text.parse::<i32>() {
        Ok(value) if value.abs() <= 100 => Ok(value),
        _ => Err(DecimalError::TooLong),
    }
}

/// `10^exponent`, or `None` above 10^38.
#[must_use]
pub const fn pow10(exponent: u8) -> Option<i128> {
    if (exponent as usize) < POWERS.len() {
        Some(POWERS[exponent as usize])
    } else {
        None
    }
}

/// The powers of ten that an `i128` holds.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `numerator / denominator` cut to an integer by `mode`. The denominator must be positive.
#[must_use]
pub fn div_round(numerator: i128, denominator: i128, mode: RoundingMode) -> i128 {
    debug_assert!(denominator > 0);
    let quotient = numerator / denominator;
    // Cheaper than a second division of 128 bits.
    let rest = numerator - quotient * denominator;
    if rest == 0 {
        return quotient;
    }
    // Compared without doubling the rest, which could overflow.
    let half = rest
        .unsigned_abs()
        .cmp(&(denominator.unsigned_abs() - rest.unsigned_abs()));
    let away = match mode {
        RoundingMode::Down => false,
        RoundingMode::Up => true,
        RoundingMode::HalfUp => half != Ordering::Less,
        RoundingMode::HalfEven => match half {
            Ordering::Equal => quotient % 2 != 0,
            Ordering::Greater => true,
            Ordering::Less => false,
        },
    };
    if away {
        quotient + numerator.signum()
    } else {
        quotient
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::new(i128::from(value), 0)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        if self.places == 0 {
            return write!(f, "{sign}{digits}");
        }
        // 10^38 fits u128, and places never exceed 38.
        let unit = 10u128.pow(u32::from(self.places));
        let width = usize::from(self.places);
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        a.mantissa == b.mantissa && a.places == b.places
    }
}

impl Eq for Decimal {}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a text or a number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse()
                    .map_err(|e| E::custom(format_args!("{e}: `{}`", clip(text))))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Decimal, E> {
                Ok(Decimal::from(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Decimal, E> {
                Ok(Decimal::new(i128::from(value), 0))
            }

            // serde_json's `arbitrary_precision` hands the literal over as a one-entry map, so
            // that it never goes through a float.
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Decimal, A::Error> {
                let (_, literal): (String, String) = map
                    .next_entry()?
                    .ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                self.visit_str(&literal)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The head of an outside text, short enough for an error message.
fn clip(text: &str) -> String {
    text.chars().take(48).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let check = |text: &str, expected: Result<&str, DecimalError>| {
            let parsed = text.parse::<Decimal>().map(|d| d.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        };
        check("189.84", Ok("189.84"));
        check("-0.5", Ok("-0.5"));
        check("+7", Ok("7"));
        check("1e3", Ok("1000"));
        check("1.5e-3", Ok("0.0015"));
        check("0", Ok("0"));
        check("0.10", Ok("0.10"));
        check("", Err(DecimalError::Syntax));
        check(".5", Err(DecimalError::Syntax));
        check("5.", Err(DecimalError::Syntax));
        check("1.2.3", Err(DecimalError::Syntax));
        check("NaN", Err(DecimalError::Syntax));
        check("inf", Err(DecimalError::Syntax));
        check("1e", Err(DecimalError::Syntax));
        check("1e400", Err(DecimalError::TooLong));
        check("1e-400", Err(DecimalError::TooLong));
        check(
            "1234567890123456789012345678901234567890",
            Err(DecimalError::TooLong),
        );
        check("0x10", Err(DecimalError::Syntax));
        check(" 1", Err(DecimalError::Syntax));
    }

    #[test]
    fn rounds_by_mode() {
        use RoundingMode::{Down, HalfEven, HalfUp, Up};
        let check = |text: &str, mode, expected: &str| {
            let value: Decimal = text.parse().unwrap();
            assert_eq!(
                value.round(2, mode).to_string(),
                expected,
                "{text} {mode:?}"
            );
        };
        check("0.005", HalfUp, "0.01");
        check("-0.005", HalfUp, "-0.01");
        check("0.00499", HalfUp, "0.00");
        check("0.005", HalfEven, "0.00");
        check("0.015", HalfEven, "0.02");
        check("0.0151", HalfEven, "0.02");
        check("0.019", Down, "0.01");
        check("-0.019", Down, "-0.01");
        check("0.011", Up, "0.02");
        check("1.2", HalfUp, "1.2");
    }

    #[test]
    fn changes_places_only_without_loss() {
        let price: Decimal = "124.8075".parse().unwrap();
        assert_eq!(price.at_places(6), Some(124_807_500));
        assert_eq!(price.at_places(2), None);
        assert_eq!(price.at_places(38), None, "overflow is refused");
        assert_eq!(price.with_places(2).to_string(), "124.81");
        assert_eq!("1.50".parse::<Decimal>().unwrap(), "1.5".parse().unwrap());
    }
}
