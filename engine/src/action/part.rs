//! One security becomes two: rights and spin-offs (METHODOLOGY §1.6).

use super::draft::{Draft, Line, decimal};
use super::opening::{ExDividend, Opening};
use crate::definition::action::{Rights, SpinOff};
use crate::definition::{ActionDefinition, Child, ChildPrice, Dilutive, Leaves, RightsRule, Take};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::{Decimal, IndexId, SecurityId};

impl Opening {
    pub(super) fn rights(
        &mut self,
        rights: &Rights,
        action: &ActionDefinition,
    ) -> Result<(), Problem> {
        let security = self.security(&rights.symbol)?;
        let terms = Terms::of(rights);
        let Some(price) = self.price(security).filter(|price| terms.pay(price)) else {
            return Ok(());
        };
        let line = rights.line.as_deref().map(|line| self.security(line));
        let line = line.transpose()?;
        // What a right is worth in its own currency, for one in that of the share.
        let rate = match line {
            Some(line) => self.engine.currency_rate(security, line)?,
            None => Ratio::one(),
        };
        self.each(security, |day, index, at| {
            let rule = day.rules(index).rights.clone();
            let draft = day.draft(index);
            let before = draft.members[at].price.clone();
            let before = before.unwrap_or_else(|| price.clone());
            let after = terms.theoretical(&before)?;
            let by_shares = draft.weighting.counts_shares();
            match rule.taken(rights) {
                Take::Line => {
                    let line = line.ok_or(Problem::Terms("line", LINE))?;
                    let less = before.subtract(&after);
                    let joiner = Joiner {
                        security: line,
                        symbol: rights.line.as_deref().unwrap_or_default(),
                        ratio: Ratio::one(),
                        price: less.multiply(&rate),
                        rate: day.rate(index, line),
                        less,
                    };
                    day.join(index, at, joiner, rule.leaves.as_ref(), action)
                }
                Take::Up if by_shares => {
                    draft.reprice(at, &after)?;
                    draft.multiply(at, &terms.growth()?)
                }
                Take::Up | Take::Sold => draft.reprice(at, &after),
            }
        })?;
        let after = terms.theoretical(&price)?;
        if let Some(line) = line.filter(|line| self.price(*line).is_none()) {
            self.set_price(line, price.subtract(&after).multiply(&rate))?;
        }
        self.set_price(security, after)
    }

    pub(super) fn spin_off(
        &mut self,
        spin: &SpinOff,
        action: &ActionDefinition,
    ) -> Result<(), Problem> {
        let parent = self.security(&spin.symbol)?;
        let child = self.engine.known_security(&spin.child).ok();
        let traded = child.and_then(|child| self.price(child));
        let smallest = child.map(|child| self.smallest_price(child));
        let estimate = spin.price.map(Ratio::from).or_else(|| traded.clone());
        // What a parent's price falls by for one in the child's currency.
        let mut ratio = Ratio::from(spin.ratio);
        if let Some(child) = child {
            ratio = ratio.multiply(&self.engine.currency_rate(child, parent)?);
        }
        // A child that is no known security has no market and no places: the stated price counts.
        let worth = |price: ChildPrice| {
            let known = match price {
                ChildPrice::Placeholder => smallest.as_ref().or(estimate.as_ref()),
                ChildPrice::WhenIssued => {
                    traded.as_ref().or(smallest.as_ref()).or(estimate.as_ref())
                }
                ChildPrice::Estimate => estimate.as_ref(),
            };
            known.ok_or_else(|| Problem::NoPrice(spin.child.clone()))
        };
        self.each(parent, |day, index, at| {
            let rule = day.rules(index).spin_offs.clone();
            // An index that holds it already sees it at its own price.
            let held = child.and_then(|child| day.draft(index).price_of(child));
            let price = match held {
                Some(price) => price,
                None => worth(rule.price)?.clone(),
            };
            let less = price.multiply(&ratio);
            match rule.child {
                Child::Drop => day.draft(index).lower(at, &less),
                Child::Paid => day.pay_value(index, parent, &less),
                Child::Keep => {
                    let child =
                        child.ok_or_else(|| Problem::UnknownSecurity(spin.child.clone()))?;
                    let joiner = Joiner {
                        security: child,
                        symbol: &spin.child,
                        ratio: spin.ratio.into(),
                        rate: day.rate(index, child),
                        price,
                        less,
                    };
                    day.join(index, at, joiner, rule.leaves.as_ref(), action)
                }
            }
        })?;
        // What everybody sees of both, where nobody states it: the smallest price, until it trades.
        let seen = estimate.or(smallest);
        let seen = seen.ok_or_else(|| Problem::NoPrice(spin.child.clone()))?;
        if let (Some(child), None) = (child, traded) {
            self.set_price(child, seen.clone())?;
        }
        match self.price(parent) {
            Some(price) => self.set_price(parent, price.subtract(&seen.multiply(&ratio))),
            None => Ok(()),
        }
    }

