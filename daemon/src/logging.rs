//! Events to stderr, where a terminal or the service manager takes them.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, time};

use crate::config::{Log, LogFormat};

/// Begins to log as configured; a second call changes nothing.
///
/// Under systemd (`JOURNAL_STREAM`) events carry no time, since the system's journal adds its own.
pub fn start(log: &Log) {
    // The configuration was checked; should the filter be wrong all the same, INFO is safe.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(io::stderr);
    let has_times = std::env::var_os("JOURNAL_STREAM").is_none();
    let started = match (log.format, has_times) {
        (LogFormat::Full, true) => {
            tracing::subscriber::set_global_default(builder.with_timer(time::SystemTime).finish())
        }
        (LogFormat::Full, false) => {
            tracing::subscriber::set_global_default(builder.without_time().finish())
        }
        (LogFormat::Compact, true) => tracing::subscriber::set_global_default(
            builder.with_timer(time::SystemTime).compact().finish(),
        ),
        (LogFormat::Compact, false) => {
            tracing::subscriber::set_global_default(builder.without_time().compact().finish())
        }
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
