//! When an exchange, or an index, is open.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Sessions by a weekly pattern with dated exceptions, in the local time of a zone.
///
/// ```json
/// {"name": "XNYS", "zone": "America/New_York",
///  "week": [{"days": ["mon", "tue", "wed", "thu", "fri"], "open": "09:30", "close": "16:00"}],
///  "holidays": ["2021-11-25"],
///  "special": [{"date": "2021-11-26", "open": "09:30", "close": "13:00"}]}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarDefinition {
    /// The name by which securities and indexes refer to it: a market identifier code, or `24x7`.
    pub name: String,
    /// An IANA time zone such as `America/New_York`. Daylight saving is that of the zone.
    pub zone: String,
    /// Where the dates come from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The first date for which the exceptions are complete, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// The last date for which the exceptions are complete, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Date>,
    /// The regular sessions; at most one for each weekday.
    pub week: Vec<Week>,
    /// Dates without a session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<Date>,
    /// Dates with other hours than their weekday: half days, extra sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<SpecialDay>,
}

/// The session of some weekdays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Week {
    /// Which weekdays.
    pub days: Vec<Weekday>,
    /// From when on indicative levels leave; the open when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_open: Option<TimeOfDay>,
    /// When trading begins. At or after the close it is the evening before: `"open": "18:00",
    /// "close": "17:00"` is a session from evening to evening.
    pub open: TimeOfDay,
    /// When trading ends; `24:00` is the end of the day.
    pub close: TimeOfDay,
    /// A break within the session: nobody is stale for being silent in it.
    #[serde(default, rename = "break", skip_serializing_if = "Option::is_none")]
    pub pause: Option<Break>,
}

/// The session of one date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecialDay {
    /// Which date.
    pub date: Date,
    /// From when on indicative levels leave; the open when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_open: Option<TimeOfDay>,
    /// When trading begins. At or after the close it is the evening before: `"open": "18:00",
    /// "close": "17:00"` is a session from evening to evening.
    pub open: TimeOfDay,
    /// When trading ends; `24:00` is the end of the day.
    pub close: TimeOfDay,
    /// A break within the session: nobody is stale for being silent in it.
    #[serde(default, rename = "break", skip_serializing_if = "Option::is_none")]
    pub pause: Option<Break>,
}

/// A break of a session, on the date that it closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// When it begins.
    pub from: TimeOfDay,
    /// When trading goes on.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the days of the week")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A time of a day in seconds since its midnight by the clock on the wall, up to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// The end of a day.
    pub const MIDNIGHT: Self = Self(86_400);

    /// `HH:MM` or `HH:MM:SS`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut part = |max: u32| {
            let part = parts.next()?;
            let two = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            two.then(|| part.parse().ok())?
                .filter(|number| *number <= max)
        };
        let (hours, minutes) = (part(24)?, part(59)?);
        let seconds = if text.len() > 5 { part(59)? } else { 0 };
        let total = hours * 3_600 + minutes * 60 + seconds;
        (text.len() <= 8 && text.len() != 6 && text.len() != 7 && total <= 86_400)
            .then_some(Self(total))
    }

    /// Seconds since midnight.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3_600, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hours:02}:{minutes:02}")?;
        if seconds > 0 {
            write!(f, ":{seconds:02}")?;
        }
        Ok(())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!("`{text}` is no time of a day; use HH:MM"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_of_a_day() {
        let check = |text: &str, expected: Option<&str>| {
            let got = TimeOfDay::parse(text).map(|time| time.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("09:30", Some("09:30"));
        check("09:30:05", Some("09:30:05"));
        check("16:00:00", Some("16:00"));
        check("24:00", Some("24:00"));
        for wrong in [
            "24:01",
            "9:30",
            "09:60",
            "0930",
            "09:30:",
            "09:30:1",
            "",
            "-1:00",
            "09:30:05Z",
        ] {
            check(wrong, None);
        }
    }
}
