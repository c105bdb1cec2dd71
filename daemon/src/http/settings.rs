//! The limits of the HTTP side.

use std::time::Duration;

/// The limits, with the defaults of the shipped configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections at the same time.
    pub connections_max: usize,
    /// Streams at the same time.
    pub streams_max: usize,
    /// Time for the head of a request, and for its answer.
    pub request_timeout: Duration,
    /// How long a client may take nothing while data waits for it.
    pub write_timeout: Duration,
    /// The time between two updates of a stream.
    pub stream_interval: Duration,
    /// Connections to PostgreSQL.
    pub history_connections: usize,
    /// How long PostgreSQL may take for one question.
    pub history_timeout: Duration,
}
