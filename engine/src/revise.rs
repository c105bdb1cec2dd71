//! How an index comes to a new revision: base, reset, loaded revision. All end in
//! [`Index::establish`], and every one leaves an [`Output::Revised`].

use crate::basket::{self, Holding, Rule};
use crate::define::Change;
use crate::definition::{Adjustment, Constituent, FxRates, RevisionDefinition, Weighting};
use crate::exact::Ratio;
use crate::follow::Closing;
use crate::index::{Basket, Index, Kept, Overrides, Weigh};
use crate::life::Life;
use crate::output::{Cause, Output, Revised};
use crate::problem::{DefinitionError, Problem};
use crate::session::Phase;
use crate::{Decimal, Engine, IndexId, Position, SecurityId, Time};

/// A reference price that changes without a trade, resolved and computed exactly.
pub(crate) struct Adjusted {
    security: SecurityId,
    price: Ratio,
    /// The units that have the value of one before: `p / p_adj`, the ratio of a split.
    factor: Ratio,
    /// Units are multiplied by the factor, not only those of target weights.
    split: bool,
}

/// A day that has ended.
struct Ended {
    index: IndexId,
    day_end: Time,
    /// The end of a period of resets that ended with it.
    period_end: Option<Time>,
    /// The last levels of those that follow the index.
    closings: Vec<Closing>,
}

/// What a revision does to the basket of an index.
pub(crate) enum Turn {
    /// It has new members; their reference prices count.
    Members(Vec<Constituent>),
    /// It restores its target weights.
    Restore,
    /// Its weights stay as they have drifted: it only holds a security that is adjusted, or is
    /// cut to other places.
    Keep,
}

impl Engine {
    /// The first price of a security: indexes that waited for it may start.
    pub(crate) fn first_price(&mut self, security: SecurityId, position: Position) {
        // Only a parent with its last price or an input of a rule lets a variant start.
        let mut lets_start = self.securities[security.at()].is_input;
        for at in 0..self.kernel.entries(security).len() {
            let index = self.kernel.entries(security)[at].index;
            self.indexes[index.at()].missing -= 1;
            lets_start |= self.indexes[index.at()].missing == 0;
            self.try_base(index, position);
        }
        if lets_start {
            self.start_followers(position);
        }
    }

    /// Starts an index from its base value once every constituent has a price. A base that these
    /// prices do not give leaves the index waiting for others.
    pub(crate) fn try_base(&mut self, index: IndexId, position: Position) {
        drop(self.base(index, position));
    }

    /// As [`Self::try_base`].
    ///
    /// # Errors
    /// All prices and rates are there, and no base comes of them.
    pub(crate) fn base(&mut self, index: IndexId, position: Position) -> Result<(), Problem> {
        let state = &self.indexes[index.at()];
        let (Some(value), None) = (state.definition.base.value, &state.follow) else {
            return Ok(());
        };
        if state.life == Life::Deleted
            || state.divisor.is_some()
            || state.product.is_some()
            || state.basket.rates.iter().any(Option::is_none)
        {
            return Ok(());
        }
        let referenced = state.basket.holdings.iter().all(|h| h.reference.is_some());
        if state.missing > 0 && !referenced {
            return Ok(());
        }
        let mut next = state.clone();
        next.establish(
            &value.into(),
            &Overrides::new(),
            &self.securities,
            Weigh::Anew,
        )?;
        self.indexes[index.at()] = next;
        self.put_in_force(index);
        self.revised(index, Cause::Base, self.started(index), position);
        self.touch(index, Time::MIN);
        Ok(())
    }

    /// Since when an index has its first level: the newest time of what it is made of, which may lie
    /// long before the load that defines it. The time of now while it waits.
    pub(crate) fn started(&self, index: IndexId) -> Time {
        let state = &self.indexes[index.at()];
        let is_fixed = state
            .follow
            .as_ref()
            .is_some_and(|follow| follow.fixing.is_some());
        if state.divisor.is_none() && state.product.is_none() && !is_fixed {
            return self.time;
        }
        let root = &self.indexes[self.root(index).at()];
        let moved = [
            self.marks[index.at()].ts,
            self.marks[self.root(index).at()].ts,
        ];
        let moved = moved.into_iter().filter(|ts| *ts != Time::MIN);
        let priced = [state, root].map(|state| state.newest_price(&self.securities));
        let newest = priced.into_iter().flatten().chain(moved).max();
        newest.unwrap_or(self.time)
    }

