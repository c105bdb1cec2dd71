//! Weights of market values and scores: fundamental, factor, modified and tilted indexes.
#![expect(
    clippy::float_arithmetic,
    reason = "a standard deviation has no exact value; what leaves is cut to stated places"
)]

use crate::definition::{Constituent, IndexDefinition, ScoreRule};
use crate::exact::Ratio;
use crate::float;
use crate::problem::Problem;
use crate::weights::variance;
use crate::{Decimal, pow10};

/// The weights at these values of one share, as parts of 1: market values times scores have any size.
pub(crate) fn weights(
    definition: &IndexDefinition,
    values: &[Ratio],
) -> Result<Vec<Ratio>, Problem> {
    let rule = &definition.score;
    if let Some(least) = rule.least_variance {
        let cut = definition.rounding.coefficient;
        return variance::weights(&definition.basket, least, cut);
    }
    let scores = scores(definition)?;
    let worth = worth(definition, values)?;
    let mut weights = Vec::with_capacity(values.len());
    for (at, member) in definition.basket.iter().enumerate() {
        let size = match member.weight {
            Some(weight) => weight.into(),
            None => power(&worth[at], rule.size, definition)?,
        };
        let multiple = multiple(definition, scores[at])?;
        weights.push(size.multiply(&multiple));
    }
    let total = weights.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
    let part = |weight: &Ratio| weight.divide(&total).ok_or(Problem::NoDivisor("weight"));
    weights.iter().map(part).collect()
}

/// The market value of each member. Where a power of it is taken in floating point, as a part of the
/// one that comes out largest, so that whatever the currency no power is too long and only the
/// smallest lose digits.
fn worth(definition: &IndexDefinition, values: &[Ratio]) -> Result<Vec<Ratio>, Problem> {
    let size = definition.score.size;
    if is(size, 0) {
        return Ok(vec![Ratio::one(); values.len()]);
    }
    let members = definition.basket.iter().zip(values);
    let worth = members.map(|(member, value)| super::market_value(definition, member, value));
    let worth: Vec<Ratio> = worth.collect::<Result<_, _>>()?;
    let is_exact = is(size, 1) || is(size, -1);
    if is_exact || definition.basket.iter().any(|m| m.weight.is_some()) {
        return Ok(worth);
    }
    let wins = |one: &Ratio, other: &Ratio| {
        let more = one.subtract(other).is_positive();
        more == size.is_positive()
    };
    let largest = worth
        .iter()
        .reduce(|one, other| if wins(one, other) { one } else { other });
    let Some(largest) = largest else {
        return Ok(worth);
    };
    let part = |value: &Ratio| value.divide(largest).ok_or(Problem::NoDivisor("weight"));
    worth.iter().map(part).collect()
}

/// The members that can have a weight: a tilt may leave some without.
pub(crate) fn weighed(definition: &IndexDefinition) -> Result<Vec<Constituent>, Problem> {
    if definition.score.least_variance.is_some() {
        let weights = weights(definition, &[])?;
        let members = definition.basket.iter().zip(weights);
        let with_weight = members.filter(|(_, weight)| weight.is_positive());
        return Ok(with_weight.map(|(member, _)| member.clone()).collect());
    }
    let mut left = Vec::new();
    for (member, score) in definition.basket.iter().zip(scores(definition)?) {
        if multiple(definition, score)?.is_positive() {
            left.push(member.clone());
        }
    }
    Ok(left)
}

/// Checks what can be checked without prices.
pub(crate) fn check(definition: &IndexDefinition) -> Result<(), Problem> {
    let rule = &definition.score;
    let refuse = |what| Err(Problem::Limits(what));
    if let Some(least) = rule.least_variance {
        let plain = ScoreRule {
            least_variance: rule.least_variance,
            ..ScoreRule::default()
        };
        if *rule != plain {
            return refuse("of least variance use neither sizes nor scores");
        }
        if !least.long_only && definition.caps.is_some() {
            return refuse("have caps, which weights below 0 cannot meet");
        }
        return weights(definition, &[]).map(drop);
    }
    if definition.basket.iter().any(|m| !m.covariances.is_empty()) {
        return refuse("have covariances, which only `least_variance` uses");
    }
    let short = |value: Decimal| value.normalized().places() <= 18;
    let bounded = |value: Decimal, most: u128| {
        let unit = pow10(value.places()).unwrap_or(i128::MAX);
        let most = unit.unsigned_abs().saturating_mul(most);
        short(value) && value.mantissa().unsigned_abs() <= most
    };
    if !bounded(rule.size, 2) {
        return refuse("of the score have a `size` between -2 and 2");
    }
    let numbers = [Some(rule.power), rule.tilt, rule.multiple_max, rule.floor];
    if !numbers
        .into_iter()
        .flatten()
        .chain(rule.factors.values().copied())
        .all(|value| bounded(value, 100))
    {
        return refuse("of the score are numbers between -100 and 100, with at most 18 places");
    }
    if rule.multiple_max.is_some_and(|max| !max.is_positive())
        || rule.floor.is_some_and(|f| !f.is_positive())
    {
        return refuse("of the score have a `multiple_max` and a `floor` above 0");
    }
    if rule.multiple_max.is_some() && rule.tilt.is_none() {
        return refuse("of the score have a `multiple_max` only with a `tilt`");
    }
    if rule.standardize != rule.floor.is_some() || (rule.standardize && rule.factors.is_empty()) {
        return refuse("of the score need `factors` and a `floor` to `standardize`, and only then");
    }
    let all = scores(definition)?;
    let tilted = rule.tilt.is_some();
    for (member, score) in definition.basket.iter().zip(all) {
        if !tilted && !is(rule.power, 0) && !score.is_positive() {
            return Err(Problem::Range {
                symbol: member.symbol.clone(),
                field: "score",
                value: score.to_string(),
                range: "above 0, unless it tilts",
            });
        }
        multiple(definition, score)?;
    }
    if weighed(definition)?.is_empty() {
        return refuse("of the score leave no member a weight");
    }
    Ok(())
}