    /// Lets a security join beside the member at a place, and leave again by the rule.
    fn join(
        &mut self,
        index: IndexId,
        at: usize,
        joiner: Joiner<'_>,
        leaves: Option<&Leaves>,
        action: &ActionDefinition,
    ) -> Result<(), Problem> {
        let (child, draft) = (joiner.security, self.draft(index));
        let parent = draft.members[at].security;
        let is_there = draft.place(child).is_some();
        draft.adopt(at, joiner)?;
        // One that was a member before stays one.
        leaves.filter(|_| !is_there).map_or(Ok(()), |rule| {
            self.leave(index, child, parent, (rule, action))
        })
    }

    /// What an index does not take out of a price counts as a dividend of so much.
    fn pay_value(
        &mut self,
        index: IndexId,
        payer: SecurityId,
        value: &Ratio,
    ) -> Result<(), Problem> {
        let cut = self.engine.indexes[index.at()]
            .definition
            .rounding
            .coefficient;
        let currency = self.engine.securities[payer.at()].definition.currency;
        let dividend = ExDividend {
            security: payer,
            amount: decimal(value, cut)?,
            currency,
            special: true,
            country: None,
            payer: None,
            tax: None,
            points: None,
        };
        self.draft(index);
        self.pay(index, dividend);
        Ok(())
    }
}

/// What a rule that makes members of rights asks of the action.
pub(super) const LINE: &str = "stated where an index keeps the rights as a member";

/// What rights are worth.
struct Terms {
    held: Ratio,
    new: Ratio,
    /// The price of a new share, and the dividend that it misses.
    cost: Ratio,
}

impl Terms {
    fn of(rights: &Rights) -> Self {
        let missed = rights.missed_dividend.unwrap_or(Decimal::ZERO);
        Self {
            held: rights.held.into(),
            new: rights.new.into(),
            cost: Ratio::from(rights.price).add(&missed.into()),
        }
    }

    /// Nobody subscribes above the market.
    fn pay(&self, price: &Ratio) -> bool {
        price.subtract(&self.cost).is_positive()
    }

    /// The theoretical price without the right.
    fn theoretical(&self, price: &Ratio) -> Result<Ratio, Problem> {
        let paid = self
            .held
            .multiply(price)
            .add(&self.new.multiply(&self.cost));
        let shares = self.held.add(&self.new);
        paid.divide(&shares).ok_or(Problem::Overflow)
    }

    /// Shares afterwards for one before.
    fn growth(&self) -> Result<Ratio, Problem> {
        let shares = self.held.add(&self.new);
        shares.divide(&self.held).ok_or(Problem::Overflow)
    }
}

