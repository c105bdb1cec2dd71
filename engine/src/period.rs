//! Days and periods of an index in its own time zone.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::definition::{Day, Reset, TimeOfDay};
use crate::problem::Problem;

/// The day a time falls in: its end, and whether a reset period ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// The first moment of the day.
    #[serde(default = "unknown")]
    pub(crate) day_begin: Time,
    /// The first moment of the next day.
    pub(crate) day_end: Time,
    /// The first moment of the next reset period; [`Time::MAX`] for [`Reset::Never`].
    pub(crate) period_end: Time,
}

/// The beginning of a day that an earlier version has not noted.
const fn unknown() -> Time {
    Time::MIN
}

/// The days of an index: where one ends and the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) zone: TimeZone,
    /// Never 00:00.
    ends: TimeOfDay,
}

impl Days {
    /// Stands in until a snapshot's zones are looked up.
    pub(crate) const fn utc() -> Self {
        Self {
            zone: TimeZone::UTC,
            ends: TimeOfDay::MIDNIGHT,
        }
    }

    /// Days by a rule.
    ///
    /// # Errors
    ///
    /// For a zone that is none, and for days that end as they begin.
    pub(crate) fn new(rule: &Day) -> Result<Self, Problem> {
        let clip = || rule.zone.chars().take(64).collect();
        let zone = zone(&rule.zone).ok_or_else(|| Problem::Zone(clip()))?;
        if rule.ends.seconds() == 0 {
            return Err(Problem::Limits(
                "have a day that ends at 00:00: midnight is 24:00",
            ));
        }
        let ends = rule.ends;
        Ok(Self { zone, ends })
    }

    /// The date of the day that a time falls in.
    pub(crate) fn date(&self, time: Time) -> Date {
        let date = self.zone.to_datetime(jiff::Timestamp::from(time)).date();
        match date.tomorrow() {
            Ok(next) if self.ends != TimeOfDay::MIDNIGHT && self.begin(next) <= time => next,
            _ => date,
        }
    }

    /// The first moment of a day; "never" at the end of what can be told.
    pub(crate) fn begin(&self, date: Date) -> Time {
        if self.ends == TimeOfDay::MIDNIGHT {
            return start_of(date, &self.zone);
        }
        let seconds = i64::from(self.ends.seconds());
        let end = |before: Date| {
            let midnight = before.to_datetime(jiff::civil::Time::midnight());
            let end = midnight.checked_add(jiff::Span::new().seconds(seconds));
            end.and_then(|end| end.to_zoned(self.zone.clone())).ok()
        };
        let begin = date.yesterday().ok().and_then(end);
        begin
            .and_then(|begin| i64::try_from(begin.timestamp().as_nanosecond()).ok())
            .map_or(Time::MAX, Time::from_nanos)
    }

    /// The day and period of `time`.
    pub(crate) fn span(&self, time: Time, reset: Reset) -> Span {
        let date = self.date(time);
        let tomorrow = date.tomorrow().ok();
        let next = match reset {
            Reset::Never => None,
            Reset::Daily => tomorrow,
            Reset::Weekly => date.nth_weekday(1, Weekday::Monday).ok(),
            Reset::Monthly => date.last_of_month().tomorrow().ok(),
            Reset::Quarterly => {
                let last = (date.month() + 2) / 3 * 3;
                Date::new(date.year(), last, 1)
                    .ok()
                    .and_then(|first| first.last_of_month().tomorrow().ok())
            }
            Reset::Yearly => date.last_of_year().tomorrow().ok(),
            Reset::ThirdFridayMonthly => behind_third_friday(date, 1),
            Reset::ThirdFridayQuarterly => behind_third_friday(date, 3),
            Reset::ThirdFridayYearly => behind_third_friday(date, 12),
        };
        let begin = |date: Option<Date>| date.map_or(Time::MAX, |date| self.begin(date));
        Span {
            day_begin: self.begin(date),
            day_end: begin(tomorrow),
            period_end: begin(next),
        }
    }

