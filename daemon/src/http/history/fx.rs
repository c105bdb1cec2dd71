//! Which rates an index needs, by its rule and the currencies of its members.

use std::collections::{BTreeSet, HashMap};

use divisor_engine::definition::{FxRule, IndexDefinition};
use divisor_engine::{Currency, Decimal, convert};

/// The currencies of an index: its own, those of its members, and how it reads them.
#[derive(Debug, Clone)]
pub(in crate::http) struct Fx {
    own: Currency,
    rule: FxRule,
    members: BTreeSet<Currency>,
}

impl Fx {
    /// Those of an index whose members have these currencies.
    pub(in crate::http) fn of(
        definition: &IndexDefinition,
        members: impl Iterator<Item = Currency>,
    ) -> Self {
        Self {
            own: definition.currency,
            rule: definition.fx,
            members: members.collect(),
        }
    }

    /// The rule.
    pub(super) const fn rule(&self) -> FxRule {
        self.rule
    }

    /// The pairs that a rate may be made of.
    pub(super) fn pairs(&self) -> BTreeSet<(Currency, Currency)> {
        let foreign = self
            .members
            .iter()
            .filter(|currency| **currency != self.own);
        let of = |currency: &Currency| {
            let direct = [Some((*currency, self.own)), None, None];
            self.rule.pivot.map_or(direct, |pivot| {
                [direct[0], Some((pivot, *currency)), Some((pivot, self.own))]
            })
        };
        foreign.flat_map(of).flatten().collect()
    }

    /// Index currency for one of each member's, where the rates of the pairs are known.
    pub(super) fn convert(
        &self,
        rate: impl Fn(Currency, Currency) -> Option<Decimal> + Copy,
    ) -> HashMap<Currency, Decimal> {
        let convert = |from: &Currency| {
            let rate = convert(*from, self.own, self.rule, rate)?;
            Some((*from, rate))
        };
        self.members.iter().filter_map(convert).collect()
    }
}
