//! The opening of a day: all its actions together, prices and baskets exact until the end, and
//! then one new divisor for each index that they change.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::draft::{Draft, decimal};
use crate::calendar::working_day_after;
use crate::component::PREFIX;
use crate::definition::action::{Deletion, Dividend, ReturnOfCapital};
use crate::definition::{ActionDefinition, ActionRules, Event, Leaves, Proceeds};
use crate::exact::Ratio;
use crate::index::{Basket, Kept, Overrides, Weigh};
use crate::output::{ActionState, Cause};
use crate::problem::Problem;
use crate::{Currency, Decimal, Engine, IndexId, Position, RoundingMode, SecurityId, Time};

/// A dividend of a member whose day has come and that the price index lets pass: what total
/// returns reinvest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExDividend {
    /// Whose.
    pub security: SecurityId,
    /// Gross per share.
    pub amount: Decimal,
    /// The currency of the amount.
    pub currency: Currency,
    /// True for a special one that the rule of the index does not take out of the price.
    pub special: bool,
    /// Who withholds.
    pub country: Option<String>,
    /// What kind of company pays.
    #[serde(default)]
    pub payer: Option<String>,
    /// The rate withheld, where it is stated.
    pub tax: Option<Decimal>,
    /// In points of the index, before anything is withheld, once it has come: what changes later
    /// does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) points: Option<Ratio>,
}

impl ExDividend {
    pub(super) fn of(security: SecurityId, currency: Currency, stated: &Dividend) -> Self {
        Self {
            security,
            amount: stated.amount,
            currency,
            special: stated.kind == crate::definition::action::DividendKind::Special,
            country: stated.country.clone(),
            payer: stated.payer.clone(),
            tax: stated.tax,
            points: None,
        }
    }

    /// As [`Self::of`], of a return of capital.
    pub(super) fn capital(
        security: SecurityId,
        currency: Currency,
        stated: &ReturnOfCapital,
    ) -> Self {
        Self {
            security,
            amount: stated.amount,
            currency,
            special: true,
            country: None,
            payer: None,
            tax: stated.tax,
            points: None,
        }
    }
}

/// A copy of the engine on its way through the actions of a day.
pub(super) struct Opening {
    pub(super) engine: Engine,
    /// Prices that change without a trade, as everybody sees them.
    prices: BTreeMap<SecurityId, Ratio>,
    /// Indexes that change, as they were before the first action.
    pub(super) drafts: BTreeMap<IndexId, Draft>,
    /// Dividends that total returns reinvest.
    paid: Vec<(IndexId, ExDividend)>,
    /// Ordinary dividends, with the indexes that held the payer when they came up: who joins an
    /// index on the ex-date has been bought with the dividend.
    ordinary: Vec<(ExDividend, Vec<IndexId>)>,
    /// Units of a new currency for one of the old.
    pub(super) recoined: BTreeMap<SecurityId, Ratio>,
    /// Actions that follow from these.
    announced: Vec<ActionDefinition>,
    /// The beginning of the day, of the last one where several come together.
    effective: Time,
    /// The ex-date of the action that is carried out.
    ex_date: Date,
}

impl Engine {
    /// The engine after these actions, and the indexes whose weights they restored.
    pub(super) fn opened(
        &self,
        ids: &[String],
        ts: Time,
        position: Position,
    ) -> Result<(Self, Vec<IndexId>), Problem> {
        let mut opening = Opening {
            engine: self.clone(),
            prices: BTreeMap::new(),
            drafts: BTreeMap::new(),
            paid: Vec::new(),
            ordinary: Vec::new(),
            recoined: BTreeMap::new(),
            announced: Vec::new(),
            effective: Time::MIN,
            ex_date: Date::MIN,
        };
        let mut concerned = Vec::with_capacity(ids.len());
        for id in ids {
            let known = self.actions.known.get(id).ok_or(Problem::UnknownAction)?;
            opening.effective = opening.effective.max(known.due);
            opening.ex_date = known.definition.ex_date;
            let event = &known.definition.event;
            concerned.push(opening.engine.concerned(event).1);
            if let Event::Rebalance(review) = event {
                let left = review.days() - known.steps;
                opening.rebalance(review, left, (&known.moved, &known.recoined))?;
            } else {
                opening.event(&known.definition)?;
            }
        }
        opening.pay_joiners();
        let restored = opening.drafts.iter().filter(|(_, draft)| draft.restores);
        let restored = restored.map(|(index, _)| *index).collect();
        let announced = std::mem::take(&mut opening.announced);
        let mut engine = opening.close(position)?;
        for (id, indexes) in ids.iter().zip(concerned) {
            engine.applied(id, indexes, ts, position);
        }
        for definition in &announced {
            engine.enlist(definition, position)?;
        }
        Ok((engine, restored))
    }

