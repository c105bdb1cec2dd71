//! `history`: prices and rates of any times, as they come from files.

use divisor_engine::{Decimal, Kind};
use serde::{Deserialize, Serialize};

/// A piece of history: prices and rates in the order in which they shall count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Where the rows come from.
    pub files: Vec<HistoryFile>,
    /// The rows, in the order of their times.
    pub rows: Vec<HistoryRow>,
}

/// A file of history. Its name and content make its rows' identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryFile {
    /// The source of its rows.
    pub src: String,
    /// A number that follows from the content: their incarnation.
    pub inc: u64,
}

/// A row of history, as an array: file, number in the file, symbol or pair, price, nanoseconds
/// since 1970, kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow(
    /// Which of the files.
    pub u32,
    /// Its number in the file, rising.
    pub u64,
    /// A symbol, or a pair such as `EUR/USD`.
    pub String,
    /// The price, or units of the second currency for one of the first.
    pub Decimal,
    /// When it was made, in nanoseconds since 1970.
    pub i64,
    /// What kind of price it is.
    pub Kind,
);

/// What became of the rows of `history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistorySummary {
    /// Rows that count now.
    pub applied: u64,
    /// Rows that are stored and older than what counts.
    pub late: u64,
    /// Rows that were there before.
    pub repeated: u64,
    /// Rows that wait for an operator.
    pub held: u64,
    /// Rows that are stored and do not count: a better source, a trade behind the close.
    pub passed: u64,
    /// How many rows were refused.
    pub refused: u64,
    /// The first of them: place in the message and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<(u32, String)>,
}
