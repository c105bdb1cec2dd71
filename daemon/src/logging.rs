//! Events to stderr, where a terminal or the service manager takes them.

use std::io::{self, IsTerminal};

use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Begins to log as configured; a second call changes nothing.
///
/// Under systemd (`JOURNAL_STREAM`) events carry no time, since the system's journal adds its own.
pub fn start(log: &Log) {
    // The configuration was checked; should the filter be wrong all the same, INFO is safe.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = fmt::layer()
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(io::stderr);
    let has_times = std::env::var_os("JOURNAL_STREAM").is_none();
    let layer = match (log.format, has_times) {
        (LogFormat::Full, true) => layer.boxed(),
        (LogFormat::Full, false) => layer.without_time().boxed(),
        (LogFormat::Compact, true) => layer.compact().boxed(),
        (LogFormat::Compact, false) => layer.compact().without_time().boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(layer)
        .with(filter)
        .with(filter_fn(is_wanted))
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// False for the router's spans: it opens one of level ERROR, which no filter by level keeps out,
/// for each message, and writing its topic down took half of the router's time.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    !(metadata.is_span() && metadata.target().starts_with("rumqttd"))
}
