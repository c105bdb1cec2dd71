//! Calendars: which session a time belongs to, and when trading time is over.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::definition::{Break, CalendarDefinition, TimeOfDay, Weekday};
use crate::problem::Problem;
use crate::security::check_name;
use crate::{Time, period};

/// How far ahead a session is looked for: no exchange is closed for longer.
const GAP_DAYS_MAX: i32 = 400;

/// Sessions that are walked for one moment at the most; beyond them it is never.
const WALK_MAX: u32 = 10_000;

const SECOND: i64 = 1_000_000_000;

/// A calendar, ready to be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Calendar {
    pub(crate) definition: CalendarDefinition,
    /// Follows from the definition.
    #[serde(skip, default = "utc")]
    pub(crate) zone: TimeZone,
}

/// Stands in until a snapshot's zones are looked up.
const fn utc() -> TimeZone {
    TimeZone::UTC
}

/// One session: `pre_open ≤ open < close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The date it closes on, in the calendar's zone; of one that ends at midnight the date before.
    pub day: Date,
    /// From when on indicative levels leave.
    pub pre_open: Time,
    /// When trading begins.
    pub open: Time,
    /// When trading ends.
    pub close: Time,
}

#[derive(Debug, Clone, Copy)]
struct Hours {
    pre_open: Option<TimeOfDay>,
    open: TimeOfDay,
    close: TimeOfDay,
    pause: Option<Break>,
}

/// The `count`-th day after a date, Mondays to Fridays counted.
pub(crate) fn working_day_after(day: Date, count: u16) -> Option<Date> {
    days_after(day, count, is_working)
}

fn is_working(day: Date) -> bool {
    day.weekday().to_monday_zero_offset() < 5
}

/// The `count`-th date after `day` that counts.
fn days_after(mut day: Date, count: u16, counts: impl Fn(Date) -> bool) -> Option<Date> {
    let mut left = count;
    while left > 0 {
        day = day.tomorrow().ok()?;
        left -= u16::from(counts(day));
    }
    Some(day)
}

impl Calendar {
    /// Checks a definition.
    pub(crate) fn new(definition: CalendarDefinition) -> Result<Self, Problem> {
        check_name(&definition.name)?;
        let zone = period::zone(&definition.zone)
            .ok_or_else(|| Problem::Zone(definition.zone.chars().take(64).collect()))?;
        let wrong = |why| Err(Problem::Calendar(why));
        let mut days: Vec<Weekday> = Vec::new();
        for day in definition.week.iter().flat_map(|week| &week.days) {
            if days.contains(day) {
                return wrong("a weekday has two sessions");
            }
            days.push(*day);
        }
        if days.is_empty() {
            return wrong("there is no weekday with a session");
        }
        let mut special: Vec<Date> = definition.special.iter().map(|day| day.date).collect();
        special.extend(&definition.holidays);
        special.sort_unstable();
        if special.windows(2).any(|pair| pair[0] == pair[1]) {
            return wrong("a date is listed twice among the holidays and special days");
        }
        let calendar = Self { definition, zone };
        let week = calendar.definition.week.iter();
        let hours = week.map(|w| (w.pre_open, w.open, w.close, w.pause));
        let dated = calendar.definition.special.iter();
        let dated = dated.map(|d| (d.pre_open, d.open, d.close, d.pause));
        for (pre_open, open, close, pause) in hours.chain(dated) {
            let evening = open >= close;
            if pre_open.is_some_and(|pre_open| pre_open > open) {
                return wrong("`pre_open` comes after `open`");
            }
            let within = |pause: Break| {
                pause.from < pause.to && pause.to < close && (evening || open < pause.from)
            };
            if pause.is_some_and(|pause| !within(pause)) {
                return wrong("the `break` is not within its session");
            }
        }
        Ok(calendar)
    }

    /// The session of a date, if it has one.
    pub(crate) fn session(&self, day: Date) -> Option<Session> {
        let hours = self.hours(day)?;
        let opens = if hours.open >= hours.close {
            day.yesterday().ok()?
        } else {
            day
        };
        let open = self.at(opens, hours.open)?;
        let close = self.at(day, hours.close)?;
        let pre_open = hours
            .pre_open
            .and_then(|time| self.at(opens, time))
            .map_or(open, |time| time.min(open));
        (open < close).then_some(Session {
            day,
            pre_open,
            open,
            close,
        })
    }