    /// Notes that an action has been applied, or one day of it, because of an input at `ts`.
    fn applied(&mut self, id: &str, indexes: Vec<IndexId>, ts: Time, position: Position) {
        let due = self.actions.known.get(id).map_or(ts, |known| known.due);
        let next = indexes
            .first()
            .and_then(|index| self.next_day(*index, ts.max(due)));
        let Some(known) = self.actions.known.get_mut(id) else {
            return;
        };
        let entry = (known.due, known.definition.event.rank(), id.to_owned());
        self.actions.queue.remove(&entry);
        known.steps += 1;
        known.state = ActionState::Applied;
        if let Event::Rebalance(review) = &known.definition.event
            && known.steps < review.days()
        {
            known.state = ActionState::Applying;
            known.due = next.unwrap_or(Time::MAX);
            let entry = (known.due, entry.1, entry.2);
            self.actions.queue.insert(entry);
        }
        let state = known.state.clone();
        self.actions.rewatch();
        self.tell(id, state, indexes, position);
    }

    /// The beginning of the next day of an index that has a session.
    fn next_day(&self, index: IndexId, time: Time) -> Option<Time> {
        let state = &self.indexes[index.at()];
        let name = state.definition.calendar.as_ref();
        let calendar = name.and_then(|name| self.calendars.get(name));
        let today = state.days.date(time);
        let next = match calendar {
            Some(calendar) => calendar.day_after(today, 1),
            None => today.tomorrow().ok(),
        };
        next.map(|next| state.days.begin(next))
    }

    /// Gives a security another name; its name before.
    pub(crate) fn rename_security(&mut self, security: SecurityId, to: &str) -> String {
        let definition = &mut self.securities[security.at()].definition;
        let before = std::mem::replace(&mut definition.symbol, to.to_owned());
        self.symbols.remove(before.as_str());
        self.symbols.insert(to.into(), security);
        self.actions.former.remove(to);
        self.actions.former.insert(before.clone(), security);
        before
    }

    /// Gives a security's prices another currency, and its bound the same room in it.
    pub(super) fn redenominate(
        &mut self,
        security: SecurityId,
        currency: Currency,
        factor: &Ratio,
    ) -> Result<(), Problem> {
        let security = &mut self.securities[security.at()];
        let places = security.definition.price_places;
        let bound = Ratio::from(security.definition.price_max).multiply(factor);
        let units = bound.round_scaled(u32::from(places), RoundingMode::Up);
        let units = units.and_then(|units| i64::try_from(units).ok());
        let units = units.ok_or_else(|| Problem::PriceMax(currency.to_string()))?;
        // A smaller one would do; the bound that was proved stays.
        if units > security.price_max {
            security.price_max = units;
            security.definition.price_max = Decimal::new(units.into(), places).normalized();
        }
        security.definition.currency = currency;
        Ok(())
    }
}

impl Opening {
    /// The draft of an index, opened before its first change.
    pub(super) fn draft(&mut self, index: IndexId) -> &mut Draft {
        let engine = &self.engine;
        let open = || Draft::of(&engine.indexes[index.at()], &engine.securities);
        self.drafts.entry(index).or_insert_with(open)
    }

    pub(super) fn rules(&self, index: IndexId) -> &ActionRules {
        &self.engine.indexes[index.at()].definition.actions
    }

