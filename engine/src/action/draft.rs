//! An index on its way through the actions of a day: its members with the prices and coefficients
//! that each action leaves, exact until all are done.

use std::collections::BTreeMap;

use crate::definition::{Constituent, Cut, Weighting};
use crate::exact::Ratio;
use crate::index::{Deferred, Index};
use crate::problem::Problem;
use crate::security::Security;
use crate::{Decimal, SecurityId};

/// An index between its last level and the divisor that keeps it.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) members: Vec<Line>,
    pub(super) weighting: Weighting,
    /// What the basket is worth that the level must be kept of; none without a level.
    pub(super) value: Option<Ratio>,
    /// The level of a geometric index, whose value is no sum.
    pub(super) level: Option<Ratio>,
    /// It gets a new revision.
    pub(super) is_changed: bool,
    /// How stated quantities are cut that follow from a division.
    pub(super) cut: Cut,
    /// How levels are cut that are carried.
    carried: Cut,
    /// Its target weights are restored.
    pub(super) restores: bool,
    /// Prices by which restored weights become units, in the index currency at today's rates.
    pub(super) reference: Vec<(SecurityId, Ratio)>,
    /// The part of the way that a review over several days goes today.
    pub(super) blend: Option<Ratio>,
    /// The constant part of the sum, where it changes.
    pub(super) cash: Option<Ratio>,
    /// Changes of shares that wait for the next review.
    pub(super) deferred: BTreeMap<SecurityId, Deferred>,
    /// Members that have left today.
    gone: Vec<Line>,
    /// The cash at first.
    held_cash: Ratio,
    /// What takeovers and removals do to the level, once one has come.
    leaving: Option<Leaving>,
}

/// Gains and losses of members that leave: a part of what the basket is worth after all actions that
/// come before, the same in whichever order they leave.
#[derive(Debug, Clone)]
struct Leaving {
    /// [`Draft::value`] before the first of them.
    value: Ratio,
    /// What the members were worth then.
    worth: Ratio,
    /// What they turn out to be worth more.
    gain: Ratio,
}

/// One member.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) security: SecurityId,
    pub(super) constituent: Constituent,
    /// The last price as this index sees it; none before the first.
    pub(super) price: Option<Ratio>,
    /// Index currency for one of the price's.
    pub(super) rate: Option<Ratio>,
    /// In force; none while the index waits.
    pub(super) coefficient: Option<Ratio>,
    /// What a share turned out to be worth, in the index currency, where not its price.
    pub(super) worth: Option<Ratio>,
    /// How far takeovers of today have grown the coefficient, which is not what members that leave
    /// are measured by.
    pub(super) taken_over: Ratio,
    /// On its way out of the index, with the review that takes several days.
    pub(super) leaves: bool,
}

impl Draft {
    pub(super) fn of(index: &Index, securities: &[Security]) -> Self {
        let basket = &index.basket;
        let line = |at: usize| {
            let holding = &basket.holdings[at];
            Line {
                security: holding.security,
                constituent: index.definition.basket[at].clone(),
                price: holding.price(securities).map(Ratio::from),
                rate: basket.rates[basket.slots[at]].map(Ratio::from),
                coefficient: basket.coefficients.get(at).copied().map(Ratio::from),
                worth: None,
                taken_over: Ratio::one(),
                leaves: false,
            }
        };
        let value = index
            .is_complete()
            .then(|| basket.market_value(&basket.sums(securities)))
            .flatten();
        Self {
            members: (0..basket.holdings.len()).map(line).collect(),
            weighting: index.definition.weighting,
            value,
            level: index
                .product_level(securities, index.definition.rounding.carried)
                .map(Ratio::from),
            is_changed: false,
            cut: index.definition.rounding.coefficient,
            carried: index.definition.rounding.carried,
            restores: false,
            reference: Vec::new(),
            blend: None,
            cash: None,
            deferred: index.deferred.clone(),
            gone: Vec::new(),
            held_cash: Ratio::scaled(basket.cash, basket.scale),
            leaving: None,
        }
    }

    /// What the members are worth at the prices and coefficients that the actions so far leave.
    fn worth(&self) -> Ratio {
        let values = self.members.iter().filter_map(Line::value);
        values.fold(self.held_cash.clone(), |sum, value| sum.add(&value))
    }

