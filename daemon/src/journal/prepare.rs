//! Has the next segment ready before it is needed.
//!
//! A new file costs the file system metadata at every fdatasync; a file that is already filled with
//! zeros costs none (246 µs against 116 µs for 4 KiB, SCALE.md §5.1). So a helper thread fills the
//! next segment while the current one is written, and the writer only puts a header in and renames.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use super::disk::{Disk, DiskFile};

/// The name of the file being filled, until it becomes a segment.
pub(super) const NEXT: &str = "next.prepared";

/// The same for a record that needs a segment of its own size; it may exist beside the other.
pub(super) const LARGE: &str = "large.prepared";

/// How much is filled and synced at once. A sync of the journal waits for the disk's queue, so the
/// queue is kept short.
const FILL_LEN: u64 = 1 << 20;

/// The outcome of a preparation.
type Prepared = io::Result<Box<dyn DiskFile>>;

/// Prepares segments of one length, one ahead.
#[derive(Debug)]
pub(super) struct Preparer {
    /// Where.
    disk: Arc<dyn Disk>,
    /// The length of each.
    len: u64,
    /// The thread; `None` when preparation happens in the caller, as simulations need it.
    helper: Option<Helper>,
    /// True between a request and the taking of its result.
    requested: bool,
    /// A result that was looked at and not yet taken.
    ready: Option<Prepared>,
}

/// The thread and the ways to it.
#[derive(Debug)]
struct Helper {
    requests: Option<Sender<()>>,
    results: Receiver<Prepared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// A preparer of segments of `len` bytes; with a thread of its own when `ahead`.
    pub(super) fn new(disk: Arc<dyn Disk>, len: u64, ahead: bool) -> io::Result<Self> {
        let helper = if ahead {
            Some(Helper::start(Arc::clone(&disk), len)?)
        } else {
            None
        };
        Ok(Self {
            disk,
            len,
            helper,
            requested: false,
            ready: None,
        })
    }

    /// True when a segment is being prepared or is ready: its bytes are spoken for.
    pub(super) const fn is_requested(&self) -> bool {
        self.requested
    }

    /// Begins to prepare a segment, unless one was requested already.
    pub(super) fn request(&mut self) {
        if self.requested {
            return;
        }
        self.requested = true;
        let requests = self
            .helper
            .as_ref()
            .and_then(|helper| helper.requests.as_ref());
        // Should the thread be gone, `take` finds out.
        let _sent = requests.map(|requests| requests.send(()));
    }

    /// True when the requested segment is there; false while it is being prepared or when it
    /// failed, in which case the next request tries again.
    pub(super) fn is_ready(&mut self) -> bool {
        if !self.requested {
            return false;
        }
        if self.ready.is_none() {
            self.ready = match &self.helper {
                None => Some(prepare(&*self.disk, NEXT, self.len, None)),
                Some(helper) => match helper.results.try_recv() {
                    Ok(prepared) => Some(prepared),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => Some(Err(gone())),
                },
            };
        }
        if matches!(self.ready, Some(Err(_))) {
            self.ready = None;
            self.requested = false;
        }
        self.ready.is_some()
    }

    /// Takes the prepared segment, waiting for it when it is not ready yet.
    pub(super) fn take(&mut self) -> Prepared {
        self.request();
        self.requested = false;
        match (self.ready.take(), &self.helper) {
            (Some(prepared), _) => prepared,
            (None, None) => prepare(&*self.disk, NEXT, self.len, None),
            (None, Some(helper)) => helper.results.recv().unwrap_or_else(|_| Err(gone())),
        }
    }
}

impl Helper {
    fn start(disk: Arc<dyn Disk>, len: u64) -> io::Result<Self> {
        let (requests, incoming) = channel();
        let (outgoing, results) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("journal-prepare".to_owned())
            .spawn(move || {
                for () in incoming {
                    if outgoing
                        .send(prepare(&*disk, NEXT, len, Some(&stopped)))
                        .is_err()
                    {
                        break;
                    }
                }
            })?;
        Ok(Self {
            requests: Some(requests),
            results,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the helper has been reported by its hook; nothing depends on it any more.
            let _ended = thread.join();
        }
    }
}

/// Creates a file of `len` zeros, durable with its directory entry. After an error the file is
/// gone, so that a full disk is not made fuller.
pub(super) fn prepare(
    disk: &dyn Disk,
    name: &str,
    len: u64,
    stop: Option<&AtomicBool>,
) -> Prepared {
    let file = disk.create(name)?;
    let filled = fill(&*file, 0, len, stop).and_then(|()| disk.sync_dir());
    match filled {
        Ok(()) => Ok(file),
        Err(error) => {
            let _removed = disk.remove(name);
            Err(error)
        }
    }
}

/// Writes zeros from `from` up to `until` and syncs them.
pub(super) fn fill(
    file: &dyn DiskFile,
    from: u64,
    until: u64,
    stop: Option<&AtomicBool>,
) -> io::Result<()> {
    let zeros = vec![0; usize::try_from(FILL_LEN.min(until - from)).unwrap_or(usize::MAX)];
    let mut offset = from;
    while offset < until {
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let len = usize::try_from(until - offset)
            .unwrap_or(usize::MAX)
            .min(zeros.len());
        file.write_at(&zeros[..len], offset)?;
        file.sync_data()?;
        offset += len as u64;
    }
    Ok(())
}

/// The thread ended without having been told to.
fn gone() -> io::Error {
    io::Error::other("the thread that prepares segments is gone")
}
