//! A throw-away PostgreSQL for a test binary: one server, a database for each test.
//!
//! The server runs under a watchdog, a shell that reads a pipe from this process. When the process
//! ends, by whatever signal, the pipe closes: the watchdog ends the server and removes its
//! directory. So nothing outlives the tests, and nothing here needs unsafe code.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ::postgres::{Client, Config, NoTls};

/// What a machine without PostgreSQL is told.
const MISSING: &str = "these tests need the PostgreSQL server programs: install them (README), or \
                       set PG_BINDIR to the folder that holds `initdb` and `postgres`";

/// Makes and runs the server until the standard input closes, and leaves nothing behind.
const WATCHDOG: &str = r#"
if "$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$2/log" 2>&1
then
    start() {
        "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off \
            -c full_page_writes=off -c synchronous_commit=off -c max_connections=200 -c jit=off \
            >"$2/log" 2>&1 </dev/null &
        server=$!
    }
    start "$1" "$2"
    while read -r word
    do
        if [ "$word" = resume ]
        then
            start "$1" "$2"
        else
            kill -QUIT $server
            wait $server
        fi
    done
    kill -QUIT $server
    wait $server
else
    touch "$2/failed"
    read -r _
fi
cd / && rm -rf "$2"
"#;

const START_MAX: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    dir: PathBuf,
    /// The watchdog's input, closed by the kernel when this process ends.
    leash: Option<ChildStdin>,
    watchdog: Child,
}

/// A database of its own for one test, dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    server: &'static Postgres,
    name: String,
}

impl Postgres {
    /// The server that all tests of this binary share; started by the first.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start: the tests need it.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| match Self::start() {
            Ok(server) => server,
            Err(error) => panic!("failed to start PostgreSQL for the tests: {error}"),
        })
    }

    /// Starts a server of its own, which ends with the value.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> io::Result<Self> {
        let bin = programs().ok_or_else(|| io::Error::other(MISSING))?;
        let owner = unprivileged()?;
        let dir = tempfile::Builder::new().prefix("divisor-pg-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
        if let Some((uid, gid)) = owner {
            chown(dir.path(), Some(uid), Some(gid))?;
        }
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&bin)
            .arg(dir.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        run_as(&mut command, owner);
        let mut watchdog = command.spawn()?;
        let leash = watchdog.stdin.take();
        // From here on the watchdog removes the directory.
        let server = Self {
            dir: dir.keep(),
            leash,
            watchdog,
        };
        server.wait_ready()?;
        Ok(server)
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn database(&'static self) -> TestDatabase {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = self.admin().and_then(|mut admin| {
            admin.batch_execute(&format!("create database {name} template template0"))
        });
        match made {
            Ok(()) => TestDatabase { server: self, name },
            Err(error) => panic!("failed to make a database for a test: {error:?}"),
        }
    }

    /// Ends the server as a crash does; its data stay for [`Self::resume`].
    ///
    /// # Panics
    /// When it does not end.
    pub fn halt(&self) {
        self.tell("halt");
        let deadline = Instant::now() + START_MAX;
        while self.admin().is_ok() {
            assert!(Instant::now() < deadline, "PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the server again after [`Self::halt`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&self) {
        self.tell("resume");
        if let Err(error) = self.wait_ready() {
            panic!("failed to start PostgreSQL again: {error}");
        }
    }

    fn tell(&self, word: &str) {
        let told = self
            .leash
            .as_ref()
            .map(|mut leash| writeln!(leash, "{word}"));
        assert!(
            matches!(told, Some(Ok(()))),
            "the watchdog is gone: {told:?}"
        );
    }

    /// A connection to the server's own database.
    ///
    /// # Errors
    /// What the driver says.
    pub fn admin(&self) -> Result<Client, ::postgres::Error> {
        self.config("postgres").connect(NoTls)
    }

    fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.dir)
            .user("postgres")
            .dbname(database);
        config.connect_timeout(Duration::from_secs(10));
        config
    }

    fn wait_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while let Err(error) = self.admin() {
            if Instant::now() > deadline || self.dir.join("failed").exists() {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "{error}; the server's log: {log}"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _status = self.watchdog.wait();
    }
}

impl TestDatabase {
    /// How to connect.
    #[must_use]
    pub fn config(&self) -> Config {
        self.server.config(&self.name)
    }

    /// The server's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.dir.join(".s.PGSQL.5432")
    }

    /// The `database.url` of those who come by a port that leads to [`Self::socket`].
    #[must_use]
    pub fn url_by_port(&self, port: u16) -> String {
        format!("postgresql://postgres@127.0.0.1:{port}/{}", self.name)
    }

    /// The same as a `database.url`.
    #[must_use]
    pub fn url(&self) -> String {
        let socket = self
            .server
            .dir
            .display()
            .to_string()
            .replace('%', "%25")
            .replace('/', "%2F");
        format!("postgresql://postgres@{socket}/{}", self.name)
    }

    /// A connection.
    ///
    /// # Panics
    /// When the server refuses.
    #[must_use]
    pub fn connect(&self) -> Client {
        match self.config().connect(NoTls) {
            Ok(client) => client,
            Err(error) => panic!("failed to connect to a test's database: {error:?}"),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A test that failed may still hold connections; the server ends with the process anyway.
        let sql = format!("drop database if exists {} with (force)", self.name);
        let _dropped = self
            .server
            .admin()
            .and_then(|mut admin| admin.batch_execute(&sql));
    }
}

/// The folder of the newest server programs on this machine.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("PG_BINDIR") {
        return Some(PathBuf::from(dir)).filter(|dir| dir.join("initdb").is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path().join("bin")));
    }
    found.retain(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file());
    found.sort();
    found.pop()
}

/// The user for the programs, which refuse to run as root; `None` where we are not root.
fn unprivileged() -> io::Result<Option<(u32, u32)>> {
    use std::os::unix::fs::MetadataExt;
    let probe = tempfile::NamedTempFile::new()?;
    if probe.as_file().metadata()?.uid() != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2);
        Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody"));
    user.map(Some)
        .ok_or_else(|| io::Error::other("no user `postgres` or `nobody` to run it as"))
}

fn run_as(command: &mut Command, owner: Option<(u32, u32)>) {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/bin:/bin");
    // Ctrl-C ends the tests; the watchdog then does its work undisturbed.
    command.current_dir("/").process_group(0);
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
}
