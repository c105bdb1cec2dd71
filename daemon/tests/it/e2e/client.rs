//! A client as users have them: rumqttc, in both versions of the protocol.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use divisor_testkit::{Daemon, eventually};
use divisor_wire::level::LevelMessage;
use divisor_wire::topic::{level_topic, rejected_topic};
use rumqttc::QoS;
use serde_json::{Value, json};

/// Rows in one part of a load: small, so that every load of the tests has several parts.
const PART_ROWS: usize = 40;

/// Publications that may wait for the network: more than a test sends at once.
const CAPACITY: usize = 100_000;

/// A message as it was received.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    pub(super) correlation: Option<Vec<u8>>,
}

impl Message {
    /// The payload as JSON; null when it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// What the network brought so far.
#[derive(Debug, Default)]
struct Inbox {
    connected: bool,
    subscribed: usize,
    messages: Vec<Message>,
    /// The reason of each acknowledgement, in the order of the publications.
    acks: Vec<String>,
    /// Why the connection is over.
    ended: Option<String>,
}

/// A connection; when it breaks it stays broken, so that a test decides what happens then.
pub(super) struct Mqtt {
    id: String,
    sender: Sender,
    inbox: Arc<Mutex<Inbox>>,
    published: Cell<usize>,
    subscriptions: Cell<usize>,
    requests: Cell<u32>,
}

enum Sender {
    V4(rumqttc::Client),
    V5(rumqttc::v5::Client),
}

impl Mqtt {
    /// Connects with MQTT 3.1.1.
    pub(super) fn v4(daemon: &Daemon, id: &str) -> Self {
        let address = daemon.address();
        let host = address.ip().to_string();
        let mut options = rumqttc::MqttOptions::new(id, host, address.port());
        options.set_max_packet_size(1 << 20, 1 << 20);
        options.set_inflight(1_000);
        let (client, mut connection) = rumqttc::Client::new(options, CAPACITY);
        let inbox = Arc::<Mutex<Inbox>>::default();
        let shared = Arc::clone(&inbox);
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(event) => shared.lock().unwrap().take_v4(event),
                    Err(error) => return shared.lock().unwrap().end(&error.to_string()),
                }
            }
            shared.lock().unwrap().end("closed");
        });
        Self::ready(id, Sender::V4(client), inbox)
    }

    /// Connects with MQTT 5.
    pub(super) fn v5(daemon: &Daemon, id: &str) -> Self {
        let address: SocketAddr = daemon.address();
        let host = address.ip().to_string();
        let mut options = rumqttc::v5::MqttOptions::new(id, host, address.port());
        options.set_max_packet_size(Some(1 << 20));
        options.set_connection_timeout(60);
        let (client, mut connection) = rumqttc::v5::Client::new(options, CAPACITY);
        let inbox = Arc::<Mutex<Inbox>>::default();
        let shared = Arc::clone(&inbox);
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(event) => shared.lock().unwrap().take_v5(event),
                    Err(error) => return shared.lock().unwrap().end(&error.to_string()),
                }
            }
            shared.lock().unwrap().end("closed");
        });
        Self::ready(id, Sender::V5(client), inbox)
    }

    fn ready(id: &str, sender: Sender, inbox: Arc<Mutex<Inbox>>) -> Self {
        let client = Self {
            id: id.to_owned(),
            sender,
            inbox,
            published: Cell::new(0),
            subscriptions: Cell::new(0),
            requests: Cell::new(0),
        };
        eventually(&format!("{id} is connected"), || {
            let inbox = client.inbox.lock().unwrap();
            assert_eq!(inbox.ended, None, "{id} is refused");
            inbox.connected.then_some(())
        });
        client.subscribe(&format!("divisor/reply/{id}/#"));
        client.subscribe(&rejected_topic(id));
        client
    }

    /// Subscribes and waits until the daemon says so.
    pub(super) fn subscribe(&self, filter: &str) {
        match &self.sender {
            Sender::V4(client) => client.subscribe(filter, QoS::AtMostOnce).unwrap(),
            Sender::V5(client) => client
                .subscribe(filter, rumqttc::v5::mqttbytes::QoS::AtMostOnce)
                .unwrap(),
        }
        self.subscriptions.set(self.subscriptions.get() + 1);
        eventually(&format!("{} subscribes to {filter}", self.id), || {
            let inbox = self.inbox.lock().unwrap();
            assert_eq!(inbox.ended, None, "{} lost its connection", self.id);
            (inbox.subscribed >= self.subscriptions.get()).then_some(())
        });
    }

    /// Publishes with QoS 1 and does not wait.
    pub(super) fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let payload = payload.into();
        match &self.sender {
            Sender::V4(client) => client
                .publish(topic, QoS::AtLeastOnce, false, payload)
                .unwrap(),
            Sender::V5(client) => client
                .publish(
                    topic,
                    rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
                    false,
                    payload,
                )
                .unwrap(),
        }
        self.published.set(self.published.get() + 1);
    }

    /// Publishes with QoS 1, waits for the acknowledgement and gives its reason.
    pub(super) fn send(&self, topic: &str, payload: impl Into<Vec<u8>>) -> String {
        self.publish(topic, payload);
        self.wait_acked();
        self.inbox.lock().unwrap().acks[self.published.get() - 1].clone()
    }

    /// Sends the price of a security, durably.
    pub(super) fn price(&self, symbol: &str, payload: impl ToString) {
        let reason = self.send(
            &format!("securities/{symbol}/price"),
            payload.to_string().into_bytes(),
        );
        assert_eq!(reason, "Success", "{symbol}");
    }

    /// How many publications are acknowledged.
    pub(super) fn acked(&self) -> usize {
        self.inbox.lock().unwrap().acks.len()
    }

    /// Waits until everything published is acknowledged.
    pub(super) fn wait_acked(&self) {
        eventually(&format!("{} is acknowledged", self.id), || {
            let inbox = self.inbox.lock().unwrap();
            assert_eq!(inbox.ended, None, "{} lost its connection", self.id);
            (inbox.acks.len() >= self.published.get()).then_some(())
        });
    }

    /// Why the connection is over, if it is.
    pub(super) fn ended(&self) -> Option<String> {
        self.inbox.lock().unwrap().ended.clone()
    }

    /// Everything received so far.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.inbox.lock().unwrap().messages.clone()
    }

    /// Forgets what was received.
    pub(super) fn forget(&self) {
        self.inbox.lock().unwrap().messages.clear();
    }

    /// Waits for a message that `pick` takes.
    pub(super) fn wait<T>(&self, what: &str, pick: impl FnMut(&Message) -> Option<T>) -> T {
        let mut pick = pick;
        eventually(what, || {
            self.inbox
                .lock()
                .unwrap()
                .messages
                .iter()
                .find_map(&mut pick)
        })
    }

    /// The levels of an index received so far, in their order.
    pub(super) fn levels(&self, code: &str) -> Vec<LevelMessage> {
        let topic = level_topic(code);
        let inbox = self.inbox.lock().unwrap();
        let of_index = inbox.messages.iter().filter(|m| m.topic == topic);
        of_index
            .map(|m| serde_json::from_slice(&m.payload).unwrap())
            .collect()
    }

    /// Waits for a level of an index that is this one.
    pub(super) fn wait_level(&self, code: &str, level: &str) -> LevelMessage {
        eventually(&format!("{code} is at {level}"), || {
            let mut levels = self.levels(code).into_iter();
            levels.find(|m| m.level.to_string() == level)
        })
    }

    /// Sends a command and gives the whole reply.
    pub(super) fn ask(&self, verb: &str, mut body: Value) -> Value {
        self.requests.set(self.requests.get() + 1);
        let id = format!("r{}", self.requests.get());
        body["id"] = id.clone().into();
        self.publish(&format!("divisor/control/{verb}"), body.to_string());
        let topic = format!("divisor/reply/{}/{id}", self.id);
        self.wait(&format!("{verb} is answered"), |m| {
            (m.topic == topic).then(|| m.json())
        })
    }

    /// Sends a command that must be carried out and gives its result.
    pub(super) fn done(&self, verb: &str, body: Value) -> Value {
        let reply = self.ask(verb, body);
        assert_eq!(reply["ok"], true, "{verb}: {reply}");
        reply["result"].clone()
    }

    /// Sends the parts of a load and gives the reply to its commit.
    pub(super) fn try_load(&self, name: &str, items: &Value, dry_run: bool) -> Value {
        self.done("load.begin", json!({ "load": name }));
        let mut parts = 0;
        for (section, rows) in items.as_object().unwrap() {
            for rows in rows.as_array().unwrap().chunks(PART_ROWS) {
                let part = json!({ "load": name, "part": parts, "items": { section: rows } });
                self.done("load.part", part);
                parts += 1;
            }
        }
        let commit = json!({ "load": name, "parts": parts, "dry_run": dry_run });
        self.ask("load.commit", commit)
    }

    /// Loads what must be accepted and gives the summary.
    pub(super) fn load(&self, items: &Value) -> Value {
        let reply = self.try_load("test", items, false);
        assert_eq!(reply["ok"], true, "{reply}");
        reply["result"].clone()
    }

    /// Waits until PostgreSQL has everything.
    pub(super) fn wait_projected(&self) {
        eventually("everything is projected", || {
            let status = self.done("status", json!({}));
            (status["store"] == "ok" && status["projected"] == status["pos"]).then_some(())
        });
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        // The thread ends with the connection.
        let _ = match &self.sender {
            Sender::V4(client) => client.try_disconnect().is_ok(),
            Sender::V5(client) => client.try_disconnect().is_ok(),
        };
    }
}