    /// What members that leave are measured by; none without a level.
    fn leaving(&mut self) -> Option<&mut Leaving> {
        if self.leaving.is_none() {
            let value = self.value.clone()?;
            self.leaving = Some(Leaving {
                value,
                worth: self.worth(),
                gain: Ratio::zero(),
            });
        }
        self.leaving.as_mut()
    }

    /// An index cannot be empty: its only member stays, at its last price, whatever becomes of the
    /// security.
    pub(super) const fn is_single(&self) -> bool {
        self.members.len() == 1
    }

    pub(super) fn place(&self, security: SecurityId) -> Option<usize> {
        self.members
            .iter()
            .position(|line| line.security == security)
    }

    /// A share becomes `factor` shares, each worth so much less.
    pub(super) fn exchange(&mut self, at: usize, factor: &Ratio) -> Result<(), Problem> {
        let line = &mut self.members[at];
        if let Some(price) = &line.price {
            line.price = price.divide(factor);
        }
        self.is_changed = true;
        if self.weighting.follows_weights() {
            self.members[at].grow(factor);
            Ok(())
        } else if self.weighting.ignores_splits() {
            Ok(())
        } else {
            self.multiply(at, factor)
        }
    }

    /// A member has `factor` times the shares, also those of a change that waits.
    pub(super) fn multiply(&mut self, at: usize, factor: &Ratio) -> Result<(), Problem> {
        let line = &mut self.members[at];
        if let Some(deferred) = self.deferred.get_mut(&line.security) {
            let shares = Ratio::from(deferred.shares).multiply(factor);
            deferred.shares = decimal(&shares, self.cut)?;
        }
        line.multiply(factor, self.cut)
    }

    /// The price falls by `less` without a trade; a member of target weights keeps its weight:
    /// what the price loses its units gain.
    pub(super) fn lower(&mut self, at: usize, less: &Ratio) -> Result<(), Problem> {
        let Some(before) = self.members[at].price.clone() else {
            return Ok(());
        };
        self.reprice(at, &before.subtract(less))
    }

    /// As [`Self::lower`], to a price.
    pub(super) fn reprice(&mut self, at: usize, price: &Ratio) -> Result<(), Problem> {
        let line = &mut self.members[at];
        let Some(before) = line.price.clone() else {
            return Ok(());
        };
        let factor = before.divide(price).filter(Ratio::is_positive);
        let factor =
            factor.ok_or_else(|| Problem::AdjustedPrice(line.constituent.symbol.clone()))?;
        line.price = Some(price.clone());
        if self.weighting.follows_weights() {
            line.grow(&factor);
        }
        self.is_changed = true;
        Ok(())
    }

    /// The level takes up that a member is worth `worth` in the index currency for each share,
    /// where it was its last price.
    pub(super) fn recognise(&mut self, at: usize, worth: &Ratio) {
        let line = &self.members[at];
        let parts = (&line.price, &line.rate, &line.coefficient);
        let (Some(price), Some(rate), Some(coefficient)) = parts else {
            return;
        };
        let Some(coefficient) = coefficient.divide(&line.taken_over) else {
            return;
        };
        let more = worth.subtract(&price.multiply(rate)).multiply(&coefficient);
        if let Some(leaving) = self.leaving() {
            leaving.gain = leaving.gain.add(&more);
            let grown = leaving.worth.add(&leaving.gain).divide(&leaving.worth);
            self.value = grown.map(|grown| leaving.value.multiply(&grown));
        }
        self.recognise_in_product(at, worth);
        // Only now: what the basket was worth before has been taken at prices.
        self.members[at].worth = Some(worth.clone());
        self.is_changed = true;
    }

