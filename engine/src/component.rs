//! Indexes of indexes: the level of one index as a member of another (METHODOLOGY §1.5).
//!
//! A basket names an index by its topic, `indexes/CODE`. Its published level then is the price of a
//! hidden security, so that weights, resets, revisions and the kernel need to know nothing of it;
//! when the level moves, so does every index that holds it.

use crate::definition::{Constituent, Dissemination, SecurityDefinition, Variant};
use crate::output::{Output, Status};
use crate::problem::Problem;
use crate::security::Security;
use crate::session::is_below;
use crate::{Decimal, Engine, IndexId, Position, SecurityId, Time};

/// How a basket names an index: this, and its code.
pub const PREFIX: &str = "indexes/";

/// The largest level that counts as a member of another index.
const LEVEL_MAX: i64 = 1_000_000_000;

/// Units of a price are `i64`: a bound and its places must fit.
const DIGITS_MAX: u8 = 18;

impl Engine {
    /// Makes the hidden securities of the indexes that a basket names.
    pub(crate) fn ensure_components(&mut self, basket: &[Constituent]) -> Result<(), Problem> {
        for member in basket {
            self.ensure_component(&member.symbol)?;
        }
        Ok(())
    }

    /// The same for one member; nothing where it is no index.
    pub(crate) fn ensure_component(&mut self, symbol: &str) -> Result<(), Problem> {
        let Some(code) = symbol.strip_prefix(PREFIX) else {
            return Ok(());
        };
        if self.symbols.contains_key(symbol) {
            return Ok(());
        }
        let unknown = || Problem::UnknownIndex(code.chars().take(64).collect());
        let index = *self.codes.get(code).ok_or_else(unknown)?;
        let definition = &self.indexes[index.at()].definition;
        if matches!(definition.variant, Some(Variant::DividendPoints(_))) {
            return Err(Problem::Rule(
                "a basket cannot hold dividend points: they begin at 0, which is no price",
            ));
        }
        let places = definition.rounding.level.places.min(DIGITS_MAX);
        let digits = DIGITS_MAX - places;
        let most = crate::pow10(digits).unwrap_or(1).min(i128::from(LEVEL_MAX));
        let mut hidden = SecurityDefinition::new(symbol, definition.currency);
        hidden.price_places = places;
        hidden.price_max = Decimal::new(most, 0);
        let mut security = Security::hidden(hidden, index)?;
        let level = self.indexes[index.at()].last.map(|last| last.level);
        security.price = level
            .and_then(|level| security.in_units(level))
            .unwrap_or(0);
        let id = SecurityId(u32::try_from(self.securities.len()).map_err(|_| Problem::Overflow)?);
        self.securities.push(security);
        self.symbols.insert(symbol.into(), id);
        self.indexes[index.at()].component = Some(id);
        Ok(())
    }

    /// Refuses an index that would hold or follow itself.
    pub(crate) fn refuse_cycle(&self, id: IndexId, basket: &[Constituent]) -> Result<(), Problem> {
        let named = basket.iter().filter_map(|m| m.symbol.strip_prefix(PREFIX));
        let mut below: Vec<IndexId> = named.filter_map(|c| self.codes.get(c).copied()).collect();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(next) = below.pop() {
            if next == id {
                let code = &self.indexes[id.at()].definition.code;
                return Err(Problem::Cycle(code.clone()));
            }
            if seen.insert(next) {
                below.extend(self.needs(next));
            }
        }
        Ok(())
    }

