//! `divisor simulate`: a made-up market, or a recorded one, at any pace.

mod drive;
mod source;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use divisor_engine::Decimal;
use rumqttc::QoS;

use super::{duration, spinner};
use crate::cli::Globals;
use crate::connection::{Connection, WINDOW};
use crate::exit::{Exit, WrongInput};
use crate::feed::{Fleet, FleetOptions, Recording, Speed};
use crate::interrupt::Interrupt;

pub(crate) use drive::{Limits, complain, feed};
pub(crate) use source::{Source, everything};

use source::{market, universe};

const EXAMPLES: &str = "\
Examples:
  divisor simulate                                    ten ticks a second over all securities
  divisor simulate --every 10s                        every security once in ten seconds
  divisor simulate --securities AAPL,MSFT --rate 100 --duration 1m
  divisor simulate --speed max --count 1000000        how much the daemon takes
  divisor simulate --seed 7 --count 1000              the same thousand moves every time
  divisor simulate --fx                               rates move too
  divisor simulate --fx EUR/USD,GBP/USD=1.31          these two, the second from this start
  divisor simulate --replay ticks.csv --speed 10x     a recording, ten times as fast";

/// Simulate a market: send prices that move like one
///
/// Correlated geometric Brownian motion from the last prices on, at a steady rate or as fast as
/// the daemon acknowledges, or the replay of a CSV file. The same seed gives the same
/// moves in the same order: from the same last prices, the same ticks. At the end every tick is accounted for: sent, acknowledged, refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Opts {
    /// Which securities: symbols, the first N, or all
    #[arg(long, value_name = "A,B|N|all", default_value = "all")]
    securities: Choice,

    /// Ticks a second, all securities together [default: 10]
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with_all = ["every", "speed", "replay"])]
    rate: Option<f64>,

    /// Every security once in this time, such as 10s
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["speed", "replay"])]
    every: Option<Duration>,

    /// `max`: as fast as acknowledgements come; with --replay also `real` or a factor such as 10x
    #[arg(long, value_name = "SPEED")]
    speed: Option<Speed>,

    /// End after this time, such as 1m
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,

    /// End after so many ticks
    #[arg(long, value_name = "TICKS")]
    count: Option<u64>,

    /// The seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Volatility a year; each security takes 0.6 to 1.4 times this
    #[arg(long, default_value_t = 0.2, value_parser = volatility)]
    volatility: f64,

    /// Correlation with the market as a whole, 0 to 1
    #[arg(long, default_value_t = 0.6, value_parser = share)]
    correlation: f64,

    /// Rates that move too: all that the daemon knows, or pairs such as EUR/USD or EUR/USD=1.0825
    ///
    /// A pair starts from its last rate, or from the one that is given.
    #[arg(
        long,
        value_name = "PAIR[=RATE]",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "all"
    )]
    fx: Vec<Fx>,

    /// Replay a CSV file instead: symbol,price,ts or date,SYMBOL,…; `-` is stdin
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,

    /// Connections side by side; a security always uses the same one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    publishers: u16,

    /// Ticks in a message, all of one security
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,

    /// Unacknowledged messages of each connection
    #[arg(long, value_name = "N", default_value_t = WINDOW, value_parser = clap::value_parser!(u16).range(1..=60000))]
    window: u16,

    /// 0: no promise, 1: on disk when acknowledged, 2: the same, and once by protocol
    #[arg(long, default_value = "1", value_parser = qos)]
    qos: QoS,
}

/// Which securities.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    All,
    First(usize),
    Named(Vec<String>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        match text.parse() {
            Ok(0) => Err("at least one security is needed".to_owned()),
            Ok(count) => Ok(Self::First(count)),
            Err(_) => {
                let names: Vec<String> =
                    text.split(',').map(|name| name.trim().to_owned()).collect();
                if names.iter().any(String::is_empty) {
                    return Err("a symbol between the commas is missing".to_owned());
                }
                Ok(Self::Named(names))
            }
        }
    }
}

/// Which rates move.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fx {
    /// All that the daemon knows.
    All,
    /// One pair, from this rate or from the last one.
    Pair {
        base: String,
        quote: String,
        start: Option<Decimal>,
    },
}

