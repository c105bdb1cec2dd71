//! A real `divisord` on a free port with a state directory of its own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking, and shows the daemon's log"
)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a start, stop or condition may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a daemon. The default has no database and a small journal: the quickest.
#[derive(Debug, Clone)]
pub struct Options {
    program: PathBuf,
    state: Option<PathBuf>,
    sets: Vec<String>,
    listen: String,
    environment: Vec<(String, String)>,
}

impl Options {
    /// Options for this program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            state: None,
            sets: vec![
                "journal.segment_bytes=1MiB".to_owned(),
                "journal.bytes_max=256MiB".to_owned(),
                "journal.keep=64MiB".to_owned(),
                "database.private=false".to_owned(),
                "http.listen=[]".to_owned(),
            ],
            listen: "127.0.0.1:0".to_owned(),
            environment: Vec::new(),
        }
    }

    /// The sibling of a program of this workspace: `divisord` beside the test's own `divisor`.
    ///
    /// # Panics
    /// When it has not been built.
    pub fn sibling_of(program: &str) -> Self {
        let path = Path::new(program).with_file_name("divisord");
        assert!(
            path.exists(),
            "{} is missing: build the whole workspace (cargo test --workspace does)",
            path.display()
        );
        Self::new(path)
    }

    /// Sets a key of the configuration.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Self {
        self.sets.push(assignment.to_owned());
        self
    }

    /// Uses a database.
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.set(&format!("database.url={url}"))
    }

    /// Uses this state directory and leaves it behind.
    #[must_use]
    pub fn state(mut self, dir: &Path) -> Self {
        self.state = Some(dir.to_owned());
        self
    }

    /// Serves HTTP on a free port.
    #[must_use]
    pub fn http(self) -> Self {
        self.set("http.listen=127.0.0.1:0")
    }

    /// Listens on this address instead of a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The command that runs the daemon, for tests that expect a failure.
    pub fn command(&self, state: &Path) -> Command {
        self.verb(state, &["run"])
    }

    /// Another verb with the same configuration.
    pub fn verb(&self, state: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--state")
            .arg(state)
            .args(["--listen", &self.listen]);
        for assignment in &self.sets {
            command.args(["--set", assignment]);
        }
        // A test must not depend on what is configured on the machine.
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("DIVISOR_")) {
            command.env_remove(key);
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts the daemon and returns when it listens.
    ///
    /// # Panics
    /// When it does not, with what it said.
    pub fn start(self) -> Daemon {
        let owned = if self.state.is_none() {
            Some(temporary())
        } else {
            None
        };
        let state = self
            .state
            .clone()
            .or_else(|| owned.as_ref().map(|dir| dir.path().to_owned()))
            .unwrap_or_default();
        let mut command = self.command(&state);
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().unwrap();
        let lines = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let mut daemon = Daemon {
            options: self,
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
            reader: Some(reader),
            state,
            owned,
        };
        daemon.address = daemon.wait_until_listening();
        daemon
    }
}

/// A temporary directory that a PostgreSQL of another user may pass through.
fn temporary() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new()
        .prefix("divisor-test-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

/// A running daemon; killed, and its directory removed, when dropped.
#[derive(Debug)]
pub struct Daemon {
    options: Options,
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<thread::JoinHandle<()>>,
    state: PathBuf,
    owned: Option<tempfile::TempDir>,
}

impl Daemon {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its HTTP side listens.
    ///
    /// # Panics
    /// Without [`Options::http`].
    pub fn http_address(&self) -> SocketAddr {
        let log = self.log();
        let url = log.split("listening for HTTP url=http://").nth(1).unwrap();
        url.split('/').next().unwrap().parse().unwrap()
    }

    /// Where it listens for TLS.
    ///
    /// # Panics
    /// When it does not.
    pub fn tls_address(&self) -> SocketAddr {
        eventually("it listens over TLS", || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("MQTT over TLS"))?;
            let address = line.split("address=").nth(1)?.split_whitespace().next()?;
            address.parse().ok()
        })
    }

    /// Asks it to reload, and waits until it says that it has done `what`.
    pub fn reload(&self, what: &str) {
        let before = self.log().matches(what).count();
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-HUP", &pid]).status();
        eventually(what, || {
            (self.log().matches(what).count() > before).then_some(())
        });
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Kills it without a warning, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    let _ = reader.join();
                }
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "divisord does not stop:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again on the same directory and port.
    #[must_use]
    pub fn restart(mut self) -> Self {
        self.kill();
        let mut options = self.options.clone().listen(self.address);
        options.state = Some(self.state.clone());
        let owned = self.owned.take();
        let mut next = options.start();
        next.owned = owned;
        next
    }

    /// Removes a directory of our own. A private PostgreSQL ends by itself after its daemon's
    /// death, and may write until then.
    fn remove_owned(&mut self) {
        let Some(owned) = self.owned.take() else {
            return;
        };
        let path = owned.keep();
        let deadline = Instant::now() + PATIENCE;
        while std::fs::remove_dir_all(&path).is_err() && path.exists() && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_until_listening(&mut self) -> SocketAddr {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self
                .log
                .lock()
                .unwrap()
                .iter()
                .find_map(|line| line.contains("listening for MQTT").then(|| line.clone()));
            if let Some(line) = line {
                let address = line.split("address=").nth(1).unwrap_or_default();
                return address
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .parse()
                    .unwrap();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "divisord ended with {ended:?}:\n{}",
                self.log()
            );
            assert!(
                Instant::now() < deadline,
                "divisord does not start:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        self.remove_owned();
        if thread::panicking() {
            // The log is what a failed test is explained by.
            eprintln!("divisord said:\n{}", self.log());
        }
    }
}

/// Waits until `condition` gives a value.
///
/// # Panics
/// When it never does, naming what was awaited.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: still not after {PATIENCE:?}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