    /// The indexes that one is made of, directly.
    pub(crate) fn needs(&self, id: IndexId) -> impl Iterator<Item = IndexId> + '_ {
        let index = &self.indexes[id.at()];
        let held = index.basket.holdings.iter();
        let held = held.filter_map(|h| self.securities[h.security.at()].component);
        held.chain(index.follow.as_ref().map(|follow| follow.parent))
    }

    /// Works out who publishes by an interval, whom time alone can move, and the order in which a batch publishes where
    /// indexes hold others.
    pub(crate) fn lay_ranks(&mut self) {
        let holds = self
            .securities
            .iter()
            .any(|security| security.component.is_some());
        let by_interval = |(_, index): &(IndexId, &crate::index::Index)| {
            matches!(
                index.definition.dissemination,
                Dissemination::Interval { .. }
            )
        };
        let all = (0u32..).map(IndexId).zip(&self.indexes);
        let by_clock = |(_, index): &(IndexId, &crate::index::Index)| index.has_moments();
        self.clocked = all.clone().filter(by_clock).map(|(id, _)| id).collect();
        self.intervals = all.filter(by_interval).map(|(id, _)| id).collect();
        self.lay_restating();
        self.ranks = if holds {
            self.ranks().unwrap_or_default()
        } else {
            Vec::new()
        };
    }

    /// How many indexes lie below one, at the deepest; what a batch publishes goes upwards by it.
    /// `None` for an index that is below itself.
    pub(crate) fn ranks(&self) -> Option<Vec<u32>> {
        let mut ranks = vec![0u32; self.indexes.len()];
        // A chain without a cycle settles within as many rounds as there are indexes.
        for _ in 0..=self.indexes.len() {
            let mut changed = false;
            for id in (0u32..).map(IndexId).take(self.indexes.len()) {
                let above = self.needs(id).map(|below| ranks[below.at()] + 1).max();
                if let Some(above) = above.filter(|rank| *rank > ranks[id.at()]) {
                    ranks[id.at()] = above;
                    changed = true;
                }
            }
            if !changed {
                return Some(ranks);
            }
        }
        None
    }

    /// What the level of an index is worth, and how many of its constituents are stale. An index
    /// that it holds and that is stale, halted or out of service counts as a stale one: any of them
    /// where no rule says how much stale weight is admitted.
    pub(crate) fn worth(&self, index: IndexId, is_complete: bool) -> (Status, u32) {
        let state = &self.indexes[index.at()];
        let (worth, stale) = (state.clock.worth(is_complete), state.clock.stale());
        // Nearly all indexes hold no other.
        if self.ranks.get(index.at()).is_none_or(|rank| *rank == 0) {
            return (worth, stale);
        }
        let is_doubtful = |id: SecurityId| {
            let component = self.securities[id.at()].component;
            component.is_some_and(|index| is_doubtful(self.indexes[index.at()].status))
        };
        let holdings = state.basket.holdings.iter();
        let below = holdings.filter(|h| is_doubtful(h.security)).count();
        if below == 0 {
            return (worth, stale);
        }
        let stale = stale.saturating_add(u32::try_from(below).unwrap_or(u32::MAX));
        let threshold = state.definition.stale.and_then(|rule| rule.weight);
        let is_reached = threshold.is_none_or(|threshold| {
            let counts =
                |id, _: &Security| state.clock.stale_members().contains(&id) || is_doubtful(id);
            let share = state.share(&self.securities, counts);
            share.is_some_and(|share| !is_below(&share, threshold))
        });
        if worth == Status::Live && is_reached {
            (Status::Stale, stale)
        } else {
            (worth, stale)
        }
    }

    /// Notes and tells what an index is worth now, and lets it show in those that hold it.
    pub(crate) fn set_status(
        &mut self,
        index: IndexId,
        status: Status,
        ts: Time,
        position: Position,
    ) {
        let state = &mut self.indexes[index.at()];
        let before = std::mem::replace(&mut state.status, status);
        let component = state.component;
        self.outputs.push_back(Output::Status {
            index,
            status,
            ts,
            position,
        });
        let Some(component) = component else { return };
        if is_doubtful(before) == is_doubtful(status) {
            return;
        }
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        for at in 0..self.kernel.entries(component).len() {
            let holder = self.kernel.entries(component)[at].index;
            if !self.marks[holder.at()].is_quiet {
                self.touch(holder, ts);
            }
        }
    }

    /// Hands the level of an index, or that it has none, to the indexes that hold it.
    pub(crate) fn component_moved(
        &mut self,
        index: IndexId,
        level: Option<Decimal>,
        position: Position,
    ) {
        let Some(component) = self.indexes[index.at()].component else {
            return;
        };
        let security = &self.securities[component.at()];
        let units = level
            .and_then(|level| security.in_units(level))
            .unwrap_or(0);
        let before = security.price;
        if units == before {
            return;
        }
        let ts = self.marks[index.at()].ts;
        if units != 0 && ts != Time::MIN && ts >= security.roll_at {
            self.begin_day_of_security(component, ts, position);
        }
        if self.kernel_is_stale {
            self.rebuild_kernel();
        }
        self.securities[component.at()].price = units;
        let behind = self.time.as_nanos().saturating_sub(ts.as_nanos());
        self.move_sums(component, units - before, ts, behind);
        if before == 0 {
            self.first_price(component, position);
            self.show_complete(component);
        } else if units == 0 {
            for at in 0..self.kernel.entries(component).len() {
                let holder = self.kernel.entries(component)[at].index;
                self.indexes[holder.at()].missing += 1;
                self.touch(holder, ts);
            }
        }
        self.disseminate_tick(component, position);
    }
}

/// True for a level that those who hold it should not take for a good one.
const fn is_doubtful(status: Status) -> bool {
    matches!(status, Status::Stale | Status::Halted | Status::Inactive)
}
