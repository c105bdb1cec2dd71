//! Which task owns the session of a client id. There is one owner at any time: a connection, or
//! the task that waits for the client to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::session::Session;
use crate::ingress::Client;

/// Asks an owner to hand its session over and end.
#[derive(Debug)]
pub(super) struct Eviction {
    /// Gets the session, or `None` when that ends with its connection.
    answer: oneshot::Sender<Option<Box<Session>>>,
    /// The new connection wants none of the old session, which therefore ends.
    pub(super) clean: bool,
}

impl Eviction {
    /// Hands a session over. If the new owner is gone already the session ends with it.
    pub(super) fn give(self, session: Box<Session>) {
        if !self.clean {
            let _ = self.answer.send(Some(session));
        }
    }
}

#[derive(Debug)]
struct Owner {
    claim: u64,
    /// Whose client id it is; nobody else may take the session over.
    user: Option<Box<str>>,
    evict: mpsc::UnboundedSender<Eviction>,
}

#[derive(Debug, Default)]
struct Owners {
    by_id: HashMap<Box<str>, Owner>,
    claims: u64,
}

/// The owners of all sessions.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Owners>);

/// The right of one task to own the session of a client id; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    registry: Arc<Registry>,
    client_id: Box<str>,
    user: Option<Box<str>>,
    number: u64,
    /// Those who want the session. There is at most one: each new claimant asks the last.
    pub(super) evictions: mpsc::UnboundedReceiver<Eviction>,
}

impl Registry {
    /// Whether the client id is now that of another user.
    pub(super) fn is_foreign(&self, client_id: &str, user: Option<&str>) -> bool {
        let owners = self.lock();
        let owner = owners.by_id.get(client_id);
        owner.is_some_and(|owner| owner.user.as_deref() != user)
    }

    /// Makes the caller the owner and takes the session over from whoever was; `None` when that
    /// was another user.
    pub(super) async fn claim(
        self: &Arc<Self>,
        client: &Client,
        clean: bool,
    ) -> Option<(Claim, Option<Box<Session>>)> {
        let (evict, evictions) = mpsc::unbounded_channel();
        let (answer, session) = oneshot::channel();
        let number = {
            let mut owners = self.lock();
            let owner = owners.by_id.get(&client.id);
            if owner.is_some_and(|owner| owner.user != client.user) {
                return None;
            }
            owners.claims += 1;
            let number = owners.claims;
            let last = owners.by_id.insert(
                client.id.clone(),
                Owner {
                    claim: number,
                    user: client.user.clone(),
                    evict,
                },
            );
            // Sent under the lock, so that an owner that finds itself replaced knows that the
            // request is in its channel. A failed send drops the answer, which ends the wait.
            if let Some(last) = last {
                let _ = last.evict.send(Eviction { answer, clean });
            } else {
                drop(answer);
            }
            number
        };
        let claim = Claim {
            registry: Arc::clone(self),
            client_id: client.id.clone(),
            user: client.user.clone(),
            number,
            evictions,
        };
        Some((claim, session.await.ok().flatten()))
    }

    fn lock(&self) -> MutexGuard<'_, Owners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Whose session it is.
    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Ends the claim, unless somebody has claimed the session meanwhile: then the request.
    pub(super) fn end(mut self) -> Option<Eviction> {
        self.release();
        self.evictions.try_recv().ok()
    }

    fn release(&self) {
        let mut owners = self.registry.lock();
        if owners
            .by_id
            .get(&self.client_id)
            .is_some_and(|owner| owner.claim == self.number)
        {
            owners.by_id.remove(&self.client_id);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}
