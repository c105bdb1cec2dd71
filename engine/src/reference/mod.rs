//! The volume-weighted median of a window's trades: a kernel of its own, exact.

use std::collections::BTreeMap;

use jiff::civil::Time as Clock;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::definition::Window;
use crate::exact::Ratio;
use crate::input::{Kind, Tick};
use crate::problem::Problem;
use crate::{Decimal, Engine, IndexId, LabelId, Position, RoundingMode, Time};

/// Trades of one window at the most: what is beyond is not believed.
const TRADES_MAX: usize = 4_000_000;

/// The trades of the window that is open, and the level of the last one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Fixing {
    /// The window that trades are gathered for; none before the first trade in one.
    pub(crate) open: Option<Span>,
    /// When it closes by the clock; none for a window of the past, which closes with a trade.
    pub(crate) due: Option<Time>,
    trades: Vec<Trade>,
    /// The unrounded level of the last window.
    pub(crate) level: Option<Ratio>,
    /// The end of the newest window that has closed: a straggler does not open it again.
    #[serde(default)]
    closed: Option<Time>,
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Time,
    pub(crate) end: Time,
}

/// A trade in units of its security.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trade {
    pub(crate) ts: Time,
    pub(crate) price: i64,
    pub(crate) size: Decimal,
    pub(crate) venue: Option<LabelId>,
}

/// The hours of a definition.
pub(crate) fn hours(window: &Window) -> Result<(Clock, Clock), Problem> {
    let clock = |text: &str| {
        let parsed = text.parse::<Clock>().ok();
        parsed.ok_or(Problem::Limits(
            "state a window by two times of day, such as 15:00",
        ))
    };
    let (start, end) = (clock(&window.start)?, clock(&window.end)?);
    let fits = start < end && (1..=1440).contains(&window.partitions) && window.venues_min > 0;
    let deviation = window.deviation_max.is_none_or(Decimal::is_positive);
    if fits && deviation {
        Ok((start, end))
    } else {
        Err(Problem::Limits(
            "state a window that ends after it begins, with 1 to 1,440 partitions and a venue",
        ))
    }
}

/// The window of the day of `ts`.
pub(crate) fn span(ts: Time, hours: (Clock, Clock), zone: &TimeZone) -> Option<Span> {
    let date = zone.to_datetime(jiff::Timestamp::from(ts)).date();
    let at = |clock: Clock| {
        let zoned = date.to_datetime(clock).to_zoned(zone.clone()).ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond())
            .ok()
            .map(Time::from_nanos)
    };
    Some(Span {
        start: at(hours.0)?,
        end: at(hours.1)?,
    })
}

impl Fixing {
    /// Takes a trade that lies in the open window.
    pub(crate) fn take(&mut self, trade: Trade) {
        if trade.size.is_positive() && self.trades.len() < TRADES_MAX {
            self.trades.push(trade);
        }
    }

    /// Lets the trades of the open window follow what an action does to the price.
    pub(crate) fn scale(&mut self, factor: &Ratio) {
        for trade in &mut self.trades {
            let scaled = Ratio::scaled(trade.price.into(), 0).multiply(factor);
            let units = scaled.round_scaled(0, RoundingMode::HalfUp);
            let units = units.and_then(|units| i64::try_from(units).ok());
            trade.price = units.filter(|units| *units > 0).unwrap_or(trade.price);
        }
    }

    /// Ends the open window; true when it gave a level.
    pub(crate) fn close(&mut self, window: &Window, places: u8) -> bool {
        self.due = None;
        let Some(span) = self.open.take() else {
            return false;
        };
        self.closed = Some(span.end);
        let trades = std::mem::take(&mut self.trades);
        let Some(level) = rate(&trades, span, window) else {
            return false;
        };
        self.level = level.divide(&Ratio::scaled(10i128.pow(u32::from(places)), 0));
        self.level.is_some()
    }
}

impl Engine {
    /// Hands a trade to the reference rates of its security. One that comes late for the last price
    /// still counts while its window is open; official prices are no trades, and what the gate
    /// doubts waits for its release.
    pub(crate) fn trade(&mut self, position: Position, tick: &Tick) {
        let Some(security) = self.securities.get(tick.security.at()) else {
            return;
        };
        let counts = security.is_traded
            && tick.kind == Kind::Trade
            && !security.suspended
            && tick.price <= security.price_max;
        let is_guarded = security.is_guarded;
        if counts && !(is_guarded && self.doubt(tick).is_some()) {
            self.take_trade(position, tick);
        }
    }

