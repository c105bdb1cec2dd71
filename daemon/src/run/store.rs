//! The store's thread: its start with the first try at PostgreSQL, and its end.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::settings;
use crate::config::Config;
use crate::exit::{self, Failure};
use crate::health::Health;
use crate::journal::{Journal, Log};
use crate::snapshots::Snapshots;
use crate::state::{StateDir, StateError};
use crate::store::{Backing, FollowError, Follower, PrivateCluster, Server};

/// How long a start waits for the first try at PostgreSQL. One that refuses says so at once, one
/// that hangs must not keep prices waiting; a private cluster starts in 0.1 s.
const FIRST_TRY: Duration = Duration::from_secs(5);

/// How long the thread may take to end once it was told to give up.
const LAST_TRY: Duration = Duration::from_secs(2);

/// How long a connection may take where `database.url` does not say.
const CONNECT_MAX: Duration = Duration::from_secs(10);

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
        let Some(backing) = backing(config)? else {
            tracing::info!("no database by configuration: levels are calculated, not stored");
            health.set_store_off();
            return Ok(store);
        };
        let is_private = matches!(backing, Backing::Private(_));
        let identity = identity(&state.path().join(IDENTITY))
            .context("name the journal")
            .map_err(|error| Failure::new(exit::STATE, error))?;
        let mut follower = Follower::new(
            Server::new(
                backing,
                settings::partition(config),
                settings::keep(config),
                identity,
            ),
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
        let told = if journal.next_position() == 0 {
            // Nothing was ever stored: what is wrong with the set-up should show.
            told.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            told.recv_timeout(FIRST_TRY)
        };
        match told {
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
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Ok(store),
            Err(RecvTimeoutError::Timeout) => {
                let trouble = "PostgreSQL has not answered yet";
                tracing::warn!("{trouble}: starting without it");
                health.set_store_trouble(Some(trouble.to_owned()));
                Ok(store)
            }
        }
    }

    /// Lets the thread finish what the journal holds, until the deadline.
    pub(super) fn finish(mut self, deadline: Instant) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        wait_until(deadline, &thread);
        self.give_up.store(true, Ordering::Relaxed);
        wait_until(Instant::now() + LAST_TRY, &thread);
        // A thread that a server holds is left to the end of the process.
        if thread.is_finished() {
            let _ = thread.join();
        }
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

pub(super) fn wait_until(deadline: Instant, thread: &JoinHandle<()>) {
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Which database the configuration asks for.
fn backing(config: &Config) -> Result<Option<Backing>, Failure> {
    if let Some(url) = config.database.resolve()? {
        let parsed = url.expose().parse();
        let mut parsed: postgres::Config = parsed.map_err(|_| not_a_url())?;
        parsed.application_name("divisord");
        if parsed.get_connect_timeout().is_none() {
            parsed.connect_timeout(CONNECT_MAX);
        }
        return Ok(Some(Backing::Url(Box::new(parsed))));
    }
    let private = config.database.private;
    Ok(private.then(|| Backing::Private(config.state_dir.join("postgres"))))
}

/// How others connect to the database that the store writes, which the store starts.
pub(super) fn connection(config: &Config) -> Result<Option<postgres::Config>, Failure> {
    Ok(backing(config)?.map(|backing| match backing {
        Backing::Url(url) => *url,
        Backing::Private(dir) => PrivateCluster::running_in(&dir),
    }))
}

/// How those who only read connect to the configured database.
pub(super) fn reading(config: &Config) -> Result<Option<tokio_postgres::Config>, Failure> {
    if let Some(url) = config.database.resolve()? {
        let parsed = url.expose().parse();
        return parsed.map(Some).map_err(|_| not_a_url());
    }
    let dir = config.state_dir.join("postgres");
    Ok(config
        .database
        .private
        .then(|| PrivateCluster::address(&dir)))
}

fn not_a_url() -> Failure {
    Failure::new(
        exit::CONFIG,
        anyhow!("read database.url: it is not a url of PostgreSQL"),
    )
}

/// What a verb works with: a database, and the state directory while no daemon has it.
pub(crate) struct Access {
    /// None where the configuration says so, or there is no private cluster yet.
    pub(crate) client: Option<postgres::Client>,
    /// Runs as long as this lives, where no daemon runs it.
    _cluster: Option<PrivateCluster>,
    /// Held, so that no daemon starts meanwhile; none beside a running one.
    state: Option<StateDir>,
}

/// A connection to the configured database for a verb that changes it: no daemon may run.
pub(crate) fn own(config: &Config) -> Result<Access, Failure> {
    let state = StateDir::take(&config.state_dir)?;
    access(config, Some(state))
}

/// The same for a verb that only looks: beside a running daemon too.
pub(crate) fn look(config: &Config) -> Result<Access, Failure> {
    if !config.state_dir.is_dir() {
        return access(config, None);
    }
    match StateDir::take(&config.state_dir) {
        Ok(state) => access(config, Some(state)),
        Err(StateError::InUse { .. }) => access(config, None),
        Err(error) => Err(error.into()),
    }
}

fn access(config: &Config, state: Option<StateDir>) -> Result<Access, Failure> {
    let failed = |error: anyhow::Error| Failure::new(exit::DATABASE, error);
    let mut cluster = None;
    let settings = match backing(config)? {
        Some(Backing::Url(url)) => Some(*url),
        Some(Backing::Private(dir)) if state.is_some() => {
            let started = PrivateCluster::start(&dir).map_err(|error| failed(error.into()))?;
            Some(cluster.insert(started).config())
        }
        Some(Backing::Private(dir)) if dir.is_dir() => Some(PrivateCluster::running_in(&dir)),
        Some(Backing::Private(_)) | None => None,
    };
    let client = settings
        .map(|settings| settings.connect(postgres::NoTls))
        .transpose()
        .context("connect to PostgreSQL (is it running, is the url right?)")
        .map_err(failed)?;
    Ok(Access {
        client,
        _cluster: cluster,
        state,
    })
}

impl Access {
    /// The state directory, for a verb that fills it.
    pub(crate) fn take_state(&mut self) -> Result<StateDir, Failure> {
        self.state
            .take()
            .ok_or_else(|| Failure::new(exit::BUSY, anyhow!("own the state directory")))
    }

    /// The connection, for a verb that cannot do without.
    pub(crate) fn client(&mut self) -> Result<&mut postgres::Client, Failure> {
        let missing = "find a database: neither database.url nor database.private is set";
        self.client
            .as_mut()
            .ok_or_else(|| Failure::new(exit::CONFIG, anyhow!(missing)))
    }
}

/// Gives a new state directory the name of the journal whose rows PostgreSQL holds.
pub(crate) fn adopt(state: &StateDir, journal: &str) -> std::io::Result<()> {
    name(&state.path().join(IDENTITY), journal)
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
    self::name(path, &name)?;
    Ok(name)
}

/// Written aside and renamed: a name that PostgreSQL has heard must survive a power cut.
fn name(path: &Path, name: &str) -> std::io::Result<()> {
    let aside = path.with_extension("writing");
    let mut file = File::create(&aside)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

impl FollowError {
    /// True for what neither waiting nor the daemon can mend: a server that is too old, a database
    /// of another journal.
    fn is_set_up(&self) -> bool {
        self.is_wrong_version() || matches!(self, Self::Ahead { .. }) || self.is_foreign()
    }
}
