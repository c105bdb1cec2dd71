//! A client of the HTTP side: requests over one connection, and what readers do all day.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A connection that is kept for the next request.
pub(crate) struct Browser {
    reader: BufReader<TcpStream>,
}

impl Browser {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let reader = BufReader::new(stream);
        Ok(Self { reader })
    }

    /// Ends what another thread waits for.
    fn handle(&self) -> io::Result<TcpStream> {
        self.reader.get_ref().try_clone()
    }

    fn ask(&mut self, path: &str) -> io::Result<usize> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: */*\r\n\r\n");
        self.reader.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.starts_with("http/") && !line.contains(" 200 ") {
                return Err(io::Error::other(format!("{path}: {line}")));
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(io::Error::other)?;
            }
            if line.is_empty() {
                return Ok(length);
            }
        }
    }

    /// The body of an answer.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let mut body = vec![0; self.ask(path)?];
        self.reader.read_exact(&mut body)?;
        Ok(body)
    }
}

/// Those who read while prices come in: streams of levels, and readers of history that ask, look for
/// a while, and ask again.
pub(crate) struct Crowd {
    stopped: Arc<AtomicBool>,
    handles: Vec<TcpStream>,
    threads: Vec<thread::JoinHandle<()>>,
    answers: Arc<AtomicU64>,
}

/// Stacks are small: there are hundreds of them.
const STACK_BYTES: usize = 128 << 10;

impl Crowd {
    /// Opens all connections; reader `n` asks `paths[n % paths.len()]` every `pause`.
    pub(crate) fn gather(
        address: SocketAddr,
        (streams, readers): (usize, usize),
        paths: &[String],
        pause: Duration,
    ) -> Self {
        let mut crowd = Self {
            stopped: Arc::default(),
            handles: Vec::new(),
            threads: Vec::new(),
            answers: Arc::default(),
        };
        for _ in 0..streams {
            let mut browser = Browser::open(address).unwrap();
            crowd.handles.push(browser.handle().unwrap());
            crowd.begin(move || {
                let mut bytes = [0; 16 << 10];
                if browser.ask("/api/v1/stream").is_ok() {
                    while browser.reader.read(&mut bytes).is_ok_and(|read| read > 0) {}
                }
            });
        }
        for n in 0..readers {
            let path = paths[n % paths.len()].clone();
            let (stopped, answers) = (Arc::clone(&crowd.stopped), Arc::clone(&crowd.answers));
            let first = pause * n as u32 / readers as u32;
            let mut browser = Browser::open(address).unwrap();
            crowd.handles.push(browser.handle().unwrap());
            crowd.begin(move || {
                // They do not all ask at once.
                thread::sleep(first);
                while !stopped.load(Ordering::Relaxed) {
                    match browser.get(&path) {
                        Ok(_) => answers.fetch_add(1, Ordering::Relaxed),
                        Err(error) if stopped.load(Ordering::Relaxed) => {
                            let _ = error;
                            return;
                        }
                        Err(error) => panic!("{error}"),
                    };
                    thread::sleep(pause);
                }
            });
        }
        crowd
    }

    fn begin(&mut self, work: impl FnOnce() + Send + 'static) {
        let work = move || {
            // They stand for other machines.
            let _ = rustix::process::nice(19);
            work();
        };
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(work);
        self.threads.push(thread.unwrap());
    }

    /// Answers of history so far.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Sends everybody home.
    pub(crate) fn leave(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for handle in self.handles {
            let _ = handle.shutdown(std::net::Shutdown::Both);
        }
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
