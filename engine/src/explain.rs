//! A level taken apart, so that a person with a calculator gets it again.

use crate::definition::Cut;
use crate::exact::Ratio;
use crate::{Currency, Decimal, Engine, IndexId, RoundingMode, SecurityId};

/// Most places of a figure here; fewer where the number is too long.
const PLACES: u8 = 18;

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
}

impl Engine {
    /// Takes the level of an index apart; none while there is no level.
    #[must_use]
    pub fn explain(&self, index: IndexId) -> Option<Explanation> {
        let state = self.indexes.get(index.at()).filter(|x| x.is_complete())?;
        let (basket, divisor) = (&state.basket, state.divisor?);
        let mut sum = Ratio::scaled(basket.cash, basket.scale);
        let mut members = Vec::with_capacity(basket.holdings.len());
        for (at, holding) in basket.holdings.iter().enumerate() {
            let price = holding.price(&self.securities)?;
            let (coefficient, rate) = (
                *basket.coefficients.get(at)?,
                basket.rates[basket.slots[at]]?,
            );
            let value = Ratio::from(price)
                .multiply(&coefficient.into())
                .multiply(&rate.into());
            sum = sum.add(&value);
            members.push(Explained {
                security: holding.security,
                currency: basket.currencies[basket.slots[at]],
                price: price.normalized(),
                coefficient: coefficient.normalized(),
                rate: rate.normalized(),
                value: told(&value)?,
                points: told(&value.divide(&divisor.into())?)?,
            });
        }
        let quotient = sum.divide(&divisor.into())?;
        let rounding = state.definition.rounding.level;
        Some(Explanation {
            members,
            cash: told(&Ratio::scaled(basket.cash, basket.scale))?,
            sum: told(&sum)?,
            divisor: divisor.normalized(),
            quotient: told(&quotient)?,
            rounding,
            level: quotient.round(rounding)?,
        })
    }
}

/// A figure with as many places as fit.
fn told(value: &Ratio) -> Option<Decimal> {
    let cut = |places| {
        let mode = RoundingMode::HalfUp;
        value.round(Cut { places, mode })
    };
    (0..=PLACES).rev().find_map(cut).map(Decimal::normalized)
}
