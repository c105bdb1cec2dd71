//! Everything that hostile clients do, each beside an honest pair that must not lose a message.
//! `cargo bench -p divisord --bench hostile` measures the pair's latency under the same attacks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisor_testkit::Authority;
use divisord::door::Settings;
use divisord::tls::{self, Tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::rig::*;

// The bench includes this file from elsewhere.
#[path = "siege/wrapped.rs"]
mod wrapped;

use wrapped::Wrap;

/// Limits under which a siege ends within a test's patience.
pub(crate) fn under_siege() -> Settings {
    Settings {
        packet_bytes_max: 64 * 1024,
        payload_bytes_max: 32 * 1024,
        connections_max: 400,
        subscriptions_max: 1_000,
        filters_max: 200,
        retained_max: 5_000,
        sessions_max: 100,
        publish_rate_max: 20_000,
        publish_burst: 20_000,
        write_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_millis(300),
        ..settings()
    }
}

/// A door that will be attacked, with TLS beside plain TCP.
pub(crate) struct Besieged {
    pub(crate) rig: Rig,
    pub(crate) target: Target,
}

/// Where the attackers find it.
#[derive(Clone)]
pub(crate) struct Target {
    plain: SocketAddr,
    tls: SocketAddr,
    connector: TlsConnector,
}

impl Besieged {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let server = authority.server("server");
        let tls = Tls::open(tls::Settings {
            certificate: server.certificate,
            key: server.key,
            client_ca: None,
            client_required: false,
        });
        let rig = Rig::secure(under_siege(), everybody(), tls.unwrap()).await;
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(authority.ca()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let target = Target {
            plain: rig.address,
            tls: rig.tls_address,
            connector: TlsConnector::from(Arc::new(config)),
        };
        Self { rig, target }
    }
}

type Attack = fn(Target, Instant) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The attacks by name; each goes on until the given moment.
pub(crate) const ATTACKS: [(&str, Attack); 21] = [
    ("slow loris", |to, until| {
        Box::pin(slow_loris(to.plain, until))
    }),
    ("slow TLS handshake", |to, until| {
        Box::pin(wrapped::slow_handshake(to, Wrap::Tls, until))
    }),
    ("slow WebSocket handshake", |to, until| {
        Box::pin(wrapped::slow_handshake(to, Wrap::WebSocket, until))
    }),
    ("slow loris behind TLS", |to, until| {
        Box::pin(wrapped::slow_connect(to, until))
    }),
    ("connection flood", |to, until| {
        Box::pin(connection_flood(to.plain, until))
    }),
    ("TLS handshake flood", |to, until| {
        Box::pin(wrapped::flood(to, Wrap::Tls, until))
    }),
    ("WebSocket handshake flood", |to, until| {
        Box::pin(wrapped::flood(to, Wrap::WebSocket, until))
    }),
    ("garbage before CONNECT", |to, until| {
        Box::pin(garbage(to.plain, until, false))
    }),
    ("garbage after CONNECT", |to, until| {
        Box::pin(garbage(to.plain, until, true))
    }),
    ("garbage behind handshakes", |to, until| {
        Box::pin(wrapped::garbage(to, until))
    }),
    ("truncated and oversized", |to, until| {
        Box::pin(oversized(to.plain, until))
    }),
    ("packet ids", |to, until| {
        Box::pin(packet_ids(to.plain, until))
    }),
    ("unknown acknowledgements", |to, until| {
        Box::pin(acknowledgements(to.plain, until))
    }),
    ("subscribe flood", |to, until| {
        Box::pin(subscribe_flood(to.plain, until))
    }),
    ("retained storm", |to, until| {
        Box::pin(retained_storm(to.plain, until))
    }),
    ("never reads", |to, until| {
        Box::pin(never_reads(to, None, until))
    }),
    ("never reads TLS and WebSocket", |to, until| {
        Box::pin(async move {
            let tls = never_reads(to.clone(), Some(Wrap::Tls), until);
            tokio::join!(tls, never_reads(to, Some(Wrap::WebSocket), until));
        })
    }),
    ("takeover race", |to, until| {
        Box::pin(takeovers(to.plain, until))
    }),
    ("wills", |to, until| Box::pin(wills(to.plain, until))),
    ("refused topics", |to, until| {
        Box::pin(refused(to.plain, until))
    }),
    ("shared churn", |to, until| {
        Box::pin(shared_churn(to.plain, until))
    }),
];

/// What carries a client's bytes.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<W: AsyncRead + AsyncWrite + Unpin + Send> Wire for W {}

/// A client that does not care what becomes of it.
struct Careless {
    wire: Option<Box<dyn Wire>>,
    /// What it says goes into frames.
    framed: bool,
}

impl Careless {
    async fn new(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.ok();
        Self {
            wire: stream.map(|stream| Box::new(stream) as Box<dyn Wire>),
            framed: false,
        }
    }

    async fn v4(to: SocketAddr, id: &str) -> Self {
        let mut client = Self::new(to).await;
        client.say(&connect_v4(id, 2, 0)).await;
        client
    }

    const fn is_gone(&self) -> bool {
        self.wire.is_none()
    }

    /// Says it, unless the door has closed or does not take it for a moment.
    async fn say(&mut self, bytes: &[u8]) {
        if self.framed {
            self.say_raw(&wrapped::frame(bytes)).await;
        } else {
            self.say_raw(bytes).await;
        }
    }

    async fn say_raw(&mut self, bytes: &[u8]) {
        let Some(wire) = &mut self.wire else {
            return;
        };
        let saying = async {
            wire.write_all(bytes).await?;
            wire.flush().await
        };
        let said = tokio::time::timeout(Duration::from_millis(200), saying).await;
        if !matches!(said, Ok(Ok(()))) {
            self.wire = None;
        }
    }

    /// Reads what there is.
    async fn hear(&mut self) {
        let mut chunk = [0; 4_096];
        if let Some(wire) = &mut self.wire {
            let heard = tokio::time::timeout(Duration::from_millis(2), wire.read(&mut chunk)).await;
            if matches!(heard, Ok(Ok(0) | Err(_))) {
                self.wire = None;
            }
        }
    }
}

/// A repeatable stream of numbers.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        (0..self.next() % max).map(|_| self.next() as u8).collect()
    }
}

