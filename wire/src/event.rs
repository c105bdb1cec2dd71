//! What the daemon publishes on `indexes/{code}/event`: a revision, an action, a change of status,
//! a close, a change of its life, a price that is held,
//! a correction.

use divisor_engine::Decimal;
use serde::{Deserialize, Serialize};

/// Something happened to an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventMessage {
    /// A new revision of basket and divisor is in force.
    Revision {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The number of the revision.
        rev: u32,
        /// Why: `definition`, `base`, `revision`, `reset`, `rates`, `fixing`, `action`, `correction`.
        cause: String,
        /// The divisor from here on; absent while the index waits for prices.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        divisor: Option<Decimal>,
        /// When it takes effect.
        effective: String,
        /// How many constituents there are.
        constituents: u32,
        /// The position of the input that brought it.
        pos: u64,
    },
    /// A corporate action or review that concerns the index.
    Action {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The action's id.
        action: String,
        /// What kind: `split`, `dividend`, `rebalance`.
        kind: String,
        /// `announced`, `applying`, `applied`, `cancelled` or `refused`.
        state: String,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// The first day without the right.
        ex_date: String,
        /// The position of the input that brought it.
        pos: u64,
    },
    /// The index is worth something else now.
    Status {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// As on a level, or `pending`.
        status: String,
        /// When it became that.
        ts: String,
        /// The position of the input that brought it.
        pos: u64,
    },
    /// The official close of a session, or its confirmation.
    Close {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The session's day.
        day: String,
        /// The level.
        level: Decimal,
        /// The close before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prev_close: Option<Decimal>,
        /// The divisor in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        divisor: Option<Decimal>,
        /// The revision in force.
        rev: u32,
        /// The number of the level.
        seq: u64,
        /// `closed` or `final`.
        status: String,
        /// The special opening quotation of the session, by an index that asks for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soq: Option<Decimal>,
        /// The position of the input that brought it.
        pos: u64,
    },
    /// The index went out of service, came back, was deleted, or has another code.
    Life {
        /// The payload's version, 1.
        v: u8,
        /// The index code; after a change of codes the new one.
        index: String,
        /// `active`, `inactive` or `deleted`.
        life: String,
        /// The code before, where it has changed: told on the topic of either.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former: Option<String>,
        /// The position of the order.
        pos: u64,
    },
    /// A price or a rate that the index would follow is held back until an operator has looked.
    Held {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The symbol, or the pair of a rate.
        subject: String,
        /// The price or rate.
        price: Decimal,
        /// Why: `last`, `close`, `cross`, `inverted`.
        doubt: String,
        /// What it was compared with.
        reference: Decimal,
        /// When it was made.
        ts: String,
        /// Who made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        src: Option<String>,
        /// The position that brought it: its name for `release` and `reject`.
        pos: u64,
    },
    /// What was published of the past was restated; it stays readable as it was published.
    Correction {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The run, by which the restated levels can be told.
        run: u32,
        /// What was corrected: one line for each correction of the run.
        what: Vec<String>,
        /// Why, as it was stated, in the same order.
        why: Vec<String>,
        /// Who stated it, likewise.
        who: Vec<String>,
        /// `restated`; `published` where the index's rules keep what was published and only the
        /// present level changes.
        status: String,
        /// The time of the first level that is another one now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The time of the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// How many levels are restated.
        levels: u64,
        /// How many official closes.
        closes: u64,
        /// The largest change of a level, without its sign.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        largest: Option<Decimal>,
        /// The last level as it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Decimal>,
        /// The last level as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Decimal>,
        /// The position of the input that brought it.
        pos: u64,
    },
    /// The special opening quotation of a session.
    Quotation {
        /// The payload's version, 1.
        v: u8,
        /// The index code.
        index: String,
        /// The session's day.
        day: String,
        /// The level of the official opening prices.
        level: Decimal,
        /// Constituents without one: their prior close stands in.
        missing: u32,
        /// The position of the input that brought it.
        pos: u64,
    },
}
