//! `[mqtt]`: the door for MQTT clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check_positive;

/// Shorter packets could not hold a CONNECT with a password and a will.
const PACKET_BYTES_LEAST: u64 = 1 << 10;

/// The daemon's own topics, with the longest symbols, fit into this.
const TOPIC_BYTES_LEAST: u64 = 1 << 8;

/// The protocol's own limit of a packet.
const PACKET_BYTES_MOST: u64 = 256 << 20;

/// A keep-alive has 16 bits on the wire.
const KEEP_ALIVE_SECS_MOST: u64 = u16::MAX as u64;

/// rumqttd panics below.
const ROUTER_SEGMENT_BYTES_LEAST: u64 = 1 << 10;

/// What becomes of a MQTT 3.1.1 client that publishes where it may not. The protocol has no word for
/// it; MQTT 5 clients get a reason code in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeniedPublish {
    /// The message is acknowledged, dropped, counted and reported.
    #[default]
    Drop,
    /// The connection ends.
    Disconnect,
}

/// Who may come in, and how much each may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Where to listen for TCP and WebSocket.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for TLS and secure WebSocket.
    pub tls_listen: Vec<SocketAddr>,
    /// The pages that may connect over WebSocket, by their origin.
    pub websocket_origins: Vec<String>,
    /// The largest packet of a client.
    #[serde(with = "super::units::size")]
    pub packet_bytes_max: u64,
    /// The longest payload of a message.
    #[serde(with = "super::units::size")]
    pub payload_bytes_max: u64,
    /// The longest topic or filter of a client.
    #[serde(with = "super::units::size")]
    pub topic_bytes_max: u64,
    /// Connections at the same time.
    pub connections_max: u32,
    /// Connections at the same time from one address.
    pub connections_per_address_max: u32,
    /// Connections at the same time of one user.
    pub connections_per_user_max: u32,
    /// Time from the TCP connection to a complete CONNECT.
    #[serde(with = "super::units::duration")]
    pub connect_timeout: Duration,
    /// Time for the handshake of TLS, and for that of WebSocket.
    #[serde(with = "super::units::duration")]
    pub handshake_timeout: Duration,
    /// How long a client may take nothing while data waits for it.
    #[serde(with = "super::units::duration")]
    pub write_timeout: Duration,
    /// How long a client without a keep-alive may be silent in both directions.
    #[serde(with = "super::units::duration")]
    pub idle_timeout: Duration,
    /// The longest keep-alive.
    #[serde(with = "super::units::duration")]
    pub keep_alive_max: Duration,
    /// Messages of one connection that are received and not yet durable.
    pub inflight_max: u16,
    /// Messages to one subscriber that are sent and not yet acknowledged.
    pub window_max: u16,
    /// Messages a second of one connection; 0 is no limit.
    pub publish_rate_max: u32,
    /// Messages that may come at once after a pause.
    pub publish_burst: u32,
    /// Messages that may wait for one subscriber.
    pub queue_messages_max: u32,
    /// Bytes that may wait for one subscriber.
    #[serde(with = "super::units::size")]
    pub queue_bytes_max: u64,
    /// Subscriptions of one connection.
    pub subscriptions_max: u32,
    /// Different filters of all connections together.
    pub filters_max: u32,
    /// Groups of shared subscriptions of all connections together.
    pub shared_groups_max: u32,
    /// Retained messages.
    pub retained_max: u32,
    /// Retained messages of one client.
    pub retained_per_client_max: u32,
    /// Sessions that are kept without a connection.
    pub sessions_max: u32,
    /// How long such a session is kept at most.
    #[serde(with = "super::units::duration")]
    pub session_expiry_max: Duration,
    /// Topic aliases of MQTT 5, each way.
    pub topic_aliases_max: u16,
    /// What becomes of a MQTT 3.1.1 client that publishes where it may not.
    pub denied_publish: DeniedPublish,
    /// Whether topics that are none of Divisor's are routed.
    pub allow_other_topics: bool,
    /// The router behind the door.
    pub router: Router,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))],
            tls_listen: Vec::new(),
            websocket_origins: Vec::new(),
            packet_bytes_max: 256 << 10,
            payload_bytes_max: 192 << 10,
            topic_bytes_max: 1 << 10,
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            connections_per_user_max: 1_000,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3600),
            keep_alive_max: Duration::from_secs(3600),
            inflight_max: 4096,
            window_max: 1000,
            publish_rate_max: 200_000,
            publish_burst: 200_000,
            queue_messages_max: 10_000,
            queue_bytes_max: 8 << 20,
            subscriptions_max: 1000,
            filters_max: 1000,
            shared_groups_max: 256,
            retained_max: 1_000_000,
            retained_per_client_max: 1_000,
            sessions_max: 10_000,
            session_expiry_max: Duration::from_secs(24 * 3600),
            topic_aliases_max: 256,
            denied_publish: DeniedPublish::Drop,
            allow_other_topics: false,
            router: Router::default(),
        }
    }
}

