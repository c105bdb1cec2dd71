//! CONNECT of both versions as one type.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};

use super::reader::text_is_valid;
use super::{Version, Violation};
use crate::door::envelope::Qos;

/// A CONNECT packet.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The version the client speaks.
    pub version: Version,
    /// The client id; empty when the client wants one.
    pub client_id: Box<str>,
    /// No state of an earlier session is wanted.
    pub clean_start: bool,
    /// How long the session outlives its connection; the longest for 3.1.1 without clean session.
    pub session_expiry: Duration,
    /// The longest silence the client promises; zero for any.
    pub keep_alive: Duration,
    /// QoS 1 and 2 messages the client takes at once.
    pub receive_max: u16,
    /// The largest packet the client takes.
    pub packet_bytes_max: usize,
    /// Topic aliases the client lets us set.
    pub topic_aliases_max: u16,
    /// Whether acknowledgements may say in words what was wrong.
    pub wants_reasons: bool,
    /// Whether the client asks where its responses will come.
    pub wants_response_information: bool,
    /// The user name.
    pub user: Option<Box<str>>,
    /// The password.
    pub password: Option<Bytes>,
    /// What to publish when the connection ends without a DISCONNECT.
    pub will: Option<Will>,
}

/// A will.
#[derive(Debug, Clone)]
pub struct Will {
    /// Its topic.
    pub topic: Box<str>,
    /// Its payload.
    pub payload: Bytes,
    /// Its QoS.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// How long to wait whether the client comes back.
    pub delay: Duration,
    /// Message expiry in seconds, 0 for none.
    pub expiry_secs: u32,
    /// Encoded MQTT 5 properties to be forwarded.
    pub properties: Bytes,
}

/// Why a first packet is not the CONNECT of a client we serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A version other than 3.1.1 and 5: answered, then closed.
    ProtocolLevel(u8),
    /// Not readable by a client of this version.
    Violation(Version, Violation),
    /// Not MQTT: closed without an answer.
    NotMqtt,
}

/// Reads the body of a CONNECT packet.
///
/// # Errors
/// Why it is none of ours.
pub fn decode(body: &[u8]) -> Result<Connect, Refused> {
    let level = match body {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] => *level,
        // MQTT 3.1 named itself so.
        [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => {
            return Err(Refused::ProtocolLevel(*level));
        }
        _ => return Err(Refused::NotMqtt),
    };
    let version = match level {
        4 => Version::V4,
        5 => Version::V5,
        other => return Err(Refused::ProtocolLevel(other)),
    };
    let decoded = check_flags(body).and_then(|()| match version {
        Version::V4 => decode_v4(body),
        Version::V5 => decode_v5(body),
    });
    decoded
        .and_then(check_texts)
        .map_err(|violation| Refused::Violation(version, violation))
}

/// What `mqtt-protocol-core` does not look at: the reserved bit, a will QoS of 3, will flags
/// without a will, and in 3.1.1 a password without a user.
fn check_flags(body: &[u8]) -> Result<(), Violation> {
    let flags = *body.get(7).ok_or(Violation::MALFORMED)?;
    let will = flags & 0b100 != 0;
    let will_details = flags & 0b11_1000;
    let version_4 = body.get(6) == Some(&4);
    let fits = flags & 1 == 0
        && (flags >> 3) & 3 != 3
        && (will || will_details == 0)
        && !(version_4 && is_password_alone(body));
    if fits {
        Ok(())
    } else {
        Err(Violation::MALFORMED)
    }
}

/// The flags of CONNECT that say that a user and a password follow.
const USER: u8 = 0b1000_0000;
const PASSWORD: u8 = 0b0100_0000;

/// Whether a password comes without a user, as MQTT 5 has it for tokens (§3.1.2.9).
fn is_password_alone(body: &[u8]) -> bool {
    body.get(7)
        .is_some_and(|flags| flags & (USER | PASSWORD) == PASSWORD)
}

/// Binary data with its length in front, and nothing behind it.
fn whole_binary(bytes: &[u8]) -> Result<&[u8], Violation> {
    let (len, data) = bytes.split_first_chunk().ok_or(Violation::MALFORMED)?;
    if usize::from(u16::from_be_bytes(*len)) == data.len() {
        Ok(data)
    } else {
        Err(Violation::MALFORMED)
    }
}

/// NUL is valid UTF-8 and forbidden in MQTT.
fn check_texts(connect: Connect) -> Result<Connect, Violation> {
    let user = connect.user.as_deref().unwrap_or_default();
    let will_topic = connect.will.as_ref().map_or("w", |will| &will.topic);
    if !text_is_valid(connect.client_id.as_bytes()) || !text_is_valid(user.as_bytes()) {
        return Err(Violation::MALFORMED);
    }
    if !divisor_wire::topic::topic_is_valid(will_topic) {
        return Err(Violation::TOPIC_NAME);
    }
    Ok(connect)
}

