//! A simulated disk: what was not synced may be lost, in pieces and in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

/// The unit that a disk writes as a whole.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
    power: Power,
}

/// What several disks hang on: it goes off at a chosen step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Power(Arc<Supply>);

#[derive(Debug, Default)]
struct Supply {
    /// Changes until it goes off, plus one; 0 for never.
    left: AtomicU64,
    off: AtomicBool,
}

impl Power {
    /// Goes off at the change after `changes` more.
    pub(crate) fn cut_after(&self, changes: u64) {
        self.0.left.store(changes + 1, Ordering::Relaxed);
    }

    /// Is on, and stays.
    pub(crate) fn restore(&self) {
        self.0.left.store(0, Ordering::Relaxed);
        self.0.off.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_off(&self) -> bool {
        self.0.off.load(Ordering::Relaxed)
    }

    /// An error when it is off.
    fn check(&self) -> io::Result<()> {
        if self.is_off() {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    /// Counts a change; an error when it is off or goes off now.
    fn spend(&self) -> io::Result<()> {
        self.check()?;
        let left = self.0.left.load(Ordering::Relaxed);
        if left > 0 {
            self.0.left.store(left - 1, Ordering::Relaxed);
            self.0.off.store(left == 1, Ordering::Relaxed);
        }
        self.check()
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The contents of all files ever created, by number.
    files: Vec<Content>,
    /// The directory as processes see it.
    names: BTreeMap<String, usize>,
    /// The directory as it was last synced, and after each change since but the last.
    earlier_names: Vec<BTreeMap<String, usize>>,
    /// Bytes that may still be written before the disk is full; overwriting is free.
    pub(crate) space: Option<u64>,
    /// The next sync of a file fails, once: as a kernel does it, what was written since the last
    /// one is still read, counts as clean and is never written.
    pub(crate) sync_fails: bool,
    /// A sync has failed.
    pub(crate) sync_failed: bool,
    /// So many writes find no room half-way, wherever they go.
    pub(crate) refusals: u32,
}

#[derive(Debug, Default)]
struct Content {
    /// The file as processes see it.
    cached: Vec<u8>,
    /// The file as it was last synced.
    synced: Vec<u8>,
    /// Ranges that were written since.
    pending: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: usize,
}

impl SimDisk {
    /// A disk on this power.
    pub(crate) fn on(power: Power) -> Self {
        Self {
            power,
            ..Self::default()
        }
    }

    /// The insides, for faults and damages.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What remains after a power cut: of every sector that was not synced the old or the new
    /// content, or garbage; of the directory the synced state or any since.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let mut random = Random(seed);
        let state = self.state();
        let ages = state.earlier_names.len();
        let age = random.below(ages as u64 + 1) as usize;
        let names = state.earlier_names.get(age).unwrap_or(&state.names);
        let mut after = State {
            names: names.clone(),
            space: state.space,
            ..State::default()
        };
        for content in &state.files {
            let bytes = content.crash(&mut random);
            after.files.push(Content {
                cached: bytes.clone(),
                synced: bytes,
                pending: Vec::new(),
            });
        }
        Self {
            state: Arc::new(Mutex::new(after)),
            power: self.power.clone(),
        }
    }

    /// The same disk on a power of its own: what an observer sees, whatever happens to the machine.
    pub(crate) fn observed(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            power: Power::default(),
        }
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state();
        let len = |number: &usize| state.files[*number].cached.len() as u64;
        state.names.values().map(len).sum()
    }

    /// The length of each file.
    pub(crate) fn sizes(&self) -> BTreeMap<String, usize> {
        let state = self.state();
        let len = |number: &usize| state.files[*number].cached.len();
        let sizes = state.names.iter();
        sizes
            .map(|(name, number)| (name.clone(), len(number)))
            .collect()
    }

    /// Changes a file behind everybody's back.
    pub(crate) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let number = state.names[name];
        let content = &mut state.files[number];
        change(&mut content.cached);
        content.synced.clone_from(&content.cached);
        content.pending.clear();
    }

    fn find(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.power.check()?;
        let number = self.state().names.get(name).copied();
        let number = number.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            number,
        }))
    }
}

impl State {
    /// Keeps the directory as it is before a change.
    fn remember(&mut self) {
        self.earlier_names.push(self.names.clone());
    }
}

impl Content {
    fn crash(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (from, until) in &self.pending {
            let mut at = *from;
            while at < *until {
                let end = (at / SECTOR * SECTOR + SECTOR).min(*until);
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                match random.below(16) {
                    0..8 => bytes[at..end].copy_from_slice(&self.cached[at..end]),
                    8..15 => {}
                    _ => bytes[at..end]
                        .iter_mut()
                        .for_each(|byte| *byte = random.below(256) as u8),
                }
                at = end;
            }
        }
        bytes
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.power.spend()?;
        let mut state = self.state();
        let number = state.files.len();
        state.files.push(Content::default());
        state.remember();
        state.names.insert(name.to_owned(), number);
        drop(state);
        self.find(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.find(name)
    }

    fn open_to_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.find(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.power.check()?;
        Ok(self.state().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.power.spend()?;
        let mut state = self.state();
        state.remember();
        let number = state
            .names
            .remove(from)
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.power.spend()?;
        let mut state = self.state();
        state.remember();
        let number = state
            .names
            .remove(name)
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let freed = state.files[number].cached.len() as u64;
        state.space = state.space.map(|space| space + freed);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.power.spend()?;
        self.state().earlier_names.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.power.check()?;
        let state = self.disk.state();
        let cached = &state.files[self.number].cached;
        let from = (offset as usize).min(cached.len());
        let len = bytes.len().min(cached.len() - from);
        bytes[..len].copy_from_slice(&cached[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // What is written at the moment of a cut may be there or not.
        self.disk.power.check()?;
        let powered = self.disk.power.spend();
        let mut state = self.disk.state();
        let (from, mut until) = (offset as usize, offset as usize + bytes.len());
        let len = state.files[self.number].cached.len();
        let wanted = until.saturating_sub(len) as u64;
        let mut outcome = Ok(());
        if let Some(space) = state.space {
            if wanted > space {
                until -= (wanted - space) as usize;
                outcome = Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            state.space = Some(space - wanted.min(space));
        }
        if state.refusals > 0 {
            state.refusals -= 1;
            until = until.min(from + bytes.len() / 2);
            outcome = Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let content = &mut state.files[self.number];
        if content.cached.len() < until {
            content.cached.resize(until, 0);
        }
        content.cached[from..until].copy_from_slice(&bytes[..until - from]);
        content.pending.push((from, until));
        powered.and(outcome)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.power.spend()?;
        let mut state = self.disk.state();
        if std::mem::take(&mut state.sync_fails) {
            state.sync_failed = true;
            state.files[self.number].pending.clear();
            return Err(io::Error::from_raw_os_error(5));
        }
        let content = &mut state.files[self.number];
        let pending = std::mem::take(&mut content.pending);
        content.synced.resize(content.cached.len(), 0);
        for (from, until) in pending {
            content.synced[from..until].copy_from_slice(&content.cached[from..until]);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].cached.len() as u64)
    }
}

/// Splitmix64: enough randomness for a disk, and the same on every run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
