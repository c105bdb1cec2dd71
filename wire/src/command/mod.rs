//! Commands on `divisor/control/{verb}` and replies on `divisor/reply/{client}/{id}`.
//!
//! | verb | body | result |
//! |---|---|---|
//! | `load.begin` | `{id, load}` | `{}` |
//! | `load.part` | `{id, load, part, items}` | `{}` |
//! | `load.commit` | `{id, load, parts, dry_run}` | [`LoadSummary`] |
//! | `load.abort` | `{id, load}` | `{}` |
//! | `index.list` | `{id, after?, limit?}` | [`Page`] of [`IndexRow`] |
//! | `index.show` | `{id, code}` | [`IndexDetail`] |
//! | `index.explain` | `{id, code}` | [`IndexExplanation`] |
//! | `rebalance.plan` | `{id, action}` or `{id, items: {actions}}` | [`Proforma`] |
//! | `security.list` | `{id, after?, limit?}` | [`Page`] of [`SecurityRow`] |
//! | `security.show` | `{id, symbol}` | [`SecurityDetail`] |
//! | `rate.list` | `{id, after?, limit?}` | [`Page`] of [`RateRow`]; `after` is `EUR/USD` |
//! | `calendar.list` | `{id}` | [`Page`] of [`CalendarRow`] |
//! | `calendar.show` | `{id, calendar, from?, limit?}` | [`CalendarDetail`] |
//! | `hold.list` | `{id, after?, limit?}` | [`Page`] of [`HoldRow`]; `after` is a position |
//! | `order` | `{id, order}` | `{}` |
//! | `history` | `{id, history}` | [`HistorySummary`] |
//! | `action.add` | `{id, items: {actions}, dry_run?}` | [`LoadSummary`] |
//! | `action.list` | `{id, after?, limit?, code?, symbol?}` | [`Page`] of [`ActionRow`] |
//! | `action.preview` | `{id, action}` or `{id, items: {actions}}` | [`ActionPreview`] |
//! | `action.cancel` | `{id, action}` | [`LoadSummary`] |
//! | `correct.add` | `{id, correction, dry_run?}` | [`CorrectionSummary`] |
//! | `correct.list` | `{id, after?, limit?}` | [`Page`] of [`CorrectionRow`]; `after` is a run |
//! | `status` | `{id}` | [`DaemonStatus`] |
//!
//! `id` is the sender's own and comes back in the reply. A load is staged part by part and
//! applied whole by its commit, or not at all. `history` puts prices and rates of any times into
//! the sequence as they come, each with an identity of its own, so that sending them again changes
//! nothing.

mod action;
mod backfill;
mod correction;
mod index;
mod security;
mod session;

use divisor_engine::definition::{
    ActionDefinition, CalendarDefinition, Definitions, IndexDefinition, PairDefinition,
    SecurityDefinition,
};
use divisor_engine::{Currency, Decimal, Kind, Order};
use serde::{Deserialize, Serialize};

pub use action::{ActionPreview, ActionRow, BeforeAfter, IndexPreview, MemberPreview};
pub use backfill::{History, HistoryFile, HistoryRow, HistorySummary};
pub use correction::{
    Corrected, CorrectedPrice, CorrectedRate, CorrectionEffect, CorrectionRequest, CorrectionRow,
    CorrectionSummary,
};
pub use index::{
    ExplainedLevel, ExplainedRow, FollowRow, IndexDetail, IndexExplanation, IndexRow, MemberRow,
    Proforma, ProformaRow,
};
pub use security::{RateRow, SecurityDetail, SecurityRow};
pub use session::{CalendarDetail, CalendarRow, HoldRow, SessionRow};

/// The body of any command; which fields are needed, the verb says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The sender's own id for the reply: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
    pub id: String,
    /// The load a part belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// The number of a part, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u32>,
    /// How many parts a commit expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// Validate only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What a part carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Items>,
    /// Which index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Which security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Which calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Sessions from this date on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What is ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Prices and rates of any times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What of the past is corrected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<CorrectionRequest>,
    /// Which corporate action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Rows after this name only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Rows at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The content of a fixture file, and of a part of a load.
///
/// Applied in this order whatever the order in the file: calendars, pairs, securities, rates,
/// prices, indexes, revisions, actions. An index that states its base date comes before the prices
/// and rates of later days (UTC): these move it, one level for each day. An action comes before the
/// prices of its ex-date (UTC), which bring it about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Items {
    /// What a file shows, for people; a load does nothing with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Calendars.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<CalendarDefinition>,
    /// Rules of currency pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairDefinition>,
    /// Securities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub securities: Vec<SecurityDefinition>,
    /// FX rates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateItem>,
    /// Prices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceItem>,
    /// Indexes with their baskets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexDefinition>,
    /// Changes of baskets and reference prices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<divisor_engine::definition::RevisionDefinition>,
    /// Corporate actions and reviews.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionDefinition>,
    /// Ids of announced actions that will not happen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<String>,
}

