//! Somebody who was let in.

use std::sync::Arc;

use divisor_wire::topic::unshared;

use super::password::Hash;
use super::rights::{Grant, Rights};
use super::users::User;

/// Somebody who was let in, with his rights. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    user: Option<Arc<str>>,
    client: Arc<str>,
    rights: Arc<Rights>,
    /// The hash of the password that he proved himself with; `None` for nobody in particular and
    /// for a certificate.
    proof: Option<Arc<Hash>>,
}

impl Principal {
    pub(super) fn new(
        user: Option<&str>,
        client: &str,
        grants: &[&Grant],
        other_topics: bool,
    ) -> Self {
        Self {
            rights: Rights::new(user, client, grants, other_topics),
            user: user.map(Into::into),
            client: client.into(),
            proof: None,
        }
    }

    /// The same, after a password with this hash was found right.
    pub(super) fn proven_by(mut self, hash: &Hash) -> Self {
        self.proof = Some(Arc::new(hash.clone()));
        self
    }

    /// Whether what proved him is still good: his password has not been set anew.
    pub(super) fn is_proven(&self, user: &User) -> bool {
        let proof = self.proof.as_deref();
        proof.is_none_or(|proof| user.password() == Some(proof))
    }

    /// The other with the proof of this one.
    pub(super) fn lend_proof(&self, mut other: Self) -> Self {
        other.proof.clone_from(&self.proof);
        other
    }

    /// His user name; `None` for nobody in particular.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// His MQTT client id, empty over HTTP.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Whether he may publish to this valid topic. Nobody may to what is the daemon's: `indexes/#`,
    /// and below `divisor/` everything but commands (invariant 6).
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        self.rights.may_publish(topic)
    }

    /// Whether he may subscribe to this valid filter: when one filter that is granted covers it.
    /// Of a shared subscription the filter in it counts.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        self.rights.may_subscribe(unshared(filter))
    }

    /// Whether he may read what is published on this topic, by whatever way: a level is
    /// `indexes/{code}/level`, a price `securities/{symbol}/price`.
    #[must_use]
    pub fn may_read(&self, topic: &str) -> bool {
        self.rights.may_read(topic)
    }

    /// Whether he may give this command.
    #[must_use]
    pub fn may_command(&self, verb: &str) -> bool {
        self.may_publish(&format!("divisor/control/{verb}"))
    }

    /// Whether his rights are those of the other.
    #[must_use]
    pub fn has_rights_of(&self, other: &Self) -> bool {
        self.rights == other.rights
    }
}