impl FromStr for Fx {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let wrong = || format!("`{text}` is no pair; use EUR/USD, or EUR/USD=1.0825 with a start");
        let (pair, start) = match text.split_once('=') {
            Some((pair, start)) => (pair, Some(start)),
            None => (text, None),
        };
        let (base, quote) = pair.split_once('/').ok_or_else(wrong)?;
        let start: Option<Decimal> = start.map(str::parse).transpose().map_err(|_| wrong())?;
        let good = start.is_none_or(Decimal::is_positive);
        if base.is_empty() || quote.is_empty() || !good {
            return Err(wrong());
        }
        Ok(Self::Pair {
            base: base.to_owned(),
            quote: quote.to_owned(),
            start,
        })
    }
}

fn positive(text: &str, max: f64) -> Result<f64, String> {
    let value = text
        .parse::<f64>()
        .ok()
        .filter(|value| *value > 0.0 && *value <= max);
    value.ok_or_else(|| format!("`{text}` is no number above 0 and up to {max}"))
}

fn rate(text: &str) -> Result<f64, String> {
    positive(text.strip_suffix("/s").unwrap_or(text), 1e7)
}

fn volatility(text: &str) -> Result<f64, String> {
    positive(text, 10.0)
}

fn share(text: &str) -> Result<f64, String> {
    let value = text
        .parse::<f64>()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| format!("`{text}` is no number from 0 to 1"))
}

fn qos(text: &str) -> Result<QoS, String> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err("use 0, 1 or 2".to_owned()),
    }
}

/// Runs the verb.
pub(crate) async fn run(
    opts: Opts,
    globals: &Globals,
    interrupt: &Interrupt,
) -> anyhow::Result<Exit> {
    if opts.replay.is_none() && matches!(opts.speed, Some(Speed::Times(_))) {
        return Err(
            WrongInput::one("a factor of speed needs --replay; use --rate or --every").into(),
        );
    }
    // Before anything is connected: a wrong file is a usage error.
    let recording = opts.replay.as_deref().map(Recording::read).transpose()?;
    let source = match recording {
        Some(recording) => Source::replay(recording, opts.speed.unwrap_or(Speed::Times(1.0))),
        None => {
            let connection = Connection::open(&globals.broker, "simulate", WINDOW).await?;
            let mut universe = universe(&connection, &opts.securities).await?;
            universe.add_rates(&connection, &opts.fx).await?;
            connection.close().await;
            market(&opts, universe)?
        }
    };
    let options = FleetOptions {
        publishers: usize::from(opts.publishers),
        window: opts.window,
        qos: opts.qos,
        batch: u32::from(opts.batch),
    };
    let fleet = Fleet::open(&globals.broker, "simulate", None, options).await?;
    let limits = Limits {
        ticks: opts.count.unwrap_or(u64::MAX),
        duration: opts.duration,
    };
    let bar = spinner();
    let ended = feed(&fleet, source, &limits, interrupt, &bar).await;
    bar.set_message("waiting for the last acknowledgements");
    let (accounting, lost) = fleet.finish().await;
    bar.finish_and_clear();
    accounting.print(globals.output)?;
    match lost.or(ended.err()) {
        Some(lost) => Err(lost.into()),
        None if interrupt.is_set() => Ok(Exit::Interrupted),
        None => Ok(accounting.exit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_choices() {
        let check = |text: &str, expected: Option<Choice>| {
            assert_eq!(text.parse::<Choice>().ok(), expected, "{text}");
        };
        check("all", Some(Choice::All));
        check("5", Some(Choice::First(5)));
        check(
            "A, B",
            Some(Choice::Named(vec!["A".to_owned(), "B".to_owned()])),
        );
        check("0", None);
        check("A,,B", None);
    }

    #[test]
    fn reads_rates() {
        assert_eq!(rate("10/s"), Ok(10.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_pairs() {
        let pair = |start: Option<&str>| Fx::Pair {
            base: "EUR".to_owned(),
            quote: "USD".to_owned(),
            start: start.map(|start| start.parse().unwrap()),
        };
        assert_eq!("all".parse(), Ok(Fx::All));
        assert_eq!("EUR/USD".parse(), Ok(pair(None)));
        assert_eq!("EUR/USD=1.08".parse(), Ok(pair(Some("1.08"))));
        for wrong in ["EURUSD", "EUR/", "EUR/USD=0", "EUR/=1", "EUR/USD=", ""] {
            assert!(wrong.parse::<Fx>().is_err(), "{wrong}");
        }
    }
}
