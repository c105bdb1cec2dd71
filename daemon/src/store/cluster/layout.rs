//! The directory of the private cluster: who may use it, what lies where, and how it is made.
//!
//! | path | what |
//! |---|---|
//! | `lock` | held by the daemon that uses the directory |
//! | `data` | the cluster; `data.new` while `initdb` works, so that `data` is whole or not there |
//! | `run` | the socket |
//! | `server.log` | what the server prints; `server.log.1` is the log before |

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::programs::Programs;
use super::run_as::RunAs;
use super::server;
use super::{ClusterError, USER};

/// The port in the socket's name; nothing listens on TCP.
pub(super) const PORT: u16 = 5432;

/// `sun_path` holds 108 bytes on Linux and 104 elsewhere, with the closing zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The server's log is turned over at a start when it has grown beyond this.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// How much of the log's end an error message looks at.
const LOG_TAIL_BYTES: u64 = 4096;

/// Appended to `postgresql.conf` when a cluster is made; the operator may change them.
///
/// `max_wal_size`: with the stock value a heavy feed logs "checkpoints are occurring too
/// frequently" (POSTGRES.md). `jit` costs more than it gains on the dashboard's queries.
const SETTINGS: &str = "
# Written once by divisord; change what you like.
shared_buffers = 128MB
max_wal_size = 2GB
wal_compression = on
jit = off
max_connections = 20
log_checkpoints = off
timezone = 'UTC'
log_timezone = 'UTC'
";

/// The whole of `pg_hba.conf`: the socket's directory lets only the daemon's user in.
const HBA: &str =
    "# Written by divisord: the directory of the socket is private.\nlocal all all trust\n";

/// The paths below the cluster's directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
    log: PathBuf,
}

