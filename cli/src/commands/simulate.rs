//! `divisor simulate`: a made-up market, or a recorded one, at any pace.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use divisor_engine::Decimal;
use divisor_wire::command::SecurityRow;
use indicatif::ProgressBar;
use rumqttc::QoS;

use super::{duration, security, spinner};
use crate::cli::Globals;
use crate::connection::{Connection, Lost, WINDOW};
use crate::exit::{Exit, WrongInput};
use crate::feed::{
    Accounting, Fleet, FleetOptions, Market, Motion, Pace, Quote, Recording, Shipment, Speed,
    Start, Subject,
};
use crate::interrupt::Interrupt;
use crate::output;

/// Ticks a second when nothing else is asked for.
const RATE: f64 = 10.0;
/// Securities without a price start here.
const START_PRICE: Decimal = Decimal::new(10_000, 2);
/// Places of made-up prices where the security allows them: cents.
const PLACES: u8 = 2;
/// Currencies are calmer than shares by about this.
const PAIR_CALM: f64 = 0.4;
/// How often the progress line is renewed.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Ticks between two looks at clock and progress.
const TICKS_AT_ONCE: u64 = 256;

const EXAMPLES: &str = "\
Examples:
  divisor simulate                                    ten ticks a second over all securities
  divisor simulate --every 10s                        every security once in ten seconds
  divisor simulate --securities AAPL,MSFT --rate 100 --duration 1m
  divisor simulate --speed max --count 1000000        how much the daemon takes
  divisor simulate --seed 7 --count 1000              the same thousand prices every time
  divisor simulate --fx EUR/USD=1.0825                rates move too
  divisor simulate --replay ticks.csv --speed 10x     a recording, ten times as fast";

/// Simulate a market: send prices that move like one
///
/// Correlated geometric Brownian motion from the last prices on, at a steady rate or as fast as
/// the daemon acknowledges, or the replay of a CSV file. The same seed gives the same prices in
/// the same order. At the end every tick is accounted for: sent, acknowledged, refused.
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

    /// Rates that move too, with their start: EUR/USD=1.0825; may be repeated
    #[arg(long, value_name = "PAIR=RATE", value_delimiter = ',')]
    fx: Vec<PairStart>,

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

/// A pair and the rate it starts from.
#[derive(Debug, Clone)]
pub(crate) struct PairStart {
    subject: Subject,
    rate: Decimal,
}

impl PairStart {
    /// A pair from its parts.
    pub(crate) fn new(base: &str, quote: &str, rate: Decimal) -> Self {
        Self {
            subject: Subject::Pair(base.to_owned(), quote.to_owned()),
            rate,
        }
    }
}

impl FromStr for PairStart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no start; use EUR/USD=1.0825");
        let (pair, rate) = text.split_once('=').ok_or_else(wrong)?;
        let (base, quote) = pair.split_once('/').ok_or_else(wrong)?;
        let rate: Decimal = rate.parse().map_err(|_| wrong())?;
        if rate.is_positive() && !base.is_empty() && !quote.is_empty() {
            Ok(Self::new(base, quote, rate))
        } else {
            Err(wrong())
        }
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
            let connection = Connection::open(&globals.url, "simulate", WINDOW).await?;
            let universe = universe(&connection, &opts.securities).await?;
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
    let fleet = Fleet::open(&globals.url, "simulate", None, options).await?;
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

/// When a feed ends by itself.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Ticks.
    pub(crate) ticks: u64,
    /// Time.
    pub(crate) duration: Option<Duration>,
}

