//! Recorded prices at their own pace, faster, or as fast as they go.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use divisor_engine::Time;

use super::tick::{Quote, Subject, time};
use crate::exit::WrongInput;
use crate::fixtures::{self, PriceRow, Source};

/// How fast a recording plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast as recorded; 1 is `real`.
    Times(f64),
    /// As fast as acknowledgements come.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            "real" => Ok(Self::Times(1.0)),
            _ => {
                let times = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
                let times = times.filter(|times| times.is_finite() && *times > 0.0);
                times.map(Self::Times).ok_or_else(|| {
                    format!("`{text}` is no speed; use max, real, or a factor such as 10x")
                })
            }
        }
    }
}

/// The ticks of a file in their order, each with its distance from the first.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The ticks.
    pub(crate) ticks: Vec<(Subject, Quote)>,
}

impl Recording {
    /// Reads a CSV file; `-` is stdin.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let source = Source::read(path)?;
        let text = source.text.trim_start_matches('\u{feff}');
        let prices = fixtures::prices(&source.name, text).map_err(WrongInput)?;
        Self::of(&source.name, prices.rows).map_err(|error| WrongInput::one(error).into())
    }

    fn of(name: &str, rows: Vec<PriceRow>) -> Result<Self, String> {
        if rows.is_empty() {
            return Err(format!("{name}: no prices"));
        }
        let tick = |row: PriceRow| {
            let quote = Quote {
                price: row.price,
                ts: row.ts.as_deref().and_then(time),
                size: row.size,
                ccy: row.ccy,
                venue: row.venue,
                kind: row.kind,
            };
            (Subject::parse(&row.symbol), quote)
        };
        Ok(Self {
            ticks: rows.into_iter().map(tick).collect(),
        })
    }

    /// When the tick at this place is due after the first; a tick without a time, or with one
    /// that goes back, is due at once.
    pub(crate) fn offset(&self, at: usize, speed: Speed) -> Duration {
        let Speed::Times(times) = speed else {
            return Duration::ZERO;
        };
        let of = |at: usize| self.ticks.get(at).and_then(|(_, quote)| quote.ts);
        let (Some(first), Some(this)) = (of(0), of(at)) else {
            return Duration::ZERO;
        };
        let nanos = |time: Time| i128::from(time.as_nanos());
        let apart = u64::try_from(nanos(this) - nanos(first)).unwrap_or(0);
        Duration::try_from_secs_f64(Duration::from_nanos(apart).as_secs_f64() / times)
            .unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_speeds() {
        let check = |text: &str, expected: Option<Speed>| {
            assert_eq!(text.parse::<Speed>().ok(), expected, "{text}");
        };
        check("max", Some(Speed::Max));
        check("real", Some(Speed::Times(1.0)));
        check("10x", Some(Speed::Times(10.0)));
        check("0.5", Some(Speed::Times(0.5)));
        for wrong in ["0x", "-1", "NaN", "inf", "fast", ""] {
            check(wrong, None);
        }
    }

    #[test]
    fn keeps_the_distances() {
        let text = "symbol,price,ts\nA,1,2021-11-04T10:00:00Z\nA,2,2021-11-04T10:00:05Z\n\
                    EUR/USD,3,\nA,4,2021-11-04T09:00:00Z\n";
        let rows = fixtures::prices("f", text).unwrap().rows;
        let recording = Recording::of("f", rows).unwrap();
        let offsets: Vec<u128> = (0..4)
            .map(|at| recording.offset(at, Speed::Times(10.0)).as_millis())
            .collect();
        assert_eq!(offsets, [0, 500, 0, 0]);
        assert_eq!(recording.offset(1, Speed::Max), Duration::ZERO);
        assert_eq!(recording.ticks[2].0, Subject::parse("EUR/USD"));
    }
}
