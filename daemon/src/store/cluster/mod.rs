//! The private cluster: a PostgreSQL server that the daemon makes and runs in its state directory.
//!
//! It is the default where no `database.url` is given, so that the default path is the production
//! path: one SQL dialect, one set of migrations. It listens on a unix socket in a private
//! directory and nowhere else. POSTGRES.md has the pitfalls that shaped this module; each has a
//! test in `tests/it/cluster.rs`.

mod error;
mod layout;
mod programs;
mod run_as;
mod server;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Config, NoTls};
use rustix::process::Signal;
use tracing::{info, warn};

pub use error::ClusterError;
pub use programs::{MAJOR_MIN, Search};

use layout::{Layout, PORT};
use programs::Programs;
use run_as::RunAs;
use server::{POLL, Server};

/// The role that owns everything; the socket's directory decides who may be it.
const USER: &str = "divisor";

/// The database of the store.
const DATABASE: &str = "divisor";

/// How long a server that says nothing is waited for; a start takes 0.07 s, with `initdb` 0.6 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long one that answers "starting up" is waited for in one call. Recovery replays up to
/// `max_wal_size` and may need longer on a slow disk, so it is left to go on and asked again.
const START_MAX: Duration = Duration::from_secs(120);

/// Backends end by themselves when their postmaster is gone, as soon as they wait for a client;
/// one in a long query is ended after this.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(10);

/// A cluster that this process owns, and its server.
///
/// The server ends with the value, and by the kernel's doing with the thread that started it
/// (see [`PrivateCluster::start`]).
#[derive(Debug)]
pub struct PrivateCluster {
    layout: Layout,
    search: Search,
    user: Option<RunAs>,
    server: Option<Server>,
    /// Held, never read: another daemon on this directory is refused.
    _lock: File,
}

/// What [`PrivateCluster::ensure_running`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervised {
    /// The server runs as before; it may still refuse connections while it recovers.
    Running,
    /// It had ended and was started again; it accepts connections.
    Restarted,
}

/// What a server says to a connection.
enum Answer {
    Ready,
    /// It lives, and is starting up or shutting down.
    Busy,
    Silent,
}

impl PrivateCluster {
    /// Makes the cluster in `dir` where there is none, starts it, and returns when it accepts
    /// connections.
    ///
    /// On Linux the server is shut down when the **calling thread** ends, so that not even
    /// `kill -9` of the daemon leaves it behind. Call this and [`Self::ensure_running`] from a
    /// thread that lives as long as the daemon: the main or the store thread, never a pool.
    ///
    /// # Errors
    /// [`ClusterError`]; nothing that this call started is left running, except after
    /// [`ClusterError::StillStarting`], where the next call waits on.
    pub fn start(dir: &Path) -> Result<Self, ClusterError> {
        Self::start_with(dir, Search::from_env())
    }

