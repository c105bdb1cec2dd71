//! Levels that follow another index (METHODOLOGY §1.4, §1.5).
//!
//! Between two days every variant is a line over its parent's level, `V = slope·U + offset`. With
//! the first input of a day the line is laid anew through the last levels before it, those of the
//! official close where the parent's calendar has one: [`fix`] has the formula of each kind. Where
//! there is no session, a weekend or a holiday, what accrues waits for the next day that has one.
//! What depends on live rates (converted and hedged levels) is worked out from what was fixed
//! whenever it is asked for.
//!
//! - [`mod@check`]: what a definition may state
//! - [`fix`]: the lines
//! - [`interest`]: rates and day counts
//! - [`dividends`]: index dividends, gross and net
//! - [`volatility`]: exposures, in floating point

mod check;
mod dividends;
mod fix;
mod interest;
mod roll;
mod volatility;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

pub(crate) use check::check;
pub(crate) use interest::number as day_number;
pub(crate) use roll::Closing;

use crate::definition::Variant;
use crate::exact::Ratio;
use crate::index::Index;
use crate::output::Followed;
use crate::{Currency, Decimal, Engine, IndexId, SecurityId, Time};

/// What a variant keeps.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Follow {
    /// Whom it follows.
    pub(crate) parent: IndexId,
    /// The securities that its rule names: interest rates and forwards.
    pub(crate) inputs: BTreeMap<String, SecurityId>,
    /// What holds today; none until the parent has a level.
    pub(crate) fixing: Option<Fixing>,
    /// The parent's closes that the volatility still needs, oldest first.
    pub(crate) closes: VecDeque<Decimal>,
    /// The weighted squares of [`Volatility::decay`](crate::definition::Volatility::decay).
    pub(crate) variances: Vec<Decimal>,
    /// Its own level and its parent's at the official close that no fixing has followed yet.
    #[serde(default)]
    pub(crate) at_close: Option<(Decimal, Decimal)>,
}

/// What is fixed for a day.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Fixing {
    /// The day, counted from 1970-01-01.
    pub(crate) day: i32,
    /// When the period of its reset ends.
    pub(crate) period_end: Time,
    /// The variant's last level before, carried.
    pub(crate) own: Decimal,
    /// The parent's.
    pub(crate) parent: Decimal,
    /// The last levels before the day; those above, unless the line was kept from an earlier one.
    pub(crate) closing: (Decimal, Decimal),
    /// Dividends of the day in points of the parent.
    pub(crate) dividends: Decimal,
    /// Those that were in the level already when the line was laid within the day.
    #[serde(default)]
    pub(crate) earlier: Decimal,
    /// What the level is today, for kinds that need no live rate.
    pub(crate) line: Line,
    /// The rates it was fixed at, for kinds that do.
    pub(crate) legs: Vec<Leg>,
}

/// `V = slope·U + offset`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) slope: Ratio,
    pub(crate) offset: Ratio,
}

impl Line {
    fn differs(&self, other: &Self) -> bool {
        !self.slope.subtract(&other.slope).is_zero()
            || !self.offset.subtract(&other.offset).is_zero()
    }
}

/// One currency of a converted or hedged level.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) currency: Currency,
    /// Its weight in the parent.
    pub(crate) weight: Decimal,
    /// The rate.
    pub(crate) spot: Decimal,
    /// The forward; the spot rate where nothing is sold forward.
    pub(crate) forward: Decimal,
    /// The day of these, counted from 1970-01-01.
    pub(crate) day: i32,
}

impl Follow {
    pub(crate) const fn new(parent: IndexId, inputs: BTreeMap<String, SecurityId>) -> Self {
        Self {
            parent,
            inputs,
            fixing: None,
            closes: VecDeque::new(),
            variances: Vec::new(),
            at_close: None,
        }
    }

    /// The currencies whose live rate moves the level.
    pub(crate) fn depends_on(&self, index: &Index, base: Currency, quote: Currency) -> bool {
        let Some(fixing) = &self.fixing else {
            return false;
        };
        let own = index.definition.currency;
        let pivot = index.definition.fx.pivot == Some(base);
        fixing.legs.iter().any(|leg| {
            (leg.currency == base && quote == own)
                || (pivot && (quote == own || quote == leg.currency))
        })
    }
}

impl Engine {
    /// The unrounded level of any index, from the running sums.
    pub(crate) fn exact(&self, id: IndexId) -> Option<Ratio> {
        self.exact_by(id, !self.kernel_is_stale)
    }

