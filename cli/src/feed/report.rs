//! Every tick accounted for: sent, acknowledged, refused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::refusals::Refusals;
use crate::connection::Account;
use crate::exit::Exit;
use crate::output::{self, Format, Row};

/// The account of a feed, as a row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Accounting {
    /// Ticks handed over.
    pub(crate) sent: u64,
    /// Ticks in acknowledged messages; at `QoS` 0 in written ones.
    pub(crate) acknowledged: u64,
    /// Ticks without an acknowledgement.
    pub(crate) unacknowledged: u64,
    /// Acknowledged ticks that the daemon then refused.
    pub(crate) refused: u64,
    /// Why.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Messages sent again after a reconnect.
    pub(crate) repeated: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Acknowledged ticks a second.
    pub(crate) rate: f64,
    /// From handing over to acknowledgement, in milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p90_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// The same.
    pub p999_ms: f64,
    /// The same.
    pub(crate) max_ms: f64,
    #[serde(skip)]
    lines: Vec<String>,
}

impl Accounting {
    /// Puts together what the publishers counted.
    pub(crate) fn new(account: &Account, refusals: &Refusals, elapsed: Duration) -> Self {
        let ms = |share| account.percentile(share).as_secs_f64() * 1e3;
        let seconds = elapsed.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let rate = account.acknowledged as f64 / seconds.max(1e-9);
        let counts = refusals.counts().into_iter();
        Self {
            sent: account.ticks,
            acknowledged: account.acknowledged,
            unacknowledged: account.ticks - account.acknowledged,
            refused: refusals.total(),
            reasons: counts
                .map(|(reason, count)| (reason.to_owned(), count))
                .collect(),
            repeated: account.repeated,
            seconds: rounded(seconds),
            rate: rounded(rate),
            p50_ms: ms(50.0),
            p90_ms: ms(90.0),
            p99_ms: ms(99.0),
            p999_ms: ms(99.9),
            max_ms: ms(100.0),
            lines: refusals.lines().collect(),
        }
    }

    /// The state of a running feed in one line.
    pub(crate) fn progress(&self) -> String {
        let mut line = format!(
            "{} sent, {} acknowledged, {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
            self.sent, self.acknowledged, self.rate, self.p50_ms, self.p99_ms
        );
        if self.refused > 0 {
            line.push_str(&format!(", {} refused", self.refused));
        }
        line
    }

    /// Prints the account, and the reasons on stderr.
    pub(crate) fn print(&self, format: Format) -> std::io::Result<()> {
        for line in &self.lines {
            output::say(format_args!("refused: {line}"));
        }
        output::rows(format, std::slice::from_ref(self))
    }

    /// How the feed ended.
    pub(crate) const fn exit(&self) -> Exit {
        if self.refused > 0 || self.unacknowledged > 0 {
            Exit::Partial
        } else {
            Exit::Done
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Row for Accounting {
    const COLUMNS: &'static [&'static str] = &[
        ">sent",
        ">acknowledged",
        ">missing",
        ">refused",
        ">repeated",
        ">seconds",
        ">ticks/s",
        ">p50 ms",
        ">p90 ms",
        ">p99 ms",
        ">p99.9 ms",
        ">max ms",
    ];

    fn cells(&self) -> Vec<String> {
        let counts = [
            self.sent,
            self.acknowledged,
            self.unacknowledged,
            self.refused,
            self.repeated,
        ];
        let mut cells: Vec<String> = counts.iter().map(u64::to_string).collect();
        cells.push(format!("{:.1}", self.seconds));
        cells.push(format!("{:.0}", self.rate));
        let latencies = [
            self.p50_ms,
            self.p90_ms,
            self.p99_ms,
            self.p999_ms,
            self.max_ms,
        ];
        cells.extend(latencies.iter().map(|ms| format!("{ms:.2}")));
        cells
    }
}
