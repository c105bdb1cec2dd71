//! What can be said of an action before its day: names, ranges, and when the day begins.

use super::part::LINE;
use crate::component::PREFIX;
use crate::definition::action::{
    Dividend, DividendKind, Exchange, Issue, Merger, Rebalance, Rights,
};
use crate::definition::{ActionDefinition, Event, Take};
use crate::exact::Ratio;
use crate::period::Days;
use crate::problem::Problem;
use crate::security::check_name;
use crate::{Decimal, Engine, IndexId, Time, period};

/// The longest transition of a review.
const DAYS_MAX: i128 = 250;

/// Most places of a term.
const PLACES_MAX: u8 = 18;

impl Engine {
    /// Checks what an action states; the beginning of its day.
    pub(super) fn check_action(&self, definition: &ActionDefinition) -> Result<Time, Problem> {
        check_terms(&definition.event)?;
        let (security, indexes) = match definition.event.index() {
            Some(code) => {
                let index = self.known_index(code)?;
                if self.indexes[index.at()].follow.is_some() {
                    return Err(Problem::Rule(
                        "a variant has no members of its own: name the index that it is of",
                    ));
                }
                (None, vec![index])
            }
            None => {
                let symbol = definition.event.symbol().unwrap_or_default();
                let security = self.known_security(symbol)?;
                (Some(security), self.holding(security))
            }
        };
        self.check_names(&definition.event)?;
        if let Event::Rebalance(review) = &definition.event {
            self.check_transition(review)?;
        } else if let Event::Rights(rights) = &definition.event {
            self.check_line(rights, &indexes)?;
        }
        let due = match (&definition.zone, indexes.first()) {
            (Some(name), _) => {
                let zone = period::zone(name);
                let zone = zone.ok_or_else(|| Problem::Zone(name.chars().take(64).collect()))?;
                period::start_of(definition.ex_date, &zone)
            }
            (None, Some(index)) => self.indexes[index.at()].days.begin(definition.ex_date),
            (None, None) => Days::utc().begin(definition.ex_date),
        };
        let last = security.and_then(|s| self.securities[s.at()].origin);
        if definition.event.moves_price() && last.is_some_and(|last| last.ts >= due) {
            return Err(Problem::ActionLate);
        }
        Ok(due)
    }

    /// Over several days stated quantities need a basket that states where they go.
    fn check_transition(&self, review: &Rebalance) -> Result<(), Problem> {
        let index = self.known_index(&review.index)?;
        let weighting = self.indexes[index.at()].definition.weighting;
        if review.days() > 1 && review.basket.is_none() && !weighting.follows_weights() {
            return Err(Problem::Terms(
                "basket",
                "stated for several days where units follow from stated shares",
            ));
        }
        Ok(())
    }

    /// An index that keeps rights as a member needs to know which.
    fn check_line(&self, rights: &Rights, holders: &[IndexId]) -> Result<(), Problem> {
        let rule = |index: &IndexId| &self.indexes[index.at()].definition.actions.rights;
        let keeps = holders
            .iter()
            .any(|index| rule(index).taken(rights) == Take::Line);
        if keeps && rights.line.is_none() {
            return Err(Problem::Terms("line", LINE));
        }
        Ok(())
    }

    /// The further names that an event needs.
    fn check_names(&self, event: &Event) -> Result<(), Problem> {
        let mut symbols: Vec<&str> = Vec::new();
        let mut members: Vec<&str> = Vec::new();
        if let Event::Merger(merger) = event {
            symbols.extend(merger.acquirer.as_deref());
        } else if let Event::Addition(addition) = event {
            self.refuse_retired(std::slice::from_ref(&*addition.member))?;
            members.push(&addition.member.symbol);
            members.extend(addition.replaces.as_deref());
        } else if let Event::Deletion(deletion) = event {
            members.push(&deletion.symbol);
            members.extend(deletion.proceeds.as_deref());
        } else if let Event::Rights(rights) = event {
            symbols.extend(rights.line.as_deref());
        } else if let Event::CapReset(reset) = event {
            members.extend(reset.caps.iter().map(|cap| cap.symbol.as_str()));
        } else if let Event::Rebalance(review) = event {
            self.refuse_retired(review.basket.as_deref().unwrap_or_default())?;
            let basket = review.basket.iter().flatten();
            members.extend(basket.map(|member| member.symbol.as_str()));
            members.extend(review.reference.iter().map(|price| price.symbol.as_str()));
        } else if let Event::SymbolChange(change) = event {
            check_name(&change.to)?;
            if self.security_once(&change.to).is_some() {
                return Err(Problem::NameTaken(change.to.clone()));
            }
        }
        let mut symbols = symbols.into_iter();
        symbols.try_for_each(|symbol| self.known_security(symbol).map(drop))?;
        let mut members = members.into_iter();
        members.try_for_each(|symbol| match symbol.strip_prefix(PREFIX) {
            Some(code) => self.known_index(code).map(drop),
            None => self.known_security(symbol).map(drop),
        })
    }
}

