//! The linear kernel: exact running sums `Σ p·q`, one multiply-add per membership and tick.
//!
//! A slot is one sum of one index in one currency, an `i128` in units of `10^-scale` of its
//! index. The memberships of a security lie side by side, so a tick walks one short run of
//! memory. Integers make the running sum equal the sum from scratch for ever (METHODOLOGY §5).

use crate::{IndexId, SecurityId};

/// Sums and memberships of all indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernel {
    /// `entries[starts[s]..starts[s + 1]]` are the memberships of security `s`.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    sums: Vec<i128>,
}

/// One membership of a security in an index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The coefficient in units that make `price · q` a value in the slot's scale.
    pub(crate) q: i128,
    pub(crate) slot: u32,
    pub(crate) index: IndexId,
}

impl Kernel {
    /// Builds the table anew from all memberships, ordered by security and then index.
    pub(crate) fn build(
        securities: usize,
        slots: usize,
        memberships: impl Iterator<Item = (SecurityId, Entry)> + Clone,
    ) -> Self {
        let mut starts = vec![0u32; securities + 1];
        for (security, _) in memberships.clone() {
            starts[security.at() + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let blank = Entry {
            q: 0,
            slot: 0,
            index: IndexId(0),
        };
        let mut entries = vec![blank; starts[securities] as usize];
        let mut next = starts.clone();
        for (security, entry) in memberships {
            entries[next[security.at()] as usize] = entry;
            next[security.at()] += 1;
        }
        Self {
            starts,
            entries,
            sums: vec![0; slots],
        }
    }

    /// The memberships of a security.
    pub(crate) fn entries(&self, security: SecurityId) -> &[Entry] {
        let at = security.at();
        // A security defined after the last build is in no index yet.
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(start), Some(end)) => &self.entries[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Moves every sum that holds the security by a price difference, and calls `touched` with
    /// each index. The bound checked at definition time (`|Σ p_max·q| < 2^126`) keeps the sums
    /// inside an `i128`.
    #[inline]
    pub(crate) fn apply(
        &mut self,
        security: SecurityId,
        difference: i64,
        mut touched: impl FnMut(IndexId),
    ) {
        let at = security.at();
        let (Some(start), Some(end)) = (self.starts.get(at), self.starts.get(at + 1)) else {
            return;
        };
        let difference = i128::from(difference);
        for entry in &self.entries[*start as usize..*end as usize] {
            self.sums[entry.slot as usize] += difference * entry.q;
            touched(entry.index);
        }
    }

    pub(crate) fn add(&mut self, slot: usize, difference: i128) {
        self.sums[slot] += difference;
    }

    pub(crate) fn set_sum(&mut self, slot: usize, sum: i128) {
        self.sums[slot] = sum;
    }

    pub(crate) fn sums(&self, first: usize, count: usize) -> &[i128] {
        &self.sums[first..first + count]
    }

    /// Changes a coefficient in place, without touching the sum.
    pub(crate) fn set_coefficient(&mut self, security: SecurityId, index: IndexId, q: i128) {
        let at = security.at();
        let range = self.starts[at] as usize..self.starts[at + 1] as usize;
        if let Some(entry) = self.entries[range].iter_mut().find(|e| e.index == index) {
            entry.q = q;
        }
    }
}
