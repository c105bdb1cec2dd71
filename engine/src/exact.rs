//! Exact quotients for the rare moments: base, reset, revision. Unbounded integers, so that no
//! intermediate product can overflow; the tick path never comes here.

use num_bigint::{BigInt, Sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::Cut;
use crate::{Decimal, RoundingMode};

/// A fraction that is never rounded. The denominator is positive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ratio {
    numerator: BigInt,
    denominator: BigInt,
}

impl Ratio {
    pub(crate) fn zero() -> Self {
        Self {
            numerator: BigInt::ZERO,
            denominator: BigInt::from(1),
        }
    }

    pub(crate) fn one() -> Self {
        Self::scaled(1, 0)
    }

    /// `numerator / denominator`, or `None` for a denominator of zero.
    pub(crate) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        Self {
            numerator: numerator.into(),
            denominator: BigInt::from(1),
        }
        .divide(&Self {
            numerator: denominator.into(),
            denominator: BigInt::from(1),
        })
    }

    /// An integer in units of `10^-places`.
    pub(crate) fn scaled(mantissa: i128, places: u32) -> Self {
        Self {
            numerator: mantissa.into(),
            denominator: BigInt::from(10).pow(places),
        }
    }

    pub(crate) fn add(&self, other: &Self) -> Self {
        if self.denominator == other.denominator {
            return Self {
                numerator: &self.numerator + &other.numerator,
                denominator: self.denominator.clone(),
            };
        }
        // Mostly powers of ten: the coarser one is refined, so that a long sum stays short.
        let (fine, coarse) = if self.denominator > other.denominator {
            (self, other)
        } else {
            (other, self)
        };
        let times = &fine.denominator / &coarse.denominator;
        if &times * &coarse.denominator == fine.denominator {
            return Self {
                numerator: &fine.numerator + &coarse.numerator * times,
                denominator: fine.denominator.clone(),
            };
        }
        Self {
            numerator: &self.numerator * &other.denominator + &other.numerator * &self.denominator,
            denominator: &self.denominator * &other.denominator,
        }
    }

    pub(crate) fn subtract(&self, other: &Self) -> Self {
        let negated = Self {
            numerator: -&other.numerator,
            denominator: other.denominator.clone(),
        };
        self.add(&negated)
    }

    pub(crate) fn multiply(&self, other: &Self) -> Self {
        Self {
            numerator: &self.numerator * &other.numerator,
            denominator: &self.denominator * &other.denominator,
        }
    }

    /// The quotient, or `None` when `other` is zero.
    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        let numerator = &self.numerator * &other.denominator;
        let denominator = &self.denominator * &other.numerator;
        match denominator.sign() {
            Sign::NoSign => None,
            Sign::Plus => Some(Self {
                numerator,
                denominator,
            }),
            Sign::Minus => Some(Self {
                numerator: -numerator,
                denominator: -denominator,
            }),
        }
    }

    pub(crate) fn abs(self) -> Self {
        if self.is_positive() {
            self
        } else {
            Self::zero().subtract(&self)
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.numerator.sign() == Sign::NoSign
    }

    /// The larger of two.
    pub(crate) fn max(self, other: Self) -> Self {
        if other.subtract(&self).is_positive() {
            other
        } else {
            self
        }
    }

    pub(crate) fn is_positive(&self) -> bool {
        self.numerator.sign() == Sign::Plus
    }

    /// The value cut to the places of `cut`, or `None` when it has more than 38 digits.
    pub(crate) fn round(&self, cut: Cut) -> Option<Decimal> {
        self.round_scaled(u32::from(cut.places), cut.mode)
            .map(|m| Decimal::new(m, cut.places))
    }

    /// The value in units of `10^-places`, cut by `mode`.
    pub(crate) fn round_scaled(&self, places: u32, mode: RoundingMode) -> Option<i128> {
        let scaled = &self.numerator * BigInt::from(10).pow(places);
        let quotient = &scaled / &self.denominator;
        let rest = &scaled - &quotient * &self.denominator;
        if rest.sign() == Sign::NoSign {
            return i128::try_from(quotient).ok();
        }
        let twice = rest.magnitude() * 2u8;
        let half = twice.cmp(self.denominator.magnitude());
        let away = match mode {
            RoundingMode::Down => false,
            RoundingMode::Up => true,
            RoundingMode::HalfUp => half.is_ge(),
            RoundingMode::HalfEven => half.is_gt() || (half.is_eq() && quotient.bit(0)),
        };
        let step = match (away, rest.sign()) {
            (false, _) => BigInt::ZERO,
            (true, Sign::Minus) => BigInt::from(-1),
            (true, _) => BigInt::from(1),
        };
        i128::try_from(quotient + step).ok()
    }
}

/// As `numerator/denominator`.
impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.numerator, self.denominator))
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let parts = text.split_once('/').and_then(|(n, d)| {
            let denominator: BigInt = d.parse().ok()?;
            (denominator.sign() == Sign::Plus).then_some((n.parse().ok()?, denominator))
        });
        let (numerator, denominator) =
            parts.ok_or_else(|| serde::de::Error::custom("not a fraction"))?;
        Ok(Self {
            numerator,
            denominator,
        })
    }
}

impl From<Decimal> for Ratio {
    fn from(value: Decimal) -> Self {
        Self::scaled(value.mantissa(), u32::from(value.places()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::div_round;

    proptest! {
        #[test]
        fn agrees_with_the_integer_rounding(n in any::<i64>(), d in 1..i64::MAX, places in 0u32..6) {
            let unit = 10i128.pow(places);
            for mode in [RoundingMode::HalfUp, RoundingMode::HalfEven, RoundingMode::Up, RoundingMode::Down] {
                let exact = Ratio::new(n.into(), d.into()).unwrap().round_scaled(places, mode);
                prop_assert_eq!(exact, Some(div_round(i128::from(n) * unit, d.into(), mode)));
            }
        }
    }

    #[test]
    fn keeps_what_a_split_leaves() {
        // 100 split three for one, times three, is 100 again.
        let third = Ratio::from(Decimal::from(100))
            .divide(&Decimal::from(3).into())
            .unwrap();
        let back = third.multiply(&Decimal::from(3).into());
        assert_eq!(
            back.round_scaled(14, RoundingMode::Down),
            Some(10_000_000_000_000_000)
        );
        assert!(Ratio::new(1, 0).is_none());
        assert!(!Ratio::zero().subtract(&third).is_positive());
    }
}
