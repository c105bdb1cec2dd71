//! How the day of an index goes: opening, staleness, close.

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// How a session of the index's calendar begins and ends (METHODOLOGY §1.9, 1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionRules {
    /// The percentage of the index's weight that must have traded in the session before its levels
    /// are `live`; `indicative` until then. Live at the calendar's open when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<Decimal>,
    /// When the close is calculated.
    pub close: CloseRule,
    /// After how many seconds a close is final by itself; only by an operator when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_after_s: Option<u32>,
    /// How many seconds the prices of this index are behind, for feeds that are delayed: the wall
    /// clock moves the session that much later.
    pub delay_s: u32,
    /// Whether the special opening quotation is calculated: the level of every constituent's
    /// official opening price, of the prior close where there is none.
    pub soq: bool,
}

impl SessionRules {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When the close of a session is calculated. The next session closes it in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloseRule {
    /// What it waits for.
    pub at: CloseAt,
    /// So many seconds after the calendar's close, at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u32>,
}

/// What the close waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseAt {
    /// The calendar's close, and `after_s` behind it.
    #[default]
    Scheduled,
    /// An official close of every constituent; `after_s` at the latest where that is stated.
    Official,
    /// An operator; `after_s` at the latest where that is stated.
    Command,
}

/// From when on a constituent is stale. Time counts only while its exchange is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StaleRule {
    /// After so many seconds without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u32>,
    /// After so many whole sessions without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u16>,
    /// The index is `stale` from this percentage of stale weight on; without it only the count of
    /// stale constituents tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
}
