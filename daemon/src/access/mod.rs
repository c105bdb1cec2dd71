//! Who somebody is, and what he may do: the one place that says so, for MQTT and for HTTP.
//!
//! [`Access::login`] turns credentials into a [`Principal`], and the principal answers every
//! question about rights by himself. In reading order:
//!
//! 1. `users`: the file with users, password hashes, roles and grants; `edit` changes it for
//!    `divisord passwd`;
//! 2. `password`: argon2id off the async workers, a few at a time, at equal cost for a name that
//!    nobody has; what was found right is remembered under a key of this process;
//! 3. `guard`: delay and lock-out against guessing, per address, per user and per pair of both;
//! 4. `rights`: roles and grants as topic filters; `principal` asks them.
//!
//! | who | by default |
//! |---|---|
//! | a user of the file with the right password | the rights the file gives |
//! | a client certificate that names a user of the file | the same |
//! | nobody in particular, from this machine, while there are no users | `admin` |
//! | everybody else | refused |

mod edit;
mod guard;
mod password;
mod principal;
mod rights;
mod users;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub use edit::{Change, EditError, change};
pub use principal::Principal;
pub use users::{UsersError, name_is_valid};

use guard::Guard;
use password::Verifier;
use rights::Grant;
use users::{User, Users};

/// Who may come without saying who he is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Those on this machine, as long as no users are configured; nobody after that.
    #[default]
    Auto,
    /// Nobody.
    Nobody,
    /// Those on this machine.
    Loopback,
    /// Everybody.
    Everywhere,
}

/// What is configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file with users, roles and grants; without one there are no users.
    pub users_file: Option<PathBuf>,
    /// Who may come without saying who he is.
    pub anonymous: Anonymous,
    /// The roles of those.
    pub anonymous_roles: Vec<String>,
    /// Whether everybody may use topics that are none of Divisor's.
    pub other_topics: bool,
    /// Failed logins until an address or a user is locked out.
    pub failures_max: u32,
    /// For how long; failures are forgotten after the same time.
    pub lockout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            users_file: None,
            anonymous: Anonymous::Auto,
            anonymous_roles: vec!["admin".to_owned()],
            other_topics: false,
            failures_max: 10,
            lockout: Duration::from_secs(60),
        }
    }
}

/// What somebody brings to prove who he is.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The user name, if any.
    pub user: Option<&'a str>,
    /// The password, if any.
    pub password: Option<&'a [u8]>,
    /// The names in his verified TLS certificate; empty without one.
    pub certificate: &'a [String],
}

/// Where he comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// The address of his connection.
    pub address: IpAddr,
    /// His MQTT client id, for grants with `{client}`; empty over HTTP, where such grants are void.
    pub client: &'a str,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Unknown user or wrong password; which of them is not told.
    #[error("wrong user or password")]
    BadCredentials,
    /// He does not say who he is, where he has to.
    #[error("a user is needed here")]
    NotAuthorized,
    /// Too many failures from his address, or for his name. He is told that his credentials are
    /// wrong, so that a lock proves nothing.
    #[error("too many failed logins")]
    LockedOut,
}

/// What was decided at logins. Metrics read it.
#[derive(Debug, Default)]
pub struct Counters {
    /// Logins of users.
    pub users: AtomicU64,
    /// Logins of nobody in particular.
    pub anonymous: AtomicU64,
    /// Refused as [`Denied::BadCredentials`].
    pub bad_credentials: AtomicU64,
    /// Refused as [`Denied::NotAuthorized`].
    pub not_authorized: AtomicU64,
    /// Refused as [`Denied::LockedOut`].
    pub locked_out: AtomicU64,
}

/// The users and the rules now in force.
#[derive(Debug)]
pub struct Access {
    settings: Settings,
    users: RwLock<Arc<Users>>,
    /// Counts the reloads that changed something; connections look at their rights again then.
    changes: watch::Sender<u64>,
    guard: Mutex<Guard>,
    verifier: Verifier,
    counters: Counters,
}

impl Access {
    /// Reads the users file, if one is configured.
    ///
    /// # Errors
    /// When it cannot be read, or says what makes no sense.
    pub fn open(settings: Settings) -> Result<Arc<Self>, UsersError> {
        let users = Users::read(&settings)?;
        Ok(Arc::new(Self {
            guard: Mutex::new(Guard::new(settings.failures_max, settings.lockout)),
            users: RwLock::new(Arc::new(users)),
            changes: watch::Sender::new(0),
            verifier: Verifier::new(),
            counters: Counters::default(),
            settings,
        }))
    }

    /// Reads the users file again. On an error what was in force stays in force.
    ///
    /// # Errors
    /// When it cannot be read, or says what makes no sense.
    pub fn reload(&self) -> Result<Reloaded, UsersError> {
        let users = Users::read(&self.settings)?;
        let reloaded = Reloaded {
            users: users.len(),
            changed: *self.users() != users,
        };
        if reloaded.changed {
            *self.users.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
            self.changes.send_modify(|changes| *changes += 1);
        }
        Ok(reloaded)
    }

