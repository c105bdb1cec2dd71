//! Securities and rates.

use divisor_engine::definition::SecurityDefinition;
use divisor_engine::{Currency, Decimal, Life};
use serde::{Deserialize, Serialize};

/// A line of `security list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRow {
    /// The symbol.
    pub symbol: String,
    /// The name for people.
    pub name: Option<String>,
    /// The currency of its prices.
    pub currency: Currency,
    /// The last price.
    pub price: Option<Decimal>,
    /// When that was made.
    pub ts: Option<String>,
    /// Whether it is in service.
    #[serde(default)]
    pub life: Life,
}

/// `security show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityDetail {
    /// The line of the list.
    pub row: SecurityRow,
    /// The definition, as a fixture states it.
    pub definition: SecurityDefinition,
    /// Who made the last price.
    pub src: Option<String>,
    /// Codes of the indexes that hold it.
    pub indexes: Vec<String>,
}

/// A line of `rate list`: `rate` units of `quote` for one `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// The last rate.
    pub rate: Decimal,
    /// When that was made.
    pub ts: String,
    /// Who made it.
    pub src: Option<String>,
}