impl Layout {
    /// Creates what is missing of `dir`, after checking that a socket can lie in it.
    pub(super) fn create(dir: &Path) -> Result<Self, ClusterError> {
        let dir = std::path::absolute(dir).map_err(ClusterError::io("resolve", dir))?;
        let layout = Self {
            data: dir.join("data"),
            run: dir.join("run"),
            log: dir.join("server.log"),
            dir,
        };
        let path = layout.socket();
        let length = path.as_os_str().as_bytes().len();
        if length > SOCKET_PATH_MAX {
            let length_max = SOCKET_PATH_MAX;
            return Err(ClusterError::SocketPathTooLong {
                path,
                length,
                length_max,
            });
        }
        if let Some(parent) = layout.dir.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::io("create", parent))?;
        }
        make_private(&layout.dir)?;
        Ok(layout)
    }

    fn socket(&self) -> PathBuf {
        self.run.join(format!(".s.PGSQL.{PORT}"))
    }

    /// Takes the directory for this process; the kernel gives it back however the process ends.
    pub(super) fn lock(&self) -> Result<File, ClusterError> {
        let path = self.dir.join("lock");
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options
            .open(&path)
            .map_err(ClusterError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ClusterError::AnotherDaemon(self.dir.clone())),
            Err(TryLockError::Error(error)) => Err(ClusterError::io("lock", &path)(error)),
        }
    }

    /// Gives the directory to the user that the server runs as, and checks that it can go there.
    pub(super) fn hand_over(&self, user: Option<&RunAs>) -> Result<(), ClusterError> {
        make_private(&self.run)?;
        let Some(user) = user else { return Ok(()) };
        for path in [&self.dir, &self.run, &self.data] {
            if path.exists() {
                user.own(path)
                    .map_err(ClusterError::io("change the owner of", path))?;
            }
        }
        user.check_reach(&self.run)
    }

    /// The major version of the cluster, or `None` where none was made yet.
    pub(super) fn version(&self) -> Result<Option<u32>, ClusterError> {
        if !self.data.exists() {
            return Ok(None);
        }
        let path = self.data.join("PG_VERSION");
        let text = fs::read_to_string(&path).map_err(ClusterError::io("read", &path))?;
        match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => {
                let reason = format!("`{}` is no version", text.trim().escape_debug());
                Err(ClusterError::Damaged { path, reason })
            }
        }
    }

    /// Makes the cluster. Nobody sees it before it is whole: the last step is a rename.
    pub(super) fn make(
        &self,
        programs: &Programs,
        user: Option<&RunAs>,
    ) -> Result<(), ClusterError> {
        let new = self.dir.join("data.new");
        if new.exists() {
            // Left by an initdb that was killed; its last process dies with its pipe.
            server::wait_gone(&new);
            fs::remove_dir_all(&new).map_err(ClusterError::io("remove", &new))?;
        }
        let mut command = Command::new(programs.initdb());
        command
            .arg("-D")
            .arg(&new)
            .args(["-U", USER, "-A", "trust", "-E", "UTF8"]);
        command.args(["--no-locale", "--data-checksums"]);
        command.stdin(Stdio::null()).current_dir(&self.dir);
        prepare(&mut command, user);
        server::die_with_parent(&mut command, Signal::KILL);
        let output = command
            .output()
            .map_err(ClusterError::io("run initdb in", &self.dir))?;
        if !output.status.success() {
            return Err(initdb_failed(&String::from_utf8_lossy(&output.stderr)));
        }
        append(&new.join("postgresql.conf"), SETTINGS)?;
        let hba = new.join("pg_hba.conf");
        fs::write(&hba, HBA).map_err(ClusterError::io("write", &hba))?;
        sync(&hba)?;
        fs::rename(&new, &self.data).map_err(ClusterError::io("rename", &new))?;
        sync(&self.dir)
    }

    /// Deletes the files of a server that is certainly gone. A process number that somebody else
    /// has meanwhile, or a zombie, would else keep every later server from starting.
    pub(super) fn remove_stale(&self) -> Result<(), ClusterError> {
        let lock = self.run.join(format!(".s.PGSQL.{PORT}.lock"));
        for path in [self.data.join("postmaster.pid"), lock, self.socket()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(ClusterError::io("remove", &path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The process number in `postmaster.pid`.
    pub(super) fn postmaster(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Opens the log for appending and says how long it is.
    pub(super) fn open_log(&self) -> Result<(File, u64), ClusterError> {
        if fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            let old = self.dir.join("server.log.1");
            fs::rename(&self.log, &old).map_err(ClusterError::io("rename", &self.log))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log);
        let file = file.map_err(ClusterError::io("open", &self.log))?;
        let length = file
            .metadata()
            .map_err(ClusterError::io("read", &self.log))?
            .len();
        Ok((file, length))
    }

    /// The end of the log after `start`, in one line.
    pub(super) fn log_tail(&self, start: u64) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                start.max(end.saturating_sub(LOG_TAIL_BYTES)),
            ))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(4)..].join(" / ");
        format!("{last} (see {})", self.log.display())
    }
}

/// What every PostgreSQL program gets: the user, no environment but a locale that each system has
/// (the caller's may be unknown here, and one of glibc changes its sort order with its version),
/// and a process group of its own, so that Ctrl-C reaches the daemon alone.
pub(super) fn prepare(command: &mut Command, user: Option<&RunAs>) {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin")
        .process_group(0);
    RunAs::apply(user, command);
}

fn initdb_failed(stderr: &str) -> ClusterError {
    if stderr.contains("could not look up effective user ID") {
        return ClusterError::NamelessUser(rustix::process::geteuid().as_raw());
    }
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    ClusterError::Initdb(lines.join(" / "))
}

/// Creates a directory that only its owner may enter, or makes it so.
fn make_private(path: &Path) -> Result<(), ClusterError> {
    if !path.exists() {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(ClusterError::io("create", path))?;
    }
    let mode = fs::metadata(path)
        .map_err(ClusterError::io("read", path))?
        .permissions()
        .mode();
    if mode & 0o777 != 0o700 {
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(path, private).map_err(ClusterError::io("protect", path))?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> Result<(), ClusterError> {
    let file = OpenOptions::new().append(true).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(ClusterError::io("write", path))
}

fn sync(path: &Path) -> Result<(), ClusterError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(ClusterError::io("sync", path))
}
