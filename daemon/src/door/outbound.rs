//! What waits for one subscriber: a bounded queue, and the window of QoS 1 and 2 messages that are
//! on their way and not acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::codec::Version;
use super::codec::encode::{self, PUBREL};
use super::counters::Dropped;
use super::envelope::{Message, Qos};
use super::shared::Group;
use super::{Counters, Settings};

/// Bytes that are encoded ahead of the socket. More would only move the queue to where the oldest
/// can no longer be dropped.
const WRITE_AHEAD: usize = 64 * 1024;

/// Messages that wait from which on a group prefers another member.
const BEHIND_MESSAGES: usize = 128;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;

/// A message as one subscriber gets it.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) topic: Bytes,
    pub(super) payload: Bytes,
    pub(super) properties: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) identifiers: Vec<u32>,
    pub(super) expires: Option<Instant>,
    /// The group that gave it, and the message to give back if it cannot be delivered.
    pub(super) shared: Option<Box<(Arc<Group>, Message)>>,
}

impl Delivery {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.topic.len() + self.payload.len() + self.properties.len()
    }
}

/// How the client of the moment wants its packets.
#[derive(Debug)]
pub(super) struct Dialect {
    pub(super) version: Version,
    pub(super) packet_bytes_max: usize,
    /// QoS 1 and 2 messages at once.
    pub(super) window_max: usize,
    pub(super) aliases: Aliases,
}

/// The topic aliases of one connection towards its client: the first topics get one each and keep
/// it. An alias stands for a topic, never for the filter that matched it.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    max: u16,
    known: HashMap<Bytes, u16>,
}

/// Topics that are not longer than what an alias costs gain nothing by one.
const ALIAS_BYTES: usize = 3;

impl Aliases {
    pub(super) fn new(max: u16) -> Self {
        Self {
            max,
            known: HashMap::new(),
        }
    }

