//! A level taken apart, so that a person with a calculator gets it again.

use crate::basket::Holding;
use crate::definition::Cut;
use crate::exact::Ratio;
use crate::{Currency, Decimal, Engine, IndexId, RoundingMode, SecurityId};

/// Most places of a figure here; fewer where the number is too long.
const PLACES: u8 = 18;

/// Places of a weight.
const WEIGHT_PLACES: u8 = 6;

/// The parts of a level: `(Σ price · coefficient · rate + cash) / divisor`, cut at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The members in the order of the basket.
    pub members: Vec<Explained>,
    /// The constant part of the sum.
    pub cash: Decimal,
    /// The sum of all values and the cash.
    pub sum: Decimal,
    /// What it is divided by.
    pub divisor: Decimal,
    /// The quotient before the last cut.
    pub quotient: Decimal,
    /// The last cut.
    pub rounding: Cut,
    /// The level.
    pub level: Decimal,
}

/// A member's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whose.
    pub security: SecurityId,
    /// The currency of its price.
    pub currency: Currency,
    /// The price that the index sees.
    pub price: Decimal,
    /// The coefficient in force.
    pub coefficient: Decimal,
    /// Index currency for one of the price's.
    pub rate: Decimal,
    /// `price · coefficient · rate`.
    pub value: Decimal,
    /// `value / divisor`: its points of the level.
    pub points: Decimal,
    /// Its share of the sum, six places.
    pub weight: Option<Decimal>,
}

/// What a member brings to a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Whose.
    pub security: SecurityId,
    /// The currency of its price.
    pub currency: Currency,
    /// The price that the index sees.
    pub price: Decimal,
    /// The coefficient in force.
    pub coefficient: Decimal,
    /// Index currency for one of the price's.
    pub rate: Decimal,
}

impl Engine {
    /// Takes the level of an index apart; none while there is no level.
    #[must_use]
    pub fn explain(&self, index: IndexId) -> Option<Explanation> {
        let state = self.indexes.get(index.at()).filter(|x| x.is_complete())?;
        let (basket, divisor) = (&state.basket, state.divisor?);
        let part = |(at, holding): (usize, &Holding)| {
            Some(Part {
                security: holding.security,
                currency: basket.currencies[basket.slots[at]],
                price: holding.price(&self.securities)?,
                coefficient: *basket.coefficients.get(at)?,
                rate: basket.rates[basket.slots[at]]?,
            })
        };
        let parts: Option<Vec<Part>> = basket.holdings.iter().enumerate().map(part).collect();
        let cash = Ratio::scaled(basket.cash, basket.scale);
        put_together(&parts?, &cash, divisor, state.definition.rounding.level)
    }
}

/// The same of parts that come from elsewhere, say of a level of the past. None for a divisor of
/// zero, or for figures that are too long.
#[must_use]
pub fn explain(
    parts: &[Part],
    cash: Decimal,
    divisor: Decimal,
    rounding: Cut,
) -> Option<Explanation> {
    put_together(parts, &cash.into(), divisor, rounding)
}

fn put_together(
    parts: &[Part],
    cash: &Ratio,
    divisor: Decimal,
    rounding: Cut,
) -> Option<Explanation> {
    let value = |part: &Part| {
        Ratio::from(part.price)
            .multiply(&part.coefficient.into())
            .multiply(&part.rate.into())
    };
    let values: Vec<Ratio> = parts.iter().map(value).collect();
    let sum = values
        .iter()
        .fold(cash.clone(), |sum, value| sum.add(value));
    let weight = Cut {
        places: WEIGHT_PLACES,
        mode: RoundingMode::HalfUp,
    };
    let member = |(part, value): (&Part, &Ratio)| {
        Some(Explained {
            security: part.security,
            currency: part.currency,
            price: part.price.normalized(),
            coefficient: part.coefficient.normalized(),
            rate: part.rate.normalized(),
            value: told(value)?,
            points: told(&value.divide(&divisor.into())?)?,
            weight: value.divide(&sum).and_then(|share| share.round(weight)),
        })
    };
    let members: Option<Vec<Explained>> = parts.iter().zip(&values).map(member).collect();
    let quotient = sum.divide(&divisor.into())?;
    Some(Explanation {
        members: members?,
        cash: told(cash)?,
        sum: told(&sum)?,
        divisor: divisor.normalized(),
        quotient: told(&quotient)?,
        rounding,
        level: quotient.round(rounding)?,
    })
}

/// A figure with as many places as fit.
fn told(value: &Ratio) -> Option<Decimal> {
    let cut = |places| {
        let mode = RoundingMode::HalfUp;
        value.round(Cut { places, mode })
    };
    (0..=PLACES).rev().find_map(cut).map(Decimal::normalized)
}
