//! What can be said of an action before its day: names, ranges, and when the day begins.

use crate::definition::action::{Exchange, Issue};
use crate::definition::{ActionDefinition, Event};
use crate::exact::Ratio;
use crate::problem::Problem;
use crate::security::check_name;
use crate::{Decimal, Engine, Time, period};

/// The longest transition of a review.
const DAYS_MAX: i64 = 250;

impl Engine {
    /// Checks what an action states; the beginning of its day.
    pub(super) fn check_action(&self, definition: &ActionDefinition) -> Result<Time, Problem> {
        check_name(&definition.id)?;
        check_terms(&definition.event)?;
        let (security, indexes) = match definition.event.index() {
            Some(code) => (None, vec![self.known_index(code)?]),
            None => {
                let symbol = definition.event.symbol().unwrap_or_default();
                let security = self.known_security(symbol)?;
                (Some(security), self.holding(security))
            }
        };
        self.check_names(&definition.event)?;
        let zone = match &definition.zone {
            Some(name) => {
                period::zone(name).ok_or_else(|| Problem::Zone(name.chars().take(64).collect()))?
            }
            None => indexes.first().map_or(jiff::tz::TimeZone::UTC, |index| {
                self.indexes[index.at()].zone.clone()
            }),
        };
        let due = period::start_of(Some(definition.ex_date), &zone);
        let last = security.and_then(|s| self.securities[s.at()].origin);
        if definition.event.moves_price() && last.is_some_and(|last| last.ts >= due) {
            return Err(Problem::ActionLate);
        }
        Ok(due)
    }

    /// The further names that an event needs.
    fn check_names(&self, event: &Event) -> Result<(), Problem> {
        match event {
            Event::Merger(merger) => match &merger.acquirer {
                Some(acquirer) => self.known_security(acquirer).map(drop),
                None => Ok(()),
            },
            Event::SymbolChange(change) => {
                check_name(&change.to)?;
                match self.security_id(&change.to) {
                    Some(_) => Err(Problem::NameTaken(change.to.clone())),
                    None => Ok(()),
                }
            }
            Event::Addition(addition) => self.known_security(&addition.member.symbol).map(drop),
            Event::Deletion(deletion) => self.known_security(&deletion.symbol).map(drop),
            Event::CapReset(reset) => {
                let mut symbols = reset.caps.iter().map(|cap| &cap.symbol);
                symbols.try_for_each(|symbol| self.known_security(symbol).map(drop))
            }
            Event::Rebalance(review) => {
                let members = review.basket.iter().flatten().map(|c| &c.symbol);
                let mut symbols = members.chain(review.reference.iter().map(|r| &r.symbol));
                symbols.try_for_each(|symbol| self.known_security(symbol).map(drop))
            }
            _ => Ok(()),
        }
    }
}

fn check_terms(event: &Event) -> Result<(), Problem> {
    let positive = |field, value: Decimal| {
        let fits = value.is_positive() && value.places() <= 18;
        if fits {
            Ok(())
        } else {
            Err(Problem::Terms(field, "above 0, with at most 18 places"))
        }
    };
    let fraction = |field, value: Decimal| {
        let fits = value.mantissa() >= 0 && !is_less(Decimal::ONE, value) && value.places() <= 18;
        if fits {
            Ok(())
        } else {
            Err(Problem::Terms(field, "in 0 to 1"))
        }
    };
    let tax = |value: Option<Decimal>| value.map_or(Ok(()), |tax| fraction("tax", tax));
    match event {
        Event::Split(Exchange { from, to, .. })
        | Event::ReverseSplit(Exchange { from, to, .. }) => {
            positive("from", *from)?;
            positive("to", *to)?;
            let (less, more) = match event {
                Event::Split(_) => (from, to),
                _ => (to, from),
            };
            if is_less(*less, *more) {
                Ok(())
            } else {
                Err(Problem::Terms(
                    "to",
                    "above `from` in a split, below it in a reverse split",
                ))
            }
        }
        Event::Bonus(Issue { held, new, .. }) | Event::StockDividend(Issue { held, new, .. }) => {
            positive("held", *held).and_then(|()| positive("new", *new))
        }
        Event::Dividend(x) => positive("amount", x.amount).and_then(|()| tax(x.tax)),
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
            x.missed_dividend
                .map_or(Ok(()), |d| positive("missed_dividend", d))
        }
        Event::SpinOff(x) => {
            positive("ratio", x.ratio)?;
            x.price.map_or(Ok(()), |price| positive("price", price))
        }
        Event::Merger(x) => {
            x.cash.map_or(Ok(()), |cash| positive("cash", cash))?;
            x.ratio.map_or(Ok(()), |ratio| positive("ratio", ratio))?;
            match (&x.acquirer, x.ratio) {
                (None, Some(_)) => Err(Problem::Terms("acquirer", "stated with `ratio`")),
                _ => Ok(()),
            }
        }
        Event::Delisting(x) | Event::Bankruptcy(x) => match x.price {
            Some(price) if price.mantissa() < 0 => Err(Problem::Terms("price", "0 or above")),
            _ => Ok(()),
        },
        Event::ShareChange(x) => {
            positive("shares", x.shares)?;
            x.float.map_or(Ok(()), |f| {
                fraction("float", f).and_then(|()| positive("float", f))
            })
        }
        Event::FloatChange(x) => {
            fraction("float", x.float).and_then(|()| positive("float", x.float))
        }
        Event::CapReset(x) => x.caps.iter().try_for_each(|cap| positive("cap", cap.cap)),
        Event::Redenomination(x) => positive("rate", x.rate),
        Event::Rebalance(x) => {
            x.reference.iter().try_for_each(|r| {
                positive("reference", r.price)?;
                r.rate.map_or(Ok(()), |rate| positive("rate", rate))
            })?;
            let whole = x.days.normalized().at_places(0);
            match whole {
                Some(days) if (1..=i128::from(DAYS_MAX)).contains(&days) => Ok(()),
                _ => Err(Problem::Terms("days", "a whole number from 1 to 250")),
            }
        }
        Event::SymbolChange(_)
        | Event::Suspension(_)
        | Event::Resumption(_)
        | Event::Addition(_)
        | Event::Deletion(_) => Ok(()),
    }
}

fn is_less(a: Decimal, b: Decimal) -> bool {
    Ratio::from(b).subtract(&a.into()).is_positive()
}
