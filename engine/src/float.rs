//! Between decimals and floating point, for the kinds that need roots, powers and logarithms.
//!
//! All functions come from one portable library in pure Rust, never from the system's, so that a
//! replay on another machine gives the same bits; what leaves is cut to stated places.
#![expect(
    clippy::float_arithmetic,
    reason = "this is where floating point begins and ends"
)]

use crate::Decimal;
use crate::definition::Cut;

/// The nearest number in floating point.
pub(crate) fn from_decimal(value: Decimal) -> f64 {
    // Through the text, since it rounds once: a mantissa of 38 digits and a power of ten do not.
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// A number cut to places; `None` for what is no number or does not fit.
pub(crate) fn to_decimal(value: f64, cut: Cut) -> Option<Decimal> {
    if !value.is_finite() {
        return None;
    }
    // The shortest text that stands for the number: what a person would call its value.
    let exact: Decimal = format!("{value}").parse().ok().or_else(|| {
        let places = usize::from(crate::PLACES_MAX);
        format!("{value:.places$}").parse().ok()
    })?;
    let cut_off = exact.round(cut.places, cut.mode).at_places(cut.places)?;
    Some(Decimal::new(cut_off, cut.places))
}

/// `base^exponent`.
pub(crate) fn power(base: Decimal, exponent: Decimal, cut: Cut) -> Option<Decimal> {
    to_decimal(libm::pow(from_decimal(base), from_decimal(exponent)), cut)
}

/// `scale · Π (after/before)^weight`, as the exponential of a sum of logarithms in this order.
pub(crate) fn geometric(
    scale: Decimal,
    relatives: &[(Decimal, Decimal, Decimal)],
    cut: Cut,
) -> Option<Decimal> {
    let mut sum = 0.0;
    for (after, before, weight) in relatives {
        let relative = from_decimal(*after) / from_decimal(*before);
        sum += from_decimal(*weight) * libm::log(relative);
    }
    to_decimal(from_decimal(scale) * libm::exp(sum), cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoundingMode;

    #[test]
    fn comes_back_as_it_went() {
        let cut = Cut {
            places: 6,
            mode: RoundingMode::HalfUp,
        };
        for text in ["0", "1.5", "-0.1", "123456789.123456", "0.000001"] {
            let value: Decimal = text.parse().unwrap();
            assert_eq!(to_decimal(from_decimal(value), cut), Some(value), "{text}");
        }
        assert_eq!(to_decimal(f64::NAN, cut), None);
        assert_eq!(to_decimal(f64::INFINITY, cut), None);
        assert_eq!(to_decimal(1e300, cut), None);
        assert_eq!(to_decimal(1e-300, cut), Some(Decimal::ZERO));
        let half = power(2.into(), "0.5".parse().unwrap(), cut);
        assert_eq!(half, Some("1.414214".parse().unwrap()));
    }
}
