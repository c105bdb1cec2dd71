//! Messages on their way in: what a topic means, the right to it, the tick inside, its ticket, and
//! the acknowledgement that is owed until the ticket is durable.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use divisor_wire::Reason;
use divisor_wire::rejected::Rejected;
use divisor_wire::tick::{self, Decoded};
use divisor_wire::topic::{
    Topic, rejected_topic, reply_topic, symbol_is_missing, text_is_clean, topic_is_valid,
};

use super::codec::encode::{self, PUBACK, PUBCOMP, PUBREC};
use super::codec::publish::Publish;
use super::codec::{Version, Violation};
use super::envelope::Qos;
use super::exchange::{Publication, owner};
use super::handshake::Guest;
use super::listener::Door;
use super::pace::{Pace, Turn};
use super::session::Session;
use crate::access::Principal;
use crate::ingress::{Client, Content, Inbound as Message, Receipt, Ticket};

/// Topics up to this length are remembered with their meaning; the longer ones, which no publisher
/// of prices has, are looked at each time.
const ROUTE_BYTES_MAX: usize = 192;

/// All topics that the aliases of one connection stand for.
const ALIASED_BYTES_MAX: usize = 64 * 1024;

/// What this connection knows about a topic, so that the next message of it need not ask again.
#[derive(Debug, Clone)]
struct Route {
    topic: Arc<str>,
    meaning: Meaning,
}

#[derive(Debug, Clone)]
enum Meaning {
    Price(Arc<str>),
    Rate(Arc<(Box<str>, Box<str>)>),
    Control(Arc<str>),
    /// An ordinary topic that the client may write.
    Routed,
    /// A topic that the client may not write, or nobody, and why.
    Refused(Reason),
}

/// An acknowledgement that waits for its turn. MQTT wants them in the order of the messages, so
/// one that needs no durability still waits for the tickets before it.
#[derive(Debug)]
struct Owed {
    after: Ticket,
    /// Whether `after` is this message's own ticket.
    own: bool,
    packet_id: u16,
    qos: Qos,
    refused: Option<Reason>,
}

/// The inbound half of a connection.
#[derive(Debug)]
pub(super) struct Inbound {
    door: Arc<Door>,
    guest: Guest,
    version: Version,
    /// Whether acknowledgements may say in words what was wrong.
    wants_reasons: bool,
    origin: u64,
    /// Whose share of the retained messages the client's take.
    owner: Arc<str>,
    /// QoS 1 and 2 messages the client may have on their way, and how many of an earlier
    /// connection it had when this one began.
    receive_max: usize,
    received_before: usize,
    pace: Pace,
    /// Whether anyone reads this client's refusals, and as of which change of filters.
    is_heard: (u64, bool),
    last_ticket: Ticket,
    durable: Ticket,
    owed: VecDeque<Owed>,
    /// QoS 2 ids whose PUBREC is owed.
    arriving: HashSet<u16>,
    routes: HashMap<Bytes, Route>,
    aliases: HashMap<u16, Bytes>,
    aliased_bytes: usize,
    /// For the sequencer, from the packets of one read.
    pub(super) batch: Vec<Message>,
    /// For the exchange, from the packets of one read.
    pub(super) aside: Vec<Publication>,
}

