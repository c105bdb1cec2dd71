//! Any packet after CONNECT, as the connection's `match` sees it.

use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::{Property, v5_0};

use super::connect::session_expiry;
use super::frame::Frame;
use super::publish::{self, Publish};
use super::reader::Reader;
use super::subscribe::{self, Subscribe, Unsubscribe};
use super::{Version, Violation};

/// A packet that a client may send once it is connected.
#[derive(Debug, Clone)]
pub enum Packet {
    /// A message.
    Publish(Publish),
    /// The client has our QoS 1 message of this id.
    PubAck(u16),
    /// The client has our QoS 2 message of this id, or with true refuses it.
    PubRec(u16, bool),
    /// The client will not send its QoS 2 message of this id again.
    PubRel(u16),
    /// The client has forgotten our QoS 2 message of this id.
    PubComp(u16),
    /// New subscriptions.
    Subscribe(Subscribe),
    /// Subscriptions given up.
    Unsubscribe(Unsubscribe),
    /// A sign of life.
    PingReq,
    /// The end.
    Disconnect(Disconnect),
}

/// A DISCONNECT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disconnect {
    /// The will is to be published all the same.
    pub with_will: bool,
    /// A new session expiry.
    pub session_expiry: Option<Duration>,
}

/// Reads a packet.
///
/// # Errors
/// When it breaks the protocol, as a second CONNECT or a packet only servers send does.
pub fn decode(frame: Frame, version: Version) -> Result<Packet, Violation> {
    let required_flags = match frame.kind() {
        3 => frame.flags(),
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if frame.flags() != required_flags {
        return Err(Violation::MALFORMED);
    }
    match frame.kind() {
        3 => publish::decode(frame, version).map(Packet::Publish),
        4 => acknowledged(frame, version).map(|(id, _)| Packet::PubAck(id)),
        5 => acknowledged(frame, version).map(|(id, code)| Packet::PubRec(id, code >= 0x80)),
        6 => acknowledged(frame, version).map(|(id, _)| Packet::PubRel(id)),
        7 => acknowledged(frame, version).map(|(id, _)| Packet::PubComp(id)),
        8 => subscribe::subscribe(&frame.body, version).map(Packet::Subscribe),
        10 => subscribe::unsubscribe(&frame.body, version).map(Packet::Unsubscribe),
        12 if frame.body.is_empty() => Ok(Packet::PingReq),
        12 => Err(Violation::MALFORMED),
        14 => disconnect(&frame, version).map(Packet::Disconnect),
        _ => Err(Violation::PROTOCOL),
    }
}

/// The packet id of PUBACK, PUBREC, PUBREL or PUBCOMP, and its reason code. Their properties say
/// nothing we act on.
fn acknowledged(frame: Frame, version: Version) -> Result<(u16, u8), Violation> {
    let mut reader = Reader(frame.body);
    let id = reader.packet_id()?;
    match version {
        Version::V4 if !reader.0.is_empty() => Err(Violation::MALFORMED),
        Version::V5 if !reader.0.is_empty() => {
            let code = reader.u8()?;
            if !reader.0.is_empty() {
                let len = reader.length()?;
                if reader.0.len() != len {
                    return Err(Violation::MALFORMED);
                }
            }
            Ok((id, code))
        }
        Version::V4 | Version::V5 => Ok((id, 0)),
    }
}

fn disconnect(frame: &Frame, version: Version) -> Result<Disconnect, Violation> {
    match version {
        Version::V4 if frame.body.is_empty() => Ok(Disconnect::default()),
        Version::V4 => Err(Violation::MALFORMED),
        Version::V5 => {
            let code = frame.body.first().copied().unwrap_or_default();
            if frame.body.len() < 2 {
                return Ok(Disconnect {
                    with_will: code != 0,
                    session_expiry: None,
                });
            }
            let (packet, _) = v5_0::Disconnect::parse(&frame.body)?;
            let mut expiry = None;
            for property in packet.props().iter().flatten() {
                if let Property::SessionExpiryInterval(interval) = property {
                    expiry = Some(session_expiry(interval.val()));
                }
            }
            Ok(Disconnect {
                with_will: code != 0,
                session_expiry: expiry,
            })
        }
    }
}