impl Inbox {
    fn end(&mut self, why: &str) {
        self.ended = Some(why.to_owned());
    }

    fn take_v4(&mut self, event: rumqttc::Event) {
        use rumqttc::{Event, Packet};
        if let Event::Incoming(Packet::Publish(p)) = event {
            self.messages.push(Message {
                topic: p.topic,
                payload: p.payload.to_vec(),
                retain: p.retain,
                correlation: None,
            });
        } else if let Event::Incoming(Packet::PubAck(_)) = event {
            self.acks.push("Success".to_owned());
        } else if let Event::Incoming(Packet::SubAck(_)) = event {
            self.subscribed += 1;
        } else if let Event::Incoming(Packet::ConnAck(_)) = event {
            self.connected = true;
        }
    }

    fn take_v5(&mut self, event: rumqttc::v5::Event) {
        use rumqttc::v5::Event;
        use rumqttc::v5::mqttbytes::v5::Packet;
        if let Event::Incoming(Packet::Publish(p)) = event {
            let correlation = p.properties.and_then(|p| p.correlation_data);
            self.messages.push(Message {
                topic: String::from_utf8(p.topic.to_vec()).unwrap(),
                payload: p.payload.to_vec(),
                retain: p.retain,
                correlation: correlation.map(|bytes| bytes.to_vec()),
            });
        } else if let Event::Incoming(Packet::PubAck(ack)) = event {
            self.acks.push(format!("{:?}", ack.reason));
        } else if let Event::Incoming(Packet::SubAck(_)) = event {
            self.subscribed += 1;
        } else if let Event::Incoming(Packet::ConnAck(_)) = event {
            self.connected = true;
        }
    }
}

/// Sends a request as MQTT 5 has them: with response topic and correlation data.
pub(super) fn request_v5(client: &Mqtt, verb: &str, body: &Value, response: &str, data: &[u8]) {
    let Sender::V5(sender) = &client.sender else {
        panic!("this needs MQTT 5");
    };
    let properties = rumqttc::v5::mqttbytes::v5::PublishProperties {
        response_topic: Some(response.to_owned()),
        correlation_data: Some(data.to_vec().into()),
        ..Default::default()
    };
    let qos = rumqttc::v5::mqttbytes::QoS::AtLeastOnce;
    let topic = format!("divisor/control/{verb}");
    sender
        .publish_with_properties(topic, qos, false, body.to_string(), properties)
        .unwrap();
    client.published.set(client.published.get() + 1);
}
