//! Index dividends: what the members pay, in points of the index (METHODOLOGY §1.4).

use crate::definition::{Variant, Withholding};
use crate::exact::Ratio;
use crate::{Currency, Decimal, Engine, IndexId, SecurityId};

/// An ordinary dividend on its ex-date.
#[derive(Debug, Clone)]
pub(crate) struct Payment {
    /// Gross, per share.
    pub(crate) amount: Decimal,
    pub(crate) currency: Currency,
    pub(crate) country: Option<String>,
    pub(crate) payer: Option<String>,
    /// The rate withheld, where the dividend states one.
    pub(crate) tax: Option<Decimal>,
}

impl Payment {
    /// What is left of a unit of it.
    fn kept(&self, rule: Option<&Withholding>) -> Ratio {
        let Some(rule) = rule else {
            return Ratio::one();
        };
        let fits =
            |stated: &Option<String>, own: &Option<String>| stated.is_none() || stated == own;
        let exception = rule
            .rules
            .iter()
            .find(|r| fits(&r.country, &self.country) && fits(&r.payer, &self.payer));
        let rate = self
            .tax
            .unwrap_or_else(|| exception.map_or(rule.rate, |r| r.rate));
        Ratio::one().subtract(&rate.into())
    }
}

impl Engine {
    /// `Σ d·q·FX / D` of an index for the ex-dates after one day and up to another, with the
    /// coefficients, the divisor and the rates of this moment. Cash in a currency without a rate,
    /// and dividends of what is not a member, count nothing.
    pub(super) fn index_dividends(
        &self,
        id: IndexId,
        after: i32,
        until: i32,
        net: Option<&Withholding>,
    ) -> Option<Ratio> {
        let index = &self.indexes[id.at()];
        if let Some(follow) = &index.follow {
            // Only a converted level passes its parent's dividends on.
            let below = self.index_dividends(follow.parent, after, until, net)?;
            return match index.definition.variant {
                Some(Variant::Converted(_)) => Some(below.multiply(&self.line(id)?.slope)),
                _ => Some(Ratio::zero()),
            };
        }
        let divisor = Ratio::from(index.divisor?);
        let basket = &index.basket;
        let mut sum = Ratio::zero();
        for (holding, coefficient) in basket.holdings.iter().zip(&basket.coefficients) {
            for payment in self.payments(holding.security, after, until) {
                let own = index.definition.currency;
                let rule = index.definition.fx;
                let Some(rate) = self.rates.convert(payment.currency, own, rule) else {
                    continue;
                };
                let value = Ratio::from(payment.amount)
                    .multiply(&payment.kept(net))
                    .multiply(&(*coefficient).into())
                    .multiply(&rate.into());
                sum = sum.add(&value);
            }
        }
        sum.divide(&divisor)
    }

    /// The ordinary dividends of a security with ex-dates after one day and up to another.
    fn payments(&self, _security: SecurityId, _after: i32, _until: i32) -> Vec<Payment> {
        Vec::new()
    }
}
