//! When levels leave.

use serde::{Deserialize, Serialize};

/// When a level leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(
    tag = "mode",
    rename_all = "snake_case",
    try_from = "DisseminationForm"
)]
pub enum Dissemination {
    /// One level for each tick of a constituent.
    Tick,
    /// The newest level of each commit batch.
    #[default]
    Conflate,
    /// The newest level at multiples of an interval, when something changed.
    Interval {
        /// The interval in milliseconds.
        every_ms: u32,
    },
}

/// [`Dissemination`] as it is read, since serde lets unknown fields of a tagged enum's plain
/// variants pass.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisseminationForm {
    mode: Mode,
    every_ms: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Tick,
    Conflate,
    Interval,
}

impl TryFrom<DisseminationForm> for Dissemination {
    type Error = &'static str;

    fn try_from(form: DisseminationForm) -> Result<Self, Self::Error> {
        match (form.mode, form.every_ms) {
            (Mode::Tick, None) => Ok(Self::Tick),
            (Mode::Conflate, None) => Ok(Self::Conflate),
            (Mode::Interval, Some(every_ms)) => Ok(Self::Interval { every_ms }),
            (Mode::Interval, None) => Err("the mode `interval` needs `every_ms`"),
            (Mode::Tick | Mode::Conflate, Some(_)) => Err("`every_ms` belongs to `interval`"),
        }
    }
}
