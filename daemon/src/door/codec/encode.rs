//! Packets on their way out, straight into the write buffer.

use bytes::{BufMut, Bytes, BytesMut};

use super::Version;
use crate::door::envelope::Qos;

/// The first byte of PUBACK.
pub const PUBACK: u8 = 0x40;
/// The first byte of PUBREC.
pub const PUBREC: u8 = 0x50;
/// The first byte of PUBREL.
pub const PUBREL: u8 = 0x62;
/// The first byte of PUBCOMP.
pub const PUBCOMP: u8 = 0x70;

/// What a CONNACK says.
#[derive(Debug, Clone)]
pub struct ConnAck<'a> {
    /// An earlier session goes on.
    pub session_present: bool,
    /// How long the session is kept, when that is not what the client asked for.
    pub session_expiry_secs: Option<u32>,
    /// QoS 1 and 2 messages we take at once.
    pub receive_max: u16,
    /// The largest packet we take.
    pub packet_bytes_max: u32,
    /// The client id we gave.
    pub assigned_id: Option<&'a str>,
    /// Aliases we take.
    pub topic_aliases_max: u16,
    /// The keep-alive that holds, when it is not what the client asked for.
    pub keep_alive_secs: Option<u16>,
    /// Where responses to this client come, when it asked.
    pub response_information: Option<&'a str>,
}

/// CONNACK of a client that is let in.
pub fn connack(out: &mut BytesMut, version: Version, ack: &ConnAck<'_>) {
    let mut body = BytesMut::new();
    body.put_u8(u8::from(ack.session_present));
    body.put_u8(0);
    if version == Version::V5 {
        let mut properties = BytesMut::new();
        if let Some(expiry) = ack.session_expiry_secs {
            properties.put_u8(0x11);
            properties.put_u32(expiry);
        }
        properties.put_u8(0x21);
        properties.put_u16(ack.receive_max);
        properties.put_u8(0x27);
        properties.put_u32(ack.packet_bytes_max);
        if let Some(id) = ack.assigned_id {
            properties.put_u8(0x12);
            put_text(&mut properties, id.as_bytes());
        }
        properties.put_u8(0x22);
        properties.put_u16(ack.topic_aliases_max);
        if let Some(keep_alive) = ack.keep_alive_secs {
            properties.put_u8(0x13);
            properties.put_u16(keep_alive);
        }
        if let Some(information) = ack.response_information {
            properties.put_u8(0x1a);
            put_text(&mut properties, information.as_bytes());
        }
        put_length(&mut body, properties.len());
        body.put_slice(&properties);
    }
    put_packet(out, 0x20, &body);
}

