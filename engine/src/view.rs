//! What the outside may look at: definitions with their state, for queries and projections.

use crate::action::ExDividend;
use crate::basket::Holding;
use crate::calendar::Session;
use crate::definition::{
    CalendarDefinition, Cut, IndexDefinition, PairDefinition, Reset, SecurityDefinition,
};
use crate::engine::Engine;
use crate::exact::Ratio;
use crate::input::Origin;
use crate::life::Life;
use crate::output::{Followed, Level, Member, Status};
use crate::{Currency, Decimal, IndexId, RoundingMode, SecurityId, Time};

/// A security with its last price.
#[derive(Debug, Clone, Copy)]
pub struct SecurityView<'a> {
    /// Its id.
    pub id: SecurityId,
    /// As defined.
    pub definition: &'a SecurityDefinition,
    /// The last price; none before the first.
    pub price: Option<Decimal>,
    /// It stands for the level of an index and is no security of its own.
    pub is_component: bool,
    /// Where that price came from; none for a reference price.
    pub origin: Option<&'a Origin>,
    /// Trading has stopped; prices are held.
    pub suspended: bool,
    /// Whether it is in service.
    pub life: Life,
}

/// A currency pair with its last rate.
#[derive(Debug, Clone, Copy)]
pub struct RateView<'a> {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// Units of `quote` for one `base`.
    pub rate: Decimal,
    /// Where that rate came from.
    pub origin: &'a Origin,
}

/// An index with its state.
#[derive(Debug, Clone)]
pub struct IndexView<'a> {
    /// Its id.
    pub id: IndexId,
    /// As defined, with the basket that is in force.
    pub definition: &'a IndexDefinition,
    /// The number of the revision in force.
    pub revision: u32,
    /// The divisor in force; none while the index waits for prices.
    pub divisor: Option<Decimal>,
    /// The constant part of the sum, in the index currency.
    pub cash: Decimal,
    /// What the index is worth.
    pub status: Status,
    /// Constituents whose price is stale.
    pub stale: u32,
    /// The session that is under way, or the next one; none without a calendar.
    pub session: Option<Session>,
    /// The last official close.
    pub official: Option<(jiff::civil::Date, Decimal)>,
    /// The last level.
    pub level: Option<Level>,
    /// The members with coefficient and last price.
    pub members: Vec<Member>,
    /// Constituents that have no price yet.
    pub missing: usize,
    /// Of a variant: what it is fixed at.
    pub follows: Option<Followed>,
    /// Whether it is in service.
    pub life: Life,
    /// Why there is no level, in words for people; none while there is one.
    pub waits_for: Option<String>,
}

/// A price with the index currency for one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// In its own currency.
    pub price: Decimal,
    /// Index currency for one of it.
    pub rate: Decimal,
}

impl Converted {
    fn value(self) -> Ratio {
        Ratio::from(self.price).multiply(&self.rate.into())
    }
}

/// The points by which a constituent has moved its index, cut half up:
/// `q·(p·r - p_close·r_close) / D`. None for a divisor of zero, or beyond 38 digits.
#[must_use]
pub fn contribution(
    now: Converted,
    close: Converted,
    coefficient: Decimal,
    divisor: Decimal,
    places: u8,
) -> Option<Decimal> {
    let cut = Cut {
        places,
        mode: RoundingMode::HalfUp,
    };
    let moved = now.value().subtract(&close.value());
    let moved = moved.multiply(&coefficient.into());
    moved.divide(&divisor.into())?.round(cut)
}

/// Each member's share of `Σ p·r·q + cash`, cut half up, for members with their coefficient `q`. None
/// where the sum is zero, or a share is beyond 38 digits.
#[must_use]
pub fn shares(members: &[(Converted, Decimal)], cash: Decimal, places: u8) -> Option<Vec<Decimal>> {
    let cut = Cut {
        places,
        mode: RoundingMode::HalfUp,
    };
    let value = |(at, q): &(Converted, Decimal)| at.value().multiply(&(*q).into());
    let values: Vec<Ratio> = members.iter().map(value).collect();
    let total = (values.iter()).fold(Ratio::from(cash), |sum, value| sum.add(value));
    let share = |value: &Ratio| value.divide(&total)?.round(cut);
    values.iter().map(share).collect()
}