    /// As [`Self::trade`], of one that an operator has released.
    pub(crate) fn take_trade(&mut self, position: Position, tick: &Tick) {
        if !self.securities[tick.security.at()].is_traded || tick.kind != Kind::Trade {
            return;
        }
        for at in 0..self.fixings.len() {
            let id = self.fixings[at];
            let held = |h: &crate::basket::Holding| h.security == tick.security;
            if self.indexes[id.at()].basket.holdings.iter().any(held) {
                self.trade_in(id, position, tick);
            }
        }
    }

    fn trade_in(&mut self, id: IndexId, position: Position, tick: &Tick) {
        let ts = tick.origin.ts;
        let index = &self.indexes[id.at()];
        let open = index.fixing.as_ref().and_then(|fixing| fixing.open);
        if open.is_some_and(|open| ts >= open.end) {
            self.close_window(id, position);
        }
        self.begin(None, &[id], ts, position);
        let now = self.time;
        let index = &mut self.indexes[id.at()];
        let (Some(window), Some(fixing)) = (&index.definition.window, &mut index.fixing) else {
            return;
        };
        if fixing.open.is_none() {
            let own = hours(window)
                .ok()
                .and_then(|hours| span(ts, hours, &index.days.zone));
            let is_new = |span: &Span| fixing.closed.is_none_or(|closed| closed < span.end);
            fixing.open = own.filter(|span| span.start <= ts && ts < span.end && is_new(span));
            let delay = i64::from(window.delay_s) * 1_000_000_000;
            let due = fixing.open.map(|span| span.end.saturating_add(delay));
            fixing.due = due.filter(|due| *due > now);
        }
        if fixing
            .open
            .is_some_and(|open| open.start <= ts && ts < open.end)
        {
            let size = tick.size.unwrap_or(Decimal::ZERO);
            fixing.take(Trade {
                ts,
                price: tick.price,
                size,
                venue: tick.venue,
            });
        }
    }

    /// Closes the windows whose time has come.
    pub(crate) fn close_due_windows(&mut self, position: Position) {
        for at in 0..self.fixings.len() {
            let id = self.fixings[at];
            let due = self.indexes[id.at()]
                .fixing
                .as_ref()
                .and_then(|fixing| fixing.due);
            if due.is_some_and(|due| due <= self.time) {
                self.close_window(id, position);
            }
        }
    }

    fn close_window(&mut self, id: IndexId, position: Position) {
        let index = &mut self.indexes[id.at()];
        let Some(security) = index.basket.holdings.first().map(|h| h.security) else {
            return;
        };
        let places = self.securities[security.at()].definition.price_places;
        let (Some(window), Some(fixing)) = (&index.definition.window, &mut index.fixing) else {
            return;
        };
        let end = fixing.open.map_or(self.time, |open| open.end);
        if fixing.close(window, places) {
            self.touch(id, end);
            self.start_followers(position);
            self.publish_each_tick(position);
        }
    }
}

/// The mean of the partitions' medians, in units of the price.
fn rate(trades: &[Trade], span: Span, window: &Window) -> Option<Ratio> {
    let mut venues: BTreeMap<Option<LabelId>, Vec<Trade>> = BTreeMap::new();
    for trade in trades {
        venues.entry(trade.venue).or_default().push(*trade);
    }
    if let Some(most) = window.deviation_max {
        let medians: BTreeMap<_, _> = venues
            .iter()
            .filter_map(|(venue, trades)| Some((*venue, weighted_median(trades)?)))
            .collect();
        let middle = median(medians.values().copied().collect())?;
        let bound = middle.multiply(&most.into());
        let is_near = |price: i64| {
            let distance = Ratio::scaled(price.into(), 0).subtract(&middle);
            let distance = distance.clone().max(Ratio::zero().subtract(&distance));
            !distance.subtract(&bound).is_positive()
        };
        venues.retain(|venue, _| medians.get(venue).is_some_and(|price| is_near(*price)));
    }
    if venues.len() < usize::from(window.venues_min) {
        return None;
    }
    let length = i128::from(span.end.as_nanos()) - i128::from(span.start.as_nanos());
    let count = i128::from(window.partitions);
    let mut partitions: BTreeMap<i128, Vec<Trade>> = BTreeMap::new();
    for trade in venues.into_values().flatten() {
        let from_start = i128::from(trade.ts.as_nanos()) - i128::from(span.start.as_nanos());
        partitions
            .entry(from_start * count / length)
            .or_default()
            .push(trade);
    }
    let medians: Vec<i64> = partitions
        .values()
        .filter_map(|t| weighted_median(t))
        .collect();
    let sum: i128 = medians.iter().map(|price| i128::from(*price)).sum();
    Ratio::new(sum, medians.len() as i128)
}