    /// A tick at or after the end of a day, or another moment, lets it pass in every index that holds
    /// the security, before its price counts.
    pub(crate) fn begin_day_of_security(
        &mut self,
        security: SecurityId,
        ts: Time,
        position: Position,
    ) {
        let indexes = self.days_of(security);
        self.begin(Some(security), &indexes, ts, position);
        self.securities[security.at()].roll_at = self.next_look(security);
    }

    /// Begins the day of `ts` in some indexes, because of an input of theirs or of a security that
    /// they hold: previous closes first, then the actions that are due, then resets.
    pub(crate) fn begin_days(
        &mut self,
        security: Option<SecurityId>,
        indexes: &[IndexId],
        ts: Time,
        position: Position,
    ) {
        let (actions, mut concerned) = self.due_actions(security, indexes, ts);
        // Upwards: what closes may move the indexes that hold it.
        concerned.sort_by_key(|id| self.ranks.get(id.at()).copied().unwrap_or(0));
        let ended: Vec<Ended> = concerned
            .iter()
            .filter_map(|index| self.end_day(*index, ts, position))
            .collect();
        for end in &ended {
            self.renew_rates(end.index, end.day_end, position);
        }
        let mut restored = Vec::new();
        let paid = self.dividends_known(&concerned);
        if !actions.is_empty() {
            restored = self.apply_actions(&actions, ts, position);
        }
        for end in &ended {
            let is_complete = self.indexes[end.index.at()].is_complete();
            if let Some(period_end) = end.period_end
                && is_complete
                && !restored.contains(&end.index)
            {
                self.restore_weights(end.index, period_end, position);
            }
        }
        for index in self.paid_since(&concerned, &paid) {
            self.note_points(index);
        }
        for end in &ended {
            self.fix_followers(end.index, &end.closings, (ts, end.day_end), position);
        }
        // Days that had begun before their dividends came.
        let has_ended = |id: &IndexId| ended.iter().any(|end| end.index == *id);
        for index in self.paid_since(&concerned, &paid) {
            if !has_ended(&index) {
                self.pay_followers(index, position);
            }
        }
    }

    /// Ends the day of an index when `ts` lies behind it: the last level becomes the previous
    /// close.
    fn end_day(&mut self, index: IndexId, ts: Time, position: Position) -> Option<Ended> {
        let state = &mut self.indexes[index.at()];
        if state.follow.is_some() {
            // Its parent's days are its own.
            return None;
        }
        let reset = state.reset();
        let left = state.span;
        if left.is_some_and(|span| ts < span.day_end) {
            return None;
        }
        let next = state.days.span(ts, reset);
        state.span = Some(next);
        self.note_day(index, next.day_begin);
        let span = left?;
        let state = &self.indexes[index.at()];
        // A day's last level leaves even where a batch or an interval spans its end: it is the
        // close. What caused it lies before this input.
        if state.waiting || self.marks[index.at()].touched {
            self.publish(index, position - 1);
        }
        let closings = self.close_followers(index, position - 1);
        let state = &mut self.indexes[index.at()];
        state.dividends.clear();
        // By a calendar the sessions say what the previous close is.
        if state.clock.phase == Phase::Always {
            state.take_close();
        }
        Some(Ended {
            index,
            day_end: span.day_end,
            period_end: (ts >= span.period_end).then_some(span.period_end),
            closings,
        })
    }

