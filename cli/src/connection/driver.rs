//! The task that polls rumqttc: acknowledgements to the outbox, replies to who waits for them,
//! everything else to the command, and a reconnect when the connection breaks.
//!
//! Nobody publishes from here (a full channel would deadlock, BROKER.md §2): what a reconnect must
//! repeat goes straight into the event loop's own pending list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{Event, EventLoop, MqttState, Outgoing, Packet, Publish, Request};
use tokio::sync::mpsc;

use super::{Lost, Message, Shared};
use crate::output;

/// How long a lost connection may stay away before the command gives up.
const AWAY_MAX: Duration = Duration::from_secs(30);
/// The first wait between two attempts; it doubles up to the second number.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// So many reconnects without a single acknowledgement in between are a loop: the broker ends the
/// connection because of what is sent, and sending it again will not help.
const FRUITLESS_MAX: u32 = 5;

const FRUITLESS: &str = "the broker ends it again and again; a message may be larger than it takes \
    (mqtt.packet_bytes_max of divisord)";

/// Owns the event loop until the connection ends.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: EventLoop,
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) window: u16,
}

impl Driver {
    /// Runs until DISCONNECT is written or a lost connection stays away.
    pub(crate) async fn run(mut self) {
        let mut away: Option<(Instant, Duration)> = None;
        let mut fruitless = (0, 0);
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    if away.take().is_some() {
                        let finished = self.shared.outbox().finished();
                        fruitless = match fruitless {
                            (before, count) if before == finished => (before, count + 1),
                            _ => (finished, 0),
                        };
                        if fruitless.1 > FRUITLESS_MAX {
                            self.shared.give_up(Lost(FRUITLESS.to_owned()));
                            break;
                        }
                        self.reconnected();
                    }
                }
                Ok(Event::Incoming(packet)) => {
                    if let Some(message) = self.incoming(packet) {
                        // A full channel holds the socket back: that is the wanted
                        // back-pressure. A dropped receiver means that the command has seen
                        // enough.
                        let _ = self.messages.send(message).await;
                    }
                }
                Ok(Event::Outgoing(Outgoing::Disconnect)) => break,
                Ok(Event::Outgoing(outgoing)) => self.outgoing(&outgoing),
                Err(error) => {
                    let (since, wait) = away.unwrap_or_else(|| {
                        self.disconnected();
                        output::say(format_args!("connection lost: {error}; reconnecting"));
                        (Instant::now(), RETRY_MIN)
                    });
                    if since.elapsed() > AWAY_MAX {
                        self.shared.give_up(Lost(error.to_string()));
                        break;
                    }
                    tokio::time::sleep(wait).await;
                    away = Some((since, (wait * 2).min(RETRY_MAX)));
                }
            }
        }
        self.shared.give_up(Lost("closed".to_owned()));
    }

    fn disconnected(&mut self) {
        // Under the lock, so that no publish slips between the two: after it every message is
        // in the outbox only.
        let mut outbox = self.shared.outbox();
        outbox.disconnected();
        self.shared.subscriptions().disconnected();
        self.events.clean();
        self.events.pending.clear();
        // A fresh state: rumqttc keeps a packet id collision over a reconnect and then hangs.
        self.events.state = MqttState::new(self.window, false);
    }

    fn reconnected(&mut self) {
        let mut outbox = self.shared.outbox();
        let subscribes = self.shared.subscriptions().reconnected();
        let publishes = outbox.reconnected();
        output::say(format_args!(
            "connected again, {} messages sent again",
            publishes.len()
        ));
        let subscribes = subscribes.into_iter().map(Request::Subscribe);
        let publishes = publishes.into_iter().map(Request::Publish);
        self.events.pending.extend(subscribes.chain(publishes));
    }

    fn outgoing(&self, outgoing: &Outgoing) {
        match outgoing {
            Outgoing::Publish(packet) => {
                let done = self.shared.outbox().wrote(*packet, Instant::now());
                self.shared.finished(done);
            }
            Outgoing::Subscribe(packet) => self.shared.subscriptions().wrote(*packet),
            // A collision is told again, as a publish, once it is resolved.
            Outgoing::Unsubscribe(_)
            | Outgoing::PubAck(_)
            | Outgoing::PubRec(_)
            | Outgoing::PubRel(_)
            | Outgoing::PubComp(_)
            | Outgoing::PingReq
            | Outgoing::PingResp
            | Outgoing::Disconnect
            | Outgoing::AwaitAck(_) => {}
        }
    }

    /// Takes a packet in; gives what is for the command.
    fn incoming(&self, packet: Packet) -> Option<Message> {
        let acknowledged = match packet {
            Packet::PubAck(ack) => ack.pkid,
            Packet::PubComp(ack) => ack.pkid,
            Packet::SubAck(ack) => {
                self.shared
                    .subscriptions()
                    .answered(ack.pkid, &ack.return_codes);
                return None;
            }
            Packet::Publish(publish) => return self.message(publish),
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::PubRec(_)
            | Packet::PubRel(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::UnsubAck(_)
            | Packet::PingReq
            | Packet::PingResp
            | Packet::Disconnect => return None,
        };
        let done = self
            .shared
            .outbox()
            .acknowledged(acknowledged, Instant::now());
        self.shared.finished(done);
        None
    }

    fn message(&self, publish: Publish) -> Option<Message> {
        let reply = publish
            .topic
            .strip_prefix(self.shared.replies_below.as_str());
        if let Some(id) = reply {
            if let Some(waiter) = self.shared.waiter(id) {
                let _ = waiter.send(publish.payload.to_vec());
            }
            return None;
        }
        Some(Message {
            topic: publish.topic,
            payload: publish.payload.to_vec(),
            retained: publish.retain,
        })
    }
}
