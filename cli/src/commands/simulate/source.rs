//! Where simulated ticks come from: a market over what the daemon knows, or a recording.

use std::collections::HashMap;
use std::sync::Arc;

use divisor_engine::Decimal;
use divisor_wire::command::SecurityRow;

use super::{Choice, Opts, PairStart};
use crate::commands::security;
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

pub(super) fn market(opts: &Opts, mut universe: Universe) -> anyhow::Result<Source> {
    add_pairs(&mut universe, &opts.fx);
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

fn add_pairs(universe: &mut Universe, pairs: &[PairStart]) {
    for pair in pairs {
        let start = Start {
            price: pair.rate,
            // One digit more than quoted, so that a rate of 1.08 moves at all.
            places: (pair.rate.places() + 1).clamp(4, 8),
            calm: PAIR_CALM,
        };
        universe.0.push((pair.subject.clone(), start));
    }
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
pub(crate) async fn everything(
    connection: &Connection,
    pairs: &[PairStart],
    rate: f64,
) -> anyhow::Result<Source> {
    let mut universe = universe(connection, &Choice::All).await?;
    add_pairs(&mut universe, pairs);
    let motion = Motion {
        seed: 1,
        volatility: 0.2,
        correlation: 0.6,
        // Faster than life, so that a minute shows something.
        step_s: 120.0 / rate,
    };
    Ok(source(universe, motion, Pace::Rate(rate), 1))
}
