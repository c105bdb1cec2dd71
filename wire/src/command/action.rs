//! Corporate actions and their previews.

use divisor_engine::Decimal;
use divisor_engine::definition::ActionDefinition;
use serde::{Deserialize, Serialize};

use super::none;

/// A line of `action list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRow {
    /// Its id.
    pub action: String,
    /// What kind.
    pub kind: String,
    /// The security, where it happens to one.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The index, where it concerns one alone.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The first day without the right.
    pub ex_date: String,
    /// The beginning of that day.
    pub due: String,
    /// `announced`, `applying`, `applied`, `cancelled` or `refused`.
    pub state: String,
    /// Why it was refused.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// As announced.
    pub definition: ActionDefinition,
}

/// `action preview`: what it would do at the prices of the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPreview {
    /// Its id.
    pub action: String,
    /// The price of its security before and after, where it changes.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub price: Option<BeforeAfter>,
    /// The indexes that it concerns.
    pub indexes: Vec<IndexPreview>,
}

/// A figure before and after; none where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeAfter {
    /// Before.
    pub before: Option<Decimal>,
    /// After.
    pub after: Option<Decimal>,
}

/// An index of `action preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPreview {
    /// Its code.
    pub code: String,
    /// The level.
    pub level: BeforeAfter,
    /// The divisor.
    pub divisor: BeforeAfter,
    /// Members that change.
    pub members: Vec<MemberPreview>,
}

/// A member of `action preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPreview {
    /// Whose.
    pub symbol: String,
    /// The price as the index sees it.
    pub price: BeforeAfter,
    /// Stated shares or units.
    pub shares: BeforeAfter,
    /// The coefficient in force.
    pub coefficient: BeforeAfter,
}
