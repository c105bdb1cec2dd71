//! One connection: a task, one loop, and everything that can happen to it as an `Event`.
//!
//! Reading and writing are branches of the same `select!`, so a client that does not read its
//! levels still gets its prices in, and its queue goes on dropping the oldest level.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use divisor_wire::topic::reply_topic;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep, sleep_until, timeout};

use super::Counters;
use super::codec::connect::{Connect, Will};
use super::codec::encode::{self, ConnAck};
use super::counters::{Closed, Held, Refused};
use super::handshake::{Admitted, Guest, handshake};
use super::inbound::{Inbound, receive_max};
use super::listener::{Door, Shutdown, stopped};
use super::outbound::{Aliases, Dialect};
use super::quota::{Place, address_key};
use super::registry::Claim;
use super::session::{Arrival, Session};
use super::transport::{self, Stream};
use crate::ingress::{Client, Receipt, Submission};
use crate::tls::Tls;

mod end;
mod packets;
mod rights;

use end::Ending;

/// Bytes asked for in one read. The first reads of a connection are small, since most connections
/// are quiet and a buffer stays with them.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// Connections beyond the limit that are still told so; more are closed without a word.
const TURNED_AWAY_MAX: u64 = 64;

/// How often a connection looks after itself at least.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// Serves one stream from its first byte to its last, whatever it carries MQTT in.
pub(super) async fn run(
    tcp: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    door: Arc<Door>,
    shutdown: Shutdown,
) {
    let counters = Arc::clone(&door.counters);
    let _held = Held::new(&counters.connections);
    Counters::add(&counters.accepted);
    let connections_max = door.settings.connections_max as u64;
    let connections = counters.connections.load(Ordering::Relaxed);
    if connections > connections_max + TURNED_AWAY_MAX {
        counters.refuse_connection(Refused::ServerFull);
        return;
    }
    let place = door.addresses.take(address_key(address.ip()));
    let full = if connections > connections_max {
        Some(Refused::ServerFull)
    } else {
        place.is_none().then_some(Refused::AddressFull)
    };
    let mut buffer = BytesMut::new();
    let greeting = async {
        let opening = transport::open(
            tcp,
            tls.as_deref(),
            address.ip(),
            &mut buffer,
            &door.settings,
        );
        let (mut stream, peer) = match opening.await {
            Ok(opened) => opened,
            Err(why) => {
                counters.refuse_connection(why);
                return None;
            }
        };
        let admitted = handshake(&mut stream, &mut buffer, &peer, &door, full).await?;
        Some((stream, admitted))
    };
    match timeout(door.settings.connect_timeout, greeting).await {
        Ok(Some((stream, admitted))) => {
            let opened = Connection::open(stream, buffer, door, admitted, shutdown).await;
            // None when another user has come in by the same client id at the same moment.
            if let Some((connection, claim)) = opened {
                connection.serve(claim).await;
            }
        }
        Ok(None) => {}
        Err(_) => counters.refuse_connection(Refused::ConnectTimeout),
    }
}

/// Everything that can happen to a connection.
enum Event {
    Read(std::io::Result<usize>),
    Written(std::io::Result<usize>),
    Receipt(Receipt),
    /// The sequencer has taken the submission, or is gone.
    Submitted(bool),
    /// Messages of the router are in the batch.
    Messages,
    /// The client can take more of the retained messages that it asked for.
    Retained,
    Timer,
    /// Users or rights have changed.
    Rights,
    /// The client's publish rate is within its limit again.
    Resumed,
    End(Ending),
}

struct Connection {
    door: Arc<Door>,
    guest: Guest,
    dialect: Dialect,
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    /// What was written may still wait in the stream, see [`Stream::keeps_bytes`].
    keeps_bytes: bool,
    unflushed: bool,
    /// Bytes read and not yet a packet.
    buffer: BytesMut,
    read_bytes: usize,
    /// Bytes encoded and not yet written.
    out: BytesMut,
    session: Box<Session>,
    session_expiry: Duration,
    inbound: Inbound,
    /// What the ingress channel had no room for yet; nothing is read meanwhile.
    submission: Option<Submission>,
    receipts_tx: mpsc::UnboundedSender<Receipt>,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// Messages of the router, between the branch and its handler.
    batch: Vec<Arrival>,
    will: Option<Will>,
    /// One and a half times the client's promise; `None` when it promised nothing.
    silence_max: Option<Duration>,
    heard: Instant,
    /// The last sign of life in either direction.
    active: Instant,
    /// Since when some bytes wait, and how many of them are still there.
    waiting: Option<(Instant, usize)>,
    /// The user's place among the user's connections.
    _place: Option<Place<Box<str>>>,
    timer: std::pin::Pin<Box<Sleep>>,
    /// Turns when users or rights change.
    rights: watch::Receiver<u64>,
    shutdown: Shutdown,
}

