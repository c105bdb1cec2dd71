//! `[log]`: what is logged.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// What is logged, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Which events.
    pub filter: String,
    /// One line of it.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info,rumqttd=warn".to_owned(),
            format: LogFormat::Full,
        }
    }
}

impl Log {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if let Err(error) = EnvFilter::try_new(&self.filter) {
            problems.push(format!("log.filter = \"{}\": {error}", self.filter));
        }
    }
}

/// How an event looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Level, part, message and fields.
    Full,
    /// The same, shorter.
    Compact,
}
