//! Changes of shares and free float (METHODOLOGY §1.6): at once, or with the next review.

use super::draft::Draft;
use super::opening::Opening;
use crate::definition::action::ShareChange;
use crate::definition::{Constituent, IndexDefinition, ShareRule};
use crate::exact::Ratio;
use crate::index::Deferred;
use crate::problem::Problem;
use crate::{Decimal, SecurityId};

impl Opening {
    pub(super) fn share_change(&mut self, change: &ShareChange) -> Result<(), Problem> {
        let security = self.security(&change.symbol)?;
        self.shares(security, Some(change.shares), change.float)
    }

    pub(super) fn float_change(&mut self, symbol: &str, float: Decimal) -> Result<(), Problem> {
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
            let draft = day.draft(index);
            let Some(shares_before) = draft.members[at].constituent.shares else {
                return Ok(());
            };
            // A change that waits has been stated and is added to.
            let waits = draft.deferred.get(&security).copied();
            let stated = &draft.members[at].constituent;
            let shares = shares.or(waits.map(|x| x.shares)).unwrap_or(shares_before);
            let float = float.or(waits.map_or(stated.float, |x| x.float));
            let change = Deferred { shares, float };
            let rule = &definition.actions.share_changes;
            if rule.counts(&draft.moved(at, change, &definition)?) {
                draft.deferred.remove(&security);
                draft.restate(at, change, &definition)
            } else {
                draft.deferred.insert(security, change);
                Ok(())
            }
        })
    }
}

impl Draft {
    /// How far a change of shares goes.
    fn moved(
        &self,
        at: usize,
        change: Deferred,
        definition: &IndexDefinition,
    ) -> Result<Moved, Problem> {
        let line = &self.members[at];
        let now = &line.constituent;
        let factor =
            |constituent: &Constituent| crate::basket::float_factor(definition, constituent);
        let mut then = now.clone();
        then.shares = Some(change.shares);
        if change.float.is_some() {
            (then.float, then.strategic) = (change.float, None);
        }
        let (from, to) = (factor(now)?, factor(&then)?);
        let count = |shares: Option<Decimal>, float: Decimal| {
            Ratio::from(shares.unwrap_or(Decimal::ZERO)).multiply(&float.into())
        };
        let before = count(now.shares, from);
        let moved = count(then.shares, to).subtract(&before).abs();
        let each = line.price.as_ref().zip(line.rate.as_ref());
        let float = Ratio::from(to).subtract(&from.into()).abs();
        Ok(Moved {
            part: moved.divide(&before),
            value: each.map(|(price, rate)| moved.multiply(price).multiply(rate)),
            float: (now.shares == then.shares).then_some(float),
        })
    }

    /// Puts a change of shares into force.
    pub(super) fn restate(
        &mut self,
        at: usize,
        change: Deferred,
        definition: &IndexDefinition,
    ) -> Result<(), Problem> {
        let line = &mut self.members[at];
        let stated = &mut line.constituent;
        // A stated factor takes the place of one that follows from shares in firm hands.
        if change.float.is_some() {
            stated.strategic = None;
        }
        (stated.shares, stated.float) = (Some(change.shares), change.float);
        // Where units follow from weights they do so again at the next reset.
        if !self.weighting.follows_weights() {
            let units = crate::basket::units(definition, stated)?;
            line.coefficient = line.coefficient.as_ref().map(|_| units.into());
            self.is_changed = true;
        }
        Ok(())
    }
}

/// How far a change of shares goes.
struct Moved {
    /// As a part of what was there; none of nothing.
    part: Option<Ratio>,
    /// In the index currency; none without a price.
    value: Option<Ratio>,
    /// The difference of the float factors, where nothing else changes.
    float: Option<Ratio>,
}

impl ShareRule {
    /// True for a change that counts at once.
    fn counts(&self, moved: &Moved) -> bool {
        let reaches = |bound: Decimal, value: Option<&Ratio>| {
            value.is_none_or(|value| !Ratio::from(bound).subtract(value).is_positive())
        };
        if let (Some(least), Some(float)) = (self.float, &moved.float) {
            return reaches(least, Some(float));
        }
        let alone = self.alone.map(|least| reaches(least, moved.value.as_ref()));
        if alone == Some(true) {
            return true;
        }
        match (self.from, self.value) {
            (None, None) => alone.is_none(),
            (from, value) => {
                from.is_none_or(|least| reaches(least, moved.part.as_ref()))
                    && value.is_none_or(|least| reaches(least, moved.value.as_ref()))
            }
        }
    }
}
