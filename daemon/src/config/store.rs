//! `[database]` and `[store]`: which PostgreSQL, and how rows are written to it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::{ConfigError, check_positive, mask_url};

/// Less would drop what the daemon itself looks back to.
const KEEP_LEAST: Duration = Duration::from_secs(7 * 86_400);

/// Which PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// The user's own; empty means a private one.
    pub url: DatabaseUrl,
    /// A file that holds the url; empty means none.
    pub url_file: PathBuf,
    /// Whether to run a private one when there is no url.
    pub private: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            url_file: PathBuf::new(),
            private: true,
        }
    }
}

impl Database {
    /// The url to connect to, from the key or from the file; `None` means a private PostgreSQL.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds something else.
    pub fn resolve(&self) -> Result<Option<DatabaseUrl>, ConfigError> {
        if self.url_file.as_os_str().is_empty() {
            return Ok(Some(self.url.clone()).filter(|url| !url.expose().is_empty()));
        }
        let path = self.url_file.clone();
        let url = match std::fs::read_to_string(&path) {
            Ok(text) => DatabaseUrl(text.trim().to_owned()),
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        };
        match url.problem() {
            Some(message) => Err(ConfigError::File {
                path,
                line: 1,
                column: 1,
                message,
            }),
            None => Ok(Some(url)),
        }
    }

    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.url.expose().is_empty() {
            return;
        }
        if let Some(problem) = self.url.problem() {
            problems.push(format!("database.url {problem}"));
        }
        if !self.url_file.as_os_str().is_empty() {
            problems.push("database.url and database.url_file are both given".to_owned());
        }
    }
}

/// The url of a database. Its password is never printed; only [`DatabaseUrl::expose`] shows it.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The url with its password, for the connection and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why this is not a url of PostgreSQL. The parser's own message could quote a password.
    fn problem(&self) -> Option<String> {
        let wrong = postgres::Config::from_str(&self.0).is_err();
        wrong.then(|| "is not a url like postgres://user:password@host/name".to_owned())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", mask_url(&self.0))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_url(&self.0))
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.serialize_str(&mask_url(&self.0))
    }
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// What a partition spans.
    pub partition: Partition,
    /// Rows in one transaction.
    pub batch_rows_max: u32,
    /// How long rows wait for others to share it.
    #[serde(with = "super::units::duration")]
    pub flush_interval: Duration,
    /// How long ticks and rates are kept; 0 means for ever.
    #[serde(with = "super::units::duration")]
    pub keep_ticks: Duration,
    /// How long levels are kept; 0 means for ever.
    #[serde(with = "super::units::duration")]
    pub keep_levels: Duration,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            partition: Partition::Month,
            batch_rows_max: 10_000,
            flush_interval: Duration::from_millis(200),
            keep_ticks: Duration::ZERO,
            keep_levels: Duration::ZERO,
        }
    }
}

impl Store {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        check_positive(
            "store.batch_rows_max",
            u64::from(self.batch_rows_max),
            problems,
        );
        for (key, keep) in [
            ("store.keep_ticks", self.keep_ticks),
            ("store.keep_levels", self.keep_levels),
        ] {
            // The previous close, and what is late, are looked up in the last days.
            if !keep.is_zero() && keep < KEEP_LEAST {
                problems.push(format!(
                    "{key} must be at least 7d, or 0ms to keep everything"
                ));
            }
        }
    }
}

/// What a partition spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// A month of UTC.
    Month,
    /// A day of UTC.
    Day,
}
