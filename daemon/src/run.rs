//! The daemon itself: starts its parts, waits for the stop, ends them in order.

use anyhow::anyhow;

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::shutdown::Shutdown;

/// Runs the daemon until `shutdown` asks it to stop.
///
/// # Errors
///
/// When a part cannot start or fails for good; the code says which.
pub fn run(config: &Config, shutdown: Shutdown) -> Result<(), Failure> {
    let _unused = (config, shutdown);
    Err(Failure::new(
        exit::INTERNAL,
        anyhow!("run: the parts of the daemon are not merged yet"),
    ))
}
