//! MQTT 3.1.1 and 5 as bytes.
//!
//! Packets that come once in a connection's life are decoded by `mqtt-protocol-core`, behind the
//! checks it leaves out ([`connect`], [`subscribe`]). PUBLISH and the acknowledgements, which come
//! a million times, are decoded in place ([`publish`], [`packet`]) and encoded straight into the
//! write buffer ([`encode`]). Nothing here panics, and no length is believed before it is checked.

use mqtt_protocol_core::mqtt::result_code::MqttError;

pub mod connect;
pub mod encode;
pub mod frame;
pub mod packet;
pub mod publish;
pub mod reader;
pub mod subscribe;

/// The two versions that share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V4,
    /// MQTT 5.
    V5,
}

/// Why a packet ends its connection: the reason code that MQTT 5 clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("protocol violation {0:#04x}")]
pub struct Violation(pub u8);

impl Violation {
    /// The packet cannot be read.
    pub const MALFORMED: Self = Self(0x81);
    /// The packet is readable and not allowed here.
    pub const PROTOCOL: Self = Self(0x82);
    /// A topic that the client may not write, where it is not to be kept for that.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// The topic of a PUBLISH holds a wildcard, NUL or nothing.
    pub const TOPIC_NAME: Self = Self(0x90);
    /// More QoS 1 and 2 messages on their way than CONNACK allowed.
    pub const RECEIVE_MAXIMUM: Self = Self(0x93);
    /// The topic alias is 0 or above what CONNACK allowed.
    pub const TOPIC_ALIAS: Self = Self(0x94);
    /// More than a client may have, where nothing smaller than the connection can be refused.
    pub const QUOTA: Self = Self(0x97);
    /// The packet is larger than CONNACK allowed.
    pub const TOO_LARGE: Self = Self(0x95);
}

impl From<MqttError> for Violation {
    fn from(error: MqttError) -> Self {
        if error == MqttError::ProtocolError {
            Self::PROTOCOL
        } else {
            Self::MALFORMED
        }
    }
}
