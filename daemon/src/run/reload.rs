//! SIGHUP: users, rights, certificates and the log filter anew, while everything goes on.
//!
//! Each of them is taken whole or stays as it is, and the log says which. What else has changed in
//! the configuration is named, since it needs a restart.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::Access;
use crate::config::Loaded;
use crate::exit::Failure;
use crate::logging::Filter;
use crate::notify;
use crate::shutdown::Shutdown;
use crate::tls::Tls;

/// The only key that a reload takes from the configuration itself.
const LOG_FILTER: &str = "log.filter";

/// How to read the configuration as at the start.
type Reread = Box<dyn Fn() -> Result<Loaded, Failure> + Send>;

/// What a daemon starts with.
pub struct Start {
    /// The configuration.
    pub loaded: Loaded,
    /// How to read it again.
    pub reread: Reread,
    /// What decides which events are logged.
    pub filter: Filter,
}

impl Start {
    /// What a reload will touch.
    pub(super) fn reloads(self, access: &Arc<Access>, tls: Option<Arc<Tls>>) -> Reloads {
        Reloads {
            start: self,
            access: Arc::clone(access),
            tls,
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("loaded", &self.loaded)
            .finish_non_exhaustive()
    }
}

/// What a reload touches.
pub(super) struct Reloads {
    start: Start,
    access: Arc<Access>,
    tls: Option<Arc<Tls>>,
}

/// Reloads whenever it is asked for, until the daemon stops.
pub(super) async fn follow(reloads: Reloads, mut shutdown: Shutdown) {
    let reloads = Arc::new(Mutex::new(reloads));
    loop {
        shutdown.reloaded().await;
        notify::reloading();
        let reloads = Arc::clone(&reloads);
        // Files may be slow. A reload that panics has changed nothing, and the next may do better.
        let reloading = tokio::task::spawn_blocking(move || {
            reloads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .reload();
        });
        let _ = reloading.await;
        notify::ready("reloaded");
    }
}

impl Reloads {
    fn reload(&self) {
        match (self.start.reread)() {
            Ok(loaded) => self.configuration(&loaded),
            Err(failure) => tracing::error!(
                error = %failure.reason(),
                "kept the log filter: the configuration cannot be read"
            ),
        }
        match self.access.reload() {
            Ok(reloaded) if reloaded.changed => {
                tracing::info!(
                    users = reloaded.users,
                    "reloaded the users and their rights"
                );
            }
            Ok(reloaded) => tracing::info!(users = reloaded.users, "the users have not changed"),
            Err(error) => tracing::error!(%error, "kept the users and their rights"),
        }
        match self.tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(reloaded)) if reloaded.changed => {
                tracing::info!(
                    valid_until = reloaded.valid_until,
                    "reloaded the certificate"
                );
            }
            Some(Ok(reloaded)) => {
                let valid_until = reloaded.valid_until;
                tracing::info!(valid_until, "the certificate has not changed");
            }
            Some(Err(error)) => tracing::error!(%error, "kept the certificate"),
            None => {}
        }
    }

    fn configuration(&self, loaded: &Loaded) {
        let filter = &loaded.config.log.filter;
        if self.start.filter.set(filter) {
            tracing::info!(filter, "reloaded the log filter");
        }
        let others = loaded.differences(&self.start.loaded);
        let others: Vec<_> = others.filter(|key| *key != LOG_FILTER).collect();
        if !others.is_empty() {
            let keys = others.join(", ");
            tracing::warn!(keys, "these keys have changed and need a restart");
        }
    }
}
