//! The universe of `fixtures/`, and prices for it that walk at random, the same in each run.

use std::io::Write;

use divisor_engine::definition::Dissemination;
use divisor_wire::command::Items;

use super::mqtt;

const FIXTURE: &str = include_str!("../../../fixtures/universe/universe.json");

/// 2^16 - 1 ids are as many as there are.
const PACKET_IDS: u64 = 65_535;

/// The universe with every index in this mode, and its members.
pub(crate) struct Universe {
    pub(crate) items: Items,
    /// For each index its code and, by security, whether it holds it.
    pub(crate) holds: Vec<(String, Vec<bool>)>,
}

impl Universe {
    pub(crate) fn new(mode: Dissemination) -> Self {
        let mut items: Items = serde_json::from_str(FIXTURE).unwrap();
        let mut holds = Vec::new();
        for index in &mut items.indexes {
            index.dissemination = mode;
            let symbols: Vec<&str> = index.basket.iter().map(|c| c.symbol.as_str()).collect();
            let securities = items.securities.iter();
            let held = securities.map(|s| symbols.contains(&s.symbol.as_str()));
            holds.push((index.code.clone(), held.collect()));
        }
        Self { items, holds }
    }

    /// How many levels `ticks` ticks make when each makes its own, sent by `feeds` feeds.
    pub(crate) fn levels_of(&self, ticks: u64, feeds: usize) -> u64 {
        let each = ticks / feeds as u64;
        let of_feed = |feed: usize| {
            let own: Vec<usize> = (feed..self.items.securities.len()).step_by(feeds).collect();
            let held_by = |at: usize| self.holds.iter().filter(|(_, held)| held[at]).count() as u64;
            let tick = |n: u64| held_by(own[(n % own.len() as u64) as usize]);
            (0..each).map(tick).sum::<u64>()
        };
        (0..feeds).map(of_feed).sum()
    }
}

/// A publisher's prices: its own share of the securities, one after the other.
pub(crate) struct Feed {
    source: String,
    /// Topic, last price and its places.
    securities: Vec<(String, i64, u32)>,
    sequence: u64,
    random: u64,
}

impl Feed {
    /// Feed number `feed` of `feeds`; a source is a new one in each round.
    pub(crate) fn new(items: &Items, source: String, feed: usize, feeds: usize) -> Self {
        let prices = items.prices.iter().skip(feed).step_by(feeds);
        let securities = prices.map(|item| {
            let topic = format!("securities/{}/price", item.symbol);
            let mantissa = i64::try_from(item.price.mantissa()).unwrap();
            (topic, mantissa, item.price.places().into())
        });
        Self {
            source,
            securities: securities.collect(),
            sequence: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ feed as u64,
        }
    }

    /// Topic and payload of the next tick, made at this time.
    pub(crate) fn tick(&mut self, micros: i64, payload: &mut Vec<u8>) -> &str {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let at = (self.sequence % self.securities.len() as u64) as usize;
        let (topic, price, places) = &mut self.securities[at];
        *price = (*price + (self.random % 7).cast_signed() - 3).max(1);
        let unit = 10i64.pow(*places);
        let (whole, part) = (*price / unit, *price % unit);
        let width = *places as usize;
        let time = jiff::Timestamp::from_microsecond(micros).unwrap();
        write!(payload, r#"{{"price":"{whole}"#).unwrap();
        if width > 0 {
            write!(payload, ".{part:0width$}").unwrap();
        }
        let (source, sequence) = (&self.source, self.sequence);
        write!(
            payload,
            r#"","ts":"{time:.6}","src":"{source}","inc":7,"seq":{sequence}}}"#
        )
        .unwrap();
        self.sequence += 1;
        topic
    }

    /// Appends the next tick as a packet; ids go round.
    pub(crate) fn packet(&mut self, micros: i64, out: &mut Vec<u8>) {
        let packet_id = (self.sequence % PACKET_IDS + 1) as u16;
        let mut payload = Vec::with_capacity(128);
        let topic = self.tick(micros, &mut payload);
        mqtt::publish(out, topic, packet_id, &payload);
    }
}
