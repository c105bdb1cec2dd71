//! Passwords: argon2id, and how many are looked at together.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{ARGON2ID_IDENT, Argon2, Params};
use blake2::Blake2bMac512;
use blake2::digest::{KeyInit, Mac};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Passwords that are hashed together. Each takes 19 MiB and a core for some 20 ms, so this bounds
/// what strangers can make the daemon spend.
const TOGETHER_MAX: usize = 2;

/// The most memory that a hash of the file may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Looked at in place of a name that nobody has, so that the answer takes as long. Nothing hashes to
/// it but by chance.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5aGFzdGhpc29uZQ$\
                       dGhpc2lzbm90dGhlaGFzaG9mYW55cGFzc3dvcmQuLi4";

/// The hash of a password. Its text is as good a secret as a weak password is; only the file
/// shows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash(Box<str>);

impl Hash {
    /// Hashes a password with a fresh salt, at the cost that OWASP recommends for argon2id (19 MiB,
    /// two passes), which are the crate's defaults.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn of(password: &[u8]) -> Result<Self, password_hash::Error> {
        let hash: PasswordHash = Argon2::default().hash_password(password)?;
        Ok(Self(hash.to_string().into()))
    }

    /// Takes a hash from the file; `None` when it is not one of argon2id at a sane cost.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let good = hash.algorithm == ARGON2ID_IDENT
            && hash.hash.is_some()
            && params.m_cost() <= MEMORY_KIB_MAX;
        good.then(|| Self(text.into()))
    }

    /// The text of the file.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(***)")
    }
}

/// Whether a password has this hash. Takes its time.
fn matches(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

/// Looks at passwords.
pub(super) struct Verifier {
    turns: Arc<Semaphore>,
    /// Of this process. Without random numbers nothing is remembered.
    key: Option<[u8; 32]>,
    /// The last right password of each user and the hash it is for, as a code under the key: HTTP
    /// brings it with every request, and publishers come back by hundreds.
    seen: Mutex<HashMap<Box<str>, Code>>,
}

type Code = [u8; 64];

impl Verifier {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TOGETHER_MAX)),
            key: key(),
            seen: Mutex::default(),
        }
    }

    /// Waits until fewer passwords are looked at. `None` never comes, since nobody closes the turns.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// Whether the password is the user's. Off the async workers, unless it was seen before.
    pub(super) async fn verify(
        &self,
        turn: Option<OwnedSemaphorePermit>,
        user: &str,
        hash: Option<&Hash>,
        password: &[u8],
    ) -> bool {
        let code = hash.and_then(|hash| self.code(hash, password));
        if code.is_some() && self.seen().get(user) == code.as_ref() {
            return true;
        }
        let text = hash.map_or(NOBODYS, Hash::expose).to_owned();
        let password = password.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            matches(&text, &password)
        });
        let right = looking.await.unwrap_or(false) && hash.is_some();
        if let Some(code) = code.filter(|_| right) {
            self.seen().insert(user.into(), code);
        }
        right
    }

    fn code(&self, hash: &Hash, password: &[u8]) -> Option<Code> {
        let mut code = Blake2bMac512::new_from_slice(self.key.as_ref()?).ok()?;
        // The hash has no zero byte, so no other pair reads the same.
        code.update(hash.expose().as_bytes());
        code.update(&[0]);
        code.update(password);
        Some(code.finalize().into_bytes().into())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Code>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

fn key() -> Option<[u8; 32]> {
    let mut key = [0; 32];
    for half in key.chunks_mut(16) {
        half.copy_from_slice(&password_hash::try_generate_salt().ok()?);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_argon2id_at_a_sane_cost_is_taken() {
        let good = Hash::of(b"secret").unwrap();
        assert_eq!(Hash::parse(good.expose()), Some(good.clone()));
        assert!(good.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(Hash::of(b"secret").unwrap(), good, "a salt of its own");
        assert!(!format!("{good:?}").contains("argon2"));
        assert!(Hash::parse(NOBODYS).is_some());
        for bad in [
            "",
            "secret",
            "$1$abc$def",
            &good.expose().replace("argon2id", "argon2i"),
            &good.expose().replace("m=19456", "m=99999999"),
            good.expose().rsplit_once('$').unwrap().0,
        ] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_user_alone() {
        let verifier = Verifier::new();
        let ann = Hash::of(b"one").unwrap();
        let bob = Hash::of(b"two").unwrap();
        let check = async |user: &str, hash: Option<&Hash>, password: &str, right: bool| {
            let turn = verifier.turn().await;
            let got = verifier.verify(turn, user, hash, password.as_bytes()).await;
            assert_eq!(got, right, "{user} {password}");
        };
        // Twice, since the second time it was seen before.
        for _ in 0..2 {
            check("ann", Some(&ann), "one", true).await;
            check("ann", Some(&ann), "two", false).await;
            check("ann", Some(&ann), "", false).await;
            check("bob", Some(&bob), "two", true).await;
            check("carl", None, "one", false).await;
        }
        let changed = Hash::of(b"three").unwrap();
        check("ann", Some(&changed), "one", false).await;
        check("ann", Some(&changed), "three", true).await;
        check("ann", None, "three", false).await;
    }
}
