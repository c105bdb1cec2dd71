//! TLS: the daemon's certificate, and the names in those of its clients.
//!
//! The files are read at the start and at each reload, never in between; connections keep what they
//! began with. What is read is checked first: the key must belong to the certificate.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The certificate with the chain behind it, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who signs the certificates of clients, PEM; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether clients without one are turned away.
    pub client_required: bool,
}

/// Why there is no TLS. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("read {}: {message}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The files can be read and cannot be used together.
    #[error("use the certificate {}: {message}", .path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why not.
        message: String,
    },
}

/// What a reload found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Until when the certificate is valid, as its text.
    pub valid_until: String,
    /// Whether anything differs from before.
    pub changed: bool,
}

/// The certificate now in use.
#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    now: RwLock<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// The texts of the files, to tell a change.
    files: Vec<Vec<u8>>,
    valid_until: String,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be read or do not fit together.
    pub fn open(settings: Settings) -> Result<Arc<Self>, TlsError> {
        let now = RwLock::new(load(&settings)?);
        Ok(Arc::new(Self { settings, now }))
    }

    /// Reads the files again. On an error what was in use stays in use.
    ///
    /// # Errors
    /// When they cannot be read or do not fit together.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let loaded = load(&self.settings)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let changed = now.files != loaded.files;
        let valid_until = loaded.valid_until.clone();
        if changed {
            *now = loaded;
        }
        Ok(Reloaded {
            valid_until,
            changed,
        })
    }

    /// Until when the certificate is valid, as its text.
    #[must_use]
    pub fn valid_until(&self) -> String {
        self.now().valid_until
    }

    /// For the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.now().config)
    }

    fn now(&self) -> Loaded {
        self.now
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The names in a verified client certificate by which its user may be called: the common name,
/// then mail addresses and DNS names of the subject's alternative names.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let common = parsed.subject().iter_common_name();
    let mut names: Vec<String> = common
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect();
    let others = parsed.subject_alternative_name().ok().flatten();
    for name in others.iter().flat_map(|others| &others.value.general_names) {
        if let GeneralName::RFC822Name(name) | GeneralName::DNSName(name) = name {
            names.push((*name).to_owned());
        }
    }
    names
}

fn load(settings: &Settings) -> Result<Loaded, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError::Unusable {
        path: settings.certificate.clone(),
        message: error.to_string(),
    };
    let certificate = read(&settings.certificate)?;
    let key = read(&settings.key)?;
    warn_of_readers(&settings.key);
    let chain = certificates(&settings.certificate, &certificate)?;
    let private =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| malformed(&settings.key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let mut files = vec![certificate, key];
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let text = read(path)?;
            let mut roots = RootCertStore::empty();
            for root in certificates(path, &text)? {
                roots.add(root).map_err(|error| unusable(&error))?;
            }
            files.push(text);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if settings.client_required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(&error))?)
        }
    };
    let valid_until = chain.first().map(valid_until).unwrap_or_default();
    let config = builder
        .with_single_cert(chain, private)
        .map_err(|error| unusable(&error))?;
    Ok(Loaded {
        config: Arc::new(config),
        files,
        valid_until,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        message: error.to_string(),
    })
}

/// All certificates of a file; at least one.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(malformed(path, &pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(error) => Err(malformed(path, &error)),
    }
}

/// The parser's message never quotes what it read.
fn malformed(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

fn valid_until(certificate: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed.validity().not_after.to_string())
        .unwrap_or_default()
}

fn warn_of_readers(key: &Path) {
    let mode = std::fs::metadata(key).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o004 != 0) {
        tracing::warn!(file = %key.display(), "everybody may read the private key (chmod 600)");
    }
}
