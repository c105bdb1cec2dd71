//! A simulated disk: what was not synced may be lost, in pieces and in any order.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

/// The unit that a disk writes as a whole.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The contents of all files ever created, by number.
    files: Vec<Content>,
    /// The directory as processes see it.
    names: BTreeMap<String, usize>,
    /// The directory as it was last synced.
    synced_names: BTreeMap<String, usize>,
    /// Bytes that may still be written before the disk is full; overwriting is free.
    pub(super) space: Option<u64>,
    /// When true, every sync of a file fails.
    pub(super) sync_fails: bool,
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
    /// The insides, for faults and damages.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What remains after a power cut: of every sector that was not synced the old or the new
    /// content, or garbage; of the directory the synced or the present state.
    pub(super) fn crash(&self, seed: u64) -> Self {
        let mut random = Random(seed);
        let state = self.state();
        let names = if random.below(2) == 0 {
            &state.names
        } else {
            &state.synced_names
        };
        let mut after = State {
            names: names.clone(),
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
        after.synced_names.clone_from(&after.names);
        Self {
            state: Arc::new(Mutex::new(after)),
        }
    }

    /// Changes a file behind everybody's back.
    pub(super) fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let number = state.names[name];
        let content = &mut state.files[number];
        change(&mut content.cached);
        content.synced.clone_from(&content.cached);
        content.pending.clear();
    }

    fn find(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let number = self.state().names.get(name).copied();
        let number = number.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            number,
        }))
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
        let mut state = self.state();
        let number = state.files.len();
        state.files.push(Content::default());
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
        Ok(self.state().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let number = state
            .names
            .remove(from)
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        let number = state
            .names
            .remove(name)
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        let freed = state.files[number].cached.len() as u64;
        state.space = state.space.map(|space| space + freed);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        state.synced_names = state.names.clone();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let cached = &state.files[self.number].cached;
        let from = (offset as usize).min(cached.len());
        let len = bytes.len().min(cached.len() - from);
        bytes[..len].copy_from_slice(&cached[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
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
        let content = &mut state.files[self.number];
        if content.cached.len() < until {
            content.cached.resize(until, 0);
        }
        content.cached[from..until].copy_from_slice(&bytes[..until - from]);
        content.pending.push((from, until));
        outcome
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.sync_fails {
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
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
