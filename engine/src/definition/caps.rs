//! Limits on weights, scores that make them, and free float.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reset;
use crate::{Decimal, RoundingMode};

/// Limits that weights meet when they are set: at the base, at each reset and at a new basket.
/// Between those they may drift beyond (METHODOLOGY §1.3).
///
/// Members with the same [`issuer`](super::Constituent::issuer) count as one. What exceeds a limit
/// is spread over those that do not, in proportion, until all limits hold. With `market_cap` the
/// result is each member's `cap` factor, 1 where nothing was cut; limits that no weights can meet
/// are refused when they are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// How often `market_cap` sets its factors anew; with other schemes caps follow the weights.
    #[serde(skip_serializing_if = "is_default")]
    pub reset: Reset,
    /// The largest weight of one issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_max: Option<Decimal>,
    /// The largest sum of large weights: the 40 of 5/10/40.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concentration: Option<Concentration>,
    /// The largest weight of each [`group`](super::Constituent::group).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Decimal>,
    /// The largest weight of every group that `groups` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_max: Option<Decimal>,
    /// Nothing is cut until one of these is passed; then to the limits above, which may be lower:
    /// the 24/4.8/50 that is brought to 23/4.5/45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
}

/// Issuers above one weight, together at most another. In the order of their weights they keep them
/// as long as the sum allows; the others are cut to `above`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concentration {
    /// A weight above this is large.
    pub above: Decimal,
    /// Large weights sum to this at most.
    pub total_max: Decimal,
}

/// When caps act.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trigger {
    /// A weight above this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_max: Option<Decimal>,
    /// A sum of large weights above this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concentration: Option<Concentration>,
}

/// How the weights of the scheme `score` come about: `w ∝ size · multiple`.
///
/// The size is a member's stated `weight`, or its market value to the power `size`. The multiple is
/// its score to the power `power`, or the tilt `1 + tilt·score` between 0 and `multiple_max`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreRule {
    /// The power of the market value: 1 by default, 0.5 for its root, 0 to leave it out.
    pub size: Decimal,
    /// The power of the score: 1 by default, -1 for its reciprocal, 0 to leave it out.
    pub power: Decimal,
    /// How strongly a score moves the weight, instead of a power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tilt: Option<Decimal>,
    /// The largest multiple of a tilt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_max: Option<Decimal>,
    /// Makes the score of several stated ones: `Σ factor·score`, by name. Without factors a member
    /// states its `score` itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, Decimal>,
    /// Each of the several is first made comparable: less its mean, over its standard deviation
    /// (divided by n). The sum is then moved so that the smallest is `floor`.
    pub standardize: bool,
    /// The smallest score after that; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<Decimal>,
    /// The weights are those of least variance instead, from the members'
    /// [`covariances`](super::Constituent::covariances); neither size nor score counts then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least_variance: Option<LeastVariance>,
}

/// Weights of least variance.
///
/// They are worked out in floating point with one portable library and cut to the places of
/// [`Rounding::coefficient`](super::Rounding::coefficient).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeastVariance {
    /// No weight is negative; true by default.
    pub long_only: bool,
}

impl Default for LeastVariance {
    fn default() -> Self {
        Self { long_only: true }
    }
}

impl Default for ScoreRule {
    fn default() -> Self {
        Self {
            size: Decimal::ONE,
            power: Decimal::ONE,
            tilt: None,
            multiple_max: None,
            factors: BTreeMap::new(),
            standardize: false,
            floor: None,
            least_variance: None,
        }
    }
}

impl ScoreRule {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a free-float factor is brought to steps: `up` to the next 0.05, for example. A foreign limit
/// is applied afterwards, so that no step exceeds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatRule {
    /// The step.
    pub step: Decimal,
    /// To which step between two.
    #[serde(default = "FloatRule::up")]
    pub mode: RoundingMode,
}

impl FloatRule {
    const fn up() -> RoundingMode {
        RoundingMode::Up
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
