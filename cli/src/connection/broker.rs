//! Whom we talk to and as whom: the address, the login and the trust, from flags, environment, files
//! and the terminal. A password is never an argument, since everybody on the machine could see it.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Address;
use crate::exit::WrongInput;

/// Names the broker for all commands; a password may stand in it.
const URL_VARIABLE: &str = "DIVISOR_URL";

/// The password, where there is no file and no terminal.
const PASSWORD_VARIABLE: &str = "DIVISOR_PASSWORD";

/// Who we are, and whom we trust.
#[derive(Debug, Clone, Args)]
pub(crate) struct Login {
    /// The user name
    ///
    /// The password is read from --password-file or `$DIVISOR_PASSWORD`, or asked for at the
    /// terminal.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "DIVISOR_USER",
        hide_env_values = true
    )]
    pub(crate) user: Option<String>,

    /// A file whose first line is the password
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DIVISOR_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub(crate) password_file: Option<PathBuf>,

    /// Speak TLS, as with mqtts://
    #[arg(long, global = true)]
    pub(crate) tls: bool,

    /// Trust this authority (PEM) instead of the system's
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DIVISOR_CA",
        hide_env_values = true
    )]
    pub(crate) ca: Option<PathBuf>,

    /// A client certificate (PEM) that says who we are
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DIVISOR_CERT",
        hide_env_values = true,
        requires = "key"
    )]
    pub(crate) cert: Option<PathBuf>,

    /// The private key (PEM) of --cert
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DIVISOR_KEY",
        hide_env_values = true
    )]
    pub(crate) key: Option<PathBuf>,
}

/// A broker to connect to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Broker {
    /// Where it is.
    pub(crate) address: Address,
    /// Whom we trust, and our certificate; `None` without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Broker {
    /// One on this machine, to which we need not say who we are.
    pub(crate) const fn plain(address: Address) -> Self {
        Self { address, tls: None }
    }

    /// Brings address and login together; may ask for a password.
    pub(crate) fn new(mut address: Address, login: &Login) -> anyhow::Result<Self> {
        address.secure |= login.tls;
        let in_url = matches!(&address.login, Some((_, password)) if !password.is_empty());
        let variable = std::env::var(URL_VARIABLE).ok();
        let variable: Option<Address> = variable.and_then(|url| url.parse().ok());
        if in_url && variable.is_none_or(|variable| variable.login != address.login) {
            let message = "a password in --url can be seen by others: use --user with \
                           --password-file, $DIVISOR_PASSWORD or the terminal";
            return Err(WrongInput::one(message).into());
        }
        let in_url = address.login.take();
        let (user, password) = match (login.user.clone(), in_url) {
            (Some(user), _) => (Some(user), None),
            (None, Some((user, password))) => (
                Some(user),
                Some(password).filter(|password| !password.is_empty()),
            ),
            (None, None) => (None, None),
        };
        if let Some(user) = user {
            let has_certificate = login.cert.is_some();
            let password = match password {
                Some(password) => password,
                None => password_of(&user, login.password_file.as_deref(), has_certificate)?,
            };
            address.login = Some((user, password));
        }
        let tls = if address.secure {
            Some(trust(login)?)
        } else {
            None
        };
        Ok(Self { address, tls })
    }

    /// Refuses certificates that nobody would look at.
    pub(crate) fn refuse_idle(&self, login: &Login) -> Result<(), WrongInput> {
        if self.tls.is_none() && (login.ca.is_some() || login.cert.is_some()) {
            let message = "--ca and --cert need TLS: use mqtts://HOST or --tls";
            return Err(WrongInput::one(message));
        }
        Ok(())
    }
}

/// Without the password, for messages.
impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

fn password_of(user: &str, file: Option<&Path>, has_certificate: bool) -> anyhow::Result<String> {
    if let Some(path) = file {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
        return Ok(password);
    }
    if has_certificate {
        return Ok(String::new());
    }
    if !io::stderr().is_terminal() {
        let message = format!(
            "the password of {user} is missing: use --password-file or ${PASSWORD_VARIABLE}"
        );
        return Err(WrongInput::one(message).into());
    }
    Ok(rpassword::prompt_password(format!("Password of {user}: "))?)
}

/// Whom we trust, and our certificate.
pub(crate) fn trust(login: &Login) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &login.ca {
        for root in certificates(path)? {
            roots.add(root).map_err(|error| unreadable(path, &error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match (&login.cert, &login.key) {
        (Some(cert), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
            builder
                .with_client_auth_cert(certificates(cert)?, private)
                .map_err(|error| unreadable(cert, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = read.map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        return Err(unreadable(path, &"there is no certificate in it").into());
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> WrongInput {
    WrongInput::one(format!("cannot use {}: {error}", path.display()))
}