    /// As [`Self::exact`]; without `running` from sums made from scratch.
    pub(crate) fn exact_by(&self, id: IndexId, running: bool) -> Option<Ratio> {
        let index = self.indexes.get(id.at())?;
        let Some(follow) = &index.follow else {
            let basket = &index.basket;
            if !index.is_complete() {
                return None;
            }
            if let Some(fixing) = &index.fixing {
                return fixing.level.clone();
            }
            if index.product.is_some() {
                let cut = index.definition.rounding.carried;
                return index.product_level(&self.securities, cut).map(Ratio::from);
            }
            if running {
                let sums = self.kernel.sums(basket.first_slot, basket.currencies.len());
                return index.exact_level(sums);
            }
            return index.exact_level(&basket.sums(&self.securities));
        };
        let parent = self.exact_by(follow.parent, running)?;
        let line = self.line(id)?;
        let level = line.slope.multiply(&parent).add(&line.offset);
        Some(match &index.definition.variant {
            Some(Variant::Decrement(rule)) => level.max(rule.floor.into()),
            _ => level.max(Ratio::zero()),
        })
    }

    /// The indexes that follow one, directly or not, parents before their own followers.
    pub(crate) fn followers(&self, id: IndexId) -> &[IndexId] {
        self.followers.get(id.at()).map_or(&[], Vec::as_slice)
    }

    /// The basket that a level goes back to.
    pub(crate) fn root(&self, mut id: IndexId) -> IndexId {
        while let Some(follow) = &self.indexes[id.at()].follow {
            id = follow.parent;
        }
        id
    }

    /// Notes a new index among the followers of all that it goes back to.
    pub(crate) fn link(&mut self, id: IndexId) {
        self.followers.resize(self.indexes.len(), Vec::new());
        let mut above = id;
        while let Some(follow) = &self.indexes[above.at()].follow {
            above = follow.parent;
            self.followers[above.at()].push(id);
            self.marks[above.at()].is_followed = true;
        }
        let index = &self.indexes[id.at()];
        if index.fixing.is_some() {
            self.fixings.push(id);
            for holding in &index.basket.holdings {
                self.securities[holding.security.at()].is_traded = true;
            }
        }
        if let Some(follow) = &index.follow {
            self.unstarted.push(id);
            let is_hedged = matches!(index.definition.variant, Some(Variant::Hedged(_)));
            for security in follow.inputs.values() {
                if let Some(security) = self.securities.get_mut(security.at()) {
                    security.is_input = true;
                    security.is_watched |= is_hedged;
                }
            }
        }
    }

    /// The indexes whose days a price of a security moves: those that hold it, and those whose
    /// variants name it, so that an interest rate or a forward of a new day does not count for the
    /// day before.
    pub(crate) fn days_of(&self, security: SecurityId) -> Vec<IndexId> {
        let entries = self.kernel.entries(security).iter();
        let mut indexes: Vec<IndexId> = entries.map(|entry| entry.index).collect();
        if self.securities[security.at()].is_input {
            for id in (0u32..).map(IndexId).take(self.indexes.len()) {
                let follow = self.indexes[id.at()].follow.as_ref();
                let names = follow.is_some_and(|f| f.inputs.values().any(|x| *x == security));
                let root = self.root(id);
                if names && !indexes.contains(&root) {
                    indexes.push(root);
                }
            }
        }
        indexes
    }

    /// Links all indexes anew, in the order in which they were defined; the first that follows itself
    /// or nothing, else.
    pub(crate) fn link_all(&mut self) -> Result<(), IndexId> {
        self.followers.clear();
        self.unstarted.clear();
        self.fixings.clear();
        let count = self.indexes.len();
        for id in (0u32..).map(IndexId).take(count) {
            // A parent is there before its variant can be defined, and is the same for ever.
            let parent = self.indexes[id.at()].follow.as_ref().map(|f| f.parent);
            if parent.is_some_and(|parent| parent >= id) {
                return Err(id);
            }
            self.link(id);
        }
        self.unstarted
            .retain(|id| started(&self.indexes[id.at()]).is_none());
        Ok(())
    }

    /// What a variant is fixed at, for people and the store.
    pub(crate) fn followed(&self, id: IndexId) -> Option<Followed> {
        let index = self.indexes.get(id.at())?;
        let follow = index.follow.as_ref()?;
        let line = self.line(id);
        let cut = index.definition.rounding.carried;
        let number = |ratio: &Ratio| ratio.round(cut).map(Decimal::normalized);
        Some(Followed {
            parent: follow.parent,
            own: follow.fixing.as_ref().map(|f| f.own.normalized()),
            parent_level: follow.fixing.as_ref().map(|f| f.parent.normalized()),
            slope: line.as_ref().and_then(|line| number(&line.slope)),
            offset: line.as_ref().and_then(|line| number(&line.offset)),
        })
    }
}

fn started(index: &Index) -> Option<&Fixing> {
    index.follow.as_ref()?.fixing.as_ref()
}
