//! Levels as they arrive: reading, gaps in their numbers, and the line of each.

use std::collections::HashMap;

use divisor_wire::level::LevelMessage;
use serde::Serialize;

use crate::output::Row;

/// What a level's number says about the ones before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// The next one, or the first that is seen.
    Next,
    /// The one that is there already: a repetition after a reconnect.
    Repeated,
    /// Numbers are missing in between: from, to.
    Gap(u64, u64),
}

/// The last number of each index.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    last: HashMap<String, u64>,
}

impl Gaps {
    /// Takes a level's number in. A retained level starts the count anew: what lies before it was
    /// never promised to a new subscription.
    pub(crate) fn see(&mut self, index: &str, seq: u64, retained: bool) -> Continuity {
        let Some(last) = self.last.get_mut(index) else {
            self.last.insert(index.to_owned(), seq);
            return Continuity::Next;
        };
        let before = *last;
        *last = seq;
        match seq.checked_sub(before) {
            Some(0) => Continuity::Repeated,
            Some(1) => Continuity::Next,
            Some(_) if !retained => Continuity::Gap(before + 1, seq - 1),
            // A lower number: the daemon has a new state directory.
            Some(_) | None => Continuity::Next,
        }
    }
}

/// Reads a level; `None` for what is none.
pub(crate) fn read(payload: &[u8]) -> Option<LevelMessage> {
    serde_json::from_slice(payload).ok()
}

/// A level as a row.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct LevelRow(pub LevelMessage);

impl Row for LevelRow {
    const COLUMNS: &'static [&'static str] = &[
        "index",
        "level",
        "chg",
        "chg_pct",
        "prev_close",
        "ts",
        "ts_calc",
        "epoch",
        "seq",
        "pos",
        "rev",
        "status",
        "stale",
    ];

    fn cells(&self) -> Vec<String> {
        let level = &self.0;
        let shown = |value: &Option<divisor_engine::Decimal>| {
            value.map(|value| value.to_string()).unwrap_or_default()
        };
        vec![
            level.index.clone(),
            level.level.to_string(),
            shown(&level.chg),
            shown(&level.chg_pct),
            shown(&level.prev_close),
            level.ts.clone(),
            level.ts_calc.clone(),
            level.epoch.to_string(),
            level.seq.to_string(),
            level.pos.to_string(),
            level.rev.to_string(),
            level.status.clone(),
            level.stale.to_string(),
        ]
    }
}

/// The line of a level for people, with the change coloured; columns line up without knowing what
/// comes next.
pub(crate) fn line(level: &LevelMessage) -> String {
    let signed = |value: divisor_engine::Decimal| {
        let sign = if value.is_positive() { "+" } else { "" };
        format!("{sign}{value}")
    };
    let change = match (level.chg, level.chg_pct) {
        (Some(chg), Some(percent)) => format!("{:>12} {:>9}", signed(chg), signed(percent) + "%"),
        _ => format!("{:>12} {:>9}", "-", "-"),
    };
    let rises = level.chg.and_then(|chg| match chg.mantissa() {
        0 => None,
        mantissa => Some(mantissa > 0),
    });
    format!(
        "{}  {:<12} {:>16} {}  #{:<8} {}",
        level.ts,
        level.index,
        level.level.to_string(),
        crate::output::coloured(&change, rises),
        level.seq,
        level.status
    )
}

/// The header that fits [`line()`].
pub(crate) fn header() -> String {
    format!(
        "{:<27}  {:<12} {:>16} {:>12} {:>9}  {:<9} {}",
        "ts", "index", "level", "chg", "chg %", "seq", "status"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_gaps_but_not_in_what_was_never_promised() {
        let mut gaps = Gaps::default();
        let mut check = |seq, retained, expected: Continuity| {
            assert_eq!(gaps.see("X", seq, retained), expected, "{seq} {retained}");
        };
        check(99, true, Continuity::Next);
        check(100, false, Continuity::Next);
        check(100, false, Continuity::Repeated);
        check(103, false, Continuity::Gap(101, 102));
        check(104, false, Continuity::Next);
        check(200, true, Continuity::Next);
        check(201, false, Continuity::Next);
        check(1, false, Continuity::Next);
        check(2, false, Continuity::Next);
        assert_eq!(
            gaps.see("Y", 7, false),
            Continuity::Next,
            "the first is no gap"
        );
    }

    #[test]
    fn lines_up() {
        let text = r#"{"v":1,"index":"DJIA","level":"36124.23","chg":"-33.35","chg_pct":"-0.09",
            "prev_close":"36157.58","ts":"2021-11-04T21:00:00.000000Z",
            "ts_calc":"2026-11-22T21:00:00.000000Z","epoch":1,"seq":3,"pos":61,"rev":2,
            "status":"live","stale":0}"#;
        let level = read(text.as_bytes()).unwrap();
        let plain = anstream::adapter::strip_str(&line(&level)).to_string();
        assert_eq!(
            plain,
            "2021-11-04T21:00:00.000000Z  DJIA                 36124.23       -33.35    -0.09%  #3        live"
        );
        let at = |text: &str, part: &str| text.find(part).map(|at| at + part.len());
        assert_eq!(at(&header(), "level"), at(&plain, "36124.23"));
        assert_eq!(LevelRow::COLUMNS.len(), LevelRow(level).cells().len());
        assert!(read(b"{}").is_none());
    }
}
