//! What each kind of action does to prices, shares, factors and members (METHODOLOGY §1.6).

use super::draft::{Draft, Line, decimal};
use super::opening::{ExDividend, Opening};
use crate::definition::action::{
    Addition, CapReset, Deletion, Dividend, DividendKind, Merger, Rebalance, Redenomination,
    Removal, ReturnOfCapital, Rights, ShareChange, SpinOff, SymbolChange,
};
use crate::definition::{
    Adjust, Child, ChildPrice, Event, MergerPrice, Reinvest, SpecialDividends, Take,
};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::{Decimal, IndexId, SecurityId};

impl Opening {
    /// Carries out one event.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Problem> {
        match event {
            Event::Split(x) | Event::ReverseSplit(x) => {
                self.exchange(&x.symbol, &quotient(x.to, x.from)?)
            }
            Event::Bonus(x) | Event::StockDividend(x) => {
                let after = Ratio::from(x.held).add(&x.new.into());
                let factor = after.divide(&x.held.into()).ok_or(Problem::Overflow)?;
                self.exchange(&x.symbol, &factor)
            }
            Event::Dividend(x) => self.dividend(x),
            Event::ReturnOfCapital(x) => self.return_of_capital(x),
            Event::Rights(x) => self.rights(x),
            Event::SpinOff(x) => self.spin_off(x),
            Event::Merger(x) => self.merger(x),
            Event::Delisting(x) => self.removal(x, false),
            Event::Bankruptcy(x) => self.removal(x, true),
            Event::ShareChange(x) => self.share_change(x),
            Event::FloatChange(x) => self.float_change(&x.symbol, x.float),
            Event::CapReset(x) => self.cap_reset(x),
            Event::SymbolChange(x) => self.symbol_change(x),
            Event::Redenomination(x) => self.redenomination(x),
            Event::Suspension(x) => self.suspend(&x.symbol, true),
            Event::Resumption(x) => self.suspend(&x.symbol, false),
            Event::Addition(x) => self.addition(x),
            Event::Deletion(x) => self.deletion(x),
            Event::Rebalance(x) => self.rebalance(x, 1),
        }
    }

    /// Runs `change` on the draft of every index that holds the security.
    fn each(
        &mut self,
        security: SecurityId,
        mut change: impl FnMut(&mut Self, IndexId, usize) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        for index in self.holders(security) {
            if let Some(at) = self.draft(index).place(security) {
                change(self, index, at)?;
            }
        }
        Ok(())
    }

    fn exchange(&mut self, symbol: &str, factor: &Ratio) -> Result<(), Problem> {
        let security = self.security(symbol)?;
        self.each(security, |day, index, at| {
            day.draft(index).exchange(at, factor)
        })?;
        if let Some(price) = self.price(security) {
            let after = price.divide(factor).ok_or(Problem::Overflow)?;
            self.set_price(security, after)?;
        }
        Ok(())
    }

    fn dividend(&mut self, dividend: &Dividend) -> Result<(), Problem> {
        let security = self.security(&dividend.symbol)?;
        let own = self.engine.securities[security.at()].definition.currency;
        let currency = dividend.currency.unwrap_or(own);
        let special = dividend.kind == DividendKind::Special;
        // The amount in the currency of the price, where a price has to fall by it.
        let amount = match special {
            true if currency != own => {
                Ratio::from(dividend.amount).multiply(&self.engine.plain_rate(currency, own)?)
            }
            _ => dividend.amount.into(),
        };
        self.each(security, |day, index, at| {
            let rule = day.rules(index).special_dividends.clone();
            let draft = day.draft(index);
            if !special || !rule.adjusts(&amount, draft.members[at].price.as_ref()) {
                day.pay(index, ExDividend::of(security, currency, dividend));
                return Ok(());
            }
            let less = rule.kept(&amount, dividend.tax);
            let before = draft.members[at].price.clone();
            draft.lower(at, &less)?;
            if rule.reinvest == Reinvest::Security {
                reinvest(draft, at, before.as_ref())?;
            }
            Ok(())
        })?;
        match self.price(security) {
            Some(price) if special => self.set_price(security, price.subtract(&amount)),
            _ => Ok(()),
        }
    }

    fn return_of_capital(&mut self, back: &ReturnOfCapital) -> Result<(), Problem> {
        let security = self.security(&back.symbol)?;
        let factor = quotient(back.to, back.from)?;
        let amount = Ratio::from(back.amount);
        self.each(security, |day, index, at| {
            let rule = day.rules(index).special_dividends.clone();
            let draft = day.draft(index);
            draft.lower(at, &rule.kept(&amount, back.tax))?;
            draft.exchange(at, &factor)
        })?;
        match self.price(security) {
            Some(price) => {
                let after = price.subtract(&amount).divide(&factor);
                self.set_price(security, after.ok_or(Problem::Overflow)?)
            }
            None => Ok(()),
        }
    }

    fn rights(&mut self, rights: &Rights) -> Result<(), Problem> {
        let security = self.security(&rights.symbol)?;
        let (held, new) = (Ratio::from(rights.held), Ratio::from(rights.new));
        let missed = rights.missed_dividend.unwrap_or(Decimal::ZERO);
        let cost = Ratio::from(rights.price).add(&missed.into());
        let Some(price) = self.price(security) else {
            return Ok(());
        };
        // Nobody subscribes above the market.
        if !price.subtract(&cost).is_positive() {
            return Ok(());
        }
        let after = held.add(&new);
        let theoretical = |price: &Ratio| {
            let paid = held.multiply(price).add(&new.multiply(&cost));
            paid.divide(&after).ok_or(Problem::Overflow)
        };
        let factor = after.divide(&held).ok_or(Problem::Overflow)?;
        self.each(security, |day, index, at| {
            let take = day.rules(index).rights.take;
            let draft = day.draft(index);
            if let Some(price) = draft.members[at].price.clone() {
                draft.reprice(at, &theoretical(&price)?)?;
            }
            let by_shares = !draft.weighting.follows_weights() && !draft.weighting.ignores_splits();
            if take == Take::Up && by_shares {
                draft.members[at].multiply(&factor, draft.cut)?;
            }
            Ok(())
        })?;
        self.set_price(security, theoretical(&price)?)
    }

    fn spin_off(&mut self, spin: &SpinOff) -> Result<(), Problem> {
        let parent = self.security(&spin.symbol)?;
        let child = self.engine.known_security(&spin.child).ok();
        let traded = child.and_then(|child| self.price(child));
        let estimate = spin.price.map(Ratio::from).or_else(|| traded.clone());
        let estimate = estimate.ok_or_else(|| Problem::NoPrice(spin.child.clone()))?;
        // What a parent's price falls by for one in the child's currency.
        let currency = |security: SecurityId| &self.engine.securities[security.at()].definition;
        let own = currency(parent).currency;
        let other = child.map_or(own, |child| currency(child).currency);
        let mut ratio = Ratio::from(spin.ratio);
        if other != own {
            ratio = ratio.multiply(&self.engine.plain_rate(other, own)?);
        }
        self.each(parent, |day, index, at| {
            let rule = day.rules(index).spin_offs.clone();
            let price = match (rule.price, child) {
                (ChildPrice::Placeholder, Some(child)) => day.smallest_price(child),
                _ => estimate.clone(),
            };
            let less = price.multiply(&ratio);
            match rule.child {
                Child::Drop => day.draft(index).lower(at, &less),
                Child::Keep => {
                    let child =
                        child.ok_or_else(|| Problem::UnknownSecurity(spin.child.clone()))?;
                    let rate = day.rate(index, child);
                    day.draft(index)
                        .adopt(at, child, spin, &less, (price, rate))
                }
            }
        })?;
        if let (Some(child), None) = (child, traded) {
            self.set_price(child, estimate.clone())?;
        }
        match self.price(parent) {
            Some(price) => self.set_price(parent, price.subtract(&estimate.multiply(&ratio))),
            None => Ok(()),
        }
    }

    fn merger(&mut self, merger: &Merger) -> Result<(), Problem> {
        let target = self.security(&merger.symbol)?;
        let acquirer = match &merger.acquirer {
            Some(symbol) => Some(self.security(symbol)?),
            None => None,
        };
        let offered = acquirer.zip(merger.ratio);
        self.each(target, |day, index, at| {
            let terms = day.rules(index).mergers.price == MergerPrice::Terms;
            if terms && (merger.cash.is_some() || offered.is_some()) {
                let cash = Ratio::from(merger.cash.unwrap_or(Decimal::ZERO));
                let of = |rate: Option<Ratio>| rate.ok_or(Problem::NoDivisor("level"));
                let mut worth = cash.multiply(&of(day.rate(index, target))?);
                if let Some((acquirer, ratio)) = offered {
                    let symbol = || merger.acquirer.clone().unwrap_or_default();
                    let price = day
                        .price(acquirer)
                        .ok_or_else(|| Problem::NoPrice(symbol()))?;
                    let paid = price.multiply(&ratio.into());
                    worth = worth.add(&paid.multiply(&of(day.rate(index, acquirer))?));
                }
                day.draft(index).recognise(at, &worth);
            }
            let draft = day.draft(index);
            let cut = draft.cut;
            let mut gone = draft.remove(at);
            let by_shares = !draft.weighting.follows_weights() && !draft.weighting.ignores_splits();
            if let Some((acquirer, ratio)) = offered.filter(|_| by_shares)
                && let Some(place) = draft.place(acquirer)
                && let (Some(shares), Some(own)) =
                    (gone.quantity().copied(), draft.members[place].quantity())
            {
                let more = Ratio::from(shares).multiply(&ratio.into());
                *own = decimal(&Ratio::from(*own).add(&more), cut)?;
            }
            Ok(())
        })
    }

    fn removal(&mut self, removal: &Removal, bankrupt: bool) -> Result<(), Problem> {
        let security = self.security(&removal.symbol)?;
        self.each(security, |day, index, at| {
            let rule = &day.rules(index).removals;
            let value = removal.price.or(if bankrupt {
                Some(rule.bankrupt.unwrap_or(Decimal::ZERO))
            } else {
                rule.delisted
            });
            let rate = day.rate(index, security);
            let draft = day.draft(index);
            if let (Some(value), Some(rate)) = (value, rate) {
                draft.recognise(at, &rate.multiply(&value.into()));
            }
            draft.remove(at);
            Ok(())
        })
    }

    fn share_change(&mut self, change: &ShareChange) -> Result<(), Problem> {
        let security = self.security(&change.symbol)?;
        self.shares(security, Some(change.shares), change.float)
    }

    fn float_change(&mut self, symbol: &str, float: Decimal) -> Result<(), Problem> {
        let security = self.security(symbol)?;
        self.shares(security, None, Some(float))
    }

    fn shares(
        &mut self,
        security: SecurityId,
        shares: Option<Decimal>,
        float: Option<Decimal>,
    ) -> Result<(), Problem> {
        self.each(security, |day, index, at| {
            let definition = day.engine.indexes[index.at()].definition.clone();
            let from = definition.actions.share_changes.from;
            let draft = day.draft(index);
            let stated = &mut draft.members[at].constituent;
            let Some(shares_before) = stated.shares else {
                return Ok(());
            };
            let product = |shares: Decimal, float: Option<Decimal>| {
                Ratio::from(shares).multiply(&float.unwrap_or(Decimal::ONE).into())
            };
            let (shares, float) = (shares.unwrap_or(shares_before), float.or(stated.float));
            let before = product(shares_before, stated.float);
            let mut moved = product(shares, float).subtract(&before);
            if !moved.is_positive() {
                moved = Ratio::zero().subtract(&moved);
            }
            let least = before.multiply(&from.unwrap_or(Decimal::ZERO).into());
            if least.subtract(&moved).is_positive() {
                return Ok(());
            }
            // A stated factor takes the place of one that follows from shares in firm hands.
            if float.is_some() {
                stated.strategic = None;
            }
            (stated.shares, stated.float) = (Some(shares), float);
            // Where units follow from weights they do so again at the next reset.
            if !draft.weighting.follows_weights() {
                draft.is_changed = true;
                let line = &mut draft.members[at];
                let units = crate::basket::units(&definition, &line.constituent)?;
                line.coefficient = line.coefficient.as_ref().map(|_| units.into());
            }
            Ok(())
        })
    }

    fn cap_reset(&mut self, reset: &CapReset) -> Result<(), Problem> {
        let index = self.engine.known_index(&reset.index)?;
        for cap in &reset.caps {
            let security = self.security(&cap.symbol)?;
            let draft = self.draft(index);
            let at = draft.place(security);
            let at = at.ok_or_else(|| Problem::NotInBasket(cap.symbol.clone()))?;
            draft.members[at].constituent.cap = Some(cap.cap);
        }
        let draft = self.draft(index);
        draft.is_changed = true;
        draft.restores = true;
        Ok(())
    }

    fn symbol_change(&mut self, change: &SymbolChange) -> Result<(), Problem> {
        let security = self.security(&change.symbol)?;
        if self.engine.security_once(&change.to).is_some() {
            return Err(Problem::NameTaken(change.to.clone()));
        }
        let before = self.engine.rename_security(security, &change.to);
        let renamed = |constituent: &mut crate::definition::Constituent| {
            if constituent.symbol == before {
                constituent.symbol.clone_from(&change.to);
            }
        };
        self.engine.rename_in_baskets(&before, &change.to);
        for draft in self.drafts.values_mut() {
            draft
                .members
                .iter_mut()
                .for_each(|line| renamed(&mut line.constituent));
        }
        Ok(())
    }

    fn redenomination(&mut self, change: &Redenomination) -> Result<(), Problem> {
        let security = self.security(&change.symbol)?;
        let factor = Ratio::from(change.rate);
        let old_rates: Vec<(IndexId, Option<Ratio>)> = self
            .holders(security)
            .into_iter()
            .map(|index| (index, self.rate(index, security)))
            .collect();
        // Drafts are opened under the old currency.
        for (index, _) in &old_rates {
            self.draft(*index);
        }
        self.engine
            .redenominate(security, change.currency, &factor)?;
        for (index, old) in old_rates {
            let new = self.rate(index, security);
            let draft = self.draft(index);
            let Some(at) = draft.place(security) else {
                continue;
            };
            let by_weight = draft.weighting.follows_weights();
            let line = &mut draft.members[at];
            line.price = line.price.as_ref().map(|price| price.multiply(&factor));
            line.rate.clone_from(&new);
            if let (true, Some(old), Some(new)) = (by_weight, old, new) {
                let kept = old
                    .divide(&new.multiply(&factor))
                    .ok_or(Problem::Overflow)?;
                line.grow(&kept);
            }
            draft.is_changed = true;
        }
        match self.price(security) {
            Some(price) => self.set_price(security, price.multiply(&factor)),
            None => Ok(()),
        }
    }

    fn suspend(&mut self, symbol: &str, suspended: bool) -> Result<(), Problem> {
        let security = self.security(symbol)?;
        self.engine.securities[security.at()].suspended = suspended;
        Ok(())
    }

    fn addition(&mut self, addition: &Addition) -> Result<(), Problem> {
        let index = self.engine.known_index(&addition.index)?;
        let line = self.line(index, &addition.member)?;
        let draft = self.draft(index);
        if draft.place(line.security).is_some() {
            return Err(Problem::TwiceInBasket(addition.member.symbol.clone()));
        }
        draft.members.push(line);
        draft.is_changed = true;
        draft.restores |= draft.weighting.follows_weights();
        Ok(())
    }

    fn deletion(&mut self, deletion: &Deletion) -> Result<(), Problem> {
        let index = self.engine.known_index(&deletion.index)?;
        let security = self.security(&deletion.symbol)?;
        let draft = self.draft(index);
        let at = draft.place(security);
        let at = at.ok_or_else(|| Problem::NotInBasket(deletion.symbol.clone()))?;
        draft.remove(at);
        Ok(())
    }

    /// Gives an index the basket of a review, or, with several days left, its part of today.
    pub(super) fn rebalance(&mut self, review: &Rebalance, left: u32) -> Result<(), Problem> {
        let index = self.engine.known_index(&review.index)?;
        if let Some(basket) = &review.basket {
            let mut lines = Vec::with_capacity(basket.len());
            for constituent in basket {
                lines.push(self.line(index, constituent)?);
            }
            let before = std::mem::replace(&mut self.draft(index).members, lines);
            self.draft(index).succeed(before, left > 1);
        }
        let mut reference = Vec::with_capacity(review.reference.len());
        for stated in &review.reference {
            let security = self.security(&stated.symbol)?;
            let mut price = Ratio::from(stated.price);
            if let (Some(then), Some(now)) = (stated.rate, self.rate(index, security)) {
                price = price
                    .multiply(&then.into())
                    .divide(&now)
                    .ok_or(Problem::Overflow)?;
            }
            reference.push((security, price));
        }
        let draft = self.draft(index);
        draft.reference = reference;
        draft.is_changed = true;
        draft.restores = true;
        if left > 1 {
            draft.blend = Ratio::new(1, left.into());
        }
        Ok(())
    }

    fn security(&self, symbol: &str) -> Result<SecurityId, Problem> {
        self.engine.known_security(symbol)
    }

    /// A new member with the price that all see.
    fn line(
        &mut self,
        index: IndexId,
        constituent: &crate::definition::Constituent,
    ) -> Result<Line, Problem> {
        let security = self.security(&constituent.symbol)?;
        let known = self.draft(index).place(security);
        // Who stays is still seen at the price that the index sees.
        let price = match known {
            Some(at) => self.draft(index).members[at].price.clone(),
            None => self.price(security),
        };
        let mut constituent = constituent.clone();
        constituent
            .symbol
            .clone_from(&self.engine.securities[security.at()].definition.symbol);
        Ok(Line {
            security,
            constituent,
            price,
            rate: self.rate(index, security),
            coefficient: None,
            leaves: false,
        })
    }
}

