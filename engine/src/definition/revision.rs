//! Changes of baskets and reference prices.

use serde::{Deserialize, Serialize};

use super::{Constituent, IndexDefinition};
use crate::{Decimal, Time};

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
    /// The whole definition from then on instead, as loading it at that moment would change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Box<IndexDefinition>>,
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
