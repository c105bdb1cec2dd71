//! A session without a connection: a task that keeps its QoS 1 and 2 messages until the client is
//! back or the session expires, and publishes the will when its delay is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use divisor_wire::Reason;
use divisor_wire::topic::Topic;
use tokio::time::sleep_until;

use super::codec::connect::Will;
use super::counters::Held;
use super::exchange::{Publication, owner};
use super::handshake::Guest;
use super::inbound::report;
use super::listener::{Door, Shutdown, stopped};
use super::registry::Claim;
use super::session::Session;

/// A will with its time.
#[derive(Debug)]
pub(super) struct DueWill {
    pub(super) will: Will,
    pub(super) guest: Guest,
    pub(super) due: Instant,
}

/// Keeps a session until somebody asks for it or `expiry` is over.
pub(super) async fn park(
    door: Arc<Door>,
    mut claim: Claim,
    mut session: Box<Session>,
    expiry: Duration,
    mut will: Option<DueWill>,
    mut shutdown: Shutdown,
) {
    let _held = Held::new(&door.counters.sessions_parked);
    let expires = Instant::now() + expiry;
    let mut changes = door.access.changes();
    let mut batch = Vec::new();
    loop {
        let due = will.as_ref().map_or(expires, |will| will.due.min(expires));
        tokio::select! {
            eviction = claim.evictions.recv() => {
                if let Some(eviction) = eviction {
                    // The session ends here, and a will must not wait longer than its session.
                    if let Some(DueWill { will, guest, .. }) = will.filter(|_| eviction.clean) {
                        publish_will(&door, &guest, session.origin, will).await;
                    }
                    eviction.give(session);
                }
                return;
            }
            () = sleep_until(due.into()) => {
                if let Some(DueWill { will, guest, .. }) = will.take() {
                    publish_will(&door, &guest, session.origin, will).await;
                }
                if Instant::now() >= expires {
                    if let Some(eviction) = claim.end() {
                        eviction.give(session);
                    }
                    return;
                }
            }
            result = session.next_batch(&mut batch) => {
                if result.is_err() {
                    return;
                }
                for arrival in batch.drain(..) {
                    session.take(arrival, false);
                }
            }
            // A user who is gone leaves nothing behind.
            Ok(()) = changes.changed() => {
                if !door.access.knows(claim.user()) {
                    return;
                }
            }
            () = stopped(&mut shutdown) => return,
        }
    }
}

/// Publishes a will, if its client may write its topic. Prices and commands are no wills: they
/// would come without a ticket.
pub(super) async fn publish_will(door: &Door, guest: &Guest, origin: u64, will: Will) {
    let is_other = Topic::parse(&will.topic) == Topic::Other;
    let publication = if is_other && guest.principal.may_publish(&will.topic) {
        Some(Publication {
            topic: will.topic.into(),
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            origin,
            owner: Some(owner(&guest.client).into()),
            expiry_secs: will.expiry_secs,
            properties: will.properties,
        })
    } else {
        door.counters.refuse(Reason::BadTopic);
        report(door, &guest.client, &will.topic, Reason::BadTopic)
    };
    if let Some(publication) = publication {
        door.exchange.publish_aside(vec![publication]).await;
    }
}