    /// The indexes that hold a security at this point of the day.
    pub(super) fn holders(&self, security: SecurityId) -> Vec<IndexId> {
        let all = (0u32..).map(IndexId).zip(&self.engine.indexes);
        let holds = |(id, index): &(IndexId, &crate::index::Index)| match self.drafts.get(id) {
            Some(draft) => draft.place(security).is_some(),
            None => index.basket.holdings.iter().any(|h| h.security == security),
        };
        all.filter(holds).map(|(id, _)| id).collect()
    }

    /// The price of a security as everybody sees it; none before the first.
    pub(super) fn price(&self, security: SecurityId) -> Option<Ratio> {
        let changed = self.prices.get(&security).cloned();
        changed.or_else(|| {
            self.engine.securities[security.at()]
                .last_price()
                .map(Ratio::from)
        })
    }

    pub(super) fn set_price(&mut self, security: SecurityId, price: Ratio) -> Result<(), Problem> {
        if !price.is_positive() {
            let symbol = &self.engine.securities[security.at()].definition.symbol;
            return Err(Problem::AdjustedPrice(symbol.clone()));
        }
        self.prices.insert(security, price);
        Ok(())
    }

    /// How far the actions so far have moved a price that there was.
    pub(super) fn moved(&self, security: SecurityId) -> Option<Ratio> {
        let before = self.engine.securities[security.at()].last_price()?;
        self.prices.get(&security)?.divide(&before.into())
    }

    /// The smallest price that a security can have.
    pub(super) fn smallest_price(&self, security: SecurityId) -> Ratio {
        let places = self.engine.securities[security.at()]
            .definition
            .price_places;
        Ratio::scaled(1, u32::from(places))
    }

    /// Currency of the index for one of the security's.
    pub(super) fn rate(&self, index: IndexId, security: SecurityId) -> Option<Ratio> {
        let currency = self.engine.securities[security.at()].definition.currency;
        let rate = self.engine.indexes[index.at()].currency_rate(currency, &self.engine.rates);
        rate.map(Ratio::from)
    }

    /// Announces that a member which an action brought into an index leaves it again.
    pub(super) fn leave(
        &mut self,
        index: IndexId,
        member: SecurityId,
        parent: SecurityId,
        (rule, cause): (&Leaves, &ActionDefinition),
    ) -> Result<(), Problem> {
        let definition = &self.engine.indexes[index.at()].definition;
        let calendar = definition.calendar.as_ref();
        let calendar = calendar.and_then(|name| self.engine.calendars.get(name));
        let ex_date = calendar.map_or_else(
            || working_day_after(cause.ex_date, rule.after),
            |calendar| calendar.day_after(cause.ex_date, rule.after),
        );
        let symbol = |id: SecurityId| self.engine.securities[id.at()].definition.symbol.clone();
        self.announced.push(ActionDefinition {
            id: format!("{}@{}", cause.id, definition.code),
            ex_date: ex_date.ok_or(Problem::Overflow)?,
            zone: cause.zone.clone(),
            note: Some(format!("follows from {}", cause.id)),
            event: Event::Deletion(Deletion {
                index: definition.code.clone(),
                symbol: symbol(member),
                proceeds: (rule.proceeds == Proceeds::Parent).then(|| symbol(parent)),
                untraded: rule.untraded,
            }),
        });
        Ok(())
    }

    pub(super) fn pay(&mut self, index: IndexId, dividend: ExDividend) {
        self.paid.push((index, dividend));
    }

    /// As [`Self::holders`], without those whose base date is still to come: what they hold is
    /// stated as it is on that date.
    pub(super) fn based_holders(&self, security: SecurityId) -> Vec<IndexId> {
        let mut holders = self.holders(security);
        holders.retain(|index| {
            let index = &self.engine.indexes[index.at()];
            let base = index.definition.base.day();
            index.has_started() || base.is_none_or(|base| base <= self.ex_date)
        });
        holders
    }

