//! The last rate of each currency pair, and the rule by which an index reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::definition::{Cut, FxRates, FxRule};
use crate::exact::Ratio;
use crate::input::{Origin, Rate};
use crate::view::RateView;
use crate::{Currency, Decimal, RoundingMode};

/// Pairs that the table holds at the most, so that a publisher of nonsense cannot grow it.
pub(crate) const PAIRS_MAX: usize = 4096;

/// Last rates by (base, quote).
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Rates {
    #[serde(with = "crate::snapshot::pairs")]
    last: BTreeMap<(Currency, Currency), (Decimal, Origin)>,
}

impl Rates {
    pub(crate) fn has_room(&self, base: Currency, quote: Currency) -> bool {
        self.last.len() < PAIRS_MAX || self.last.contains_key(&(base, quote))
    }

    /// The origin of a pair's last rate.
    pub(crate) fn last_origin(&self, rate: &Rate) -> Option<&Origin> {
        self.last
            .get(&(rate.base, rate.quote))
            .map(|(_, origin)| origin)
    }

    /// A pair's last rate.
    pub(crate) fn value(&self, base: Currency, quote: Currency) -> Option<Decimal> {
        self.last.get(&(base, quote)).map(|(rate, _)| *rate)
    }

    pub(crate) fn set(&mut self, rate: &Rate) {
        self.last
            .insert((rate.base, rate.quote), (rate.value(), rate.origin));
    }

    /// All pairs with their last rate, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RateView<'_>> {
        self.last
            .iter()
            .map(|((base, quote), (rate, origin))| RateView {
                base: *base,
                quote: *quote,
                rate: *rate,
                origin,
            })
    }

    /// Units of `to` for one `from` at the last rates.
    pub(crate) fn convert(&self, from: Currency, to: Currency, rule: FxRule) -> Option<Decimal> {
        convert(from, to, rule, |base, quote| self.value(base, quote))
    }
}

/// Units of `to` for one `from` by an index's rule.
///
/// That is the direct rate, else the quotient over the rule's pivot, cut half up to the rule's
/// places. `rate` tells the units of its second currency for one of its first. None where a rate is
/// missing, or the result is not positive.
#[must_use]
pub fn convert(
    from: Currency,
    to: Currency,
    rule: FxRule,
    rate: impl Fn(Currency, Currency) -> Option<Decimal>,
) -> Option<Decimal> {
    if from == to || rule.rates == FxRates::One {
        return Some(Decimal::ONE);
    }
    if let Some(direct) = rate(from, to) {
        return Some(direct);
    }
    let pivot = rule.pivot?;
    let per_pivot = |currency| {
        if currency == pivot {
            return Some(Decimal::ONE);
        }
        rate(pivot, currency)
    };
    let quotient = Ratio::from(per_pivot(to)?).divide(&per_pivot(from)?.into())?;
    quotient
        .round(Cut {
            places: rule.places,
            mode: RoundingMode::HalfUp,
        })
        .filter(|rate| rate.is_positive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LabelId, Time};

    fn rate(base: &str, quote: &str, text: &str) -> Rate {
        let value: Decimal = text.parse().unwrap();
        Rate {
            base: Currency::parse(base).unwrap(),
            quote: Currency::parse(quote).unwrap(),
            mantissa: i64::try_from(value.mantissa()).unwrap(),
            places: value.places(),
            origin: Origin {
                ts: Time::MIN,
                received: Time::MIN,
                source: LabelId(0),
                inc: None,
                seq: None,
            },
        }
    }

    #[test]
    fn converts_by_the_stated_rule() {
        let mut rates = Rates::default();
        rates.set(&rate("EUR", "USD", "1.25"));
        rates.set(&rate("EUR", "GBP", "0.8"));
        rates.set(&rate("JPY", "USD", "0.0067"));
        let check = |from: &str, to: &str, pivot: Option<&str>, expected: Option<&str>| {
            let rule = FxRule {
                pivot: pivot.map(|p| Currency::parse(p).unwrap()),
                ..FxRule::default()
            };
            let (a, b) = (Currency::parse(from).unwrap(), Currency::parse(to).unwrap());
            let got = rates
                .convert(a, b, rule)
                .map(|d| d.normalized().to_string());
            assert_eq!(got.as_deref(), expected, "{from}/{to} {pivot:?}");
        };
        check("USD", "USD", None, Some("1"));
        check("EUR", "USD", None, Some("1.25"));
        check("USD", "EUR", None, None);
        check("USD", "EUR", Some("EUR"), Some("0.8"));
        check("GBP", "USD", Some("EUR"), Some("1.5625"));
        check("JPY", "USD", Some("EUR"), Some("0.0067"));
        check("CHF", "USD", Some("EUR"), None);
    }
}
