//! The store's thread: its start with the first try at PostgreSQL, and its end.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::settings;
use crate::config::Config;
use crate::exit::{self, Failure};
use crate::health::Health;
use crate::journal::{Journal, Log};
use crate::snapshots::Snapshots;
use crate::state::StateDir;
use crate::store::{Backing, FollowError, Follower, PrivateCluster, Server};

/// The file with the journal's name, in the state directory.
const IDENTITY: &str = "identity";

/// The thread, where there is a database to follow.
pub(super) struct StoreThread {
    thread: Option<JoinHandle<()>>,
    give_up: Arc<AtomicBool>,
    health: Health,
}

impl StoreThread {
    /// Starts the thread and waits for its first try.
    ///
    /// A PostgreSQL that cannot be used as it is ends the start. One that is away does not, except
    /// at the very first start with a `database.url`, where a wrong address is likelier than an
    /// outage.
    pub(super) fn start(
        config: &Config,
        state: &StateDir,
        journal: &Journal,
        snapshots: &Snapshots,
        health: &Health,
    ) -> Result<Self, Failure> {
        let mut store = Self {
            thread: None,
            give_up: Arc::new(AtomicBool::new(false)),
            health: health.clone(),
        };
        let Some(backing) = backing(config, state)? else {
            tracing::info!("no database by configuration: levels are calculated, not stored");
            health.set_store_off();
            return Ok(store);
        };
        let is_private = matches!(backing, Backing::Private(_));
        let identity = identity(&state.path().join(IDENTITY))
            .context("name the journal")
            .map_err(|error| Failure::new(exit::STATE, error))?;
        let mut follower = Follower::new(
            Server::new(backing, settings::partition(config), identity),
            journal.source(),
            snapshots.clone(),
            health.clone(),
            settings::store(config),
        );
        let (tell, told) = std::sync::mpsc::channel();
        let give_up = Arc::clone(&store.give_up);
        let body = move || {
            // The private cluster ends with the thread that starts it, so both are done here.
            let _ = tell.send(follower.prepare());
            follower.run(|| give_up.load(Ordering::Relaxed));
        };
        let thread = thread::Builder::new().name("store".to_owned()).spawn(body);
        store.thread = Some(thread.map_err(|error| Failure::new(exit::INTERNAL, error))?);
        match told.recv() {
            Ok(Ok(())) => {
                let which = if is_private {
                    "a private cluster"
                } else {
                    "database.url"
                };
                tracing::info!(which, "storing in PostgreSQL");
                Ok(store)
            }
            Ok(Err(error))
                if error.is_set_up() || (!is_private && journal.next_position() == 0) =>
            {
                store.give_up.store(true, Ordering::Relaxed);
                Err(Failure::new(exit::DATABASE, error))
            }
            Ok(Err(_)) | Err(_) => Ok(store),
        }
    }

    /// Lets the thread finish what the journal holds, until the deadline.
    pub(super) fn finish(mut self, deadline: Instant) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.give_up.store(true, Ordering::Relaxed);
        let _ = thread.join();
        let (projected, durable) = (self.health.projected(), self.health.durable());
        if projected < durable {
            tracing::warn!(
                projected,
                durable,
                "PostgreSQL lacks inputs; the next start adds them"
            );
        }
    }
}

/// Which database the configuration asks for.
fn backing(config: &Config, state: &StateDir) -> Result<Option<Backing>, Failure> {
    if let Some(url) = config.database.resolve()? {
        let mut parsed: postgres::Config = url.expose().parse().map_err(|_| {
            Failure::new(
                exit::CONFIG,
                anyhow!("read database.url: it is not a url of PostgreSQL"),
            )
        })?;
        parsed.application_name("divisord");
        return Ok(Some(Backing::Url(Box::new(parsed))));
    }
    let private = config.database.private;
    Ok(private.then(|| Backing::Private(state.path().join("postgres"))))
}

/// A connection to the configured database, for a verb that needs one; the cluster runs as long as
/// the second value lives.
pub(crate) fn connect(
    config: &Config,
) -> Result<(postgres::Client, Option<PrivateCluster>), Failure> {
    let failed = |error: anyhow::Error| Failure::new(exit::DATABASE, error);
    let state = StateDir::take(&config.state_dir)?;
    let (settings, cluster) = match backing(config, &state)? {
        Some(Backing::Url(url)) => (*url, None),
        Some(Backing::Private(dir)) => {
            let cluster = PrivateCluster::start(&dir).map_err(|error| failed(error.into()))?;
            (cluster.config(), Some(cluster))
        }
        None => {
            let error =
                anyhow!("find a database: neither database.url nor database.private is set");
            return Err(Failure::new(exit::CONFIG, error));
        }
    };
    let client = settings.connect(postgres::NoTls);
    let client = client.context("connect to PostgreSQL (is it running, is the url right?)");
    Ok((client.map_err(failed)?, cluster))
}

/// The name of the journal, random and made with it: PostgreSQL remembers whose rows it holds.
fn identity(path: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let mut random = [0u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = File::create(path)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    Ok(name)
}

impl FollowError {
    /// True for what neither waiting nor the daemon can mend: a server that is too old, a database
    /// of another journal.
    fn is_set_up(&self) -> bool {
        self.is_wrong_version() || matches!(self, Self::Ahead { .. }) || self.is_foreign()
    }
}
