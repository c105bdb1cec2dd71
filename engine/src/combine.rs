//! The last step of a level, `Σ fx·N / D` cut to its places, with all that stays equal from tick
//! to tick worked out beforehand: one multiplication for each currency and one division are left.

use ethnum::I256;

use crate::definition::Cut;
use crate::{Decimal, RoundingMode, div_round, pow10};

/// Factors stay below `2^96`: with sums below `2^127` and fewer than `2^30` currencies, the total
/// stays inside 256 bits.
const FACTOR_BITS_MAX: u32 = 96;

/// How the sums of one index become its level, under one divisor and one set of rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Combine {
    /// What a unit of each slot's sum counts: its rate and the powers of ten that bring the
    /// numerator to the level's last place.
    factors: Vec<i128>,
    /// The divisor in the same units, above 0.
    denominator: i128,
    mode: RoundingMode,
}

impl Combine {
    /// None when a number is too long; the level then needs unbounded integers.
    pub(crate) fn new(rates: &[Decimal], scale: u32, divisor: Decimal, cut: Cut) -> Option<Self> {
        let finest = rates.iter().map(|rate| rate.places()).max()?;
        let have = scale + u32::from(finest);
        let wanted = u32::from(cut.places) + u32::from(divisor.places());
        let power = |exponent: u32| pow10(u8::try_from(exponent).ok()?);
        let up = power(wanted.saturating_sub(have))?;
        let down = power(have.saturating_sub(wanted))?;
        let factor = |rate: &Decimal| {
            let rate = rate.at_places(finest)?.checked_mul(up)?;
            (rate >> FACTOR_BITS_MAX == 0).then_some(rate)
        };
        Some(Self {
            factors: rates.iter().map(factor).collect::<Option<_>>()?,
            denominator: divisor.mantissa().checked_mul(down)?,
            mode: cut.mode,
        })
    }

    /// The level in units of its last place, or `None` when it does not fit.
    pub(crate) fn level(&self, sums: &[i128]) -> Option<i128> {
        match self.narrow(sums) {
            Some(numerator) => Some(div_round(numerator, self.denominator, self.mode)),
            None => self.wide(sums),
        }
    }

    /// The numerator, where 128 bits hold it: most indexes, most of the time.
    fn narrow(&self, sums: &[i128]) -> Option<i128> {
        let mut total = 0i128;
        for (sum, factor) in sums.iter().zip(&self.factors) {
            total = total.checked_add(sum.checked_mul(*factor)?)?;
        }
        Some(total)
    }

    fn wide(&self, sums: &[i128]) -> Option<i128> {
        let mut total = I256::ZERO;
        for (sum, factor) in sums.iter().zip(&self.factors) {
            total += I256::from(*sum) * I256::from(*factor);
        }
        let (high, low) = total.unsigned_abs().into_words();
        let denominator = self.denominator.unsigned_abs();
        let (quotient, rest) = divide(high, low, denominator)?;
        let half = rest.cmp(&(denominator - rest));
        let away = match self.mode {
            _ if rest == 0 => false,
            RoundingMode::Down => false,
            RoundingMode::Up => true,
            RoundingMode::HalfUp => half.is_ge(),
            RoundingMode::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 == 1),
        };
        let level = i128::try_from(quotient.checked_add(u128::from(away))?).ok()?;
        Some(if total < I256::ZERO { -level } else { level })
    }
}

/// `(high·2^128 + low) / denominator` with the remainder, or `None` when the quotient needs more
/// than 128 bits. Long division in two digits of 64 bits (Knuth, volume 2, algorithm D).
fn divide(high: u128, low: u128, denominator: u128) -> Option<(u128, u128)> {
    if high >= denominator {
        return None;
    }
    if high == 0 {
        return Some((low / denominator, low % denominator));
    }
    let shift = denominator.leading_zeros();
    let d = denominator << shift;
    // `shift` may be 0, and a shift by 128 is none.
    let high = (high << shift) | (low >> 1 >> (127 - shift));
    let low = low << shift;
    let (first, rest) = digit(high, low >> 64, d);
    let (second, rest) = digit(rest, low & u128::from(u64::MAX), d);
    Some(((first << 64) | second, rest >> shift))
}

/// One digit of the quotient: `(rest·2^64 + next) / d` for a `d` whose top bit is set and a
/// `rest` below it.
fn digit(rest: u128, next: u128, d: u128) -> (u128, u128) {
    let (d_high, d_low) = (d >> 64, d & u128::from(u64::MAX));
    let mut q = rest / d_high;
    let mut r = rest % d_high;
    // The estimate is at most two too high.
    while q >> 64 != 0 || q * d_low > ((r << 64) | next) {
        q -= 1;
        r += d_high;
        if r >> 64 != 0 {
            break;
        }
    }
    let taken = (rest << 64 | next).wrapping_sub(q.wrapping_mul(d));
    (q, taken)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn divides_as_unbounded_integers_do(
            high in any::<u128>(), low in any::<u128>(), denominator in 1..u128::MAX,
            narrower in (0u32..128, 0u32..128),
        ) {
            let denominator = (denominator >> narrower.0).max(1);
            let high = (high >> narrower.1) % denominator;
            let (quotient, rest) = divide(high, low, denominator).unwrap();
            let value = (BigUint::from(high) << 128) + low;
            prop_assert_eq!(BigUint::from(quotient), &value / denominator);
            prop_assert_eq!(BigUint::from(rest), &value % denominator);
        }

        #[test]
        fn narrow_and_wide_agree(sum in any::<i128>(), factor in 1..i128::from(u64::MAX), divisor in 1..i128::MAX) {
            for mode in [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Down, RoundingMode::Up] {
                let combine = Combine { factors: vec![factor], denominator: divisor, mode };
                let sum = sum / factor;
                prop_assert_eq!(combine.level(&[sum]), combine.wide(&[sum]));
            }
        }
    }

    #[test]
    fn refuses_a_quotient_of_more_than_128_bits() {
        assert_eq!(divide(1, 0, 1), None);
        assert_eq!(
            divide(u128::MAX - 1, u128::MAX, u128::MAX),
            Some((u128::MAX, u128::MAX - 1))
        );
    }
}
