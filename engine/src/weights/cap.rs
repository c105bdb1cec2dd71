//! Limits on weights, exactly: single, by issuer, by group and on the sum of the large ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{Caps, Concentration, Constituent, Trigger};
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

/// Weights within the limits, as fractions of 1.
pub(crate) fn capped(
    base: &[Ratio],
    basket: &[Constituent],
    caps: &Caps,
) -> Result<Vec<Ratio>, Problem> {
    let total = base
        .iter()
        .fold(Ratio::zero(), |sum, weight| sum.add(weight));
    let share = |part: &Ratio, of: &Ratio| part.divide(of).ok_or(Problem::NoDivisor("weight"));
    let (mut issuers, groups) = issuers(base, basket, caps);
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
            lighten(&mut issuers, &weights, limit);
            weights = fill(&issuers, &groups).ok_or(Problem::Caps)?;
        }
        weights
    };
    let mut all = vec![Ratio::zero(); base.len()];
    for (issuer, weight) in issuers.iter().zip(&weights) {
        for member in &issuer.members {
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
    let (issuers, groups) = issuers(&equal, basket, caps);
    fill(&issuers, &groups).ok_or(Problem::Caps)?;
    let Some(limit) = caps.concentration else {
        return Ok(());
    };
    // With k large weights, the others at the threshold.
    let largest = Ratio::from(caps.weight_max.unwrap_or(Decimal::ONE));
    let count = issuers.len();
    let reaches_one = |large: usize| {
        let times = |n: usize| Ratio::scaled(n as i128, 0);
        let large_sum = times(large).multiply(&largest);
        let beyond = large_sum.subtract(&limit.total_max.into()).is_positive();
        let large_sum = if beyond {
            limit.total_max.into()
        } else {
            large_sum
        };
        let sum = large_sum.add(&times(count - large).multiply(&limit.above.into()));
        !Ratio::one().subtract(&sum).is_positive()
    };
    if (0..=count).any(reaches_one) {
        Ok(())
    } else {
        Err(Problem::Caps)
    }
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

/// Limits the large weights: in their order they keep what they have as long as the sum allows, the
/// others may have no more than what counts as large.
fn lighten(issuers: &mut [Issuer], weights: &[Ratio], limit: Concentration) {
    let above = Ratio::from(limit.above);
    let mut order: Vec<usize> = (0..issuers.len()).collect();
    order.sort_by(|a, b| {
        let difference = weights[*a].subtract(&weights[*b]);
        if difference.is_zero() {
            a.cmp(b)
        } else if difference.is_positive() {
            std::cmp::Ordering::Less
        } else {
            std::cmp::Ordering::Greater
        }
    });
    let mut sum = Ratio::zero();
    for at in order {
        let weight = &weights[at];
        let with = sum.add(weight);
        let is_large = weight.subtract(&above).is_positive();
        if is_large && !with.subtract(&limit.total_max.into()).is_positive() {
            sum = with;
            issuers[at].max = Some(weight.clone());
        } else {
            issuers[at].max = Some(above.clone());
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RoundingMode;

    fn basket(rows: &[&str]) -> Vec<Constituent> {
        rows.iter()
            .map(|row| {
                let mut parts = row.split_whitespace();
                let mut member = Constituent::new(parts.next().unwrap());
                for part in parts {
                    match part.split_once('=').unwrap() {
                        ("issuer", name) => member.issuer = Some(name.to_owned()),
                        (_, name) => member.group = Some(name.to_owned()),
                    }
                }
                member
            })
            .collect()
    }

    fn check(weights: &[i64], rows: &[&str], caps: &str, expected: Option<&[&str]>) {
        let caps: Caps = serde_json::from_str(caps).unwrap();
        let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
        let got = capped(&base, &basket(rows), &caps).ok().map(|weights| {
            let percent = |w: &Ratio| w.round_scaled(4, RoundingMode::HalfUp).unwrap();
            weights
                .iter()
                .map(|w| Decimal::new(percent(w), 4).to_string())
                .collect::<Vec<_>>()
        });
        let expected = expected.map(|e| e.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(got, expected, "{weights:?} {caps:?}");
    }

    const FIVE: [&str; 5] = ["A", "B", "C", "D", "E"];

    #[test]
    fn caps_single_weights_again_and_again() {
        check(
            &[60, 30, 10],
            &["A", "B", "C"],
            r#"{"weight_max":"0.4"}"#,
            Some(&["0.4000", "0.4000", "0.2000"]),
        );
        check(
            &[48, 24, 14, 9, 5],
            &FIVE,
            r#"{"weight_max":"0.3"}"#,
            Some(&["0.3000", "0.3000", "0.2000", "0.1286", "0.0714"]),
        );
        check(
            &[60, 30, 10],
            &["A", "B", "C"],
            r#"{"weight_max":"0.3"}"#,
            None,
        );
    }

    #[test]
    fn caps_issuers_over_their_share_classes() {
        check(
            &[30, 20, 30, 20],
            &["A1 issuer=A", "A2 issuer=A", "B", "C"],
            r#"{"weight_max":"0.4"}"#,
            // 50 for A become 40, three fifths of it in the first class.
            Some(&["0.2400", "0.1600", "0.3600", "0.2400"]),
        );
    }

    #[test]
    fn caps_groups_and_members_together() {
        check(
            &[40, 30, 20, 10],
            &["A group=X", "B group=X", "C group=Y", "D group=Y"],
            r#"{"groups":{"X":"0.5"}}"#,
            Some(&["0.2857", "0.2143", "0.3333", "0.1667"]),
        );
        check(
            &[40, 30, 20, 10],
            &["A group=X", "B group=X", "C group=Y", "D group=Y"],
            r#"{"groups":{"X":"0.5"},"weight_max":"0.3"}"#,
            Some(&["0.2857", "0.2143", "0.3000", "0.2000"]),
        );
        check(
            &[40, 30, 20, 10],
            &["A group=X", "B group=X", "C group=Y", "D group=Y"],
            r#"{"group_max":"0.4"}"#,
            None,
        );
    }

    #[test]
    fn holds_5_10_40() {
        // 15, 12 and 9 % are large: 10 + 10 + … as long as 40 % allow, the others 5 at most.
        let weights = [15, 12, 9, 8, 7, 6, 5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 2, 1, 1, 1];
        let names: Vec<String> = (0..20).map(|at| format!("S{at}")).collect();
        let rows: Vec<&str> = names.iter().map(String::as_str).collect();
        let caps = r#"{"weight_max":"0.1","concentration":{"above":"0.05","total_max":"0.4"}}"#;
        let caps: Caps = serde_json::from_str(caps).unwrap();
        let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
        let got = capped(&base, &basket(&rows), &caps).unwrap();
        let large = sum_above(&got, "0.05".parse().unwrap());
        assert!(!large.subtract(&Decimal::new(4, 1).into()).is_positive());
        let sum = got.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
        assert!(sum.subtract(&Ratio::one()).is_zero());
        let order = got.windows(2).all(|w| !w[1].subtract(&w[0]).is_positive());
        assert!(order, "caps do not change who is larger");
    }

    #[test]
    fn acts_only_when_triggered() {
        let caps = r#"{"weight_max":"0.23","concentration":{"above":"0.045","total_max":"0.45"},
            "trigger":{"weight_max":"0.24","concentration":{"above":"0.048","total_max":"0.5"}}}"#;
        let names: Vec<String> = (0..21).map(|at| format!("S{at}")).collect();
        let rows: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut weights = vec![4; 20];
        weights.push(20);
        let plain: Vec<String> = weights.iter().map(|w| format!("0.{w:02}00")).collect();
        let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
        check(&weights, &rows, caps, Some(&plain));
        // 25 of 105 is below 24 %, 27 of 107 is not, and is brought to 23 %.
        weights[20] = 27;
        let mut cut = vec!["0.0385"; 20];
        cut.push("0.2300");
        check(&weights, &rows, caps, Some(&cut));
    }

    #[test]
    fn refuses_what_cannot_be_met() {
        let check = |caps: &str, expected: bool| {
            let caps: Caps = serde_json::from_str(caps).unwrap();
            let basket = basket(&["A group=X", "B group=X", "C", "D", "E"]);
            assert_eq!(super::check(&basket, &caps).is_ok(), expected, "{caps:?}");
        };
        check(r#"{"weight_max":"0.2"}"#, true);
        check(r#"{"weight_max":"0.19"}"#, false);
        check(r#"{"weight_max":"1.1"}"#, false);
        check(r#"{"weight_max":"0.3","groups":{"X":"0.1"}}"#, true);
        check(r#"{"weight_max":"0.3","groups":{"X":"0.05"}}"#, false);
        check(r#"{"groups":{"Z":"0.5"}}"#, false);
        check(
            r#"{"concentration":{"above":"0.2","total_max":"0.4"}}"#,
            true,
        );
        check(
            r#"{"concentration":{"above":"0.1","total_max":"0.4"}}"#,
            false,
        );
        check(r#"{"weight_max":"0.3","trigger":{}}"#, false);
    }

    proptest! {
        #[test]
        fn meets_every_limit(
            weights in prop::collection::vec(1i64..1000, 4..12),
            max in 10i128..100,
            group in 10i128..100,
        ) {
            let rows: Vec<String> = (0..weights.len())
                .map(|at| format!("S{at} group={}", ["X", "Y", "Z"][at % 3]))
                .collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let basket = basket(&rows);
            let caps = Caps {
                weight_max: Some(Decimal::new(max, 2)),
                group_max: Some(Decimal::new(group, 2)),
                ..Caps::default()
            };
            let base: Vec<Ratio> = weights.iter().map(|w| Decimal::from(*w).into()).collect();
            let got = capped(&base, &basket, &caps);
            // What is possible for equal weights is possible for others, and nothing else is.
            prop_assert_eq!(got.is_ok(), check_caps(&basket, &caps));
            let Ok(got) = got else { return Ok(()) };
            let sum = got.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
            prop_assert!(sum.subtract(&Ratio::one()).is_zero());
            for weight in &got {
                prop_assert!(!weight.subtract(&Decimal::new(max, 2).into()).is_positive());
            }
            for name in ["X", "Y", "Z"] {
                let members = basket.iter().zip(&got).filter(|(m, _)| m.group.as_deref() == Some(name));
                let sum = members.fold(Ratio::zero(), |sum, (_, w)| sum.add(w));
                prop_assert!(!sum.subtract(&Decimal::new(group, 2).into()).is_positive());
            }
        }
    }

    fn check_caps(basket: &[Constituent], caps: &Caps) -> bool {
        super::check(basket, caps).is_ok()
    }
}