fn decode_v4(body: &[u8]) -> Result<Connect, Violation> {
    let (packet, read) = v3_1_1::Connect::parse(body)?;
    if read != body.len() {
        return Err(Violation::MALFORMED);
    }
    let will = match (packet.will_topic(), packet.will_payload()) {
        (Some(topic), Some(payload)) => Some(Will {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            qos: will_qos(body),
            retain: packet.will_retain(),
            delay: Duration::ZERO,
            expiry_secs: 0,
            properties: Bytes::new(),
        }),
        _ => None,
    };
    Ok(Connect {
        version: Version::V4,
        client_id: packet.client_id().into(),
        clean_start: packet.clean_session(),
        session_expiry: if packet.clean_session() {
            Duration::ZERO
        } else {
            Duration::MAX
        },
        keep_alive: Duration::from_secs(packet.keep_alive().into()),
        receive_max: u16::MAX,
        packet_bytes_max: usize::MAX,
        topic_aliases_max: 0,
        wants_reasons: false,
        wants_response_information: false,
        user: packet.user_name().map(Into::into),
        password: packet.password().map(Bytes::copy_from_slice),
        will,
    })
}

fn decode_v5(body: &[u8]) -> Result<Connect, Violation> {
    // `mqtt-protocol-core` takes no password without a user, as 3.1.1 has it. So it is shown none,
    // and what it has not read is the password.
    let alone = is_password_alone(body);
    let mut shown = Cow::Borrowed(body);
    if alone && let Some(flags) = shown.to_mut().get_mut(7) {
        *flags &= !PASSWORD;
    }
    let (packet, read) = v5_0::Connect::parse(&shown)?;
    let password = match body.get(read..) {
        Some(rest) if alone => Some(whole_binary(rest)?),
        Some([]) => packet.password(),
        _ => return Err(Violation::MALFORMED),
    };
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().into(),
        clean_start: packet.clean_start(),
        session_expiry: Duration::ZERO,
        keep_alive: Duration::from_secs(packet.keep_alive().into()),
        receive_max: u16::MAX,
        packet_bytes_max: usize::MAX,
        topic_aliases_max: 0,
        wants_reasons: true,
        wants_response_information: false,
        user: packet.user_name().map(Into::into),
        password: password.map(Bytes::copy_from_slice),
        will: None,
    };
    for property in packet.props() {
        if let Property::SessionExpiryInterval(expiry) = property {
            connect.session_expiry = session_expiry(expiry.val());
        } else if let Property::ReceiveMaximum(max) = property {
            connect.receive_max = max.val();
        } else if let Property::MaximumPacketSize(max) = property {
            connect.packet_bytes_max = max.val() as usize;
        } else if let Property::TopicAliasMaximum(max) = property {
            connect.topic_aliases_max = max.val();
        } else if let Property::RequestProblemInformation(wanted) = property {
            connect.wants_reasons = wanted.val() != 0;
        } else if let Property::RequestResponseInformation(wanted) = property {
            connect.wants_response_information = wanted.val() != 0;
        } else if let Property::AuthenticationMethod(_) = property {
            return Err(Violation(0x8c));
        }
    }
    if connect.receive_max == 0 || connect.packet_bytes_max == 0 {
        return Err(Violation::PROTOCOL);
    }
    if let (Some(topic), Some(payload)) = (packet.will_topic(), packet.will_payload()) {
        let mut will = Will {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload),
            qos: will_qos(body),
            retain: packet.will_retain(),
            delay: Duration::ZERO,
            expiry_secs: 0,
            properties: Bytes::new(),
        };
        will_properties(&mut will, packet.will_props());
        connect.will = Some(will);
    }
    Ok(connect)
}

/// Two bits that [`check_flags`] has seen.
fn will_qos(body: &[u8]) -> Qos {
    body.get(7)
        .and_then(|flags| Qos::from_bits((flags >> 3) & 3))
        .unwrap_or_default()
}

fn will_properties(will: &mut Will, properties: &[Property]) {
    let mut forwarded = BytesMut::new();
    for property in properties {
        if let Property::WillDelayInterval(delay) = property {
            will.delay = Duration::from_secs(delay.val().into());
        } else if let Property::MessageExpiryInterval(expiry) = property {
            will.expiry_secs = expiry.val();
        } else {
            forwarded.put_slice(&property.to_continuous_buffer());
        }
    }
    will.properties = forwarded.freeze();
}

/// All ones means "for ever".
pub(super) fn session_expiry(seconds: u32) -> Duration {
    if seconds == u32::MAX {
        Duration::MAX
    } else {
        Duration::from_secs(seconds.into())
    }
}