    /// The part of a payment that a price does not fall by because it is withheld: total returns
    /// that are gross of tax have it, those net of tax do not.
    pub(super) fn pay_withheld(
        &mut self,
        index: IndexId,
        amount: &Ratio,
        part: Decimal,
        of: ExDividend,
    ) -> Result<(), Problem> {
        if part.is_positive() {
            let cut = self.engine.indexes[index.at()]
                .definition
                .rounding
                .coefficient;
            let withheld = ExDividend {
                amount: decimal(&amount.multiply(&part.into()), cut)?,
                tax: Some(Decimal::ONE),
                ..of
            };
            self.pay(index, withheld);
        }
        Ok(())
    }

    /// As [`Self::pay`] of an ordinary dividend, to all who hold its payer, now and by the end of
    /// the opening.
    pub(super) fn pay_all(&mut self, dividend: &ExDividend) {
        let holders = self.based_holders(dividend.security);
        for index in &holders {
            self.draft(*index);
            self.pay(*index, dividend.clone());
        }
        self.ordinary.push((dividend.clone(), holders));
    }

    fn pay_joiners(&mut self) {
        for (dividend, paid) in std::mem::take(&mut self.ordinary) {
            for index in self.based_holders(dividend.security) {
                if !paid.contains(&index) {
                    self.pay(index, dividend.clone());
                }
            }
        }
    }

    /// Puts everything into force: prices, then each index with its one new divisor.
    fn close(mut self, position: Position) -> Result<Engine, Problem> {
        let moved: Vec<(SecurityId, Ratio)> = self
            .prices
            .keys()
            .copied()
            .filter_map(|id| Some((id, self.moved(id)?)))
            .collect();
        let engine = &mut self.engine;
        engine.move_references(&moved, &self.recoined);
        for (id, factor) in &moved {
            engine.securities[id.at()].prints.scale(factor);
            for index in &mut engine.indexes {
                if let Some(fixing) = &mut index.fixing
                    && index.basket.holdings.iter().any(|h| h.security == *id)
                {
                    fixing.scale(factor);
                }
            }
        }
        for (id, price) in &self.prices {
            let security = &mut engine.securities[id.at()];
            let symbol = security.definition.symbol.clone();
            let is_first = security.price == 0;
            security.price = units(security, price).ok_or(Problem::AdjustedPrice(symbol))?;
            security.earliest = security.earliest.max(self.effective);
            if is_first {
                engine.priced(*id);
            }
        }
        engine.kernel_is_stale = true;
        engine.watch_days();
        for (index, draft) in self.drafts {
            let is_changed = draft.is_changed;
            engine.conclude(index, draft)?;
            if is_changed {
                engine.revised(index, Cause::Action, self.effective, position);
                engine.try_base(index, position);
                engine.touch(index, Time::MIN);
            }
        }
        engine.start_waiting(position);
        for (index, dividend) in self.paid {
            engine.ex_dividend(index, dividend, position);
        }
        Ok(self.engine)
    }
}

/// A price in the units of a security, cut half up.
fn units(security: &crate::security::Security, price: &Ratio) -> Option<i64> {
    let places = security.definition.price_places;
    let cut = price.round_scaled(u32::from(places), RoundingMode::HalfUp)?;
    security.in_units(Decimal::new(cut, places))
}

impl Engine {
    /// A price that no trade brought is there: indexes that waited for it count anew.
    fn priced(&mut self, security: SecurityId) {
        for index in self.holding(security) {
            self.indexes[index.at()].count_missing(&self.securities);
            self.touch(index, Time::MIN);
        }
    }