impl Engine {
    /// A security by id.
    #[must_use]
    pub fn security(&self, id: SecurityId) -> Option<SecurityView<'_>> {
        let security = self.securities.get(id.at())?;
        Some(SecurityView {
            id,
            definition: &security.definition,
            price: security.last_price(),
            is_component: security.component.is_some(),
            origin: security.origin.as_ref(),
            suspended: security.suspended,
            life: security.life,
        })
    }

    /// All securities in order of definition, without deleted ones.
    pub fn securities(&self) -> impl Iterator<Item = SecurityView<'_>> {
        let all = (0u32..).map_while(|id| self.security(SecurityId(id)));
        all.filter(|view| view.life != Life::Deleted)
    }

    /// The id of an index.
    #[must_use]
    pub fn index_id(&self, code: &str) -> Option<IndexId> {
        self.codes.get(code).copied()
    }

    /// An index by id.
    #[must_use]
    pub fn index(&self, id: IndexId) -> Option<IndexView<'_>> {
        let index = self.indexes.get(id.at())?;
        Some(IndexView {
            id,
            definition: &index.definition,
            revision: index.revision,
            divisor: index.divisor,
            cash: index.basket.cash(),
            status: index.status,
            stale: index.clock.stale(),
            session: index.clock.session,
            official: index.clock.official,
            level: index.last,
            members: index.members(&self.securities),
            missing: index.missing,
            follows: self.followed(id),
            life: index.life,
            waits_for: self.waits_for(id),
        })
    }

    /// What an index without a level waits for.
    fn waits_for(&self, id: IndexId) -> Option<String> {
        let index = &self.indexes[id.at()];
        if index.life == Life::Deleted {
            return None;
        }
        if let Some(fixing) = &index.fixing {
            return fixing
                .level
                .is_none()
                .then(|| "the trades of its window".to_owned());
        }
        let Some(follow) = &index.follow else {
            return index.waits_for(&self.securities);
        };
        if self.exact(id).is_some() {
            return None;
        }
        let parent = &self.indexes[follow.parent.at()].definition.code;
        if self.exact(follow.parent).is_none() {
            return Some(format!("a level of {parent}"));
        }
        let unpriced = follow
            .inputs
            .iter()
            .find(|(_, id)| self.securities[id.at()].price == 0);
        Some(unpriced.map_or_else(
            || format!("the rates of {parent}'s currencies"),
            |(symbol, _)| format!("a price of {symbol}"),
        ))
    }

    /// The code of an index.
    #[must_use]
    pub fn index_code(&self, id: IndexId) -> Option<&str> {
        self.indexes
            .get(id.at())
            .map(|index| index.definition.code.as_str())
    }

    /// How many indexes there ever were: the next one gets this id.
    #[must_use]
    pub const fn index_count(&self) -> usize {
        self.indexes.len()
    }

    /// How many securities there ever were: the next one gets this id.
    #[must_use]
    pub const fn security_count(&self) -> usize {
        self.securities.len()
    }

    /// The codes of the indexes that hold a security, in order of definition.
    pub fn holders(&self, security: SecurityId) -> impl Iterator<Item = &str> {
        self.indexes
            .iter()
            .filter(move |index| index.basket.holdings.iter().any(|h| h.security == security))
            .map(|index| index.definition.code.as_str())
    }

    /// Each member's share of an index's market value, cut half up, parallel to
    /// [`IndexView::members`]; cash has its own share. None while the index is incomplete.
    #[must_use]
    pub fn weights(&self, index: IndexId, places: u8) -> Option<Vec<Decimal>> {
        let state = self
            .indexes
            .get(index.at())
            .filter(|index| index.is_complete())?;
        let basket = &state.basket;
        let total = basket.market_value(&basket.sums(&self.securities))?;
        let cut = Cut {
            places,
            mode: RoundingMode::HalfUp,
        };
        let weight = |(at, holding): (usize, &Holding)| {
            let price = i128::from(holding.units(&self.securities));
            let rate = Ratio::from(basket.rates[basket.slots[at]]?);
            let value = Ratio::scaled(price * basket.quantities[at], basket.scale);
            value.multiply(&rate).divide(&total)?.round(cut)
        };
        basket.holdings.iter().enumerate().map(weight).collect()
    }

    /// Index currency for one of another, as the index's rule makes it of the last rates.
    #[must_use]
    pub fn conversion(&self, index: IndexId, from: Currency) -> Option<Decimal> {
        self.indexes
            .get(index.at())?
            .currency_rate(from, &self.rates)
    }

    /// The members of an index whose price is stale by its rule.
    #[must_use]
    pub fn stale_members(&self, index: IndexId) -> &[SecurityId] {
        let state = self.indexes.get(index.at());
        state.map_or(&[], |state| state.clock.stale_members())
    }

    /// The beginning of the day on which basket or weights change next, as far as that is known: a
    /// review that is announced, or the next reset. Of a variant, that of its parent.
    #[must_use]
    pub fn next_review(&self, index: IndexId) -> Option<Time> {
        let state = self.indexes.get(index.at())?;
        if let Some(follow) = &state.follow {
            return self.next_review(follow.parent);
        }
        let reset = state.span.map(|span| span.period_end);
        let announced = self.first_review(&state.definition.code);
        let known = [reset.filter(|end| *end < Time::MAX), announced];
        known.into_iter().flatten().min()
    }

    /// When the day of the last level of an index began.
    #[must_use]
    pub fn day_begin(&self, index: IndexId) -> Option<Time> {
        let last = self.indexes.get(index.at())?.last?;
        let days = &self.indexes[self.root(index).at()].days;
        Some(days.span(last.ts, Reset::Never).day_begin)
    }

    /// Dividends of members whose day is the index's present one and that its price lets pass.
    #[must_use]
    pub fn dividends(&self, index: IndexId) -> &[ExDividend] {
        let state = self.indexes.get(index.at());
        state.map_or(&[], |state| &state.dividends)
    }

    /// All indexes in order of definition, without deleted ones.
    pub fn indexes(&self) -> impl Iterator<Item = IndexView<'_>> {
        let all = (0u32..).map_while(|id| self.index(IndexId(id)));
        all.filter(|view| view.life != Life::Deleted)
    }

    /// All calendars, by name.
    pub fn calendars(&self) -> impl Iterator<Item = &CalendarDefinition> {
        self.calendars.values().map(|calendar| &calendar.definition)
    }

    /// The sessions of a calendar from a date on; none when there is no such calendar.
    #[must_use]
    pub fn sessions(
        &self,
        calendar: &str,
        from: jiff::civil::Date,
        count: usize,
    ) -> Option<Vec<Session>> {
        let calendar = self.calendars.get(calendar)?;
        let mut day = from;
        let mut sessions = Vec::new();
        // A calendar has a session in each week but for long closures.
        for _ in 0..count.saturating_mul(8).saturating_add(400) {
            if sessions.len() == count {
                break;
            }
            sessions.extend(calendar.session(day));
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        Some(sessions)
    }

    /// The rules of all currency pairs.
    pub fn pairs(&self) -> impl Iterator<Item = &PairDefinition> {
        self.pairs.values()
    }

    /// The last rate of each pair, by base and quote.
    pub fn rates(&self) -> impl Iterator<Item = RateView<'_>> {
        self.rates.iter()
    }
}
