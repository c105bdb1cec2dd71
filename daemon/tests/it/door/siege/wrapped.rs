//! Attacks on the handshakes of TLS and WebSocket, and behind them.

use super::*;

/// What a client's bytes are wrapped into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    Tls,
    WebSocket,
}

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// How long an attacker waits for the door.
const PATIENCE: Duration = Duration::from_secs(1);

impl Careless {
    /// Behind its handshake, if the door takes part in it.
    async fn behind(to: &Target, wrap: Wrap) -> Self {
        let opened = match wrap {
            Wrap::Tls => open_tls(to).await,
            Wrap::WebSocket => open_websocket(to).await,
        };
        Self {
            wire: opened,
            framed: wrap == Wrap::WebSocket,
        }
    }

    pub(super) async fn wrapped(to: &Target, wrap: Wrap, id: &str) -> Self {
        let mut client = Self::behind(to, wrap).await;
        client.say(&connect_v4(id, 2, 0)).await;
        client
    }
}

async fn open_tls(to: &Target) -> Option<Box<dyn Wire>> {
    let stream = TcpStream::connect(to.tls).await.ok()?;
    let connecting = to.connector.connect("localhost".try_into().ok()?, stream);
    let opened = tokio::time::timeout(PATIENCE, connecting).await.ok()?;
    Some(Box::new(opened.ok()?))
}

async fn open_websocket(to: &Target) -> Option<Box<dyn Wire>> {
    let mut stream = TcpStream::connect(to.plain).await.ok()?;
    stream.write_all(REQUEST).await.ok()?;
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.ok()?);
        }
        Some(())
    };
    tokio::time::timeout(PATIENCE, reading).await.ok()??;
    Some(Box::new(stream))
}

/// A binary frame of a client; a mask of zeros leaves the bytes as they are.
pub(super) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match bytes.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0xfe);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xff);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(bytes);
    frame
}

/// A hundred handshakes that go on byte by byte.
pub(super) async fn slow_handshake(to: Target, wrap: Wrap, until: Instant) {
    // A ClientHello that promises 512 bytes, and a request whose head has no end.
    let (address, begin) = match wrap {
        Wrap::Tls => (to.tls, &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..]),
        Wrap::WebSocket => (to.plain, &REQUEST[..REQUEST.len() - 2]),
    };
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push((Careless::new(address).await, 0));
    }
    while Instant::now() < until {
        for (client, at) in &mut all {
            if client.is_gone() {
                (*client, *at) = (Careless::new(address).await, 0);
            }
            let byte = begin.get(*at).copied().unwrap_or(b'x');
            client.say(&[byte]).await;
            *at += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fifty whole handshakes of TLS, and a CONNECT byte by byte behind each.
pub(super) async fn slow_connect(to: Target, until: Instant) {
    let connect = connect_v4("loris", 2, 0);
    let mut all: Vec<(Careless, usize)> = Vec::new();
    while Instant::now() < until {
        all.retain(|(client, _)| !client.is_gone());
        if all.len() < 50 {
            all.push((Careless::behind(&to, Wrap::Tls).await, 0));
        }
        for (client, at) in &mut all {
            client.say(&connect[*at..=*at]).await;
            *at = (*at + 1) % (connect.len() - 1);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whole handshakes, one after the other, ten at a time.
pub(super) async fn flood(to: Target, wrap: Wrap, until: Instant) {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let to = to.clone();
        all.spawn(async move {
            while Instant::now() < until {
                drop(Careless::behind(&to, wrap).await);
            }
        });
    }
    all.join_all().await;
}

/// Noise behind whole handshakes: in place of a CONNECT, in place of frames, and in frames.
pub(super) async fn garbage(to: Target, until: Instant) {
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    while Instant::now() < until {
        let wrap = match noise.next() % 2 {
            0 => Wrap::Tls,
            _ => Wrap::WebSocket,
        };
        let mut client = match noise.next() % 2 {
            0 => Careless::behind(&to, wrap).await,
            _ => Careless::wrapped(&to, wrap, "garbage").await,
        };
        for _ in 0..1 + noise.next() % 4 {
            let bytes = noise.bytes(300);
            if noise.next().is_multiple_of(2) {
                client.say_raw(&bytes).await;
            } else {
                client.say(&bytes).await;
            }
        }
        client.hear().await;
    }
}
