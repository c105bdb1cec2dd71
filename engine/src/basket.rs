//! From a basket as defined to coefficients: the weighting schemes.

use serde::{Deserialize, Serialize};

use crate::definition::{Constituent, IndexDefinition, Reset, ScoreRule, Weighting};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::security::Security;
use crate::weights::{cap, score};
use crate::{Decimal, SecurityId};

/// Most decimal places a stated quantity (units, shares, factors, weights, prices) may have.
const STATED_PLACES_MAX: u8 = 18;

/// What the exponents of a geometric index sum to at the most, signs aside: a price that doubles
/// moves the level a thousandfold then.
const EXPONENTS_MAX: Decimal = Decimal::new(10, 0);

/// A constituent of a basket whose symbol is resolved and whose fields fit the weighting.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It is stated: units, or shares times factors.
    Units(Decimal),
    /// It follows from a target weight and prices at the reset.
    Weight(TargetWeight),
    /// The weight itself follows from prices.
    Computed,
}

/// A target weight as a fraction: `1/n` of an equal index has no finite decimal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
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
            Self::Equal { .. }
                | Self::FixedWeight { .. }
                | Self::ConstantWeight
                | Self::Score { .. }
                | Self::Geometric { .. }
        )
    }

    /// True where coefficients are stated numbers of shares or units, which a split multiplies.
    pub(crate) const fn counts_shares(self) -> bool {
        !self.follows_weights() && !self.ignores_splits()
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
    let holdings = definition
        .basket
        .iter()
        .map(|constituent| {
            let symbol = &constituent.symbol;
            let security = resolve(symbol).ok_or_else(|| Problem::UnknownSecurity(clip(symbol)))?;
            if !seen.insert(security) {
                return Err(Problem::TwiceInBasket(clip(symbol)));
            }
            refuse_unused(definition, constituent)?;
            let reference = optional(constituent, "price", constituent.price, Bound::Positive)?;
            let rule = rule(definition, constituent, count)?;
            Ok(Holding {
                security,
                reference,
                rule,
                seen: None,
            })
        })
        .collect::<Result<_, _>>()?;
    check_rules(definition)?;
    Ok(holdings)
}

/// The coefficient rule of one constituent.
fn rule(
    definition: &IndexDefinition,
    constituent: &Constituent,
    count: i128,
) -> Result<Rule, Problem> {
    match definition.weighting {
        Weighting::None => Err(Problem::Variant(
            "states neither a weighting nor what it is `of`",
        )),
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
            required(constituent, "shares", shares)?;
            optional(constituent, "cap", constituent.cap, Bound::Positive)?;
            Ok(Rule::Units(units(definition, constituent)?))
        }
        Weighting::Equal { .. } => Ok(Rule::Weight(TargetWeight(1, count))),
        Weighting::FixedWeight { .. } => weight(constituent, Bound::Positive),
        Weighting::ConstantWeight => weight(constituent, Bound::NotZero),
        Weighting::Geometric { .. } if constituent.weight.is_none() => {
            Ok(Rule::Weight(TargetWeight(1, count)))
        }
        Weighting::Geometric { .. } => weight(constituent, Bound::NotZero),
        Weighting::Score { .. } => {
            optional(constituent, "weight", constituent.weight, Bound::Positive)?;
            let shares = optional(constituent, "shares", constituent.shares, Bound::Positive)?;
            let score = &definition.score;
            let has_size = score.size.mantissa() != 0 && score.least_variance.is_none();
            if constituent.weight.is_none() && has_size {
                required(constituent, "shares", shares)?;
            }
            float_factor(definition, constituent)?;
            Ok(Rule::Computed)
        }
        Weighting::VolumeMedian => Ok(Rule::Units(Decimal::ONE)),
    }
}

/// `shares · float · cap` of a member whose fields have been checked.
pub(crate) fn units(
    definition: &IndexDefinition,
    constituent: &Constituent,
) -> Result<Decimal, Problem> {
    let product = Ratio::from(constituent.shares.unwrap_or(Decimal::ZERO))
        .multiply(&float_factor(definition, constituent)?.into())
        .multiply(&constituent.cap.unwrap_or(Decimal::ONE).into());
    let units = product.round(definition.rounding.coefficient);
    Ok(units.ok_or(Problem::Overflow)?.normalized())
}

/// The part of a member's shares that counts: stated or what is not strategic, brought to steps, and
/// within what foreigners may hold.
pub(crate) fn float_factor(
    definition: &IndexDefinition,
    constituent: &Constituent,
) -> Result<Decimal, Problem> {
    let float = optional(constituent, "float", constituent.float, Bound::Fraction)?;
    let limit = constituent.foreign_limit;
    let limit = optional(constituent, "foreign_limit", limit, Bound::Fraction)?;
    let raw = match (float, constituent.strategic) {
        (Some(_), Some(_)) => {
            return Err(Problem::Unused {
                symbol: clip(&constituent.symbol),
                field: "strategic",
            });
        }
        (Some(float), None) => float.into(),
        (None, None) => Ratio::one(),
        (None, Some(strategic)) => floating(constituent, strategic)?,
    };
    let cut = match definition.float {
        Some(rule) => crate::weights::to_step(&raw, rule.step, rule.mode),
        None => raw.round(definition.rounding.coefficient),
    };
    let cut = cut
        .filter(|cut| cut.is_positive())
        .ok_or_else(|| Problem::Range {
            symbol: clip(&constituent.symbol),
            field: "float",
            value: "0".to_owned(),
            range: "above 0 after it is rounded",
        })?;
    Ok(match limit {
        Some(limit) if Ratio::from(cut).subtract(&limit.into()).is_positive() => limit,
        _ => cut,
    })
}

