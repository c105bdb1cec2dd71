//! The same door over TCP, TLS, WebSocket and both.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divisor_testkit::{Authority, Certificate};
use divisord::access::{self, Access, Change, change};
use divisord::door::Settings;
use divisord::tls::{self, Tls};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::rig::*;

/// A door with TLS, beside one without.
struct Secure {
    authority: Authority,
    tls: Arc<Tls>,
    rig: Rig,
}

impl Secure {
    async fn start(client_certificates: Option<bool>, access: Arc<Access>) -> Self {
        let authority = Authority::new();
        let server = authority.server("server");
        let tls = Tls::open(tls::Settings {
            certificate: server.certificate,
            key: server.key,
            client_ca: client_certificates.map(|_| authority.ca()),
            client_required: client_certificates == Some(true),
        })
        .unwrap();
        let settings = Settings {
            connect_timeout: PATIENCE,
            websocket_origins: vec!["https://desk.example".to_owned()],
            ..settings()
        };
        let rig = Rig::secure(settings, access, Arc::clone(&tls)).await;
        Self {
            authority,
            tls,
            rig,
        }
    }

    async fn connect(&self, client: Option<&Certificate>) -> std::io::Result<TlsStream<TcpStream>> {
        connect(self.rig.tls_address, &self.authority, client).await
    }
}

async fn connect(
    address: std::net::SocketAddr,
    authority: &Authority,
    client: Option<&Certificate>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.ca()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&client.certificate).unwrap()],
                PrivateKeyDer::from_pem_file(&client.key).unwrap(),
            )
            .unwrap(),
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, connecting).await.unwrap()
}

/// A WebSocket over any stream, asking for MQTT at its place from this origin.
async fn websocket<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    path: &str,
    subprotocol: &str,
    origin: Option<&str>,
) -> Result<WebSocketStream<S>, Error> {
    let mut request = format!("ws://localhost{path}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_str(subprotocol).unwrap(),
    );
    if let Some(origin) = origin {
        headers.insert("Origin", HeaderValue::from_str(origin).unwrap());
    }
    let opening = tokio_tungstenite::client_async(request, stream);
    timeout(PATIENCE, opening).await.unwrap().map(|(ws, _)| ws)
}

/// Connects, subscribes and hears a price that another one publishes.
async fn speak_mqtt<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>, id: &str) {
    raw.send(&connect_v4(id, 2, 0)).await;
    raw.expect(b"\x20\x02\0\0").await;
    raw.subscribe("t/#", 1).await;
    raw.send(&publish(2, "t/x", 9, &"x".repeat(100_000))).await;
    let mut got = [raw.packet().await, raw.packet().await];
    got.sort();
    assert_eq!(got[1], (0x40, vec![0, 9]));
    assert_eq!((got[0].0, got[0].1.len()), (0x32, 100_007));
}

