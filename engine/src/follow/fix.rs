//! The formulas: what the level of each kind is from the values at which it was fixed.

use super::interest::Span;
use super::{Fixing, Follow, Leg, Line, volatility};
use crate::definition::{
    DayCount, ExcessMethod, Hedged, IndexDefinition, Leveraged, Reinvestment, Valuation, Variant,
};
use crate::exact::Ratio;
use crate::{Currency, Decimal, Engine, IndexId};

/// The values that a line is laid through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Through {
    pub(super) own: Decimal,
    pub(super) parent: Decimal,
    /// Dividends of the day that begins, in points of the parent.
    pub(super) dividends: Decimal,
    pub(super) span: Span,
}

impl Engine {
    /// The line of a variant at this moment.
    pub(super) fn line(&self, id: IndexId) -> Option<Line> {
        let index = &self.indexes[id.at()];
        let fixing = index.follow.as_ref()?.fixing.as_ref()?;
        match index.definition.variant.as_ref()? {
            Variant::Converted(_) => {
                let leg = fixing.legs.first()?;
                let slope = Ratio::from(fixing.own)
                    .multiply(&self.spot(&index.definition, leg.currency)?.into());
                Some(Line {
                    slope: slope.divide(&Ratio::from(fixing.parent).multiply(&leg.spot.into()))?,
                    offset: Ratio::zero(),
                })
            }
            Variant::Hedged(rule) => {
                let follow = index.follow.as_ref()?;
                let gain = self.hedge_gain(&index.definition, follow, fixing, rule)?;
                let own = Ratio::from(fixing.own);
                Some(Line {
                    slope: own.divide(&fixing.parent.into())?,
                    offset: own.multiply(&gain).multiply(&rule.ratio.into()),
                })
            }
            Variant::TotalReturn(_)
            | Variant::DividendPoints(_)
            | Variant::ExcessReturn(_)
            | Variant::Decrement(_)
            | Variant::Leveraged(_)
            | Variant::VolatilityControl(_) => Some(fixing.line.clone()),
        }
    }

    /// The line that is laid anew through `at`; `None` while a rate is missing.
    pub(super) fn fixed_line(
        &self,
        definition: &IndexDefinition,
        follow: &Follow,
        at: Through,
    ) -> Option<Line> {
        let own = Ratio::from(at.own);
        let parent = Ratio::from(at.parent);
        let dividends = Ratio::from(at.dividends);
        let per_point = own.divide(&parent)?;
        let years = |count: DayCount| at.span.years(count);
        Some(match definition.variant.as_ref()? {
            Variant::TotalReturn(rule) => match rule.reinvestment {
                Reinvestment::Close => Line {
                    offset: per_point.multiply(&dividends),
                    slope: per_point,
                },
                Reinvestment::PriorClose => Line {
                    slope: own.divide(&parent.subtract(&dividends))?,
                    offset: Ratio::zero(),
                },
            },
            Variant::DividendPoints(_) => Line {
                slope: Ratio::zero(),
                offset: own.add(&dividends),
            },
            Variant::ExcessReturn(rule) => {
                let cash = self.accrued(follow, Some(&rule.rate), at.span)?;
                match rule.method {
                    ExcessMethod::Geometric => Line {
                        slope: per_point.divide(&Ratio::one().add(&cash))?,
                        offset: Ratio::zero(),
                    },
                    ExcessMethod::Additive => Line {
                        slope: per_point,
                        offset: Ratio::zero().subtract(&own.multiply(&cash)),
                    },
                }
            }
            Variant::Decrement(rule) => {
                let part = years(rule.day_count);
                let less = match (rule.rate, rule.points) {
                    (Some(rate), _) => own.multiply(&rate.into()).multiply(&part),
                    (None, Some(points)) => part.multiply(&points.into()),
                    (None, None) => return None,
                };
                Line {
                    slope: per_point,
                    offset: Ratio::zero().subtract(&less),
                }
            }
            Variant::Leveraged(rule) => self.leveraged(follow, rule, at)?,
            Variant::VolatilityControl(rule) => {
                let cut = definition.rounding.coefficient;
                let exposure = volatility::exposure(rule, &follow.closes, &follow.variances, cut)
                    .unwrap_or(rule.exposure_first);
                let rest = Ratio::one().subtract(&exposure.into());
                let cash = self.accrued(follow, rule.cash.as_ref(), at.span)?;
                Line {
                    slope: per_point.multiply(&exposure.into()),
                    offset: own.multiply(&rest).multiply(&Ratio::one().add(&cash)),
                }
            }
            Variant::Converted(_) | Variant::Hedged(_) => Line {
                slope: per_point,
                offset: Ratio::zero(),
            },
        })
    }

    /// The line of a day that keeps the one before: where cash is part of it, with the interest of
    /// the day.
    pub(super) fn kept_line(
        &self,
        variant: &Variant,
        follow: &Follow,
        before: &Fixing,
        span: Span,
    ) -> Option<Line> {
        let Line { slope, offset } = before.line.clone();
        let offset = match variant {
            Variant::VolatilityControl(rule) => {
                let own = Ratio::from(before.own);
                let invested = slope.multiply(&before.parent.into());
                let earned = self.accrued(follow, rule.cash.as_ref(), span)?;
                offset.add(&own.subtract(&invested).multiply(&earned))
            }
            Variant::TotalReturn(_)
            | Variant::DividendPoints(_)
            | Variant::ExcessReturn(_)
            | Variant::Decrement(_)
            | Variant::Converted(_)
            | Variant::Hedged(_)
            | Variant::Leveraged(_) => offset,
        };
        Some(Line { slope, offset })
    }

