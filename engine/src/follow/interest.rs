//! Interest rates and how much of a year lies between two days.

use jiff::civil::Date;

use super::Follow;
use crate::definition::{DayCount, Interest, RateQuote};
use crate::exact::Ratio;
use crate::{Decimal, Engine};

/// The days between two fixings, counted from 1970-01-01.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: i32,
    pub(super) to: i32,
}

impl Span {
    /// Nothing accrues: the moment in which a variant starts, or is fixed anew within a day.
    pub(super) const fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// The part of a year, by a day count.
    pub(super) fn years(self, count: DayCount) -> Ratio {
        if self.is_empty() {
            return Ratio::zero();
        }
        let days = i128::from(self.to) - i128::from(self.from);
        let part = |days: i128, year: i128| Ratio::new(days, year).unwrap_or_else(Ratio::zero);
        match count {
            DayCount::Act360 => part(days, 360),
            DayCount::Act365 => part(days, 365),
            DayCount::Day360 => part(1, 360),
            DayCount::Day365 => part(1, 365),
            DayCount::Day252 => part(1, 252),
            DayCount::ActAct => self.actual(),
            DayCount::Thirty360 => part(self.thirty(), 360),
        }
    }

    /// Each day by the length of its own year.
    fn actual(self) -> Ratio {
        let mut sum = Ratio::zero();
        let mut from = self.from;
        while from < self.to {
            let year = date(from).year();
            let length = if date(from).in_leap_year() { 366 } else { 365 };
            let next = Date::new(year + 1, 1, 1)
                .map_or(self.to, number)
                .min(self.to);
            let days = i128::from(next.max(from + 1) - from);
            sum = sum.add(&Ratio::new(days, length).unwrap_or_else(Ratio::zero));
            from = next.max(from + 1);
        }
        sum
    }

    /// Days of a year whose months have 30 (30E/360).
    fn thirty(self) -> i128 {
        let (from, to) = (date(self.from), date(self.to));
        let day = |date: Date| i128::from(date.day().min(30));
        let months = 12 * (i128::from(to.year()) - i128::from(from.year()))
            + i128::from(to.month())
            - i128::from(from.month());
        months * 30 + day(to) - day(from)
    }
}

/// The date of a day's number.
pub(super) fn date(day: i32) -> Date {
    let epoch = Date::constant(1970, 1, 1);
    epoch
        .checked_add(jiff::Span::new().days(day.clamp(-700_000, 2_900_000)))
        .unwrap_or(epoch)
}

/// The number of a date, counted from 1970-01-01.
pub(crate) fn number(date: Date) -> i32 {
    let epoch = Date::constant(1970, 1, 1);
    date.since((jiff::Unit::Day, epoch))
        .map_or(0, |span| span.get_days())
}

impl Engine {
    /// What an interest rate comes to between two days; `None` while its security has no price.
    pub(super) fn accrued(
        &self,
        follow: &Follow,
        interest: Option<&Interest>,
        span: Span,
    ) -> Option<Ratio> {
        let Some(interest) = interest else {
            return Some(Ratio::zero());
        };
        if let Some(daily) = interest.daily {
            return Some(if span.is_empty() {
                Ratio::zero()
            } else {
                daily.into()
            });
        }
        let annual: Ratio = match (&interest.annual, &interest.security) {
            (Some(annual), _) => (*annual).into(),
            (None, Some(symbol)) => {
                let id = follow.inputs.get(symbol)?;
                let price: Ratio = self.securities.get(id.at())?.last_price()?.into();
                let percent = match interest.quote {
                    RateQuote::Percent => price,
                    RateQuote::HundredLess => Ratio::from(Decimal::from(100)).subtract(&price),
                };
                percent.multiply(&Decimal::new(1, 2).into())
            }
            (None, None) => return None,
        };
        Some(annual.multiply(&span.years(interest.day_count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_days() {
        let check = |from: &str, to: &str, count, expected: (i128, i128)| {
            let span = Span {
                from: number(from.parse().unwrap()),
                to: number(to.parse().unwrap()),
            };
            let exact = Ratio::new(expected.0, expected.1).unwrap();
            let got = span.years(count);
            assert!(
                got.subtract(&exact).is_zero(),
                "{from} to {to}, {count:?}: {got:?}"
            );
        };
        check("2026-01-02", "2026-01-05", DayCount::Act360, (3, 360));
        check("2026-01-02", "2026-01-05", DayCount::Act365, (3, 365));
        check("2026-01-02", "2026-01-05", DayCount::Day360, (1, 360));
        check("2026-01-02", "2026-01-05", DayCount::Day365, (1, 365));
        check("2026-01-02", "2026-01-05", DayCount::Day252, (1, 252));
        check("2026-01-02", "2026-01-02", DayCount::Day252, (0, 1));
        check("2024-01-01", "2024-07-01", DayCount::ActAct, (182, 366));
        check(
            "2023-12-30",
            "2024-01-02",
            DayCount::ActAct,
            (2 * 366 + 365, 365 * 366),
        );
        check("2022-06-30", "2025-06-30", DayCount::ActAct, (3, 1));
        check("2026-01-31", "2026-02-28", DayCount::Thirty360, (28, 360));
        check("2026-02-28", "2026-03-31", DayCount::Thirty360, (32, 360));
        check("2025-12-31", "2026-12-31", DayCount::Thirty360, (1, 1));
    }

    #[test]
    fn numbers_days_from_1970() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2026-01-05", 20_458),
        ] {
            let parsed: Date = text.parse().unwrap();
            assert_eq!(number(parsed), expected);
            assert_eq!(date(expected), parsed);
        }
        let _ends = (date(i32::MIN), date(i32::MAX));
    }
}
