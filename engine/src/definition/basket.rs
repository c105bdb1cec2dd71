//! Members of an index.

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// A member of a basket. Which fields are needed, and which are refused, the weighting says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constituent {
    /// The security's symbol.
    pub symbol: String,
    /// Units held: `price` (optional) and `fixed_units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Decimal>,
    /// Shares outstanding: `market_cap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<Decimal>,
    /// Free-float factor in (0, 1], 1 by default: `market_cap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<Decimal>,
    /// Capping factor above 0, 1 by default: `market_cap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Decimal>,
    /// Target weight: `fixed_weight` and `constant_weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
    /// The price that base or reset is computed with, instead of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
}

impl Constituent {
    /// A member that states nothing but its symbol.
    #[must_use]
    pub fn new(symbol: &str) -> Self {
        Self {
            symbol: symbol.to_owned(),
            units: None,
            shares: None,
            float: None,
            cap: None,
            weight: None,
            price: None,
        }
    }
}
