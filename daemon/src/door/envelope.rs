//! The envelope in which a message travels through the router.
//!
//! rumqttd's local links carry a topic, a payload and nothing else that can be trusted: QoS is
//! rewritten, the retain flag would start a machinery that truncates and deletes (BROKER.md §1).
//! So everything a subscriber's session has to know stands in front of the payload:
//!
//! | bytes | |
//! |---|---|
//! | 8 | version: the number of the publish, rising over the whole exchange |
//! | 8 | origin: the connection that published, 0 for the daemon |
//! | 1 | the publisher's QoS, and bit 2 for its retain flag |
//! | 4 | message expiry in seconds, 0 for none |
//! | 4 | length of the properties |
//! | n | MQTT 5 properties as they are forwarded |
//!
//! The topic gets one level of ours in front. The router cuts `topic[..1]` without asking whether
//! a character ends there, and hides topics that begin with `$`; behind `d/` neither can happen.

use bytes::{BufMut, Bytes, BytesMut};

const HEAD: usize = 25;
const PREFIX: &str = "d/";
const RETAIN: u8 = 1 << 2;

/// The daemon as the origin of a message; connections count from 1.
pub const ORIGIN_DAEMON: u64 = 0;

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Qos {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level of a two-bit field; `None` for 3, which MQTT forbids.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A message with all that its delivery depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The number of the publish, rising over the whole exchange.
    pub version: u64,
    /// The connection that published it.
    pub origin: u64,
    /// The publisher's QoS.
    pub qos: Qos,
    /// The publisher's retain flag; set on a stored message too.
    pub retain: bool,
    /// Message expiry in seconds, 0 for none.
    pub expiry_secs: u32,
    /// Encoded MQTT 5 properties that are forwarded as they are.
    pub properties: Bytes,
    /// The topic, UTF-8.
    pub topic: Bytes,
    /// The payload.
    pub payload: Bytes,
}

impl Message {
    /// The topic and payload that the router sees.
    #[must_use]
    pub fn seal(&self) -> (Bytes, Bytes) {
        let mut topic = BytesMut::with_capacity(PREFIX.len() + self.topic.len());
        topic.put_slice(PREFIX.as_bytes());
        topic.put_slice(&self.topic);
        let mut body = BytesMut::with_capacity(HEAD + self.properties.len() + self.payload.len());
        body.put_u64(self.version);
        body.put_u64(self.origin);
        body.put_u8(self.qos as u8 | if self.retain { RETAIN } else { 0 });
        body.put_u32(self.expiry_secs);
        // Properties come out of one packet and are far shorter than 2^32.
        body.put_u32(u32::try_from(self.properties.len()).unwrap_or(0));
        body.put_slice(&self.properties);
        body.put_slice(&self.payload);
        (topic.freeze(), body.freeze())
    }

    /// The message from what the router gave; `None` for what is not ours.
    #[must_use]
    pub fn open(topic: &Bytes, body: &Bytes) -> Option<Self> {
        let head = body.first_chunk::<HEAD>()?;
        let [
            v0,
            v1,
            v2,
            v3,
            v4,
            v5,
            v6,
            v7,
            o0,
            o1,
            o2,
            o3,
            o4,
            o5,
            o6,
            o7,
            flags,
            e0,
            e1,
            e2,
            e3,
            p0,
            p1,
            p2,
            p3,
        ] = *head;
        let properties_len = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
        let payload_at = HEAD.checked_add(properties_len)?;
        if !topic.starts_with(PREFIX.as_bytes()) || payload_at > body.len() {
            return None;
        }
        Some(Self {
            version: u64::from_be_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            origin: u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            qos: Qos::from_bits(flags & 3)?,
            retain: flags & RETAIN != 0,
            expiry_secs: u32::from_be_bytes([e0, e1, e2, e3]),
            properties: body.slice(HEAD..payload_at),
            topic: topic.slice(PREFIX.len()..),
            payload: body.slice(payload_at..),
        })
    }
}

/// A client's filter as the router sees it.
#[must_use]
pub fn router_filter(filter: &str) -> String {
    format!("{PREFIX}{filter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_message_opens_to_itself() {
        let message = Message {
            version: 7 << 40,
            origin: 9,
            qos: Qos::ExactlyOnce,
            retain: true,
            expiry_secs: 60,
            properties: Bytes::from_static(b"\x01\x01"),
            topic: Bytes::from("é/x"),
            payload: Bytes::from_static(b"{}"),
        };
        let (topic, body) = message.seal();
        assert_eq!(Message::open(&topic, &body), Some(message));
        for cut in 0..HEAD + 2 {
            assert_eq!(Message::open(&topic, &body.slice(..cut)), None, "{cut}");
        }
        assert_eq!(Message::open(&Bytes::from_static(b"x/y"), &body), None);
    }
}
