//! `[service]`: living under a service manager.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Living under a service manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// How long a stop may take.
    #[serde(with = "super::units::duration")]
    pub stop_timeout: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            stop_timeout: Duration::from_secs(30),
        }
    }
}

impl Service {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.stop_timeout.is_zero() {
            problems.push("service.stop_timeout must be longer than 0".to_owned());
        }
    }
}
