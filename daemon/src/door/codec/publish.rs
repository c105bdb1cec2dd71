//! PUBLISH on its way in: slices of the read buffer, properties looked at once.

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::Frame;
use super::reader::Reader;
use super::{Version, Violation};
use crate::door::envelope::Qos;

/// A PUBLISH packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Sent before, says the sender.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// To be kept for later subscribers.
    pub retain: bool,
    /// The topic as bytes, not yet validated; empty when an alias stands for it.
    pub topic: Bytes,
    /// 0 at QoS 0.
    pub packet_id: u16,
    /// What MQTT 5 adds.
    pub properties: Properties,
    /// The payload.
    pub payload: Bytes,
}

/// The properties of a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    /// The alias that stands for the topic, or is to stand for it.
    pub alias: Option<u16>,
    /// Message expiry in seconds, 0 for none.
    pub expiry_secs: u32,
    /// The payload is said to be UTF-8.
    pub is_text: bool,
    /// Where a reply is wanted.
    pub response_topic: Option<Bytes>,
    /// What the reply is to carry.
    pub correlation: Option<Bytes>,
    /// Those that subscribers get, encoded.
    pub forwarded: Bytes,
}

/// Reads a PUBLISH.
///
/// # Errors
/// When it breaks the protocol.
pub fn decode(frame: Frame, version: Version) -> Result<Publish, Violation> {
    let flags = frame.flags();
    let qos = Qos::from_bits((flags >> 1) & 3).ok_or(Violation::MALFORMED)?;
    if qos == Qos::AtMostOnce && flags & 8 != 0 {
        return Err(Violation::MALFORMED);
    }
    let mut reader = Reader(frame.body);
    let topic = reader.binary()?;
    let packet_id = if qos == Qos::AtMostOnce {
        0
    } else {
        reader.packet_id()?
    };
    let properties = match version {
        Version::V4 => Properties::default(),
        Version::V5 => {
            let len = reader.length()?;
            if len == 0 {
                Properties::default()
            } else {
                properties(reader.take(len)?)?
            }
        }
    };
    Ok(Publish {
        dup: flags & 8 != 0,
        qos,
        retain: flags & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: reader.0,
    })
}

/// Reads the properties; each but the user property may come once.
fn properties(encoded: Bytes) -> Result<Properties, Violation> {
    let mut found = Properties::default();
    let mut forwarded = BytesMut::with_capacity(encoded.len());
    let mut seen = 0u64;
    let mut reader = Reader(encoded);
    while !reader.0.is_empty() {
        let start = reader.0.clone();
        let id = reader.u8()?;
        let mut forward = true;
        match id {
            0x01 => {
                found.is_text = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Violation::PROTOCOL),
                };
            }
            0x02 => {
                found.expiry_secs = reader.u32()?;
                forward = false;
            }
            0x03 => drop(reader.text()?),
            0x08 => found.response_topic = Some(response_topic(reader.text()?)?),
            0x09 => found.correlation = Some(reader.binary()?),
            0x23 => {
                found.alias = Some(reader.u16()?);
                forward = false;
            }
            0x26 => {
                reader.text()?;
                reader.text()?;
            }
            // A subscription identifier may not come from a client; the rest is unknown here.
            _ => return Err(Violation::PROTOCOL),
        }
        if id != 0x26 && seen & (1 << id) != 0 {
            return Err(Violation::PROTOCOL);
        }
        seen |= 1 << id;
        if forward {
            forwarded.put_slice(&start[..start.len() - reader.0.len()]);
        }
    }
    found.forwarded = forwarded.freeze();
    Ok(found)
}

/// A topic for responses has no wildcards (MQTT 5 §3.3.2.3.5).
fn response_topic(topic: Bytes) -> Result<Bytes, Violation> {
    if topic.is_empty() || topic.iter().any(|byte| matches!(byte, b'+' | b'#')) {
        Err(Violation::PROTOCOL)
    } else {
        Ok(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(first: u8, body: &[u8], version: Version) -> Result<Publish, Violation> {
        decode(
            Frame {
                first,
                body: Bytes::copy_from_slice(body),
            },
            version,
        )
    }

    #[test]
    fn publishes_are_read() {
        let publish = read(0x3b, b"\x00\x01t\x00\x07x", Version::V4).unwrap();
        assert!(publish.dup && publish.retain);
        assert_eq!((publish.packet_id, &publish.payload[..]), (7, &b"x"[..]));
        let publish = read(
            0x30,
            b"\x00\x01t\x0e\x02\x00\x00\x00\x09\x23\x00\x02\x26\x00\x00\x00\x01bx",
            Version::V5,
        );
        let publish = publish.unwrap();
        assert_eq!(publish.properties.expiry_secs, 9);
        assert_eq!(publish.properties.alias, Some(2));
        assert_eq!(&publish.properties.forwarded[..], b"\x26\x00\x00\x00\x01b");
        assert_eq!(&publish.payload[..], b"x");
    }

    #[test]
    fn broken_publishes_are_refused() {
        let check = |first, body: &[u8], version, expected| {
            assert_eq!(
                read(first, body, version).map(drop),
                Err(expected),
                "{body:?}"
            );
        };
        check(
            0x36,
            b"\x00\x01t\x00\x07",
            Version::V4,
            Violation::MALFORMED,
        );
        check(
            0x32,
            b"\x00\x01t\x00\x00",
            Version::V4,
            Violation::MALFORMED,
        );
        check(0x32, b"\x00\x01t", Version::V4, Violation::MALFORMED);
        check(0x38, b"\x00\x01t", Version::V4, Violation::MALFORMED);
        check(
            0x30,
            b"\x00\x01t\x04\x08\x00\x01#",
            Version::V5,
            Violation::PROTOCOL,
        );
        check(0x30, b"\x00\x09t", Version::V4, Violation::MALFORMED);
        check(0x30, b"", Version::V4, Violation::MALFORMED);
        check(0x30, b"\x00\x01t", Version::V5, Violation::MALFORMED);
        check(
            0x30,
            b"\x00\x01t\x05\x01\x01",
            Version::V5,
            Violation::MALFORMED,
        );
        check(
            0x30,
            b"\x00\x01t\x02\x01\x02",
            Version::V5,
            Violation::PROTOCOL,
        );
        check(
            0x30,
            b"\x00\x01t\x04\x01\x01\x01\x01",
            Version::V5,
            Violation::PROTOCOL,
        );
        check(
            0x30,
            b"\x00\x01t\x02\x0b\x01",
            Version::V5,
            Violation::PROTOCOL,
        );
        check(0x30, b"\x00\x01t\x01\xff", Version::V5, Violation::PROTOCOL);
        check(
            0x30,
            b"\x00\x01t\xff\xff\xff\xff\xff",
            Version::V5,
            Violation::MALFORMED,
        );
    }
}
