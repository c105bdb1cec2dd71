//! Files of prices to rows with times and an identity.

use divisor_engine::Kind;
use divisor_wire::command::{HistoryFile, HistoryRow, Items};
use jiff::tz::TimeZone;

use crate::exit::WrongInput;
use crate::feed::time;
use crate::fixtures::{PriceRow, Source, prices};

/// Complaints beyond this many say nothing new.
const ERRORS_MAX: usize = 20;

/// What a date without a time of day means, and what kind of price a row is that states none.
#[derive(Debug, Clone)]
pub(crate) struct Dated {
    /// The time of the day.
    pub(crate) at: jiff::civil::Time,
    /// Whose clock it is.
    pub(crate) zone: TimeZone,
    /// The kind of prices that do not state one.
    pub(crate) kind: Kind,
}

/// The rows of a file, by time, and who they are.
#[derive(Debug)]
pub(crate) struct PriceFile {
    pub(crate) identity: HistoryFile,
    pub(crate) rows: Vec<HistoryRow>,
}

impl Dated {
    /// Nanoseconds since 1970 of RFC 3339, or of a date at this time of the day.
    fn nanos(&self, text: &str) -> Option<i64> {
        if text.len() > 10 {
            return time(text).map(divisor_engine::Time::as_nanos);
        }
        let date: jiff::civil::Date = text.parse().ok()?;
        let local = date.to_datetime(self.at).to_zoned(self.zone.clone()).ok()?;
        i64::try_from(local.timestamp().as_nanosecond()).ok()
    }
}

/// The rows of a CSV file.
pub(crate) fn of_table(source: &Source, number: u32, dated: &Dated) -> anyhow::Result<PriceFile> {
    let text = source.text.trim_start_matches('\u{feff}');
    let table = prices(&source.name, text).map_err(WrongInput)?;
    let rows = table.rows.into_iter();
    let rows = rows.map(|row: PriceRow| (row.symbol, row.price, row.ts, row.kind));
    of_rows(&source.name, hash(text.as_bytes()), number, dated, rows)
}

/// The prices and rates of fixtures.
pub(crate) fn of_items(items: &Items, number: u32, dated: &Dated) -> anyhow::Result<PriceFile> {
    let market = Items {
        rates: items.rates.clone(),
        prices: items.prices.clone(),
        ..Items::default()
    };
    let content = hash(&serde_json::to_vec(&market)?);
    let rates = market.rates.into_iter().map(|rate| {
        let pair = format!("{}/{}", rate.base, rate.quote);
        (pair, rate.rate, rate.ts, Kind::Trade)
    });
    let prices = market.prices.into_iter();
    let prices = prices.map(|price| (price.symbol, price.price, price.ts, price.kind));
    of_rows("the fixtures", content, number, dated, rates.chain(prices))
}

fn of_rows(
    name: &str,
    content: u64,
    number: u32,
    dated: &Dated,
    rows: impl Iterator<Item = (String, divisor_engine::Decimal, Option<String>, Kind)>,
) -> anyhow::Result<PriceFile> {
    let mut errors = Vec::new();
    let mut timed = Vec::new();
    for (place, (subject, price, ts, kind)) in (1u64..).zip(rows) {
        let Some(nanos) = ts.as_deref().and_then(|ts| dated.nanos(ts)) else {
            errors.push(format!(
                "{name}: row {place} has no time, which history needs"
            ));
            if errors.len() == ERRORS_MAX {
                break;
            }
            continue;
        };
        let kind = if kind == Kind::Trade {
            dated.kind
        } else {
            kind
        };
        timed.push(HistoryRow(number, 0, subject, price, nanos, kind));
    }
    if !errors.is_empty() {
        return Err(WrongInput(errors).into());
    }
    // Rows of one moment stay in the order of the file.
    timed.sort_by_key(|row| row.4);
    for (place, row) in (1u64..).zip(&mut timed) {
        row.1 = place;
    }
    let identity = HistoryFile {
        src: format!("backfill-{content:016x}"),
        inc: content,
    };
    Ok(PriceFile {
        identity,
        rows: timed,
    })
}

/// FNV-1a: the same on every machine and version, so that a file is known again.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_times_and_numbers() {
        let dated = Dated {
            at: "16:00".parse().unwrap(),
            zone: TimeZone::get("America/New_York").unwrap(),
            kind: Kind::Close,
        };
        let source = |text: &str| Source {
            name: "f.csv".to_owned(),
            text: text.to_owned(),
        };
        let text =
            "symbol,price,ts\nA,2,2021-11-05\nB,1,2021-11-04\nEUR/USD,1.1,2021-11-04T09:00:00Z\n";
        let file = of_table(&source(text), 3, &dated).unwrap();
        let line = |row: &HistoryRow| {
            let ts = divisor_engine::Time::from_nanos(row.4);
            format!("{} {} {} {ts} {}", row.0, row.1, row.2, row.5.as_str())
        };
        let lines: Vec<String> = file.rows.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "3 1 EUR/USD 2021-11-04T09:00:00.000000Z close",
                "3 2 B 2021-11-04T20:00:00.000000Z close",
                "3 3 A 2021-11-05T20:00:00.000000Z close",
            ]
        );
        let again = of_table(&source(text), 0, &dated).unwrap();
        assert_eq!(file.identity, again.identity);
        let wrong = of_table(&source("symbol,price\nA,1\n"), 0, &dated).unwrap_err();
        assert!(wrong.to_string().contains("row 1 has no time"), "{wrong}");
    }
}