async fn slow_loris(to: SocketAddr, until: Instant) {
    let connect = connect_v4("loris", 2, 0);
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push((Careless::new(to).await, 0));
    }
    while Instant::now() < until {
        for (client, at) in &mut all {
            if client.is_gone() {
                (*client, *at) = (Careless::new(to).await, 0);
            }
            let byte = connect[*at % (connect.len() - 1)];
            client.say(&[byte]).await;
            *at += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn connection_flood(to: SocketAddr, until: Instant) {
    let mut kept = Vec::new();
    let mut number = 0;
    while Instant::now() < until {
        number += 1;
        let client = if number % 2 == 0 {
            Careless::v4(to, &format!("flood{number}")).await
        } else {
            Careless::new(to).await
        };
        kept.push(client);
        if kept.len() > 500 {
            kept.drain(..250);
        }
    }
}

async fn garbage(to: SocketAddr, until: Instant, connected: bool) {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    while Instant::now() < until {
        let mut client = if connected {
            Careless::v4(to, "garbage").await
        } else {
            Careless::new(to).await
        };
        for _ in 0..noise.next() % 4 {
            let kind = (noise.next() % 256) as u8;
            let body = noise.bytes(200);
            let bytes = if noise.next().is_multiple_of(2) {
                packet(kind, &body)
            } else {
                body
            };
            client.say(&bytes).await;
        }
        client.hear().await;
    }
}

async fn oversized(to: SocketAddr, until: Instant) {
    let large = vec![b'1'; 1 << 20];
    while Instant::now() < until {
        let mut client = Careless::v4(to, "large").await;
        client.say(&packet(0x30, &large)).await;
        let mut client = Careless::new(to).await;
        client.say(&packet(0x10, &large[..100_000])).await;
        // Says that much will come, and leaves.
        let mut client = Careless::v4(to, "promises").await;
        client.say(b"\x30\xff\xff\x03\0\x05").await;
    }
}

async fn packet_ids(to: SocketAddr, until: Instant) {
    while Instant::now() < until {
        let mut client = Careless::v4(to, "ids").await;
        for id in 0..2_000u16 {
            client.say(&publish(4, "ids/x", id % 50, "x")).await;
            client.say(&publish(2, "ids/x", id % 3 + 1, "x")).await;
            if id % 100 == 0 {
                client.hear().await;
            }
        }
        client.say(&subscribe(0, "x", 0)).await;
    }
}

async fn acknowledgements(to: SocketAddr, until: Instant) {
    let mut client = Careless::v4(to, "acks").await;
    client.say(&subscribe(1, "honest/#", 0)).await;
    let mut id = 0u16;
    while Instant::now() < until {
        id = id.wrapping_add(7).max(1);
        let [high, low] = id.to_be_bytes();
        for first in [0x40, 0x50, 0x62, 0x70] {
            client.say(&[first, 2, high, low]).await;
        }
        if id.is_multiple_of(64) {
            client.hear().await;
        }
        if client.is_gone() {
            client = Careless::v4(to, "acks").await;
        }
    }
}

async fn subscribe_flood(to: SocketAddr, until: Instant) {
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        let mut client = Careless::v4(to, &format!("filters{}", round % 5)).await;
        for group in 0..20u16 {
            let mut body = (group + 1).to_be_bytes().to_vec();
            for filter in 0..500 {
                body.extend(text(&format!("flood/{round}/{group}/{filter}/+/#")));
                body.push(1);
            }
            client.say(&packet(0x82, &body)).await;
            client.hear().await;
        }
    }
}

async fn retained_storm(to: SocketAddr, until: Instant) {
    let mut writer = Careless::v4(to, "storm").await;
    let mut number = 0;
    while Instant::now() < until {
        for _ in 0..200 {
            number += 1;
            let topic = format!("storm/{}", number % 10_000);
            writer.say(&publish(1, &topic, 0, "x")).await;
        }
        let mut reader = Careless::v4(to, &format!("storm{}", number % 7)).await;
        for id in 1..20 {
            reader.say(&subscribe(id, "storm/#", 1)).await;
        }
        reader.hear().await;
        if writer.is_gone() {
            writer = Careless::v4(to, "storm").await;
        }
    }
}

async fn never_reads(to: Target, wrap: Option<Wrap>, until: Instant) {
    let mut deaf = Vec::new();
    for number in 0..10 {
        let id = format!("deaf{number}");
        let mut client = match wrap {
            None => Careless::v4(to.plain, &id).await,
            Some(wrap) => Careless::wrapped(&to, wrap, &id).await,
        };
        client.say(&subscribe(1, "#", 1)).await;
        deaf.push(client);
    }
    let mut writer = Careless::v4(to.plain, "loud").await;
    let payload = "x".repeat(4_000);
    while Instant::now() < until {
        writer.say(&publish(0, "loud/x", 0, &payload)).await;
        if writer.is_gone() {
            writer = Careless::v4(to.plain, "loud").await;
        }
        tokio::task::yield_now().await;
    }
}

async fn takeovers(to: SocketAddr, until: Instant) {
    let mut number = 0;
    let mut kept = Vec::new();
    while Instant::now() < until {
        number += 1;
        let mut client = Careless::new(to).await;
        let flags = if number % 3 == 0 { 2 } else { 0 };
        client.say(&connect_v4("contested", flags, 0)).await;
        client.say(&subscribe(1, "honest/#", 1)).await;
        kept.push(client);
        if kept.len() > 20 {
            kept.remove(number % 20);
        }
    }
}

async fn wills(to: SocketAddr, until: Instant) {
    let mut number = 0;
    while Instant::now() < until {
        number += 1;
        let mut body = b"\0\x04MQTT\x04\x26\0\0".to_vec();
        body.extend(text(&format!("will{}", number % 50)));
        let topics = [
            "wills/x",
            "indexes/A/level",
            "securities/A/price",
            "wills/y",
        ];
        body.extend(text(topics[number % 4]));
        body.extend(text(&"x".repeat(20_000)));
        let mut client = Careless::new(to).await;
        client.say(&packet(0x10, &body)).await;
        client.hear().await;
    }
}

async fn refused(to: SocketAddr, until: Instant) {
    let mut client = Careless::v4(to, "refused").await;
    client.say(&subscribe(1, "divisor/rejected/#", 0)).await;
    while Instant::now() < until {
        for topic in [
            "indexes/A/level",
            "securities/a b/price",
            "$SYS/x",
            "divisor/status",
        ] {
            client.say(&publish(3, topic, 7, "x")).await;
        }
        client.hear().await;
        if client.is_gone() {
            client = Careless::v4(to, "refused").await;
        }
    }
}

async fn shared_churn(to: SocketAddr, until: Instant) {
    let mut number = 0;
    while Instant::now() < until {
        number += 1;
        let mut client = Careless::v4(to, &format!("churn{}", number % 9)).await;
        client
            .say(&subscribe(
                1,
                &format!("$share/g{}/honest/#", number % 300),
                1,
            ))
            .await;
        client.say(&publish(2, "churn/x", 1, "x")).await;
        client.hear().await;
    }
}

/// Every attack, one after the other and then all at once: the pair loses nothing, the router
/// lives, and when all is over nobody is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_pair_loses_nothing() {
    use super::honest::beside;

    let Besieged { rig, target } = Besieged::start().await;
    let attack_time = Duration::from_secs(1);
    for (name, attack) in ATTACKS {
        let seen = beside(&rig, attack(target.clone(), Instant::now() + attack_time)).await;
        println!(
            "{name}: {} messages, p50 {:?}, p99 {:?}",
            seen.received,
            seen.percentile(0.5),
            seen.percentile(0.99)
        );
        assert_eq!(seen.sent, seen.received, "{name}");
        assert!(seen.sent > 0, "{name}");
        assert!(!rig.door.exchange.is_dead(), "{name}");
    }
    let until = Instant::now() + attack_time * 3;
    let together = async {
        let attacks = ATTACKS.map(|(_, attack)| tokio::spawn(attack(target.clone(), until)));
        for attack in attacks {
            attack.await.unwrap();
        }
    };
    let seen = beside(&rig, together).await;
    assert_eq!(seen.sent, seen.received, "all at once");
    assert!(!rig.door.exchange.is_dead());
    rig.until(|counters| {
        counters
            .connections
            .load(std::sync::atomic::Ordering::Relaxed)
            == 0
    })
    .await;
    let dropped: u64 = rig
        .door
        .counters
        .dropped
        .iter()
        .map(|(_, count)| count)
        .sum();
    assert!(dropped > 0, "those who did not read lost something");
}
