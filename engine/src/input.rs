//! Everything that changes the engine's state. The journal holds exactly these.

use serde::{Deserialize, Serialize};

use crate::correct::{Outcome, Stated};
use crate::definition::Definitions;
use crate::{Currency, Decimal, LabelId, Order, Position, SecurityId, Time};

/// One commit batch: what a journal record holds and what [`crate::Engine::apply`] takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The position of the first input; the others follow without a gap.
    pub first: Position,
    /// The batch's time: `ts_calc` of the levels it causes. Never falls from batch to batch.
    pub time: Time,
    /// The inputs. None at all is a due timer.
    pub inputs: Vec<Input>,
}

impl Batch {
    /// The position behind the batch. One without inputs takes a position itself, so that no two
    /// batches share one.
    #[must_use]
    pub const fn next(&self) -> Position {
        self.first
            + if self.inputs.is_empty() {
                1
            } else {
                self.inputs.len() as u64
            }
    }
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A price.
    Tick(Tick),
    /// An FX rate.
    Rate(Rate),
    /// Definitions and revisions, checked by [`crate::Engine::plan`] beforehand.
    Define {
        /// The user or client that loaded them, for the audit trail.
        by: LabelId,
        /// What is defined.
        definitions: Box<Definitions>,
    },
    /// An operator's order, checked by [`crate::Engine::check_order`] beforehand.
    Operate {
        /// The user or client that gave it.
        by: LabelId,
        /// What is ordered.
        order: Box<Order>,
    },
    /// A correction of the past. It changes nothing by itself: it opens a run, which an
    /// [`Input::Restate`] ends.
    Correct {
        /// The user or client that stated it.
        by: LabelId,
        /// What is corrected, and why.
        stated: Box<Stated>,
    },
    /// The end of all runs that are open up to one.
    Restate {
        /// The newest of them.
        through: u32,
        /// What became of them.
        outcome: Box<Outcome>,
    },
    /// Gives the next label id to a text.
    Label(Box<str>),
    /// The daemon has started: its boot count.
    Boot {
        /// Rises by one with each start.
        epoch: u64,
    },
}

/// A price of one security, already checked by [`crate::Engine::admit_price`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Whose price.
    pub security: SecurityId,
    /// The price in units of `10^-price_places` of the security.
    pub price: i64,
    /// Where it comes from and when.
    pub origin: Origin,
    /// Traded size.
    pub size: Option<Decimal>,
    /// Where it traded.
    pub venue: Option<LabelId>,
    /// What kind of price it is.
    pub kind: Kind,
}

/// What kind of price a tick is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A trade, or whatever else the feed calls the last price.
    #[default]
    Trade,
    /// The official opening price of a session. It is the last price as well, unless a trade has
    /// come since.
    Open,
    /// The official closing price of a session. It is the last price until the next session opens:
    /// trades after it do not count, and a later one for the same session replaces it.
    Close,
    /// A net asset value; it counts as a trade does.
    Nav,
}

impl Kind {
    /// All of them, in the order of their codes in journal and store.
    pub const ALL: [Self; 4] = [Self::Trade, Self::Open, Self::Close, Self::Nav];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Open => "open",
            Self::Close => "close",
            Self::Nav => "nav",
        }
    }

    /// The code in journal and store.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Trade => 0,
            Self::Open => 1,
            Self::Close => 2,
            Self::Nav => 3,
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of this code.
    #[must_use]
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// A rate: `rate` units of `quote` for one `base`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// The rate's digits, in units of `10^-places`.
    pub mantissa: i64,
    /// The rate's places.
    pub places: u8,
    /// Where it comes from and when.
    pub origin: Origin,
}

impl Rate {
    /// The rate as a decimal.
    #[must_use]
    pub const fn value(&self) -> Decimal {
        Decimal::new(self.mantissa as i128, self.places)
    }
}

/// The origin of a price or rate: its time and its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// When it was made.
    pub ts: Time,
    /// When the daemon received it.
    pub received: Time,
    /// Who made it.
    pub source: LabelId,
    /// Incarnation of the source.
    pub inc: Option<u64>,
    /// Number within the incarnation. With `inc` it is the identity that makes a redelivery
    /// harmless; alone it only orders equal times.
    pub seq: Option<u64>,
}
