//! Reference rates: a fixing from the trades of a window.

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// How the scheme `volume_median` makes one level a day (METHODOLOGY §1.3).
///
/// The window is cut into partitions of equal length. The rate of a partition is the smallest price
/// up to which half of the size was traded, over all venues; the level is the plain mean of the
/// partitions that have trades. It leaves with the first trade behind the window, or `delay_s` after
/// its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// When the window begins, `15:00` or `15:00:00` in the zone of the index's day.
    pub start: String,
    /// When it ends; a trade at this moment lies behind it.
    pub end: String,
    /// How many partitions.
    #[serde(default = "Window::partitions")]
    pub partitions: u16,
    /// A venue whose own median over the window lies further from the median of all venues' than
    /// this fraction does not count; all count when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation_max: Option<Decimal>,
    /// With fewer venues than this there is no level on the day. Trades without a venue are those of
    /// one more.
    #[serde(default = "Window::venues_min")]
    pub venues_min: u16,
    /// Seconds after the end at which the level leaves without a further trade.
    #[serde(default = "Window::delay_s")]
    pub delay_s: u32,
}

impl Window {
    const fn partitions() -> u16 {
        12
    }

    const fn venues_min() -> u16 {
        1
    }

    const fn delay_s() -> u32 {
        5
    }
}
