//! A door on port 0, a sequencer that acknowledges at once or when told, and a raw client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use divisord::access::{self, Access};
use divisord::door::{Counters, Door, Exchange, Listener, Publication, Settings, bind, serve};
use divisord::ingress::{Inbound, Receipt, Submission};
use divisord::tls::Tls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Long enough for a loaded machine, short enough to fail a hanging test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing has to come for a test to believe that nothing will.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    /// Closed unless the rig is [`Rig::secure`].
    pub(crate) tls_address: SocketAddr,
    pub(crate) door: Arc<Door>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: tokio::task::JoinHandle<()>,
    /// What the sequencer got, when it does not answer by itself.
    pub(crate) submissions: mpsc::Receiver<Submission>,
}

/// Everybody is admin, and other topics are routed, so that ordinary MQTT can be tried.
pub(crate) fn everybody() -> Arc<Access> {
    let settings = access::Settings {
        other_topics: true,
        ..access::Settings::default()
    };
    Access::open(settings).unwrap()
}

/// Limits for tests.
pub(crate) fn settings() -> Settings {
    Settings {
        connect_timeout: Duration::from_millis(500),
        handshake_timeout: PATIENCE,
        stop_grace: Duration::from_secs(1),
        ..Settings::default()
    }
}

impl Rig {
    /// A sequencer that acknowledges everything at once.
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::build(settings, everybody(), None, true).await
    }

    /// The same for those whom `access` lets in.
    pub(crate) async fn guarded(settings: Settings, access: Arc<Access>) -> Self {
        Self::build(settings, access, None, true).await
    }

    /// A sequencer that waits for the test.
    pub(crate) async fn held(settings: Settings) -> Self {
        Self::held_for(settings, everybody()).await
    }

    /// The same for those whom `access` lets in.
    pub(crate) async fn held_for(settings: Settings, access: Arc<Access>) -> Self {
        Self::build(settings, access, None, false).await
    }

    /// With TLS beside plain TCP.
    pub(crate) async fn secure(settings: Settings, access: Arc<Access>, tls: Arc<Tls>) -> Self {
        Self::build(settings, access, Some(tls), true).await
    }

    async fn build(
        settings: Settings,
        access: Arc<Access>,
        tls: Option<Arc<Tls>>,
        answers: bool,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let exchange = Exchange::start(&settings, Arc::clone(&counters)).unwrap();
        let (ingress, mut submitted) = mpsc::channel::<Submission>(64);
        let (forward, submissions) = mpsc::channel(1_024);
        tokio::spawn(async move {
            while let Some(submission) = submitted.recv().await {
                if answers {
                    acknowledge(&submission);
                }
                let _ = forward.try_send(submission);
            }
        });
        let door = Door::new(settings, access, exchange, ingress, counters);
        let any = "127.0.0.1:0".parse().unwrap();
        let mut sockets = bind(&[any, any]).await.unwrap();
        let address = sockets[0].local_addr().unwrap();
        let tls_address = sockets[1].local_addr().unwrap();
        let mut listeners = Vec::new();
        if let Some(socket) = sockets.pop().filter(|_| tls.is_some()) {
            listeners.push(Listener { socket, tls });
        }
        listeners.extend(sockets.into_iter().map(Listener::from));
        let (stop, shutdown) = watch::channel(false);
        let served = tokio::spawn(serve(listeners, Arc::clone(&door), shutdown));
        Self {
            address,
            tls_address,
            door,
            stop,
            served,
            submissions,
        }
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw {
            stream: TcpStream::connect(self.address).await.unwrap(),
        }
    }

    /// An MQTT 5 client with a clean session and these properties.
    pub(crate) async fn v5(&self, id: &str, properties: &[u8]) -> Raw {
        let mut raw = self.connect().await;
        raw.send(&connect_v5(id, 2, properties)).await;
        let (first, body) = raw.packet().await;
        assert_eq!((first, body[1]), (0x20, 0), "{body:02x?}");
        raw
    }

    /// Waits until the counters say so.
    pub(crate) async fn until(&self, condition: impl Fn(&Counters) -> bool) {
        let waiting = async {
            while !condition(&self.door.counters) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    /// A 3.1.1 client with a clean session.
    pub(crate) async fn v4(&self, id: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.send(&connect_v4(id, 2, 0)).await;
        raw.expect(b"\x20\x02\0\0").await;
        raw
    }

    /// Waits until this many sessions wait for their clients.
    pub(crate) async fn parked(&self, count: u64) {
        let waiting = async {
            while self.door.counters.sessions_parked.load(Ordering::Relaxed) != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Submission {
        timeout(PATIENCE, self.submissions.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// The next messages of the sequencer, however they were cut.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<Inbound> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.extend(self.next().await.messages);
        }
        messages
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str, retain: bool) {
        let exchange = Arc::clone(&self.door.exchange);
        let publication = Publication::from_daemon(topic.into(), payload.to_owned().into(), retain);
        tokio::task::spawn_blocking(move || exchange.publish(publication))
            .await
            .unwrap();
    }
}

/// What the sequencer says when all of a submission is durable.
pub(crate) fn acknowledge(submission: &Submission) {
    let durable = submission.messages.last().unwrap().ticket;
    let _ = submission.receipts.send(Receipt {
        durable,
        refusals: Vec::new(),
    });
}

pub(crate) fn connect_v4(id: &str, flags: u8, keep_alive: u16) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(flags);
    body.extend(keep_alive.to_be_bytes());
    body.extend(text(id));
    packet(0x10, &body)
}

pub(crate) fn connect_v5(id: &str, flags: u8, properties: &[u8]) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05".to_vec();
    body.push(flags);
    body.extend([0, 0, properties.len() as u8]);
    body.extend(properties);
    body.extend(text(id));
    packet(0x10, &body)
}

/// A CONNACK of MQTT 5 that refuses.
pub(crate) fn connack_no(code: u8, why: &str) -> Vec<u8> {
    let mut body = vec![0, code, 3 + why.len() as u8, 0x1f];
    body.extend(text(why));
    packet(0x20, &body)
}

pub(crate) fn publish(flags: u8, topic: &str, id: u16, payload: &str) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

pub(crate) fn publish_v5(
    flags: u8,
    topic: &str,
    id: u16,
    properties: &[u8],
    payload: &str,
) -> Vec<u8> {
    let mut body = text(topic);
    if flags & 6 != 0 {
        body.extend(id.to_be_bytes());
    }
    body.push(properties.len() as u8);
    body.extend(properties);
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

pub(crate) fn subscribe(id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(text(filter));
    body.push(qos);
    packet(0x82, &body)
}

pub(crate) fn subscribe_v5(id: u16, filter: &str, options: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    body.extend(text(filter));
    body.push(options);
    packet(0x82, &body)
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    put_length(&mut bytes, body.len());
    bytes.extend(body);
    bytes
}

/// A length as MQTT writes it.
pub(crate) fn put_length(bytes: &mut Vec<u8>, mut len: usize) {
    loop {
        let more = len > 0x7f;
        bytes.push((len & 0x7f) as u8 | if more { 0x80 } else { 0 });
        len >>= 7;
        if !more {
            return;
        }
    }
}

/// A client that says exactly what it is told.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        match timeout(PATIENCE, self.stream.read_exact(&mut got)).await {
            Ok(Ok(_)) => assert_eq!(got, bytes, "got {got:02x?}, wanted {bytes:02x?}"),
            other => panic!("wanted {bytes:02x?}: {other:?}"),
        }
    }

    /// The next packet: first byte and body.
    pub(crate) async fn packet(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let first = self.stream.read_u8().await.unwrap();
            let mut len = 0usize;
            for shift in [0, 7, 14, 21] {
                let byte = self.stream.read_u8().await.unwrap();
                len |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; len];
            self.stream.read_exact(&mut body).await.unwrap();
            (first, body)
        };
        timeout(PATIENCE, read).await.expect("a packet in time")
    }

    /// A 3.1.1 PUBLISH: first byte, topic, id, payload.
    pub(crate) async fn message(&mut self) -> (u8, String, u16, String) {
        let (first, body) = self.packet().await;
        assert_eq!(
            first >> 4,
            3,
            "wanted a PUBLISH, got {first:02x} {body:02x?}"
        );
        let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + topic_len].to_vec()).unwrap();
        let rest = &body[2 + topic_len..];
        let (id, payload) = if first & 6 == 0 {
            (0, rest)
        } else {
            (u16::from_be_bytes([rest[0], rest[1]]), &rest[2..])
        };
        (
            first,
            topic,
            id,
            String::from_utf8(payload.to_vec()).unwrap(),
        )
    }

    pub(crate) async fn expect_nothing(&mut self) {
        let mut byte = [0];
        if let Ok(got) = timeout(QUIET, self.stream.read(&mut byte)).await {
            panic!("wanted silence, got {got:?} {byte:02x?}");
        }
    }

    /// All bytes until the door closes.
    pub(crate) async fn until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4_096];
        loop {
            match timeout(PATIENCE, self.stream.read(&mut chunk))
                .await
                .expect("a close in time")
            {
                // A reset is a close too: the door had not read all that was sent.
                Ok(0) | Err(_) => return bytes,
                Ok(count) => bytes.extend(&chunk[..count]),
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: u8) {
        self.send(&subscribe(1, filter, qos)).await;
        self.expect(&[0x90, 3, 0, 1, qos]).await;
    }
}
