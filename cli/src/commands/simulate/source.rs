//! Where simulated ticks come from: a market over what the daemon knows, or a recording.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use divisor_engine::Decimal;
use divisor_wire::command::SecurityRow;

use super::{Choice, Fx, Opts};
use crate::commands::{rate, security};
use crate::connection::Connection;
use crate::exit::WrongInput;
use crate::feed::{Market, Motion, Pace, Recording, Speed, Start, Subject};

/// Ticks a second when nothing else is asked for.
const RATE: f64 = 10.0;
/// Securities without a price start here.
const START_PRICE: Decimal = Decimal::new(10_000, 2);
/// Places of made-up prices where the security allows them: cents.
const PLACES: u8 = 2;
/// Currencies are calmer than shares by about this.
const PAIR_CALM: f64 = 0.4;
/// Digits of a made-up rate, and the places it never goes beyond.
const RATE_DIGITS: i64 = 6;
const RATE_PLACES_MAX: u8 = 8;

/// Where the ticks come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made up.
    Market {
        market: Box<Market>,
        topics: Vec<Arc<str>>,
        pace: Pace,
        batch: u64,
    },
    /// Recorded.
    Replay {
        recording: Recording,
        lanes: Vec<usize>,
        topics: Vec<Arc<str>>,
        speed: Speed,
    },
}

impl Source {
    pub(super) fn replay(recording: Recording, speed: Speed) -> Self {
        // A subject's number decides its publisher, so each gets one number.
        let mut numbers = HashMap::new();
        let mut topics = Vec::new();
        let lanes = recording
            .ticks
            .iter()
            .map(|(subject, _)| {
                *numbers.entry(subject.clone()).or_insert_with(|| {
                    topics.push(subject.topic().into());
                    topics.len() - 1
                })
            })
            .collect();
        Self::Replay {
            recording,
            lanes,
            topics,
            speed,
        }
    }
}

/// What a simulation starts from.
#[derive(Debug)]
pub(crate) struct Universe(Vec<(Subject, Start)>);

/// The securities of the daemon that are chosen, with their last prices.
pub(super) async fn universe(connection: &Connection, choice: &Choice) -> anyhow::Result<Universe> {
    let mut rows: Vec<SecurityRow> = connection.list("security.list").await?;
    match choice {
        Choice::All => {}
        Choice::First(count) => rows.truncate(*count),
        Choice::Named(names) => {
            let unknown = names
                .iter()
                .filter(|name| rows.iter().all(|row| row.symbol != **name));
            let unknown: Vec<&str> = unknown.map(String::as_str).collect();
            if !unknown.is_empty() {
                let list = unknown.join(", ");
                return Err(WrongInput::one(format!("the daemon has no security {list}")).into());
            }
            rows.retain(|row| names.contains(&row.symbol));
        }
    }
    if rows.is_empty() {
        anyhow::bail!("the daemon has no securities; load some with `divisor load FILE`");
    }
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        // The last price shows how fine prices may be; a whole number or none does not.
        let places = match row.price {
            Some(price) if price.places() > 0 => price.places(),
            Some(_) | None => {
                let detail = security::show(connection, &row.symbol).await?;
                detail.definition.price_places.min(PLACES)
            }
        };
        let start = Start {
            price: row.price.unwrap_or(START_PRICE),
            places,
            calm: 1.0,
        };
        all.push((Subject::Security(row.symbol), start));
    }
    Ok(Universe(all))
}

impl Universe {
    /// Adds the rates that are chosen.
    pub(super) async fn add_rates(
        &mut self,
        connection: &Connection,
        choices: &[Fx],
    ) -> anyhow::Result<()> {
        if choices.is_empty() {
            return Ok(());
        }
        let known = rate::list(connection).await?;
        let known: BTreeMap<(String, String), Decimal> = known
            .into_iter()
            .map(|row| ((row.base.to_string(), row.quote.to_string()), row.rate))
            .collect();
        let mut starts = BTreeMap::new();
        for choice in choices {
            match choice {
                Fx::All if known.is_empty() => {
                    anyhow::bail!(
                        "the daemon knows no rates; give a start, such as --fx EUR/USD=1.0825"
                    );
                }
                Fx::All => {
                    for (pair, rate) in &known {
                        starts.entry(pair.clone()).or_insert(*rate);
                    }
                }
                Fx::Pair { base, quote, start } => {
                    let pair = (base.clone(), quote.clone());
                    let start = start.or_else(|| known.get(&pair).copied()).ok_or_else(|| {
                        WrongInput::one(format!(
                            "the daemon knows no rate {base}/{quote}; give a start: --fx {base}/{quote}=RATE"
                        ))
                    })?;
                    starts.insert(pair, start);
                }
            }
        }
        self.0
            .extend(starts.into_iter().map(|((base, quote), rate)| {
                let start = Start {
                    price: rate,
                    places: rate_places(rate),
                    calm: PAIR_CALM,
                };
                (Subject::Pair(base, quote), start)
            }));
        Ok(())
    }
}

/// Six digits, as rates are quoted: 1.08250, 149.325. More where the start has more, so that
/// simulating on from a simulated rate stays as fine as it was.
fn rate_places(rate: Decimal) -> u8 {
    let digits = rate.mantissa().checked_ilog10().map_or(1, |log| log + 1);
    let before_point = i64::from(digits) - i64::from(rate.places());
    let places = (RATE_DIGITS - before_point).clamp(2, i64::from(RATE_PLACES_MAX));
    let places = u8::try_from(places).unwrap_or(RATE_PLACES_MAX);
    places.max(rate.places().min(RATE_PLACES_MAX))
}

pub(super) fn market(opts: &Opts, universe: Universe) -> anyhow::Result<Source> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let count = universe.0.len() as f64;
    let rate = match (opts.rate, opts.every) {
        (Some(rate), _) => rate,
        (None, Some(every)) => count / every.as_secs_f64(),
        (None, None) => RATE,
    };
    let pace = match opts.speed {
        Some(_) => Pace::Max,
        None => Pace::Rate(rate),
    };
    let motion = Motion {
        seed: opts.seed,
        volatility: opts.volatility,
        correlation: opts.correlation,
        step_s: 1.0 / rate,
    };
    Ok(source(universe, motion, pace, u64::from(opts.batch)))
}

fn source(universe: Universe, motion: Motion, pace: Pace, batch: u64) -> Source {
    let (subjects, starts): (Vec<Subject>, Vec<Start>) = universe.0.into_iter().unzip();
    Source::Market {
        market: Box::new(Market::new(&starts, motion)),
        topics: subjects
            .iter()
            .map(|subject| subject.topic().into())
            .collect(),
        pace,
        batch,
    }
}

/// A market over everything the daemon knows: for the demo.
pub(crate) async fn everything(connection: &Connection, rate: f64) -> anyhow::Result<Source> {
    let mut universe = universe(connection, &Choice::All).await?;
    universe.add_rates(connection, &[Fx::All]).await?;
    let motion = Motion {
        seed: 1,
        volatility: 0.2,
        correlation: 0.6,
        // Faster than life, so that a minute shows something.
        step_s: 120.0 / rate,
    };
    Ok(source(universe, motion, Pace::Rate(rate), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_six_digits() {
        let check = |rate: &str, places| {
            assert_eq!(rate_places(rate.parse().unwrap()), places, "{rate}");
        };
        check("1.08", 5);
        check("1.08250", 5);
        check("149.3", 3);
        check("0.0067", 8);
        check("1234567", 2);
        check("1.0825001", 7);
        check("1.08250000001", 8);
    }
}
