//! What an action would do, tried on a copy at the prices of the moment.

use crate::definition::ActionDefinition;
use crate::output::ActionState;
use crate::problem::{DefinitionError, Problem};
use crate::view::IndexView;
use crate::{Decimal, Engine, SecurityId, Time};

/// An action's consequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The price of its security before and after, where it changes.
    pub price: Option<(Decimal, Decimal)>,
    /// The indexes that it concerns.
    pub indexes: Vec<IndexPreview>,
}

/// One index before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPreview {
    /// Its code.
    pub code: String,
    /// Unrounded levels would agree; these are rounded as published.
    pub level: (Option<Decimal>, Option<Decimal>),
    /// Divisors.
    pub divisor: (Option<Decimal>, Option<Decimal>),
    /// Members that change, with those that come and go.
    pub members: Vec<MemberPreview>,
}

/// One member before and after; none where it is not in the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPreview {
    /// Whose.
    pub symbol: String,
    /// The price as the index sees it.
    pub price: (Option<Decimal>, Option<Decimal>),
    /// The stated shares or units.
    pub shares: (Option<Decimal>, Option<Decimal>),
    /// The coefficient in force.
    pub coefficient: (Option<Decimal>, Option<Decimal>),
}

impl Engine {
    /// Tries an announced action by its id, or one that is not announced yet.
    ///
    /// # Errors
    /// When it could not be applied at the prices of the moment.
    pub fn preview(&self, definition: &ActionDefinition) -> Result<Preview, DefinitionError> {
        let of = |problem: Problem| problem.of("action", &definition.id);
        let mut before = self.clone();
        before.outputs.clear();
        let known = before.actions.known.get(&definition.id);
        match known.map(|known| &known.state) {
            None | Some(ActionState::Announced) => {}
            Some(state) => return Err(of(Problem::ActionClosed(state.as_str()))),
        }
        before
            .enlist(definition, self.next_position())
            .map_err(of)?;
        let (security, indexes) = before.concerned(&definition.event);
        let ids = std::slice::from_ref(&definition.id);
        let (after, _) = before
            .opened(ids, Time::MIN, self.next_position())
            .map_err(of)?;
        let price = security.and_then(|security| {
            let price = |engine: &Self| Some(engine.security(security)?.price?.normalized());
            price(&before).zip(price(&after)).filter(|(a, b)| a != b)
        });
        let indexes = indexes.into_iter().filter_map(|index| {
            let (old, new) = (before.index(index)?, after.index(index)?);
            Some(IndexPreview {
                code: new.definition.code.clone(),
                level: (before.recompute(index), after.recompute(index)),
                divisor: (old.divisor, new.divisor),
                members: changes((&before, &old), (&after, &new)),
            })
        });
        Ok(Preview {
            price,
            indexes: indexes.collect(),
        })
    }
}

/// Members that are not the same before and after.
fn changes(
    before: (&Engine, &IndexView<'_>),
    after: (&Engine, &IndexView<'_>),
) -> Vec<MemberPreview> {
    type Facts = (Option<Decimal>, Option<Decimal>, Option<Decimal>);
    let facts = |(_, view): (&Engine, &IndexView<'_>), security: SecurityId| -> Option<Facts> {
        let at = view.members.iter().position(|m| m.security == security)?;
        let stated = &view.definition.basket[at];
        let (member, short) = (&view.members[at], |d: Decimal| d.normalized());
        Some((
            member.price.map(short),
            stated.shares.or(stated.units).map(short),
            member.coefficient.map(short),
        ))
    };
    let mut securities: Vec<SecurityId> = before.1.members.iter().map(|m| m.security).collect();
    for member in &after.1.members {
        if !securities.contains(&member.security) {
            securities.push(member.security);
        }
    }
    let mut rows = Vec::new();
    for security in securities {
        let (old, new) = (facts(before, security), facts(after, security));
        if old == new {
            continue;
        }
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let symbol = after
            .0
            .security(security)
            .map(|s| s.definition.symbol.clone());
        rows.push(MemberPreview {
            symbol: symbol.unwrap_or_default(),
            price: (old.0, new.0),
            shares: (old.1, new.1),
            coefficient: (old.2, new.2),
        });
    }
    rows
}