    /// The same of a geometric index: its level moves with the relative to the member's exponent. A
    /// worth of nothing would end it; there the member leaves at its last price.
    fn recognise_in_product(&mut self, at: usize, worth: &Ratio) {
        let line = &self.members[at];
        let was = line.price.as_ref().zip(line.rate.as_ref());
        let relative = was.and_then(|(price, rate)| worth.divide(&price.multiply(rate)));
        let relative = relative.and_then(|relative| relative.round(self.carried));
        let exponent = line.coefficient.as_ref().and_then(|w| w.round(self.cut));
        let parts = (&self.level, relative.filter(|r| r.is_positive()), exponent);
        if let (Some(level), Some(relative), Some(exponent)) = parts
            && let Some(factor) = crate::float::power(relative, exponent, self.carried)
        {
            self.level = Some(level.multiply(&factor.into()));
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> Line {
        self.leaving();
        self.is_changed = true;
        let line = self.members.remove(at);
        self.deferred.remove(&line.security);
        self.gone.push(line.clone());
        line
    }

    /// The line of a member that is there or has left today.
    pub(super) fn former(&self, security: SecurityId) -> Option<&Line> {
        let gone = self.gone.iter().rev();
        self.members
            .iter()
            .chain(gone)
            .find(|line| line.security == security)
    }

    /// What a member was worth goes to another: its units grow, and its stated weight.
    pub(super) fn endow(&mut self, heir: usize, gone: &Line) -> Result<(), Problem> {
        let values = gone.value().zip(self.members[heir].value());
        let grown = values.and_then(|(more, own)| own.add(&more).divide(&own));
        if let Some(factor) = grown
            && !self.weighting.ignores_splits()
        {
            if self.weighting.follows_weights() {
                self.members[heir].grow(&factor);
            } else {
                self.multiply(heir, &factor)?;
            }
        }
        let stated = &mut self.members[heir].constituent.weight;
        if let (Some(weight), Some(more)) = (stated.as_mut(), gone.constituent.weight) {
            *weight = decimal(&Ratio::from(*weight).add(&more.into()), self.cut)?;
        }
        Ok(())
    }
}

impl Line {
    /// What all units are worth in the index currency; none without a price, rate or coefficient.
    pub(super) fn value(&self) -> Option<Ratio> {
        let quoted = || Some(self.price.as_ref()?.multiply(self.rate.as_ref()?));
        let each = self.worth.clone().or_else(quoted)?;
        Some(each.multiply(self.coefficient.as_ref()?))
    }

    /// Scales the coefficient in force.
    pub(super) fn grow(&mut self, factor: &Ratio) {
        self.coefficient = self.coefficient.as_ref().map(|q| q.multiply(factor));
    }

    /// Scales the stated quantity, whatever the weighting calls it, and the coefficient with it.
    pub(super) fn multiply(&mut self, factor: &Ratio, cut: Cut) -> Result<(), Problem> {
        self.grow(factor);
        if let Some(stated) = self.quantity() {
            *stated = decimal(&Ratio::from(*stated).multiply(factor), cut)?;
        }
        // Shares in firm hands are split like all others.
        if let Some(strategic) = &mut self.constituent.strategic {
            *strategic = decimal(&Ratio::from(*strategic).multiply(factor), cut)?;
        }
        Ok(())
    }

    /// Sets the coefficient, and the quantity that states it where one does.
    pub(super) fn set(
        &mut self,
        coefficient: Ratio,
        weighting: Weighting,
        cut: Cut,
    ) -> Result<(), Problem> {
        if !weighting.follows_weights() {
            // On its way a number of shares counts whole; the last day states its factors again.
            let stated = &mut self.constituent;
            (stated.float, stated.strategic) = (None, None);
            (stated.foreign_limit, stated.cap) = (None, None);
            if stated.shares.is_none() {
                stated.units.get_or_insert(Decimal::ONE);
            }
            if let Some(quantity) = self.quantity() {
                *quantity = decimal(&coefficient, cut)?;
            }
        }
        self.coefficient = Some(coefficient);
        Ok(())
    }

    /// The stated number of shares or units.
    pub(super) const fn quantity(&mut self) -> Option<&mut Decimal> {
        if self.constituent.shares.is_some() {
            self.constituent.shares.as_mut()
        } else {
            self.constituent.units.as_mut()
        }
    }
}

/// A quantity as a definition can state it.
pub(super) fn decimal(value: &Ratio, cut: Cut) -> Result<Decimal, Problem> {
    Ok(value.round(cut).ok_or(Problem::Overflow)?.normalized())
}
