//! The configuration: what an operator may decide, and where each decision came from.
//!
//! Who wins, strongest last:
//!
//! 1. the built-in defaults, which are `broker.toml` of the repository, embedded
//! 2. a file: `--config`, else `$DIVISOR_CONFIG`, else `/etc/divisor/broker.toml` if there is one
//! 3. the environment: `DIVISOR_<SECTION>_<KEY>`
//! 4. flags: `--set section.key=value`, and `--state` and `--listen` for two that are needed often
//!
//! One file per concern holds its keys and defaults. Keys that nobody knows are errors, wherever they
//! stand: a typing mistake must not become a default.

mod access;
mod door;
mod http;
mod journal;
mod layers;
mod log;
mod print;
mod sequencer;
mod service;
mod store;
mod tls;
mod units;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use access::Access;
pub use door::{DeniedPublish, Mqtt, Router};
pub use http::Http;
pub use journal::Journal;
pub use layers::{Flag, Inputs, Loaded, Source};
pub use log::{Log, LogFormat};
pub use print::mask_url;
pub use sequencer::{Publish, Sequencer, Ticks};
pub use service::Service;
pub use store::{Database, DatabaseUrl, Partition, Store};
pub use tls::Tls;

/// The shipped configuration: the built-in default and the reference of all keys.
pub const BUILT_IN: &str = include_str!("../../../broker.toml");

/// The journal's directory in the state directory.
pub const JOURNAL: &str = "journal";

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the journal and the private database live; never empty once loaded.
    pub state_dir: PathBuf,
    /// The door for MQTT clients.
    pub mqtt: Mqtt,
    /// Who may come in.
    pub access: Access,
    /// The daemon's certificate.
    pub tls: Tls,
    /// The page, the history and the metrics.
    pub http: Http,
    /// What a tick may be.
    pub ticks: Ticks,
    /// Batching and publishing.
    pub sequencer: Sequencer,
    /// The journal on disk.
    pub journal: Journal,
    /// Which PostgreSQL.
    pub database: Database,
    /// How rows are written to it.
    pub store: Store,
    /// What is logged.
    pub log: Log,
    /// Living under a service manager.
    pub service: Service,
}

/// Why there is no configuration. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("read the configuration {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file says something that is not a configuration.
    #[error("read the configuration: {}:{line}:{column}: {message}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// An environment variable or a flag has a wrong value or names a key that does not exist.
    #[error("apply {source_name}: {message}")]
    Override {
        /// The variable or the flag.
        source_name: String,
        /// What is wrong with it.
        message: String,
    },
    /// Every value is well-formed, but they don't work together.
    #[error("accept the configuration: {}", .problems.join("; "))]
    Problems {
        /// All that was found, so that one round of corrections is enough.
        problems: Vec<String>,
    },
}

impl Config {
    /// Reads all layers and checks the outcome.
    ///
    /// # Errors
    ///
    /// When a layer is malformed or the values don't work together.
    pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
        let loaded = layers::merge(inputs)?;
        let problems = loaded.config.problems();
        if problems.is_empty() {
            Ok(loaded)
        } else {
            Err(ConfigError::Problems { problems })
        }
    }

    /// Where the segments of the journal are.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.state_dir.join(JOURNAL)
    }

    /// All that is wrong with the values, each on its own or together with others.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.mqtt.check(&mut problems);
        let has_users = self.access.has_users();
        check_listen("mqtt.listen", &self.mqtt.listen, has_users, &mut problems);
        let tls_listen = &self.mqtt.tls_listen;
        check_listen("mqtt.tls_listen", tls_listen, has_users, &mut problems);
        if !tls_listen.is_empty() && !self.tls.is_configured() {
            problems.push("mqtt.tls_listen needs tls.certificate and tls.key".to_owned());
        }
        check_listen("http.listen", &self.http.listen, has_users, &mut problems);
        self.access.check(&mut problems);
        self.tls.check(&mut problems);
        self.http.check(&mut problems);
        self.ticks.check(&mut problems);
        self.sequencer.check(&mut problems);
        self.journal.check(&mut problems);
        self.database.check(&mut problems);
        self.store.check(&mut problems);
        self.log.check(&mut problems);
        self.service.check(&mut problems);
        if !self.state_dir.is_absolute() {
            let dir = self.state_dir.display();
            problems.push(format!("state_dir = \"{dir}\" must be an absolute path"));
        }
        problems
    }
}

/// Refuses addresses that other machines can reach, where nobody could say who he is.
fn check_listen(key: &str, listen: &[SocketAddr], has_users: bool, problems: &mut Vec<String>) {
    for address in listen {
        if !has_users && !address.ip().is_loopback() {
            problems.push(format!(
                "{key} = \"{address}\": listening beyond loopback needs users: make a file with \
                 `divisord passwd` and name it in access.users_file, or use 127.0.0.1"
            ));
        }
    }
}

/// Refuses zero where it would mean that nothing can happen.
fn check_positive(key: &str, value: u64, problems: &mut Vec<String>) {
    if value == 0 {
        problems.push(format!("{key} = 0 must be at least 1"));
    }
}