/// Checks the numbers of an event.
fn check_terms(event: &Event) -> Result<(), Problem> {
    match event {
        Event::Split(x) => check_exchange(x, true),
        Event::ReverseSplit(x) => check_exchange(x, false),
        Event::Bonus(Issue { held, new, .. }) | Event::StockDividend(Issue { held, new, .. }) => {
            positive("held", *held).and_then(|()| positive("new", *new))
        }
        Event::Dividend(x) => check_dividend(x),
        Event::ReturnOfCapital(x) => {
            positive("amount", x.amount)?;
            positive("from", x.from)?;
            positive("to", x.to)?;
            tax(x.tax)
        }
        Event::Rights(x) => {
            positive("held", x.held)?;
            positive("new", x.new)?;
            positive("price", x.price)?;
            optional("missed_dividend", x.missed_dividend)
        }
        Event::SpinOff(x) => positive("ratio", x.ratio).and_then(|()| optional("price", x.price)),
        Event::Merger(x) => check_merger(x),
        Event::Delisting(x) | Event::Bankruptcy(x) => match x.price {
            Some(price) if price.mantissa() < 0 => Err(Problem::Terms("price", "0 or above")),
            _ => Ok(()),
        },
        Event::ShareChange(x) => {
            positive("shares", x.shares)?;
            x.float.map_or(Ok(()), float)
        }
        Event::FloatChange(x) => float(x.float),
        Event::CapReset(x) => x.caps.iter().try_for_each(|cap| positive("cap", cap.cap)),
        Event::Redenomination(x) => positive("rate", x.rate),
        Event::Rebalance(x) => check_review(x),
        Event::SymbolChange(_)
        | Event::Suspension(_)
        | Event::Resumption(_)
        | Event::Addition(_)
        | Event::Deletion(_) => Ok(()),
    }
}

fn check_dividend(dividend: &Dividend) -> Result<(), Problem> {
    positive("amount", dividend.amount)?;
    match dividend.occurrence {
        Some(0) => Err(Problem::Terms("occurrence", "1 or above")),
        Some(_) if dividend.kind == DividendKind::Ordinary => Err(Problem::Terms(
            "occurrence",
            "stated of special dividends only",
        )),
        _ => tax(dividend.tax),
    }
}

fn check_exchange(exchange: &Exchange, grows: bool) -> Result<(), Problem> {
    let (from, to) = (exchange.from, exchange.to);
    positive("from", from)?;
    positive("to", to)?;
    match grows {
        true if !is_less(from, to) => Err(Problem::Terms("to", "above `from`")),
        false if !is_less(to, from) => Err(Problem::Terms("to", "below `from`")),
        _ => Ok(()),
    }
}

fn check_merger(merger: &Merger) -> Result<(), Problem> {
    optional("cash", merger.cash)?;
    optional("ratio", merger.ratio)?;
    match (&merger.acquirer, merger.ratio) {
        (None, Some(_)) => Err(Problem::Terms("acquirer", "stated with `ratio`")),
        _ => Ok(()),
    }
}

fn check_review(review: &Rebalance) -> Result<(), Problem> {
    for stated in &review.reference {
        positive("reference", stated.price)?;
        optional("rate", stated.rate)?;
    }
    match review.days.normalized().at_places(0) {
        Some(days) if (1..=DAYS_MAX).contains(&days) => Ok(()),
        _ => Err(Problem::Terms("days", "a whole number from 1 to 250")),
    }
}

fn positive(field: &'static str, value: Decimal) -> Result<(), Problem> {
    if value.is_positive() && value.places() <= PLACES_MAX {
        Ok(())
    } else {
        Err(Problem::Terms(field, "above 0, with at most 18 places"))
    }
}

fn optional(field: &'static str, value: Option<Decimal>) -> Result<(), Problem> {
    value.map_or(Ok(()), |value| positive(field, value))
}

fn fraction(field: &'static str, value: Decimal) -> Result<(), Problem> {
    let fits = value.mantissa() >= 0 && !is_less(Decimal::ONE, value);
    if fits && value.places() <= PLACES_MAX {
        Ok(())
    } else {
        Err(Problem::Terms(field, "in 0 to 1"))
    }
}

fn tax(value: Option<Decimal>) -> Result<(), Problem> {
    value.map_or(Ok(()), |value| fraction("tax", value))
}

fn float(value: Decimal) -> Result<(), Problem> {
    fraction("float", value).and_then(|()| positive("float", value))
}

fn is_less(a: Decimal, b: Decimal) -> bool {
    Ratio::from(b).subtract(&a.into()).is_positive()
}
