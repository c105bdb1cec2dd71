//! A network that can be cut: what stands between two ends that are under test.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How soon a connection sees what the network does to it.
const LOOK: Duration = Duration::from_millis(5);

/// Where connections lead.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// To a port.
    Tcp(SocketAddr),
    /// To a socket in the file system.
    Unix(PathBuf),
}

/// Passes connections on, as long as it is told to.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<Network>,
}

#[derive(Debug, Default)]
struct Network {
    /// Rises with each cut; connections of an earlier number end.
    cuts: AtomicU64,
    /// Bytes stay where they are, and nobody is told.
    is_silent: AtomicBool,
    /// New connections are closed at once.
    is_closed: AtomicBool,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let network = Arc::<Network>::default();
        let weak = Arc::downgrade(&network);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Some(network), Ok(stream)) = (weak.upgrade(), stream) else {
                    return;
                };
                network.connections.fetch_add(1, Ordering::Relaxed);
                if !network.is_closed.load(Ordering::Relaxed) {
                    // An upstream that is away closes the connection, as it would without us.
                    let _away = network.pass(stream, &upstream);
                }
            }
        });
        Self { address, network }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were tried so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.network.connections.load(Ordering::Relaxed)
    }

    /// Ends all connections.
    pub fn cut(&self) {
        self.network.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// Swallows what is sent from now on, or delivers it: a connection of which one end is gone
    /// and the other does not know.
    pub fn silence(&self, is_silent: bool) {
        self.network.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Closes new connections at once, or lets them through.
    pub fn close(&self, is_closed: bool) {
        self.network.is_closed.store(is_closed, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.close(true);
        // Wakes the listener, which then sees that nobody holds it any more.
        let address = self.address;
        thread::spawn(move || TcpStream::connect(address));
    }
}

impl Network {
    fn pass(self: &Arc<Self>, near: TcpStream, upstream: &Upstream) -> io::Result<()> {
        near.set_nodelay(true)?;
        match upstream {
            Upstream::Tcp(address) => {
                let far = TcpStream::connect(address)?;
                far.set_nodelay(true)?;
                self.pump(near.try_clone()?, far.try_clone()?);
                self.pump(far, near);
            }
            Upstream::Unix(path) => {
                let far = UnixStream::connect(path)?;
                self.pump(near.try_clone()?, far.try_clone()?);
                self.pump(far, near);
            }
        }
        Ok(())
    }

    /// Carries bytes in one direction on a thread of its own.
    fn pump(self: &Arc<Self>, mut from: impl End, mut to: impl End) {
        let network = Arc::clone(self);
        let born = network.cuts.load(Ordering::Relaxed);
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            let is_cut = || network.cuts.load(Ordering::Relaxed) != born;
            'connection: while from.wait(LOOK).is_ok() && !is_cut() {
                if network.is_silent.load(Ordering::Relaxed) {
                    thread::sleep(LOOK);
                    continue;
                }
                let len = match from.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(len) => len,
                    Err(error) if is_silence(&error) => continue,
                    Err(_) => break,
                };
                // What came before a silence is swallowed by it.
                while network.is_silent.load(Ordering::Relaxed) {
                    thread::sleep(LOOK);
                    if is_cut() {
                        break 'connection;
                    }
                }
                if to.write_all(&bytes[..len]).is_err() {
                    break;
                }
            }
            from.end();
            to.end();
        });
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// One end of a connection, of either kind.
trait End: Read + Write + Send + 'static {
    /// Makes reads return after a while.
    fn wait(&self, patience: Duration) -> io::Result<()>;
    fn end(&self);
}

impl End for TcpStream {
    fn wait(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }

    fn end(&self) {
        let _ended = self.shutdown(Shutdown::Both);
    }
}

impl End for UnixStream {
    fn wait(&self, patience: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(patience))
    }

    fn end(&self) {
        let _ended = self.shutdown(Shutdown::Both);
    }
}