    /// Lets the reference prices of reviews to come follow what actions do to prices.
    fn move_references(
        &mut self,
        moved: &[(SecurityId, Ratio)],
        recoined: &BTreeMap<SecurityId, Ratio>,
    ) {
        let ids: Vec<String> = self
            .actions
            .queue
            .iter()
            .map(|(.., id)| id.clone())
            .collect();
        for id in ids {
            let Some(known) = self.actions.known.get(&id) else {
                continue;
            };
            let Event::Rebalance(review) = &known.definition.event else {
                continue;
            };
            let symbols = review.reference.iter().map(|stated| &stated.symbol);
            let stated: Vec<SecurityId> = symbols
                .filter_map(|s| self.known_security(s).ok())
                .collect();
            let Some(known) = self.actions.known.get_mut(&id) else {
                continue;
            };
            for (security, factor) in moved.iter().filter(|(s, _)| stated.contains(s)) {
                let so_far = known.moved.entry(*security).or_insert_with(Ratio::one);
                *so_far = so_far.multiply(factor);
            }
            for (security, factor) in recoined.iter().filter(|(s, _)| stated.contains(s)) {
                let so_far = known.recoined.entry(*security).or_insert_with(Ratio::one);
                *so_far = so_far.multiply(factor);
            }
        }
    }

    /// Gives one index what its draft has come to.
    fn conclude(&mut self, id: IndexId, mut draft: Draft) -> Result<(), Problem> {
        self.blend(id, &mut draft)?;
        let mut state = self.indexes[id.at()].clone();
        state.deferred = std::mem::take(&mut draft.deferred);
        let constituents = draft.members.iter().map(|line| line.constituent.clone());
        state.definition.basket = constituents.collect();
        if draft.is_changed {
            let level = draft.value.as_ref().zip(state.divisor);
            let level = if state.product.is_some() {
                draft.level.clone()
            } else {
                level.and_then(|(value, divisor)| value.divide(&divisor.into()))
            };
            if level.is_none() && state.has_started() && state.fixing.is_none() {
                return Err(Problem::NoDivisor("level"));
            }
            let cash = Ratio::scaled(state.basket.cash, state.basket.scale);
            self.ensure_components(&state.definition.basket)?;
            self.refuse_cycle(id, &state.definition.basket)?;
            let holdings = self.holdings(&state)?;
            state.basket = Basket::waiting(holdings, state.definition.currency, &self.securities);
            state.refresh_rates(&self.rates);
            self.adopt_references(&state)?;
            let takes_indexes = state
                .definition
                .basket
                .iter()
                .any(|c| c.symbol.starts_with(PREFIX));
            if let Some(level) = level {
                let prices: Overrides = draft.members.iter().map(|x| x.price.clone()).collect();
                if draft.weighting.follows_weights() && !draft.restores && state.product.is_none() {
                    let kept = draft.kept(draft.cash.clone().unwrap_or(cash))?;
                    state.carry(&level, kept, &prices, &self.securities)?;
                } else {
                    let reference = draft.reference_prices();
                    let weigh = if draft.restores {
                        Weigh::Anew
                    } else {
                        Weigh::Keep
                    };
                    state.establish_by(&reference, &level, &prices, &self.securities, weigh)?;
                }
            } else {
                state.divisor = None;
                state.product = None;
                state.combine = None;
            }
            state.count_missing(&self.securities);
            let waits = state.divisor.is_none();
            self.indexes[id.at()] = state;
            if waits {
                self.start(id)?;
            }
            if takes_indexes {
                self.check_followers(id)?;
            }
        } else {
            self.indexes[id.at()] = state;
        }
        self.see_apart(id, &draft);
        Ok(())
    }

