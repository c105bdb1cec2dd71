//! What the daemon publishes on `indexes/{code}/event`: a revision, an action, a change of
//! status.

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
        /// Why: `definition`, `base`, `revision`, `reset`, `action`.
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
        /// `live` or `pending`.
        status: String,
        /// The position of the input that brought it.
        pos: u64,
    },
}
