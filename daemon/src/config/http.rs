//! `[http]`: the page, the history and the metrics.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{check_listen, check_positive};

/// Longer than a page should wait for what moves.
const STREAM_INTERVAL_MOST: Duration = Duration::from_secs(10);

/// Who may look, and how much each may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where to listen; nowhere means no HTTP.
    pub listen: Vec<SocketAddr>,
    /// Connections at the same time, those of streams among them.
    pub connections_max: u32,
    /// Streams at the same time.
    pub streams_max: u32,
    /// Time for the head of a request, and for its answer.
    #[serde(with = "super::units::duration")]
    pub request_timeout: Duration,
    /// How long a client may take nothing while data waits for it.
    #[serde(with = "super::units::duration")]
    pub write_timeout: Duration,
    /// The time between two updates of a stream.
    #[serde(with = "super::units::duration")]
    pub stream_interval: Duration,
    /// Connections to PostgreSQL that read history.
    pub history_connections: u32,
    /// How long PostgreSQL may take for one question about history.
    #[serde(with = "super::units::duration")]
    pub history_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8383))],
            connections_max: 2048,
            streams_max: 1024,
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            stream_interval: Duration::from_millis(125),
            history_connections: 4,
            history_timeout: Duration::from_secs(5),
        }
    }
}

impl Http {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        // Nobody is asked who he is over HTTP yet, so users change nothing here.
        check_listen("http.listen", &self.listen, false, problems);
        for (key, value) in [
            ("http.connections_max", self.connections_max),
            ("http.streams_max", self.streams_max),
            ("http.history_connections", self.history_connections),
        ] {
            check_positive(key, u64::from(value), problems);
        }
        for (key, value) in [
            ("http.request_timeout", self.request_timeout),
            ("http.write_timeout", self.write_timeout),
            ("http.stream_interval", self.stream_interval),
            ("http.history_timeout", self.history_timeout),
        ] {
            if value.is_zero() {
                problems.push(format!("{key} must be longer than 0"));
            }
        }
        if self.stream_interval > STREAM_INTERVAL_MOST {
            problems.push("http.stream_interval must be at most 10s".to_owned());
        }
    }
}
