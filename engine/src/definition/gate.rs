//! Which prices count, and which wait for an operator.

use serde::{Deserialize, Serialize};

use crate::{Currency, Decimal};

/// Whose prices of a security count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRule {
    /// Names as ticks state them in `src`, the best first. A source that is not listed comes after
    /// all that are.
    pub order: Vec<String>,
    /// A worse source counts once the better ones were silent for so many seconds; never when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_s: Option<u32>,
}

/// Bounds beyond which a price is held back: stored, listed, and without effect until an operator
/// releases or rejects it (METHODOLOGY §1.10). What is not stated is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Most percent away from the last good price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Decimal>,
    /// Most percent away from the previous official close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close: Option<Decimal>,
    /// What both bounds are multiplied by for the first price after a halt, after a session's
    /// beginning, and after a change of the reference price (a split, an ex-date).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widen: Option<Decimal>,
    /// Comparison with what other sources say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross: Option<CrossCheck>,
}

/// A price against the median of the last prices of other sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossCheck {
    /// Most percent away from the median.
    pub percent: Decimal,
    /// Prices older than this do not count, in seconds.
    pub within_s: u32,
    /// How many other sources there must be; the check passes below that.
    #[serde(default = "CrossCheck::sources")]
    pub sources: u8,
}

impl CrossCheck {
    const fn sources() -> u8 {
        1
    }
}

/// Rules for the rates of a currency pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairDefinition {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// Most percent away from the last good rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Decimal>,
    /// Holds a rate that is nearer to the inverse of the last one than to the last one itself, and
    /// one that does not fit the rate of the opposite pair within `last` percent.
    #[serde(default)]
    pub inversion: bool,
}

impl PairDefinition {
    /// `EUR/USD`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.base, self.quote)
    }
}