impl Connection {
    /// Takes the client's session over and answers its CONNECT.
    async fn open(
        stream: Stream,
        buffer: BytesMut,
        door: Arc<Door>,
        admitted: Admitted,
        shutdown: Shutdown,
    ) -> Option<(Self, Claim)> {
        let Admitted {
            connect,
            guest,
            assigned,
            place,
        } = admitted;
        let settings = &door.settings;
        let (claim, kept) = door
            .registry
            .claim(&guest.client, connect.clean_start)
            .await?;
        let session_present = kept.is_some();
        let mut session = kept.unwrap_or_else(|| Box::new(Session::new(&door)));
        session.connected();
        let session_expiry = connect.session_expiry.min(settings.session_expiry_max);
        let keep_alive = connect.keep_alive.min(settings.keep_alive_max);
        let out = greeting(&door, &connect, &guest.client, assigned, session_present);
        let (receipts_tx, receipts) = mpsc::unbounded_channel();
        let keeps_bytes = stream.keeps_bytes();
        let (reader, writer) = tokio::io::split(stream);
        let version = connect.version;
        let inbound = Inbound::new(
            Arc::clone(&door),
            guest.clone(),
            version,
            connect.wants_reasons,
            &session,
        );
        let connection = Self {
            dialect: Dialect {
                version,
                packet_bytes_max: connect.packet_bytes_max,
                window_max: connect.receive_max.min(settings.window_max).into(),
                aliases: Aliases::new(connect.topic_aliases_max.min(settings.topic_aliases_max)),
            },
            guest,
            reader,
            writer,
            keeps_bytes,
            unflushed: false,
            buffer,
            read_bytes: READ_BYTES_MIN,
            out,
            session,
            session_expiry,
            inbound,
            submission: None,
            receipts_tx,
            receipts,
            batch: Vec::new(),
            will: connect.will,
            silence_max: (!keep_alive.is_zero()).then_some(keep_alive * 3 / 2),
            heard: Instant::now(),
            active: Instant::now(),
            waiting: None,
            _place: place,
            timer: Box::pin(sleep(Duration::ZERO)),
            rights: door.access.changes(),
            shutdown,
            door,
        };
        Some((connection, claim))
    }

    async fn serve(mut self, mut claim: Claim) {
        // The session may be older than the rights; packets may have come with the CONNECT.
        let mut ending = self.drop_subscriptions().await.err();
        if ending.is_none() {
            ending = self.take_packets().await.err();
        }
        while ending.is_none() {
            self.session
                .outbound
                .fill(&mut self.out, &mut self.dialect, &self.door.counters);
            self.session.tell_groups();
            if self.out.is_empty() && !self.unflushed {
                self.waiting = None;
            } else if self.waiting.is_none() {
                self.waiting = Some((Instant::now(), self.out.len()));
            }
            let event = self.next_event(&mut claim).await;
            ending = self.handle(event).await.err();
        }
        if let Some(ending) = ending {
            self.end(ending, claim).await;
        }
    }

    async fn next_event(&mut self, claim: &mut Claim) -> Event {
        let may_read = self.may_read();
        if may_read {
            self.buffer.reserve(self.read_bytes);
        }
        tokio::select! {
            read = self.reader.read_buf(&mut self.buffer), if may_read => Event::Read(read),
            written = push(&mut self.writer, &self.out), if !self.out.is_empty() || self.unflushed => {
                Event::Written(written)
            }
            // The sender is ours too, so this ends only with the connection.
            Some(receipt) = self.receipts.recv() => Event::Receipt(receipt),
            permit = self.door.ingress.reserve(), if self.submission.is_some() => {
                match (permit, self.submission.take()) {
                    (Ok(permit), Some(submission)) => {
                        permit.send(submission);
                        Event::Submitted(true)
                    }
                    _ => Event::Submitted(false),
                }
            }
            result = self.session.next_batch(&mut self.batch) => match result {
                Ok(()) => Event::Messages,
                Err(_) => Event::End(Ending::Closed(0x88)),
            },
            // After others have had their turn: a whole table takes milliseconds.
            () = tokio::task::yield_now(), if self.session.owes_retained() => Event::Retained,
            () = &mut self.timer => Event::Timer,
            // The sender lives as long as the door.
            Ok(()) = self.rights.changed() => Event::Rights,
            () = until(self.inbound.paused_until()) => Event::Resumed,
            eviction = claim.evictions.recv() => match eviction {
                Some(eviction) => Event::End(Ending::Evicted(eviction)),
                None => Event::End(Ending::Closed(0x8e)),
            },
            () = stopped(&mut self.shutdown) => Event::End(Ending::Shutdown),
        }
    }

