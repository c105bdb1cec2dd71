//! What the daemon publishes on `indexes/{code}/level`: strict out.

pub mod compact;

use divisor_engine::{Decimal, Level, RoundingMode, Time};
use serde::{Deserialize, Serialize};

/// A level as it stands on the wire, version 1. Decimals are texts, times RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelMessage {
    /// The payload's version, 1.
    pub v: u8,
    /// The index code.
    pub index: String,
    /// The level with the definition's places.
    pub level: Decimal,
    /// Level minus previous close; absent before the first close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chg: Option<Decimal>,
    /// The same in percent of the previous close, two places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chg_pct: Option<Decimal>,
    /// The official close of the session before; the last level of the index's day before where
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_close: Option<Decimal>,
    /// The time of the newest input.
    pub ts: String,
    /// The time of the calculation.
    pub ts_calc: String,
    /// The daemon's boot count.
    pub epoch: u64,
    /// The number of the level: contiguous per index. A step over one is a gap.
    pub seq: u64,
    /// The position of the input that caused it.
    pub pos: u64,
    /// The revision of basket and divisor.
    pub rev: u32,
    /// What the level is worth: `pre_open`, `indicative`, `live`, `halted`, `stale`, `closing`,
    /// `closed`, `final` or `restated`.
    pub status: String,
    /// Constituents whose price is stale by the definition's threshold.
    pub stale: u32,
}

/// Change and change in percent against the previous close.
#[must_use]
pub fn change(level: Decimal, prev_close: Option<Decimal>) -> Option<(Decimal, Decimal)> {
    let close = prev_close.filter(|close| close.is_positive())?;
    let places = level.places().max(close.places());
    let difference = level
        .at_places(places)?
        .checked_sub(close.at_places(places)?)?;
    let percent = difference.checked_mul(10_000)?;
    let percent =
        divisor_engine::div_round(percent, close.at_places(places)?, RoundingMode::HalfUp);
    Some((Decimal::new(difference, places), Decimal::new(percent, 2)))
}

/// Writes the JSON of a level. By hand, since it is the hot way out: the field order is fixed and
/// nothing needs escaping (index codes are printable ASCII; the two that JSON escapes are done).
pub fn encode(out: &mut Vec<u8>, code: &str, level: &Level, epoch: u64) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = write!(out, r#"{{"v":1,"index":""#);
    for byte in code.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    let _ = write!(out, r#"","level":"{}""#, level.level);
    if let Some((chg, percent)) = change(level.level, level.prev_close) {
        let _ = write!(out, r#","chg":"{chg}","chg_pct":"{percent}""#);
    }
    if let Some(close) = level.prev_close {
        let _ = write!(out, r#","prev_close":"{close}""#);
    }
    let _ = write!(
        out,
        r#","ts":"{}","ts_calc":"{}","epoch":{epoch},"seq":{},"pos":{},"rev":{},"status":"{}","stale":{}}}"#,
        level.ts,
        level.ts_calc,
        level.seq,
        level.position,
        level.revision,
        level.status.as_str(),
        level.stale,
    );
}

/// Reads a time as it stands on the wire.
#[must_use]
pub fn time(text: &str) -> Option<Time> {
    let stamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(stamp.as_nanosecond())
        .ok()
        .map(Time::from_nanos)
}

#[cfg(test)]
mod tests {
    use divisor_engine::{IndexId, Status};

    use super::*;

    #[test]
    fn encodes_what_serde_reads() {
        let level = Level {
            index: IndexId(0),
            seq: 99_120,
            level: "39131.53".parse().unwrap(),
            prev_close: Some("39069.11".parse().unwrap()),
            ts: Time::from_nanos(1_763_821_800_123_456_000),
            ts_calc: Time::from_nanos(1_763_821_800_124_011_000),
            position: 8_812_345,
            revision: 7,
            status: Status::Live,
            stale: 3,
        };
        let mut out = Vec::new();
        encode(&mut out, r#"DO"W\30"#, &level, 3);
        let message: LevelMessage = serde_json::from_slice(&out).unwrap();
        assert_eq!(message.index, r#"DO"W\30"#);
        assert_eq!(message.chg.unwrap().to_string(), "62.42");
        assert_eq!(message.chg_pct.unwrap().to_string(), "0.16");
        assert_eq!(time(&message.ts), Some(level.ts));
        assert_eq!(
            serde_json::to_vec(&message).unwrap(),
            out,
            "the same bytes as serde's"
        );
        let first = Level {
            prev_close: None,
            ..level
        };
        out.clear();
        encode(&mut out, "X", &first, 3);
        let message: LevelMessage = serde_json::from_slice(&out).unwrap();
        assert_eq!((message.chg, message.prev_close), (None, None));
        assert_eq!(serde_json::to_vec(&message).unwrap(), out);
    }

    #[test]
    fn rounds_the_percentage() {
        let check = |level: &str, close: &str, expected: Option<(&str, &str)>| {
            let got = change(level.parse().unwrap(), Some(close.parse().unwrap()))
                .map(|(chg, percent)| (chg.to_string(), percent.to_string()));
            let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(got, expected, "{level} after {close}");
        };
        check("99.50", "100.00", Some(("-0.50", "-0.50")));
        check("100.005", "100.00", Some(("0.005", "0.01")));
        check("1", "3", Some(("-2", "-66.67")));
        check("1", "0", None);
    }
}
