//! What the door counts. Metrics read them; nothing decides by them but the connection limit.
//!
//! Totals are fields. What was refused, closed or dropped is also counted by reason, in tables whose
//! [`Tally::iter`] gives each stable name with its count.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use divisor_wire::Reason;

/// A reason that a [`Tally`] can count by.
pub trait Named: Copy + 'static {
    /// Every reason, in the order of their numbers.
    const ALL: &'static [Self];

    /// The stable name.
    fn name(self) -> &'static str;

    /// The place in [`Self::ALL`].
    fn number(self) -> usize;
}

impl Named for Reason {
    const ALL: &'static [Self] = Self::ALL;

    fn name(self) -> &'static str {
        self.as_str()
    }

    fn number(self) -> usize {
        self as usize
    }
}

/// Declares reasons with their names, so that neither list can forget one.
macro_rules! named {
    ($(#[$outer:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$doc])* $variant,)*
        }

        impl Named for $kind {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn number(self) -> usize {
                self as usize
            }
        }
    };
}

named! {
    /// Why a stream did not become a connection.
    Refused {
        /// `mqtt.connections_max` are open.
        ServerFull = "server_full",
        /// `mqtt.connections_per_address_max` are open from this address.
        AddressFull = "address_full",
        /// `mqtt.connections_per_user_max` are open of this user.
        UserFull = "user_full",
        /// Wrong credentials, or none where some are needed.
        Credentials = "credentials",
        /// Nobody in particular, where that is not enough.
        NotAuthorized = "not_authorized",
        /// An authentication method that is not spoken here.
        Method = "authentication_method",
        /// The client id is too long, holds what hides, or is empty where it must not be.
        ClientId = "client_id",
        /// A protocol level other than 3.1.1 and 5.
        Version = "protocol_version",
        /// A CONNECT that cannot be read or breaks the protocol.
        Malformed = "malformed",
        /// The first byte is not that of a CONNECT.
        NotMqtt = "not_mqtt",
        /// The handshake of TLS or WebSocket failed.
        Transport = "transport",
        /// The handshake of TLS or WebSocket was not done within `mqtt.handshake_timeout`.
        HandshakeTimeout = "handshake_timeout",
        /// No complete CONNECT within `mqtt.connect_timeout`.
        ConnectTimeout = "connect_timeout",
        /// The stream ended before a complete CONNECT.
        Gone = "gone",
    }
}

named! {
    /// Why the door ended a connection that it had let in.
    Closed {
        /// A packet that cannot be read.
        Malformed = "malformed",
        /// A packet that is not allowed here.
        Protocol = "protocol",
        /// A topic with a wildcard, or an empty one.
        TopicName = "topic_name",
        /// A topic alias that is 0 or too large.
        TopicAlias = "topic_alias",
        /// A packet above `mqtt.packet_bytes_max`.
        PacketTooLarge = "packet_too_large",
        /// More unacknowledged messages than `mqtt.inflight_max` (MQTT 5).
        ReceiveMaximum = "receive_maximum",
        /// Silence for one and a half times the client's keep-alive.
        KeepAlive = "keep_alive",
        /// Nothing in either direction for `mqtt.idle_timeout`, from a client without a keep-alive.
        Idle = "idle",
        /// What waited for the client did not leave within `mqtt.write_timeout`.
        WriteTimeout = "write_timeout",
        /// Topic aliases that stand for more than 64 KiB of topics.
        Quota = "quota",
        /// A 3.1.1 client published where it may not, and `mqtt.denied_publish` is "disconnect".
        Denied = "denied",
        /// The client id connected again.
        TakenOver = "taken_over",
        /// The daemon stopped.
        Stopped = "stopped",
        /// Rights or users changed, or something else that an operator did.
        Operator = "operator",
        /// The sequencer or the router has ended.
        Unavailable = "unavailable",
    }
}

impl Closed {
    /// The reason behind a DISCONNECT code of ours.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0x81 => Self::Malformed,
            0x82 => Self::Protocol,
            0x8b => Self::Stopped,
            0x8d => Self::KeepAlive,
            0x8e => Self::TakenOver,
            0x90 => Self::TopicName,
            0x93 => Self::ReceiveMaximum,
            0x94 => Self::TopicAlias,
            0x97 => Self::Quota,
            0x95 => Self::PacketTooLarge,
            0x87 => Self::Denied,
            0x98 => Self::Operator,
            _ => Self::Unavailable,
        }
    }
}

named! {
    /// Why a message did not reach a subscriber.
    Dropped {
        /// `mqtt.queue_messages_max` wait: the oldest gave way.
        QueueMessages = "queue_messages",
        /// `mqtt.queue_bytes_max` wait: the oldest gave way.
        QueueBytes = "queue_bytes",
        /// The subscriber's connection was so far behind that the router had dropped it.
        RouterLag = "router_lag",
        /// Its message expiry was over.
        Expired = "expired",
        /// Larger than the client takes.
        PacketTooLarge = "packet_too_large",
        /// A message of a shared subscription whose last member left with it.
        SharedNobody = "shared_nobody",
    }
}

named! {
    /// Why a subscription was refused.
    RefusedFilter {
        /// No filter by MQTT's rules.
        Malformed = "malformed",
        /// Not with the client's rights.
        NotAuthorized = "not_authorized",
        /// `mqtt.subscriptions_max`, or too many retained messages still wait.
        Quota = "quota",
        /// `mqtt.shared_groups_max` groups exist.
        SharedQuota = "shared_quota",
    }
}

/// A counter for each reason of a kind.
#[derive(Debug)]
pub struct Tally<R> {
    counts: Box<[AtomicU64]>,
    kind: PhantomData<fn(R)>,
}

