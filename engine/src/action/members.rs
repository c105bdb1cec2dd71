//! Who leaves an index and who joins it: takeovers, removals, additions and reviews (METHODOLOGY
//! §1.6 and §1.7).

use std::collections::BTreeMap;

use super::draft::{Draft, Line, decimal};
use super::opening::Opening;
use crate::definition::action::{Addition, Deletion, Merger, Rebalance, Removal};
use crate::definition::{Constituent, MergerPrice};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::{Decimal, IndexId, SecurityId};

impl Opening {
    pub(super) fn merger(&mut self, merger: &Merger) -> Result<(), Problem> {
        let target = self.security(&merger.symbol)?;
        let acquirer = match &merger.acquirer {
            Some(symbol) => Some(self.security(symbol)?),
            None => None,
        };
        let offered = acquirer.zip(merger.ratio);
        self.each(target, |day, index, at| {
            if day.draft(index).is_single() {
                return Ok(());
            }
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
            let by_shares = draft.weighting.counts_shares();
            if let Some((acquirer, ratio)) = offered.filter(|_| by_shares)
                && let Some(place) = draft.place(acquirer)
                && let (Some(shares), Some(own)) =
                    (gone.quantity().copied(), draft.members[place].quantity())
            {
                let more = Ratio::from(shares).multiply(&ratio.into());
                let grown = Ratio::from(*own).add(&more);
                let factor = grown.divide(&Ratio::from(*own)).ok_or(Problem::Overflow)?;
                *own = decimal(&grown, cut)?;
                let line = &mut draft.members[place];
                line.grow(&factor);
                line.taken_over = line.taken_over.multiply(&factor);
                // So does a number that waits for the next review.
                if let Some(waits) = draft.deferred.get_mut(&acquirer) {
                    waits.shares = decimal(&Ratio::from(waits.shares).add(&more), cut)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn removal(&mut self, removal: &Removal, bankrupt: bool) -> Result<(), Problem> {
        let security = self.security(&removal.symbol)?;
        self.each(security, |day, index, at| {
            if day.draft(index).is_single() {
                return Ok(());
            }
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

    pub(super) fn addition(&mut self, addition: &Addition) -> Result<(), Problem> {
        let index = self.engine.known_index(&addition.index)?;
        let mut line = self.line(index, &addition.member)?;
        let draft = self.draft(index);
        if draft.place(line.security).is_some() {
            return Err(Problem::TwiceInBasket(addition.member.symbol.clone()));
        }
        let follows_weights = draft.weighting.follows_weights();
        if let Some(symbol) = &addition.replaces {
            let replaced = self.member(symbol)?;
            let draft = self.draft(index);
            let former = draft.former(replaced);
            let former = former.ok_or_else(|| Problem::NotInBasket(symbol.clone()))?;
            let former = former.clone();
            if let Some(at) = draft.place(replaced) {
                draft.remove(at);
            }
            if follows_weights {
                line.succeed(&former)?;
            }
        } else {
            self.draft(index).restores |= follows_weights;
        }
        let draft = self.draft(index);
        draft.members.push(line);
        draft.is_changed = true;
        Ok(())
    }

    pub(super) fn deletion(&mut self, deletion: &Deletion) -> Result<(), Problem> {
        let index = self.engine.known_index(&deletion.index)?;
        let security = self.member(&deletion.symbol)?;
        if deletion.untraded && self.engine.securities[security.at()].origin.is_some() {
            return Ok(());
        }
        let heir = deletion.proceeds.as_deref().map(|heir| self.member(heir));
        let heir = heir.transpose()?;
        let draft = self.draft(index);
        let at = draft.place(security);
        let at = at.ok_or_else(|| Problem::NotInBasket(deletion.symbol.clone()))?;
        let gone = draft.remove(at);
        // An heir that is no member any more leaves the value to the whole index.
        match heir.and_then(|heir| draft.place(heir)) {
            Some(heir) => draft.endow(heir, &gone),
            None => Ok(()),
        }
    }

    /// Gives an index the basket of a review, or, with several days left, its part of today. Its
    /// reference prices are of when it was announced; `moved` says what actions have done to them
    /// since.
    pub(super) fn rebalance(
        &mut self,
        review: &Rebalance,
        left: u32,
        (moved, recoined): (&BTreeMap<SecurityId, Ratio>, &BTreeMap<SecurityId, Ratio>),
    ) -> Result<(), Problem> {
        let index = self.engine.known_index(&review.index)?;
        if let Some(basket) = &review.basket {
            let mut lines = Vec::with_capacity(basket.len());
            for constituent in basket {
                lines.push(self.line(index, constituent)?);
            }
            let draft = self.draft(index);
            let before = std::mem::replace(&mut draft.members, lines);
            draft.succeed(before, left > 1);
            draft.deferred.clear();
        } else if left == 1 {
            let definition = self.engine.indexes[index.at()].definition.clone();
            let draft = self.draft(index);
            for (security, change) in std::mem::take(&mut draft.deferred) {
                if let Some(at) = draft.place(security) {
                    draft.restate(at, change, &definition)?;
                }
            }
        }
        let mut reference = Vec::with_capacity(review.reference.len());
        for stated in &review.reference {
            let security = self.member(&stated.symbol)?;
            let mut price = Ratio::from(stated.price);
            for factor in [moved.get(&security).cloned(), self.moved(security)] {
                price = factor.map_or(price.clone(), |factor| price.multiply(&factor));
            }
            if let (Some(then), Some(now)) = (stated.rate, self.rate(index, security)) {
                // The rate of then is one of the currency of then.
                let mut now = now;
                for factor in [recoined.get(&security), self.recoined.get(&security)]
                    .into_iter()
                    .flatten()
                {
                    now = now.multiply(factor);
                }
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

    /// A new member with the price that all see.
    fn line(&mut self, index: IndexId, constituent: &Constituent) -> Result<Line, Problem> {
        let security = self.member(&constituent.symbol)?;
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
            worth: None,
            taken_over: Ratio::one(),
            leaves: false,
        })
    }
}

impl Line {
    /// Takes over the weight of a member that leaves.
    fn succeed(&mut self, former: &Self) -> Result<(), Problem> {
        let Some(value) = former.value() else {
            return Ok(());
        };
        let each = self.price.as_ref().zip(self.rate.as_ref());
        let each = each.map(|(price, rate)| price.multiply(rate));
        let units = each.and_then(|each| value.divide(&each));
        let symbol = || self.constituent.symbol.clone();
        self.coefficient = Some(units.ok_or_else(|| Problem::NoPrice(symbol()))?);
        self.constituent.weight = former.constituent.weight;
        Ok(())
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
}
