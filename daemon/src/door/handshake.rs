//! The first packet: a client we serve, or a refusal in the client's own protocol.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::codec::connect::{self, Connect, Refused};
use super::codec::encode;
use super::codec::{Version, Violation, frame};
use super::counters::{Named, Refused as Why};
use super::listener::Door;
use super::quota::Place;
use super::transport::Peer;
use crate::access::{self, Credentials, Denied, Principal};
use crate::ingress::Client;
use divisor_wire::topic::text_is_clean;

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
    /// The user's place among the user's connections.
    pub(super) place: Option<Place<Box<str>>>,
}

/// What a client is told that is not let in, and why we count it.
struct Refusal {
    version: Version,
    code: u8,
    why: Why,
}

impl Refusal {
    const fn new(version: Version, v4: u8, v5: u8, why: Why) -> Self {
        let code = match version {
            Version::V4 => v4,
            Version::V5 => v5,
        };
        Self { version, code, why }
    }
}

/// Reads the CONNECT packet and answers it where it is refused; `None` then, and whenever the
/// stream ends first. `full` is why there is no room for this client, whatever it says.
pub(super) async fn handshake<S>(
    stream: &mut S,
    buffer: &mut BytesMut,
    peer: &Peer,
    door: &Door,
    full: Option<Why>,
) -> Option<Admitted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let counters = &door.counters;
    let Some(read) = read_connect(stream, buffer, door).await else {
        counters.refuse_connection(Why::Gone);
        return None;
    };
    let refusal = match (read, full) {
        (Ok(connect), Some(why)) => Refusal::new(connect.version, 0x03, full_code(why), why),
        (Ok(connect), None) => match admit(connect, peer, door).await {
            Ok(admitted) => return Some(admitted),
            Err(refusal) => refusal,
        },
        (Err(Refused::ProtocolLevel(level)), _) if level > 5 => {
            Refusal::new(Version::V5, 0, 0x84, Why::Version)
        }
        (Err(Refused::ProtocolLevel(_)), _) => Refusal::new(Version::V4, 0x01, 0, Why::Version),
        (Err(Refused::Violation(Version::V5, Violation(code))), _) => {
            let why = if code == 0x8c {
                Why::Method
            } else {
                Why::Malformed
            };
            Refusal::new(Version::V5, 0, code, why)
        }
        // 3.1.1 has no code for these: the specification wants the stream closed.
        (Err(Refused::Violation(Version::V4, _)), _) => {
            counters.refuse_connection(Why::Malformed);
            return None;
        }
        (Err(Refused::NotMqtt), _) => {
            counters.refuse_connection(Why::NotMqtt);
            return None;
        }
    };
    counters.refuse_connection(refusal.why);
    let mut out = BytesMut::new();
    encode::connack_refused(&mut out, refusal.version, refusal.code, refusal.why.name());
    // The client may be gone; it is refused either way.
    let _ = stream.write_all(&out).await;
    let _ = stream.shutdown().await;
    None
}

/// "Server unavailable" for a full server, "quota exceeded" for a full share of it.
const fn full_code(why: Why) -> u8 {
    if matches!(why, Why::ServerFull) {
        0x89
    } else {
        0x97
    }
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

async fn admit(mut connect: Connect, peer: &Peer, door: &Door) -> Result<Admitted, Refusal> {
    let version = connect.version;
    let bad_id = || Refusal::new(version, 0x02, 0x85, Why::ClientId);
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX || !text_is_clean(&connect.client_id) {
        return Err(bad_id());
    }
    let assigned = connect.client_id.is_empty();
    if assigned {
        if version == Version::V4 && !connect.clean_start {
            return Err(bad_id());
        }
        connect.client_id = assigned_id();
    }
    let credentials = Credentials {
        user: connect.user.as_deref(),
        password: connect.password.as_deref(),
        certificate: &peer.names,
    };
    let from = access::Peer {
        address: peer.address,
        client: &connect.client_id,
    };
    let login = door.access.login(credentials, from).await;
    let principal = login.map_err(|denied| match denied {
        // Whoever is locked out is not told so.
        Denied::BadCredentials | Denied::LockedOut => {
            Refusal::new(version, 0x04, 0x86, Why::Credentials)
        }
        Denied::NotAuthorized => Refusal::new(version, 0x05, 0x87, Why::NotAuthorized),
    })?;
    // A client id belongs to its user for as long as its session lives.
    if door
        .registry
        .is_foreign(&connect.client_id, principal.user())
    {
        return Err(bad_id());
    }
    let mut place = None;
    if let Some(user) = principal.user() {
        place = door.users.take(user.into());
        if place.is_none() {
            return Err(Refusal::new(version, 0x03, 0x97, Why::UserFull));
        }
    }
    let client = Arc::new(Client {
        id: connect.client_id.clone(),
        user: principal.user().map(Into::into),
    });
    Ok(Admitted {
        connect,
        guest: Guest { client, principal },
        assigned,
        place,
    })
}

/// An id that no other client can guess and so take over: 64 bits of the standard library's
/// hasher seed.
fn assigned_id() -> Box<str> {
    format!("auto-{:016x}", RandomState::new().build_hasher().finish()).into()
}
