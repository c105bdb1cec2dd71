//! The demo's own divisord: found, started, awaited, ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::connection::{Address, Broker, Connection};
use crate::interrupt::Interrupt;
use crate::output;

/// A first start makes a database cluster, which takes seconds on a small machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// A drain and the database's own end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
/// What is shown of a daemon's last words.
const LINES_MAX: usize = 20;
/// The ports that everybody expects.
const MQTT_PORT: u16 = 1883;
const HTTP_PORT: u16 = 8383;

/// A running daemon. Dropping it kills it: no demo leaves one behind.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    address: Broker,
    page: SocketAddr,
    words: Arc<Mutex<VecDeque<String>>>,
    /// Removed with this value, unless the user keeps it.
    _state: Option<TempDir>,
}

impl Daemon {
    /// Starts `divisord run`.
    pub(crate) fn start(
        state: Option<PathBuf>,
        listen: Option<SocketAddr>,
        keep: bool,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        let program = program()?;
        let listen = match listen {
            Some(listen) => free(listen)?,
            None => usual(MQTT_PORT)?,
        };
        let page = usual(HTTP_PORT)?;
        let (path, temporary) = match state {
            Some(path) => (path, None),
            None => {
                let mut builder = tempfile::Builder::new();
                let temporary = builder
                    .prefix("divisor-demo-")
                    .disable_cleanup(keep)
                    .tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        if !quiet {
            output::say(format_args!(
                "starting {} in {}",
                program.display(),
                path.display()
            ));
        }
        let mut child = Command::new(&program)
            .arg("run")
            .arg("--state")
            .arg(&path)
            .args(["--set", &format!("mqtt.listen=[\"{listen}\"]")])
            .args(["--set", &format!("http.listen=[\"{page}\"]")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Its own group: Ctrl-C is for the demo, which then ends the daemon in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            let words = Arc::clone(&words);
            std::thread::spawn(move || remember(BufReader::new(stderr), &words));
        }
        Ok(Self {
            child,
            address: Broker::plain(Address {
                host: host(listen),
                port: Some(listen.port()),
                ..Address::default()
            }),
            page,
            words,
            _state: temporary,
        })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> &Broker {
        &self.address
    }

    /// The address of its page.
    pub(crate) fn page(&self) -> String {
        format!("http://{}/", self.page)
    }

    /// Connects as soon as it answers.
    pub(crate) async fn connect(&mut self, interrupt: &Interrupt) -> anyhow::Result<Connection> {
        let start = Instant::now();
        loop {
            let error = match super::connect(&self.address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "divisord ended before it was ready ({status}):\n{}",
                    self.last_words()
                );
            }
            if start.elapsed() > START_TIMEOUT || interrupt.is_set() {
                bail!("divisord is not ready: {error}\n{}", self.last_words());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn last_words(&self) -> String {
        // The thread that reads them may be a moment behind the exit.
        std::thread::sleep(POLL);
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(|line| format!("  {line}\n")).collect()
    }

    /// Asks it to end and waits for it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "divisord ended on its own ({status}):\n{}",
                self.last_words()
            );
        }
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        }
        match self.wait().await? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("divisord ended with {status}:\n{}", self.last_words()),
            None => {
                let waited = STOP_TIMEOUT.as_secs();
                bail!("divisord did not end within {waited} s and is killed");
            }
        }
    }

    async fn wait(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// `$DIVISORD`, or the sibling of this program.
fn program() -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os("DIVISORD") {
        return Ok(program.into());
    }
    let own = std::env::current_exe().context("failed to find this program")?;
    let sibling = own.with_file_name("divisord");
    if sibling.is_file() {
        return Ok(sibling);
    }
    bail!(
        "no divisord beside {}; build it with `cargo build --workspace`, or set DIVISORD",
        own.display()
    )
}

/// The usual port of this machine, or a free one where it is taken.
fn usual(port: u16) -> anyhow::Result<SocketAddr> {
    let usual = free((Ipv4Addr::LOCALHOST, port).into());
    usual.or_else(|_| free((Ipv4Addr::LOCALHOST, 0).into()))
}

/// This address while it can be listened on; port 0 becomes a free one.
fn free(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address);
    let listener = listener.with_context(|| format!("failed to listen on {address}"))?;
    Ok(listener.local_addr()?)
}

fn host(listen: SocketAddr) -> String {
    match listen {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

fn remember(reader: impl BufRead, words: &Mutex<VecDeque<String>>) {
    for line in reader.lines().map_while(Result::ok) {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() == LINES_MAX {
            words.pop_front();
        }
        words.push_back(line);
    }
}