impl Mqtt {
    /// Adds what is wrong to `problems`.
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.listen.is_empty() && self.tls_listen.is_empty() {
            problems.push("mqtt.listen is empty: no price could ever arrive".to_owned());
        }
        if !(PACKET_BYTES_LEAST..=PACKET_BYTES_MOST).contains(&self.packet_bytes_max) {
            problems.push("mqtt.packet_bytes_max must be from 1 KiB to 256 MiB".to_owned());
        }
        if !(TOPIC_BYTES_LEAST..=u64::from(u16::MAX)).contains(&self.topic_bytes_max) {
            problems.push("mqtt.topic_bytes_max must be from 256 to 65535".to_owned());
        }
        if self.payload_bytes_max > self.packet_bytes_max {
            problems.push(
                "mqtt.payload_bytes_max must be at most mqtt.packet_bytes_max, which holds it"
                    .to_owned(),
            );
        }
        if self.queue_bytes_max < self.packet_bytes_max {
            problems.push(
                "mqtt.queue_bytes_max must be at least mqtt.packet_bytes_max, or the largest \
                 message could not be delivered"
                    .to_owned(),
            );
        }
        for (key, value) in [
            ("mqtt.connections_max", self.connections_max),
            (
                "mqtt.connections_per_address_max",
                self.connections_per_address_max,
            ),
            (
                "mqtt.connections_per_user_max",
                self.connections_per_user_max,
            ),
            ("mqtt.inflight_max", u32::from(self.inflight_max)),
            ("mqtt.window_max", u32::from(self.window_max)),
            ("mqtt.publish_burst", self.publish_burst),
            ("mqtt.queue_messages_max", self.queue_messages_max),
            ("mqtt.subscriptions_max", self.subscriptions_max),
            ("mqtt.filters_max", self.filters_max),
            ("mqtt.shared_groups_max", self.shared_groups_max),
            ("mqtt.retained_max", self.retained_max),
            ("mqtt.retained_per_client_max", self.retained_per_client_max),
            ("mqtt.sessions_max", self.sessions_max),
            ("mqtt.router.segment_count", self.router.segment_count),
        ] {
            check_positive(key, u64::from(value), problems);
        }
        for (key, value) in [
            ("mqtt.connect_timeout", self.connect_timeout),
            ("mqtt.handshake_timeout", self.handshake_timeout),
            ("mqtt.write_timeout", self.write_timeout),
            ("mqtt.idle_timeout", self.idle_timeout),
        ] {
            if value.is_zero() {
                problems.push(format!("{key} must be longer than 0"));
            }
        }
        if !(1..=KEEP_ALIVE_SECS_MOST).contains(&self.keep_alive_max.as_secs()) {
            problems.push("mqtt.keep_alive_max must be from 1s to 65535s".to_owned());
        }
        if self.router.segment_bytes < ROUTER_SEGMENT_BYTES_LEAST {
            problems.push("mqtt.router.segment_bytes must be at least 1 KiB".to_owned());
        }
    }
}

/// How much the router keeps for subscribers that lag behind, per topic filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Router {
    /// Bytes in one segment.
    #[serde(with = "super::units::size")]
    pub segment_bytes: u64,
    /// Segments per filter.
    pub segment_count: u32,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 20,
            segment_count: 4,
        }
    }
}
