//! How the program ends: the exit codes, which service managers and scripts may rely on.
//!
//! The numbers are those of sysexits.h, so that each has one meaning wherever it is seen.

use std::fmt;

use crate::access::{EditError, UsersError};
use crate::config::ConfigError;
use crate::journal::{AppendError, ReadError};
use crate::state::StateError;
use crate::store::HistoryError;
use crate::tls::TlsError;
use crate::verify::{Difference, VerifyError};

/// All went well.
pub const OK: u8 = 0;
/// `verify` or `replay --compare` found a difference.
pub const DIFFERENT: u8 = 1;
/// The command line or the configuration is wrong; starting again changes nothing.
pub const CONFIG: u8 = 64;
/// PostgreSQL was required and cannot be used, its version for example.
pub const DATABASE: u8 = 69;
/// A mistake of the program itself.
pub const INTERNAL: u8 = 70;
/// The state directory cannot be created or read.
pub const STATE: u8 = 73;
/// The journal is damaged, or its disk fails.
pub const JOURNAL: u8 = 74;
/// Another process has the state directory or a port; starting again may help.
pub const BUSY: u8 = 75;

/// Why the program ends, and with which code.
#[derive(Debug)]
pub struct Failure {
    /// One of the codes above.
    pub code: u8,
    /// What went wrong; printed behind "failed to".
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }
}

impl Failure {
    /// What went wrong, with its causes, in one line that fits behind "failed to".
    #[must_use]
    pub fn reason(&self) -> String {
        let mut text = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            // Many messages name their cause themselves.
            if !text.contains(&cause) {
                text.push_str(": ");
                text.push_str(&cause);
            }
        }
        text
    }
}

/// The one line that the user sees.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "divisord: failed to {}", self.reason())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(CONFIG, error)
    }
}

impl From<UsersError> for Failure {
    fn from(error: UsersError) -> Self {
        Self::new(CONFIG, error)
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::new(CONFIG, error)
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::new(CONFIG, error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(JOURNAL, error)
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let code = match &error {
            VerifyError::Different(_) | VerifyError::History(HistoryError::Rows { .. }) => {
                DIFFERENT
            }
            VerifyError::History(HistoryError::Store(_)) => DATABASE,
            VerifyError::Read(_) | VerifyError::Record(_) | VerifyError::NoStart { .. } => JOURNAL,
        };
        Self::new(code, error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        VerifyError::from(error).into()
    }
}

impl From<Difference> for Failure {
    fn from(difference: Difference) -> Self {
        VerifyError::from(difference).into()
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        Self::new(JOURNAL, error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let code = match error {
            StateError::Unusable { .. } => STATE,
            StateError::InUse { .. } => BUSY,
        };
        Self::new(code, error)
    }
}
