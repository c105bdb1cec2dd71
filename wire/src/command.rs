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

use divisor_engine::definition::{
    ActionDefinition, CalendarDefinition, Definitions, IndexDefinition, PairDefinition,
    SecurityDefinition,
};
use divisor_engine::{Currency, Decimal, Kind, Life, Order};
use serde::{Deserialize, Serialize};

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

/// A piece of history: prices and rates in the order in which they shall count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Where the rows come from.
    pub files: Vec<HistoryFile>,
    /// The rows, in the order of their times.
    pub rows: Vec<HistoryRow>,
}

/// A file of history. Its name and content make its rows' identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryFile {
    /// The source of its rows.
    pub src: String,
    /// A number that follows from the content: their incarnation.
    pub inc: u64,
}

/// A row of history, as an array: file, number in the file, symbol or pair, price, nanoseconds
/// since 1970, kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow(
    /// Which of the files.
    pub u32,
    /// Its number in the file, rising.
    pub u64,
    /// A symbol, or a pair such as `EUR/USD`.
    pub String,
    /// The price, or units of the second currency for one of the first.
    pub Decimal,
    /// When it was made, in nanoseconds since 1970.
    pub i64,
    /// What kind of price it is.
    pub Kind,
);

/// What became of the rows of `history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistorySummary {
    /// Rows that count now.
    pub applied: u64,
    /// Rows that are stored and older than what counts.
    pub late: u64,
    /// Rows that were there before.
    pub repeated: u64,
    /// Rows that wait for an operator.
    pub held: u64,
    /// Rows that are stored and do not count: a better source, a trade behind the close.
    pub passed: u64,
    /// How many rows were refused.
    pub refused: u64,
    /// The first of them: place in the message and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<(u32, String)>,
}

/// A line of `calendar list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRow {
    /// The name.
    pub name: String,
    /// Its time zone.
    pub zone: String,
    /// How many holidays it has.
    pub holidays: u32,
    /// How many days with other hours.
    pub special: u32,
    /// The dates for which its exceptions are complete, as far as it says.
    pub from: Option<String>,
    /// The same.
    pub to: Option<String>,
    /// Indexes that follow it.
    pub indexes: u32,
}

/// `calendar show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarDetail {
    /// As a fixture states it.
    pub definition: CalendarDefinition,
    /// Sessions from the date that was asked for on.
    pub sessions: Vec<SessionRow>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its day.
    pub day: String,
    /// From when on indicative levels leave.
    pub pre_open: String,
    /// When it opens.
    pub open: String,
    /// When it closes.
    pub close: String,
}

/// A line of `price hold list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// The position at which it was held: its name for `release` and `reject`.
    pub held: u64,
    /// The symbol, or the pair of a rate.
    pub subject: String,
    /// The price or rate.
    pub price: Decimal,
    /// Why: `last`, `close`, `cross`, `inverted`.
    pub doubt: String,
    /// What it was compared with.
    pub reference: Decimal,
    /// When it was made.
    pub ts: String,
    /// Who made it.
    pub src: Option<String>,
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

/// A line of `index list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRow {
    /// The code.
    pub code: String,
    /// The name for people.
    pub name: Option<String>,
    /// The currency of the level.
    pub currency: Currency,
    /// The weighting scheme, or the kind of variant.
    pub weighting: String,
    /// How many constituents.
    pub constituents: u32,
    /// Constituents without a price.
    pub missing: u32,
    /// The last level.
    pub level: Option<Decimal>,
    /// Change against the previous close.
    pub chg: Option<Decimal>,
    /// The time of the newest input of the last level.
    pub ts: Option<String>,
    /// The number of the last level.
    pub seq: u64,
    /// The revision in force.
    pub rev: u32,
    /// `pending`, or as on a level; `inactive` for one that is out of service.
    pub status: String,
    /// Constituents whose price is stale.
    #[serde(default)]
    pub stale: u32,
}