impl Inbound {
    pub(super) fn new(
        door: Arc<Door>,
        guest: Guest,
        version: Version,
        wants_reasons: bool,
        session: &Session,
    ) -> Self {
        Self {
            version,
            wants_reasons,
            origin: session.origin,
            owner: owner(&guest.client).into(),
            receive_max: receive_max(&door),
            received_before: session.received.len(),
            pace: Pace::new(&door.settings),
            is_heard: (u64::MAX, false),
            door,
            guest,
            last_ticket: 0,
            durable: 0,
            owed: VecDeque::new(),
            arriving: HashSet::new(),
            routes: HashMap::new(),
            aliases: HashMap::new(),
            aliased_bytes: 0,
            batch: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// Goes on with other rights.
    pub(super) fn take_rights(&mut self, principal: Principal) {
        self.guest.principal = principal;
        self.routes.clear();
    }

    /// Messages that the sequencer has and that are not durable.
    pub(super) fn inflight(&self) -> u64 {
        self.last_ticket - self.durable
    }

    /// Whether a QoS 2 message waits for its ticket: its session should not move before.
    pub(super) fn is_arriving(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Until when the connection is not to be read, because its messages came too fast.
    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.pace.paused_until
    }

    /// The pause is over.
    pub(super) const fn resume(&mut self) {
        self.pace.paused_until = None;
    }

    /// Takes one PUBLISH. `received` are the QoS 2 ids the session has acknowledged.
    pub(super) fn publish(
        &mut self,
        publish: Publish,
        received: &HashSet<u16>,
    ) -> Result<(), Violation> {
        super::Counters::add(&self.door.counters.messages_in[publish.qos as usize]);
        let topic = self.resolve_alias(&publish)?;
        let is_repeated = publish.qos == Qos::ExactlyOnce
            && (received.contains(&publish.packet_id)
                || self.arriving.contains(&publish.packet_id));
        if self.version == Version::V5 && publish.qos != Qos::AtMostOnce && !is_repeated {
            let on_their_way =
                self.owed.len() + received.len().saturating_sub(self.received_before);
            if on_their_way >= self.receive_max {
                return Err(Violation::RECEIVE_MAXIMUM);
            }
        }
        if publish.qos == Qos::ExactlyOnce {
            if received.contains(&publish.packet_id) {
                self.owe(&publish, false, None);
                return Ok(());
            }
            if !self.arriving.insert(publish.packet_id) {
                return Ok(());
            }
        }
        let route = self.route(&topic)?;
        if let Some(reason) = self.refusal(&publish, &route) {
            self.refuse(&route.topic, reason);
            if self.ends_for(reason) {
                return Err(Violation::NOT_AUTHORIZED);
            }
            self.owe(&publish, false, Some(reason));
            return Ok(());
        }
        match route.meaning {
            Meaning::Refused(_) => {}
            Meaning::Routed => {
                self.owe(&publish, false, None);
                self.aside.push(Publication {
                    topic: route.topic,
                    payload: publish.payload,
                    qos: publish.qos,
                    retain: publish.retain,
                    origin: self.origin,
                    owner: Some(Arc::clone(&self.owner)),
                    expiry_secs: publish.properties.expiry_secs,
                    properties: publish.properties.forwarded,
                });
            }
            Meaning::Price(_) | Meaning::Rate(_) | Meaning::Control(_) => {
                self.submit(publish, route);
            }
        }
        Ok(())
    }

    /// Why the door does not take a message.
    fn refusal(&mut self, publish: &Publish, route: &Route) -> Option<Reason> {
        // Only MQTT 5 can be told no; the others wait at their socket.
        let can_be_told = self.version == Version::V5 && publish.qos != Qos::AtMostOnce;
        let turn = self.pace.next(can_be_told, Instant::now());
        if turn == Turn::Paused {
            super::Counters::add(&self.door.counters.rate_pauses);
        }
        if let Meaning::Refused(reason) = route.meaning {
            return Some(reason);
        }
        if turn == Turn::Refused {
            return Some(Reason::RateExceeded);
        }
        if publish.payload.len() > self.door.settings.payload_bytes_max {
            return Some(Reason::PayloadTooLarge);
        }
        if publish.properties.is_text && std::str::from_utf8(&publish.payload).is_err() {
            return Some(Reason::PayloadNotText);
        }
        if let Meaning::Control(_) = route.meaning
            && let Some(topic) = &publish.properties.response_topic
            && !self.may_be_answered(topic)
        {
            return Some(Reason::BadResponseTopic);
        }
        let keeps = matches!(route.meaning, Meaning::Routed) && publish.retain;
        if keeps
            && !publish.payload.is_empty()
            && !self.door.exchange.retains(&route.topic, &self.owner)
        {
            super::Counters::add(&self.door.counters.dropped_retained);
            return Some(Reason::RetainedQuota);
        }
        None
    }

    /// Whether a refusal ends the connection: of a topic without the right to it, to a client that
    /// cannot be told, where it is so configured.
    fn ends_for(&self, reason: Reason) -> bool {
        self.door.settings.disconnect_denied
            && self.version == Version::V4
            && matches!(reason, Reason::NotAuthorized | Reason::BadTopic)
    }

    /// Whether the daemon may answer a command there, on the client's behalf: where it hears it, and
    /// never where a message means something else than an answer.
    fn may_be_answered(&self, topic: &[u8]) -> bool {
        let Some(topic) = std::str::from_utf8(topic).ok() else {
            return false;
        };
        let Some(below) = topic.strip_prefix(&reply_topic(&self.guest.client.id, "")) else {
            return topic_is_valid(topic)
                && Topic::parse(topic) == Topic::Other
                && !topic.starts_with('$')
                && self.guest.principal.may_read(topic);
        };
        !below.is_empty() && topic_is_valid(topic)
    }

    /// Gives the message a ticket and puts it into the batch for the sequencer.
    fn submit(&mut self, publish: Publish, route: Route) {
        self.last_ticket += 1;
        self.owe(&publish, true, None);
        let content = match route.meaning {
            Meaning::Price(symbol) => {
                let Decoded { ticks, refused } = self.decode(&publish.payload);
                Content::Prices {
                    symbol,
                    ticks,
                    refused,
                }
            }
            Meaning::Rate(pair) => {
                let Decoded { ticks, refused } = self.decode(&publish.payload);
                Content::Rates {
                    pair,
                    ticks,
                    refused,
                }
            }
            Meaning::Control(verb) => Content::Command {
                verb,
                response_topic: publish
                    .properties
                    .response_topic
                    .and_then(|topic| std::str::from_utf8(&topic).ok().map(Into::into)),
                correlation: publish.properties.correlation,
            },
            Meaning::Routed | Meaning::Refused(_) => return,
        };
        self.batch.push(Message {
            ticket: self.last_ticket,
            topic: route.topic,
            payload: publish.payload,
            content,
        });
    }

    fn decode(&self, payload: &[u8]) -> Decoded {
        let decoded = tick::decode(payload, self.door.settings.ticks_per_message_max)
            .unwrap_or_else(|reason| Decoded {
                ticks: Vec::new(),
                refused: vec![(0, reason)],
            });
        for (_, reason) in &decoded.refused {
            self.door.counters.refuse_payload(*reason);
        }
        decoded
    }

    /// The topic in bytes, by name or by alias.
    fn resolve_alias(&mut self, publish: &Publish) -> Result<Bytes, Violation> {
        let Some(alias) = publish.properties.alias else {
            return Ok(publish.topic.clone());
        };
        if alias == 0 || alias > self.door.settings.topic_aliases_max {
            return Err(Violation::TOPIC_ALIAS);
        }
        if publish.topic.is_empty() {
            return self.aliases.get(&alias).cloned().ok_or(Violation::PROTOCOL);
        }
        // A copy of its own: the slice would keep the whole read buffer alive.
        let topic = Bytes::copy_from_slice(&publish.topic);
        self.aliased_bytes += topic.len();
        if let Some(before) = self.aliases.insert(alias, topic) {
            self.aliased_bytes -= before.len();
        }
        if self.aliased_bytes > ALIASED_BYTES_MAX {
            return Err(Violation::QUOTA);
        }
        Ok(publish.topic.clone())
    }

    fn route(&mut self, topic: &Bytes) -> Result<Route, Violation> {
        if let Some(route) = self.routes.get(topic) {
            return Ok(route.clone());
        }
        let text = std::str::from_utf8(topic).map_err(|_| Violation::MALFORMED)?;
        if !topic_is_valid(text) {
            return Err(Violation::TOPIC_NAME);
        }
        let route = Route {
            topic: text.into(),
            meaning: self.meaning(text),
        };
        if topic.len() <= ROUTE_BYTES_MAX {
            if self.routes.len() >= self.door.settings.topic_cache_max {
                self.routes.clear();
            }
            self.routes
                .insert(Bytes::copy_from_slice(topic), route.clone());
        }
        Ok(route)
    }

    /// What a message on a valid topic is to this client.
    fn meaning(&self, topic: &str) -> Meaning {
        if !text_is_clean(topic) || topic.len() > self.door.settings.topic_bytes_max {
            return Meaning::Refused(Reason::BadTopic);
        }
        if symbol_is_missing(topic) {
            return Meaning::Refused(Reason::BadSymbol);
        }
        match Topic::parse(topic) {
            parsed if !self.guest.principal.may_publish(topic) => {
                // A right would not help where nobody may write.
                Meaning::Refused(match parsed {
                    Topic::Price(_) | Topic::Rate(..) | Topic::Control(_) => Reason::NotAuthorized,
                    Topic::Other | Topic::Reserved => Reason::BadTopic,
                })
            }
            Topic::Price(symbol) => Meaning::Price(symbol.into()),
            Topic::Rate(base, quote) => Meaning::Rate(Arc::new((base.into(), quote.into()))),
            Topic::Control(verb) => Meaning::Control(verb.into()),
            // Topics with `$` belong to the server by the specification, and we have none.
            Topic::Other if !topic.starts_with('$') => Meaning::Routed,
            Topic::Other | Topic::Reserved => Meaning::Refused(Reason::BadTopic),
        }
    }

    /// Counts a refusal of the door, and publishes it for the client if anyone listens.
    pub(super) fn refuse(&mut self, topic: &str, reason: Reason) {
        self.door.counters.refuse(reason);
        let version = self.door.exchange.wants_version();
        if self.is_heard.0 != version {
            // Asked once for each change of filters: a flood of refusals must stay cheap.
            let report_topic = rejected_topic(&self.guest.client.id);
            self.is_heard = (version, self.door.exchange.wants(&report_topic));
        }
        if self.is_heard.1 {
            let report = report(&self.door, &self.guest.client, topic, reason);
            self.aside.extend(report);
        }
    }

    fn owe(&mut self, publish: &Publish, own: bool, refused: Option<Reason>) {
        if publish.qos != Qos::AtMostOnce {
            self.owed.push_back(Owed {
                after: self.last_ticket,
                own,
                packet_id: publish.packet_id,
                qos: publish.qos,
                refused,
            });
        }
    }

    /// Takes a receipt of the sequencer.
    pub(super) fn receive(&mut self, receipt: &Receipt) {
        for refusal in receipt.refusals.iter().filter(|refusal| refusal.whole) {
            let first = self
                .owed
                .partition_point(|owed| owed.after < refusal.ticket);
            let mut same = self.owed.iter_mut().skip(first);
            if let Some(owed) = same.find(|owed| owed.own)
                && owed.after == refusal.ticket
            {
                owed.refused = Some(refusal.reason);
            }
        }
        debug_assert!(receipt.durable <= self.last_ticket);
        self.durable = self.durable.max(receipt.durable.min(self.last_ticket));
    }

    /// Writes every acknowledgement whose turn has come.
    pub(super) fn settle(&mut self, received: &mut HashSet<u16>, out: &mut BytesMut) {
        while self
            .owed
            .front()
            .is_some_and(|owed| owed.after <= self.durable)
        {
            let Some(owed) = self.owed.pop_front() else {
                return;
            };
            let first = if owed.qos == Qos::ExactlyOnce {
                self.arriving.remove(&owed.packet_id);
                // A PUBREC with an error, which only MQTT 5 has, ends the exchange.
                if self.version == Version::V4 || owed.refused.is_none() {
                    received.insert(owed.packet_id);
                }
                PUBREC
            } else {
                PUBACK
            };
            match owed.refused {
                Some(reason) if self.wants_reasons => {
                    let code = reason_code(reason);
                    encode::acknowledge_why(out, first, owed.packet_id, code, reason.as_str());
                }
                refused => {
                    let code = refused.map_or(0, reason_code);
                    encode::acknowledge(out, self.version, first, owed.packet_id, code);
                }
            }
        }
    }

    /// The client gives a QoS 2 id back.
    pub(super) fn release(
        &mut self,
        packet_id: u16,
        received: &mut HashSet<u16>,
        out: &mut BytesMut,
    ) {
        let reason = if received.remove(&packet_id) { 0 } else { 0x92 };
        encode::acknowledge(out, self.version, PUBCOMP, packet_id, reason);
    }
}

/// The report on `divisor/rejected/{client}` for a message that the door refused.
pub(super) fn report(
    door: &Door,
    client: &Client,
    topic: &str,
    reason: Reason,
) -> Option<Publication> {
    let report_topic = rejected_topic(&client.id);
    if !door.exchange.wants(&report_topic) {
        return None;
    }
    let body = serde_json::to_vec(&Rejected::new(topic, &[(0, reason)], 0)?).ok()?;
    let report_topic = report_topic.into();
    Some(Publication::from_daemon(report_topic, body.into(), false))
}

/// What CONNACK tells MQTT 5 clients to have on their way at most.
pub(super) fn receive_max(door: &Door) -> usize {
    door.settings.inflight_max.clamp(1, usize::from(u16::MAX))
}

/// The MQTT 5 reason code of a refusal.
const fn reason_code(reason: Reason) -> u8 {
    if matches!(
        reason,
        Reason::BadTopic | Reason::NotAuthorized | Reason::BadResponseTopic
    ) {
        0x87
    } else if matches!(reason, Reason::BadSymbol) {
        0x90
    } else if matches!(
        reason,
        Reason::Overloaded
            | Reason::TooManyTicks
            | Reason::PayloadTooLarge
            | Reason::PacketTooLarge
            | Reason::RateExceeded
            | Reason::RetainedQuota
    ) {
        0x97
    } else if matches!(
        reason,
        Reason::UnknownSymbol | Reason::UnknownPair | Reason::UnknownCommand
    ) {
        // "Implementation specific": the payload is fine, it is we who know no such thing.
        0x83
    } else {
        0x99
    }
}
