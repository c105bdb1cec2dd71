//! How many connections one address or one user has.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what each key holds, up to a limit.
#[derive(Debug)]
pub(super) struct Quota<K> {
    max: u32,
    held: Mutex<HashMap<K, u32>>,
}

/// One of the places of a key; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<K: Eq + Hash> {
    quota: Arc<Quota<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Quota<K> {
    pub(super) fn new(max: u32) -> Arc<Self> {
        Arc::new(Self {
            max,
            held: Mutex::default(),
        })
    }

    /// A place for this key, or `None` when it has as many as it may.
    pub(super) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Place {
            quota: Arc::clone(self),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut held = self
            .quota
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// What counts as one address: an IPv6 host has a whole /64 to choose from, and an IPv4 client is
/// the same one on a listener of either family.
pub(super) fn address_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let quota = Quota::new(2);
        let first = quota.take("a");
        let _second = quota.take("a").unwrap();
        assert!(quota.take("a").is_none());
        assert!(quota.take("b").is_some());
        drop(first);
        assert!(quota.take("a").is_some());
        assert_eq!(quota.held.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let check = |address: &str, expected: &str| {
            let key = address_key(address.parse().unwrap());
            assert_eq!(key, expected.parse::<IpAddr>().unwrap(), "{address}");
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}
