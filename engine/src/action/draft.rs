//! An index on its way through the actions of a day: its members with the prices and coefficients
//! that each action leaves, exact until all are done.

use crate::definition::{Constituent, Cut, Weighting};
use crate::exact::Ratio;
use crate::index::Index;
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
    /// Its target weights are restored.
    pub(super) restores: bool,
    /// Prices by which restored weights become units, in the index currency at today's rates.
    pub(super) reference: Vec<(SecurityId, Ratio)>,
    /// The part of the way that a review over several days goes today.
    pub(super) blend: Option<Ratio>,
    /// The constant part of the sum, where it changes.
    pub(super) cash: Option<Ratio>,
    /// The same at first.
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
            restores: false,
            reference: Vec::new(),
            blend: None,
            cash: None,
            held_cash: Ratio::scaled(basket.cash, basket.scale),
            leaving: None,
        }
    }

    /// What the members are worth at the prices and coefficients that the actions so far leave.
    fn worth(&self) -> Ratio {
        let value = |line: &Line| {
            let (price, rate) = line.price.as_ref().zip(line.rate.as_ref())?;
            Some(price.multiply(rate).multiply(line.coefficient.as_ref()?))
        };
        let values = self.members.iter().filter_map(value);
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
            self.members[at].multiply(factor, self.cut)
        }
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
        let more = worth.subtract(&price.multiply(rate)).multiply(coefficient);
        if let Some(leaving) = self.leaving() {
            leaving.gain = leaving.gain.add(&more);
            let grown = leaving.worth.add(&leaving.gain).divide(&leaving.worth);
            self.value = grown.map(|grown| leaving.value.multiply(&grown));
        }
        self.is_changed = true;
    }

    pub(super) fn remove(&mut self, at: usize) -> Line {
        self.leaving();
        self.is_changed = true;
        self.members.remove(at)
    }
}

impl Line {
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