/// The bytes of a WebSocket as a stream: what is written goes out in frames of a few bytes, so that
/// packets are spread over many.
fn as_bytes<S>(mut ws: WebSocketStream<S>) -> Raw<tokio::io::DuplexStream>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(theirs);
        let mut chunk = [0; 1_003];
        loop {
            tokio::select! {
                count = tokio::io::AsyncReadExt::read(&mut read, &mut chunk) => match count {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        let bytes = Bytes::copy_from_slice(&chunk[..count]);
                        ws.send(Message::Binary(bytes)).await.unwrap();
                    }
                },
                message = ws.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => write.write_all(&bytes).await.unwrap(),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
            }
        }
    });
    Raw { stream: ours }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_leads_to_the_same_door() {
    let secure = Secure::start(None, everybody()).await;
    let mut plain = secure.rig.connect().await;
    speak_mqtt(&mut plain, "tcp").await;
    let stream = secure.connect(None).await.unwrap();
    speak_mqtt(&mut Raw { stream }, "tls").await;
    let plain = secure.rig.connect().await.stream;
    let ws = websocket(plain, "/mqtt", "mqtt", None).await.unwrap();
    speak_mqtt(&mut as_bytes(ws), "ws").await;
    let stream = secure.connect(None).await.unwrap();
    let ws = websocket(stream, "/mqtt", "mqtt", Some("https://desk.example")).await;
    speak_mqtt(&mut as_bytes(ws.unwrap()), "wss").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_must_ask_for_mqtt_from_a_page_that_may() {
    let rig = Rig::start(settings()).await;
    let check = async |path: &str, subprotocol: &str, origin: Option<&str>, status: u16| {
        let stream = rig.connect().await.stream;
        match websocket(stream, path, subprotocol, origin).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), status, "{path} {origin:?}")
            }
            other => panic!("{path} {subprotocol} {origin:?}: {other:?}"),
        }
    };
    check("/", "mqtt", None, 404).await;
    check("/mqtt", "chat", None, 400).await;
    check("/mqtt", "mqtt", Some("https://evil.example"), 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_ends_a_websocket_and_pings_are_answered() {
    let rig = Rig::start(settings()).await;
    let stream = rig.connect().await.stream;
    let mut ws = websocket(stream, "/mqtt", "mqtt", None).await.unwrap();
    // One frame with two packets, and a ping between their answers.
    let mut both = connect_v4("ws", 2, 0);
    both.extend(b"\xc0\0");
    ws.send(Message::Binary(both.into())).await.unwrap();
    ws.send(Message::Ping(Bytes::from_static(b"hello")))
        .await
        .unwrap();
    let mut bytes = Vec::new();
    let mut ponged = false;
    while bytes.len() < 6 || !ponged {
        match timeout(PATIENCE, ws.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            Message::Binary(part) => bytes.extend(part),
            Message::Pong(echo) => ponged = echo == b"hello"[..],
            other @ (Message::Text(_)
            | Message::Ping(_)
            | Message::Close(_)
            | Message::Frame(_)) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(bytes, b"\x20\x02\0\0\xd0\0");
    ws.send(Message::text("hello")).await.unwrap();
    match timeout(PATIENCE, ws.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1003),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_beyond_the_largest_packet_ends_the_connection() {
    let rig = Rig::start(Settings {
        packet_bytes_max: 2_048,
        ..settings()
    })
    .await;
    let stream = rig.connect().await.stream;
    let mut ws = websocket(stream, "/mqtt", "mqtt", None).await.unwrap();
    let _ = ws.send(Message::Binary(vec![0x10; 80_000].into())).await;
    let ended = async { while let Some(Ok(_)) = ws.next().await {} };
    timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_end_and_disturb_nobody() {
    let secure = Secure::start(None, everybody()).await;
    let hasty = Rig::secure(settings(), everybody(), Arc::clone(&secure.tls)).await;
    // Half a ClientHello, half a request, half a CONNECT behind each, and nothing at all.
    let mut slow = Vec::new();
    for (address, bytes) in [
        (hasty.tls_address, &b""[..]),
        (hasty.tls_address, b"\x16\x03\x01\x02\0\x01"),
        (hasty.tls_address, b"GET /mqtt HTTP/1.1\r\n"),
        (hasty.address, b""),
        (hasty.address, b"GET /mqtt HTTP/1.1\r\nHost: x\r\n"),
        (hasty.address, b"\x10\x20\0\x04MQ"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        slow.push(Raw { stream });
    }
    let stream = connect(hasty.tls_address, &secure.authority, None).await;
    slow_tls(stream.unwrap()).await;
    let stream = connect(secure.rig.tls_address, &secure.authority, None).await;
    speak_mqtt(
        &mut Raw {
            stream: stream.unwrap(),
        },
        "honest",
    )
    .await;
    for mut raw in slow {
        raw.until_closed().await;
    }
}

/// A client that has done TLS and then says nothing is closed too.
async fn slow_tls(stream: TlsStream<TcpStream>) {
    Raw { stream }.until_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_for_new_connections() {
    let secure = Secure::start(None, everybody()).await;
    let mut before = Raw {
        stream: secure.connect(None).await.unwrap(),
    };
    speak_mqtt(&mut before, "before").await;
    assert!(!secure.tls.reload().unwrap().changed);
    // A broken file keeps the old certificate.
    let server = secure.authority.dir().join("server.crt");
    let good = std::fs::read(&server).unwrap();
    std::fs::write(&server, "-----BEGIN CERTIFICATE-----\nx").unwrap();
    secure.tls.reload().unwrap_err();
    secure.connect(None).await.unwrap();
    // So does one that does not belong to the key.
    let other = Authority::new();
    let stranger = other.server("server");
    std::fs::copy(&stranger.certificate, &server).unwrap();
    secure.tls.reload().unwrap_err();
    secure.connect(None).await.unwrap();
    std::fs::copy(&stranger.key, secure.authority.dir().join("server.key")).unwrap();
    assert!(secure.tls.reload().unwrap().changed);
    secure.connect(None).await.unwrap_err();
    connect(secure.rig.tls_address, &other, None).await.unwrap();
    // Nobody was dropped.
    before.send(b"\xc0\0").await;
    before.expect(b"\xd0\0").await;
    drop(good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_names_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.toml");
    for name in ["feed-1", "ann@example.org"] {
        let new = Change {
            no_password: true,
            roles: &["publisher".to_owned()],
            ..Change::default()
        };
        change(&path, name, &new).unwrap();
    }
    let access = Access::open(access::Settings {
        users_file: Some(path),
        ..access::Settings::default()
    })
    .unwrap();
    let code = async |secure: &Secure, client: Option<&Certificate>| {
        let mut raw = Raw {
            stream: secure.connect(client).await.unwrap(),
        };
        raw.send(&connect_v4("c", 2, 0)).await;
        let (_, body) = raw.packet().await;
        body[1]
    };
    let optional = Secure::start(Some(false), Arc::clone(&access)).await;
    let feed = optional.authority.client("feed-1", &[]);
    let ann = optional.authority.client("Ann", &["ann@example.org"]);
    let stranger = optional.authority.client("stranger", &[]);
    assert_eq!(code(&optional, Some(&feed)).await, 0);
    assert_eq!(code(&optional, Some(&ann)).await, 0);
    assert_eq!(code(&optional, Some(&stranger)).await, 4);
    assert_eq!(code(&optional, None).await, 5);
    let impostor = Authority::new();
    let forged = impostor.client("feed-1", &[]);
    assert!(is_refused(&optional, Some(&forged)).await);
    let required = Secure::start(Some(true), access).await;
    assert!(is_refused(&required, None).await);
}

/// In TLS 1.3 a client hears of it only after its own part of the handshake.
async fn is_refused(secure: &Secure, client: Option<&Certificate>) -> bool {
    let Ok(stream) = secure.connect(client).await else {
        return true;
    };
    let mut raw = Raw { stream };
    let _ = raw.stream.write_all(&connect_v4("c", 2, 0)).await;
    let answer = timeout(PATIENCE, raw.until_closed()).await;
    answer.is_ok_and(|bytes| bytes.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_over_tls_is_dropped() {
    let secure = Secure::start(None, everybody()).await;
    let settings = Settings {
        write_timeout: Duration::from_millis(300),
        ..settings()
    };
    let rig = Rig::secure(settings, everybody(), Arc::clone(&secure.tls)).await;
    let mut reader = Raw {
        stream: connect(rig.tls_address, &secure.authority, None)
            .await
            .unwrap(),
    };
    reader.send(&connect_v4("reader", 2, 0)).await;
    reader.expect(b"\x20\x02\0\0").await;
    reader.subscribe("t/#", 0).await;
    let payload = "x".repeat(60_000);
    let dropped = async {
        while rig
            .door
            .counters
            .connections
            .load(std::sync::atomic::Ordering::Relaxed)
            > 0
        {
            rig.publish("t/x", &payload, false).await;
        }
    };
    timeout(PATIENCE, dropped).await.unwrap();
}
