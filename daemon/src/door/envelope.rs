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
//! | 2 | length of the topic, 0 where the router has it |
//! | n | MQTT 5 properties as they are forwarded |
//! | n | the topic |
//!
//! The topic gets one level of ours in front. The router cuts `topic[..1]` without asking whether
//! a character ends there, and hides topics that begin with `$`; behind `d/` neither can happen.
//!
//! The router remembers every topic that a filter has matched, and keeps a log for every filter,
//! both for ever. Replies and rejections have a topic for each request or client and would fill it,
//! so the router sees one topic and one filter for all of a kind ([`FAMILIES`]); each session picks
//! its own messages anyway.

use bytes::{BufMut, Bytes, BytesMut};

const HEAD: usize = 27;
const PREFIX: &str = "d/";

/// The first two levels of topics that come without end.
const FAMILIES: [[&str; 2]; 2] = [["divisor", "reply"], ["divisor", "rejected"]];

/// The third level that the router sees of all of them.
const ANY: &str = "-";
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
        let family = family(&self.topic);
        let mut topic = BytesMut::with_capacity(PREFIX.len() + self.topic.len());
        topic.put_slice(PREFIX.as_bytes());
        let own: &[u8] = if let Some([first, second]) = family {
            topic.put_slice(format!("{first}/{second}/{ANY}").as_bytes());
            &self.topic
        } else {
            topic.put_slice(&self.topic);
            &[]
        };
        let len = HEAD + self.properties.len() + own.len() + self.payload.len();
        let mut body = BytesMut::with_capacity(len);
        body.put_u64(self.version);
        body.put_u64(self.origin);
        body.put_u8(self.qos as u8 | if self.retain { RETAIN } else { 0 });
        body.put_u32(self.expiry_secs);
        // Properties come out of one packet and are far shorter than 2^32.
        body.put_u32(u32::try_from(self.properties.len()).unwrap_or(0));
        // A topic is at most 65,535 bytes.
        body.put_u16(u16::try_from(own.len()).unwrap_or(0));
        body.put_slice(&self.properties);
        body.put_slice(own);
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
            t0,
            t1,
        ] = *head;
        let properties_len = u32::from_be_bytes([p0, p1, p2, p3]) as usize;
        let topic_len = usize::from(u16::from_be_bytes([t0, t1]));
        let topic_at = HEAD.checked_add(properties_len)?;
        let payload_at = topic_at.checked_add(topic_len)?;
        if !topic.starts_with(PREFIX.as_bytes()) || payload_at > body.len() {
            return None;
        }
        Some(Self {
            version: u64::from_be_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            origin: u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            qos: Qos::from_bits(flags & 3)?,
            retain: flags & RETAIN != 0,
            expiry_secs: u32::from_be_bytes([e0, e1, e2, e3]),
            properties: body.slice(HEAD..topic_at),
            topic: if topic_len == 0 {
                topic.slice(PREFIX.len()..)
            } else {
                body.slice(topic_at..payload_at)
            },
            payload: body.slice(payload_at..),
        })
    }
}

/// A filter of the router that matches all that a client's filter matches, and may match more.
#[must_use]
pub fn router_filter(filter: &str) -> String {
    let mut levels = filter.splitn(3, '/');
    if let (Some(first), Some(second), Some(_)) = (levels.next(), levels.next(), levels.next())
        && FAMILIES
            .iter()
            .any(|[a, b]| matches(first, a) && matches(second, b))
    {
        return format!("{PREFIX}{first}/{second}/#");
    }
    format!("{PREFIX}{filter}")
}

/// True where a level of a filter matches a level of a topic.
fn matches(filter: &str, level: &str) -> bool {
    filter == "+" || filter == level
}

/// The family that a topic is of.
fn family(topic: &[u8]) -> Option<[&'static str; 2]> {
    let mut levels = topic.splitn(3, |byte| *byte == b'/');
    let (first, second) = (levels.next()?, levels.next()?);
    levels.next()?;
    let is = |family: &&[&str; 2]| (first, second) == (family[0].as_bytes(), family[1].as_bytes());
    FAMILIES.iter().find(is).copied()
}

#[cfg(test)]
mod tests {
    use divisor_wire::topic::filter_matches;

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

    #[test]
    fn the_router_sees_one_topic_for_all_replies() {
        let seal = |topic: &str| {
            let message = Message {
                version: 1,
                origin: 0,
                qos: Qos::AtLeastOnce,
                retain: false,
                expiry_secs: 0,
                properties: Bytes::from_static(b"\x01\x01"),
                topic: Bytes::from(topic.to_owned()),
                payload: Bytes::from_static(b"{}"),
            };
            let (topic, body) = message.seal();
            assert_eq!(Message::open(&topic, &body), Some(message));
            String::from_utf8(topic.to_vec()).unwrap()
        };
        assert_eq!(seal("divisor/reply/me/1"), seal("divisor/reply/you/2/3"));
        assert_eq!(seal("divisor/rejected/a"), seal("divisor/rejected/b"));
        for own in [
            "divisor/reply",
            "divisor/status",
            "indexes/reply/level",
            "divisor/replies/a",
        ] {
            assert_eq!(seal(own), format!("d/{own}"));
        }
        for (filter, expected) in [
            ("divisor/reply/me/+", "d/divisor/reply/#"),
            ("divisor/+/me/#", "d/divisor/+/#"),
            ("+/+/level", "d/+/+/#"),
            ("#", "d/#"),
            ("divisor/#", "d/divisor/#"),
            ("divisor/reply", "d/divisor/reply"),
            ("indexes/+/level", "d/indexes/+/level"),
        ] {
            assert_eq!(router_filter(filter), expected);
        }
    }

    /// Whatever a client's filter matches, the router's lets through.
    #[test]
    fn no_filter_loses_a_topic() {
        let levels = ["divisor", "reply", "rejected", "a", "+", "#"];
        let mut words = vec![String::new()];
        for _ in 0..4 {
            let longer = |word: &String| levels.map(|level| format!("{word}/{level}"));
            let next: Vec<String> = words.iter().flat_map(longer).collect();
            words.extend(next);
            words.sort_unstable();
            words.dedup();
        }
        let words: Vec<&str> = words
            .iter()
            .filter_map(|word| word.strip_prefix('/'))
            .collect();
        let ends = |word: &&str| !word.contains("#/");
        for filter in words.iter().copied().filter(ends) {
            let routed = router_filter(filter);
            for topic in words.iter().filter(|word| !word.contains(['+', '#'])) {
                let seen = match family(topic.as_bytes()) {
                    Some([a, b]) => format!("d/{a}/{b}/{ANY}"),
                    None => format!("d/{topic}"),
                };
                let lost = filter_matches(filter, topic) && !filter_matches(&routed, &seen);
                assert!(!lost, "{filter} as {routed}, {topic} as {seen}");
            }
        }
    }
}