/// CONNACK of a client that is not: the code of its version, and in MQTT 5 why in words.
pub fn connack_refused(out: &mut BytesMut, version: Version, code: u8, why: &str) {
    let mut body = BytesMut::new();
    body.put_slice(&[0, code]);
    if version == Version::V5 {
        put_reason(&mut body, why);
    }
    put_packet(out, 0x20, &body);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP; the reason only where it exists and says something.
pub fn acknowledge(out: &mut BytesMut, version: Version, first: u8, packet_id: u16, reason: u8) {
    let [high, low] = packet_id.to_be_bytes();
    if reason == 0 || version == Version::V4 {
        out.put_slice(&[first, 2, high, low]);
    } else {
        out.put_slice(&[first, 3, high, low, reason]);
    }
}

/// PUBACK or PUBREC of a refused message to an MQTT 5 client that wants to know why.
pub fn acknowledge_why(out: &mut BytesMut, first: u8, packet_id: u16, reason: u8, why: &str) {
    let mut body = BytesMut::new();
    body.put_u16(packet_id);
    body.put_u8(reason);
    put_reason(&mut body, why);
    put_packet(out, first, &body);
}

/// SUBACK with a code for each filter.
pub fn suback(out: &mut BytesMut, version: Version, packet_id: u16, codes: &[u8]) {
    let mut body = BytesMut::with_capacity(3 + codes.len());
    body.put_u16(packet_id);
    if version == Version::V5 {
        body.put_u8(0);
    }
    body.put_slice(codes);
    put_packet(out, 0x90, &body);
}

/// UNSUBACK; only MQTT 5 has a code for each filter.
pub fn unsuback(out: &mut BytesMut, version: Version, packet_id: u16, codes: &[u8]) {
    let mut body = BytesMut::with_capacity(3 + codes.len());
    body.put_u16(packet_id);
    if version == Version::V5 {
        body.put_u8(0);
        body.put_slice(codes);
    }
    put_packet(out, 0xb0, &body);
}

/// PINGRESP.
pub fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// DISCONNECT of the server, which 3.1.1 does not have.
pub fn disconnect(out: &mut BytesMut, version: Version, code: u8) {
    if version == Version::V5 {
        out.put_slice(&[0xe0, 1, code]);
    }
}

/// A PUBLISH to a subscriber.
#[derive(Debug)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// A stored message.
    pub retain: bool,
    /// The topic; left out where its alias is known.
    pub topic: &'a [u8],
    /// The alias that stands for the topic from now on, or already.
    pub alias: Option<u16>,
    /// Not used at QoS 0.
    pub packet_id: u16,
    /// Seconds the message is still worth delivering.
    pub expiry_secs: Option<u32>,
    /// The subscriptions that asked for it.
    pub identifiers: &'a [u32],
    /// Properties of the publisher, encoded.
    pub properties: &'a Bytes,
    /// The payload.
    pub payload: &'a [u8],
}

/// Writes a PUBLISH; false when it is larger than the client takes, and nothing is written.
pub fn publish(
    out: &mut BytesMut,
    version: Version,
    packet_bytes_max: usize,
    publish: &Publish<'_>,
) -> bool {
    let id_len = if publish.qos == Qos::AtMostOnce { 0 } else { 2 };
    let mut len = 2 + publish.topic.len() + id_len + publish.payload.len();
    let mut properties_len = 0;
    if version == Version::V5 {
        properties_len = publish.properties.len()
            + publish.expiry_secs.map_or(0, |_| 5)
            + publish.alias.map_or(0, |_| 3)
            + publish
                .identifiers
                .iter()
                .map(|id| 1 + length_len(*id as usize))
                .sum::<usize>();
        len += length_len(properties_len) + properties_len;
    }
    if 1 + length_len(len) + len > packet_bytes_max {
        return false;
    }
    out.reserve(5 + len);
    out.put_u8(
        0x30 | u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain),
    );
    put_length(out, len);
    put_text(out, publish.topic);
    if id_len > 0 {
        out.put_u16(publish.packet_id);
    }
    if version == Version::V5 {
        put_length(out, properties_len);
        if let Some(expiry) = publish.expiry_secs {
            out.put_u8(0x02);
            out.put_u32(expiry);
        }
        if let Some(alias) = publish.alias {
            out.put_u8(0x23);
            out.put_u16(alias);
        }
        for id in publish.identifiers {
            out.put_u8(0x0b);
            put_length(out, *id as usize);
        }
        out.put_slice(publish.properties);
    }
    out.put_slice(publish.payload);
    true
}

/// Properties that are nothing but a reason string.
fn put_reason(out: &mut BytesMut, why: &str) {
    put_length(out, 3 + why.len());
    out.put_u8(0x1f);
    put_text(out, why.as_bytes());
}

fn put_packet(out: &mut BytesMut, first: u8, body: &[u8]) {
    out.put_u8(first);
    put_length(out, body.len());
    out.put_slice(body);
}

/// A text that is known to fit its two-byte length: a topic or client id that came with one.
fn put_text(out: &mut BytesMut, text: &[u8]) {
    debug_assert!(text.len() <= usize::from(u16::MAX));
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text);
}

fn put_length(out: &mut BytesMut, mut len: usize) {
    while len > 0x7f {
        out.put_u8((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
}

const fn length_len(len: usize) -> usize {
    match len {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}
