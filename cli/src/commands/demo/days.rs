//! Real days of the Dow: a spin-off, then closes over MQTT, each level beside the published one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use divisor_engine::Decimal;
use rumqttc::QoS;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{DAYS, SPINOFF, apply};
use crate::commands::index;
use crate::connection::{Broker, Connection, Message};
use crate::feed::{Fleet, FleetOptions, Quote, Shipment, Subject, time};
use crate::levels;
use crate::output::{self, Format, Row};

/// What S&P Dow Jones published for 2021-11-04.
const PUBLISHED_DIVISOR: &str = "0.15172752595384";
/// The closing auctions are over.
const CLOSE: &str = "T21:00:00Z";
/// How long a level may take to arrive.
const LEVEL_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
struct Days {
    index: String,
    days: Vec<Day>,
}

#[derive(Debug, Deserialize)]
struct Day {
    date: String,
    closes: BTreeMap<String, Decimal>,
    published: Decimal,
    /// False where the published level does not follow from the closes, for anybody.
    exact: bool,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct DayRow {
    day: String,
    computed: Decimal,
    published: Decimal,
    difference: Decimal,
    exact: bool,
}

impl Row for DayRow {
    const COLUMNS: &'static [&'static str] = &["day", ">computed", ">published", ">difference"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.day.clone(),
            self.computed.to_string(),
            self.published.to_string(),
            self.difference.to_string(),
        ]
    }
}

impl DayRow {
    fn new(day: &Day, computed: Decimal) -> anyhow::Result<Self> {
        let places = computed.places().max(day.published.places());
        let mantissa = |value: Decimal| value.at_places(places).context("too many digits");
        Ok(Self {
            day: day.date.clone(),
            computed,
            published: day.published,
            difference: Decimal::new(mantissa(computed)? - mantissa(day.published)?, places),
            exact: day.exact,
        })
    }

    fn right(&self) -> bool {
        !self.exact || self.difference.mantissa() == 0
    }
}

/// Loads the spin-off and compares the divisor. True when it is the published one.
pub(crate) async fn spin_off(connection: &Connection, quiet: bool) -> anyhow::Result<bool> {
    let days = days()?;
    let before = index::show(connection, &days.index).await?;
    apply(connection, "spinoff.json", SPINOFF).await?;
    let after = index::show(connection, &days.index).await?;
    let published: Decimal = PUBLISHED_DIVISOR.parse()?;
    let right = after.divisor == Some(published);
    if !quiet || !right {
        let shown = |divisor: Option<Decimal>| divisor.map_or_else(String::new, |d| d.to_string());
        output::say(format_args!(
            "IBM spins off Kyndryl: the divisor {} becomes {}, published {PUBLISHED_DIVISOR}: {}",
            shown(before.divisor),
            shown(after.divisor),
            if right {
                "equal in all 14 digits"
            } else {
                "DIFFERENT"
            }
        ));
    }
    Ok(right)
}

fn days() -> anyhow::Result<Days> {
    serde_json::from_str(DAYS).context("failed to read the embedded days")
}

/// Publishes the closes of each day and prints the levels. True when all are right.
pub(crate) async fn replay(
    address: &Broker,
    connection: &Connection,
    count: usize,
    format: Format,
) -> anyhow::Result<bool> {
    let days = days()?;
    let mut listener = super::connect(address).await?;
    let mut levels = listener.messages();
    listener
        .subscribe(vec![divisor_wire::topic::level_topic(&days.index)])
        .await?;
    let options = FleetOptions {
        publishers: 1,
        window: 100,
        qos: QoS::AtLeastOnce,
        batch: 1,
    };
    let mut rows = Vec::new();
    for day in days.days.iter().take(count) {
        publish(address, options, day).await?;
        // Every close is acknowledged, so this is the day's last level.
        let detail = index::show(connection, &days.index).await?;
        let computed = arrived(&mut levels, detail.row.seq).await?;
        rows.push(DayRow::new(day, computed)?);
    }
    drop(levels);
    listener.close().await;
    output::rows(format, &rows)?;
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|row| !row.right())
        .map(|row| row.day.as_str())
        .collect();
    if !wrong.is_empty() {
        output::say(format_args!("different on {}", wrong.join(", ")));
    }
    Ok(wrong.is_empty())
}

async fn publish(address: &Broker, options: FleetOptions, day: &Day) -> anyhow::Result<()> {
    let fleet = Fleet::open(address, "demo", None, options).await?;
    let ts = time(&format!("{}{CLOSE}", day.date));
    for (symbol, close) in &day.closes {
        let shipment = Shipment {
            topic: Subject::Security(symbol.clone()).topic().into(),
            quotes: vec![Quote {
                ts,
                ..Quote::of(*close)
            }],
        };
        fleet.send(0, shipment).await?;
    }
    let (accounting, lost) = fleet.finish().await;
    if let Some(lost) = lost {
        return Err(lost.into());
    }
    if accounting.refused > 0 {
        bail!(
            "closes of {} were refused: {}",
            day.date,
            accounting.progress()
        );
    }
    Ok(())
}

/// The level with this number as it came over MQTT; a later one would do as well.
async fn arrived(levels: &mut mpsc::Receiver<Message>, seq: u64) -> anyhow::Result<Decimal> {
    let deadline = Instant::now() + LEVEL_TIMEOUT;
    loop {
        let message = timeout_at(deadline, levels.recv()).await;
        let waited = LEVEL_TIMEOUT.as_secs();
        let message =
            message.with_context(|| format!("level {seq} did not arrive in {waited} s"))?;
        let message = message.context("the connection ended")?;
        if let Some(level) = levels::read(&message.payload).filter(|level| level.seq >= seq) {
            return Ok(level.level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::BEFORE;
    use super::*;
    use crate::fixtures::Source;

    #[test]
    fn a_difference_is_told_where_the_closes_decide() {
        let check = |computed: &str, published: &str, exact, difference: &str, right| {
            let day = Day {
                date: "2021-11-04".to_owned(),
                closes: BTreeMap::new(),
                published: published.parse().unwrap(),
                exact,
            };
            let row = DayRow::new(&day, computed.parse().unwrap()).unwrap();
            assert_eq!(
                (row.difference.to_string().as_str(), row.right()),
                (difference, right),
                "{computed} {published}"
            );
        };
        check("36124.23", "36124.23", true, "0.00", true);
        check("36124.2", "36124.20", true, "0.00", true);
        check("36124.24", "36124.23", true, "0.01", false);
        check("36124.22", "36124.23", true, "-0.01", false);
        check("36124.22", "36124.23", false, "-0.01", true);
    }

    #[test]
    fn the_days_fit_the_basket() {
        let days = days().unwrap();
        let source = Source {
            name: "before".to_owned(),
            text: BEFORE.to_owned(),
        };
        let items = crate::fixtures::parse(&[source], None, false)
            .unwrap()
            .items;
        assert!(days.days.len() >= 20);
        assert!(items.indexes.iter().any(|index| index.code == days.index));
        for day in &days.days {
            assert!(
                time(&format!("{}{CLOSE}", day.date)).is_some(),
                "{}",
                day.date
            );
            let mut symbols: Vec<&str> = items.securities.iter().map(|s| &*s.symbol).collect();
            symbols.sort_unstable();
            assert_eq!(
                day.closes.keys().map(String::as_str).collect::<Vec<_>>(),
                symbols
            );
        }
    }
}
