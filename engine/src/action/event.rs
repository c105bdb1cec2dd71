//! What each kind of action does to prices, shares, factors and members (METHODOLOGY §1.6).

use std::collections::BTreeMap;

use super::draft::Draft;
use super::opening::{ExDividend, Opening};
use crate::definition::action::{
    CapReset, Dividend, DividendKind, Redenomination, ReturnOfCapital, SymbolChange,
};
use crate::definition::{ActionDefinition, Adjust, Event, Reinvest, SpecialDividends};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::{Decimal, IndexId, SecurityId};

impl Opening {
    /// Carries out the event of an action.
    pub(super) fn event(&mut self, action: &ActionDefinition) -> Result<(), Problem> {
        match &action.event {
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
            Event::Rights(x) => self.rights(x, action),
            Event::SpinOff(x) => self.spin_off(x, action),
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
            Event::Rebalance(x) => self.rebalance(x, 1, (&BTreeMap::new(), &BTreeMap::new())),
        }
    }

    /// Runs `change` on the draft of every index that holds the security and has come to its base
    /// date.
    pub(super) fn each(
        &mut self,
        security: SecurityId,
        mut change: impl FnMut(&mut Self, IndexId, usize) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        for index in self.based_holders(security) {
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
        if !special {
            self.pay_all(&ExDividend::of(security, currency, dividend));
            return Ok(());
        }
        // The amount in the currency of the price, where a price has to fall by it.
        let mut amount = Ratio::from(dividend.amount);
        if currency != own {
            amount = amount.multiply(&self.engine.plain_rate(currency, own)?);
        }
        self.each(security, |day, index, at| {
            let rule = day.rules(index).special_dividends.clone();
            let draft = day.draft(index);
            let in_row = dividend.occurrence.unwrap_or(1);
            let counts = rule.first.is_none_or(|first| in_row <= first);
            if !counts || !rule.adjusts(&amount, draft.members[at].price.as_ref()) {
                day.pay(index, ExDividend::of(security, currency, dividend));
                return Ok(());
            }
            let less = rule.kept(&amount, dividend.tax);
            let withheld = rule.withheld(dividend.tax);
            let before = draft.members[at].price.clone();
            draft.lower(at, &less)?;
            if rule.reinvest == Reinvest::Security {
                reinvest(draft, at, before.as_ref())?;
            }
            let of = ExDividend::of(security, currency, dividend);
            day.pay_withheld(index, &Ratio::from(dividend.amount), withheld, of)
        })?;
        match self.price(security) {
            Some(price) => self.set_price(security, price.subtract(&amount)),
            None => Ok(()),
        }
    }

    fn return_of_capital(&mut self, back: &ReturnOfCapital) -> Result<(), Problem> {
        let security = self.security(&back.symbol)?;
        let factor = quotient(back.to, back.from)?;
        let amount = Ratio::from(back.amount);
        let own = self.engine.securities[security.at()].definition.currency;
        self.each(security, |day, index, at| {
            let rule = day.rules(index).special_dividends.clone();
            let draft = day.draft(index);
            draft.lower(at, &rule.kept(&amount, back.tax))?;
            draft.exchange(at, &factor)?;
            let each = amount.divide(&factor).ok_or(Problem::Overflow)?;
            let of = ExDividend::capital(security, own, back);
            day.pay_withheld(index, &each, rule.withheld(back.tax), of)
        })?;
        match self.price(security) {
            Some(price) => {
                let after = price.subtract(&amount).divide(&factor);
                self.set_price(security, after.ok_or(Problem::Overflow)?)
            }
            None => Ok(()),
        }
    }

    fn cap_reset(&mut self, reset: &CapReset) -> Result<(), Problem> {
        let index = self.engine.known_index(&reset.index)?;
        for cap in &reset.caps {
            let security = self.member(&cap.symbol)?;
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
        let makes_a_rate = |(index, _): &(IndexId, Option<Ratio>)| {
            let state = &self.engine.indexes[index.at()];
            state.fixing.is_some() && state.definition.currency != change.currency
        };
        if old_rates.iter().any(makes_a_rate) {
            return Err(Problem::Rule(
                "a reference rate is made of this security, in its old currency",
            ));
        }
        // Drafts are opened under the old currency.
        for (index, _) in &old_rates {
            self.draft(*index);
        }
        self.engine
            .redenominate(security, change.currency, &factor)?;
        let recoined = self.recoined.entry(security).or_insert_with(Ratio::one);
        *recoined = recoined.multiply(&factor);
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

    pub(super) fn security(&self, symbol: &str) -> Result<SecurityId, Problem> {
        self.engine.known_security(symbol)
    }

    /// A security, or the hidden one of an index that an index holds or is to hold.
    pub(super) fn member(&mut self, symbol: &str) -> Result<SecurityId, Problem> {
        self.engine.ensure_component(symbol)?;
        let component = self.engine.security_id(symbol);
        component.map_or_else(|| self.engine.known_security(symbol), Ok)
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

    /// The part that the price does not fall by.
    fn withheld(&self, tax: Option<Decimal>) -> Decimal {
        tax.or(self.tax)
            .filter(|_| self.net)
            .unwrap_or(Decimal::ZERO)
    }

    /// What the price falls by.
    fn kept(&self, amount: &Ratio, tax: Option<Decimal>) -> Ratio {
        amount.multiply(&Ratio::one().subtract(&self.withheld(tax).into()))
    }
}

/// Units of the payer grow by what its price has lost.
fn reinvest(draft: &mut Draft, at: usize, before: Option<&Ratio>) -> Result<(), Problem> {
    let after = draft.members[at].price.clone();
    let by_shares = draft.weighting.counts_shares();
    if let (true, Some(before), Some(after)) = (by_shares, before, after) {
        let factor = before.divide(&after).ok_or(Problem::Overflow)?;
        draft.multiply(at, &factor)?;
    }
    Ok(())
}

fn quotient(a: Decimal, b: Decimal) -> Result<Ratio, Problem> {
    Ratio::from(a).divide(&b.into()).ok_or(Problem::Overflow)
}
