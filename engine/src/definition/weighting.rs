//! How coefficients follow from a basket.

use serde::{Deserialize, Serialize};

/// The weighting scheme: how the coefficient `q` of `Σ p·q` follows from a constituent's data
/// (METHODOLOGY §1.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", try_from = "WeightingForm")]
pub enum Weighting {
    /// None at all: the index is a variant of another one. Not stated.
    #[default]
    #[serde(skip)]
    None,
    /// `q = units`, 1 where none are given.
    Price,
    /// `q = shares · float · cap`.
    MarketCap,
    /// `q = units`.
    FixedUnits,
    /// Equal weights at each reset, fixed units between them.
    Equal {
        /// How often the weights are restored.
        reset: Reset,
    },
    /// The stated weights at each reset, fixed units between them. Weights are relative.
    FixedWeight {
        /// How often the weights are restored.
        reset: Reset,
    },
    /// The constant-weight return chain `P_t = P_{t-1}·(1 + Σ w·r)`, reset every day; weights
    /// need not sum to 1, the rest earns nothing (METHODOLOGY §4).
    ConstantWeight,
    /// Weights that follow at each reset from market values, scores or both, by the rule of
    /// [`score`](super::IndexDefinition::score); fixed units between resets.
    Score {
        /// How often the weights are restored.
        reset: Reset,
    },
    /// The weighted product `P·Π (p/p0)^w` since the last reset; equal weights where none are
    /// stated. A kernel of its own, in floating point (METHODOLOGY §1.3).
    Geometric {
        /// How often prices and weights are anchored anew.
        reset: Reset,
    },
    /// The volume-weighted median of one security's trades in the window of
    /// [`window`](super::IndexDefinition::window). A kernel of its own, exact.
    VolumeMedian,
}

impl Weighting {
    pub(crate) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// True where `Σ d·q` is what the members of the index pay.
    pub(crate) const fn pays_dividends(&self) -> bool {
        !matches!(
            self,
            Self::None | Self::Geometric { .. } | Self::VolumeMedian
        )
    }

    /// The scheme's name, as definitions state it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Price => "price",
            Self::MarketCap => "market_cap",
            Self::FixedUnits => "fixed_units",
            Self::Equal { .. } => "equal",
            Self::FixedWeight { .. } => "fixed_weight",
            Self::ConstantWeight => "constant_weight",
            Self::Score { .. } => "score",
            Self::Geometric { .. } => "geometric",
            Self::VolumeMedian => "volume_median",
        }
    }
}

/// [`Weighting`] as it is read. Serde lets unknown fields of a tagged enum's plain variants pass,
/// and a mistyped or misplaced `reset` must not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightingForm {
    scheme: Scheme,
    reset: Option<Reset>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scheme {
    Price,
    MarketCap,
    FixedUnits,
    Equal,
    FixedWeight,
    ConstantWeight,
    Score,
    Geometric,
    VolumeMedian,
}

impl TryFrom<WeightingForm> for Weighting {
    type Error = &'static str;

    fn try_from(form: WeightingForm) -> Result<Self, Self::Error> {
        let reset = form.reset.unwrap_or_default();
        match (form.scheme, form.reset) {
            (Scheme::Equal, _) => Ok(Self::Equal { reset }),
            (Scheme::FixedWeight, _) => Ok(Self::FixedWeight { reset }),
            (Scheme::Score, _) => Ok(Self::Score { reset }),
            (Scheme::Geometric, _) => Ok(Self::Geometric { reset }),
            (_, Some(_)) => Err("`reset` belongs to the schemes whose weights can be restored"),
            (Scheme::Price, None) => Ok(Self::Price),
            (Scheme::MarketCap, None) => Ok(Self::MarketCap),
            (Scheme::FixedUnits, None) => Ok(Self::FixedUnits),
            (Scheme::ConstantWeight, None) => Ok(Self::ConstantWeight),
            (Scheme::VolumeMedian, None) => Ok(Self::VolumeMedian),
        }
    }
}

/// How often target weights are restored. The reset happens at the first input of a new period,
/// with the prices before it; since nothing moves in between, that equals the boundary itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// Only at a revision.
    #[default]
    Never,
    /// At each day boundary.
    Daily,
    /// At the first day boundary of a week (Monday).
    Weekly,
    /// At the first day boundary of a month.
    Monthly,
    /// At the first day boundary of January, April, July and October.
    Quarterly,
    /// At the first day boundary of a year.
    Yearly,
    /// At the day boundary behind the third Friday of a month.
    ThirdFridayMonthly,
    /// Of March, June, September and December.
    ThirdFridayQuarterly,
    /// Of December.
    ThirdFridayYearly,
}
