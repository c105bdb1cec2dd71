//! Volatility, and the exposure that follows from it. The one place of a variant with
//! floating point: from decimals to a decimal of stated places, by one portable library, so that
//! every machine gives the same digits (METHODOLOGY §5.2).
#![expect(
    clippy::float_arithmetic,
    reason = "roots and logarithms have no exact value; this is no part of the linear kernel"
)]

use std::collections::VecDeque;

use crate::definition::{Cut, Volatility, VolatilityControl};
use crate::float::{from_decimal, to_decimal};
use crate::{Decimal, RoundingMode};

/// Places of a carried variance.
const VARIANCE: Cut = Cut {
    places: 18,
    mode: RoundingMode::HalfUp,
};

/// Takes a close, of the parent or of the volatility itself, into the history and forgets what is
/// not needed any more.
pub(super) fn take(
    rule: &VolatilityControl,
    close: Decimal,
    closes: &mut VecDeque<Decimal>,
    variances: &mut Vec<Decimal>,
) {
    closes.push_back(close);
    let behind = usize::from(rule.lag.max(1)) - 1;
    if rule.volatility.security.is_some() {
        while closes.len() > 1 + behind {
            closes.pop_front();
        }
        return;
    }
    if let Some(days) = rule.volatility.days.iter().max() {
        while closes.len() > usize::from(*days) + 1 + behind {
            closes.pop_front();
        }
        return;
    }
    // A close counts once it is `lag` days old; the one before it is kept for its return.
    while closes.len() > 2 + behind {
        closes.pop_front();
    }
    if closes.len() == 2 + behind {
        let step = step(&rule.volatility, closes[0], closes[1]);
        let square = step * step;
        let decays = &rule.volatility.decay;
        if variances.len() == decays.len() {
            for (variance, decay) in variances.iter_mut().zip(decays) {
                let decay = from_decimal(*decay);
                let next = decay * from_decimal(*variance) + (1.0 - decay) * square;
                *variance = to_decimal(next, VARIANCE).unwrap_or(*variance);
            }
        } else if let Some(first) = to_decimal(square, VARIANCE) {
            *variances = vec![first; decays.len()];
        }
    }
}

/// `min(exposure_max, target / σ)`; none while there is no volatility yet.
pub(super) fn exposure(
    rule: &VolatilityControl,
    closes: &VecDeque<Decimal>,
    variances: &[Decimal],
    cut: Cut,
) -> Option<Decimal> {
    let yearly = yearly(rule, closes, variances)?;
    let most = rule.exposure_max;
    if yearly <= 0.0 {
        return Some(most);
    }
    let wanted = from_decimal(rule.target) / yearly;
    if wanted >= from_decimal(most) {
        return Some(most);
    }
    to_decimal(wanted, cut)
}

/// The volatility per year as a fraction; none while there are too few closes.
fn yearly(
    rule: &VolatilityControl,
    closes: &VecDeque<Decimal>,
    variances: &[Decimal],
) -> Option<f64> {
    let behind = usize::from(rule.lag.max(1)) - 1;
    if rule.volatility.security.is_some() {
        let newest = closes.len().checked_sub(1 + behind)?;
        return Some(from_decimal(*closes.get(newest)?) / 100.0);
    }
    let over = |days: &u16| {
        let usable = closes.len().checked_sub(behind)?;
        let first = usable.checked_sub(usize::from(*days) + 1)?;
        let window: Vec<Decimal> = closes.range(first..usable).copied().collect();
        Some(variance(&rule.volatility, &window))
    };
    let windows: Option<Vec<f64>> = rule.volatility.days.iter().map(over).collect();
    let decayed = variances.iter().map(|v| from_decimal(*v));
    let measures = windows?.into_iter().chain(decayed);
    let daily = measures.reduce(f64::max)?;
    Some(libm::sqrt(daily * f64::from(rule.year)))
}

/// The return from one close to the next.
fn step(rule: &Volatility, before: Decimal, after: Decimal) -> f64 {
    let ratio = from_decimal(after) / from_decimal(before);
    if rule.log {
        libm::log(ratio)
    } else {
        ratio - 1.0
    }
}

/// The variance of the returns between these closes.
fn variance(rule: &Volatility, closes: &[Decimal]) -> f64 {
    let returns: Vec<f64> = closes
        .windows(2)
        .map(|pair| step(rule, pair[0], pair[1]))
        .collect();
    let count = returns.len() as f64;
    if rule.zero_mean {
        return returns.iter().map(|r| r * r).sum::<f64>() / count;
    }
    let mean = returns.iter().sum::<f64>() / count;
    returns.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>() / (count - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> VolatilityControl {
        serde_json::from_str(json).unwrap()
    }

    /// Exposures after each of these closes.
    fn exposures(rule: &VolatilityControl, closes: &[&str]) -> Vec<String> {
        let (mut kept, mut variances) = (VecDeque::new(), Vec::new());
        let cut = Cut {
            places: 6,
            mode: RoundingMode::HalfUp,
        };
        closes
            .iter()
            .map(|close| {
                take(rule, close.parse().unwrap(), &mut kept, &mut variances);
                exposure(rule, &kept, &variances, cut)
                    .map_or_else(|| "-".to_owned(), |k| k.to_string())
            })
            .collect()
    }

    #[test]
    fn measures_a_window() {
        let rule = rule(r#"{"target":"0.1","exposure_max":"1.5","lag":1,"volatility":{"days":2}}"#);
        // Returns 1 % and -1 %: σ = √(0.0002·252) = 0.224499; then none at all, exactly.
        let got = exposures(&rule, &["100", "101", "99.99", "99.99", "99.99"]);
        assert_eq!(got, ["-", "-", "0.445435", "0.890871", "1.5"]);
    }

    #[test]
    fn takes_the_largest_of_several_windows() {
        let rule =
            rule(r#"{"target":"0.1","exposure_max":"9","lag":1,"volatility":{"days":[2,3]}}"#);
        // Returns 1 %, -1 %, 0, 0: the short window first has σ² of 0.0002 and then 0.00005, the
        // long one 0.0001 twice, then 1/30000.
        let got = exposures(&rule, &["100", "101", "99.99", "99.99", "99.99", "99.99"]);
        assert_eq!(
            got,
            ["-", "-", "-", "0.629941", "1.091089", "9"],
            "0.1/√(0.0001·252), 0.1/√(252/30000)"
        );
    }

    #[test]
    fn waits_for_its_lag() {
        let rule = rule(r#"{"target":"0.1","exposure_max":"1.5","lag":3,"volatility":{"days":2}}"#);
        let got = exposures(&rule, &["100", "101", "99.99", "99.99", "99.99"]);
        assert_eq!(got, ["-", "-", "-", "-", "0.445435"]);
    }

    #[test]
    fn takes_a_volatility_that_is_stated() {
        let rule = rule(
            r#"{"target":"0.1","exposure_max":"1.5","lag":2,"volatility":{"security":"VOL"}}"#,
        );
        let got = exposures(&rule, &["8", "5", "16", "12.5", "1"]);
        assert_eq!(got, ["-", "1.250000", "1.5", "0.625000", "0.800000"]);
    }

    #[test]
    fn takes_the_largest_of_several_decays() {
        let rule = rule(
            r#"{"target":"0.1","exposure_max":"9","lag":1,"year":100,
                "volatility":{"decay":["0.5","0.9"]}}"#,
        );
        // v = 0.0001 both; then 0.5·0.0001 and 0.9·0.0001: σ = √0.009.
        let got = exposures(&rule, &["100", "101", "101"]);
        assert_eq!(got, ["-", "1.000000", "1.054093"]);
    }
}
