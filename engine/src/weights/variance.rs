//! Weights of least variance, from covariances that the members state.
//!
//! Without a sign to keep they are `C⁻¹·1 / 1ᵀ·C⁻¹·1`. Where none may be negative, members leave and
//! come back one at a time until no change lowers the variance.
#![expect(
    clippy::float_arithmetic,
    reason = "a matrix is inverted in floating point; what leaves is cut to stated places"
)]

use crate::Decimal;
use crate::definition::{Constituent, Cut, LeastVariance};
use crate::exact::Ratio;
use crate::float;
use crate::problem::Problem;

/// A covariance of this part of the variance is none: what floating point leaves of 0.
const NOTHING: f64 = 1e-12;

/// The weights, cut to places and brought to a sum of 1.
///
/// # Errors
/// A covariance that is not stated or stated twice differently; a matrix that is no covariance, since
/// some mixture would have a variance of 0 or less.
pub(crate) fn weights(
    basket: &[Constituent],
    rule: LeastVariance,
    cut: Cut,
) -> Result<Vec<Ratio>, Problem> {
    let matrix = matrix(basket)?;
    let all: Vec<usize> = (0..basket.len()).collect();
    let found = least(&matrix, &all).ok_or(NOT_POSITIVE)?;
    let found = if rule.long_only {
        long_only(&matrix, found).ok_or(NOT_POSITIVE)?
    } else {
        found
    };
    let cut_off = |weight: &f64| float::to_decimal(*weight, cut).map(Ratio::from);
    let cut_off: Option<Vec<Ratio>> = found.iter().map(cut_off).collect();
    let cut_off = cut_off.ok_or(NOT_POSITIVE)?;
    let total = cut_off.iter().fold(Ratio::zero(), |sum, w| sum.add(w));
    let part = |weight: &Ratio| weight.divide(&total).ok_or(Problem::NoDivisor("weight"));
    cut_off.iter().map(part).collect()
}

const NOT_POSITIVE: Problem =
    Problem::Limits("need covariances of which every mixture of members has a variance above 0");

/// The covariances in the order of the basket; each is stated by either member or alike by both.
fn matrix(basket: &[Constituent]) -> Result<Vec<Vec<f64>>, Problem> {
    let covariance = |a: &Constituent, b: &Constituent| {
        let pair = [a.covariances.get(&b.symbol), b.covariances.get(&a.symbol)];
        let stated: Vec<Decimal> = pair.into_iter().flatten().copied().collect();
        match stated.as_slice() {
            [one] => Ok(float::from_decimal(*one)),
            [one, other] if one == other => Ok(float::from_decimal(*one)),
            [] => Err(Problem::Missing {
                symbol: a.symbol.chars().take(64).collect(),
                field: "covariances",
            }),
            _ => Err(Problem::Limits("state a covariance twice, and differently")),
        }
    };
    let row = |a: &Constituent| basket.iter().map(|b| covariance(a, b)).collect();
    basket.iter().map(row).collect()
}

/// The weights of least variance among some members, whatever their signs; 0 for the others.
fn least(matrix: &[Vec<f64>], members: &[usize]) -> Option<Vec<f64>> {
    let mut triangle: Vec<Vec<f64>> = Vec::with_capacity(members.len());
    for (at, a) in members.iter().enumerate() {
        let mut row: Vec<f64> = Vec::with_capacity(at + 1);
        for (before, b) in members[..=at].iter().enumerate() {
            let other = if before == at {
                &row
            } else {
                &triangle[before]
            };
            let known: f64 = row.iter().zip(other).take(before).map(|(x, y)| x * y).sum();
            let left = matrix[*a][*b] - known;
            if before < at {
                row.push(left / triangle[before][before]);
            } else if left > matrix[*a][*a].abs() * NOTHING {
                row.push(libm::sqrt(left));
            } else {
                return None;
            }
        }
        triangle.push(row);
    }
    // C = L·Lᵀ: first L·y = 1, then Lᵀ·x = y.
    let mut solved: Vec<f64> = Vec::with_capacity(members.len());
    for row in &triangle {
        let known: f64 = row.iter().zip(&solved).map(|(l, y)| l * y).sum();
        solved.push((1.0 - known) / row[solved.len()]);
    }
    for at in (0..members.len()).rev() {
        let known: f64 = (at + 1..members.len())
            .map(|to| triangle[to][at] * solved[to])
            .sum();
        solved[at] = (solved[at] - known) / triangle[at][at];
    }
    let total: f64 = solved.iter().sum();
    let mut weights = vec![0.0; matrix.len()];
    for (member, weight) in members.iter().zip(&solved) {
        weights[*member] = weight / total;
    }
    Some(weights)
}

