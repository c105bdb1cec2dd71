//! What is calculated.

use serde::{Deserialize, Serialize};

use super::{
    ActionRules, Constituent, Dissemination, FxRule, Rounding, SessionRules, StaleRule, Weighting,
};
use crate::{Currency, Decimal};

/// What is calculated: members, weighting, base and the conventions of its publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDefinition {
    /// The name on topics; unique.
    pub code: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The currency of the level.
    pub currency: Currency,
    /// How coefficients follow from the basket.
    pub weighting: Weighting,
    /// Where the level starts.
    pub base: Base,
    /// Places and modes of everything that is cut.
    #[serde(default)]
    pub rounding: Rounding,
    /// How currencies are converted.
    #[serde(default)]
    pub fx: FxRule,
    /// When levels leave.
    #[serde(default)]
    pub dissemination: Dissemination,
    /// When a day of this index begins: resets and the previous close hang on it.
    #[serde(default)]
    pub day: Day,
    /// The calendar by which the index opens and closes; without one it is always open. It need not
    /// be that of its constituents' exchanges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// How a session of that calendar begins and ends.
    #[serde(default, skip_serializing_if = "SessionRules::is_default")]
    pub session: SessionRules,
    /// From when on a constituent without new prices counts as stale; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleRule>,
    /// A level that moves by more than so many percent against the one before is held back, and the
    /// index is halted until an operator resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_max: Option<Decimal>,
    /// What it makes of corporate actions.
    #[serde(default, skip_serializing_if = "ActionRules::is_default")]
    pub actions: ActionRules,
    /// The constituents.
    pub basket: Vec<Constituent>,
}

impl IndexDefinition {
    /// A definition with the defaults of everything that is not stated here.
    #[must_use]
    pub fn new(
        code: &str,
        currency: Currency,
        weighting: Weighting,
        base: Base,
        basket: Vec<Constituent>,
    ) -> Self {
        Self {
            code: code.to_owned(),
            name: None,
            currency,
            weighting,
            base,
            rounding: Rounding::default(),
            fx: FxRule::default(),
            dissemination: Dissemination::default(),
            day: Day::default(),
            calendar: None,
            session: SessionRules::default(),
            stale: None,
            jump_max: None,
            actions: ActionRules::default(),
            basket,
        }
    }
}

/// The start of an index: either a base value, from which the divisor follows as soon as every
/// constituent has a price, or a divisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The level on the base date: `D = MV / value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// The divisor itself, for an index that is taken over from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor: Option<Decimal>,
    /// The base date, for people, and for a load that brings prices of several days: those of later
    /// days move the index instead of starting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// The day of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Day {
    /// An IANA time zone such as `America/New_York`; `UTC` by default.
    pub zone: String,
}

impl Default for Day {
    fn default() -> Self {
        Self {
            zone: "UTC".to_owned(),
        }
    }
}
