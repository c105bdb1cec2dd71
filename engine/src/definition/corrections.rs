//! What an index makes of corrections of the past (METHODOLOGY §1.11).

use serde::{Deserialize, Serialize};

/// What an index makes of corrections of the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorrectionRules {
    /// How much of what was published is restated.
    pub restate: Restate,
    /// What late prices do; where absent, what the weighting has always done with them
    /// ([`IndexDefinition::late_prices`](super::IndexDefinition::late_prices)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_prices: Option<LatePrices>,
}

impl CorrectionRules {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a price or rate of a past time: one that is older than the last of its security
/// or pair, or of a day that the index has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatePrices {
    /// It is stored, and moves nothing of the past (METHODOLOGY §1.11, as S&P).
    #[default]
    Keep,
    /// It is a correction by itself: of all prices of a time the last to arrive is right
    /// (METHODOLOGY §4). A level that is made of other indexes is restated where these are.
    Restate,
}

/// How much of what was published is restated. A level that is made of other indexes is restated no
/// further than these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restate {
    /// Nothing: what was published stands, and a corrected price counts from its correction on.
    Never,
    /// Official closes, and the levels from the correction on.
    Closes,
    /// Every level.
    #[default]
    Full,
}

impl Restate {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Closes => "closes",
            Self::Full => "full",
        }
    }
}
