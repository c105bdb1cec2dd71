//! The loop that takes ticks from their source at their pace and hands them to the publishers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::source::Source;
use crate::connection::Lost;
use crate::exit::Exit;
use crate::feed::{Accounting, Fleet, Market, Pace, Quote, Recording, Shipment, Speed};
use crate::interrupt::Interrupt;
use crate::output;

/// How often the progress line is renewed.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Ticks between two looks at clock and progress.
const TICKS_AT_ONCE: u64 = 256;

/// When a feed ends by itself.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Ticks.
    pub(crate) ticks: u64,
    /// Time.
    pub(crate) duration: Option<Duration>,
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
