//! Fractions that are never rounded, written for being obviously right: what the engine's
//! arithmetic is compared with.

use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Sub};

use divisor_engine::{Decimal, RoundingMode};
use num_bigint::{BigInt, BigUint, Sign};

/// `n / d` in lowest terms, `d` above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Q {
    n: BigInt,
    d: BigUint,
}

impl Q {
    pub(crate) fn new(n: BigInt, d: BigInt) -> Self {
        assert_ne!(d.sign(), Sign::NoSign, "division by zero");
        let n = if d.sign() == Sign::Minus { -n } else { n };
        let d = d.magnitude().clone();
        let common = gcd(n.magnitude().clone(), d.clone());
        Self {
            n: n / BigInt::from(common.clone()),
            d: d / common,
        }
    }

    pub(crate) fn int(value: i64) -> Self {
        Self::new(value.into(), 1.into())
    }

    /// `10^-places`.
    pub(crate) fn unit(places: u8) -> Self {
        Self::new(1.into(), BigInt::from(10).pow(u32::from(places)))
    }

    pub(crate) fn text(text: &str) -> Self {
        text.parse::<Decimal>().unwrap().into()
    }

    pub(crate) fn abs(&self) -> Self {
        Self {
            n: self.n.magnitude().clone().into(),
            d: self.d.clone(),
        }
    }

    pub(crate) fn is_positive(&self) -> bool {
        self.n.sign() == Sign::Plus
    }

    /// The value cut to `places`: what the modes say, of the absolute value.
    pub(crate) fn round(&self, places: u8, mode: RoundingMode) -> Self {
        let scaled = self.n.magnitude() * BigUint::from(10u8).pow(u32::from(places));
        let two = BigUint::from(2u8);
        let floor = &scaled / &self.d;
        let half_up = (&scaled * &two + &self.d) / (&self.d * &two);
        let is_tie = &scaled * &two % (&self.d * &two) == self.d;
        let cut = match mode {
            RoundingMode::Down => floor,
            RoundingMode::Up => (&scaled + &self.d - 1u8) / &self.d,
            RoundingMode::HalfUp => half_up,
            RoundingMode::HalfEven if is_tie && half_up.bit(0) => half_up - 1u8,
            RoundingMode::HalfEven => half_up,
        };
        let unit = BigInt::from(10).pow(u32::from(places));
        Self::new(BigInt::from_biguint(self.n.sign(), cut), unit)
    }
}

fn gcd(mut a: BigUint, mut b: BigUint) -> BigUint {
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    a
}

impl From<Decimal> for Q {
    fn from(value: Decimal) -> Self {
        let unit = BigInt::from(10).pow(u32::from(value.places()));
        Self::new(value.mantissa().into(), unit)
    }
}

impl Add for &Q {
    type Output = Q;
    fn add(self, other: Self) -> Q {
        let (a, b) = (BigInt::from(self.d.clone()), BigInt::from(other.d.clone()));
        Q::new(&self.n * &b + &other.n * &a, a * b)
    }
}

impl Sub for &Q {
    type Output = Q;
    fn sub(self, other: Self) -> Q {
        self + &(other * &Q::int(-1))
    }
}

impl Mul for &Q {
    type Output = Q;
    fn mul(self, other: Self) -> Q {
        Q::new(&self.n * &other.n, BigInt::from(&self.d * &other.d))
    }
}

impl Div for &Q {
    type Output = Q;
    fn div(self, other: Self) -> Q {
        let d = BigInt::from(self.d.clone()) * &other.n;
        Q::new(&self.n * BigInt::from(other.d.clone()), d)
    }
}

impl Sum for Q {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::int(0), |sum, value| &sum + &value)
    }
}

impl PartialOrd for Q {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Q {
    fn cmp(&self, other: &Self) -> Ordering {
        (self - other).n.cmp(&BigInt::ZERO)
    }
}

#[test]
fn rounds_as_the_words_say() {
    use RoundingMode::{Down, HalfEven, HalfUp, Up};
    let check = |text: &str, mode, expected: &str| {
        assert_eq!(
            Q::text(text).round(2, mode),
            Q::text(expected),
            "{text} {mode:?}"
        );
    };
    check("0.005", HalfUp, "0.01");
    check("-0.005", HalfUp, "-0.01");
    check("0.004999", HalfUp, "0");
    check("0.005", HalfEven, "0");
    check("0.015", HalfEven, "0.02");
    check("0.0251", HalfEven, "0.03");
    check("0.0199", Down, "0.01");
    check("-0.011", Up, "-0.02");
    check("0.01", Up, "0.01");
}
