//! Correlated geometric Brownian motion: prices that look like a market's.
//!
//! One market factor moves every security, the rest is its own:
//! `ln p` moves by `σ·(ρ·ΔM + √(1-ρ²)·√Δt·Z) - σ²Δt/2`, where `ΔM` is the market's path since the
//! security's last tick. Everything random comes from one `ChaCha8` stream in a fixed order and time
//! is counted, not measured: the same seed gives the same ticks, at any rate and on any day.

use divisor_engine::Decimal;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Seconds of trading in a year: 252 days of six and a half hours. Volatility is per year of these.
const YEAR_S: f64 = 252.0 * 6.5 * 3600.0;
/// Securities of one market differ: each takes the volatility times a factor from this range.
const VOLATILITY_SPREAD: std::ops::Range<f64> = 0.6..1.4;

/// What moves.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The price to start from.
    pub(crate) price: Decimal,
    /// Decimal places of its prices.
    pub(crate) places: u8,
    /// A factor on the volatility: 1 for shares, less for what is calmer.
    pub(crate) calm: f64,
}

/// How it moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion {
    /// The seed of everything random.
    pub(crate) seed: u64,
    /// Volatility per year; 0.2 is a quiet share.
    pub(crate) volatility: f64,
    /// Correlation with the market factor, 0 to 1.
    pub(crate) correlation: f64,
    /// Seconds of trading between two ticks of the whole market.
    pub(crate) step_s: f64,
}

/// The market. An endless iterator over (which, price).
#[derive(Debug)]
pub(crate) struct Market {
    rng: ChaCha8Rng,
    motion: Motion,
    paths: Vec<Path>,
    /// The order of the present pass: every security once, shuffled anew each time.
    order: Vec<usize>,
    at: usize,
    /// Ticks up to now; the market's clock is this times the step.
    count: u64,
    factor: f64,
}

#[derive(Debug)]
struct Path {
    log_price: f64,
    volatility: f64,
    places: u8,
    factor_seen: f64,
    count_seen: u64,
}

impl Market {
    /// A market at its first moment.
    pub(crate) fn new(starts: &[Start], motion: Motion) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(motion.seed);
        let paths = starts
            .iter()
            .map(|start| Path {
                log_price: float(start.price).ln(),
                volatility: motion.volatility * start.calm * rng.random_range(VOLATILITY_SPREAD),
                places: start.places,
                factor_seen: 0.0,
                count_seen: 0,
            })
            .collect();
        Self {
            rng,
            motion,
            paths,
            order: (0..starts.len()).collect(),
            at: starts.len(),
            count: 0,
            factor: 0.0,
        }
    }

    /// The next tick: which of the starts, and its new price.
    pub(crate) fn tick(&mut self) -> (usize, Decimal) {
        if self.at == self.order.len() {
            self.order.shuffle(&mut self.rng);
            self.at = 0;
        }
        let which = self.order[self.at];
        self.at += 1;
        (which, self.step(which))
    }

    /// The next price of this one: for messages that carry several.
    pub(crate) fn step(&mut self, which: usize) -> Decimal {
        let step = self.motion.step_s / YEAR_S;
        self.count += 1;
        self.factor += step.sqrt() * self.rng.sample::<f64, _>(StandardNormal);
        let own: f64 = self.rng.sample(StandardNormal);
        let path = &mut self.paths[which];
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let elapsed = (self.count - path.count_seen) as f64 * step;
        let shared = self.motion.correlation;
        let moved = shared * (self.factor - path.factor_seen)
            + (1.0 - shared * shared).sqrt() * elapsed.sqrt() * own;
        path.log_price += path.volatility * moved - path.volatility.powi(2) * elapsed / 2.0;
        path.count_seen = self.count;
        path.factor_seen = self.factor;
        decimal(path.log_price.exp(), path.places)
    }
}

/// Prices are floats only here, where they are made up.
fn float(price: Decimal) -> f64 {
    price.to_string().parse().unwrap_or(100.0)
}

/// Cut to the places, and never below the smallest price that is one.
fn decimal(price: f64, places: u8) -> Decimal {
    let scaled = price * 10f64.powi(i32::from(places));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, which is wanted"
    )]
    let mantissa = scaled.round() as i64;
    Decimal::new(i128::from(mantissa.max(1)), places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOTION: Motion = Motion {
        seed: 42,
        volatility: 0.2,
        correlation: 0.6,
        step_s: 0.1,
    };

    fn starts(count: usize) -> Vec<Start> {
        let start = Start {
            price: "100.00".parse().unwrap(),
            places: 2,
            calm: 1.0,
        };
        vec![start; count]
    }

    fn ticks(motion: Motion, count: usize) -> Vec<(usize, String)> {
        let mut market = Market::new(&starts(5), motion);
        let tick = |_| market.tick();
        let ticks = (0..count).map(tick);
        ticks
            .map(|(which, price)| (which, price.to_string()))
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_ticks() {
        let first = ticks(MOTION, 1_000);
        assert_eq!(first, ticks(MOTION, 1_000));
        assert_ne!(first, ticks(Motion { seed: 43, ..MOTION }, 1_000));
        for pass in first.chunks(5) {
            let mut seen: Vec<usize> = pass.iter().map(|(which, _)| *which).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4], "every security once per pass");
        }
    }

    #[test]
    fn the_first_ticks_of_seed_42_stay_what_they_are() {
        // A change here breaks everyone's recorded runs: say so in the changelog.
        let motion = Motion {
            step_s: 600.0,
            ..MOTION
        };
        let first = ticks(motion, 3);
        let text: Vec<String> = first.iter().map(|(w, p)| format!("{w}:{p}")).collect();
        assert_eq!(text, ["1:99.35", "0:100.30", "4:99.99"]);
    }

    #[test]
    fn moves_as_much_as_asked_and_together() {
        // Returns of two securities over equal spans of 250 passes.
        let motion = Motion {
            step_s: 60.0,
            correlation: 0.8,
            ..MOTION
        };
        let mut market = Market::new(&starts(2), motion);
        let mut last = [100.0f64; 2];
        let mut now = last;
        let mut returns: Vec<[f64; 2]> = Vec::new();
        for tick in 1..=100_000 {
            let (which, price) = market.tick();
            now[which] = float(price);
            if tick % 500 == 0 {
                returns.push([(now[0] / last[0]).ln(), (now[1] / last[1]).ln()]);
                last = now;
            }
        }
        let count = f64::from(u32::try_from(returns.len()).unwrap());
        let product = |a: usize, b: usize| returns.iter().map(|r| r[a] * r[b]).sum::<f64>() / count;
        let correlation = product(0, 1) / (product(0, 0) * product(1, 1)).sqrt();
        assert!(
            (0.5..0.8).contains(&correlation),
            "ρ² is 0.64: {correlation}"
        );
        let yearly = (product(0, 0) * YEAR_S / (500.0 * 60.0)).sqrt();
        assert!(
            (0.1..0.3).contains(&yearly),
            "0.2 times 0.6 to 1.4: {yearly}"
        );
    }

    #[test]
    fn a_price_never_falls_to_zero() {
        assert_eq!(decimal(0.000_1, 2).to_string(), "0.01");
        assert_eq!(decimal(f64::NAN, 2).to_string(), "0.01");
    }
}
