//! Target weights: what each scheme wants a member to weigh, before prices turn it into a
//! coefficient (METHODOLOGY §1.3).
//!
//! - [`cap`]: limits on weights
//! - [`score`]: weights of market values and scores
//! - [`variance`]: weights of least variance
//! - [`product`]: the geometric kernel

pub(crate) mod cap;
pub(crate) mod product;
pub(crate) mod score;
pub(crate) mod variance;

use crate::basket::{Rule, float_factor};
use crate::definition::{Constituent, IndexDefinition, Weighting};
use crate::exact::Ratio;
use crate::index::Index;
use crate::problem::Problem;
use crate::{Decimal, RoundingMode};

impl Index {
    /// The weights that the scheme and its limits give at these values of one share; only their
    /// ratios matter.
    pub(crate) fn target_weights(&self, values: &[Ratio]) -> Result<Vec<Ratio>, Problem> {
        let definition = &self.definition;
        let base = match definition.weighting {
            Weighting::Score { .. } => score::weights(definition, values)?,
            Weighting::MarketCap => {
                let members = definition.basket.iter().zip(values);
                let value = |(member, value)| market_value(definition, member, value);
                members.map(value).collect::<Result<_, _>>()?
            }
            Weighting::None
            | Weighting::Price
            | Weighting::FixedUnits
            | Weighting::Equal { .. }
            | Weighting::FixedWeight { .. }
            | Weighting::ConstantWeight
            | Weighting::Geometric { .. }
            | Weighting::VolumeMedian => self.stated_weights(),
        };
        match &definition.caps {
            Some(caps) => cap::capped_anyhow(&base, &definition.basket, caps),
            None => Ok(base),
        }
    }

    fn stated_weights(&self) -> Vec<Ratio> {
        let weight = |rule: &Rule| match rule {
            Rule::Weight(weight) => weight.exact(),
            Rule::Units(_) | Rule::Computed => Ratio::zero(),
        };
        self.basket
            .holdings
            .iter()
            .map(|h| weight(&h.rule))
            .collect()
    }

    /// Sets the capping factors of a capitalisation-weighted index anew: what is left of each
    /// member's weight, against the member that lost least, which keeps all.
    pub(crate) fn set_caps(&mut self, values: &[Ratio]) -> Result<(), Problem> {
        if !matches!(self.definition.weighting, Weighting::MarketCap)
            || self.definition.caps.is_none()
        {
            return Ok(());
        }
        let wanted = self.target_weights(values)?;
        let mut kept = Vec::with_capacity(wanted.len());
        for ((member, value), wanted) in self.definition.basket.iter().zip(values).zip(&wanted) {
            let own = market_value(&self.definition, member, value)?;
            kept.push(wanted.divide(&own).ok_or(Problem::NoDivisor("cap"))?);
        }
        let most = kept.iter().cloned().fold(Ratio::zero(), Ratio::max);
        let cut = self.definition.rounding.coefficient;
        for (at, kept) in kept.iter().enumerate() {
            let cap = kept
                .divide(&most)
                .and_then(|cap| cap.round(cut))
                .filter(|cap| cap.is_positive())
                .ok_or(Problem::NoDivisor("cap"))?;
            self.definition.basket[at].cap = Some(cap.normalized());
            let units = crate::basket::units(&self.definition, &self.definition.basket[at])?;
            self.basket.holdings[at].rule = Rule::Units(units);
        }
        Ok(())
    }
}

/// What the floating shares of a member are worth, before any cap.
pub(super) fn market_value(
    definition: &IndexDefinition,
    member: &Constituent,
    value: &Ratio,
) -> Result<Ratio, Problem> {
    let shares = member.shares.unwrap_or(Decimal::ONE);
    let float = float_factor(definition, member)?;
    Ok(value.multiply(&shares.into()).multiply(&float.into()))
}

/// A fraction brought to steps, at most 1.
pub(crate) fn to_step(fraction: &Ratio, step: Decimal, mode: RoundingMode) -> Option<Decimal> {
    let steps = fraction.divide(&step.into())?.round_scaled(0, mode)?;
    let cut = Decimal::new(steps.checked_mul(step.mantissa())?, step.places());
    let one = crate::pow10(cut.places())?;
    Some(if cut.mantissa() > one {
        Decimal::ONE
    } else {
        cut
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brings_to_steps() {
        let check = |fraction: (i128, i128), step: &str, mode, expected: &str| {
            let fraction = Ratio::new(fraction.0, fraction.1).unwrap();
            let got = to_step(&fraction, step.parse().unwrap(), mode).unwrap();
            assert_eq!(
                got,
                expected.parse().unwrap(),
                "{fraction:?} {step} {mode:?}"
            );
        };
        check((72, 100), "0.05", RoundingMode::Up, "0.75");
        check((55, 100), "0.05", RoundingMode::Up, "0.55");
        check((1, 3), "0.01", RoundingMode::HalfUp, "0.33");
        check((1, 3), "0.25", RoundingMode::Down, "0.25");
        check((99, 100), "0.4", RoundingMode::Up, "1");
    }
}
