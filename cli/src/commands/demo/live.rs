//! The live part: a market over everything that is loaded, and its levels as they come.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use divisor_wire::topic::level_topic;
use rumqttc::QoS;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cli::Globals;
use crate::commands::simulate::{self, Limits};
use crate::commands::spinner;
use crate::connection::{Broker, Connection, Message};
use crate::feed::{Fleet, FleetOptions};
use crate::interrupt::Interrupt;
use crate::levels::{self, LevelRow};
use crate::output::{self, Format, Row};

/// Ticks a second over all securities: enough that every index moves.
const RATE: f64 = 250.0;
/// One line of each index in this time: a reader can follow.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// Runs until the time is over or Ctrl-C. Quietly it says only what went wrong.
pub(crate) async fn run(
    address: &Broker,
    connection: &Connection,
    span: Option<Duration>,
    interrupt: &Interrupt,
    globals: &Globals,
    quiet: bool,
) -> anyhow::Result<()> {
    let source = simulate::everything(connection, RATE).await?;
    let mut listener = super::connect(address).await?;
    let messages = listener.messages();
    let options = FleetOptions {
        publishers: 1,
        window: 1000,
        qos: QoS::AtLeastOnce,
        batch: 1,
    };
    let fleet = Fleet::open(address, "demo", None, options).await?;
    let limits = Limits {
        ticks: u64::MAX,
        duration: span,
    };
    if !quiet {
        output::say(format_args!(
            "a made-up market, {RATE:.0} ticks a second; {}",
            if span.is_some() {
                "a line of each index now and then"
            } else {
                "Ctrl-C ends it"
            }
        ));
    }
    let format = (!quiet).then_some(globals.output);
    let printing = tokio::spawn(print(messages, format));
    listener.subscribe(vec![level_topic("+")]).await?;
    let bar = spinner();
    bar.finish_and_clear();
    let fed = simulate::feed(&fleet, source, &limits, interrupt, &bar).await;
    let (accounting, lost) = fleet.finish().await;
    listener.close().await;
    let printed = printing.await;
    simulate::complain(&accounting);
    if !quiet {
        output::say(format_args!("{}", accounting.progress()));
    }
    if let Some(lost) = lost.or(fed.err()) {
        return Err(lost.into());
    }
    if printed?? == 0 && !interrupt.is_set() {
        bail!("no level came while {} prices went", accounting.sent);
    }
    Ok(())
}

/// Prints levels, each index not more often than one can read; counts those that came of prices.
async fn print(
    mut messages: mpsc::Receiver<Message>,
    format: Option<Format>,
) -> std::io::Result<u64> {
    let mut shown: HashMap<String, Instant> = HashMap::new();
    let mut count = 0;
    match format {
        Some(Format::Table) => output::line(format_args!("{}", levels::header()))?,
        Some(Format::Csv) => output::csv(LevelRow::COLUMNS)?,
        Some(Format::Json) | None => {}
    }
    while let Some(message) = messages.recv().await {
        let Some(level) = levels::read(&message.payload) else {
            continue;
        };
        if message.retained {
            continue;
        }
        count += 1;
        let now = Instant::now();
        let last = shown.get(&level.index);
        if last.is_some_and(|last| now - *last < LINE_EVERY) {
            continue;
        }
        shown.insert(level.index.clone(), now);
        match format {
            Some(Format::Table) => output::line(format_args!("{}", levels::line(&level)))?,
            Some(Format::Json) => output::json(&level)?,
            Some(Format::Csv) => output::csv(LevelRow(level).cells())?,
            None => {}
        }
    }
    Ok(count)
}