/// What a score multiplies the size by.
fn multiple(definition: &IndexDefinition, score: Decimal) -> Result<Ratio, Problem> {
    let rule = &definition.score;
    let Some(tilt) = rule.tilt else {
        return power(&score.into(), rule.power, definition);
    };
    let tilted = Ratio::one().add(&Ratio::from(tilt).multiply(&score.into()));
    let multiple = tilted.max(Ratio::zero());
    Ok(match rule.multiple_max {
        Some(most) if multiple.subtract(&most.into()).is_positive() => most.into(),
        _ => multiple,
    })
}

/// A power; exact for 0, 1 and -1, else in floating point and cut.
fn power(base: &Ratio, exponent: Decimal, definition: &IndexDefinition) -> Result<Ratio, Problem> {
    let wrong = || Problem::NoDivisor("weight");
    if is(exponent, 0) {
        return Ok(Ratio::one());
    }
    if is(exponent, 1) {
        return Ok(base.clone());
    }
    if is(exponent, -1) {
        return Ratio::one().divide(base).ok_or_else(wrong);
    }
    let cut = definition.rounding.coefficient;
    let base = base
        .round(cut)
        .filter(|base| base.is_positive())
        .ok_or_else(wrong)?;
    float::power(base, exponent, cut)
        .map(Ratio::from)
        .ok_or_else(wrong)
}

fn is(value: Decimal, whole: i64) -> bool {
    value == Decimal::from(whole)
}

/// The score of each member: stated, or made of several.
fn scores(definition: &IndexDefinition) -> Result<Vec<Decimal>, Problem> {
    let rule = &definition.score;
    let unused = rule.tilt.is_none() && is(rule.power, 0);
    let missing = |member: &Constituent, field| Problem::Missing {
        symbol: member.symbol.clone(),
        field,
    };
    if rule.factors.is_empty() {
        let stated = |member: &Constituent| match member.score {
            None if unused => Ok(Decimal::ONE),
            score => score.ok_or_else(|| missing(member, "score")),
        };
        return definition.basket.iter().map(stated).collect();
    }
    let mut totals = vec![Ratio::zero(); definition.basket.len()];
    for (name, factor) in &rule.factors {
        let column: Result<Vec<Decimal>, _> = definition
            .basket
            .iter()
            .map(|m| {
                m.scores
                    .get(name)
                    .copied()
                    .ok_or_else(|| missing(m, "scores"))
            })
            .collect();
        let mut column = column?;
        if rule.standardize {
            column = standardized(&column, definition).ok_or(Problem::NoDivisor("score"))?;
        }
        for (total, value) in totals.iter_mut().zip(column) {
            *total = total.add(&Ratio::from(value).multiply(&(*factor).into()));
        }
    }
    shifted(&totals, rule, definition)
}

/// The sums as they are, or moved so that the smallest is the floor.
fn shifted(
    totals: &[Ratio],
    rule: &ScoreRule,
    definition: &IndexDefinition,
) -> Result<Vec<Decimal>, Problem> {
    let negated = |r: &Ratio| Ratio::zero().subtract(r);
    let least = totals
        .iter()
        .map(negated)
        .reduce(Ratio::max)
        .unwrap_or_else(Ratio::zero);
    let cut = definition.rounding.coefficient;
    let moved = |total: &Ratio| match rule.floor {
        Some(floor) => total.add(&least).add(&floor.into()),
        None => total.clone(),
    };
    let rounded = totals.iter().map(|total| moved(total).round(cut));
    rounded.collect::<Option<_>>().ok_or(Problem::Overflow)
}

/// Less the mean, over the standard deviation; `None` where all are equal.
fn standardized(column: &[Decimal], definition: &IndexDefinition) -> Option<Vec<Decimal>> {
    let values: Vec<f64> = column.iter().map(|v| float::from_decimal(*v)).collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    if variance <= 0.0 {
        return None;
    }
    let deviation = libm::sqrt(variance);
    let cut = definition.rounding.coefficient;
    let score = |value: &f64| float::to_decimal((value - mean) / deviation, cut);
    values.iter().map(score).collect()
}