impl<R: Named> Default for Tally<R> {
    fn default() -> Self {
        Self {
            counts: R::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            kind: PhantomData,
        }
    }
}

impl<R: Named> Tally<R> {
    /// Counts one.
    pub fn add(&self, reason: R) {
        self.add_many(reason, 1);
    }

    /// Counts several.
    pub fn add_many(&self, reason: R, count: u64) {
        if let Some(counter) = self.counts.get(reason.number()) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The count of one reason.
    #[must_use]
    pub fn get(&self, reason: R) -> u64 {
        let counter = self.counts.get(reason.number());
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Every name with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        R::ALL
            .iter()
            .map(|reason| (reason.name(), self.get(*reason)))
    }
}

/// Counters of the whole door.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections now, handshakes included.
    pub connections: AtomicU64,
    /// Connections ever accepted.
    pub accepted: AtomicU64,
    /// Connections refused with a CONNACK or closed for want of room.
    pub refused_connections: AtomicU64,
    /// PUBLISH packets in, by QoS.
    pub messages_in: [AtomicU64; 3],
    /// PUBLISH packets out, by QoS.
    pub messages_out: [AtomicU64; 3],
    /// Messages refused because the client may not write their topic.
    pub refused_topic: AtomicU64,
    /// Subscriptions refused for their filter, a right or their number.
    pub refused_filters: AtomicU64,
    /// Payloads, or ticks of them, that could not be read.
    pub refused_payload: AtomicU64,
    /// Connections ended by a packet that breaks the protocol.
    pub protocol_errors: AtomicU64,
    /// Connections ended by a timeout: handshake, connect, keep-alive, idle or write.
    pub timeouts: AtomicU64,
    /// Messages that did not reach a subscriber, whatever the reason.
    pub dropped_out: AtomicU64,
    /// Retained messages refused because the table was full, or the client's share of it.
    pub dropped_retained: AtomicU64,
    /// Sessions waiting for their client.
    pub sessions_parked: AtomicU64,
    /// Groups of shared subscriptions.
    pub shared_groups: AtomicU64,
    /// Connections whose reading was paused because they exceeded `mqtt.publish_rate_max`.
    pub rate_pauses: AtomicU64,
    /// Streams that did not become connections, by reason.
    pub refused: Tally<Refused>,
    /// Connections that the door ended, by reason.
    pub closed: Tally<Closed>,
    /// Messages that did not reach a subscriber, by reason.
    pub dropped: Tally<Dropped>,
    /// Subscriptions refused, by reason.
    pub filters: Tally<RefusedFilter>,
    /// Messages of clients, or ticks of them, that were refused by the door or the sequencer, by
    /// reason.
    pub rejected: Tally<Reason>,
}

impl Counters {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that slow subscribers did not get.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped_out.load(Ordering::Relaxed)
    }

    /// Counts a message that the door itself refuses: the sequencer never sees it.
    pub fn refuse(&self, reason: Reason) {
        self.refuse_payload(reason);
        self.rejected.add(reason);
    }

    /// Counts a tick of a message that the sequencer gets to see, and counts by reason.
    pub(super) fn refuse_payload(&self, reason: Reason) {
        if matches!(
            reason,
            Reason::BadTopic | Reason::BadSymbol | Reason::NotAuthorized
        ) {
            Self::add(&self.refused_topic);
        } else {
            Self::add(&self.refused_payload);
        }
    }

    /// Counts messages that did not reach a subscriber.
    pub fn drop_out(&self, reason: Dropped, count: u64) {
        self.dropped_out.fetch_add(count, Ordering::Relaxed);
        self.dropped.add_many(reason, count);
    }

    /// Counts a stream that did not become a connection.
    pub fn refuse_connection(&self, reason: Refused) {
        match reason {
            Refused::HandshakeTimeout | Refused::ConnectTimeout => Self::add(&self.timeouts),
            Refused::NotMqtt => Self::add(&self.protocol_errors),
            Refused::Gone | Refused::Transport => {}
            Refused::ServerFull
            | Refused::AddressFull
            | Refused::UserFull
            | Refused::Credentials
            | Refused::NotAuthorized
            | Refused::Method
            | Refused::ClientId
            | Refused::Version
            | Refused::Malformed => Self::add(&self.refused_connections),
        }
        self.refused.add(reason);
    }

    /// Counts a connection that the door ended.
    pub fn close(&self, reason: Closed) {
        match reason {
            Closed::Malformed
            | Closed::Protocol
            | Closed::TopicName
            | Closed::TopicAlias
            | Closed::PacketTooLarge
            | Closed::Quota
            | Closed::ReceiveMaximum => Self::add(&self.protocol_errors),
            Closed::KeepAlive | Closed::Idle | Closed::WriteTimeout => Self::add(&self.timeouts),
            Closed::Denied
            | Closed::TakenOver
            | Closed::Stopped
            | Closed::Operator
            | Closed::Unavailable => {}
        }
        self.closed.add(reason);
    }
}

/// Holds a gauge up by one for as long as it lives, whatever ends its owner.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a AtomicU64);

impl<'a> Held<'a> {
    pub(super) fn new(gauge: &'a AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_are_unique<R: Named>() {
        let mut names: Vec<_> = R::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), R::ALL.len());
        for (at, reason) in R::ALL.iter().enumerate() {
            assert_eq!(reason.number(), at);
        }
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        names_are_unique::<Refused>();
        names_are_unique::<Closed>();
        names_are_unique::<Dropped>();
        names_are_unique::<RefusedFilter>();
        names_are_unique::<Reason>();
        let tally = Tally::<Dropped>::default();
        tally.add_many(Dropped::Expired, 3);
        let counted: Vec<_> = tally.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("expired", 3)]);
    }
}
