//! A price as a publisher sends it on `securities/{symbol}/price`, and a rate on
//! `fx/{base}/{quote}/rate`: lenient in, named errors out.
//!
//! | payload | ticks |
//! |---|---|
//! | `{"price":"189.84","ts":"2026-11-22T14:30:00.123456Z","src":"feed-1"}` | one |
//! | `[{"price":1},{"price":2}]`, `[1,2]` | two |
//! | `189.84`, `"189.84"` | one |
//! | the same in CBOR, told apart by the first byte: `{0: 4([-2, 18984]), 2: 42}` | one |
//!
//! [`decode`] reads the usual shapes with `scan` and hands everything else to `strict`, which
//! is `serde_json`; a property test holds the two together. Both fill the same `fields`.

use divisor_engine::{Decimal, Kind, Time};

use crate::Reason;

mod compact;
mod fields;
mod scan;
mod strict;
mod when;

/// One price in a message, or one FX rate: the same shape, the topic says which.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// The price, or units of the quote currency for one of the base currency. Above zero.
    pub price: Decimal,
    /// When the price was made. `None` means the receive time.
    pub ts: Option<Time>,
    /// Who made it. `None` means the user or the client id.
    pub src: Option<Box<str>>,
    /// The incarnation of the source: a number drawn at its start.
    pub inc: Option<u64>,
    /// The number of the tick within the incarnation, rising by one.
    pub seq: Option<u64>,
    /// Traded size.
    pub size: Option<Decimal>,
    /// The currency the source believes the price to be in; checked, not converted.
    pub ccy: Option<Box<str>>,
    /// Where it traded, as a market identifier code or a name.
    pub venue: Option<Box<str>>,
    /// What kind of price it is: `type` on the wire. A trade where that is absent or unknown.
    pub kind: Kind,
}

/// What one message holds after decoding: the good ticks and the bad ones with their place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The ticks that could be read, in their order.
    pub ticks: Vec<Tick>,
    /// For each refused tick its place in the message, counted from 0, and why.
    pub refused: Vec<(u32, Reason)>,
}

impl Decoded {
    /// Takes the next tick of the message, good or bad.
    fn push(&mut self, tick: Result<Tick, Reason>) {
        match tick {
            Ok(tick) => self.ticks.push(tick),
            Err(reason) => {
                // A message is bounded far below 2^32 ticks; the clamp keeps the place honest.
                let place = u32::try_from(self.len()).unwrap_or(u32::MAX);
                self.refused.push((place, reason));
            }
        }
    }

    fn len(&self) -> usize {
        self.ticks.len() + self.refused.len()
    }
}

/// Reads the payload of a price or rate message.
///
/// # Errors
/// What is wrong with the message as a whole: empty, not readable, or more than `ticks_max` ticks.
/// A bad tick in a readable message is reported in [`Decoded::refused`].
pub fn decode(payload: &[u8], ticks_max: usize) -> Result<Decoded, Reason> {
    if crate::cbor::is_cbor(payload) {
        return compact::decode(payload, ticks_max);
    }
    let payload = payload.trim_ascii();
    match payload.first() {
        None => Err(Reason::EmptyPayload),
        Some(b'{' | b'[') => match scan::decode(payload, ticks_max) {
            Some(decoded) => Ok(decoded),
            None => strict::decode(payload, ticks_max),
        },
        Some(_) => {
            let mut decoded = Decoded::default();
            let literal = payload
                .strip_prefix(b"\"")
                .and_then(|rest| rest.strip_suffix(b"\""))
                .unwrap_or(payload);
            // A text that is no number at all is no message of ours; a number of forty digits is
            // a bad price.
            match Decimal::parse(literal) {
                Err(divisor_engine::DecimalError::Syntax) => return Err(Reason::Malformed),
                Err(divisor_engine::DecimalError::TooLong) => decoded.push(Err(Reason::BadPrice)),
                Ok(price) => decoded.push(fields::bare(price)),
            }
            Ok(decoded)
        }
    }
}

#[cfg(test)]
mod tests;
