//! Corrections of the past.

use divisor_engine::definition::ActionDefinition;
use divisor_engine::{Currency, Decimal};
use serde::{Deserialize, Serialize};

/// What of the past is corrected, in the terms of those who state it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRequest {
    /// What is wrong.
    pub what: Corrected,
    /// Why, for people; it is kept.
    pub reason: String,
}

/// What is wrong, and what is right instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corrected {
    /// A price: another one, one that never was, or one that did not come.
    Price(CorrectedPrice),
    /// A rate, likewise.
    Rate(CorrectedRate),
    /// The terms of a corporate action that was announced with others, or an action of a past day
    /// that was not announced.
    Action(Box<ActionDefinition>),
    /// An action that should not have been announced.
    CancelAction {
        /// Its id.
        id: String,
    },
    /// An earlier correction was wrong.
    Withdraw {
        /// Its run.
        run: u32,
    },
}

/// The price of a security at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectedPrice {
    /// Whose.
    pub symbol: String,
    /// Its time: RFC 3339.
    pub ts: String,
    /// What it should have been; absent where there should have been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Who made it, where several have one of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
}

/// The rate of a pair at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectedRate {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// Its time: RFC 3339.
    pub ts: String,
    /// What it should have been; absent where there should have been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Decimal>,
    /// Who made it, where several have one of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
}

/// What a correction does: the run it has opened, or by `dry_run` what it would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionSummary {
    /// Its run. The walk goes on behind the answer; `correct.list` and the events of the indexes tell
    /// what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// What it would change, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<CorrectionEffect>,
}

/// What a correction would change of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionEffect {
    /// The index code.
    pub code: String,
    /// How many levels.
    pub levels: u64,
    /// How many official closes.
    pub closes: u64,
    /// The time of the first level that would be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The time of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The largest change of a level, without its sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<Decimal>,
}

/// A line of `correct list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionRow {
    /// Its run.
    pub run: u32,
    /// What is corrected, in words.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Who stated it.
    pub by: String,
    /// When.
    pub time: String,
    /// `open`, `restated` or `failed`.
    pub state: String,
    /// The run whose rows have it; several corrections may share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<u32>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
