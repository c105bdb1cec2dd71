//! Members of an index.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// A member of a basket. Which fields are needed, and which are refused, the weighting says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constituent {
    /// The security's symbol; `indexes/CODE` for an index, which then counts with its published
    /// level and currency, and is missing while it has none.
    pub symbol: String,
    /// Units held: `price` (optional) and `fixed_units`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Decimal>,
    /// Shares outstanding: `market_cap`, and `score` where the market value counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<Decimal>,
    /// Shares that do not float: `market_cap` and `score`, instead of `float`, which then is
    /// `(shares - strategic) / shares`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategic: Option<Decimal>,
    /// The largest free-float factor that foreigners may hold, 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_limit: Option<Decimal>,
    /// Free-float factor in (0, 1], 1 by default: `market_cap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<Decimal>,
    /// Capping factor above 0, 1 by default: `market_cap`. Calculated where the index has `caps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Decimal>,
    /// Target weight: `fixed_weight` and `constant_weight`; the exponent of `geometric`; what
    /// `score` starts from instead of a market value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
    /// Score: `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Decimal>,
    /// Scores by the names of [`ScoreRule::factors`](super::ScoreRule::factors): `score`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, Decimal>,
    /// Covariances of its returns by symbol, its own variance among them: `score` with
    /// [`least_variance`](super::ScoreRule::least_variance). One of a pair may state theirs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub covariances: BTreeMap<String, Decimal>,
    /// Whose share it is: limits of [`Caps`](super::Caps) count all shares of an issuer as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The group (sector, country) that limits of [`Caps`](super::Caps) count together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
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
            strategic: None,
            foreign_limit: None,
            float: None,
            cap: None,
            weight: None,
            score: None,
            scores: BTreeMap::new(),
            covariances: BTreeMap::new(),
            issuer: None,
            group: None,
            price: None,
        }
    }
}