/// The smallest price up to which half of the size was traded.
fn weighted_median(trades: &[Trade]) -> Option<i64> {
    let mut sorted = trades.to_vec();
    sorted.sort_by_key(|trade| trade.price);
    let total = sorted
        .iter()
        .fold(Ratio::zero(), |sum, trade| sum.add(&trade.size.into()));
    let mut double = Ratio::zero();
    for trade in &sorted {
        let size = Ratio::from(trade.size);
        double = double.add(&size).add(&size);
        if !total.subtract(&double).is_positive() {
            return Some(trade.price);
        }
    }
    None
}

/// The middle of some prices; of two in the middle, their mean.
fn median(mut prices: Vec<i64>) -> Option<Ratio> {
    prices.sort_unstable();
    let middle = prices.len() / 2;
    let upper = i128::from(*prices.get(middle)?);
    if prices.len() % 2 == 1 {
        return Some(Ratio::scaled(upper, 0));
    }
    Ratio::new(upper + i128::from(prices[middle - 1]), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(second: i64, price: i64, size: &str, venue: u32) -> Trade {
        Trade {
            ts: Time::from_nanos(second * 1_000_000_000),
            price,
            size: size.parse().unwrap(),
            venue: Some(LabelId(venue)),
        }
    }

    fn check(trades: &[Trade], window: &str, expected: Option<(i128, i128)>) {
        let window: Window = serde_json::from_str(window).unwrap();
        let span = Span {
            start: Time::from_nanos(0),
            end: Time::from_nanos(100_000_000_000),
        };
        let got = rate(trades, span, &window);
        match (got, expected) {
            (None, None) => {}
            (Some(got), Some((n, d))) => {
                assert!(
                    got.subtract(&Ratio::new(n, d).unwrap()).is_zero(),
                    "{got:?}"
                );
            }
            (got, expected) => panic!("{got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn takes_the_smallest_price_with_half_of_the_size() {
        let one = r#"{"start":"15:00","end":"16:00","partitions":1}"#;
        check(&[], one, None);
        check(
            &[trade(1, 10, "1", 1), trade(2, 20, "1", 1)],
            one,
            Some((10, 1)),
        );
        check(
            &[
                trade(1, 30, "0.5", 1),
                trade(2, 10, "1", 1),
                trade(3, 20, "1", 2),
            ],
            one,
            Some((20, 1)),
        );
    }

    #[test]
    fn leaves_empty_partitions_out() {
        let four = r#"{"start":"15:00","end":"16:00","partitions":4}"#;
        let trades = [
            trade(0, 10, "1", 1),
            trade(24, 12, "3", 1),
            trade(25, 20, "1", 1),
            trade(99, 31, "1", 1),
        ];
        check(&trades, four, Some((12 + 20 + 31, 3)));
    }

    #[test]
    fn leaves_venues_out_that_lie_apart() {
        let rule = r#"{"start":"15:00","end":"16:00","partitions":1,"deviation_max":"0.05",
            "venues_min":2}"#;
        let near = [
            trade(1, 100, "1", 1),
            trade(2, 104, "9", 2),
            trade(3, 102, "1", 3),
        ];
        check(&near, rule, Some((104, 1)));
        // 150 is 47 % above the middle of the three medians.
        let apart = [
            trade(1, 100, "1", 1),
            trade(2, 150, "9", 2),
            trade(3, 102, "1", 3),
        ];
        check(&apart, rule, Some((100, 1)));
        check(&[trade(1, 100, "1", 1)], rule, None);
    }
}
