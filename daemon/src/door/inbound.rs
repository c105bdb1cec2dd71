//! Messages on their way in: what a topic means, the right to it, the tick inside, its ticket, and
//! the acknowledgement that is owed until the ticket is durable.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use divisor_wire::Reason;
use divisor_wire::tick::{self, Decoded};
use divisor_wire::topic::{Topic, rejected_topic, topic_is_valid};

use super::codec::encode::{self, PUBACK, PUBCOMP, PUBREC};
use super::codec::publish::Publish;
use super::codec::{Version, Violation};
use super::envelope::Qos;
use super::exchange::Publication;
use super::handshake::Guest;
use super::listener::Door;
use crate::ingress::{Client, Content, Inbound as Message, Receipt, Ticket};

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
    /// A topic that the client may not write, and why.
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
    reason: u8,
}

/// The inbound half of a connection.
#[derive(Debug)]
pub(super) struct Inbound {
    door: Arc<Door>,
    guest: Guest,
    version: Version,
    origin: u64,
    last_ticket: Ticket,
    durable: Ticket,
    owed: VecDeque<Owed>,
    /// QoS 2 ids whose PUBREC is owed.
    arriving: HashSet<u16>,
    routes: HashMap<Bytes, Route>,
    aliases: HashMap<u16, Bytes>,
    /// For the sequencer, from the packets of one read.
    pub(super) batch: Vec<Message>,
    /// For the exchange, from the packets of one read.
    pub(super) aside: Vec<Publication>,
}

impl Inbound {
    pub(super) fn new(door: Arc<Door>, guest: Guest, version: Version, origin: u64) -> Self {
        Self {
            door,
            guest,
            version,
            origin,
            last_ticket: 0,
            durable: 0,
            owed: VecDeque::new(),
            arriving: HashSet::new(),
            routes: HashMap::new(),
            aliases: HashMap::new(),
            batch: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// Messages that the sequencer has and that are not durable.
    pub(super) fn inflight(&self) -> u64 {
        self.last_ticket - self.durable
    }

    /// Whether a QoS 2 message waits for its ticket: its session should not move before.
    pub(super) fn is_arriving(&self) -> bool {
        !self.arriving.is_empty()
    }

    /// Takes one PUBLISH. `received` are the QoS 2 ids the session has acknowledged.
    pub(super) fn publish(
        &mut self,
        publish: Publish,
        received: &HashSet<u16>,
    ) -> Result<(), Violation> {
        super::Counters::add(&self.door.counters.messages_in[publish.qos as usize]);
        let topic = self.resolve_alias(&publish)?;
        if publish.qos == Qos::ExactlyOnce {
            if received.contains(&publish.packet_id) {
                self.owe(&publish, false, 0);
                return Ok(());
            }
            if !self.arriving.insert(publish.packet_id) {
                return Ok(());
            }
        }
        let route = self.route(&topic)?;
        match route.meaning {
            Meaning::Refused(reason) => {
                self.refuse(&route.topic, reason);
                self.owe(&publish, false, 0x87);
            }
            Meaning::Routed => {
                self.owe(&publish, false, 0);
                self.aside.push(Publication {
                    topic: route.topic,
                    payload: publish.payload,
                    qos: publish.qos,
                    retain: publish.retain,
                    origin: self.origin,
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

    /// Gives the message a ticket and puts it into the batch for the sequencer.
    fn submit(&mut self, publish: Publish, route: Route) {
        self.last_ticket += 1;
        self.owe(&publish, true, 0);
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
                    .and_then(|t| response_topic(&t)),
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
            self.door.counters.refuse(*reason);
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
        self.aliases
            .insert(alias, Bytes::copy_from_slice(&publish.topic));
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
        let meaning = match Topic::parse(text) {
            parsed if !self.guest.principal.may_publish(text) => {
                // A right would not help where nobody may write.
                Meaning::Refused(match parsed {
                    Topic::Price(_) | Topic::Rate(..) | Topic::Control(_) => Reason::NotAuthorized,
                    Topic::Other | Topic::Reserved => Reason::BadTopic,
                })
            }
            Topic::Price(symbol) => Meaning::Price(symbol.into()),
            Topic::Rate(base, quote) => Meaning::Rate(Arc::new((base.into(), quote.into()))),
            Topic::Control(verb) => Meaning::Control(verb.into()),
            Topic::Other => Meaning::Routed,
            Topic::Reserved => Meaning::Refused(Reason::BadTopic),
        };
        let route = Route {
            topic: text.into(),
            meaning,
        };
        if self.routes.len() >= self.door.settings.topic_cache_max {
            self.routes.clear();
        }
        self.routes
            .insert(Bytes::copy_from_slice(topic), route.clone());
        Ok(route)
    }

    /// Counts a refusal of the door, and publishes it for the client if anyone listens.
    pub(super) fn refuse(&mut self, topic: &str, reason: Reason) {
        self.door.counters.refuse(reason);
        let report = report(&self.door, &self.guest.client, topic, reason);
        self.aside.extend(report);
    }

    fn owe(&mut self, publish: &Publish, own: bool, reason: u8) {
        if publish.qos != Qos::AtMostOnce {
            self.owed.push_back(Owed {
                after: self.last_ticket,
                own,
                packet_id: publish.packet_id,
                qos: publish.qos,
                reason,
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
                owed.reason = reason_code(refusal.reason);
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
            if owed.qos == Qos::ExactlyOnce {
                self.arriving.remove(&owed.packet_id);
                // A PUBREC with an error, which only MQTT 5 has, ends the exchange.
                if self.version == Version::V4 || owed.reason < 0x80 {
                    received.insert(owed.packet_id);
                }
                encode::acknowledge(out, self.version, PUBREC, owed.packet_id, owed.reason);
            } else {
                encode::acknowledge(out, self.version, PUBACK, owed.packet_id, owed.reason);
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
    let body = serde_json::json!({ "reason": reason.as_str(), "topic": topic });
    Some(Publication::from_daemon(
        report_topic.into(),
        body.to_string().into(),
        false,
    ))
}

/// A response topic that the daemon may write a reply to: never one whose messages mean something.
fn response_topic(topic: &[u8]) -> Option<Arc<str>> {
    let topic = std::str::from_utf8(topic)
        .ok()
        .filter(|topic| topic_is_valid(topic))?;
    let harmless = topic.starts_with("divisor/reply/")
        || (Topic::parse(topic) == Topic::Other && !topic.starts_with('$'));
    harmless.then(|| topic.into())
}

/// The MQTT 5 reason code of a refusal.
const fn reason_code(reason: Reason) -> u8 {
    if matches!(reason, Reason::BadTopic) {
        0x90
    } else if matches!(reason, Reason::Overloaded | Reason::TooManyTicks) {
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
