//! The limits of the door. Every queue and every table that a client can fill has its bound here.

use std::time::Duration;

/// The limits, with the defaults of the shipped configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The largest packet a client may send, counted as MQTT's remaining length.
    pub packet_bytes_max: usize,
    /// The longest payload of a message; a longer one is refused and its connection goes on.
    pub payload_bytes_max: usize,
    /// The longest topic or filter of a client.
    pub topic_bytes_max: usize,
    /// Connections at the same time, handshakes included.
    pub connections_max: usize,
    /// Connections at the same time from one address, handshakes included; an IPv6 /64 is one.
    pub connections_per_address_max: u32,
    /// Connections at the same time of one user.
    pub connections_per_user_max: u32,
    /// How long a stream may take from its first byte to a complete CONNECT.
    pub connect_timeout: Duration,
    /// How much of that the handshake of TLS may take, and that of WebSocket.
    pub handshake_timeout: Duration,
    /// How long a client may need for the bytes that wait for it.
    pub write_timeout: Duration,
    /// How long a client that promised no keep-alive may be silent in both directions.
    pub idle_timeout: Duration,
    /// The longest keep-alive; MQTT 5 clients are told, others keep what they asked for.
    pub keep_alive_max: Duration,
    /// Messages of one connection that the sequencer has and that are not durable yet. Beyond it
    /// the connection is not read.
    pub inflight_max: usize,
    /// Messages a second of one connection, 0 for no limit.
    pub publish_rate_max: u32,
    /// Messages that may come at once after a pause, where there is a limit.
    pub publish_burst: u32,
    /// Messages that wait for one subscriber; the oldest goes first.
    pub queue_messages_max: usize,
    /// Bytes that wait for one subscriber; the oldest goes first.
    pub queue_bytes_max: usize,
    /// QoS 1 and 2 messages on their way to one subscriber, where it does not ask for fewer.
    pub window_max: u16,
    /// Subscriptions of one client.
    pub subscriptions_max: usize,
    /// Distinct filters in the router. Each keeps a log for ever, so this times `segment_bytes`
    /// times `segments` bounds the router's memory. Further filters are served from one shared
    /// log of everything, which costs their subscriber time and nobody else anything.
    pub filters_max: usize,
    /// Groups of shared subscriptions; each takes a task and a link to the router.
    pub shared_groups_max: usize,
    /// Topics with a retained message.
    pub retained_max: usize,
    /// Those of them that one client, or one user where there are users, may fill.
    pub retained_per_client_max: usize,
    /// Ticks in one message.
    pub ticks_per_message_max: usize,
    /// Sessions that are kept without a connection.
    pub sessions_max: usize,
    /// How long a session without a connection is kept, whatever it asked for.
    pub session_expiry_max: Duration,
    /// MQTT 5 topic aliases that a client may set, and that we set where it allows them.
    pub topic_aliases_max: u16,
    /// Topics whose meaning a connection remembers.
    pub topic_cache_max: usize,
    /// Bytes of one segment of a router log.
    pub segment_bytes: usize,
    /// Segments of a router log.
    pub segments: usize,
    /// The origins of pages that may connect over WebSocket; `*` is every page.
    pub websocket_origins: Vec<String>,
    /// Whether a MQTT 3.1.1 client that publishes where it may not is disconnected; otherwise its
    /// message is acknowledged, dropped and reported.
    pub disconnect_denied: bool,
    /// How long connections may wait for receipts once the daemon stops.
    pub stop_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            packet_bytes_max: 256 * 1024,
            payload_bytes_max: 192 * 1024,
            topic_bytes_max: 1_024,
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            connections_per_user_max: 1_000,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3_600),
            keep_alive_max: Duration::from_secs(3_600),
            inflight_max: 4_096,
            publish_rate_max: 200_000,
            publish_burst: 200_000,
            queue_messages_max: 10_000,
            queue_bytes_max: 8 * 1024 * 1024,
            window_max: 100,
            subscriptions_max: 128,
            filters_max: 1_024,
            shared_groups_max: 256,
            retained_max: 100_000,
            retained_per_client_max: 1_000,
            ticks_per_message_max: 1_000,
            sessions_max: 10_000,
            session_expiry_max: Duration::from_secs(24 * 3_600),
            topic_aliases_max: 256,
            topic_cache_max: 4_096,
            segment_bytes: 256 * 1024,
            segments: 4,
            websocket_origins: Vec::new(),
            disconnect_denied: false,
            stop_grace: Duration::from_secs(5),
        }
    }
}
