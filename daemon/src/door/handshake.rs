//! The first packet: a client we serve, or a refusal in the client's own protocol.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Counters;
use super::codec::connect::{self, Connect, Refused};
use super::codec::encode;
use super::codec::{Version, Violation, frame};
use super::listener::Door;
use crate::access::{Credentials, Denied, Peer, Principal};
use crate::ingress::Client;

/// The longest client id. Percent-encoded in a topic it still leaves room for the levels around.
const CLIENT_ID_BYTES_MAX: usize = 1_024;

/// Room for an ordinary CONNECT; a longer one grows the buffer.
const CONNECT_BYTES: usize = 512;

/// Who is at the other end: the sender that the sequencer sees, and the rights that the door checks.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) client: Arc<Client>,
    pub(super) principal: Principal,
}

/// A client that is let in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) connect: Connect,
    pub(super) guest: Guest,
    /// The client id is ours.
    pub(super) assigned: bool,
}

/// Reads the CONNECT packet and answers it where it is refused; `None` then, and whenever the
/// stream ends first.
pub(super) async fn handshake<S>(
    stream: &mut S,
    buffer: &mut BytesMut,
    address: IpAddr,
    door: &Door,
    full: bool,
) -> Option<Admitted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let refusal = match read_connect(stream, buffer, door).await? {
        Ok(connect) if full => (connect.version, code(connect.version, 0x03, 0x89)),
        Ok(connect) => match admit(connect, address, door).await {
            Ok(admitted) => return Some(admitted),
            Err(refusal) => refusal,
        },
        Err(Refused::ProtocolLevel(level)) if level > 5 => (Version::V5, 0x84),
        Err(Refused::ProtocolLevel(_)) => (Version::V4, 0x01),
        Err(Refused::Violation(Version::V5, violation)) => (Version::V5, violation.0),
        // 3.1.1 has no code for these: the specification wants the stream closed.
        Err(Refused::Violation(Version::V4, _) | Refused::NotMqtt) => {
            Counters::add(&door.counters.protocol_errors);
            return None;
        }
    };
    Counters::add(&door.counters.refused_connections);
    let mut out = BytesMut::new();
    encode::connack_refused(&mut out, refusal.0, refusal.1);
    // The client may be gone; it is refused either way.
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
    None
}

async fn read_connect<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
    door: &Door,
) -> Option<Result<Connect, Refused>> {
    loop {
        // Told from the first byte, so that a stranger is not kept until a packet is complete.
        if buffer.first().is_some_and(|first| *first != 0x10) {
            return Some(Err(Refused::NotMqtt));
        }
        match frame::split(buffer, door.settings.packet_bytes_max) {
            Ok(Some(frame)) => return Some(connect::decode(&frame.body)),
            Ok(None) => {}
            Err(Violation(_)) => return Some(Err(Refused::NotMqtt)),
        }
        buffer.reserve(CONNECT_BYTES);
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn admit(
    mut connect: Connect,
    address: IpAddr,
    door: &Door,
) -> Result<Admitted, (Version, u8)> {
    let version = connect.version;
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX {
        return Err((version, code(version, 0x02, 0x85)));
    }
    let assigned = connect.client_id.is_empty();
    if assigned {
        if version == Version::V4 && !connect.clean_start {
            return Err((version, 0x02));
        }
        connect.client_id = assigned_id();
    }
    let credentials = Credentials {
        user: connect.user.as_deref(),
        password: connect.password.as_deref(),
        certificate: &[],
    };
    let peer = Peer {
        address,
        client: &connect.client_id,
    };
    let login = door.access.login(credentials, peer).await;
    let principal = login.map_err(|denied| match denied {
        Denied::BadCredentials | Denied::LockedOut => (version, code(version, 0x04, 0x86)),
        Denied::NotAuthorized => (version, code(version, 0x05, 0x87)),
    })?;
    let client = Arc::new(Client {
        id: connect.client_id.clone(),
        user: principal.user().map(Into::into),
    });
    Ok(Admitted {
        connect,
        guest: Guest { client, principal },
        assigned,
    })
}

/// An id that no other client can guess and so take over: 64 bits of the standard library's
/// hasher seed.
fn assigned_id() -> Box<str> {
    format!("auto-{:016x}", RandomState::new().build_hasher().finish()).into()
}

const fn code(version: Version, v4: u8, v5: u8) -> u8 {
    match version {
        Version::V4 => v4,
        Version::V5 => v5,
    }
}
