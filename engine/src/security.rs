//! The state of one security: its definition and its last price.

use serde::{Deserialize, Serialize};

use crate::definition::SecurityDefinition;
use crate::gate::{Known, Prints};
use crate::input::Origin;
use crate::life::Life;
use crate::problem::Problem;
use crate::{Decimal, IndexId, RoundingMode, Time};

/// Most places of a price: 10^18 is the last power of ten in an `i64`.
const PRICE_PLACES_MAX: u8 = 18;

const fn never() -> Time {
    Time::MIN
}

/// One security.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Security {
    /// The last price in units of `10^-price_places`; 0 while there is none.
    pub(crate) price: i64,
    /// The largest price admitted, in the same units.
    pub(crate) price_max: i64,
    /// Where the last price came from; none for a reference price of a definition.
    pub(crate) origin: Option<Origin>,
    /// Prices before this time no longer count: they were made before a split or another change
    /// of the reference price that took effect then.
    pub(crate) earliest: Time,
    /// A tick at or after this time may begin a new day of an index that holds the security, or
    /// another moment of it.
    pub(crate) roll_at: Time,
    /// Prices before this time are of a day that an index has left which restates late prices
    /// (`correct/late.rs`).
    #[serde(default = "never")]
    pub(crate) day_begun: Time,
    /// Its definition has a gate or ranks sources.
    pub(crate) is_guarded: bool,
    /// It is stale in an index that holds it.
    pub(crate) is_stale: bool,
    pub(crate) prints: Prints,
    pub(crate) known: Known,
    /// The index whose level it stands for; nobody sends prices of it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<IndexId>,
    /// Its trades make a reference rate.
    #[serde(skip)]
    pub(crate) is_traded: bool,
    /// The rule of a variant names it: an interest rate or a forward.
    #[serde(skip)]
    pub(crate) is_input: bool,
    /// Its price moves variants although it is no member: a forward.
    #[serde(skip)]
    pub(crate) is_watched: bool,
    /// An index sees another price than [`Self::price`] until the next trade.
    #[serde(default)]
    pub(crate) is_seen_apart: bool,
    /// Trading has stopped: prices are stored and do not count.
    #[serde(default)]
    pub(crate) suspended: bool,
    /// Whether it is in service.
    #[serde(default, skip_serializing_if = "Life::is_active")]
    pub(crate) life: Life,
    pub(crate) definition: SecurityDefinition,
}

impl Security {
    /// Checks a definition and starts without a price.
    pub(crate) fn new(definition: SecurityDefinition) -> Result<Self, Problem> {
        check_name(&definition.symbol)?;
        Self::unchecked(definition)
    }

    /// Stands for the level of an index.
    pub(crate) fn hidden(definition: SecurityDefinition, index: IndexId) -> Result<Self, Problem> {
        Ok(Self {
            component: Some(index),
            ..Self::unchecked(definition)?
        })
    }

    fn unchecked(definition: SecurityDefinition) -> Result<Self, Problem> {
        let places = definition.price_places;
        if places > PRICE_PLACES_MAX {
            return Err(Problem::Places {
                field: "price_places",
                places,
                max: PRICE_PLACES_MAX,
            });
        }
        let price_max = definition
            .price_max
            .at_places(places)
            .and_then(|max| i64::try_from(max).ok())
            .filter(|max| *max > 0)
            .ok_or_else(|| Problem::PriceMax(definition.price_max.to_string()))?;
        Ok(Self {
            price: 0,
            price_max,
            origin: None,
            earliest: Time::MIN,
            roll_at: Time::MIN,
            day_begun: Time::MIN,
            is_guarded: definition.gate.is_some() || definition.sources.is_some(),
            is_stale: false,
            prints: Prints::new(),
            known: Known::default(),
            component: None,
            is_traded: false,
            is_input: false,
            is_watched: false,
            is_seen_apart: false,
            suspended: false,
            life: Life::Active,
            definition,
        })
    }

    /// The last price, if there is one.
    pub(crate) fn last_price(&self) -> Option<Decimal> {
        (self.price != 0).then(|| Decimal::new(self.price.into(), self.definition.price_places))
    }

    /// True for an input older than the last applied one: by time, and within one source and
    /// incarnation by number where times are equal (invariant 7).
    pub(crate) fn is_late(&self, origin: &Origin) -> bool {
        origin.ts < self.earliest
            || self
                .origin
                .as_ref()
                .is_some_and(|last| is_older(origin, last))
    }

    /// A reference price in the units of this security; finer digits are cut half up.
    pub(crate) fn in_units(&self, price: Decimal) -> Option<i64> {
        let cut = price.round(self.definition.price_places, RoundingMode::HalfUp);
        let units = i64::try_from(cut.at_places(self.definition.price_places)?).ok()?;
        (units > 0 && units <= self.price_max).then_some(units)
    }
}

/// Invariant 7: the applied order is (ts, seq).
pub(crate) fn is_older(new: &Origin, last: &Origin) -> bool {
    if new.ts != last.ts {
        return new.ts < last.ts;
    }
    match (new.seq, last.seq) {
        (Some(new_seq), Some(last_seq)) => {
            new.source == last.source && new.inc == last.inc && new_seq < last_seq
        }
        _ => false,
    }
}

/// Names become topic levels: no separators, no wildcards, nothing invisible.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'+' | b'#');
    if (1..=64).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('$') {
        Ok(())
    } else {
        Err(Problem::Name(name.chars().take(64).collect()))
    }
}
