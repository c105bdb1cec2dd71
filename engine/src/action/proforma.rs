//! The composition that a review would give, before it does: at the prices of the moment, which
//! become its reference prices.

use crate::definition::action::{Rebalance, ReferencePrice};
use crate::definition::{ActionDefinition, Event};
use crate::output::ActionState;
use crate::problem::{DefinitionError, Problem};
use crate::{Decimal, Engine, IndexId, SecurityId, Time};

/// Places of a weight.
const WEIGHT_PLACES: u8 = 10;

/// A pro-forma composition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proforma {
    /// The review with its reference prices, as it can be announced.
    pub action: ActionDefinition,
    /// The level that is kept.
    pub level: Option<Decimal>,
    /// Divisors before and after.
    pub divisor: (Option<Decimal>, Option<Decimal>),
    /// Half of the sum of all changes of weights.
    pub turnover: Decimal,
    /// Members after it in the order of the basket, then those that leave.
    pub members: Vec<ProformaMember>,
}

/// A member of a pro-forma composition; none where it is not in the basket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProformaMember {
    /// Whose.
    pub symbol: String,
    /// The price of the moment.
    pub price: Option<Decimal>,
    /// Coefficients before and after.
    pub coefficient: (Option<Decimal>, Option<Decimal>),
    /// Weights before and after.
    pub weight: (Option<Decimal>, Option<Decimal>),
}

impl Engine {
    /// What a review would make of its index, all its days together.
    ///
    /// # Errors
    /// When it is no review, or could not be applied at the prices of the moment.
    pub fn proforma(&self, definition: &ActionDefinition) -> Result<Proforma, DefinitionError> {
        let of = |problem: Problem| problem.of("action", &definition.id);
        let Event::Rebalance(review) = &definition.event else {
            return Err(of(Problem::Terms("type", "`rebalance`")));
        };
        let index = self.known_index(&review.index).map_err(of)?;
        let mut action = definition.clone();
        let mut before = self.clone();
        before.outputs.clear();
        let basket = review.basket.as_deref().unwrap_or_default();
        before.ensure_components(basket).map_err(of)?;
        let frozen = Rebalance {
            reference: before.reference(index, review).map_err(of)?,
            ..review.clone()
        };
        action.event = Event::Rebalance(frozen.clone());
        let mut at_once = action.clone();
        at_once.event = Event::Rebalance(Rebalance {
            days: Decimal::ONE,
            ..frozen
        });
        match before.actions.known.get(&definition.id).map(|k| &k.state) {
            None | Some(ActionState::Announced) => {}
            Some(state) => return Err(of(Problem::ActionClosed(state.as_str()))),
        }
        before.enlist(&at_once, self.next_position()).map_err(of)?;
        let ids = std::slice::from_ref(&definition.id);
        let opened = before.opened(ids, Time::MIN, self.next_position());
        let (after, _) = opened.map_err(of)?;
        let members = members(self, &after, index);
        let (old, new) = (self.index(index), after.index(index));
        Ok(Proforma {
            action,
            level: after.recompute(index),
            divisor: (old.and_then(|x| x.divisor), new.and_then(|x| x.divisor)),
            turnover: turnover(&members),
            members,
        })
    }

    /// Prices and rates of the moment for every member of the new basket, where the review states
    /// none itself and the weighting asks for prices.
    fn reference(
        &self,
        index: IndexId,
        review: &Rebalance,
    ) -> Result<Vec<ReferencePrice>, Problem> {
        let state = &self.indexes[index.at()];
        let definition = &state.definition;
        let by_price = definition.weighting.follows_weights() || definition.caps.is_some();
        if !review.reference.is_empty() || !by_price {
            return Ok(review.reference.clone());
        }
        let basket = review.basket.as_ref().unwrap_or(&definition.basket);
        let mut reference = Vec::with_capacity(basket.len());
        for member in basket {
            let component = self.security_id(&member.symbol);
            let security = component.map_or_else(|| self.known_security(&member.symbol), Ok)?;
            let held = state
                .basket
                .holdings
                .iter()
                .find(|h| h.security == security);
            let seen = held.and_then(|h| h.price(&self.securities));
            let last = self.securities[security.at()].last_price();
            let price = seen
                .or(last)
                .ok_or_else(|| Problem::NoPrice(member.symbol.clone()))?;
            let currency = self.securities[security.at()].definition.currency;
            let foreign = currency != definition.currency;
            let rate = state.currency_rate(currency, &self.rates);
            reference.push(ReferencePrice {
                symbol: member.symbol.clone(),
                price: price.normalized(),
                rate: rate.filter(|_| foreign),
            });
        }
        Ok(reference)
    }
}

fn members(before: &Engine, after: &Engine, index: IndexId) -> Vec<ProformaMember> {
    let facts = |engine: &Engine, security: SecurityId| {
        let view = engine.index(index)?;
        let at = view.members.iter().position(|m| m.security == security)?;
        let weight = engine.weights(index, WEIGHT_PLACES)?.get(at).copied();
        Some((view.members[at].coefficient, weight))
    };
    let of = |engine: &Engine| {
        engine
            .index(index)
            .map_or_else(Vec::new, |view| view.members)
    };
    let mut securities: Vec<SecurityId> = of(after).iter().map(|m| m.security).collect();
    for member in of(before) {
        if !securities.contains(&member.security) {
            securities.push(member.security);
        }
    }
    let row = |security: &SecurityId| {
        let (old, new) = (facts(before, *security), facts(after, *security));
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        let view = after.security(*security)?;
        Some(ProformaMember {
            symbol: view.definition.symbol.clone(),
            price: view.price.map(Decimal::normalized),
            coefficient: (old.0, new.0),
            weight: (old.1, new.1),
        })
    };
    securities.iter().filter_map(row).collect()
}

fn turnover(members: &[ProformaMember]) -> Decimal {
    let units = |weight: Option<Decimal>| {
        weight
            .and_then(|weight| weight.at_places(WEIGHT_PLACES))
            .unwrap_or(0)
    };
    let moved = |member: &ProformaMember| (units(member.weight.1) - units(member.weight.0)).abs();
    let sum: i128 = members.iter().map(moved).sum();
    Decimal::new(sum / 2, WEIGHT_PLACES)
}
