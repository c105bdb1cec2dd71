//! The rows of the store as plain values: what the follower makes of the journal's records.
//!
//! Ids are those of the engine (dense, from 0); sources and venues are ids of [`LabelRow`]s.

use std::borrow::Cow;
use std::sync::Arc;

use divisor_engine::{Decimal, Kind, Time};
use jiff::civil::Date;

/// What the engine did with a tick or a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Effect {
    /// It is the last price now.
    Applied = 0,
    /// It is older than the last price (invariant 7).
    Late = 1,
    /// Its identity was seen before.
    Duplicate = 2,
    /// A plausibility rule holds it back.
    Held = 3,
    /// It was sequenced, and the engine would not have it.
    Refused = 4,
    /// A better source has spoken lately.
    Outranked = 5,
    /// A trade behind the official close of its session.
    AfterClose = 6,
}

/// Where a tick or a rate comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The journal position.
    pub position: u64,
    /// When it was made.
    pub ts: Time,
    /// When it was received.
    pub received: Time,
    /// The label of its source.
    pub src: u32,
    /// The incarnation of the source.
    pub inc: Option<u64>,
    /// Its number within the incarnation.
    pub seq: Option<u64>,
    /// What became of it.
    pub effect: Effect,
}

/// A price of a security.
#[derive(Debug, Clone, PartialEq)]
pub struct TickRow {
    /// Where it comes from.
    pub origin: Origin,
    /// The security.
    pub security: u32,
    /// The price, with the places it was sent with.
    pub price: Decimal,
    /// The traded size.
    pub size: Option<Decimal>,
    /// The label of the venue.
    pub venue: Option<u32>,
    /// What kind of price it is.
    pub kind: Kind,
}

/// An exchange rate: units of `quote` for one `base`.
#[derive(Debug, Clone, PartialEq)]
pub struct RateRow {
    /// Where it comes from.
    pub origin: Origin,
    /// The base currency.
    pub base: Arc<str>,
    /// The quote currency.
    pub quote: Arc<str>,
    /// The rate.
    pub rate: Decimal,
}

/// A level of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelRow {
    /// The journal position of the input that caused it.
    pub position: u64,
    /// The index.
    pub index: u32,
    /// Its number within the index.
    pub seq: u64,
    /// The level.
    pub level: Decimal,
    /// The level that change figures refer to.
    pub prev_close: Option<Decimal>,
    /// The time of the newest price in it.
    pub ts: Time,
    /// When it was calculated.
    pub ts_calc: Time,
    /// The revision of the basket.
    pub revision: u32,
    /// 0 for what was published live; a correction has a run of its own.
    pub run: u32,
    /// How many members had a stale price.
    pub stale: u32,
    /// The status as the wire spells it.
    pub status: Cow<'static, str>,
}

/// Why a price or a rate was held back; what became of it later is an order's affair.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldRow {
    /// The journal position of the price or rate.
    pub position: u64,
    /// Why, as the wire spells it.
    pub doubt: Cow<'static, str>,
    /// What it was compared with.
    pub reference: Decimal,
}

/// An input that is neither a price nor a rate.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRow {
    /// The journal position.
    pub position: u64,
    /// When it was received.
    pub received: Time,
    /// The client that sent it, or the daemon's part that made it.
    pub client: String,
    /// The user, where one was authenticated.
    pub user: Option<String>,
    /// What it does.
    pub verb: String,
    /// The rest, as JSON.
    pub body: String,
}

/// One commit batch of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRow {
    /// The position of its first input; it reaches to the next batch.
    pub position: u64,
    /// Its time.
    pub time: Time,
}

/// A text and its number, which never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    /// The number.
    pub id: u32,
    /// The journal position that introduced it.
    pub position: u64,
    /// The text.
    pub text: String,
}

/// A security as last defined.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityRow {
    /// The engine's id.
    pub id: u32,
    /// The symbol of its topic.
    pub symbol: String,
    /// A name for people.
    pub name: Option<String>,
    /// The currency of its prices.
    pub currency: String,
    /// The places of its prices.
    pub price_places: u8,
    /// The journal position of this definition.
    pub position: u64,
    /// Whether it is in service.
    pub life: Cow<'static, str>,
    /// The rest, as JSON.
    pub body: String,
}