    /// Takes the last rates for a day that begins, where they count for the whole of it; the level
    /// stays.
    fn renew_rates(&mut self, index: IndexId, effective: Time, position: Position) {
        let state = &self.indexes[index.at()];
        if state.definition.fx.rates != FxRates::PriorClose || !state.is_complete() {
            return;
        }
        let Some(level) = self.exact_by(index, false) else {
            return;
        };
        let mut next = state.clone();
        next.day_rates.clear();
        next.refresh_rates(&self.rates);
        if next.basket.rates == state.basket.rates {
            return;
        }
        let renewed = next.keep(&[]).and_then(|kept| match kept {
            Some(kept) => next.carry(&level, kept, &Overrides::new(), &self.securities),
            None => next.establish(&level, &Overrides::new(), &self.securities, Weigh::Keep),
        });
        // Rates under which there is no divisor stay away; those of the day before go on.
        if renewed.is_ok() {
            self.indexes[index.at()] = next;
            self.put_in_force(index);
            self.revised(index, Cause::Rates, effective, position);
        }
    }

    /// Restores the target weights of an index at the last prices.
    fn restore_weights(&mut self, index: IndexId, effective: Time, position: Position) {
        let mut next = self.indexes[index.at()].clone();
        let restored = self
            .exact_by(index, false)
            .ok_or(Problem::NoDivisor("level"))
            .and_then(|level| {
                next.establish(&level, &Overrides::new(), &self.securities, Weigh::Anew)
            });
        // Weights that cannot be restored (a market value not above 0) stay as they were; the
        // level remains right, and the missing revision shows it.
        if restored.is_ok() {
            self.indexes[index.at()] = next;
            self.put_in_force(index);
            self.revised(index, Cause::Reset, effective, position);
        }
    }

    /// Hands an index's new quantities to the kernel: in place, since the members are the same.
    fn put_in_force(&mut self, index: IndexId) {
        if self.kernel_is_stale {
            return;
        }
        let basket = &self.indexes[index.at()].basket;
        for (holding, quantity) in basket.holdings.iter().zip(&basket.quantities) {
            self.kernel
                .set_coefficient(holding.security, index, *quantity);
        }
        for (at, sum) in basket.sums(&self.securities).into_iter().enumerate() {
            self.kernel.set_sum(basket.first_slot + at, sum);
        }
    }

    /// Counts the revision and tells of it.
    pub(crate) fn revised(
        &mut self,
        index: IndexId,
        cause: Cause,
        effective: Time,
        position: Position,
    ) {
        let state = &mut self.indexes[index.at()];
        state.revision += 1;
        let revised = Revised {
            index,
            revision: state.revision,
            divisor: state.divisor,
            cash: state.basket.cash(),
            cause,
            effective,
            position,
            members: state.members(&self.securities),
            follows: None,
            rates: state
                .day_rates
                .iter()
                .map(|(c, rate)| (*c, *rate))
                .collect(),
        };
        let revised = Revised {
            follows: self.followed(index).map(Box::new),
            ..revised
        };
        self.outputs.push_back(Output::Revised(revised));
    }

    /// Applies the scheduled revisions whose time has come.
    pub(crate) fn apply_due_revisions(&mut self, position: Position) {
        while let Some(entry) = self.scheduled.first_entry() {
            let (due, _) = entry.key();
            if *due > self.time {
                return;
            }
            let ((due, id), _) = entry.remove_entry();
            let Some(revision) = self.revisions.get(&id).cloned() else {
                continue;
            };
            let mut next = self.clone();
            // What was possible when it was loaded may no longer be; the state then stays whole.
            match next.apply_revision(&revision, due, position) {
                Ok(()) => *self = next,
                Err(_) => self.outputs.push_back(Output::Refused { position }),
            }
        }
    }