impl Draft {
    /// New members take over what those before them had; the others go, at once or by and by.
    fn succeed(&mut self, before: Vec<Line>, by_and_by: bool) {
        for old in before {
            match self.place(old.security) {
                Some(at) => self.members[at].coefficient = old.coefficient,
                None if by_and_by => self.members.push(Line {
                    leaves: true,
                    ..old
                }),
                None => {}
            }
        }
    }

    /// A child joins beside its parent, whose price falls by `less`, what the child is worth.
    fn adopt(
        &mut self,
        at: usize,
        child: SecurityId,
        spin: &SpinOff,
        less: &Ratio,
        (price, rate): (Ratio, Option<Ratio>),
    ) -> Result<(), Problem> {
        if self.place(child).is_some() {
            return Err(Problem::TwiceInBasket(spin.child.clone()));
        }
        let ratio = Ratio::from(spin.ratio);
        let mut line = self.members[at].clone();
        line.security = child;
        line.constituent.symbol.clone_from(&spin.child);
        line.constituent.price = None;
        // A price-weighted parent counts one unit where none are stated.
        if line.constituent.shares.is_none() && self.weighting.ignores_splits() {
            line.constituent.units.get_or_insert(Decimal::ONE);
        }
        line.multiply(&ratio, self.cut)?;
        let parent = &mut self.members[at];
        if let Some(before) = parent.price.clone() {
            let after = before.subtract(less);
            let share = after.divide(&before).filter(Ratio::is_positive);
            let share = share.ok_or_else(|| Problem::AdjustedPrice(spin.symbol.clone()))?;
            parent.price = Some(after);
            // The child inherits its part of a stated weight.
            if let Some(weight) = parent.constituent.weight {
                let kept = decimal(&Ratio::from(weight).multiply(&share), self.cut)?;
                let rest = Ratio::from(weight).subtract(&kept.into());
                parent.constituent.weight = Some(kept);
                line.constituent.weight = Some(decimal(&rest, self.cut)?);
            }
        }
        (line.price, line.rate) = (Some(price), rate);
        self.members.push(line);
        self.is_changed = true;
        Ok(())
    }
}

