//! `[access]`: who may come in, and what guessing costs.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check_positive;
use crate::access::Anonymous;

/// Who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Users, their passwords' hashes, roles and grants; empty means no users.
    pub users_file: PathBuf,
    /// Who may come without saying who he is.
    pub anonymous: Anonymous,
    /// The roles of those.
    pub anonymous_roles: Vec<String>,
    /// Failed logins until an address or a user is locked out.
    pub failures_max: u32,
    /// For how long.
    #[serde(with = "super::units::duration")]
    pub lockout: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            users_file: PathBuf::new(),
            anonymous: Anonymous::Auto,
            anonymous_roles: vec!["admin".to_owned()],
            failures_max: 10,
            lockout: Duration::from_secs(60),
        }
    }
}

impl Access {
    /// Whether there is a file with users, without which nobody beyond this machine is let in.
    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.users_file.as_os_str().is_empty()
    }

    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        check_positive(
            "access.failures_max",
            u64::from(self.failures_max),
            problems,
        );
        if self.lockout.is_zero() {
            problems.push("access.lockout must be longer than 0".to_owned());
        }
    }
}
