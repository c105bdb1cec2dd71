//! Limits on weights, exactly: single, by issuer, by group and on the sum of the large ones.

mod concentration;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{Caps, Constituent, Trigger};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::{Decimal, pow10};

/// What counts as one: all share classes of an issuer.
struct Issuer {
    members: Vec<usize>,
    base: Ratio,
    /// Its place among the limited groups.
    group: Option<usize>,
    /// The largest weight it may have.
    max: Option<Ratio>,
}

impl Issuer {
    /// The same with another limit, if that is lower.
    fn within(&self, max: &Ratio) -> Self {
        let lower = self
            .max
            .clone()
            .filter(|own| max.subtract(own).is_positive());
        Self {
            members: Vec::new(),
            base: self.base.clone(),
            group: self.group,
            max: Some(lower.unwrap_or_else(|| max.clone())),
        }
    }

    /// The same outside its group.
    fn alone(&self) -> Self {
        Self {
            members: Vec::new(),
            base: self.base.clone(),
            group: None,
            max: self.max.clone(),
        }
    }
}

/// Weights within the limits, as fractions of 1, for an index in force: where no such weights are in
/// the order of `base`, those that equal weights would give, since [`check`] has found them possible.
pub(crate) fn capped_anyhow(
    base: &[Ratio],
    basket: &[Constituent],
    caps: &Caps,
) -> Result<Vec<Ratio>, Problem> {
    let capped = capped(base, basket, caps);
    if !matches!(capped, Err(Problem::Caps)) {
        return capped;
    }
    let equal = |weight: &Ratio| {
        if weight.is_zero() {
            Ratio::zero()
        } else {
            Ratio::one()
        }
    };
    let equal: Vec<Ratio> = base.iter().map(equal).collect();
    self::capped(&equal, basket, &untriggered(caps))
}

/// The same limits, in force whatever the weights are.
fn untriggered(caps: &Caps) -> Caps {
    Caps {
        trigger: None,
        ..caps.clone()
    }
}

/// Weights within the limits, as fractions of 1.
///
/// # Errors
/// [`Problem::Caps`] when there are none in the order of `base`.
pub(crate) fn capped(
    base: &[Ratio],
    basket: &[Constituent],
    caps: &Caps,
) -> Result<Vec<Ratio>, Problem> {
    let total = base
        .iter()
        .fold(Ratio::zero(), |sum, weight| sum.add(weight));
    let share = |part: &Ratio, of: &Ratio| part.divide(of).ok_or(Problem::NoDivisor("weight"));
    let (issuers, groups) = issuers(base, basket, caps);
    let plain: Result<Vec<Ratio>, _> = issuers.iter().map(|i| share(&i.base, &total)).collect();
    let plain = plain?;
    let weights = if caps
        .trigger
        .is_some_and(|trigger| !is_passed(&trigger, &plain))
    {
        plain
    } else {
        let mut weights = fill(&issuers, &groups).ok_or(Problem::Caps)?;
        if let Some(limit) = caps.concentration
            && sum_above(&weights, limit.above)
                .subtract(&limit.total_max.into())
                .is_positive()
        {
            weights = concentration::concentrate(&issuers, &groups, &weights, limit)
                .ok_or(Problem::Caps)?;
        }
        weights
    };
    let mut all = vec![Ratio::zero(); base.len()];
    for (issuer, weight) in issuers.iter().zip(&weights) {
        // Nothing of nothing is nothing, whatever a tilt left of the others.
        let with_weight = issuer.members.iter().filter(|_| !issuer.base.is_zero());
        for member in with_weight {
            all[*member] = weight.multiply(&share(&base[*member], &issuer.base)?);
        }
    }
    Ok(all)
}

/// Refuses limits that no weights of these members can meet.
pub(crate) fn check(basket: &[Constituent], caps: &Caps) -> Result<(), Problem> {
    let fraction = |value: Decimal| {
        let value = value.normalized();
        let one = pow10(value.places()).unwrap_or(i128::MAX);
        value.is_positive() && value.mantissa() <= one && value.places() <= 18
    };
    let trigger = caps.trigger.unwrap_or_default();
    let pairs = [caps.concentration, trigger.concentration];
    let pairs = pairs.iter().flatten().flat_map(|c| [c.above, c.total_max]);
    let singles = [caps.weight_max, caps.group_max, trigger.weight_max];
    let mut stated = singles
        .into_iter()
        .flatten()
        .chain(caps.groups.values().copied())
        .chain(pairs);
    if !stated.all(fraction) {
        return Err(Problem::Limits(
            "must lie above 0 and at most at 1, with at most 18 places",
        ));
    }
    if caps
        .trigger
        .is_some_and(|t| t.weight_max.is_none() && t.concentration.is_none())
    {
        return Err(Problem::Limits("have a trigger that nothing can pass"));
    }
    let named: BTreeSet<&str> = basket.iter().filter_map(|m| m.group.as_deref()).collect();
    if caps
        .groups
        .keys()
        .any(|group| !named.contains(group.as_str()))
    {
        return Err(Problem::Limits("name a group that no member belongs to"));
    }
    let equal = vec![Ratio::one(); basket.len()];
    capped(&equal, basket, &untriggered(caps)).map(drop)
}

