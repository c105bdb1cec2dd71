//! What the definition of a variant may state.

use std::collections::BTreeSet;

use crate::definition::{
    FxRates, Hedged, IndexDefinition, Interest, Leveraged, Reset, Variant, VolatilityControl,
    Withholding,
};
use crate::problem::Problem;
use crate::{Decimal, pow10};

/// Most places of a number in a rule.
const PLACES_MAX: u8 = 18;
/// A multiple beyond this is a slip.
const FACTOR_MAX: i64 = 100;

/// Checks a variant by itself, and that it states nothing of a basket.
pub(crate) fn check(definition: &IndexDefinition) -> Result<(), Problem> {
    let refuse = |what| Err(Problem::Variant(what));
    let Some(variant) = &definition.variant else {
        return match definition.of {
            Some(_) => refuse("states what it is `of`, but not its `variant`"),
            None => Ok(()),
        };
    };
    if definition.of.is_none() {
        return refuse("does not state what it is `of`");
    }
    if !definition.basket.is_empty() || !definition.weighting.is_none() {
        return refuse("has a parent and cannot have a weighting or a basket");
    }
    if definition.base.divisor.is_some() {
        return refuse("has no divisor: its base is a value, or its parent's level");
    }
    if definition
        .base
        .value
        .is_some_and(|value| !value.is_positive())
    {
        return Err(Problem::Base);
    }
    if definition.fx.rates != FxRates::Live {
        return refuse("follows live rates: state `fx.rates` at its parent");
    }
    match variant {
        Variant::TotalReturn(rule) => withholding(rule.net.as_ref()),
        Variant::DividendPoints(rule) => {
            if definition.base.value.is_some() {
                return refuse("counts points from 0 and has no base value");
            }
            withholding(rule.net.as_ref())
        }
        Variant::ExcessReturn(rule) => interest(Some(&rule.rate)),
        Variant::Decrement(rule) => {
            match (rule.rate, rule.points) {
                (Some(deduction), None) | (None, Some(deduction)) => within(deduction, 0, None)?,
                _ => return refuse("states either a `rate` or `points`"),
            }
            within(rule.floor, 0, None)
        }
        Variant::Converted(rule) => {
            if rule.direct && definition.base.value.is_some() {
                return refuse("is converted directly and has no base value");
            }
            Ok(())
        }
        Variant::Hedged(rule) => hedged(definition, rule),
        Variant::Leveraged(rule) => leveraged(rule),
        Variant::VolatilityControl(rule) => volatility(rule),
    }
}

fn hedged(definition: &IndexDefinition, rule: &Hedged) -> Result<(), Problem> {
    let refuse = |what| Err(Problem::Variant(what));
    within(rule.ratio, 0, Some(FACTOR_MAX))?;
    let mut seen = BTreeSet::new();
    if rule.forwards.is_empty() {
        return refuse("has no forwards");
    }
    for forward in &rule.forwards {
        if !seen.insert(forward.currency) || forward.currency == definition.currency {
            return refuse("hedges a currency twice, or its own");
        }
    }
    if rule.reset == Reset::Never {
        return refuse("never resets its hedge");
    }
    Ok(())
}

fn leveraged(rule: &Leveraged) -> Result<(), Problem> {
    let refuse = |what| Err(Problem::Variant(what));
    within(rule.factor, -FACTOR_MAX, Some(FACTOR_MAX))?;
    if rule.factor.mantissa() == 0 {
        return refuse("has a factor of 0");
    }
    within(rule.cost, -1, Some(1))?;
    if let Some(trigger) = rule.trigger {
        within(trigger, 0, Some(1))?;
        if !trigger.is_positive() {
            return refuse("has a trigger of 0");
        }
    }
    interest(rule.rate.as_ref())?;
    interest(rule.borrow.as_ref())
}

fn volatility(rule: &VolatilityControl) -> Result<(), Problem> {
    let refuse = |what| Err(Problem::Variant(what));
    within(rule.target, 0, Some(FACTOR_MAX))?;
    within(rule.exposure_max, 0, Some(FACTOR_MAX))?;
    within(rule.exposure_first, 0, Some(FACTOR_MAX))?;
    if !rule.target.is_positive() || !rule.exposure_max.is_positive() {
        return refuse("needs a target and a largest exposure above 0");
    }
    if !(1..=60).contains(&rule.lag) || rule.year == 0 {
        return refuse("needs a lag of 1 to 60 closes and a year of at least a day");
    }
    let least = if rule.volatility.zero_mean { 1 } else { 2 };
    let is_window = |days: &u16| (least..=1000).contains(days);
    let measure = &rule.volatility;
    match (&*measure.days, &*measure.decay, &measure.security) {
        (days @ [_, ..], [], None) if days.iter().all(is_window) => {}
        ([], decay @ [_, ..], None) => {
            for decay in decay {
                within(*decay, 0, Some(1))?;
            }
        }
        ([], [], Some(_)) => {}
        _ => {
            return refuse(
                "measures volatility over 2 to 1,000 `days`, by its `decay`, or has it of a `security`",
            );
        }
    }
    if rule.reset == Reset::Never {
        return refuse("never sets its exposure");
    }
    interest(rule.cash.as_ref())
}

fn withholding(rule: Option<&Withholding>) -> Result<(), Problem> {
    let Some(rule) = rule else { return Ok(()) };
    within(rule.rate, 0, Some(1))?;
    rule.rules
        .iter()
        .try_for_each(|rule| within(rule.rate, 0, Some(1)))
}

fn interest(rule: Option<&Interest>) -> Result<(), Problem> {
    let Some(rule) = rule else { return Ok(()) };
    let stated = [
        rule.annual.is_some(),
        rule.daily.is_some(),
        rule.security.is_some(),
    ];
    if stated.into_iter().filter(|stated| *stated).count() != 1 {
        let what = "states an interest rate by one of `annual`, `daily` and `security`";
        return Err(Problem::Variant(what));
    }
    for rate in [rule.annual, rule.daily].into_iter().flatten() {
        within(rate, -1, Some(FACTOR_MAX))?;
    }
    Ok(())
}

/// Refuses numbers that are too long or beyond what makes sense.
fn within(value: Decimal, low: i64, high: Option<i64>) -> Result<(), Problem> {
    let value = value.normalized();
    let unit = pow10(value.places()).unwrap_or(i128::MAX);
    let fits = value.places() <= PLACES_MAX
        && i128::from(low).saturating_mul(unit) <= value.mantissa()
        && high.is_none_or(|high| value.mantissa() <= i128::from(high).saturating_mul(unit));
    if fits {
        Ok(())
    } else {
        Err(Problem::Variant(
            "states a number that is too long or out of range",
        ))
    }
}

/// The securities that a rule names.
pub(super) fn inputs(variant: &Variant) -> Vec<&str> {
    let mut all = Vec::new();
    match variant {
        Variant::ExcessReturn(rule) => all.extend(rule.rate.security.as_deref()),
        Variant::Hedged(rule) => all.extend(rule.forwards.iter().map(|f| f.security.as_str())),
        Variant::Leveraged(rule) => {
            for interest in [&rule.rate, &rule.borrow].into_iter().flatten() {
                all.extend(interest.security.as_deref());
            }
        }
        Variant::VolatilityControl(rule) => {
            all.extend(rule.cash.iter().filter_map(|i| i.security.as_deref()));
            all.extend(rule.volatility.security.as_deref());
        }
        Variant::TotalReturn(_)
        | Variant::DividendPoints(_)
        | Variant::Decrement(_)
        | Variant::Converted(_) => {}
    }
    all
}
