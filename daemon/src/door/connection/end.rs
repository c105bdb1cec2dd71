//! How a connection ends: what it still owes, its will, and where its session goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use divisor_wire::topic::STATUS_TOPIC;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Connection;
use crate::door::codec::packet::Disconnect;
use crate::door::codec::{Violation, encode};
use crate::door::counters::Closed;
use crate::door::listener::{Door, Shutdown};
use crate::door::parked::{DueWill, park, publish_will};
use crate::door::registry::{Claim, Eviction};
use crate::door::session::Session;

/// How long a closing connection waits for its last writes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a session stays for the receipt of a half-done QoS 2 message.
const ARRIVING_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a connection ends.
pub(super) enum Ending {
    /// The stream ended or broke.
    Gone,
    /// The client said goodbye.
    Goodbye(Disconnect),
    /// We end it, and tell MQTT 5 clients why.
    Closed(u8),
    /// A client without a keep-alive has been silent for too long.
    Idle,
    /// The client id connected again.
    Evicted(Eviction),
    /// Nobody of the client's name is let in any more.
    Expelled,
    /// The daemon stops.
    Shutdown,
}

impl Ending {
    /// What MQTT 5 clients are told when we end it, and why we count it.
    const fn code(&self) -> Option<(u8, Closed)> {
        match self {
            Self::Gone | Self::Goodbye(_) => None,
            Self::Closed(code) => Some((*code, Closed::from_code(*code))),
            Self::Idle => Some((0x98, Closed::Idle)),
            Self::Evicted(_) => Some((0x8e, Closed::TakenOver)),
            Self::Expelled => Some((Violation::NOT_AUTHORIZED.0, Closed::Operator)),
            Self::Shutdown => Some((0x8b, Closed::Stopped)),
        }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self::Closed(violation.0)
    }
}

impl Connection {
    pub(super) async fn end(mut self, ending: Ending, claim: Claim) {
        if let Ending::Goodbye(Disconnect {
            session_expiry: Some(expiry),
            ..
        }) = ending
        {
            self.session_expiry = expiry.min(self.door.settings.session_expiry_max);
        }
        self.await_receipts(&ending).await;
        if matches!(ending, Ending::Shutdown) {
            self.say_goodbye();
        }
        let will = match ending {
            Ending::Goodbye(Disconnect {
                with_will: false, ..
            })
            | Ending::Shutdown => None,
            Ending::Gone
            | Ending::Goodbye(_)
            | Ending::Closed(_)
            | Ending::Idle
            | Ending::Expelled
            | Ending::Evicted(_) => self.will.take(),
        };
        let code = ending.code();
        if let Some((code, why)) = code {
            self.door.counters.close(why);
            encode::disconnect(&mut self.out, self.dialect.version, code);
        }
        self.session.disconnected();
        let Self {
            mut writer,
            out,
            session,
            session_expiry,
            guest,
            door,
            shutdown,
            ..
        } = self;
        match ending {
            Ending::Evicted(eviction) => {
                // A will waits for its delay, but not longer than its session lives.
                let ends = session_expiry.is_zero() || eviction.clean;
                if let Some(will) = will.filter(|will| ends || will.delay.is_zero()) {
                    publish_will(&door, &guest, session.origin, will).await;
                }
                if !ends {
                    eviction.give(session);
                }
            }
            Ending::Gone
            | Ending::Goodbye(_)
            | Ending::Closed(_)
            | Ending::Idle
            | Ending::Expelled
            | Ending::Shutdown => {
                let due = will.map(|will| DueWill {
                    due: Instant::now() + will.delay.min(session_expiry),
                    will,
                    guest,
                });
                leave(door, claim, session, session_expiry, due, shutdown).await;
            }
        }
        if code.is_some() || !out.is_empty() {
            let _ = timeout(FLUSH_TIMEOUT, writer.write_all(&out)).await;
        }
        let _ = timeout(FLUSH_TIMEOUT, writer.shutdown()).await;
    }

    /// Gives a subscriber of the daemon's status the last one, which the router may still have:
    /// nothing comes behind it.
    fn say_goodbye(&mut self) {
        for retained in self.door.exchange.retained_matching(STATUS_TOPIC).flatten() {
            self.session.take(retained.message.into(), true);
        }
        self.session
            .outbound
            .fill(&mut self.out, &mut self.dialect, &self.door.counters);
    }

    /// Waits for receipts where it matters: all of them when the daemon stops, and those of
    /// half-done QoS 2 messages when their ids move to another connection.
    async fn await_receipts(&mut self, ending: &Ending) {
        let stopping = matches!(ending, Ending::Shutdown);
        let moving = !self.session_expiry.is_zero() && self.inbound.is_arriving();
        if let Some(submission) = self.submission.take() {
            // Promised to nobody, but read: a publisher at QoS 0 may have left with it.
            let _ = timeout(ARRIVING_TIMEOUT, self.door.ingress.send(submission)).await;
        }
        let patience = if stopping {
            self.door.settings.stop_grace
        } else {
            ARRIVING_TIMEOUT
        };
        let waiting = async {
            while self.inbound.inflight() > 0 && (stopping || self.inbound.is_arriving()) {
                let Some(receipt) = self.receipts.recv().await else {
                    return;
                };
                self.inbound.receive(&receipt);
                self.inbound
                    .settle(&mut self.session.received, &mut self.out);
                if stopping {
                    // A slow reader must not keep the others' acknowledgements.
                    let _ = timeout(FLUSH_TIMEOUT, self.writer.write_all_buf(&mut self.out)).await;
                }
            }
        };
        if stopping || moving {
            let _ = timeout(patience, waiting).await;
        }
    }
}

/// Ends a session with its connection, or parks it.
async fn leave(
    door: Arc<Door>,
    claim: Claim,
    session: Box<Session>,
    expiry: Duration,
    mut will: Option<DueWill>,
    shutdown: Shutdown,
) {
    let parked = door.counters.sessions_parked.load(Ordering::Relaxed);
    let keep = !expiry.is_zero() && parked < door.settings.sessions_max as u64;
    if let Some(due) = will.take_if(|due| !keep || due.will.delay.is_zero()) {
        publish_will(&door, &due.guest, session.origin, due.will).await;
    }
    if keep {
        tokio::spawn(park(door, claim, session, expiry, will, shutdown));
    } else if let Some(eviction) = claim.end()
        && !expiry.is_zero()
    {
        eviction.give(session);
    }
}