    fn leveraged(&self, follow: &Follow, rule: &Leveraged, at: Through) -> Option<Line> {
        let own = Ratio::from(at.own);
        let factor = Ratio::from(rule.factor);
        let borrowed = factor.subtract(&Ratio::one());
        let financing = self.accrued(follow, rule.rate.as_ref(), at.span)?;
        let borrow = self.accrued(follow, rule.borrow.as_ref(), at.span)?;
        let cost = if at.span.is_empty() {
            Ratio::zero()
        } else {
            rule.cost.into()
        };
        let costs = borrowed.multiply(&financing).add(&borrow).add(&cost);
        Some(Line {
            slope: own.multiply(&factor).divide(&at.parent.into())?,
            offset: own.multiply(&Ratio::one().subtract(&factor).subtract(&costs)),
        })
    }

    /// `Σ w·(F0 - S)/S0` over the hedged currencies. The sources write `Σ w·(S0/F0 - S0/S)` with
    /// rates the other way about; with those, too, a forward is interpolated.
    fn hedge_gain(
        &self,
        definition: &IndexDefinition,
        follow: &Follow,
        fixing: &Fixing,
        rule: &Hedged,
    ) -> Option<Ratio> {
        let mut gain = Ratio::zero();
        for leg in &fixing.legs {
            let spot = Ratio::from(self.spot(definition, leg.currency)?);
            let worth = match rule.valuation {
                Valuation::Spot => spot,
                Valuation::Interpolated => {
                    let forward = Ratio::from(self.forward(follow, rule, leg.currency)?);
                    let month = month_from(leg.day);
                    let left = (month - (fixing.day - leg.day)).max(0);
                    let part = Ratio::new(left.into(), month.into())?;
                    let spot = Ratio::one().divide(&spot)?;
                    let premium = Ratio::one().divide(&forward)?.subtract(&spot);
                    Ratio::one().divide(&spot.add(&premium.multiply(&part)))?
                }
            };
            let sold = Ratio::from(leg.forward).subtract(&worth);
            let earned = sold.divide(&leg.spot.into())?;
            gain = gain.add(&earned.multiply(&leg.weight.into()));
        }
        Some(gain)
    }

    /// The legs of a converted or hedged level at this moment.
    pub(super) fn legs(&self, id: IndexId, follow: &Follow, day: i32) -> Option<Vec<Leg>> {
        let definition = &self.indexes[id.at()].definition;
        let leg = |currency, weight, spot, forward| Leg {
            currency,
            weight,
            spot,
            forward,
            day,
        };
        match definition.variant.as_ref()? {
            Variant::Converted(_) => {
                let from = self.indexes[follow.parent.at()].definition.currency;
                let spot = self.spot(definition, from)?;
                Some(vec![leg(from, Decimal::ONE, spot, spot)])
            }
            Variant::Hedged(rule) => {
                let cut = definition.rounding.carried;
                let weights = self.exposures(follow.parent)?;
                let mut legs = Vec::new();
                for (currency, weight) in weights {
                    if rule.forwards.iter().all(|f| f.currency != currency) {
                        continue;
                    }
                    let spot = self.spot(definition, currency)?;
                    let forward = self.forward(follow, rule, currency)?;
                    legs.push(leg(currency, weight.round(cut)?, spot, forward));
                }
                Some(legs)
            }
            Variant::TotalReturn(_)
            | Variant::DividendPoints(_)
            | Variant::ExcessReturn(_)
            | Variant::Decrement(_)
            | Variant::Leveraged(_)
            | Variant::VolatilityControl(_) => Some(Vec::new()),
        }
    }

    fn spot(&self, definition: &IndexDefinition, from: Currency) -> Option<Decimal> {
        self.rates.convert(from, definition.currency, definition.fx)
    }

    fn forward(&self, follow: &Follow, rule: &Hedged, currency: Currency) -> Option<Decimal> {
        let forward = rule.forwards.iter().find(|f| f.currency == currency)?;
        let id = follow.inputs.get(&forward.security)?;
        self.securities.get(id.at())?.last_price()
    }

    /// The weight of each currency in the basket that a level goes back to.
    fn exposures(&self, id: IndexId) -> Option<Vec<(Currency, Ratio)>> {
        let root = &self.indexes[self.root(id).at()];
        let basket = &root.basket;
        if let Some(product) = &root.product {
            // A product moves with a rate by the exponents of what is quoted in it.
            let mut weights: Vec<_> = basket
                .currencies
                .iter()
                .map(|currency| (*currency, Ratio::zero()))
                .collect();
            for (slot, (_, exponent)) in basket.slots.iter().zip(&product.members) {
                weights[*slot].1 = weights[*slot].1.add(&(*exponent).into());
            }
            return Some(weights);
        }
        if root.fixing.is_some() {
            return Some(vec![(root.definition.currency, Ratio::one())]);
        }
        let sums = basket.sums(&self.securities);
        let total = basket.market_value(&sums)?;
        let mut weights = Vec::new();
        for ((currency, sum), rate) in basket.currencies.iter().zip(&sums).zip(&basket.rates) {
            let value = Ratio::scaled(*sum, basket.scale).multiply(&(*rate)?.into());
            weights.push((*currency, value.divide(&total)?));
        }
        Some(weights)
    }
}

/// The days from one day to the same day of the next month.
fn month_from(day: i32) -> i32 {
    let start = super::interest::date(day);
    let end = start.saturating_add(jiff::Span::new().months(1));
    super::interest::number(end) - day
}