    /// The topic to be written and its alias.
    fn topic<'a>(&self, topic: &'a Bytes) -> (&'a [u8], Option<u16>) {
        if self.max == 0 || topic.len() <= ALIAS_BYTES {
            return (topic, None);
        }
        match self.known.get(topic) {
            Some(alias) => (&[], Some(*alias)),
            None if self.known.len() < usize::from(self.max) => {
                (topic, u16::try_from(self.known.len() + 1).ok())
            }
            None => (topic, None),
        }
    }

    /// The client has been told what the alias stands for.
    fn introduced(&mut self, topic: &Bytes, alias: Option<u16>) {
        if let Some(alias) = alias
            && !self.known.contains_key(topic)
        {
            self.known.insert(topic.clone(), alias);
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// Sent; waits for PUBACK or PUBREC.
    Sent(Delivery),
    /// PUBREC came and PUBREL went; waits for PUBCOMP.
    Released,
}

#[derive(Debug)]
struct InFlight {
    packet_id: u16,
    stage: Stage,
}

/// The queue and window of one session.
#[derive(Debug)]
pub(super) struct Outbound {
    /// Retained messages of new subscriptions; never dropped, and few, since their session brings
    /// more only when these are gone. Each carries its place in the order of both queues.
    retained: VecDeque<(u64, Delivery)>,
    live: VecDeque<(u64, Delivery)>,
    live_bytes: usize,
    next_place: u64,
    window: VecDeque<InFlight>,
    /// Entries of the window from here on have not been sent on this connection.
    resend_at: usize,
    last_id: u16,
    messages_max: usize,
    bytes_max: usize,
}

impl Outbound {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            retained: VecDeque::new(),
            live: VecDeque::new(),
            live_bytes: 0,
            next_place: 0,
            window: VecDeque::new(),
            resend_at: 0,
            last_id: 0,
            messages_max: settings.queue_messages_max.max(1),
            bytes_max: settings.queue_bytes_max,
        }
    }

    /// Queues a live message; the oldest ones give way when there is no room.
    pub(super) fn push(&mut self, delivery: Delivery, counters: &Counters) {
        self.live_bytes += delivery.bytes();
        self.live.push_back((self.next_place, delivery));
        self.next_place += 1;
        loop {
            let reason = if self.live.len() > self.messages_max {
                Dropped::QueueMessages
            } else if self.live_bytes > self.bytes_max && self.live.len() > 1 {
                Dropped::QueueBytes
            } else {
                return;
            };
            if let Some((_, dropped)) = self.live.pop_front() {
                self.live_bytes -= dropped.bytes();
                counters.drop_out(reason, 1);
            }
        }
    }

    /// Whether so much waits that a group should prefer another member.
    pub(super) fn is_behind(&self) -> bool {
        self.live.len() >= BEHIND_MESSAGES.min(self.messages_max)
            || self.live_bytes >= self.bytes_max / 8
    }

    /// Takes back what a group gave and the client does not have: all that waits, and what was
    /// sent at QoS 1 and not acknowledged. QoS 2 that has begun belongs to this client for ever
    /// (MQTT 5 §4.8.2).
    pub(super) fn take_shared(&mut self, leaves: impl Fn(&Arc<Group>) -> bool) -> Vec<Message> {
        let mut taken = Vec::new();
        let leaves = |delivery: &Delivery| {
            let shared = delivery.shared.as_deref();
            shared.filter(|(group, _)| leaves(group)).is_some()
        };
        let mut kept = VecDeque::new();
        for (at, entry) in self.window.drain(..).enumerate() {
            match entry.stage {
                Stage::Sent(delivery) if delivery.qos == Qos::AtLeastOnce && leaves(&delivery) => {
                    taken.extend(delivery.shared.map(|shared| shared.1));
                    if at < self.resend_at {
                        self.resend_at -= 1;
                    }
                }
                stage @ (Stage::Sent(_) | Stage::Released) => kept.push_back(InFlight {
                    packet_id: entry.packet_id,
                    stage,
                }),
            }
        }
        self.resend_at = self.resend_at.min(kept.len());
        self.window = kept;
        let (gone, stay) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|(_, delivery)| leaves(delivery));
        self.live = stay;
        for (_, delivery) in Vec::from(gone) {
            self.live_bytes -= delivery.bytes();
            taken.extend(delivery.shared.map(|shared| shared.1));
        }
        taken
    }

    /// The place behind everything that waits already.
    pub(super) fn take_place(&mut self) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        place
    }

    /// Queues a retained message at a place that was taken for it, behind other retained ones.
    pub(super) fn push_retained(&mut self, place: u64, delivery: Delivery) {
        self.retained.push_back((place, delivery));
    }

    /// Retained messages that still wait.
    pub(super) fn retained_waiting(&self) -> usize {
        self.retained.len()
    }

    /// A new connection: everything in the window has to be sent again.
    pub(super) fn rewind(&mut self) {
        self.resend_at = 0;
    }

    /// Encodes what may be sent now, up to the write-ahead.
    pub(super) fn fill(&mut self, out: &mut BytesMut, dialect: &mut Dialect, counters: &Counters) {
        // The client of now may take fewer at once than the one whose window this was.
        while out.len() < WRITE_AHEAD && self.resend_at < self.window.len().min(dialect.window_max)
        {
            let entry = &self.window[self.resend_at];
            match &entry.stage {
                Stage::Sent(delivery) => {
                    if !write(out, dialect, delivery, entry.packet_id, true) {
                        counters.drop_out(Dropped::PacketTooLarge, 1);
                        self.window.remove(self.resend_at);
                        continue;
                    }
                }
                Stage::Released => {
                    encode::acknowledge(out, dialect.version, PUBREL, entry.packet_id, 0);
                }
            }
            self.resend_at += 1;
        }
        while out.len() < WRITE_AHEAD && self.resend_at == self.window.len() {
            let Some(qos) = self.front().map(|delivery| delivery.qos) else {
                return;
            };
            let packet_id = if qos == Qos::AtMostOnce {
                0
            } else if let Some(id) = self.next_id(dialect.window_max) {
                id
            } else {
                return;
            };
            let Some(delivery) = self.pop() else {
                return;
            };
            let expired = delivery.expires.is_some_and(|at| at <= Instant::now());
            if expired {
                counters.drop_out(Dropped::Expired, 1);
                continue;
            }
            if !write(out, dialect, &delivery, packet_id, false) {
                counters.drop_out(Dropped::PacketTooLarge, 1);
                continue;
            }
            Counters::add(&counters.messages_out[delivery.qos as usize]);
            if qos != Qos::AtMostOnce {
                self.last_id = packet_id;
                self.window.push_back(InFlight {
                    packet_id,
                    stage: Stage::Sent(delivery),
                });
                self.resend_at = self.window.len();
            }
        }
    }

    /// The next packet id, if the window has room. Ids rise and wrap, so the first one that could
    /// still be taken is that of the oldest message: then the window counts as full.
    fn next_id(&self, window_max: usize) -> Option<u16> {
        let id = self.last_id.checked_add(1).unwrap_or(1);
        let taken = self
            .window
            .front()
            .is_some_and(|oldest| oldest.packet_id == id);
        (self.window.len() < window_max && !taken).then_some(id)
    }

    fn retained_first(&self) -> bool {
        match (self.retained.front(), self.live.front()) {
            (Some((retained, _)), Some((live, _))) => retained < live,
            (retained, _) => retained.is_some(),
        }
    }

    fn front(&self) -> Option<&Delivery> {
        let queue = if self.retained_first() {
            &self.retained
        } else {
            &self.live
        };
        queue.front().map(|(_, delivery)| delivery)
    }

    fn pop(&mut self) -> Option<Delivery> {
        if self.retained_first() {
            return self.retained.pop_front().map(|(_, delivery)| delivery);
        }
        let (_, delivery) = self.live.pop_front()?;
        self.live_bytes -= delivery.bytes();
        Some(delivery)
    }

    /// The client has a QoS 1 message. Unknown ids are ignored: after a resumed session they are
    /// an answer to what the last connection sent.
    pub(super) fn on_puback(&mut self, packet_id: u16) {
        if let Some(at) = self.find(packet_id, Qos::AtLeastOnce) {
            self.forget(at);
        }
    }

    /// The client has a QoS 2 message, or refuses it; returns the reason of the PUBREL to send.
    pub(super) fn on_pubrec(&mut self, packet_id: u16, refused: bool) -> Option<u8> {
        let Some(at) = self.position(packet_id) else {
            return (!refused).then_some(0x92);
        };
        if refused {
            self.forget(at);
            return None;
        }
        let entry = &mut self.window[at];
        if matches!(&entry.stage, Stage::Sent(delivery) if delivery.qos != Qos::ExactlyOnce) {
            return Some(0x92);
        }
        entry.stage = Stage::Released;
        Some(0)
    }

    /// The client has forgotten a QoS 2 message.
    pub(super) fn on_pubcomp(&mut self, packet_id: u16) {
        if let Some(at) = self.position(packet_id)
            && matches!(self.window[at].stage, Stage::Released)
        {
            self.forget(at);
        }
    }

    fn position(&self, packet_id: u16) -> Option<usize> {
        // Acknowledgements come in order from all but odd clients: the first look finds them.
        self.window
            .iter()
            .position(|entry| entry.packet_id == packet_id)
    }

    fn find(&self, packet_id: u16, qos: Qos) -> Option<usize> {
        let at = self.position(packet_id)?;
        matches!(&self.window[at].stage, Stage::Sent(delivery) if delivery.qos == qos).then_some(at)
    }

    fn forget(&mut self, at: usize) {
        self.window.remove(at);
        if at < self.resend_at {
            self.resend_at -= 1;
        }
    }
}

