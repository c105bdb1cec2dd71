//! Against guessing: failures are answered slowly, and too many lock out for a while.
//!
//! Failures are counted per address and per user. Where a user has logged in from an address
//! before, only the failures of the two together count for him there: somebody who guesses from
//! elsewhere, or with another name on the same machine, cannot lock him out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The first failure's delay; it doubles with each further one, up to the longest.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(2);

/// What is remembered of each kind; the oldest goes first. Some 100 bytes each.
const REMEMBERED_MAX: usize = 10_000;

/// What failures are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    User(Box<str>),
    /// A user at an address from which he has logged in before.
    Known(Box<str>, IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// How long to wait with the answer.
    pub(super) delay: Duration,
    /// Whether this one locks somebody out.
    pub(super) locks: bool,
}

/// The failures that are not forgotten yet. Time is an argument.
#[derive(Debug)]
pub(super) struct Guard {
    failures_max: u32,
    lockout: Duration,
    failures: HashMap<Subject, Failures>,
    /// When a user last logged in from an address.
    known: HashMap<(Box<str>, IpAddr), Instant>,
}

impl Guard {
    pub(super) fn new(failures_max: u32, lockout: Duration) -> Self {
        Self {
            failures_max,
            lockout,
            failures: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Whether a login has to be refused unseen. Asking does not make a lock longer.
    pub(super) fn is_locked(&self, now: Instant, user: &str, address: IpAddr) -> bool {
        self.subjects(user, address)
            .iter()
            .any(|subject| self.count(subject, now) >= self.failures_max)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, now: Instant, user: &str, address: IpAddr) -> Failure {
        let mut most = 0;
        for subject in self.subjects(user, address) {
            let count = self.count(&subject, now) + 1;
            most = most.max(count);
            make_room(&mut self.failures, &subject, |failures| failures.last);
            self.failures.insert(subject, Failures { count, last: now });
        }
        let doubled = DELAY_MIN * 2u32.pow((most - 1).min(10));
        Failure {
            delay: doubled.min(DELAY_MAX),
            locks: most == self.failures_max,
        }
    }

    /// Notes a success. Earlier failures of others stay counted: whoever has an account of his own
    /// could otherwise guess at another's for ever.
    pub(super) fn succeeded(&mut self, now: Instant, user: &str, address: IpAddr) {
        let address = network(address);
        let known = (user.into(), address);
        make_room(&mut self.known, &known, |last| *last);
        self.known.insert(known, now);
        self.failures.remove(&Subject::Known(user.into(), address));
    }

    fn subjects(&self, user: &str, address: IpAddr) -> Vec<Subject> {
        let address = network(address);
        let known: (Box<str>, IpAddr) = (user.into(), address);
        if self.known.contains_key(&known) {
            vec![Subject::Known(known.0, address)]
        } else {
            vec![Subject::Address(address), Subject::User(known.0)]
        }
    }

    /// The failures that still count: none when the last one is long ago.
    fn count(&self, subject: &Subject, now: Instant) -> u32 {
        self.failures
            .get(subject)
            .filter(|failures| now.duration_since(failures.last) < self.lockout)
            .map_or(0, |failures| failures.count)
    }
}

/// Drops the oldest entry of a table that is full, and has none for the key.
fn make_room<K: Clone + Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    key: &K,
    last: impl Fn(&V) -> Instant,
) {
    if table.len() < REMEMBERED_MAX || table.contains_key(key) {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, value)| last(value));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        table.remove(&key);
    }
}

