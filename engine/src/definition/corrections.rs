//! What an index makes of corrections of the past (METHODOLOGY §1.11).

use serde::{Deserialize, Serialize};

/// What an index makes of corrections of the past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorrectionRules {
    /// How much of what was published is restated.
    pub restate: Restate,
}

impl CorrectionRules {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
