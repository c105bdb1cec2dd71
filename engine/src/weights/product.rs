//! The geometric kernel: a weighted product of price relatives, worked out anew for each level.

use serde::{Deserialize, Serialize};

use crate::Decimal;
use crate::definition::Cut;
use crate::exact::Ratio;
use crate::float;
use crate::index::Index;
use crate::problem::Problem;
use crate::security::Security;

/// What the product is anchored at.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Product {
    /// The level there, carried.
    pub(crate) own: Decimal,
    /// The value of each holding in the index currency, and its exponent.
    pub(crate) members: Vec<(Decimal, Decimal)>,
}

impl Index {
    /// Anchors the product: from here on the level is `level · Π (p/p0)^w`.
    pub(crate) fn anchor(&mut self, level: &Ratio, values: &[Ratio]) -> Result<(), Problem> {
        let carried = self.definition.rounding.carried;
        let exponent = self.definition.rounding.coefficient;
        let weights = self.target_weights(values)?;
        let number = |ratio: &Ratio, cut: Cut| {
            ratio
                .round(cut)
                .map(Decimal::normalized)
                .ok_or(Problem::Overflow)
        };
        let mut members = Vec::with_capacity(values.len());
        for (value, weight) in values.iter().zip(&weights) {
            let value = number(value, carried)?;
            if !value.is_positive() {
                return Err(Problem::NoDivisor("level"));
            }
            members.push((value, number(weight, exponent)?));
        }
        // No sum runs here; the exponents stand where others have coefficients.
        self.basket.coefficients = members.iter().map(|(_, weight)| *weight).collect();
        self.basket.quantities = vec![0; members.len()];
        self.basket.scale = 0;
        self.product = Some(Product {
            own: number(level, carried)?,
            members,
        });
        Ok(())
    }

    /// The level cut to places, the product taken in the order of the basket.
    pub(crate) fn product_level(&self, securities: &[Security], cut: Cut) -> Option<Decimal> {
        let product = self.product.as_ref()?;
        let mut relatives = Vec::with_capacity(product.members.len());
        for (at, (before, weight)) in product.members.iter().enumerate() {
            let holding = self.basket.holdings.get(at)?;
            let price = holding.price(securities)?;
            let rate = self.basket.rates[self.basket.slots[at]]?;
            let now = Ratio::from(price).multiply(&rate.into());
            let now = now.round(self.definition.rounding.carried)?;
            relatives.push((now, *before, *weight));
        }
        float::geometric(product.own, &relatives, cut)
    }
}