/// `(shares - strategic) / shares`.
fn floating(constituent: &Constituent, strategic: Decimal) -> Result<Ratio, Problem> {
    optional(
        constituent,
        "strategic",
        Some(strategic),
        Bound::NotNegative,
    )?;
    let shares = Ratio::from(required(constituent, "shares", constituent.shares)?);
    shares
        .subtract(&strategic.into())
        .divide(&shares)
        .filter(Ratio::is_positive)
        .ok_or_else(|| Problem::Range {
            symbol: clip(&constituent.symbol),
            field: "strategic",
            value: strategic.to_string(),
            range: "below `shares`",
        })
}

fn weight(constituent: &Constituent, bound: Bound) -> Result<Rule, Problem> {
    let weight = optional(constituent, "weight", constituent.weight, bound)?;
    let weight = required(constituent, "weight", weight)?;
    let unit = crate::pow10(weight.places()).ok_or(Problem::Overflow)?;
    Ok(Rule::Weight(TargetWeight(weight.mantissa(), unit)))
}

/// Refuses fields that the weighting would silently ignore.
fn refuse_unused(definition: &IndexDefinition, constituent: &Constituent) -> Result<(), Problem> {
    let used: &[&str] = match definition.weighting {
        Weighting::None | Weighting::Equal { .. } | Weighting::VolumeMedian => &[],
        Weighting::Price | Weighting::FixedUnits => &["units"],
        Weighting::MarketCap => &["shares", "float", "strategic", "foreign_limit", "cap"],
        Weighting::FixedWeight { .. } | Weighting::ConstantWeight | Weighting::Geometric { .. } => {
            &["weight"]
        }
        Weighting::Score { .. } => &[
            "shares",
            "float",
            "strategic",
            "foreign_limit",
            "weight",
            "score",
            "scores",
            "covariances",
        ],
    };
    let capped = definition.caps.is_some();
    let stated = [
        ("units", constituent.units.is_some()),
        ("shares", constituent.shares.is_some()),
        ("float", constituent.float.is_some()),
        ("strategic", constituent.strategic.is_some()),
        ("foreign_limit", constituent.foreign_limit.is_some()),
        ("cap", constituent.cap.is_some()),
        ("weight", constituent.weight.is_some()),
        ("score", constituent.score.is_some()),
        ("scores", !constituent.scores.is_empty()),
        ("covariances", !constituent.covariances.is_empty()),
        ("issuer", constituent.issuer.is_some() && !capped),
        ("group", constituent.group.is_some() && !capped),
    ];
    match stated
        .into_iter()
        .find(|(field, is_stated)| *is_stated && !used.contains(field))
    {
        Some((field, _)) => Err(Problem::Unused {
            symbol: clip(&constituent.symbol),
            field,
        }),
        None => Ok(()),
    }
}

/// Checks the rules of an index that are about weights.
fn check_rules(definition: &IndexDefinition) -> Result<(), Problem> {
    let weighting = definition.weighting;
    let refuse = |what| Err(Problem::Limits(what));
    let counts_float = matches!(weighting, Weighting::MarketCap | Weighting::Score { .. });
    if let Some(caps) = &definition.caps {
        if !counts_float && !matches!(weighting, Weighting::FixedWeight { .. }) {
            return refuse("have caps that this weighting cannot meet");
        }
        if caps.reset != Reset::Never && !matches!(weighting, Weighting::MarketCap) {
            return refuse("have caps with a `reset`, which belongs to the weighting here");
        }
        if matches!(weighting, Weighting::Score { .. }) {
            cap::check(&score::weighed(definition)?, caps)?;
        } else {
            cap::check(&definition.basket, caps)?;
        }
        // Weights that are stated are known before any price is.
        if matches!(weighting, Weighting::FixedWeight { .. }) {
            let stated = definition.basket.iter();
            let stated = stated.map(|member| member.weight.map(Ratio::from));
            if let Some(stated) = stated.collect::<Option<Vec<Ratio>>>() {
                cap::capped(&stated, &definition.basket, caps)?;
            }
        }
    }
    if let Some(rule) = definition.float {
        let one = crate::pow10(rule.step.places()).unwrap_or(i128::MAX);
        if !rule.step.is_positive() || rule.step.mantissa() > one || rule.step.places() > 18 {
            return refuse("bring free float to steps, which must be above 0 and at most 1");
        }
        if !counts_float {
            return refuse("are about free float, which this weighting does not use");
        }
    }
    match (
        &definition.window,
        matches!(weighting, Weighting::VolumeMedian),
    ) {
        (Some(window), true) => drop(crate::reference::hours(window)?),
        (None, false) => {}
        (None, true) => return refuse("of `volume_median` need a `window`"),
        (Some(_), false) => return refuse("state a `window`, which only `volume_median` has"),
    }
    if matches!(weighting, Weighting::VolumeMedian) && definition.basket.len() != 1 {
        return refuse("of `volume_median` have one security");
    }
    if matches!(weighting, Weighting::Geometric { .. }) {
        let exponents = definition.basket.iter().filter_map(|m| m.weight);
        let exponents = exponents.map(Ratio::from);
        let sum = exponents.fold(Ratio::zero(), |sum, exponent| {
            sum.add(&exponent.clone().max(Ratio::zero().subtract(&exponent)))
        });
        if sum.subtract(&EXPONENTS_MAX.into()).is_positive() {
            return refuse("have exponents that sum to more than 10, which no price can follow");
        }
    }
    if matches!(weighting, Weighting::Score { .. }) {
        score::check(definition)
    } else if definition.score == ScoreRule::default() {
        Ok(())
    } else {
        refuse("are about scores, which this weighting does not use")
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Positive,
    NotNegative,
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
        Bound::NotNegative => (value.mantissa() >= 0, "0 or above, with at most 18 places"),
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