/// Where the ticks come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Made up.
    Market {
        market: Market,
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
    fn replay(recording: Recording, speed: Speed) -> Self {
        // A subject's number decides its publisher, so each gets one number.
        let mut numbers = std::collections::HashMap::new();
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
async fn universe(connection: &Connection, choice: &Choice) -> anyhow::Result<Universe> {
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

fn market(opts: &Opts, mut universe: Universe) -> anyhow::Result<Source> {
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
        market: Market::new(&starts, motion),
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
        step_s: 20.0 / rate,
    };
    Ok(source(universe, motion, Pace::Rate(rate), 1))
}

/// Sends until the source ends, a limit is reached or the user has enough.
pub(crate) async fn feed(
    fleet: &Fleet,
    mut source: Source,
    limits: &Limits,
    interrupt: &Interrupt,
    bar: &ProgressBar,
) -> Result<(), Lost> {
    let start = Instant::now();
    let deadline = limits.duration.map(|duration| start + duration);
    let stop = async {
        match deadline {
            Some(deadline) => tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = interrupt.wait() => {}
            },
            None => interrupt.wait().await,
        }
    };
    let send = async {
        match &mut source {
            Source::Market {
                market,
                topics,
                pace,
                batch,
            } => {
                made_up(
                    fleet,
                    market,
                    topics,
                    *pace,
                    *batch,
                    limits.ticks,
                    start,
                    bar,
                )
                .await
            }
            Source::Replay {
                recording,
                lanes,
                topics,
                speed,
            } => recorded(fleet, recording, lanes, topics, *speed, limits.ticks, bar).await,
        }
    };
    tokio::select! {
        result = send => result,
        () = stop => Ok(()),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one source, taken apart by the match"
)]
async fn made_up(
    fleet: &Fleet,
    market: &mut Market,
    topics: &[Arc<str>],
    pace: Pace,
    batch: u64,
    ticks_max: u64,
    start: Instant,
    bar: &ProgressBar,
) -> Result<(), Lost> {
    let mut sent = 0u64;
    let mut progress = Progress::new();
    while sent < ticks_max {
        let due = pace.due(start.elapsed(), sent).min(ticks_max - sent);
        let mut left = due.min(TICKS_AT_ONCE);
        while left > 0 {
            let (which, first) = market.tick();
            let more = batch.min(ticks_max - sent) - 1;
            let mut quotes = vec![Quote::of(first)];
            quotes.extend((0..more).map(|_| Quote::of(market.step(which))));
            sent += more + 1;
            left = left.saturating_sub(more + 1);
            let topic = Arc::clone(&topics[which]);
            fleet.send(which, Shipment { topic, quotes }).await?;
        }
        progress.show(fleet, bar);
        if due <= TICKS_AT_ONCE && sent < ticks_max {
            tokio::time::sleep_until(pace.next(start, sent).into()).await;
        }
    }
    Ok(())
}

async fn recorded(
    fleet: &Fleet,
    recording: &Recording,
    lanes: &[usize],
    topics: &[Arc<str>],
    speed: Speed,
    ticks_max: u64,
    bar: &ProgressBar,
) -> Result<(), Lost> {
    let start = Instant::now();
    let mut progress = Progress::new();
    let count = usize::try_from(ticks_max).unwrap_or(usize::MAX);
    for (at, (_, quote)) in recording.ticks.iter().enumerate().take(count) {
        let due = recording.offset(at, speed);
        if due > start.elapsed() {
            progress.show(fleet, bar);
            tokio::time::sleep(due - start.elapsed()).await;
        }
        let shipment = Shipment {
            topic: Arc::clone(&topics[lanes[at]]),
            quotes: vec![quote.clone()],
        };
        fleet.send(lanes[at], shipment).await?;
        if at % 256 == 0 {
            progress.show(fleet, bar);
        }
    }
    Ok(())
}

/// The progress line, renewed now and then.
struct Progress {
    shown: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            shown: Instant::now(),
        }
    }

    fn show(&mut self, fleet: &Fleet, bar: &ProgressBar) {
        if !bar.is_hidden() && self.shown.elapsed() > PROGRESS_EVERY {
            self.shown = Instant::now();
            let accounting: Accounting = fleet.accounting();
            bar.set_message(accounting.progress());
        }
    }
}

/// Says how a feed of the demo went, when something did not.
pub(crate) fn complain(accounting: &Accounting) {
    if accounting.exit() != Exit::Done {
        output::say(format_args!("simulation: {}", accounting.progress()));
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
        assert!("EUR/USD=0".parse::<PairStart>().is_err());
        assert!("EUR/=1".parse::<PairStart>().is_err());
    }
}
