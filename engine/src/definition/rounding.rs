//! Places and modes of everything that is cut, and how currencies are converted.

use serde::{Deserialize, Serialize};

use crate::{Currency, RoundingMode};

/// Places and mode of one kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Decimal places.
    pub places: u8,
    /// What happens to the digits behind them.
    #[serde(default)]
    pub mode: RoundingMode,
}

impl Cut {
    pub(crate) const fn half_up(places: u8) -> Self {
        Self {
            places,
            mode: RoundingMode::HalfUp,
        }
    }
}

/// Two providers round the same sum differently; that is configuration, not code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rounding {
    /// The published level.
    pub level: Cut,
    /// The divisor, carried rounded (METHODOLOGY: 14 places proved by the Dow).
    pub divisor: Cut,
    /// Coefficients that come from a division, and weights and exposures from a power or a root.
    pub coefficient: Cut,
    /// Levels that are carried "unrounded" from day to day: those that a variant is fixed at.
    #[serde(skip_serializing_if = "Rounding::is_carried_default")]
    pub carried: Cut,
}

impl Default for Rounding {
    fn default() -> Self {
        Self {
            level: Cut::half_up(2),
            divisor: Cut::half_up(14),
            coefficient: Cut::half_up(12),
            carried: CARRIED,
        }
    }
}

/// Where nothing is stated, levels are carried with 15 places.
const CARRIED: Cut = Cut::half_up(15);

impl Rounding {
    fn is_carried_default(cut: &Cut) -> bool {
        *cut == CARRIED
    }
}

/// How a constituent's currency becomes the index currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FxRule {
    /// Without a pivot only the direct rate `fx/{constituent}/{index}/rate` counts. With a pivot,
    /// where there is no direct rate: `rate = (pivot→index) / (pivot→constituent)`, which also
    /// gives inverse rates. Rates of the pivot are quoted as units for one pivot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pivot: Option<Currency>,
    /// Places of a rate that comes from such a division.
    pub places: u8,
    /// Which of the rates that come count.
    #[serde(skip_serializing_if = "FxRates::is_live")]
    pub rates: FxRates,
}

/// Which rates of a currency count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FxRates {
    /// Each as it comes.
    #[default]
    Live,
    /// The last before the day, for the whole day: the return of a day is one in local currencies
    /// (METHODOLOGY §1.4). With the first input of a day the divisor takes up what the rates have
    /// moved.
    PriorClose,
    /// None: a unit of any currency counts as one of the index, for ever (quanto).
    One,
}

impl FxRates {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature is serde's"
    )]
    const fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

impl Default for FxRule {
    fn default() -> Self {
        Self {
            pivot: None,
            places: 12,
            rates: FxRates::Live,
        }
    }
}