    /// Applies one revision: adjusted prices, new baskets, divisors by continuity.
    pub(crate) fn apply_revision(
        &mut self,
        revision: &RevisionDefinition,
        effective: Time,
        position: Position,
    ) -> Result<(), DefinitionError> {
        let of = |problem: Problem| problem.of("revision", &revision.id);
        self.redefine(revision, position).map_err(of)?;
        let adjusted: Result<Vec<_>, _> = revision
            .adjust
            .iter()
            .map(|a| self.resolve_adjustment(a))
            .collect();
        let adjusted = adjusted.map_err(of)?;
        let mut seen = std::collections::BTreeSet::new();
        for adjustment in &revision.adjust {
            if !seen.insert(&adjustment.symbol) {
                return Err(of(Problem::TwiceInRevision(adjustment.symbol.clone())));
            }
        }
        let affected = self.affected(revision, &adjusted).map_err(of)?;
        // Levels at the prices before; none for an index that has not started.
        let levels: Vec<Option<Ratio>> = affected
            .iter()
            .map(|(index, _)| self.exact_by(*index, false))
            .collect();
        for change in &adjusted {
            let security = &mut self.securities[change.security.at()];
            let places = security.definition.price_places;
            let units = change
                .price
                .round_scaled(u32::from(places), crate::RoundingMode::HalfUp)
                .and_then(|price| security.in_units(Decimal::new(price, places)));
            let symbol = || security.definition.symbol.clone();
            security.price = units.ok_or_else(|| of(Problem::AdjustedPrice(symbol())))?;
            // Only a stated time says which prices were made before the change.
            security.earliest = security
                .earliest
                .max(revision.effective.unwrap_or(Time::MIN));
        }
        self.kernel_is_stale = true;
        for ((index, turn), level) in affected.into_iter().zip(levels) {
            self.revise_index(index, turn, level.as_ref(), &adjusted)
                .map_err(of)?;
            self.revised(index, Cause::Revision, effective, position);
            self.try_base(index, position);
            self.touch(index, Time::MIN);
        }
        self.start_waiting(position);
        Ok(())
    }

    /// Definitions that a revision brings, as if they were loaded now.
    fn redefine(
        &mut self,
        revision: &RevisionDefinition,
        position: Position,
    ) -> Result<(), Problem> {
        let mut is_changed = false;
        for change in &revision.indexes {
            let Some(definition) = &change.definition else {
                continue;
            };
            if definition.code != change.code || change.basket.is_some() {
                return Err(Problem::Redefinition(
                    change.code.chars().take(64).collect(),
                ));
            }
            self.known_index(&change.code)?;
            is_changed |= self.load_index(definition, position)? != Change::Unchanged;
        }
        if is_changed {
            self.watch_days();
        }
        Ok(())
    }

    /// The indexes that a revision changes, in the order of their ids.
    fn affected(
        &self,
        revision: &RevisionDefinition,
        adjusted: &[Adjusted],
    ) -> Result<Vec<(IndexId, Turn)>, Problem> {
        let mut affected = std::collections::BTreeMap::new();
        for (id, index) in (0u32..).zip(&self.indexes) {
            let holds = |change: &Adjusted| {
                index
                    .basket
                    .holdings
                    .iter()
                    .any(|h| h.security == change.security)
            };
            if adjusted.iter().any(holds) {
                affected.insert(IndexId(id), Turn::Keep);
            }
        }
        for change in revision.indexes.iter().filter(|x| x.definition.is_none()) {
            let index = self
                .codes
                .get(&change.code)
                .ok_or_else(|| Problem::UnknownIndex(change.code.chars().take(64).collect()))?;
            if self.indexes[index.at()].follow.is_some() {
                return Err(Problem::Variant("has no basket that could be revised"));
            }
            let turn = match &change.basket {
                Some(members) => {
                    self.refuse_retired(members)?;
                    Turn::Members(members.clone())
                }
                None => Turn::Restore,
            };
            if let Some(Turn::Members(_) | Turn::Restore) = affected.insert(*index, turn) {
                return Err(Problem::TwiceInRevision(change.code.clone()));
            }
        }
        Ok(affected.into_iter().collect())
    }

