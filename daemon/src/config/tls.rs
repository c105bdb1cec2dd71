//! `[tls]`: the daemon's certificate, and whose clients' certificates count.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The daemon's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// The certificate with its chain, PEM; empty means no TLS.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who signs the certificates of clients, PEM; empty means that none is asked for.
    pub client_ca: PathBuf,
    /// Whether clients without one are turned away.
    pub client_required: bool,
}

impl Tls {
    /// Whether there is a certificate.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        is_named(&self.certificate)
    }

    /// Who signs the certificates of clients.
    #[must_use]
    pub fn client_ca(&self) -> Option<&Path> {
        Some(self.client_ca.as_path()).filter(|path| is_named(path))
    }

    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if is_named(&self.certificate) != is_named(&self.key) {
            problems.push("tls.certificate and tls.key are needed both, or none".to_owned());
        }
        if self.client_ca().is_some() && !self.is_configured() {
            problems.push("tls.client_ca needs tls.certificate and tls.key".to_owned());
        }
        if self.client_required && self.client_ca().is_none() {
            problems.push("tls.client_required needs tls.client_ca".to_owned());
        }
    }
}

fn is_named(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}
