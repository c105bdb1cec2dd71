//! A price as a publisher sends it on `securities/{symbol}/price`, and a rate on
//! `fx/{base}/{quote}/rate`: lenient in, named errors out.

use divisor_engine::{Decimal, Time};

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
}

/// What one message holds after decoding: the good ticks and the bad ones with their place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The ticks that could be read, in their order.
    pub ticks: Vec<Tick>,
    /// For each refused tick its place in the message, counted from 0, and why.
    pub refused: Vec<(u32, crate::Reason)>,
}