    fn resolve_adjustment(&self, adjustment: &Adjustment) -> Result<Adjusted, Problem> {
        let symbol = || adjustment.symbol.chars().take(64).collect::<String>();
        let security = self
            .security_id(&adjustment.symbol)
            .ok_or_else(|| Problem::UnknownSecurity(symbol()))?;
        let last = self.securities[security.at()]
            .last_price()
            .map(Ratio::from)
            .ok_or_else(|| Problem::NoPrice(symbol()))?;
        let (price, split) = match (adjustment.price, adjustment.less, adjustment.split) {
            (Some(price), None, None) => (price.into(), false),
            (None, Some(less), None) => (last.subtract(&less.into()), false),
            (None, None, Some(split)) => {
                let ratio = Ratio::new(split.to.into(), split.from.into())
                    .filter(Ratio::is_positive)
                    .ok_or_else(|| Problem::Adjustment(symbol()))?;
                let price = last
                    .divide(&ratio)
                    .ok_or_else(|| Problem::Adjustment(symbol()))?;
                (price, true)
            }
            _ => return Err(Problem::Adjustment(symbol())),
        };
        let factor = last.divide(&price).filter(Ratio::is_positive);
        Ok(Adjusted {
            security,
            price,
            factor: factor.ok_or_else(|| Problem::AdjustedPrice(symbol()))?,
            split,
        })
    }

    /// Gives one index its new basket and the divisor that keeps `level`.
    pub(crate) fn revise_index(
        &mut self,
        id: IndexId,
        turn: Turn,
        level: Option<&Ratio>,
        adjusted: &[Adjusted],
    ) -> Result<(), Problem> {
        let mut state = self.indexes[id.at()].clone();
        // An index that runs and cannot tell its level now (a rate has vanished in its rounding)
        // has nothing that a new divisor could keep.
        if level.is_none() && state.has_started() {
            return Err(Problem::NoDivisor("level"));
        }
        let new_members = matches!(turn, Turn::Members(_));
        let weigh = match turn {
            Turn::Keep => Weigh::Keep,
            Turn::Members(_) | Turn::Restore => Weigh::Anew,
        };
        let kept = match turn {
            Turn::Members(members) => {
                state.definition.basket = members;
                None
            }
            Turn::Restore => {
                state.split_units(adjusted)?;
                None
            }
            Turn::Keep => {
                state.split_units(adjusted)?;
                state.keep(adjusted)?
            }
        };
        self.ensure_components(&state.definition.basket)?;
        self.refuse_cycle(id, &state.definition.basket)?;
        let holdings = self.holdings(&state)?;
        state.basket = Basket::waiting(holdings, state.definition.currency, &self.securities);
        state.refresh_rates(&self.rates);
        if let Some(level) = level {
            self.adopt_references(&state)?;
            if !new_members {
                state.forget_references();
            }
            let overrides = state.overrides(adjusted);
            match kept {
                Some(kept) => state.carry(level, kept, &overrides, &self.securities)?,
                None => state.establish(level, &overrides, &self.securities, weigh)?,
            }
        } else {
            self.adopt_references(&state)?;
            state.divisor = None;
            state.product = None;
            state.combine = None;
        }
        state.count_missing(&self.securities);
        self.indexes[id.at()] = state;
        self.kernel_is_stale = true;
        self.watch_days();
        if level.is_none() {
            self.start(id)?;
        }
        Ok(())
    }

    /// A basket's holdings, resolved against the securities.
    pub(crate) fn holdings(&self, index: &Index) -> Result<Vec<Holding>, Problem> {
        if index.follow.is_some() {
            return Ok(Vec::new());
        }
        basket::holdings(&index.definition, |symbol| self.security_id(symbol))
    }

    /// A stated reference price is a security's price until it has one of its own.
    ///
    /// Other indexes may have waited for it; [`Self::start_waiting`] starts them.
    pub(crate) fn adopt_references(&mut self, index: &Index) -> Result<(), Problem> {
        for holding in &index.basket.holdings {
            let security = &mut self.securities[holding.security.at()];
            let (0, Some(reference)) = (security.price, holding.reference) else {
                continue;
            };
            let units = security.in_units(reference);
            security.price = units.ok_or_else(|| Problem::Range {
                symbol: security.definition.symbol.clone(),
                field: "price",
                value: reference.to_string(),
                range: "a price that the security admits, up to its price_max",
            })?;
            self.kernel_is_stale = true;
            for id in (0u32..).map(IndexId).take(self.indexes.len()) {
                let other = &mut self.indexes[id.at()];
                let holds = |h: &Holding| h.security == holding.security;
                if other.basket.holdings.iter().any(holds) {
                    other.count_missing(&self.securities);
                    self.touch(id, Time::MIN);
                }
            }
        }
        Ok(())
    }