/// The same without negative weights: who would be sold short leaves, the worst first; who would lower
/// the variance comes back.
fn long_only(matrix: &[Vec<f64>], mut weights: Vec<f64>) -> Option<Vec<f64>> {
    let mut members: Vec<usize> = (0..matrix.len()).collect();
    // Each round lowers the variance or the number of members; the bound is only for rounding.
    for _ in 0..matrix.len() * 4 {
        let worst = members
            .iter()
            .copied()
            .min_by(|a, b| weights[*a].total_cmp(&weights[*b]))?;
        if weights[worst] < 0.0 {
            members.retain(|member| *member != worst);
            weights = least(matrix, &members)?;
            continue;
        }
        let with = |member: usize| -> f64 {
            matrix[member]
                .iter()
                .zip(&weights)
                .map(|(c, w)| c * w)
                .sum()
        };
        let variance = with(members[0]);
        let outside = (0..matrix.len()).filter(|member| !members.contains(member));
        let best = outside.min_by(|a, b| with(*a).total_cmp(&with(*b)));
        match best.filter(|best| with(*best) < variance - variance.abs() * 1e-9) {
            Some(best) => {
                members.push(best);
                members.sort_unstable();
                weights = least(matrix, &members)?;
            }
            None => return Some(weights),
        }
    }
    weights
        .iter()
        .all(|weight| *weight >= 0.0)
        .then_some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RoundingMode;

    fn check(rows: &[&[&str]], long_only: bool, expected: Option<&[&str]>) {
        let member = |(at, row): (usize, &&[&str])| {
            let mut member = Constituent::new(&format!("S{at}"));
            let stated = row.iter().enumerate();
            member.covariances = stated
                .map(|(to, c)| (format!("S{to}"), c.parse().unwrap()))
                .collect();
            member
        };
        let basket: Vec<Constituent> = rows.iter().enumerate().map(member).collect();
        let cut = Cut {
            places: 12,
            mode: RoundingMode::HalfUp,
        };
        let got = weights(&basket, LeastVariance { long_only }, cut).ok();
        let text = |w: &Ratio| {
            let units = w.round_scaled(6, RoundingMode::HalfUp).unwrap();
            Decimal::new(units, 6).to_string()
        };
        let got: Option<Vec<String>> = got.map(|w| w.iter().map(text).collect());
        let expected = expected.map(|e| e.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(got, expected, "{rows:?} {long_only}");
    }

    #[test]
    fn weighs_by_the_inverse() {
        // Uncorrelated: in proportion to 1 / variance.
        check(
            &[&["0.04"], &["0", "0.01"]],
            true,
            Some(&["0.200000", "0.800000"]),
        );
        // (0.09 - 0.01) : (0.04 - 0.01)
        check(
            &[&["0.04", "0.01"], &["0.01", "0.09"]],
            true,
            Some(&["0.727273", "0.272727"]),
        );
        check(
            &[&["0.04"], &["0.006", "0.09"], &["0", "0.012", "0.16"]],
            true,
            // By hand: C⁻¹·1 = (23.68…, 8.78…, 5.59…)
            Some(&["0.622230", "0.230869", "0.146900"]),
        );
    }

    #[test]
    fn sells_nothing_short_unless_it_may() {
        // (0.09 - 0.03) : (0.02 - 0.03)
        let rows: &[&[&str]] = &[&["0.02", "0.03"], &["0.03", "0.09"]];
        check(rows, false, Some(&["1.200000", "-0.200000"]));
        check(rows, true, Some(&["1.000000", "0.000000"]));
    }

    #[test]
    fn refuses_what_is_no_covariance() {
        check(&[&["0.04", "0.04"], &["0.04", "0.04"]], true, None);
        check(&[&["0.04", "0.05"], &["0.05", "0.04"]], true, None);
        check(&[&["0.04", "0.01"], &["0.02", "0.09"]], true, None);
        check(&[&["0.04"], &[]], true, None);
    }
}
