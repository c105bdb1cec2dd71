//! Days and periods of an index in its own time zone.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Time;
use crate::definition::Reset;

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

/// Looks a time zone up in the data that is compiled in, so that every machine has the same days.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// The day and period of `time`.
pub(crate) fn span(time: Time, zone: &TimeZone, reset: Reset) -> Span {
    let date = zone.to_datetime(jiff::Timestamp::from(time)).date();
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
    Span {
        day_begin: start_of(Some(date), zone),
        day_end: start_of(tomorrow, zone),
        period_end: start_of(next, zone),
    }
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

/// The number of the date of `time`, counted from 1970-01-01.
pub(crate) fn day(time: Time, zone: &TimeZone) -> i32 {
    crate::follow::day_number(zone.to_datetime(jiff::Timestamp::from(time)).date())
}

/// The first moment of a date in a zone; "never" at the end of what can be told.
pub(crate) fn start_of(date: Option<Date>, zone: &TimeZone) -> Time {
    date.and_then(|date| date.to_zoned(zone.clone()).ok())
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

    #[test]
    fn ends_days_and_periods() {
        let check = |at: &str, tz: &str, reset, day_end: &str, period_end: Option<&str>| {
            let got = span(time(at), &zone(tz).unwrap(), reset);
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
            span(Time::MIN, &zone("UTC").unwrap(), Reset::Yearly),
            span(Time::MAX, &zone("Asia/Tokyo").unwrap(), Reset::Weekly),
        );
    }

    #[test]
    fn ends_periods_behind_third_fridays() {
        let check = |at: &str, reset, end: &str| {
            let got = span(time(at), &TimeZone::UTC, reset);
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
