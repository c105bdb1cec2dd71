//! SUBSCRIBE and UNSUBSCRIBE of both versions.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Property, RetainHandling, SubEntry, v3_1_1, v5_0};

use super::{Version, Violation};
use crate::door::envelope::Qos;

/// A SUBSCRIBE packet.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// For its SUBACK.
    pub packet_id: u16,
    /// MQTT 5's number for all of them.
    pub identifier: Option<u32>,
    /// The filters with their options, in their order; not validated.
    pub entries: Vec<Entry>,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The filter.
    pub filter: Box<str>,
    /// The highest QoS wanted.
    pub qos: Qos,
    /// Not my own messages.
    pub no_local: bool,
    /// Keep the publisher's retain flag.
    pub retain_as_published: bool,
    /// When retained messages are wanted.
    pub retain_handling: Retain,
}

/// When a SUBSCRIBE brings the retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// Each time.
    Send,
    /// When the filter is new.
    SendIfNew,
    /// Never.
    Keep,
}

/// An UNSUBSCRIBE packet.
#[derive(Debug, Clone)]
pub struct Unsubscribe {
    /// For its UNSUBACK.
    pub packet_id: u16,
    /// The filters.
    pub filters: Vec<Box<str>>,
}

/// Reads the body of a SUBSCRIBE.
///
/// # Errors
/// When it breaks the protocol.
pub fn subscribe(body: &Bytes, version: Version) -> Result<Subscribe, Violation> {
    let (packet_id, identifier, entries) = match version {
        Version::V4 => {
            let (packet, _) = v3_1_1::Subscribe::parse(body)?;
            (
                packet.packet_id(),
                None,
                read_entries(packet.entries(), version)?,
            )
        }
        Version::V5 => {
            let (packet, _) = v5_0::Subscribe::parse(body)?;
            let mut identifier = None;
            for property in packet.props() {
                if let Property::SubscriptionIdentifier(id) = property
                    && identifier.replace(id.val()).is_some()
                {
                    // §3.8.2.1.2: one for all the filters of a packet.
                    return Err(Violation::PROTOCOL);
                }
            }
            (
                packet.packet_id(),
                identifier,
                read_entries(packet.entries(), version)?,
            )
        }
    };
    if packet_id == 0 || identifier == Some(0) {
        return Err(Violation::PROTOCOL);
    }
    Ok(Subscribe {
        packet_id,
        identifier,
        entries,
    })
}

fn read_entries(entries: &[SubEntry], version: Version) -> Result<Vec<Entry>, Violation> {
    entries
        .iter()
        .map(|entry| {
            let options = entry.sub_opts();
            let bits = options.to_buffer()[0];
            // All but the QoS is reserved in 3.1.1.
            if version == Version::V4 && bits > 3 {
                return Err(Violation::MALFORMED);
            }
            let qos = Qos::from_bits(bits & 3).ok_or(Violation::MALFORMED)?;
            Ok(Entry {
                filter: entry.topic_filter().into(),
                qos,
                no_local: options.nl(),
                retain_as_published: options.rap(),
                retain_handling: match options.rh() {
                    RetainHandling::SendRetained => Retain::Send,
                    RetainHandling::SendRetainedIfNotExists => Retain::SendIfNew,
                    RetainHandling::DoNotSendRetained => Retain::Keep,
                },
            })
        })
        .collect()
}

/// Reads the body of an UNSUBSCRIBE.
///
/// # Errors
/// When it breaks the protocol.
pub fn unsubscribe(body: &Bytes, version: Version) -> Result<Unsubscribe, Violation> {
    let (packet_id, filters): (u16, Vec<Box<str>>) = match version {
        Version::V4 => {
            let (packet, _) = v3_1_1::Unsubscribe::parse(body)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().into());
            (packet.packet_id(), filters.collect())
        }
        Version::V5 => {
            let (packet, _) = v5_0::Unsubscribe::parse(body)?;
            let filters = packet.entries().iter().map(|filter| filter.as_str().into());
            (packet.packet_id(), filters.collect())
        }
    };
    if packet_id == 0 || filters.is_empty() {
        return Err(Violation::PROTOCOL);
    }
    Ok(Unsubscribe { packet_id, filters })
}