/// An index as last defined.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexRow {
    /// The engine's id.
    pub id: u32,
    /// The code of its topic.
    pub code: String,
    /// A name for people.
    pub name: Option<String>,
    /// The currency of its level.
    pub currency: String,
    /// The journal position of this definition.
    pub position: u64,
    /// Whether it is in service.
    pub life: Cow<'static, str>,
    /// The rule book, as JSON.
    pub body: String,
}

/// A revision of an index: its basket and the divisor that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionRow {
    /// The index.
    pub index: u32,
    /// The number of the revision.
    pub revision: u32,
    /// Which run of corrections has made it; 0 is what was published.
    pub run: u32,
    /// The journal position that made it.
    pub position: u64,
    /// From when on it counts.
    pub effective: Time,
    /// The rounded divisor; none while the index waits for prices.
    pub divisor: Option<Decimal>,
    /// Cash in the basket.
    pub cash: Option<Decimal>,
    /// The rest, as JSON.
    pub body: String,
    /// What is in it.
    pub members: Vec<MemberRow>,
}

/// A security in a basket.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// The security.
    pub security: u32,
    /// Units × factors: what the price is multiplied by.
    pub coefficient: Decimal,
    /// The price when the revision was made.
    pub price: Option<Decimal>,
    /// The weight when the revision was made.
    pub weight: Option<Decimal>,
}

/// A corporate action.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionRow {
    /// The journal position.
    pub position: u64,
    /// Its place among the actions of one input.
    pub place: u16,
    /// The index, where it concerns one alone.
    pub index: Option<u32>,
    /// The security.
    pub security: Option<u32>,
    /// What happened.
    pub kind: String,
    /// The first day without the right.
    pub ex_date: Option<Date>,
    /// The rest, as JSON.
    pub body: String,
}

/// The official close of an index on a day.
#[derive(Debug, Clone, PartialEq)]
pub struct CloseRow {
    /// The index.
    pub index: u32,
    /// The day in the index's calendar.
    pub day: Date,
    /// 0 for the first; a restatement has a run of its own.
    pub run: u32,
    /// The revision of the basket.
    pub revision: u32,
    /// The journal position.
    pub position: u64,
    /// The time of the level.
    pub ts: Time,
    /// The level.
    pub level: Decimal,
    /// `closed`, or `final` once it was confirmed.
    pub status: Cow<'static, str>,
    /// The number of the level.
    pub seq: u64,
    /// The close before.
    pub prev_close: Option<Decimal>,
    /// The divisor in force.
    pub divisor: Option<Decimal>,
    /// The special opening quotation of the session.
    pub soq: Option<Decimal>,
    /// The composition, as JSON.
    pub body: String,
}

/// The rows of some consecutive journal records, in an order that references allow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowBatch {
    /// The commit batches.
    pub batches: Vec<BatchRow>,
    /// New labels.
    pub labels: Vec<LabelRow>,
    /// New and changed securities.
    pub securities: Vec<SecurityRow>,
    /// New and changed indexes.
    pub indexes: Vec<IndexRow>,
    /// New revisions.
    pub revisions: Vec<RevisionRow>,
    /// Corporate actions.
    pub actions: Vec<ActionRow>,
    /// Everything else that was sequenced.
    pub commands: Vec<CommandRow>,
    /// Why prices and rates were held back.
    pub held: Vec<HeldRow>,
    /// Official closes.
    pub closes: Vec<CloseRow>,
    /// Prices.
    pub ticks: Vec<TickRow>,
    /// Rates.
    pub rates: Vec<RateRow>,
    /// Levels.
    pub levels: Vec<LevelRow>,
}

impl RowBatch {
    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.labels.clear();
        self.securities.clear();
        self.indexes.clear();
        self.revisions.clear();
        self.actions.clear();
        self.commands.clear();
        self.held.clear();
        self.closes.clear();
        self.ticks.clear();
        self.rates.clear();
        self.levels.clear();
    }

    /// How many rows there are, the members of a basket among them.
    #[must_use]
    pub fn len(&self) -> usize {
        let members: usize = self
            .revisions
            .iter()
            .map(|revision| revision.members.len())
            .sum();
        let rare = self.labels.len() + self.securities.len() + self.indexes.len();
        let events = self.actions.len() + self.commands.len() + self.held.len() + self.closes.len();
        let bulk = self.ticks.len() + self.rates.len() + self.levels.len() + self.batches.len();
        rare + self.revisions.len() + members + events + bulk
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