fn write(
    out: &mut BytesMut,
    dialect: &mut Dialect,
    delivery: &Delivery,
    packet_id: u16,
    dup: bool,
) -> bool {
    let expiry_secs = delivery.expires.map(|at| {
        let left = at.saturating_duration_since(Instant::now()).as_secs();
        u32::try_from(left).unwrap_or(u32::MAX)
    });
    let (topic, alias) = dialect.aliases.topic(&delivery.topic);
    let publish = encode::Publish {
        dup,
        qos: delivery.qos,
        retain: delivery.retain,
        topic,
        alias,
        packet_id,
        expiry_secs,
        identifiers: &delivery.identifiers,
        properties: &delivery.properties,
        payload: &delivery.payload,
    };
    let written = encode::publish(out, dialect.version, dialect.packet_bytes_max, &publish);
    if written {
        dialect.aliases.introduced(&delivery.topic, alias);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(qos: Qos, payload: &'static str) -> Delivery {
        Delivery {
            topic: Bytes::from_static(b"t"),
            payload: Bytes::from_static(payload.as_bytes()),
            properties: Bytes::new(),
            qos,
            retain: false,
            identifiers: Vec::new(),
            expires: None,
            shared: None,
        }
    }

    fn dialect() -> Dialect {
        Dialect {
            version: Version::V4,
            packet_bytes_max: usize::MAX,
            window_max: 2,
            aliases: Aliases::default(),
        }
    }

    fn fill_as(outbound: &mut Outbound, dialect: &mut Dialect) -> Vec<u8> {
        let mut out = BytesMut::new();
        outbound.fill(&mut out, dialect, &Counters::default());
        out.to_vec()
    }

    fn fill(outbound: &mut Outbound) -> Vec<u8> {
        fill_as(outbound, &mut dialect())
    }

    #[test]
    fn a_client_that_takes_fewer_now_gets_fewer_again() {
        let mut outbound = Outbound::new(&Settings::default());
        for payload in ["a", "b", "c"] {
            outbound.push(delivery(Qos::AtLeastOnce, payload), &Counters::default());
        }
        fill(&mut outbound);
        outbound.rewind();
        let mut narrow = Dialect {
            window_max: 1,
            ..dialect()
        };
        assert_eq!(
            fill_as(&mut outbound, &mut narrow),
            b"\x3a\x06\0\x01t\0\x01a"
        );
        outbound.on_puback(1);
        assert_eq!(
            fill_as(&mut outbound, &mut narrow),
            b"\x3a\x06\0\x01t\0\x02b"
        );
        outbound.on_puback(2);
        assert_eq!(
            fill_as(&mut outbound, &mut narrow),
            b"\x32\x06\0\x01t\0\x03c"
        );
        // One that takes only tiny packets loses the message, and the window moves on.
        outbound.rewind();
        let mut tiny = Dialect {
            packet_bytes_max: 4,
            ..dialect()
        };
        assert!(fill_as(&mut outbound, &mut tiny).is_empty());
        assert!(outbound.window.is_empty());
    }

    #[test]
    fn an_alias_stands_for_its_topic() {
        let mut outbound = Outbound::new(&Settings::default());
        let mut dialect = Dialect {
            version: Version::V5,
            aliases: Aliases::new(1),
            ..dialect()
        };
        for topic in ["long/1", "long/2", "long/1", "t"] {
            let delivery = Delivery {
                topic: Bytes::from_static(topic.as_bytes()),
                ..delivery(Qos::AtMostOnce, "x")
            };
            outbound.push(delivery, &Counters::default());
        }
        assert_eq!(
            fill_as(&mut outbound, &mut dialect),
            [
                &b"\x30\x0d\0\x06long/1\x03\x23\0\x01x"[..],
                b"\x30\x0a\0\x06long/2\0x",
                b"\x30\x07\0\0\x03\x23\0\x01x",
                b"\x30\x05\0\x01t\0x",
            ]
            .concat()
        );
    }

    #[test]
    fn the_window_opens_with_acknowledgements_in_any_order() {
        let mut outbound = Outbound::new(&Settings::default());
        let counters = Counters::default();
        for payload in ["a", "b", "c", "d"] {
            outbound.push(delivery(Qos::AtLeastOnce, payload), &counters);
        }
        assert_eq!(
            fill(&mut outbound),
            b"\x32\x06\0\x01t\0\x01a\x32\x06\0\x01t\0\x02b"
        );
        outbound.on_puback(9);
        assert!(fill(&mut outbound).is_empty());
        outbound.on_puback(2);
        assert_eq!(fill(&mut outbound), b"\x32\x06\0\x01t\0\x03c");
        outbound.rewind();
        assert_eq!(
            fill(&mut outbound),
            b"\x3a\x06\0\x01t\0\x01a\x3a\x06\0\x01t\0\x03c"
        );
        outbound.on_puback(1);
        outbound.on_puback(3);
        assert_eq!(fill(&mut outbound), b"\x32\x06\0\x01t\0\x04d");
    }

    #[test]
    fn exactly_once_is_four_steps() {
        let mut outbound = Outbound::new(&Settings::default());
        outbound.push(delivery(Qos::ExactlyOnce, "a"), &Counters::default());
        assert_eq!(fill(&mut outbound), b"\x34\x06\0\x01t\0\x01a");
        outbound.on_puback(1);
        outbound.on_pubcomp(1);
        assert_eq!(outbound.on_pubrec(1, false), Some(0));
        outbound.rewind();
        assert_eq!(
            fill(&mut outbound),
            b"\x62\x02\0\x01",
            "PUBREL again, not the message"
        );
        outbound.on_pubcomp(1);
        assert_eq!(outbound.on_pubrec(1, false), Some(0x92));
    }

    #[test]
    fn the_oldest_gives_way_but_never_a_retained_one() {
        let settings = Settings {
            queue_messages_max: 2,
            ..Settings::default()
        };
        let mut outbound = Outbound::new(&settings);
        let counters = Counters::default();
        outbound.push(delivery(Qos::AtMostOnce, "1"), &counters);
        let place = outbound.take_place();
        outbound.push_retained(place, delivery(Qos::AtMostOnce, "r"));
        outbound.push(delivery(Qos::AtMostOnce, "2"), &counters);
        outbound.push(delivery(Qos::AtMostOnce, "3"), &counters);
        let sent = fill(&mut outbound);
        let payloads: Vec<u8> = sent
            .chunks(6)
            .filter_map(|packet| packet.last().copied())
            .collect();
        assert_eq!(payloads, b"r23");
        assert_eq!(
            counters
                .dropped_out
                .load(std::sync::atomic::Ordering::Relaxed),
            1
        );
    }
}