/// `index show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDetail {
    /// The line of the list.
    pub row: IndexRow,
    /// The definition in force, as a fixture states it.
    pub definition: IndexDefinition,
    /// The divisor in force.
    pub divisor: Option<Decimal>,
    /// Of a variant: what it follows and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<FollowRow>,
    /// Why there is no level, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The constant part of the sum.
    pub cash: Decimal,
    /// The last level of the day before.
    pub prev_close: Option<Decimal>,
    /// The constituents with what they contribute.
    pub members: Vec<MemberRow>,
}

/// How a variant lies over its parent since it was fixed last: level = slope · parent + offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRow {
    /// The parent's code.
    pub of: String,
    /// The level that it was fixed at; absent before its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Decimal>,
    /// The parent's level that it was fixed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_level: Option<Decimal>,
    /// The slope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<Decimal>,
    /// The offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<Decimal>,
}

/// A constituent of `index show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Whose.
    pub symbol: String,
    /// The currency of its price.
    pub currency: Currency,
    /// Its last price.
    pub price: Option<Decimal>,
    /// The coefficient `q` in force.
    pub coefficient: Option<Decimal>,
    /// Its share of the market value, six places; absent while the index is pending.
    pub weight: Option<Decimal>,
}

/// A line of `action list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRow {
    /// Its id.
    pub action: String,
    /// What kind.
    pub kind: String,
    /// The security, where it happens to one.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The index, where it concerns one alone.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// The first day without the right.
    pub ex_date: String,
    /// The beginning of that day.
    pub due: String,
    /// `announced`, `applying`, `applied`, `cancelled` or `refused`.
    pub state: String,
    /// Why it was refused.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// As announced.
    pub definition: ActionDefinition,
}

/// `action preview`: what it would do at the prices of the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPreview {
    /// Its id.
    pub action: String,
    /// The price of its security before and after, where it changes.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub price: Option<BeforeAfter>,
    /// The indexes that it concerns.
    pub indexes: Vec<IndexPreview>,
}

/// A figure before and after; none where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeAfter {
    /// Before.
    pub before: Option<Decimal>,
    /// After.
    pub after: Option<Decimal>,
}

/// An index of `action preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPreview {
    /// Its code.
    pub code: String,
    /// The level.
    pub level: BeforeAfter,
    /// The divisor.
    pub divisor: BeforeAfter,
    /// Members that change.
    pub members: Vec<MemberPreview>,
}

/// A member of `action preview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPreview {
    /// Whose.
    pub symbol: String,
    /// The price as the index sees it.
    pub price: BeforeAfter,
    /// Stated shares or units.
    pub shares: BeforeAfter,
    /// The coefficient in force.
    pub coefficient: BeforeAfter,
}

/// `index explain`: the parts of a level, `(sum of values + cash) / divisor` cut at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexExplanation {
    /// The index.
    pub code: String,
    /// The currency of the level.
    pub currency: Currency,
    /// The revision in force.
    pub rev: u32,
    /// The members in the order of the basket.
    pub members: Vec<ExplainedRow>,
    /// The constant part of the sum.
    pub cash: Decimal,
    /// All values and the cash.
    pub sum: Decimal,
    /// What it is divided by.
    pub divisor: Decimal,
    /// The quotient before the last cut.
    pub quotient: Decimal,
    /// The last cut.
    pub rounding: divisor_engine::definition::Cut,
    /// The level.
    pub level: Decimal,
    /// Of a level of the past: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ExplainedLevel>,
}

/// The level of the past that was taken apart, as it was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedLevel {
    /// The time of the newest price in it.
    pub ts: String,
    /// Its number.
    pub seq: u64,
    /// The level. What the parts come to differs from it where something made it that is no part,
    /// such as a halt.
    pub level: Decimal,
    /// What it was worth.
    pub status: String,
    /// The position of the input that caused it.
    pub pos: u64,
}

/// A constituent of `index explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRow {
    /// Whose.
    pub symbol: String,
    /// The currency of its price.
    pub currency: Currency,
    /// The price that the index sees.
    pub price: Decimal,
    /// The coefficient in force.
    pub coefficient: Decimal,
    /// Index currency for one of the price's.
    pub rate: Decimal,
    /// `price · coefficient · rate`.
    pub value: Decimal,
    /// `value / divisor`: its points of the level.
    pub points: Decimal,
    /// Its share of the market value, six places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Decimal>,
}