/// What one party holds: a whole /64 in IPv6, where addresses are free.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKOUT: Duration = Duration::from_secs(60);

    struct Clock {
        guard: Guard,
        now: Instant,
    }

    impl Clock {
        fn new() -> Self {
            Self {
                guard: Guard::new(3, LOCKOUT),
                now: Instant::now(),
            }
        }

        fn wait(&mut self, secs: u64) {
            self.now += Duration::from_secs(secs);
        }

        fn fail(&mut self, user: &str, address: &str) -> Failure {
            self.guard.failed(self.now, user, address.parse().unwrap())
        }

        fn succeed(&mut self, user: &str, address: &str) {
            self.guard
                .succeeded(self.now, user, address.parse().unwrap());
        }

        fn locked(&self, user: &str, address: &str) -> bool {
            self.guard
                .is_locked(self.now, user, address.parse().unwrap())
        }
    }

    #[test]
    fn the_third_failure_locks_address_and_user_for_a_while() {
        let mut clock = Clock::new();
        let failures: Vec<_> = (0..3).map(|_| clock.fail("ann", "10.0.0.1")).collect();
        assert_eq!(
            failures.iter().map(|f| f.locks).collect::<Vec<_>>(),
            [false, false, true]
        );
        let millis: Vec<_> = failures.iter().map(|f| f.delay.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400]);
        assert!(clock.locked("ann", "10.0.0.1"));
        assert!(clock.locked("bob", "10.0.0.1"), "the address");
        assert!(clock.locked("ann", "10.0.0.2"), "the user");
        assert!(!clock.locked("bob", "10.0.0.2"));
        clock.wait(59);
        assert!(clock.locked("ann", "10.0.0.1"));
        clock.wait(1);
        assert!(
            !clock.locked("ann", "10.0.0.1"),
            "asking has not made it longer"
        );
        assert_eq!(
            clock.fail("ann", "10.0.0.1").delay,
            DELAY_MIN,
            "counts anew"
        );
    }

    #[test]
    fn slow_failures_are_forgotten() {
        let mut clock = Clock::new();
        for _ in 0..10 {
            clock.fail("ann", "10.0.0.1");
            clock.wait(60);
        }
        assert!(!clock.locked("ann", "10.0.0.1"));
    }

    #[test]
    fn who_was_here_before_is_not_locked_out_by_others() {
        let mut clock = Clock::new();
        clock.succeed("ann", "10.0.0.1");
        for _ in 0..5 {
            clock.fail("ann", "10.0.0.9");
            clock.fail("bob", "10.0.0.1");
        }
        assert!(!clock.locked("ann", "10.0.0.1"));
        assert!(clock.locked("ann", "10.0.0.9"));
        assert!(clock.locked("bob", "10.0.0.1"));
        assert!(clock.locked("carl", "10.0.0.1"));
        // But not more often than others may he be guessed at from there.
        for _ in 0..3 {
            clock.fail("ann", "10.0.0.1");
        }
        assert!(clock.locked("ann", "10.0.0.1"));
    }

    #[test]
    fn an_account_of_ones_own_does_not_help_to_guess_at_another() {
        let mut clock = Clock::new();
        for _ in 0..3 {
            clock.fail("ann", "10.0.0.9");
            clock.succeed("eve", "10.0.0.9");
        }
        assert!(clock.locked("ann", "10.0.0.9"));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut clock = Clock::new();
        for host in 1..=3 {
            clock.fail(&format!("u{host}"), &format!("2001:db8::{host}"));
        }
        assert!(clock.locked("x", "2001:db8::99"));
        assert!(!clock.locked("x", "2001:db8:0:1::1"));
        for _ in 0..3 {
            clock.fail("v4", "::ffff:10.0.0.7");
        }
        assert!(clock.locked("y", "10.0.0.7"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut clock = Clock::new();
        let first = clock.now;
        for n in 0..REMEMBERED_MAX {
            clock.now = first + Duration::from_micros(n as u64);
            let address = Ipv6Addr::from_bits((n as u128 + 1) << 64).to_string();
            clock.fail(&format!("u{n}"), &address);
            clock.succeed(&format!("k{n}"), &address);
        }
        for n in REMEMBERED_MAX..REMEMBERED_MAX + 10 {
            clock.now = first + Duration::from_micros(n as u64);
            clock.succeed(&format!("k{n}"), "10.0.0.1");
        }
        assert_eq!(clock.guard.failures.len(), REMEMBERED_MAX);
        assert_eq!(clock.guard.known.len(), REMEMBERED_MAX);
        let known = |user: String| clock.guard.known.keys().any(|(name, _)| **name == user);
        assert!(!known("k9".to_owned()));
        assert!(known("k10".to_owned()));
    }
}