    /// A day of a review that takes several: each coefficient goes its part of the way to what the
    /// review would make it today.
    fn blend(&mut self, id: IndexId, draft: &mut Draft) -> Result<(), Problem> {
        let Some(left) = draft.blend.take() else {
            return Ok(());
        };
        if self.indexes[id.at()].product.is_some() {
            return Err(Problem::Terms("days", "1 in a geometric index"));
        }
        let Some(value) = draft.value.clone() else {
            return Err(Problem::NoDivisor("level"));
        };
        let mut target = self.indexes[id.at()].clone();
        let cash = Ratio::scaled(target.basket.cash, target.basket.scale);
        let staying = draft.members.iter().filter(|line| !line.leaves);
        let prices: Overrides = staying.clone().map(|line| line.price.clone()).collect();
        target.definition.basket = staying.map(|line| line.constituent.clone()).collect();
        let holdings = self.holdings(&target)?;
        target.basket = Basket::waiting(holdings, target.definition.currency, &self.securities);
        target.refresh_rates(&self.rates);
        let reference = draft.reference_prices();
        let one = Ratio::from(Decimal::ONE);
        target.establish_by(&reference, &one, &prices, &self.securities, Weigh::Anew)?;
        // Units of target weights have a size of their own; stated ones mean what they say.
        let mut size = one.clone();
        if draft.weighting.follows_weights() {
            let there = target.worth(&prices, &self.securities)?;
            size = value.divide(&there).ok_or(Problem::NoDivisor("divisor"))?;
        }
        let part = |from: &Ratio, to: &Ratio| {
            let way = to.multiply(&size).subtract(from).multiply(&left);
            from.add(&way)
        };
        let mut coefficients = target.basket.coefficients.iter();
        for line in &mut draft.members {
            let from = line.coefficient.clone().unwrap_or_else(Ratio::zero);
            let to = match (line.leaves, coefficients.clone().next()) {
                (false, Some(to)) => {
                    coefficients.next();
                    Ratio::from(*to)
                }
                _ => Ratio::zero(),
            };
            line.set(part(&from, &to), draft.weighting, draft.cut)?;
        }
        let to = Ratio::scaled(target.basket.cash, target.basket.scale);
        draft.cash = Some(part(&cash, &to));
        draft.restores = false;
        draft.reference.clear();
        Ok(())
    }

    /// Lets an index see its own prices where they are not those that everybody sees, until the
    /// next trade.
    fn see_apart(&mut self, id: IndexId, draft: &Draft) {
        let holdings = &mut self.indexes[id.at()].basket.holdings;
        for (holding, line) in holdings.iter_mut().zip(&draft.members) {
            let security = &mut self.securities[holding.security.at()];
            let own = line.price.as_ref().and_then(|price| units(security, price));
            holding.seen = own.filter(|own| *own != security.price);
            security.is_seen_apart |= holding.seen.is_some();
        }
    }

    /// A dividend of a member passes the price index by.
    pub(crate) fn ex_dividend(
        &mut self,
        index: IndexId,
        dividend: ExDividend,
        _position: Position,
    ) {
        self.indexes[index.at()].dividends.push(dividend);
    }

    /// A trade: every index sees the price that it was made at. What an index saw until now, where
    /// that was another one, leaves its sum.
    pub(crate) fn see_together(&mut self, security: SecurityId) {
        self.securities[security.at()].is_seen_apart = false;
        let price = self.securities[security.at()].price;
        for at in 0..self.kernel.entries(security).len() {
            let entry = self.kernel.entries(security)[at];
            let holdings = &mut self.indexes[entry.index.at()].basket.holdings;
            let holding = holdings.iter_mut().find(|h| h.security == security);
            if let Some(seen) = holding.and_then(|holding| holding.seen.take()) {
                self.kernel
                    .add(entry.slot as usize, i128::from(price - seen) * entry.q);
            }
        }
    }
}

impl Draft {
    /// The coefficients of target weights that live on.
    fn kept(&self, cash: Ratio) -> Result<Kept, Problem> {
        let coefficient = |line: &super::draft::Line| {
            let exact = line
                .coefficient
                .as_ref()
                .ok_or(Problem::NoDivisor("coefficient"))?;
            decimal(exact, self.cut)
        };
        let coefficients: Result<_, _> = self.members.iter().map(coefficient).collect();
        Ok(Kept {
            coefficients: coefficients?,
            cash,
        })
    }

    /// The prices by which restored weights become units, where they are not today's.
    fn reference_prices(&self) -> Overrides {
        let stated = |line: &super::draft::Line| {
            let found = self
                .reference
                .iter()
                .find(|(security, _)| *security == line.security);
            found
                .map(|(_, price)| price.clone())
                .or_else(|| line.price.clone())
        };
        let staying = self.members.iter().filter(|line| !line.leaves);
        staying.map(stated).collect()
    }
}