/// `rebalance plan`: a pro-forma composition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proforma {
    /// The index.
    pub index: String,
    /// The effective day.
    pub effective: String,
    /// The level that is kept.
    pub level: Option<Decimal>,
    /// The divisor.
    pub divisor: BeforeAfter,
    /// Half of the sum of all changes of weights.
    pub turnover: Decimal,
    /// Members that join.
    pub additions: Vec<String>,
    /// Members that leave.
    pub deletions: Vec<String>,
    /// Members after the review in the order of the basket, then those that leave.
    pub members: Vec<ProformaRow>,
    /// The review with its reference prices, as it can be announced.
    pub action: ActionDefinition,
}

/// A member of `rebalance plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProformaRow {
    /// Whose.
    pub symbol: String,
    /// The price of the moment.
    pub price: Option<Decimal>,
    /// The coefficient.
    pub coefficient: BeforeAfter,
    /// The weight.
    pub weight: BeforeAfter,
}

/// A line of `security list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRow {
    /// The symbol.
    pub symbol: String,
    /// The name for people.
    pub name: Option<String>,
    /// The currency of its prices.
    pub currency: Currency,
    /// The last price.
    pub price: Option<Decimal>,
    /// When that was made.
    pub ts: Option<String>,
    /// Whether it is in service.
    #[serde(default)]
    pub life: Life,
}

/// `security show`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityDetail {
    /// The line of the list.
    pub row: SecurityRow,
    /// The definition, as a fixture states it.
    pub definition: SecurityDefinition,
    /// Who made the last price.
    pub src: Option<String>,
    /// Codes of the indexes that hold it.
    pub indexes: Vec<String>,
}

/// A line of `rate list`: `rate` units of `quote` for one `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// The last rate.
    pub rate: Decimal,
    /// When that was made.
    pub ts: String,
    /// Who made it.
    pub src: Option<String>,
}

/// What of the past is corrected, in the terms of those who state it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRequest {
    /// What is wrong.
    pub what: Corrected,
    /// Why, for people; it is kept.
    pub reason: String,
}

/// What is wrong, and what is right instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corrected {
    /// A price: another one, one that never was, or one that did not come.
    Price(CorrectedPrice),
    /// A rate, likewise.
    Rate(CorrectedRate),
    /// The terms of a corporate action that was announced with others, or an action of a past day
    /// that was not announced.
    Action(Box<ActionDefinition>),
    /// An action that should not have been announced.
    CancelAction {
        /// Its id.
        id: String,
    },
    /// An earlier correction was wrong.
    Withdraw {
        /// Its run.
        run: u32,
    },
}

/// The price of a security at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectedPrice {
    /// Whose.
    pub symbol: String,
    /// Its time: RFC 3339.
    pub ts: String,
    /// What it should have been; absent where there should have been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Who made it, where several have one of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
}

/// The rate of a pair at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectedRate {
    /// The currency that costs.
    pub base: Currency,
    /// The currency it is paid in.
    pub quote: Currency,
    /// Its time: RFC 3339.
    pub ts: String,
    /// What it should have been; absent where there should have been none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Decimal>,
    /// Who made it, where several have one of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
}

/// What a correction does: the run it has opened, or by `dry_run` what it would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionSummary {
    /// Its run. The walk goes on behind the answer; `correct.list` and the events of the indexes tell
    /// what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// What it would change, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<CorrectionEffect>,
}

/// What a correction would change of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionEffect {
    /// The index code.
    pub code: String,
    /// How many levels.
    pub levels: u64,
    /// How many official closes.
    pub closes: u64,
    /// The time of the first level that would be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The time of the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The largest change of a level, without its sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<Decimal>,
}

/// A line of `correct list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionRow {
    /// Its run.
    pub run: u32,
    /// What is corrected, in words.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Who stated it.
    pub by: String,
    /// When.
    pub time: String,
    /// `open`, `restated` or `failed`.
    pub state: String,
    /// The run whose rows have it; several corrections may share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<u32>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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
