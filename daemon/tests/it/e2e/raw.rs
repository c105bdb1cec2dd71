//! MQTT 3.1.1 in a few bytes: publishers that own what is not acknowledged, and a subscriber that
//! comes back. A library would hide what is under test.

#![expect(
    clippy::unwrap_in_result,
    reason = "the helpers of tests fail like tests"
)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use divisor_wire::level::LevelMessage;

/// Publications that may be unacknowledged: far below the daemon's window of identities.
const WINDOW: usize = 200;

/// Resting between two tries to connect.
const RETRY: Duration = Duration::from_millis(10);

/// How long a read waits, and so how soon a thread sees that it should end.
const TICK: Duration = Duration::from_millis(5);

/// A packet: its first byte and what follows the length.
struct Packet {
    head: u8,
    body: Vec<u8>,
}

/// A connection that reads whole packets.
pub(super) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects as `client`.
    pub(super) fn connect(address: SocketAddr, client: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
        text(client.as_bytes(), &mut body);
        stream.write_all(&packet(0x10, &body))?;
        let mut wire = Self {
            stream,
            unread: Vec::new(),
        };
        match wire.read()? {
            Some(Packet { head: 0x20, body }) if body == [0, 0] => {
                wire.stream.set_read_timeout(Some(TICK))?;
                Ok(wire)
            }
            _ => Err(io::Error::other("not accepted")),
        }
    }

    /// A second handle, for a thread that only writes.
    pub(super) fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// The next packet id that is acknowledged, if one came.
    pub(super) fn acknowledged(&mut self) -> io::Result<Option<u16>> {
        Ok(self.read()?.and_then(|packet| {
            (packet.head == 0x40).then(|| u16::from_be_bytes([packet.body[0], packet.body[1]]))
        }))
    }

    /// The next packet, or nothing yet.
    fn read(&mut self) -> io::Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.take() {
                return Ok(Some(packet));
            }
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.unread.extend_from_slice(&bytes[..read]),
                Err(error) if is_silence(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self) -> Option<Packet> {
        let (mut len, mut at) = (0usize, 1);
        loop {
            let byte = *self.unread.get(at)?;
            len |= usize::from(byte & 0x7f) << (7 * (at - 1));
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.unread.len() < at + len {
            return None;
        }
        let packet = Packet {
            head: self.unread[0],
            body: self.unread[at..at + len].to_vec(),
        };
        self.unread.drain(..at + len);
        Some(packet)
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend_from_slice(bytes);
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    let mut len = body.len();
    loop {
        let byte = (len % 128) as u8;
        len /= 128;
        out.push(if len > 0 { byte | 0x80 } else { byte });
        if len == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// A PUBLISH: with an id at QoS 1, without at QoS 0.
pub(super) fn publish(topic: &str, id: Option<u16>, payload: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 4);
    text(topic.as_bytes(), &mut body);
    if let Some(id) = id {
        body.extend_from_slice(&id.to_be_bytes());
    }
    body.extend_from_slice(payload.as_bytes());
    packet(if id.is_some() { 0x32 } else { 0x30 }, &body)
}

/// A publisher with identities and an outbox, which lives through everything.
pub(super) struct Publisher {
    shared: Arc<Outbox>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Outbox {
    /// Ticks made so far.
    sent: AtomicU64,
    /// Ticks acknowledged so far.
    acked: AtomicU64,
    /// No new ones, please.
    stop: AtomicBool,
}

impl Publisher {
    /// Publishes prices of `symbol` as `src` until told to stop, `per_second` at the most.
    pub(super) fn start(address: SocketAddr, symbol: &str, src: &str, per_second: u64) -> Self {
        let shared = Arc::<Outbox>::default();
        let (outbox, symbol, src) = (Arc::clone(&shared), symbol.to_owned(), src.to_owned());
        let thread = thread::spawn(move || {
            let mut waiting = VecDeque::new();
            let started = Instant::now();
            while !outbox.is_done() {
                // A broken connection is only the reason for the next one.
                let _broken = Wire::connect(address, &src).and_then(|wire| {
                    serve(
                        wire,
                        &outbox,
                        &mut waiting,
                        &symbol,
                        &src,
                        started,
                        per_second,
                    )
                });
                thread::sleep(RETRY);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    pub(super) fn acked(&self) -> u64 {
        self.shared.acked.load(Ordering::Relaxed)
    }

    /// Makes no new ticks, waits until all are acknowledged and tells how many there were.
    pub(super) fn finish(mut self) -> u64 {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.sent()
    }
}

impl Outbox {
    fn is_done(&self) -> bool {
        let all = self.sent.load(Ordering::Relaxed) == self.acked.load(Ordering::Relaxed);
        self.stop.load(Ordering::Relaxed) && all
    }
}

/// One connection's life: everything unacknowledged again, then new ticks.
fn serve(
    mut wire: Wire,
    outbox: &Outbox,
    waiting: &mut VecDeque<u64>,
    symbol: &str,
    src: &str,
    started: Instant,
    per_second: u64,
) -> io::Result<()> {
    let topic = format!("securities/{symbol}/price");
    let mut writer = wire.writer()?;
    let mut bytes = Vec::new();
    for seq in &*waiting {
        bytes.extend(publish(&topic, Some(id(*seq)), &tick(src, *seq)));
    }
    writer.write_all(&bytes)?;
    while !outbox.is_done() {
        bytes.clear();
        let due = per_second * u64::try_from(started.elapsed().as_millis()).unwrap() / 1_000;
        let mut sent = outbox.sent.load(Ordering::Relaxed);
        while waiting.len() < WINDOW && sent < due && !outbox.stop.load(Ordering::Relaxed) {
            sent += 1;
            waiting.push_back(sent);
            bytes.extend(publish(&topic, Some(id(sent)), &tick(src, sent)));
        }
        outbox.sent.store(sent, Ordering::Relaxed);
        writer.write_all(&bytes)?;
        while let Some(acknowledged) = wire.acknowledged()? {
            if let Some(place) = waiting.iter().position(|seq| id(*seq) == acknowledged) {
                waiting.remove(place);
                outbox.acked.fetch_add(1, Ordering::Relaxed);
            }
            if waiting.len() < WINDOW / 2 {
                break;
            }
        }
    }
    Ok(())
}

fn id(seq: u64) -> u16 {
    (seq % 65_535) as u16 + 1
}

/// A price that tells its number, and the identity that makes a second delivery harmless.
fn tick(src: &str, seq: u64) -> String {
    let (whole, cents) = (10 + seq / 100, seq % 100);
    format!(r#"{{"price":"{whole}.{cents:02}","src":"{src}","inc":1,"seq":{seq}}}"#)
}

/// A subscriber that notes every level it sees, over all its connections.
pub(super) struct Recorder {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Levels by index and number.
    pub(super) levels: BTreeMap<(String, u64), String>,
    /// A number that stood for two levels.
    pub(super) contradiction: Option<String>,
    /// The words of `divisor/status` for journal and store.
    pub(super) status: Option<(String, String)>,
    /// Its word for the daemon.
    pub(super) state: Option<String>,
}

impl Recorder {
    pub(super) fn start(address: SocketAddr) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (notes, ends) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let _broken = record(address, &notes, &ends);
                thread::sleep(RETRY);
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    pub(super) fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn record(address: SocketAddr, seen: &Mutex<Seen>, stop: &AtomicBool) -> io::Result<()> {
    let mut wire = Wire::connect(address, "recorder")?;
    let mut body = vec![0, 1];
    for filter in ["indexes/+/level", "divisor/status"] {
        text(filter.as_bytes(), &mut body);
        body.push(0);
    }
    wire.writer()?.write_all(&packet(0x82, &body))?;
    while !stop.load(Ordering::Relaxed) {
        let Some(Packet { head, body }) = wire.read()? else {
            continue;
        };
        if head >> 4 != 3 {
            continue;
        }
        let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let (topic, payload) = body[2..].split_at(topic_len);
        seen.lock().unwrap().note(topic, payload);
    }
    Ok(())
}

impl Seen {
    fn note(&mut self, topic: &[u8], payload: &[u8]) {
        if topic == b"divisor/status" {
            let status: serde_json::Value = serde_json::from_slice(payload).unwrap();
            let word = |key: &str| status[key].as_str().unwrap().to_owned();
            self.status = Some((word("journal"), word("store")));
            self.state = Some(word("state"));
            return;
        }
        let message: LevelMessage = serde_json::from_slice(payload).unwrap();
        let level = message.level.to_string();
        let key = (message.index, message.seq);
        if let Some(before) = self.levels.insert(key.clone(), level.clone())
            && before != level
        {
            self.contradiction = Some(format!("{key:?} was {before} and is {level}"));
        }
    }
}
