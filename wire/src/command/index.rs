//! Indexes: what they are, what a level is made of, and what a review would make of them.

use divisor_engine::definition::{ActionDefinition, IndexDefinition};
use divisor_engine::{Currency, Decimal};
use serde::{Deserialize, Serialize};

use super::BeforeAfter;

/// A line of `index list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRow {
    /// The code.
    pub code: String,
    /// The name for people.
    pub name: Option<String>,
    /// The currency of the level.
    pub currency: Currency,
    /// The weighting scheme, or the kind of variant.
    pub weighting: String,
    /// How many constituents.
    pub constituents: u32,
    /// Constituents without a price.
    pub missing: u32,
    /// The last level.
    pub level: Option<Decimal>,
    /// Change against the previous close.
    pub chg: Option<Decimal>,
    /// The time of the newest input of the last level.
    pub ts: Option<String>,
    /// The number of the last level.
    pub seq: u64,
    /// The revision in force.
    pub rev: u32,
    /// `pending`, or as on a level; `inactive` for one that is out of service.
    pub status: String,
    /// Constituents whose price is stale.
    #[serde(default)]
    pub stale: u32,
}

/// `index show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDetail {
    /// The line of the list.
    pub row: IndexRow,
    /// The definition in force, as a fixture states it.
    pub definition: IndexDefinition,
    /// The divisor in force.
    pub divisor: Option<Decimal>,
    /// Of a variant: what it follows and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<FollowRow>,
    /// Why there is no level, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The constant part of the sum.
    pub cash: Decimal,
    /// The last level of the day before.
    pub prev_close: Option<Decimal>,
    /// The constituents with what they contribute.
    pub members: Vec<MemberRow>,
}

/// How a variant lies over its parent since it was fixed last: level = slope · parent + offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRow {
    /// The parent's code.
    pub of: String,
    /// The level that it was fixed at; absent before its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Decimal>,
    /// The parent's level that it was fixed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_level: Option<Decimal>,
    /// The slope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<Decimal>,
    /// The offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Decimal>,
}

/// A constituent of `index show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Whose.
    pub symbol: String,
    /// The currency of its price.
    pub currency: Currency,
    /// Its last price.
    pub price: Option<Decimal>,
    /// The coefficient `q` in force.
    pub coefficient: Option<Decimal>,
    /// Its share of the market value, six places; absent while the index is pending.
    pub weight: Option<Decimal>,
}

/// `index explain`: the parts of a level, `(sum of values + cash) / divisor` cut at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexExplanation {
    /// The index.
    pub code: String,
    /// The currency of the level.
    pub currency: Currency,
    /// The revision in force.
    pub rev: u32,
    /// The members in the order of the basket.
    pub members: Vec<ExplainedRow>,
    /// The constant part of the sum.
    pub cash: Decimal,
    /// All values and the cash.
    pub sum: Decimal,
    /// What it is divided by.
    pub divisor: Decimal,
    /// The quotient before the last cut.
    pub quotient: Decimal,
    /// The last cut.
    pub rounding: divisor_engine::definition::Cut,
    /// The level.
    pub level: Decimal,
    /// Of a level of the past: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ExplainedLevel>,
}

/// The level of the past that was taken apart, as it was published or restated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLevel {
    /// The time of the newest price in it.
    pub ts: String,
    /// Its number.
    pub seq: u64,
    /// The level. What the parts come to differs from it where something made it that is no part,
    /// such as a halt.
    pub level: Decimal,
    /// What it was worth.
    pub status: String,
    /// The position of the input that caused it.
    pub pos: u64,
    /// Which run of corrections has made it; 0 for what was published.
    #[serde(default)]
    pub run: u32,
}

/// A constituent of `index explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRow {
    /// Whose.
    pub symbol: String,
    /// The currency of its price.
    pub currency: Currency,
    /// The price that the index sees.
    pub price: Decimal,
    /// The coefficient in force.
    pub coefficient: Decimal,
    /// Index currency for one of the price's.
    pub rate: Decimal,
    /// `price · coefficient · rate`.
    pub value: Decimal,
    /// `value / divisor`: its points of the level.
    pub points: Decimal,
    /// Its share of the market value, six places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
}

/// `rebalance plan`: a pro-forma composition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proforma {
    /// The index.
    pub index: String,
    /// The effective day.
    pub effective: String,
    /// The level that is kept.
    pub level: Option<Decimal>,
    /// The divisor.
    pub divisor: BeforeAfter,
    /// Half of the sum of all changes of weights.
    pub turnover: Decimal,
    /// Members that join.
    pub additions: Vec<String>,
    /// Members that leave.
    pub deletions: Vec<String>,
    /// Members after the review in the order of the basket, then those that leave.
    pub members: Vec<ProformaRow>,
    /// The review with its reference prices, as it can be announced.
    pub action: ActionDefinition,
}

/// A member of `rebalance plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProformaRow {
    /// Whose.
    pub symbol: String,
    /// The price of the moment.
    pub price: Option<Decimal>,
    /// The coefficient.
    pub coefficient: BeforeAfter,
    /// The weight.
    pub weight: BeforeAfter,
}