    /// The number of the date of `time`, counted from 1970-01-01.
    pub(crate) fn number(&self, time: Time) -> i32 {
        crate::follow::day_number(self.date(time))
    }
}

/// Looks a time zone up in the data that is compiled in, so that every machine has the same days.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// The next day behind the third Friday of a month whose number is a multiple of `step`.
fn behind_third_friday(date: Date, step: i8) -> Option<Date> {
    let mut month = date.first_of_month();
    loop {
        let friday = month.nth_weekday_of_month(3, Weekday::Friday).ok()?;
        let next = friday.tomorrow().ok()?;
        if month.month() % step == 0 && next > date {
            return Some(next);
        }
        month = month.last_of_month().tomorrow().ok()?;
    }
}

/// The first moment of a date in a zone; "never" at the end of what can be told.
pub(crate) fn start_of(date: Date, zone: &TimeZone) -> Time {
    let start = date.to_zoned(zone.clone()).ok();
    start
        .and_then(|start| i64::try_from(start.timestamp().as_nanosecond()).ok())
        .map_or(Time::MAX, Time::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        let stamp: jiff::Timestamp = text.parse().unwrap();
        Time::from_nanos(stamp.as_nanosecond().try_into().unwrap())
    }

    fn days(zone: &str, ends: &str) -> Days {
        let rule = format!(r#"{{"zone":"{zone}","ends":"{ends}"}}"#);
        Days::new(&serde_json::from_str(&rule).unwrap()).unwrap()
    }

    fn span(time: Time, zone: &str, reset: Reset) -> Span {
        days(zone, "24:00").span(time, reset)
    }

    #[test]
    fn ends_days_by_the_clock_on_the_wall() {
        // Zone, end, time; date and beginning of its day. Summer time began in London on 2021-03-28
        // and ended on 2021-10-31, when 01:30 came twice: the first one counts.
        for case in [
            "Europe/London 16:00 2021-10-30T14:59:59Z 2021-10-30 2021-10-29T15:00:00Z",
            "Europe/London 16:00 2021-10-30T15:00:00Z 2021-10-31 2021-10-30T15:00:00Z",
            "Europe/London 16:00 2021-10-31T15:59:59Z 2021-10-31 2021-10-30T15:00:00Z",
            "Europe/London 16:00 2021-10-31T16:00:00Z 2021-11-01 2021-10-31T16:00:00Z",
            "Europe/London 24:00 2021-10-31T00:30:00Z 2021-10-31 2021-10-30T23:00:00Z",
            "Europe/London 01:30 2021-10-31T00:29:59Z 2021-10-31 2021-10-30T00:30:00Z",
            "Europe/London 01:30 2021-10-31T00:30:00Z 2021-11-01 2021-10-31T00:30:00Z",
            "Europe/London 01:30 2021-10-31T01:15:00Z 2021-11-01 2021-10-31T00:30:00Z",
            "Europe/London 01:30 2021-03-28T01:29:59Z 2021-03-28 2021-03-27T01:30:00Z",
            "Europe/London 01:30 2021-03-28T01:30:00Z 2021-03-29 2021-03-28T01:30:00Z",
            "America/Chicago 17:00 2026-01-01T23:30:00Z 2026-01-02 2026-01-01T23:00:00Z",
        ] {
            let parts: Vec<&str> = case.split(' ').collect();
            let (days, at) = (days(parts[0], parts[1]), time(parts[2]));
            assert_eq!(days.date(at).to_string(), parts[3], "{case}");
            let span = days.span(at, Reset::Never);
            assert_eq!(span.day_begin, time(parts[4]), "{case}");
            assert!((span.day_begin..span.day_end).contains(&at), "{case}");
            assert_eq!(days.date(span.day_end), days.date(at).tomorrow().unwrap());
        }
        let chicago = days("America/Chicago", "17:00");
        let month = chicago.span(time("2026-01-30T20:00:00Z"), Reset::Monthly);
        assert_eq!(month.period_end, time("2026-01-31T23:00:00Z"));
        let none = Day {
            ends: TimeOfDay::parse("00:00").unwrap(),
            ..Day::default()
        };
        assert!(Days::new(&none).is_err());
    }

    #[test]
    fn ends_days_and_periods() {
        let check = |at: &str, tz: &str, reset, day_end: &str, period_end: Option<&str>| {
            let got = span(time(at), tz, reset);
            assert_eq!(
                got.day_end.to_string(),
                time(day_end).to_string(),
                "{at} {tz}"
            );
            assert_eq!(
                got.period_end,
                period_end.map_or(Time::MAX, time),
                "{at} {tz} {reset:?}"
            );
        };
        let noon = "2021-11-04T12:00:00Z";
        let midnight = "2021-11-05T00:00:00Z";
        check(noon, "UTC", Reset::Never, midnight, None);
        check(noon, "UTC", Reset::Daily, midnight, Some(midnight));
        check(
            noon,
            "UTC",
            Reset::Weekly,
            midnight,
            Some("2021-11-08T00:00:00Z"),
        );
        check(
            noon,
            "UTC",
            Reset::Monthly,
            midnight,
            Some("2021-12-01T00:00:00Z"),
        );
        check(
            noon,
            "UTC",
            Reset::Quarterly,
            midnight,
            Some("2022-01-01T00:00:00Z"),
        );
        check(
            noon,
            "UTC",
            Reset::Yearly,
            midnight,
            Some("2022-01-01T00:00:00Z"),
        );
        // New York: 4 h behind before 2021-11-07, 5 h after.
        check(
            "2021-11-07T03:00:00Z",
            "America/New_York",
            Reset::Daily,
            "2021-11-07T04:00:00Z",
            Some("2021-11-07T04:00:00Z"),
        );
        check(
            "2021-11-07T04:00:00Z",
            "America/New_York",
            Reset::Daily,
            "2021-11-08T05:00:00Z",
            Some("2021-11-08T05:00:00Z"),
        );
        // A Monday belongs to the week it begins.
        check(
            "2021-11-08T00:00:00Z",
            "UTC",
            Reset::Weekly,
            "2021-11-09T00:00:00Z",
            Some("2021-11-15T00:00:00Z"),
        );
    }

    #[test]
    fn knows_its_ends() {
        assert!(zone("Mars/Olympus").is_none());
        assert!(zone("Asia/Nowhere").is_none());
        let _ends = (
            span(Time::MIN, "UTC", Reset::Yearly),
            span(Time::MAX, "Asia/Tokyo", Reset::Weekly),
            days("UTC", "16:00").span(Time::MIN, Reset::Yearly),
            days("Asia/Tokyo", "16:00").span(Time::MAX, Reset::Weekly),
        );
    }

    #[test]
    fn ends_periods_behind_third_fridays() {
        let check = |at: &str, reset, end: &str| {
            let got = span(time(at), "UTC", reset);
            assert_eq!(got.period_end, time(end), "{at} {reset:?}");
        };
        let noon = "2021-11-04T12:00:00Z";
        check(noon, Reset::ThirdFridayMonthly, "2021-11-20T00:00:00Z");
        check(noon, Reset::ThirdFridayQuarterly, "2021-12-18T00:00:00Z");
        check(noon, Reset::ThirdFridayYearly, "2021-12-18T00:00:00Z");
        let friday = "2021-12-17T23:59:59Z";
        check(friday, Reset::ThirdFridayYearly, "2021-12-18T00:00:00Z");
        let behind = "2021-12-18T00:00:00Z";
        check(behind, Reset::ThirdFridayMonthly, "2022-01-22T00:00:00Z");
        check(behind, Reset::ThirdFridayQuarterly, "2022-03-19T00:00:00Z");
        check(behind, Reset::ThirdFridayYearly, "2022-12-17T00:00:00Z");
    }
}