    /// Back-pressure: a connection whose messages wait for the sequencer is not read.
    fn may_read(&self) -> bool {
        self.submission.is_none()
            && self.inbound.paused_until().is_none()
            && self.inbound.inflight() < self.door.settings.inflight_max as u64
    }

    async fn handle(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Read(Ok(0) | Err(_)) | Event::Written(Err(_)) => Err(Ending::Gone),
            Event::Read(Ok(count)) => {
                // A full read means that more waits: ask for more at once next time.
                self.read_bytes = if count >= self.read_bytes {
                    (self.read_bytes * 4).min(READ_BYTES_MAX)
                } else {
                    self.read_bytes
                };
                self.take_packets().await
            }
            Event::Written(Ok(count)) => {
                self.out.advance(count);
                self.unflushed = self.keeps_bytes && count > 0;
                self.active = Instant::now();
                // What waited at some moment must be gone in time; a byte now and then is not
                // enough. What came later has its own time.
                self.waiting = match self.waiting {
                    Some((since, left)) if left > count => Some((since, left - count)),
                    _ => None,
                };
                Ok(())
            }
            Event::Receipt(receipt) => {
                self.take_receipts(&receipt);
                Ok(())
            }
            Event::Submitted(true) => Ok(()),
            // Nobody takes prices any more: the daemon is about to end.
            Event::Submitted(false) => Err(Ending::Closed(0x88)),
            Event::Messages => {
                for arrival in self.batch.drain(..) {
                    self.session.take(arrival, true);
                }
                // The link is no part of tokio's budget: a client with much to come would keep
                // others with little waiting.
                tokio::task::yield_now().await;
                Ok(())
            }
            Event::Retained => {
                self.session.give_retained();
                Ok(())
            }
            Event::Timer => self.look_after(),
            Event::Rights => self.renew_rights().await,
            Event::Resumed => {
                self.inbound.resume();
                Ok(())
            }
            Event::End(ending) => Err(ending),
        }
    }

    fn take_receipts(&mut self, first: &Receipt) {
        self.inbound.receive(first);
        while let Ok(receipt) = self.receipts.try_recv() {
            self.inbound.receive(&receipt);
        }
        self.inbound
            .settle(&mut self.session.received, &mut self.out);
    }

    /// Keep-alive, write timeout, and what is no longer needed.
    fn look_after(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        let write_timeout = self.door.settings.write_timeout;
        let mut next = HOUSEKEEPING.min(write_timeout);
        if let Some((since, _)) = self.waiting {
            let waited = now.duration_since(since);
            if waited >= write_timeout {
                self.door.counters.close(Closed::WriteTimeout);
                return Err(Ending::Gone);
            }
            next = next.min(write_timeout - waited);
        }
        if let Some(silence_max) = self.silence_max {
            if !self.may_read() {
                // We are the ones who do not read.
                self.heard = now;
            }
            let silence = now.duration_since(self.heard);
            if silence >= silence_max {
                return Err(Ending::Closed(0x8d));
            }
            next = next.min(silence_max - silence);
        } else {
            let idle_max = self.door.settings.idle_timeout;
            let idle = now.duration_since(self.active.max(self.heard));
            if idle >= idle_max {
                return Err(Ending::Idle);
            }
            next = next.min(idle_max - idle);
        }
        let next = next.max(Duration::from_millis(10));
        self.timer.as_mut().reset((now + next).into());
        Ok(())
    }
}

/// Writes what the stream takes; with nothing left to write, moves on what it keeps. Cancel safe.
async fn push(writer: &mut WriteHalf<Stream>, out: &[u8]) -> std::io::Result<usize> {
    if out.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(out).await {
        Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// The CONNACK of a client that is let in.
fn greeting(
    door: &Door,
    connect: &Connect,
    client: &Client,
    assigned: bool,
    session_present: bool,
) -> BytesMut {
    let settings = &door.settings;
    let session_expiry = connect.session_expiry.min(settings.session_expiry_max);
    let keep_alive = connect.keep_alive.min(settings.keep_alive_max);
    let response_information = connect
        .wants_response_information
        .then(|| reply_topic(&client.id, ""));
    let ack = ConnAck {
        session_present,
        session_expiry_secs: (session_expiry < connect.session_expiry)
            .then(|| seconds(session_expiry)),
        receive_max: u16::try_from(receive_max(door)).unwrap_or(u16::MAX),
        packet_bytes_max: u32::try_from(settings.packet_bytes_max + 5).unwrap_or(u32::MAX),
        assigned_id: assigned.then_some(&client.id),
        topic_aliases_max: settings.topic_aliases_max,
        keep_alive_secs: (keep_alive < connect.keep_alive)
            .then(|| u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX)),
        response_information: response_information.as_deref(),
    };
    let mut out = BytesMut::new();
    encode::connack(&mut out, connect.version, &ack);
    out
}

/// Returns at this time; never without one.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
