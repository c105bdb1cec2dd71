//! What can go wrong between the writer and PostgreSQL, and which of it passes by waiting.

use std::error::Error as _;
use std::io;

use postgres::error::SqlState;

use super::migrate::MigrateError;

/// Why rows could not be written; each message fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL, or the way to it.
    #[error("{what}: {}", describe(.source))]
    Postgres {
        /// What was tried.
        what: &'static str,
        /// What the driver says.
        source: postgres::Error,
    },
    /// The stream of a COPY.
    #[error("copy rows: {0}")]
    Stream(io::Error),
    /// The schema could not be brought up to date.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// Somebody else moved the projection: this writer must not go on.
    #[error("write from position {expected}: another writer has moved the projection to {found}")]
    Fenced {
        /// Where this writer left it.
        expected: u64,
        /// Where it is.
        found: u64,
    },
    /// The database was filled from another journal, whose positions mean other inputs.
    #[error("project journal {ours}: the database holds journal {theirs}")]
    ForeignJournal {
        /// The journal of this daemon.
        ours: String,
        /// The journal in the database.
        theirs: String,
    },
    /// A batch must lead forward.
    #[error("write up to position {position}: rows up to {reached} are already there")]
    NotForward {
        /// The position of the batch.
        position: u64,
        /// Where the projection is.
        reached: u64,
    },
}

impl StoreError {
    pub(crate) fn during(what: &'static str) -> impl FnOnce(postgres::Error) -> Self {
        move |source| Self::Postgres { what, source }
    }

    /// The error of a write into a COPY stream, which arrives wrapped.
    pub(crate) fn copy(error: io::Error) -> Self {
        match error.downcast::<postgres::Error>() {
            Ok(source) => Self::Postgres {
                what: "copy rows",
                source,
            },
            Err(error) => Self::Stream(error),
        }
    }

    /// True where the thing to do is to connect again, later, and go on from the last position.
    /// Everything else is a mistake in a program or a database, and comes back when tried again.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Postgres { source, .. } => is_outage(source),
            Self::Migrate(MigrateError::Postgres(source)) => is_outage(source),
            Self::Migrate(MigrateError::Outage(_)) | Self::Stream(_) => true,
            Self::Migrate(MigrateError::TooOld { .. } | MigrateError::Refused(_))
            | Self::Fenced { .. }
            | Self::ForeignJournal { .. }
            | Self::NotForward { .. } => false,
        }
    }

    /// True when a row found no partition: an operator dropped one behind the writer's back.
    pub(crate) fn is_missing_partition(&self) -> bool {
        matches!(self, Self::Postgres { source, .. }
            if source.code() == Some(&SqlState::CHECK_VIOLATION)
                || source.code() == Some(&SqlState::UNDEFINED_TABLE))
    }
}

/// True for errors that pass when the server, the network or the operator has recovered.
#[must_use]
pub fn is_outage(error: &postgres::Error) -> bool {
    if let Some(code) = error.code() {
        return outage_code(code.code());
    }
    let Some(source) = error.source() else {
        // Closed and timed out carry no cause; neither do three mistakes in the use of the driver.
        return error.is_closed() || error.to_string().starts_with("timeout");
    };
    source.downcast_ref::<io::Error>().is_some_and(|error| {
        // What could not be encoded was never sent.
        error.kind() != io::ErrorKind::InvalidInput
    })
}

/// | class | what |
/// |---|---|
/// | 08 | the connection |
/// | 53 | disk full, memory, too many connections |
/// | 57 | shutting down, starting up, terminated, cancelled |
/// | 58 | an I/O error of the server |
/// | 25006 | read-only: a standby, or a full disk at a hosting service |
/// | 28, 3D, 42501 | who we are, which database, which right: an operator changes them |
/// | 40, 55P03 | a deadlock, a lock that was not given in time |
fn outage_code(code: &str) -> bool {
    ["08", "53", "57", "58", "28", "3D", "40"]
        .iter()
        .any(|class| code.starts_with(class))
        || ["25006", "42501", "55P03"].contains(&code)
}

/// The driver says "db error" and hides the server's words in the cause.
fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let detail = db
                .detail()
                .map(|detail| format!(" ({detail})"))
                .unwrap_or_default();
            format!("{}{detail} [{}]", db.message(), db.code().code())
        }
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_outages_from_mistakes() {
        for code in [
            "08006", "53100", "53300", "57P01", "57P03", "25006", "40P01", "3D000",
        ] {
            assert!(outage_code(code), "{code}");
        }
        for code in [
            "42P01", "23505", "22003", "42601", "25001", "55000", "XX000",
        ] {
            assert!(!outage_code(code), "{code}");
        }
    }
}