    /// [`Self::start`] with a search of its own for the programs.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(dir: &Path, search: Search) -> Result<Self, ClusterError> {
        let user = RunAs::choose()?;
        let layout = Layout::create(dir)?;
        let lock = layout.lock()?;
        layout.hand_over(user.as_ref())?;
        let mut cluster = Self {
            layout,
            search,
            user,
            server: None,
            _lock: lock,
        };
        match cluster.boot() {
            Ok(()) => Ok(cluster),
            Err(error) => {
                if matches!(error, ClusterError::StillStarting(_)) {
                    // A recovery that is cut short begins again; so it is left to finish.
                    cluster.abandon();
                }
                Err(error)
            }
        }
    }

    /// How to connect to the store's database.
    #[must_use]
    pub fn config(&self) -> Config {
        Self::at(&self.layout.run)
    }

    /// How to connect to the cluster in `dir`, which another process runs.
    #[must_use]
    pub fn running_in(dir: &Path) -> Config {
        Self::at(&dir.join("run"))
    }

    /// The same for those who do not block.
    #[must_use]
    pub fn address(dir: &Path) -> tokio_postgres::Config {
        Self::within(&dir.join("run"))
    }

    fn at(run: &Path) -> Config {
        Self::within(run).into()
    }

    fn within(run: &Path) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host_path(run).port(PORT).user(USER).dbname(DATABASE);
        config
            .connect_timeout(Duration::from_secs(5))
            .application_name("divisord");
        config
    }

    /// Notices that the server has ended, and starts it again.
    ///
    /// Meant for the loop that reconnects after an outage; it costs one system call while the
    /// server lives. The rule about the calling thread is that of [`Self::start`].
    ///
    /// # Errors
    /// [`ClusterError`] as from [`Self::start`].
    pub fn ensure_running(&mut self) -> Result<Supervised, ClusterError> {
        if let Some(server) = &mut self.server {
            let Some(status) = server.ended(&self.layout.data) else {
                return Ok(Supervised::Running);
            };
            let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
            warn!(%status, "the private PostgreSQL ended; starting it again");
            self.server = None;
        }
        self.boot()?;
        Ok(Supervised::Restarted)
    }

    /// Shuts the server down: sessions are cut, everything committed is kept.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.stop(&self.layout.data);
        }
    }

    /// Lets go of the server without ending it; the next [`Self::start`] adopts it, if the kernel
    /// does not end it with the thread.
    pub fn abandon(&mut self) {
        self.server = None;
    }

    /// From whatever the directory holds to a server that accepts connections.
    fn boot(&mut self) -> Result<(), ClusterError> {
        let programs = self.programs()?;
        if let Some(server) = self.settle()? {
            self.server = Some(server);
        } else {
            let (server, log_start) = Server::spawn(&self.layout, &programs, self.user.as_ref())?;
            self.server = Some(server);
            self.wait_ready(log_start)?;
        }
        self.ensure_database()
    }

    /// The programs that fit the cluster, which is made where there is none.
    fn programs(&self) -> Result<Programs, ClusterError> {
        let user = self.user.as_ref();
        if let Some(major) = self.layout.version()? {
            return self.search.matching(major, &self.layout.data, user);
        }
        let programs = self.search.newest(user)?;
        self.layout.make(&programs, user)?;
        info!(dir = %self.layout.dir.display(), major = programs.major, "made a private PostgreSQL");
        Ok(programs)
    }

    /// Deals with what an earlier daemon left: adopts a server that accepts connections, waits
    /// for one that is ending, and clears the files of one that is gone.
    fn settle(&self) -> Result<Option<Server>, ClusterError> {
        let started = Instant::now();
        let mut silent_since = started;
        let mut asked_to_quit = false;
        loop {
            let pids = server::processes_in(&self.layout.data);
            if pids.as_ref().is_some_and(Vec::is_empty) {
                self.layout.remove_stale()?;
                return Ok(None);
            }
            match self.ask() {
                Answer::Ready => {
                    if let Some(pid) = self.layout.postmaster() {
                        info!(
                            pid,
                            "adopted the PostgreSQL server that runs in the state directory"
                        );
                        return Ok(Some(Server::Adopted(pid)));
                    }
                }
                Answer::Busy => silent_since = Instant::now(),
                Answer::Silent => {}
            }
            // Without /proc PostgreSQL itself judges its files.
            let Some(pids) = pids else { return Ok(None) };
            if started.elapsed() > START_MAX {
                return Err(ClusterError::Occupied {
                    data: self.layout.data.clone(),
                    pids,
                });
            }
            if silent_since.elapsed() > ORPHAN_PATIENCE {
                if asked_to_quit {
                    return Err(ClusterError::Occupied {
                        data: self.layout.data.clone(),
                        pids,
                    });
                }
                warn!(?pids, "ending what is left of an earlier PostgreSQL server");
                server::signal_all(&pids, Signal::QUIT);
                asked_to_quit = true;
                silent_since = Instant::now();
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the server that was just spawned accepts connections.
    fn wait_ready(&mut self, log_start: u64) -> Result<(), ClusterError> {
        let started = Instant::now();
        let mut silent_since = started;
        loop {
            match self.ask() {
                Answer::Ready => return Ok(()),
                Answer::Busy => silent_since = Instant::now(),
                Answer::Silent => {}
            }
            let ended = self
                .server
                .as_mut()
                .and_then(|server| server.ended(&self.layout.data));
            if let Some(status) = ended {
                self.server = None;
                let status = status.map_or_else(String::new, |status| status.to_string());
                return Err(ClusterError::StartFailed {
                    status,
                    log: self.layout.log_tail(log_start),
                });
            }
            if silent_since.elapsed() > SILENCE_MAX || started.elapsed() > START_MAX {
                return Err(ClusterError::StillStarting(started.elapsed().as_secs()));
            }
            std::thread::sleep(POLL);
        }
    }

    fn ask(&self) -> Answer {
        match self.config().dbname("postgres").connect(NoTls) {
            Ok(_) => Answer::Ready,
            Err(error) => match error.code() {
                Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => Answer::Busy,
                // Any other refusal comes from a server that is up; who connects next names it.
                Some(_) => Answer::Ready,
                None => Answer::Silent,
            },
        }
    }

    fn ensure_database(&self) -> Result<(), ClusterError> {
        let make = || -> Result<(), postgres::Error> {
            let mut client = self.config().dbname("postgres").connect(NoTls)?;
            let known = "select from pg_database where datname = $1";
            if client.query_opt(known, &[&DATABASE])?.is_none() {
                client.batch_execute(&format!("create database {DATABASE}"))?;
            }
            Ok(())
        };
        make().map_err(ClusterError::Database)
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        self.stop();
    }
}
