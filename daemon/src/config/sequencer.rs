//! `[ticks]` and `[sequencer]`: what a tick may be, and how inputs become batches.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check_positive;

/// What a tick may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ticks {
    /// How far ahead of the daemon's clock a tick may be dated.
    #[serde(with = "super::units::duration")]
    pub future_max: Duration,
    /// Ticks in one message.
    pub per_message_max: u32,
    /// How long no late price must have come before a run takes in those that restate.
    #[serde(with = "super::units::duration")]
    pub late_quiet: Duration,
    /// How long the first of them waits for that at the most.
    #[serde(with = "super::units::duration")]
    pub late_longest: Duration,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            future_max: Duration::from_secs(60),
            per_message_max: 10_000,
            late_quiet: Duration::from_secs(2),
            late_longest: Duration::from_secs(60),
        }
    }
}

impl Ticks {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        check_positive(
            "ticks.per_message_max",
            u64::from(self.per_message_max),
            problems,
        );
    }
}

/// How inputs become batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sequencer {
    /// Inputs in one commit.
    pub batch_inputs_max: u32,
    /// Submissions that may wait.
    pub queue_submissions_max: u32,
    /// When levels leave.
    pub publish: Publish,
    /// Whether levels leave in CBOR as well.
    pub compact_levels: bool,
    /// Bytes of records between two snapshots.
    #[serde(with = "super::units::size")]
    pub snapshot_bytes: u64,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self {
            batch_inputs_max: 8192,
            queue_submissions_max: 1024,
            publish: Publish::Durable,
            compact_levels: false,
            snapshot_bytes: 64 << 20,
        }
    }
}

impl Sequencer {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        for (key, value) in [
            ("sequencer.batch_inputs_max", self.batch_inputs_max),
            (
                "sequencer.queue_submissions_max",
                self.queue_submissions_max,
            ),
        ] {
            check_positive(key, u64::from(value), problems);
        }
        check_positive("sequencer.snapshot_bytes", self.snapshot_bytes, problems);
    }
}

/// When levels leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// After the commit of what caused them.
    Durable,
    /// Before it.
    Immediate,
}