impl Items {
    /// Takes the content of another part behind this one's.
    pub fn append(&mut self, mut other: Self) {
        self.calendars.append(&mut other.calendars);
        self.pairs.append(&mut other.pairs);
        self.securities.append(&mut other.securities);
        self.rates.append(&mut other.rates);
        self.prices.append(&mut other.prices);
        self.indexes.append(&mut other.indexes);
        self.revisions.append(&mut other.revisions);
        self.actions.append(&mut other.actions);
        self.cancelled.append(&mut other.cancelled);
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.calendars.len()
            + self.pairs.len()
            + self.securities.len()
            + self.rates.len()
            + self.prices.len()
            + self.indexes.len()
            + self.revisions.len()
            + self.actions.len()
            + self.cancelled.len()
    }

    /// True without any row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The securities with what they refer to, and indexes with revisions: the two halves that prices lie between.
    #[must_use]
    pub fn definitions(&self) -> (Definitions, Definitions) {
        let securities = Definitions {
            calendars: self.calendars.clone(),
            pairs: self.pairs.clone(),
            securities: self.securities.clone(),
            ..Definitions::default()
        };
        let indexes = Definitions {
            indexes: self.indexes.clone(),
            revisions: self.revisions.clone(),
            actions: self.actions.clone(),
            cancelled: self.cancelled.clone(),
            ..Definitions::default()
        };
        (securities, indexes)
    }
}

/// A price in a fixture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceItem {
    /// Whose.
    pub symbol: String,
    /// The price.
    pub price: Decimal,
    /// When it was made: RFC 3339 or a date; the time of the load when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
    /// What kind of price it is.
    #[serde(default, rename = "type", skip_serializing_if = "is_trade")]
    pub kind: Kind,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_trade(kind: &Kind) -> bool {
    *kind == Kind::Trade
}

/// A rate in a fixture: `rate` units of `quote` for one `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateItem {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// The rate.
    pub rate: Decimal,
    /// When it was made: RFC 3339 or a date; the time of the load when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply<T> {
    /// The request's id.
    pub id: String,
    /// True when the command was carried out.
    pub ok: bool,
    /// What it gave.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub result: Option<T>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
}

const fn none<T>() -> Option<T> {
    None
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// A stable name: `bad_request`, `unknown_verb`, `not_found`, `refused`, `too_large`,
    /// `incomplete`, `unavailable`.
    pub kind: String,
    /// One line for people.
    pub message: String,
    /// One line for each thing that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// What a load did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// True when nothing was applied on request.
    pub dry_run: bool,
    /// New, changed and unchanged calendars.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub calendars: Tally,
    /// New, changed and unchanged rules of currency pairs.
    #[serde(default, skip_serializing_if = "Tally::is_empty")]
    pub pairs: Tally,
    /// New, changed and unchanged securities.
    pub securities: Tally,
    /// New, changed and unchanged indexes.
    pub indexes: Tally,
    /// New and unchanged revisions.
    pub revisions: Tally,
    /// New, changed and unchanged actions.
    #[serde(default)]
    pub actions: Tally,
    /// Prices and rates that went into the sequence.
    pub prices: u64,
    /// Prices and rates that were there before: the same load, repeated.
    pub prices_repeated: u64,
    /// One line for each changed definition: what changed.
    pub changes: Vec<String>,
}

/// How many definitions were new, changed, or neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Not there before.
    pub new: u64,
    /// There with other values.
    pub changed: u64,
    /// There and equal.
    pub unchanged: u64,
}

impl Tally {
    /// True when there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in the order of definition; rates by their pair.
    pub rows: Vec<T>,
    /// Ask again with `after` set to this for more; absent on the last page.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `status`, and the payload of `divisor/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// The payload's version, 1.
    pub v: u8,
    /// `online` or `offline`.
    pub state: String,
    /// Version of divisord.
    pub version: String,
    /// Its boot count.
    pub epoch: u64,
    /// `ok`, `degraded` while PostgreSQL is away, `off` where there is none by configuration.
    pub store: String,
    /// `ok`, or `full` while nothing is acknowledged for want of room.
    pub journal: String,
    /// Securities defined.
    pub securities: u64,
    /// Indexes defined.
    pub indexes: u64,
    /// The position behind the last input.
    pub pos: u64,
    /// The position behind the last input that PostgreSQL has.
    pub projected: u64,
    /// Messages that subscribers did not get since the start, because they were too slow for them.
    #[serde(default)]
    pub lost: u64,
}
