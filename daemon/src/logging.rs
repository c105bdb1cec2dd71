//! Events to stderr, where a terminal or the service manager takes them.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Decides which events are logged; clones decide together.
#[derive(Debug, Clone)]
pub struct Filter {
    now: Arc<Mutex<String>>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Filter {
    /// Logs what this filter of the configuration says from now on; true when that is something new.
    #[must_use]
    pub fn set(&self, filter: &str) -> bool {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == filter {
            return false;
        }
        filter.clone_into(&mut now);
        // Only the end of the process takes the filter away.
        self.handle.reload(parsed(filter)).is_ok()
    }
}

/// Begins to log as configured; a second call changes nothing.
///
/// Under systemd (`JOURNAL_STREAM`) events carry no time, since the system's journal adds its own.
pub fn start(log: &Log) -> Filter {
    let (filter, handle) = reload::Layer::new(parsed(&log.filter));
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
        .with(filter)
        .with(layer)
        .with(filter_fn(is_wanted))
        .try_init();
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Filter {
        now: Arc::new(Mutex::new(log.filter.clone())),
        handle,
    }
}

/// The configuration was checked; should the filter be wrong all the same, INFO is safe.
fn parsed(filter: &str) -> EnvFilter {
    EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// False for the router's spans: it opens one of level ERROR, which no filter by level keeps out,
/// for each message, and writing its topic down took half of the router's time.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    !(metadata.is_span() && metadata.target().starts_with("rumqttd"))
}
