//! Where the simulation ends the process: before and after each step that something outside of it
//! can see.
//!
//! The list is closed: a test arms each point in turn, with the process killed and with the power cut,
//! and says so when one was never passed. In a build that is not for tests nothing of this is left.

macro_rules! points {
    ($($(#[$what:meta])* $name:ident,)*) => {
        /// A place between two steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Point {
            $($(#[$what])* $name,)*
        }

        #[cfg(test)]
        impl Point {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

points! {
    /// The boot is not counted.
    BootDue,
    /// The boot is counted, and nobody has heard of it.
    BootCounted,
    /// A segment is filled with zeros and has not its name.
    SegmentDue,
    /// It has its name, which is not durable.
    SegmentNamed,
    /// A record is encoded.
    WriteDue,
    /// It is written, not durable.
    Written,
    /// Its fdatasync comes now.
    SyncDue,
    /// It is durable, and nobody was told.
    Synced,
    /// Levels are calculated and have not left.
    PublishDue,
    /// They have left, and nothing is acknowledged.
    Published,
    /// Everything is acknowledged.
    Acknowledged,
    /// An old segment is no longer needed.
    SegmentGoes,
    /// It is deleted, which is not durable.
    SegmentGone,
    /// A snapshot is written, not durable.
    SnapshotWritten,
    /// It is durable under another name.
    SnapshotSynced,
    /// It has its name, which is not durable.
    SnapshotNamed,
    /// It is there, and the older ones are.
    SnapshotDone,
    /// An older one is deleted, which is not durable.
    SnapshotGone,
    /// Rows are ready.
    TransactionDue,
    /// They are committed, and the process does not know.
    Committed,
}

#[cfg(not(test))]
impl Point {
    pub(crate) const fn pass(self) {
        let _ = self;
    }
}

/// What a process that ends at a point unwinds with.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Ended;

#[cfg(test)]
thread_local! {
    /// The point that ends the process, and how often it is passed before.
    static ARMED: std::cell::Cell<Option<(Point, u64)>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
impl Point {
    /// Ends the process here when this is the point and the time.
    pub(crate) fn pass(self) {
        match ARMED.get() {
            Some((point, 0)) if point == self => {
                ARMED.set(None);
                std::panic::resume_unwind(Box::new(Ended));
            }
            Some((point, left)) if point == self => ARMED.set(Some((point, left - 1))),
            _ => {}
        }
    }

    /// Lets the process end here after so many times.
    pub(crate) fn arm(self, after: u64) {
        ARMED.set(Some((self, after)));
    }

    /// Lets no point end it; true when one was still waiting.
    pub(crate) fn disarm() -> bool {
        ARMED.take().is_some()
    }
}