/// The issuers with their limits, and the largest weight of each limited group.
fn issuers(base: &[Ratio], basket: &[Constituent], caps: &Caps) -> (Vec<Issuer>, Vec<Ratio>) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut group_places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups = Vec::new();
    let mut issuers: Vec<Issuer> = Vec::new();
    for (at, member) in basket.iter().enumerate() {
        if let Some(place) = member.issuer.as_deref().and_then(|name| places.get(name)) {
            let issuer = &mut issuers[*place];
            issuer.members.push(at);
            issuer.base = issuer.base.add(&base[at]);
            continue;
        }
        if let Some(name) = member.issuer.as_deref() {
            places.insert(name, issuers.len());
        }
        let group = member.group.as_deref().and_then(|name| {
            let limit = caps.groups.get(name).copied().or(caps.group_max)?;
            Some(*group_places.entry(name).or_insert_with(|| {
                groups.push(limit.into());
                groups.len() - 1
            }))
        });
        issuers.push(Issuer {
            members: vec![at],
            base: base[at].clone(),
            group,
            max: caps.weight_max.map(Ratio::from),
        });
    }
    (issuers, groups)
}

/// Spreads 1 over the issuers in proportion to their bases, freezing what reaches its limit, until
/// nothing exceeds one; `None` when the limits leave no room.
fn fill(issuers: &[Issuer], groups: &[Ratio]) -> Option<Vec<Ratio>> {
    let mut frozen = vec![false; issuers.len()];
    let mut full = vec![false; groups.len()];
    loop {
        let weights = spread(issuers, groups, &frozen, &full)?;
        let exceeds = |weight: &Ratio, max: &Ratio| weight.subtract(max).is_positive();
        let mut changed = false;
        for (at, issuer) in issuers.iter().enumerate() {
            let over = issuer
                .max
                .as_ref()
                .is_some_and(|max| exceeds(&weights[at], max));
            if over && !frozen[at] {
                frozen[at] = true;
                changed = true;
            }
        }
        if changed {
            continue;
        }
        for (place, max) in groups.iter().enumerate() {
            let members = issuers
                .iter()
                .zip(&weights)
                .filter(|(i, _)| i.group == Some(place));
            let sum = members.fold(Ratio::zero(), |sum, (_, weight)| sum.add(weight));
            if !full[place] && exceeds(&sum, max) {
                full[place] = true;
                changed = true;
                for (at, issuer) in issuers.iter().enumerate() {
                    if issuer.group == Some(place) {
                        frozen[at] = false;
                    }
                }
            }
        }
        if !changed {
            return Some(weights);
        }
    }
}

/// One round of [`fill`]: the frozen at their limits, full groups at theirs, the rest in proportion.
fn spread(
    issuers: &[Issuer],
    groups: &[Ratio],
    frozen: &[bool],
    full: &[bool],
) -> Option<Vec<Ratio>> {
    // The last pool is that of everything outside a full group.
    let pool_of = |issuer: &Issuer| issuer.group.filter(|g| full[*g]).unwrap_or(groups.len());
    let mut left: Vec<Ratio> = groups.to_vec();
    let mut free = vec![Ratio::zero(); groups.len() + 1];
    let taken = groups.iter().zip(full).filter(|(_, full)| **full);
    left.push(taken.fold(Ratio::one(), |rest, (max, _)| rest.subtract(max)));
    for (at, issuer) in issuers.iter().enumerate() {
        let pool = pool_of(issuer);
        match &issuer.max {
            Some(max) if frozen[at] => left[pool] = left[pool].subtract(max),
            _ => free[pool] = free[pool].add(&issuer.base),
        }
    }
    for (pool, left) in left.iter().enumerate() {
        let counts = pool == groups.len() || full[pool];
        let negative = Ratio::zero().subtract(left).is_positive();
        if counts && (negative || (free[pool].is_zero() && !left.is_zero())) {
            return None;
        }
    }
    let weight = |(at, issuer): (usize, &Issuer)| {
        let pool = pool_of(issuer);
        match &issuer.max {
            Some(max) if frozen[at] => Some(max.clone()),
            _ => left[pool].multiply(&issuer.base).divide(&free[pool]),
        }
    };
    issuers.iter().enumerate().map(weight).collect()
}

fn sum_above(weights: &[Ratio], above: Decimal) -> Ratio {
    let above = Ratio::from(above);
    let large = weights
        .iter()
        .filter(|weight| weight.subtract(&above).is_positive());
    large.fold(Ratio::zero(), |sum, weight| sum.add(weight))
}

fn is_passed(trigger: &Trigger, weights: &[Ratio]) -> bool {
    let beyond = |value: &Ratio, limit: Decimal| value.subtract(&limit.into()).is_positive();
    let single = trigger
        .weight_max
        .is_some_and(|max| weights.iter().any(|w| beyond(w, max)));
    let several = trigger
        .concentration
        .is_some_and(|c| beyond(&sum_above(weights, c.above), c.total_max));
    single || several
}