/// A security that joins an index beside one that it came from.
struct Joiner<'a> {
    security: SecurityId,
    symbol: &'a str,
    /// So many for one of the other.
    ratio: Ratio,
    price: Ratio,
    /// Index currency for one of the price's.
    rate: Option<Ratio>,
    /// What the price of the other falls by.
    less: Ratio,
}

impl Draft {
    /// A child joins beside its parent, whose price falls by what the child is worth; one that is
    /// a member already becomes a larger one.
    fn adopt(&mut self, at: usize, child: Joiner<'_>) -> Result<(), Problem> {
        let mut line = self.members[at].clone();
        line.security = child.security;
        line.constituent.symbol = child.symbol.to_owned();
        line.constituent.price = None;
        // Nobody has measured it yet: weights of least variance wait for a review that states it.
        line.constituent.covariances.clear();
        // A price-weighted parent counts one unit where none are stated.
        if line.constituent.shares.is_none() && self.weighting.ignores_splits() {
            line.constituent.units.get_or_insert(Decimal::ONE);
        }
        line.multiply(&child.ratio, self.cut)?;
        let parent = &mut self.members[at];
        if let Some(before) = parent.price.clone() {
            let after = before.subtract(&child.less);
            let share = after.divide(&before).filter(Ratio::is_positive);
            let share =
                share.ok_or_else(|| Problem::AdjustedPrice(parent.constituent.symbol.clone()))?;
            parent.price = Some(after);
            // The child inherits its part of a stated weight.
            if let Some(weight) = parent.constituent.weight {
                let kept = decimal(&Ratio::from(weight).multiply(&share), self.cut)?;
                let rest = Ratio::from(weight).subtract(&kept.into());
                parent.constituent.weight = Some(kept);
                line.constituent.weight = Some(decimal(&rest, self.cut)?);
            }
        }
        (line.price, line.rate) = (Some(child.price), child.rate);
        self.is_changed = true;
        match self.place(child.security) {
            Some(there) => self.enlarge(there, line),
            None => {
                self.members.push(line);
                Ok(())
            }
        }
    }

    /// Adds what comes to a member that is there: its shares grow as its units do, whatever part of
    /// them its factors count, and its stated weight by the weight that comes with them.
    fn enlarge(&mut self, there: usize, mut more: Line) -> Result<(), Problem> {
        let by_one = self.weighting.ignores_splits();
        let own = &mut self.members[there];
        if by_one && own.constituent.shares.is_none() {
            own.constituent.units.get_or_insert(Decimal::ONE);
        }
        let stated = own.quantity().copied().zip(more.quantity().copied());
        let stated = stated.map(|(own, more)| (own.into(), more.into()));
        let units = own.coefficient.clone().zip(more.coefficient);
        if let Some((own_units, more_units)) = units.or(stated) {
            let factor: Ratio = own_units.add(&more_units);
            let factor = factor.divide(&own_units).ok_or(Problem::Overflow)?;
            if self.weighting.follows_weights() {
                self.members[there].grow(&factor);
            } else {
                self.multiply(there, &factor)?;
            }
        }
        let stated = &mut self.members[there].constituent.weight;
        if let (Some(weight), Some(more)) = (stated.as_mut(), more.constituent.weight) {
            *weight = decimal(&Ratio::from(*weight).add(&more.into()), self.cut)?;
        }
        Ok(())
    }

    /// The price of a member as the index sees it.
    fn price_of(&self, security: SecurityId) -> Option<Ratio> {
        let place = self.place(security)?;
        self.members[place].price.clone()
    }
}

impl RightsRule {
    /// What becomes of rights.
    pub(super) fn taken(&self, rights: &Rights) -> Take {
        let dilutes = |rule: &&Dilutive| {
            let least = Ratio::from(rights.held).multiply(&rule.from.into());
            !least.subtract(&rights.new.into()).is_positive()
        };
        let rule = self.dilutive.as_ref().filter(dilutes);
        rule.map_or(self.take, |rule| rule.take)
    }
}