    /// Starts the indexes for which everything is there now.
    pub(crate) fn start_waiting(&mut self, position: Position) {
        for id in (0u32..).map(IndexId).take(self.indexes.len()) {
            self.try_base(id, position);
        }
        self.start_followers(position);
    }

    /// Starts an index that has no level yet, as far as prices and rates allow.
    pub(crate) fn start(&mut self, id: IndexId) -> Result<(), Problem> {
        let state = &mut self.indexes[id.at()];
        if state.follow.is_some() {
            return Ok(());
        }
        if let Some(divisor) = state.definition.base.divisor {
            state.establish_with_divisor(divisor, &self.securities)?;
            return Ok(());
        }
        state.check_sums(&self.securities)
    }
}

impl Index {
    pub(crate) fn count_missing(&mut self, securities: &[crate::security::Security]) {
        let unpriced = |h: &&Holding| securities[h.security.at()].price == 0;
        if self.fixing.is_some() {
            return;
        }
        self.missing = self.basket.holdings.iter().filter(unpriced).count();
    }

    /// The exact prices of adjusted holdings, by holding.
    fn overrides(&self, adjusted: &[Adjusted]) -> Overrides {
        let exact = |holding: &Holding| {
            adjusted
                .iter()
                .find(|a| a.security == holding.security)
                .map(|a| a.price.clone())
        };
        self.basket.holdings.iter().map(exact).collect()
    }

    /// Coefficients of target weights that live on, each adjusted member at the weight it had:
    /// what a price loses its units gain (METHODOLOGY §1.6, column "non-cap"). None where stated
    /// units make the coefficients, or none are in force.
    fn keep(&self, adjusted: &[Adjusted]) -> Result<Option<Kept>, Problem> {
        let basket = &self.basket;
        // A product is anchored anew instead, at the adjusted prices.
        if !self.definition.weighting.follows_weights()
            || basket.coefficients.is_empty()
            || self.product.is_some()
        {
            return Ok(None);
        }
        let cut = self.definition.rounding.coefficient;
        let pairs = basket.holdings.iter().zip(&basket.coefficients);
        let coefficients: Option<Vec<Decimal>> = pairs
            .map(|(holding, coefficient)| {
                let factor = adjusted.iter().find(|a| a.security == holding.security);
                let Some(adjusted) = factor else {
                    return Some(*coefficient);
                };
                let scaled = Ratio::from(*coefficient).multiply(&adjusted.factor);
                Some(scaled.round(cut)?.normalized())
            })
            .collect();
        Ok(Some(Kept {
            coefficients: coefficients.ok_or(Problem::Overflow)?,
            cash: Ratio::scaled(basket.cash, basket.scale),
        }))
    }

    /// A split multiplies the stated quantity, except where the weighting counts every share as
    /// one: there the divisor takes it (METHODOLOGY §1.6).
    fn split_units(&mut self, adjusted: &[Adjusted]) -> Result<(), Problem> {
        if self.definition.weighting.ignores_splits() {
            return Ok(());
        }
        for (at, holding) in self.basket.holdings.iter().enumerate() {
            let split = adjusted
                .iter()
                .find(|a| a.split && a.security == holding.security);
            let (Some(split), Rule::Units(_) | Rule::Computed) = (split, holding.rule) else {
                continue;
            };
            let constituent = &mut self.definition.basket[at];
            let quantity = match self.definition.weighting {
                Weighting::MarketCap | Weighting::Score { .. } => &mut constituent.shares,
                Weighting::None
                | Weighting::Price
                | Weighting::FixedUnits
                | Weighting::Equal { .. }
                | Weighting::FixedWeight { .. }
                | Weighting::ConstantWeight
                | Weighting::Geometric { .. }
                | Weighting::VolumeMedian => &mut constituent.units,
            };
            if let Some(stated) = quantity {
                let multiplied = Ratio::from(*stated).multiply(&split.factor);
                *stated = multiplied
                    .round(self.definition.rounding.coefficient)
                    .ok_or(Problem::Overflow)?
                    .normalized();
            }
        }
        Ok(())
    }
}
