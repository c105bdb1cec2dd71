//! What has a price.

use serde::{Deserialize, Serialize};

use super::{Gate, SourceRule};
use crate::{Currency, Decimal};

/// What has a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityDefinition {
    /// The name on topics; unique.
    pub symbol: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The currency of its prices.
    pub currency: Currency,
    /// How many decimal places a price may have. Finer prices are refused, not rounded.
    #[serde(default = "SecurityDefinition::price_places")]
    pub price_places: u8,
    /// The largest price that is believed. It also bounds the sums of every index that holds the
    /// security (METHODOLOGY §5.2), so that no tick can overflow one.
    #[serde(default = "SecurityDefinition::price_max")]
    pub price_max: Decimal,
    /// The calendar of its exchange: when it is open decides when a price is stale and which day an
    /// official close belongs to. Open at all times when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Whose prices count where several sources send some; all alike when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<SourceRule>,
    /// Which prices are held back for an operator; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

impl SecurityDefinition {
    const fn price_places() -> u8 {
        6
    }

    const fn price_max() -> Decimal {
        Decimal::new(10_000_000, 0)
    }

    /// A security with the default places and bound.
    #[must_use]
    pub fn new(symbol: &str, currency: Currency) -> Self {
        Self {
            symbol: symbol.to_owned(),
            name: None,
            currency,
            price_places: Self::price_places(),
            price_max: Self::price_max(),
            calendar: None,
            sources: None,
            gate: None,
        }
    }
}
