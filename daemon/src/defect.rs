//! Defects that the simulation switches on, one at a time, to prove that its oracle finds each.
//!
//! The list is closed: the proof goes through all of it. In a build that is not for tests every
//! question is answered with no by the compiler, and nothing of this is left.

macro_rules! defects {
    ($($(#[$what:meta])* $name:ident,)*) => {
        /// What could be done wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Defect {
            $($(#[$what])* $name,)*
        }

        #[cfg(test)]
        impl Defect {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

defects! {
    /// A commit leaves out its fdatasync.
    CommitNotSynced,
    /// A failed fdatasync is tried again on the same file.
    SyncRetried,
    /// A recovery trusts what an earlier, failed fdatasync left in the page cache.
    CacheTrusted,
    /// A new segment's name is not made durable.
    SegmentNotSynced,
    /// A record is read without a look at its checksum.
    ChecksumIgnored,
    /// Receipts leave before the commit.
    ReceiptsEarly,
    /// Levels leave before the commit.
    LevelsEarly,
    /// A batch that finds no room counts as written.
    FullIgnored,
    /// The time of a batch is what the wall clock says.
    TimeFalls,
    /// A boot has the epoch of the one before.
    EpochReused,
    /// A start leaves out the first record behind the snapshot.
    TailSkipped,
    /// A start does not announce the last levels again.
    RetainedForgotten,
    /// The journal is dropped as soon as it is durable.
    JournalDroppedEarly,
    /// A snapshot is used without a look at its checksum.
    SnapshotUnchecked,
    /// A snapshot takes its name before it is durable.
    SnapshotNotSynced,
    /// A transaction lacks a tick.
    TickLost,
    /// A transaction lacks a level.
    LevelLost,
    /// A transaction whose answer was lost is written again.
    AnswerIgnored,
    /// A repeated tick has a row.
    DuplicateStored,
    /// A redelivered tick counts as another one.
    IdentityLost,
    /// A tick that is refused is acknowledged without a reason.
    RefusalSilent,
}

#[cfg(not(test))]
impl Defect {
    pub(crate) const fn is_on(self) -> bool {
        let _ = self;
        false
    }
}

#[cfg(test)]
thread_local! {
    /// The simulation runs a seed on one thread.
    static PRESENT: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
impl Defect {
    pub(crate) fn is_on(self) -> bool {
        PRESENT.get() == Some(self)
    }

    /// Runs something with this defect present.
    pub(crate) fn during<T>(self, run: impl FnOnce() -> T) -> T {
        PRESENT.set(Some(self));
        let outcome = run();
        PRESENT.set(None);
        outcome
    }
}
