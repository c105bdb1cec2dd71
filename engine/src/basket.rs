//! From a basket as defined to coefficients: the weighting schemes.

use serde::{Deserialize, Serialize};

use crate::definition::{Constituent, IndexDefinition, Weighting};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::security::Security;
use crate::{Decimal, SecurityId};

/// Most decimal places a stated quantity (units, shares, factors, weights, prices) may have.
const STATED_PLACES_MAX: u8 = 18;

/// A constituent of a basket whose symbol is resolved and whose fields fit the weighting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Holding {
    pub(crate) security: SecurityId,
    /// The reference price of the definition, if it states one.
    pub(crate) reference: Option<Decimal>,
    pub(crate) rule: Rule,
    /// The price that this index sees instead of the security's last one, in the security's units:
    /// an action left it another one. Until the next trade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<i64>,
}

impl Holding {
    /// The price as the index sees it, in the security's units; 0 while there is none.
    pub(crate) fn units(&self, securities: &[Security]) -> i64 {
        self.seen.unwrap_or(securities[self.security.at()].price)
    }

    /// The same as a decimal; none before the first.
    pub(crate) fn price(&self, securities: &[Security]) -> Option<Decimal> {
        let places = securities[self.security.at()].definition.price_places;
        let units = self.units(securities);
        (units != 0).then(|| Decimal::new(units.into(), places))
    }
}

/// Where a coefficient comes from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Rule {
    /// It is stated: units, or shares times factors.
    Units(Decimal),
    /// It follows from a target weight and prices at the reset.
    Weight(TargetWeight),
}

/// A target weight as a fraction: `1/n` of an equal index has no finite decimal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TargetWeight(i128, i128);

impl TargetWeight {
    pub(crate) fn exact(self) -> Ratio {
        // The denominator is a power of ten or a count of members, never zero.
        Ratio::new(self.0, self.1).unwrap_or_else(Ratio::zero)
    }
}

impl Weighting {
    /// True where coefficients follow from target weights, so that they wait for prices.
    pub(crate) const fn follows_weights(self) -> bool {
        matches!(
            self,
            Self::Equal { .. } | Self::FixedWeight { .. } | Self::ConstantWeight
        )
    }

    /// True where a split leaves the coefficient alone, so that the divisor moves.
    pub(crate) const fn ignores_splits(self) -> bool {
        matches!(self, Self::Price)
    }
}

/// Checks a basket against its weighting; `resolve` finds a security by symbol.
pub(crate) fn holdings(
    definition: &IndexDefinition,
    resolve: impl Fn(&str) -> Option<SecurityId>,
) -> Result<Vec<Holding>, Problem> {
    if definition.basket.is_empty() {
        return Err(Problem::EmptyBasket);
    }
    let mut seen = std::collections::BTreeSet::new();
    let count = definition.basket.len() as i128;
    definition
        .basket
        .iter()
        .map(|constituent| {
            let symbol = &constituent.symbol;
            let security = resolve(symbol).ok_or_else(|| Problem::UnknownSecurity(clip(symbol)))?;
            if !seen.insert(security) {
                return Err(Problem::TwiceInBasket(clip(symbol)));
            }
            refuse_unused(definition.weighting, constituent)?;
            let reference = optional(constituent, "price", constituent.price, Bound::Positive)?;
            let rule = rule(definition, constituent, count)?;
            Ok(Holding {
                security,
                reference,
                rule,
                seen: None,
            })
        })
        .collect()
}

/// The coefficient rule of one constituent.
fn rule(
    definition: &IndexDefinition,
    constituent: &Constituent,
    count: i128,
) -> Result<Rule, Problem> {
    let cut = definition.rounding.coefficient;
    match definition.weighting {
        Weighting::Price => {
            let units = optional(constituent, "units", constituent.units, Bound::Positive)?;
            Ok(Rule::Units(units.unwrap_or(Decimal::ONE)))
        }
        Weighting::FixedUnits => {
            let units = optional(constituent, "units", constituent.units, Bound::NotZero)?;
            Ok(Rule::Units(required(constituent, "units", units)?))
        }
        Weighting::MarketCap => {
            let shares = optional(constituent, "shares", constituent.shares, Bound::Positive)?;
            let shares = required(constituent, "shares", shares)?;
            let float = optional(constituent, "float", constituent.float, Bound::Fraction)?;
            let cap = optional(constituent, "cap", constituent.cap, Bound::Positive)?;
            let product = Ratio::from(shares)
                .multiply(&float.unwrap_or(Decimal::ONE).into())
                .multiply(&cap.unwrap_or(Decimal::ONE).into());
            let units = product.round(cut).ok_or(Problem::Overflow)?;
            Ok(Rule::Units(units.normalized()))
        }
        Weighting::Equal { .. } => Ok(Rule::Weight(TargetWeight(1, count))),
        Weighting::FixedWeight { .. } => weight(constituent, Bound::Positive),
        Weighting::ConstantWeight => weight(constituent, Bound::NotZero),
    }
}

fn weight(constituent: &Constituent, bound: Bound) -> Result<Rule, Problem> {
    let weight = optional(constituent, "weight", constituent.weight, bound)?;
    let weight = required(constituent, "weight", weight)?;
    let unit = crate::pow10(weight.places()).ok_or(Problem::Overflow)?;
    Ok(Rule::Weight(TargetWeight(weight.mantissa(), unit)))
}

/// Refuses fields that the weighting would silently ignore.
fn refuse_unused(weighting: Weighting, constituent: &Constituent) -> Result<(), Problem> {
    let used: &[&str] = match weighting {
        Weighting::Price | Weighting::FixedUnits => &["units"],
        Weighting::MarketCap => &["shares", "float", "cap"],
        Weighting::Equal { .. } => &[],
        Weighting::FixedWeight { .. } | Weighting::ConstantWeight => &["weight"],
    };
    let stated = [
        ("units", constituent.units),
        ("shares", constituent.shares),
        ("float", constituent.float),
        ("cap", constituent.cap),
        ("weight", constituent.weight),
    ];
    match stated
        .into_iter()
        .find(|(field, value)| value.is_some() && !used.contains(field))
    {
        Some((field, _)) => Err(Problem::Unused {
            symbol: clip(&constituent.symbol),
            field,
        }),
        None => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Positive,
    NotZero,
    Fraction,
}

fn optional(
    constituent: &Constituent,
    field: &'static str,
    value: Option<Decimal>,
    bound: Bound,
) -> Result<Option<Decimal>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let value = value.normalized();
    let (fits, range) = match bound {
        Bound::Positive => (value.is_positive(), "above 0, with at most 18 places"),
        Bound::NotZero => (
            value.mantissa() != 0,
            "other than 0, with at most 18 places",
        ),
        Bound::Fraction => {
            let one = crate::pow10(value.places()).unwrap_or(i128::MAX);
            (
                value.is_positive() && value.mantissa() <= one,
                "above 0 and at most 1",
            )
        }
    };
    if fits && value.places() <= STATED_PLACES_MAX {
        return Ok(Some(value));
    }
    let symbol = clip(&constituent.symbol);
    Err(Problem::Range {
        symbol,
        field,
        value: value.to_string(),
        range,
    })
}

fn required(
    constituent: &Constituent,
    field: &'static str,
    value: Option<Decimal>,
) -> Result<Decimal, Problem> {
    value.ok_or_else(|| Problem::Missing {
        symbol: clip(&constituent.symbol),
        field,
    })
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}
