//! The limit on the sum of large weights: the 40 of 5/10/40.

use super::{Issuer, fill, sum_above};
use crate::definition::Concentration;
use crate::exact::Ratio;

/// Limits the large weights: in their order they keep what they have as long as the sum allows, the
/// others may have no more than what counts as large.
///
/// Where that leaves too little room, as many as possible share what large weights may sum to; some
/// number of them does, if any weights at all meet the limits.
pub(super) fn concentrate(
    issuers: &[Issuer],
    groups: &[Ratio],
    weights: &[Ratio],
    limit: Concentration,
) -> Option<Vec<Ratio>> {
    let above = Ratio::from(limit.above);
    let total = Ratio::from(limit.total_max);
    let order = heaviest_first(weights);
    let mut maxima = vec![above.clone(); issuers.len()];
    let mut sum = Ratio::zero();
    for at in &order {
        let with = sum.add(&weights[*at]);
        let is_large = weights[*at].subtract(&above).is_positive();
        if is_large && !with.subtract(&total).is_positive() {
            sum = with;
            maxima[*at].clone_from(&weights[*at]);
        }
    }
    let within = |maxima: &[Ratio]| {
        let bounded = issuers.iter().zip(maxima);
        let bounded: Vec<Issuer> = bounded.map(|(issuer, max)| issuer.within(max)).collect();
        fill(&bounded, groups)
    };
    within(&maxima).or_else(|| {
        (0..=issuers.len()).rev().find_map(|count| {
            let large: Vec<Issuer> = order[..count]
                .iter()
                .map(|at| issuers[*at].alone())
                .collect();
            let shares = share_out(&large, &total)?;
            let mut maxima = vec![above.clone(); issuers.len()];
            for (at, share) in order.iter().zip(shares) {
                maxima[*at] = share.max(above.clone());
            }
            within(&maxima).filter(|weights| {
                !sum_above(weights, limit.above)
                    .subtract(&total)
                    .is_positive()
            })
        })
    })
}

/// What each of some issuers may have of a sum, in proportion and within its own limit; all of their
/// limits where the sum is more than these.
fn share_out(issuers: &[Issuer], sum: &Ratio) -> Option<Vec<Ratio>> {
    let limited = issuers.iter().map(|issuer| issuer.max.clone());
    let limits: Option<Vec<Ratio>> = limited.collect();
    if let Some(limits) = limits {
        let most = limits.iter().fold(Ratio::zero(), |all, max| all.add(max));
        if !most.subtract(sum).is_positive() {
            return Some(limits);
        }
    }
    let scaled = issuers.iter().map(|issuer| {
        let max = issuer.max.as_ref().and_then(|max| max.divide(sum));
        Issuer {
            max,
            ..issuer.alone()
        }
    });
    let shares = fill(&scaled.collect::<Vec<_>>(), &[])?;
    Some(shares.iter().map(|share| share.multiply(sum)).collect())
}

fn heaviest_first(weights: &[Ratio]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
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
    order
}
