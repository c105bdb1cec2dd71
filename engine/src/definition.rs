//! Definitions: what a user states about securities and indexes. A rule book as data.
//!
//! These types are the public fixture format; `serde` reads them strictly (unknown fields are
//! errors). [`crate::Engine::plan`] checks them against each other and against what is there.

use serde::{Deserialize, Serialize};

use crate::{Currency, Decimal, RoundingMode, Time};

/// A set of definitions that is applied whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definitions {
    /// New or changed securities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub securities: Vec<SecurityDefinition>,
    /// New or changed indexes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexDefinition>,
    /// Changes of baskets and reference prices, applied in their order after the above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionDefinition>,
}

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
        }
    }
}

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
    /// The constituents.
    pub basket: Vec<Constituent>,
}

/// The weighting scheme: how the coefficient `q` of `Σ p·q` follows from a constituent's data
/// (METHODOLOGY §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "snake_case", try_from = "WeightingForm")]
pub enum Weighting {
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
}

impl Weighting {
    /// The scheme's name, as definitions state it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::MarketCap => "market_cap",
            Self::FixedUnits => "fixed_units",
            Self::Equal { .. } => "equal",
            Self::FixedWeight { .. } => "fixed_weight",
            Self::ConstantWeight => "constant_weight",
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
}

impl TryFrom<WeightingForm> for Weighting {
    type Error = &'static str;

    fn try_from(form: WeightingForm) -> Result<Self, Self::Error> {
        let reset = form.reset.unwrap_or_default();
        match (form.scheme, form.reset) {
            (Scheme::Equal, _) => Ok(Self::Equal { reset }),
            (Scheme::FixedWeight, _) => Ok(Self::FixedWeight { reset }),
            (_, Some(_)) => Err("`reset` belongs to the schemes `equal` and `fixed_weight`"),
            (Scheme::Price, None) => Ok(Self::Price),
            (Scheme::MarketCap, None) => Ok(Self::MarketCap),
            (Scheme::FixedUnits, None) => Ok(Self::FixedUnits),
            (Scheme::ConstantWeight, None) => Ok(Self::ConstantWeight),
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
    const fn half_up(places: u8) -> Self {
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
    /// Coefficients that come from a division, and "unrounded" carried levels.
    pub coefficient: Cut,
}

impl Default for Rounding {
    fn default() -> Self {
        Self {
            level: Cut::half_up(2),
            divisor: Cut::half_up(14),
            coefficient: Cut::half_up(12),
        }
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
}

impl Default for FxRule {
    fn default() -> Self {
        Self {
            pivot: None,
            places: 12,
        }
    }
}

/// When a level leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    tag = "mode",
    rename_all = "snake_case",
    try_from = "DisseminationForm"
)]
pub enum Dissemination {
    /// One level for each tick of a constituent.
    Tick,
    /// The newest level of each commit batch.
    #[default]
    Conflate,
    /// The newest level at multiples of an interval, when something changed.
    Interval {
        /// The interval in milliseconds.
        every_ms: u32,
    },
}

/// [`Dissemination`] as it is read, for the reason of [`WeightingForm`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisseminationForm {
    mode: Mode,
    every_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Tick,
    Conflate,
    Interval,
}

impl TryFrom<DisseminationForm> for Dissemination {
    type Error = &'static str;

    fn try_from(form: DisseminationForm) -> Result<Self, Self::Error> {
        match (form.mode, form.every_ms) {
            (Mode::Tick, None) => Ok(Self::Tick),
            (Mode::Conflate, None) => Ok(Self::Conflate),
            (Mode::Interval, Some(every_ms)) => Ok(Self::Interval { every_ms }),
            (Mode::Interval, None) => Err("the mode `interval` needs `every_ms`"),
            (Mode::Tick | Mode::Conflate, Some(_)) => Err("`every_ms` belongs to `interval`"),
        }
    }
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

/// A change of baskets and reference prices at one moment, with divisors by continuity.
///
/// Each index that is named, or holds an adjusted security, gets one new revision with
/// `D' = D · MV after / MV before` (METHODOLOGY §1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevisionDefinition {
    /// A name of its own, such as `2021-11-04-IBM`. Loading the same revision twice is harmless.
    pub id: String,
    /// When it takes effect; at once when absent or past.
    #[serde(default, with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub effective: Option<Time>,
    /// Why, for people: "spin-off of Kyndryl".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Reference prices that change without a trade.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjust: Vec<Adjustment>,
    /// Indexes that get a new basket, or their target weights restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexRevision>,
}

/// A new basket for one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexRevision {
    /// Which index.
    pub code: String,
    /// The whole new basket; the present one, with its weights restored, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<Vec<Constituent>>,
}

/// A change of a security's reference price; exactly one of `price`, `less` and `split`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// The security's symbol.
    pub symbol: String,
    /// The new reference price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// What the last price falls by: a spun-off value, a special dividend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub less: Option<Decimal>,
    /// Shares before and after: the price becomes `p·from/to`, exactly and unrounded in the
    /// divisor. Units follow, except in price-weighted indexes (METHODOLOGY §1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// A split of `from` shares into `to`; a reverse split has `to < from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Shares before.
    pub from: u32,
    /// Shares after.
    pub to: u32,
}

/// Times in definitions are RFC 3339 texts.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Time;

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Time>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Time>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let stamp: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        let nanos = i64::try_from(stamp.as_nanosecond())
            .map_err(|_| serde::de::Error::custom("the time is outside 1678 to 2262"))?;
        Ok(Some(Time::from_nanos(nanos)))
    }
}
