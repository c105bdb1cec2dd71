//! What a publisher hears on `divisor/rejected/{client}` when something of a message was refused.

use serde::{Deserialize, Serialize};

/// One message of which something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The payload's version, 1.
    pub v: u8,
    /// The topic it was sent to.
    pub topic: String,
    /// Why, for the first refused tick; see [`crate::Reason`].
    pub reason: String,
    /// Which tick of the message that was, counted from 0.
    pub place: u32,
    /// How many ticks of the message were accepted.
    pub accepted: u32,
    /// Every refused tick, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RejectedTick>,
}

/// One refused tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedTick {
    /// Its place in the message, counted from 0.
    pub place: u32,
    /// Why; see [`crate::Reason`].
    pub reason: String,
}

impl Rejected {
    /// The report of a message, or `None` when nothing was refused.
    #[must_use]
    pub fn new(topic: &str, refused: &[(u32, crate::Reason)], accepted: u32) -> Option<Self> {
        let (place, reason) = refused.first()?;
        let each = |(place, reason): &(u32, crate::Reason)| RejectedTick {
            place: *place,
            reason: reason.as_str().to_owned(),
        };
        Some(Self {
            v: 1,
            topic: topic.to_owned(),
            reason: reason.as_str().to_owned(),
            place: *place,
            accepted,
            refused: if refused.len() > 1 {
                refused.iter().map(each).collect()
            } else {
                Vec::new()
            },
        })
    }
}
