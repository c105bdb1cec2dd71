//! Index dividends: what the members pay, in points of the index (METHODOLOGY §1.4).

use crate::action::ExDividend;
use crate::definition::{FxRates, Variant, Withholding};
use crate::exact::Ratio;
use crate::{Engine, IndexId};

/// What is left of a unit of a dividend.
fn kept(dividend: &ExDividend, rule: Option<&Withholding>) -> Ratio {
    let Some(rule) = rule else {
        return Ratio::one();
    };
    let kind = if dividend.special {
        "special"
    } else {
        "ordinary"
    };
    let fits = |stated: Option<&str>, own: Option<&str>| stated.is_none() || stated == own;
    let exception = rule.rules.iter().find(|r| {
        fits(r.country.as_deref(), dividend.country.as_deref())
            && fits(r.kind.as_deref(), Some(kind))
            && fits(r.payer.as_deref(), dividend.payer.as_deref())
    });
    let rate = dividend
        .tax
        .unwrap_or_else(|| exception.map_or(rule.rate, |r| r.rate));
    Ratio::one().subtract(&rate.into())
}

impl Engine {
    /// A currency that no member is quoted in comes by way of the payer's.
    fn rate_by_payer(&self, id: IndexId, dividend: &ExDividend) -> Option<Ratio> {
        let payer = self.securities[dividend.security.at()].definition.currency;
        let own = self.indexes[id.at()].currency_rate(payer, &self.rates)?;
        let paid = self.plain_rate(dividend.currency, payer).ok()?;
        Some(paid.multiply(&own.into()))
    }

    /// `Σ d·q·FX / D` of an index for the ex-dates of its present day, with the coefficients, the
    /// divisor and the rates with which each of them came. Cash in a currency without a rate counts
    /// nothing.
    pub(super) fn index_dividends(&self, id: IndexId, net: Option<&Withholding>) -> Option<Ratio> {
        let index = &self.indexes[id.at()];
        if let Some(follow) = &index.follow {
            // Only a converted level passes its parent's dividends on.
            let below = self.index_dividends(follow.parent, net)?;
            return match index.definition.variant {
                Some(Variant::Converted(_)) => Some(below.multiply(&self.line(id)?.slope)),
                _ => Some(Ratio::zero()),
            };
        }
        index.divisor?;
        let mut sum = Ratio::zero();
        for dividend in &index.dividends {
            let noted = dividend.points.clone();
            if let Some(points) = noted.or_else(|| self.points(id, dividend)) {
                sum = sum.add(&points.multiply(&kept(dividend, net)));
            }
        }
        Some(sum)
    }

    /// `d·q·FX / D` of one dividend, before anything is withheld, at this moment.
    fn points(&self, id: IndexId, dividend: &ExDividend) -> Option<Ratio> {
        let index = &self.indexes[id.at()];
        let mut held = index.basket.holdings.iter();
        let place = held.position(|h| h.security == dividend.security)?;
        let coefficient = *index.basket.coefficients.get(place)?;
        // Rates of one turn each member's own currency into the index's, no other.
        let payer = self.securities[dividend.security.at()].definition.currency;
        let is_own = index.definition.fx.rates != FxRates::One || dividend.currency == payer;
        let rate = index.currency_rate(dividend.currency, &self.rates);
        let rate = rate.filter(|_| is_own).map(Ratio::from);
        let rate = rate.or_else(|| self.rate_by_payer(id, dividend))?;
        let value = Ratio::from(dividend.amount).multiply(&coefficient.into());
        value.multiply(&rate).divide(&index.divisor?.into())
    }

    /// Notes what the dividends of an index come to that have just come.
    pub(crate) fn note_points(&mut self, id: IndexId) {
        for at in 0..self.indexes[id.at()].dividends.len() {
            let dividend = &self.indexes[id.at()].dividends[at];
            if dividend.points.is_none() {
                let points = self.points(id, dividend);
                self.indexes[id.at()].dividends[at].points = points;
            }
        }
    }
}