impl SpecialDividends {
    /// True where the index takes the dividend out of the price.
    fn adjusts(&self, amount: &Ratio, price: Option<&Ratio>) -> bool {
        match (self.adjust, price) {
            (Adjust::Always, _) => true,
            (Adjust::Never, _) | (Adjust::Above, None) => false,
            (Adjust::Above, Some(price)) => {
                let least = price.multiply(&self.share.unwrap_or(Decimal::ZERO).into());
                !least.subtract(amount).is_positive()
            }
        }
    }

    /// What the price falls by.
    fn kept(&self, amount: &Ratio, tax: Option<Decimal>) -> Ratio {
        let tax = tax
            .or(self.tax)
            .filter(|_| self.net)
            .unwrap_or(Decimal::ZERO);
        amount.multiply(&Ratio::from(Decimal::ONE).subtract(&tax.into()))
    }
}

/// Units of the payer grow by what its price has lost.
fn reinvest(draft: &mut Draft, at: usize, before: Option<&Ratio>) -> Result<(), Problem> {
    let after = draft.members[at].price.clone();
    let by_shares = !draft.weighting.follows_weights() && !draft.weighting.ignores_splits();
    if let (true, Some(before), Some(after)) = (by_shares, before, after) {
        let factor = before.divide(&after).ok_or(Problem::Overflow)?;
        draft.members[at].multiply(&factor, draft.cut)?;
    }
    Ok(())
}

fn quotient(a: Decimal, b: Decimal) -> Result<Ratio, Problem> {
    Ratio::from(a).divide(&b.into()).ok_or(Problem::Overflow)
}
