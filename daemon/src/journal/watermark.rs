//! How far the journal is durable, for those who read it while it is written.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A shared, ever growing mark: what lies before it is committed.
///
/// The writer moves it once per commit, readers look at it once per read, so a mutex is enough; it
/// is never held over a system call.
#[derive(Debug, Clone)]
pub struct Watermark {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mark: Mutex<Mark>,
    moved: Condvar,
}

/// The place behind the last committed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The position behind the last committed record.
    pub(super) position: u64,
    /// The first position of the segment that holds the mark; `None` when there is no segment.
    pub(super) segment: Option<u64>,
    /// The offset in that segment.
    pub(super) offset: u64,
    /// True once the writer is gone and the mark will not move again.
    pub(super) closed: bool,
}

impl Watermark {
    /// A watermark at this place.
    pub(super) fn new(mark: Mark) -> Self {
        Self {
            shared: Arc::new(Shared {
                mark: Mutex::new(mark),
                moved: Condvar::new(),
            }),
        }
    }

    /// The position behind the last committed record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.mark().position
    }

    /// True once the writer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.mark().closed
    }

    /// Waits until something beyond `position` is committed, the writer is gone or the time is up,
    /// and returns the position behind the last committed record.
    pub fn wait(&self, position: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        let mut mark = self.lock();
        while mark.position <= position && !mark.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            mark = self
                .shared
                .moved
                .wait_timeout(mark, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        mark.position
    }

    /// The place behind the last committed record.
    pub(super) fn mark(&self) -> Mark {
        *self.lock()
    }

    /// Moves the mark and wakes those who wait.
    pub(super) fn advance(&self, position: u64, segment: u64, offset: u64) {
        let mut mark = self.lock();
        *mark = Mark {
            position,
            segment: Some(segment),
            offset,
            closed: mark.closed,
        };
        drop(mark);
        self.shared.moved.notify_all();
    }

    /// Says that the mark will not move again.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.shared.moved.notify_all();
    }

    /// A mark is plain data and every change of it is one assignment, so that a panic elsewhere
    /// cannot have left it half-written: a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Mark> {
        self.shared
            .mark
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