    /// The session that is under way at `time`, or the next one: the first that closes after it.
    pub(crate) fn next(&self, time: Time) -> Option<Session> {
        let mut day = self.date(time).yesterday().ok()?;
        for _ in 0..GAP_DAYS_MAX {
            if let Some(session) = self.session(day).filter(|s| s.close > time) {
                return Some(session);
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// The session that was opened last at `time`.
    pub(crate) fn last(&self, time: Time) -> Option<Session> {
        let mut day = self.date(time).tomorrow().ok()?;
        for _ in 0..GAP_DAYS_MAX {
            if let Some(session) = self.session(day).filter(|s| s.open <= time) {
                return Some(session);
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    /// When `seconds` of trading have gone by since `time`.
    pub(crate) fn after_trading(&self, time: Time, seconds: u32) -> Time {
        let mut left = i64::from(seconds) * SECOND;
        let mut from = time;
        for _ in 0..WALK_MAX {
            let Some(session) = self.next(from) else {
                return Time::MAX;
            };
            for (open, close) in self.trading(&session) {
                let start = from.max(open);
                let span = close.as_nanos().saturating_sub(start.as_nanos());
                if span <= 0 {
                    continue;
                }
                if left <= span {
                    return start.saturating_add(left);
                }
                left -= span;
            }
            from = session.close;
        }
        Time::MAX
    }

    /// The close of the `count`-th session that opens after `time`.
    pub(crate) fn after_sessions(&self, time: Time, count: u16) -> Time {
        let mut from = time;
        let mut left = count;
        while let Some(session) = self.next(from) {
            if session.open > time {
                left = left.saturating_sub(1);
                if left == 0 {
                    return session.close;
                }
            }
            from = session.close;
        }
        Time::MAX
    }

    /// The date of the `count`-th session after a date; beyond the dates that the calendar knows,
    /// Mondays to Fridays.
    pub(crate) fn day_after(&self, day: Date, count: u16) -> Option<Date> {
        let (from, to) = (self.definition.from, self.definition.to);
        let is_known = |day| from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to);
        days_after(day, count, |day| match is_known(day) {
            true => self.session(day).is_some(),
            false => is_working(day),
        })
    }

    /// The parts of a session without its break.
    fn trading(&self, session: &Session) -> [(Time, Time); 2] {
        let pause = self.hours(session.day).and_then(|hours| hours.pause);
        let ends = pause.and_then(|pause| {
            Some((
                self.at(session.day, pause.from)?,
                self.at(session.day, pause.to)?,
            ))
        });
        match ends {
            Some((from, to)) => [(session.open, from), (to, session.close)],
            None => [
                (session.open, session.close),
                (session.close, session.close),
            ],
        }
    }

    fn hours(&self, day: Date) -> Option<Hours> {
        let definition = &self.definition;
        if let Some(special) = definition
            .special
            .iter()
            .find(|special| special.date == day)
        {
            return Some(Hours {
                pre_open: special.pre_open,
                open: special.open,
                close: special.close,
                pause: special.pause,
            });
        }
        if definition.holidays.contains(&day) {
            return None;
        }
        let weekday = weekday(day);
        let week = definition
            .week
            .iter()
            .find(|week| week.days.contains(&weekday))?;
        Some(Hours {
            pre_open: week.pre_open,
            open: week.open,
            close: week.close,
            pause: week.pause,
        })
    }

    /// The date of a time on the clocks of the zone.
    fn date(&self, time: Time) -> Date {
        self.zone.to_datetime(jiff::Timestamp::from(time)).date()
    }

    /// A time on the clocks of the zone; one that a change of the clocks skips is as long after
    /// the one before.
    fn at(&self, day: Date, time: TimeOfDay) -> Option<Time> {
        let midnight = DateTime::from(day);
        let local = midnight.checked_add(jiff::SignedDuration::from_secs(time.seconds().into()));
        let zoned = local.ok()?.to_zoned(self.zone.clone()).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond())
            .ok()
            .map(Time::from_nanos)
    }
}

fn weekday(day: Date) -> Weekday {
    match day.weekday() {
        jiff::civil::Weekday::Monday => Weekday::Mon,
        jiff::civil::Weekday::Tuesday => Weekday::Tue,
        jiff::civil::Weekday::Wednesday => Weekday::Wed,
        jiff::civil::Weekday::Thursday => Weekday::Thu,
        jiff::civil::Weekday::Friday => Weekday::Fri,
        jiff::civil::Weekday::Saturday => Weekday::Sat,
        jiff::civil::Weekday::Sunday => Weekday::Sun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(json: &str) -> Calendar {
        Calendar::new(serde_json::from_str(json).unwrap()).unwrap()
    }

    fn new_york() -> Calendar {
        calendar(
            r#"{"name":"N","zone":"America/New_York","holidays":["2021-11-25"],
                "week":[{"days":["mon","tue","wed","thu","fri"],"pre_open":"09:00","open":"09:30","close":"16:00"}],
                "special":[{"date":"2021-11-26","open":"09:30","close":"13:00"}]}"#,
        )
    }

    fn time(text: &str) -> Time {
        let stamp: jiff::Timestamp = text.parse().unwrap();
        Time::from_nanos(stamp.as_nanosecond().try_into().unwrap())
    }

    #[test]
    fn finds_sessions() {
        let check = |calendar: &Calendar, at: &str, open: &str, close: &str| {
            let session = calendar.next(time(at)).unwrap();
            assert_eq!(
                (session.open, session.close),
                (time(open), time(close)),
                "{at}"
            );
        };
        let n = new_york();
        check(
            &n,
            "2021-11-24T15:00:00Z",
            "2021-11-24T14:30:00Z",
            "2021-11-24T21:00:00Z",
        );
        // A session is over at its close; a holiday and a half day follow.
        check(
            &n,
            "2021-11-24T21:00:00Z",
            "2021-11-26T14:30:00Z",
            "2021-11-26T18:00:00Z",
        );
        check(
            &n,
            "2021-11-26T18:00:00Z",
            "2021-11-29T14:30:00Z",
            "2021-11-29T21:00:00Z",
        );
        // Four hours behind in summer, five in winter.
        check(
            &n,
            "2021-11-05T15:00:00Z",
            "2021-11-05T13:30:00Z",
            "2021-11-05T20:00:00Z",
        );
        assert_eq!(
            n.last(time("2021-11-25T15:00:00Z"))
                .unwrap()
                .day
                .to_string(),
            "2021-11-24"
        );
    }

    #[test]
    fn sessions_may_touch_or_begin_the_evening_before() {
        let check = |calendar: &Calendar, at: &str, open: &str, close: &str| {
            let session = calendar.next(time(at)).unwrap();
            assert_eq!(
                (session.open, session.close),
                (time(open), time(close)),
                "{at}"
            );
        };
        let always = calendar(
            r#"{"name":"24x7","zone":"UTC","week":[{"days":["mon","tue","wed","thu","fri","sat","sun"],
                "open":"00:00","close":"24:00"}]}"#,
        );
        check(
            &always,
            "2021-11-27T23:59:59Z",
            "2021-11-27T00:00:00Z",
            "2021-11-28T00:00:00Z",
        );
        check(
            &always,
            "2021-11-28T00:00:00Z",
            "2021-11-28T00:00:00Z",
            "2021-11-29T00:00:00Z",
        );
        let futures = calendar(
            r#"{"name":"F","zone":"America/Chicago","week":[{"days":["mon","tue","wed","thu","fri"],
                "open":"17:00","close":"16:00"}]}"#,
        );
        check(
            &futures,
            "2021-11-21T23:30:00Z",
            "2021-11-21T23:00:00Z",
            "2021-11-22T22:00:00Z",
        );
        assert_eq!(
            futures
                .next(time("2021-11-21T23:30:00Z"))
                .unwrap()
                .day
                .to_string(),
            "2021-11-22"
        );
    }

    #[test]
    fn counts_trading_time() {
        let n = new_york();
        let check = |from: &str, seconds: u32, until: &str| {
            let until = time(until);
            assert_eq!(
                n.after_trading(time(from), seconds).to_string(),
                until.to_string(),
                "{from}"
            );
        };
        check("2021-11-24T15:00:00Z", 60, "2021-11-24T15:01:00Z");
        check("2021-11-24T20:59:30Z", 60, "2021-11-26T14:30:30Z");
        check("2021-11-26T17:00:00Z", 7_200, "2021-11-29T15:30:00Z");
        let tokyo = calendar(
            r#"{"name":"T","zone":"Asia/Tokyo","week":[{"days":["mon","tue","wed","thu","fri"],
                "open":"09:00","close":"15:00","break":{"from":"11:30","to":"12:30"}}]}"#,
        );
        let at = tokyo.after_trading(time("2021-11-24T02:29:00Z"), 120);
        assert_eq!(at, time("2021-11-24T03:31:00Z"));
        assert_eq!(
            n.after_sessions(time("2021-11-24T15:00:00Z"), 1),
            time("2021-11-26T18:00:00Z")
        );
        assert_eq!(
            n.after_sessions(time("2021-11-24T22:00:00Z"), 2),
            time("2021-11-29T21:00:00Z")
        );
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let check = |week: &str, rest: &str, why: &str| {
            let json = format!(r#"{{"name":"N","zone":"UTC","week":[{week}]{rest}}}"#);
            let refused = Calendar::new(serde_json::from_str(&json).unwrap()).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        };
        let monday = r#"{"days":["mon"],"open":"09:00","close":"10:00"}"#;
        check("", "", "no weekday");
        check(&format!("{monday},{monday}"), "", "two sessions");
        check(
            monday,
            r#","holidays":["2021-01-01","2021-01-01"]"#,
            "twice",
        );
        check(
            r#"{"days":["mon"],"pre_open":"09:30","open":"09:00","close":"10:00"}"#,
            "",
            "pre_open",
        );
        check(
            r#"{"days":["mon"],"open":"09:00","close":"10:00","break":{"from":"08:00","to":"09:30"}}"#,
            "",
            "break",
        );
        let unknown = r#"{"days":["mon"],"open":"09:00","close":"10:00","note":"x"}"#;
        let json = format!(r#"{{"name":"N","zone":"UTC","week":[{unknown}]}}"#);
        assert!(serde_json::from_str::<CalendarDefinition>(&json).is_err());
    }
}
