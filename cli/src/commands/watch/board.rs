//! What is known of the indexes, and which of them are looked at in which order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use divisor_wire::command::{DaemonStatus, IndexRow};
use divisor_wire::level::LevelMessage;
use divisor_wire::topic::STATUS_TOPIC;

use super::rate::Rate;
use crate::levels;

/// Points of a line: one for each second in which a level came.
pub(super) const TREND_MAX: usize = 60;

/// The screen's model: messages in, rows out. Times are since the start.
#[derive(Debug)]
pub(super) struct Board {
    /// The broker, for the head line.
    pub(super) url: String,
    /// What the daemon last said of itself.
    pub(super) status: Option<DaemonStatus>,
    /// Codes and names must contain this, upper or lower case.
    pub(super) filter: String,
    /// Whether keys go to the filter.
    pub(super) typing: bool,
    /// The order of the rows.
    pub(super) order: Order,
    /// The row that is marked, among those that are shown.
    pub(super) selected: usize,
    /// Levels of all indexes.
    pub(super) rate: Rate,
    lines: BTreeMap<String, Line>,
}

/// An index.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    /// Its name, when the daemon told it.
    pub(super) name: String,
    /// The newest level; none while it is pending.
    pub(super) level: Option<LevelMessage>,
    /// Its state where no level tells it.
    pub(super) state: String,
    /// When the newest level came.
    pub(super) seen: Duration,
    /// The last level of each of the last seconds that had one. Only drawn, so a float will do.
    pub(super) trend: VecDeque<f64>,
    trend_second: u64,
    pub(super) rate: Rate,
}

/// How rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// By code.
    Code,
    /// The largest gain first.
    Gain,
    /// The largest loss first.
    Loss,
}

impl Order {
    /// The next one, round and round.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Code => Self::Gain,
            Self::Gain => Self::Loss,
            Self::Loss => Self::Code,
        }
    }

    /// For the foot line.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Gain => "gain",
            Self::Loss => "loss",
        }
    }
}

impl Board {
    pub(super) fn new(url: String, filter: String) -> Self {
        Self {
            url,
            status: None,
            filter,
            typing: false,
            order: Order::Code,
            selected: 0,
            rate: Rate::default(),
            lines: BTreeMap::new(),
        }
    }

    /// Takes the daemon's list in: names, and what has no level yet.
    pub(super) fn list(&mut self, rows: Vec<IndexRow>) {
        for row in rows {
            let line = self.lines.entry(row.code).or_default();
            line.name = row.name.unwrap_or_default();
            line.state = row.status;
        }
    }

    /// Takes a message in.
    pub(super) fn take(&mut self, topic: &str, payload: &[u8], now: Duration) {
        if topic == STATUS_TOPIC {
            self.status = serde_json::from_slice(payload).ok();
            return;
        }
        if payload.is_empty() {
            // Deleted, or under another code from here on.
            let code = topic.strip_prefix("indexes/");
            if let Some(code) = code.and_then(|rest| rest.strip_suffix("/level")) {
                self.lines.remove(code);
            }
            return;
        }
        let Some(level) = levels::read(payload) else {
            return;
        };
        self.rate.count(now);
        let line = self.lines.entry(level.index.clone()).or_default();
        line.rate.count(now);
        line.seen = now;
        if let Ok(value) = level.level.to_string().parse::<f64>() {
            if line.trend_second == now.as_secs() {
                line.trend.pop_back();
            }
            line.trend_second = now.as_secs();
            line.trend.push_back(value);
            if line.trend.len() > TREND_MAX {
                line.trend.pop_front();
            }
        }
        line.level = Some(level);
    }

    /// How many indexes are known.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The rows that are shown, in their order.
    pub(super) fn shown(&self) -> Vec<(&str, &Line)> {
        let wanted = self.filter.to_lowercase();
        let matches = |code: &str, line: &Line| {
            code.to_lowercase().contains(&wanted) || line.name.to_lowercase().contains(&wanted)
        };
        let rows = self.lines.iter().map(|(code, line)| (code.as_str(), line));
        let mut shown: Vec<_> = rows.filter(|(code, line)| matches(code, line)).collect();
        match self.order {
            Order::Code => {}
            Order::Gain => shown.sort_by(|(_, a), (_, b)| by_change(b, a)),
            Order::Loss => shown.sort_by(|(_, a), (_, b)| by_change(a, b)),
        }
        shown
    }

    /// Moves the mark, as far as there are rows.
    pub(super) fn step(&mut self, by: isize) {
        let last = self.shown().len().saturating_sub(1);
        let now = self.selected.min(last);
        self.selected = now.saturating_add_signed(by).min(last);
    }
}

/// By change in percent; those without one are in the middle, like those that have not moved.
fn by_change(a: &Line, b: &Line) -> Ordering {
    let change = |line: &Line| {
        let percent = line.level.as_ref().and_then(|level| level.chg_pct);
        percent.map_or(0, |percent| percent.mantissa())
    };
    change(a).cmp(&change(b))
}