    /// Turns whenever the rights of somebody may have changed; see [`Self::renew`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The number of users in the file.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users().len()
    }

    /// What was decided at logins.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Says who somebody is. Takes some 20 ms of a core for a password that was not seen right
    /// before, and longer after failures; must be called inside a tokio runtime with a timer.
    ///
    /// # Errors
    /// Why he is not let in.
    pub async fn login(
        &self,
        credentials: Credentials<'_>,
        peer: Peer<'_>,
    ) -> Result<Principal, Denied> {
        let result = self.identify(credentials, peer).await;
        let counter = match &result {
            Ok(principal) if principal.user().is_some() => &self.counters.users,
            Ok(_) => &self.counters.anonymous,
            Err(Denied::BadCredentials) => &self.counters.bad_credentials,
            Err(Denied::NotAuthorized) => &self.counters.not_authorized,
            Err(Denied::LockedOut) => &self.counters.locked_out,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The same principal with the rights that are now in force; `None` when he has none any more,
    /// because his user is gone or his password was set anew.
    #[must_use]
    pub fn renew(&self, principal: &Principal) -> Option<Principal> {
        let users = self.users();
        let Some(name) = principal.user() else {
            // Whether there are users at all does not change while the daemon runs.
            return Some(self.nobody(&users, principal.client()));
        };
        let user = users.get(name).filter(|user| principal.is_proven(user))?;
        Some(principal.lend_proof(self.user(&users, name, user, principal.client())))
    }

    /// Whether this user is still in the file; nobody in particular always is.
    #[must_use]
    pub fn knows(&self, user: Option<&str>) -> bool {
        user.is_none_or(|user| self.users().get(user).is_some())
    }

    async fn identify(
        &self,
        credentials: Credentials<'_>,
        peer: Peer<'_>,
    ) -> Result<Principal, Denied> {
        let users = self.users();
        let Credentials {
            user,
            password,
            certificate,
        } = credentials;
        // Without users a name proves nothing, and none is taken over.
        if users.is_empty() {
            return self.anonymous(&users, peer);
        }
        // Some clients send an empty password for none, and nobody has one.
        match (user, password.filter(|password| !password.is_empty())) {
            (Some(name), Some(password)) => {
                self.check_password(&users, name, password, peer.address)
                    .await?;
                let user = users.get(name).ok_or(Denied::BadCredentials)?;
                let hash = user.password().ok_or(Denied::BadCredentials)?;
                let principal = self.user(&users, name, user, peer.client);
                Ok(principal.proven_by(hash))
            }
            (None, None) if certificate.is_empty() => self.anonymous(&users, peer),
            (name, None) => {
                // The certificate was verified by TLS; it remains to find the user that it names.
                let named = certificate
                    .iter()
                    .filter(|known| name.is_none_or(|name| name == *known))
                    .find_map(|known| Some((known, users.get(known)?)));
                let (name, user) = named.ok_or(Denied::BadCredentials)?;
                Ok(self.user(&users, name, user, peer.client))
            }
            (None, Some(_)) => Err(Denied::BadCredentials),
        }
    }

    async fn check_password(
        &self,
        users: &Users,
        name: &str,
        password: &[u8],
        address: IpAddr,
    ) -> Result<(), Denied> {
        let hash = users.get(name).and_then(User::password);
        // Its turn comes first and the guard is asked then, so that a flood of guesses is counted
        // one by one.
        let turn = self.verifier.turn().await;
        if self.guard().is_locked(Instant::now(), name, address) {
            return Err(Denied::LockedOut);
        }
        let right = self.verifier.verify(turn, name, hash, password).await;
        let now = Instant::now();
        if right {
            self.guard().succeeded(now, name, address);
            return Ok(());
        }
        let failure = self.guard().failed(now, name, address);
        if failure.locks {
            tracing::warn!(
                %address,
                known_user = hash.is_some().then_some(name),
                lockout_s = self.settings.lockout.as_secs(),
                "locked out after too many failed logins"
            );
        }
        tokio::time::sleep(failure.delay).await;
        Err(Denied::BadCredentials)
    }

    fn anonymous(&self, users: &Users, peer: Peer<'_>) -> Result<Principal, Denied> {
        let allowed = match self.settings.anonymous {
            Anonymous::Auto => users.is_empty() && is_loopback(peer.address),
            Anonymous::Nobody => false,
            Anonymous::Loopback => is_loopback(peer.address),
            Anonymous::Everywhere => true,
        };
        if allowed {
            Ok(self.nobody(users, peer.client))
        } else {
            Err(Denied::NotAuthorized)
        }
    }

    fn nobody(&self, users: &Users, client: &str) -> Principal {
        let grants = users.roles(&self.settings.anonymous_roles);
        self.principal(None, &grants, client)
    }

    fn user(&self, users: &Users, name: &str, user: &User, client: &str) -> Principal {
        let mut grants = users.roles(user.roles());
        grants.push(user.own());
        self.principal(Some(name), &grants, client)
    }

    fn principal(&self, user: Option<&str>, grants: &[&Grant], client: &str) -> Principal {
        Principal::new(user, client, grants, self.settings.other_topics)
    }

    fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reload found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// The users in the file.
    pub users: usize,
    /// Whether anything differs from before.
    pub changed: bool,
}

/// An IPv4 address that came over an IPv6 socket is what it is.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Never shows the password.
impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
