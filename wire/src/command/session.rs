//! Calendars, sessions, and prices that wait for an operator.

use divisor_engine::Decimal;
use divisor_engine::definition::CalendarDefinition;
use serde::{Deserialize, Serialize};

/// A line of `calendar list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRow {
    /// The name.
    pub name: String,
    /// Its time zone.
    pub zone: String,
    /// How many holidays it has.
    pub holidays: u32,
    /// How many days with other hours.
    pub special: u32,
    /// The dates for which its exceptions are complete, as far as it says.
    pub from: Option<String>,
    /// The same.
    pub to: Option<String>,
    /// Indexes that follow it.
    pub indexes: u32,
}

/// `calendar show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarDetail {
    /// As a fixture states it.
    pub definition: CalendarDefinition,
    /// Sessions from the date that was asked for on.
    pub sessions: Vec<SessionRow>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its day.
    pub day: String,
    /// From when on indicative levels leave.
    pub pre_open: String,
    /// When it opens.
    pub open: String,
    /// When it closes.
    pub close: String,
}

/// A line of `price hold list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// The position at which it was held: its name for `release` and `reject`.
    pub held: u64,
    /// The symbol, or the pair of a rate.
    pub subject: String,
    /// The price or rate.
    pub price: Decimal,
    /// Why: `last`, `close`, `cross`, `inverted`.
    pub doubt: String,
    /// What it was compared with.
    pub reference: Decimal,
    /// When it was made.
    pub ts: String,
    /// Who made it.
    pub src: Option<String>,
}
