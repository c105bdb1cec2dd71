//! The fan-out: one publishing link into rumqttd's router, one lazy link for each subscriber.
//!
//! The router does matching and distribution and nothing else. It never sees a client, a retain
//! flag, a QoS above 0 or a topic of a client's choosing that is not behind our prefix (see
//! [`super::envelope`]). Publishing from the sequencer's thread takes one lock and one wake of the
//! router for a whole batch.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use divisor_wire::topic::{filter_matches, filters_overlap};
use rumqttd::local::{LinkBuilder, LinkRx, LinkTx};
use rumqttd::protocol::{Packet, Publish};
use rumqttd::{Router, RouterConfig};
use tokio::sync::{mpsc, watch};

use super::envelope::{Message, ORIGIN_DAEMON, Qos, router_filter};
use super::retained::{Cursor, Matching, Retained, Table};
use super::subscriber::Link;
use super::{Counters, Settings};
use crate::egress::{Announcement, Outlet};
use crate::ingress::{Client, Refusal};

/// Messages that wait for the router before the publisher waits for it too. At the router's
/// slowest measured 130,000 messages/s this is half a second.
const BACKLOG_MAX: usize = 65_536;

/// How often a publisher that waits looks again.
const BACKLOG_PAUSE: Duration = Duration::from_micros(200);

/// Publications of one connection that the helper thread is handed at once. Connections take turns
/// by such pieces, so a client with a few messages waits for a piece of each other, not for all that
/// a louder one has to say.
const ASIDE_PIECE: usize = 16;

/// Pieces that wait for the helper thread.
const ASIDE_PIECES_MAX: usize = 1;

/// Messages that wait for the router before the helper thread waits for it too, which levels of the
/// daemon find before them. One that ten clients read takes the router 10 µs.
const ASIDE_BACKLOG_MAX: usize = 32;

/// Messages the router hands over to one reader before the next has its turn; it pauses a reader at
/// 200 anyway.
const ROUTER_BATCH: u64 = 64;

/// Something to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The topic; must be valid.
    pub topic: Arc<str>,
    /// The payload.
    pub payload: Bytes,
    /// The QoS it is offered at; a subscription may lower it.
    pub qos: Qos,
    /// Whether it becomes the topic's retained message; an empty payload clears it.
    pub retain: bool,
    /// The client that published it, [`ORIGIN_DAEMON`] for the daemon.
    pub origin: u64,
    /// Whose share of the retained messages it takes; `None` for the daemon's.
    pub owner: Option<Arc<str>>,
    /// Message expiry in seconds, 0 for none.
    pub expiry_secs: u32,
    /// Encoded MQTT 5 properties to be forwarded.
    pub properties: Bytes,
}

impl Publication {
    /// A message of the daemon, at QoS 1.
    #[must_use]
    pub fn from_daemon(topic: Arc<str>, payload: Bytes, retain: bool) -> Self {
        Self {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            retain,
            origin: ORIGIN_DAEMON,
            owner: None,
            expiry_secs: 0,
            properties: Bytes::new(),
        }
    }

    fn into_message(self, version: u64) -> (Arc<str>, Message) {
        let message = Message {
            version,
            origin: self.origin,
            qos: self.qos,
            retain: self.retain,
            expiry_secs: self.expiry_secs,
            properties: self.properties,
            topic: Bytes::copy_from_slice(self.topic.as_bytes()),
            payload: self.payload,
        };
        (self.topic, message)
    }
}

/// The router's thread is gone. Nothing can be fanned out any more; the daemon has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the router's thread has ended")]
pub struct RouterDead;

type Connect = Box<dyn Fn(&str) -> Result<(LinkTx, LinkRx), RouterDead> + Send + Sync>;

/// The fan-out, shared by the sequencer and all connections.
pub struct Exchange {
    /// Makes a link to the router; its event type has no public name.
    connect: Connect,
    publisher: Mutex<Publisher>,
    /// The version of the last publish.
    published: AtomicU64,
    retained: Table,
    filters: Mutex<Filters>,
    /// Rises whenever a filter comes or goes.
    filters_changed: AtomicU64,
    /// Filters that some session holds.
    filters_held: AtomicUsize,
    /// Those of them that a price topic can match.
    filters_price: AtomicUsize,
    filters_max: usize,
    /// Idle links for the next subscriber: a link that goes back costs nothing, one that is closed
    /// leaves its name in the router for ever and a stale entry in its scheduler.
    pool: Mutex<Vec<Link>>,
    link_names: AtomicU64,
    origins: AtomicU64,
    aside: mpsc::Sender<Vec<Publication>>,
    dead: watch::Sender<bool>,
    counters: Arc<Counters>,
}

struct Publisher {
    link: LinkTx,
    version: u64,
}

#[derive(Default)]
struct Filters {
    /// Filters of its own that the router has a log for; it never drops one.
    routed: HashSet<String>,
    /// The clients' filters and how many sessions hold each.
    held: HashMap<Box<str>, usize>,
}

impl Exchange {
    /// Starts the router's thread and two helpers.
    ///
    /// # Errors
    /// When a thread cannot be started or the router does not answer.
    pub fn start(settings: &Settings, counters: Arc<Counters>) -> anyhow::Result<Arc<Self>> {
        let router = Router::new(
            0,
            RouterConfig {
                // Links are pooled, so this many can never be reached by half.
                max_connections: settings.connections_max
                    + settings.sessions_max
                    + settings.shared_groups_max
                    + 16,
                max_outgoing_packet_count: ROUTER_BATCH,
                // The router panics below these.
                max_segment_size: settings.segment_bytes.max(1_024),
                max_segment_count: settings.segments.max(1),
                ..RouterConfig::default()
            },
        )
        .spawn();
        let connect: Connect = Box::new(move |name| {
            let built = LinkBuilder::new(name, router.clone()).build();
            built.map(|(tx, rx, _)| (tx, rx)).map_err(|_| RouterDead)
        });
        let (link, watched) = connect("publisher")?;
        let (aside, aside_rx) = mpsc::channel(ASIDE_PIECES_MAX);
        let (dead, _) = watch::channel(false);
        let exchange = Arc::new(Self {
            connect,
            publisher: Mutex::new(Publisher { link, version: 0 }),
            published: AtomicU64::new(0),
            retained: Table::new(settings.retained_max, settings.retained_per_client_max),
            filters: Mutex::default(),
            filters_changed: AtomicU64::new(0),
            filters_held: AtomicUsize::new(0),
            filters_price: AtomicUsize::new(0),
            filters_max: settings.filters_max,
            pool: Mutex::default(),
            link_names: AtomicU64::new(0),
            origins: AtomicU64::new(ORIGIN_DAEMON),
            aside,
            dead: dead.clone(),
            counters,
        });
        thread::Builder::new()
            .name("door-watch".to_owned())
            .spawn(move || watch_router(watched, &dead))?;
        let weak = Arc::downgrade(&exchange);
        thread::Builder::new()
            .name("door-aside".to_owned())
            .spawn(move || publish_aside(&weak, aside_rx))?;
        Ok(exchange)
    }

    /// Publishes one message. Blocks when the router is far behind: not for tokio's workers.
    pub fn publish(&self, publication: Publication) {
        self.publish_many([publication]);
    }

    /// Publishes a batch with one lock and one wake of the router. Blocks like [`Self::publish`].
    pub fn publish_many(&self, publications: impl IntoIterator<Item = Publication>) {
        let mut publisher = lock(&self.publisher);
        let mut packets = Vec::new();
        let mut retained = self.retained.writer();
        for publication in publications {
            publisher.version += 1;
            let owner = publication.owner.clone();
            let (topic, message) = publication.into_message(publisher.version);
            if message.retain && !retained.store(&topic, &message, owner.as_ref()) {
                Counters::add(&self.counters.dropped_retained);
            }
            if self.filters_held.load(Ordering::Acquire) > 0 {
                packets.push(message.seal());
            }
        }
        drop(retained);
        self.published.store(publisher.version, Ordering::Release);
        let Some((topic, body)) = packets.pop() else {
            return;
        };
        while publisher.link.buffer().len() > BACKLOG_MAX && !self.is_dead() {
            thread::sleep(BACKLOG_PAUSE);
        }
        publisher.link.buffer().extend(
            packets
                .into_iter()
                .map(|(topic, body)| Packet::Publish(Publish::new(topic, body, false), None)),
        );
        if publisher.link.publish(topic, body).is_err() {
            self.die();
        }
    }

    /// Publishes from a task: the helper thread does it, and a full queue holds the task up.
    pub async fn publish_aside(&self, mut publications: Vec<Publication>) {
        while !publications.is_empty() {
            let rest = publications.split_off(publications.len().min(ASIDE_PIECE));
            if self.aside.send(publications).await.is_err() {
                self.die();
            }
            publications = rest;
        }
    }

    /// Whether anyone reads prices, so that their copies cost nothing when nobody does.
    #[must_use]
    pub fn wants_prices(&self) -> bool {
        self.filters_price.load(Ordering::Relaxed) > 0
    }

    /// Whether some session's filter matches the topic.
    #[must_use]
    pub fn wants(&self, topic: &str) -> bool {
        self.filters_held.load(Ordering::Relaxed) > 0
            && lock(&self.filters)
                .held
                .keys()
                .any(|filter| filter_matches(filter, topic))
    }

    /// Rises whenever the answer of [`Self::wants`] may have changed.
    pub(super) fn wants_version(&self) -> u64 {
        self.filters_changed.load(Ordering::Acquire)
    }

    /// Whether a retained message of this owner would be kept.
    #[must_use]
    pub fn retains(&self, topic: &str, owner: &str) -> bool {
        self.retained.has_room(topic, owner)
    }

    /// The retained messages that match, however many, in pieces.
    pub fn retained_matching<'a>(&'a self, filter: &'a str) -> Matching<'a> {
        self.retained.matching(filter)
    }

    /// The next piece of them; what changes meanwhile is seen or not.
    pub(super) fn retained_piece(&self, filter: &str, cursor: &mut Cursor) -> Vec<Retained> {
        self.retained.piece(filter, cursor)
    }

    /// How many topics have a retained message.
    #[must_use]
    pub fn retained_count(&self) -> usize {
        self.retained.len()
    }

    /// The version of the newest publish. What the table holds now has this one or an earlier, and
    /// what comes later through the router a later one.
    #[must_use]
    pub fn newest_version(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Whether the router's thread has ended.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Returns when the router's thread has ended. The daemon waits for this and stops.
    pub async fn died(&self) {
        let mut dead = self.dead.subscribe();
        // The sender lives in `self`, so waiting can only end with true.
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// A number for the publisher of a session, for MQTT 5's no-local.
    pub(super) fn new_origin(&self) -> u64 {
        self.origins.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A link of the pool or a new one. Blocks.
    pub(super) fn link(&self) -> Result<Link, RouterDead> {
        if let Some(link) = lock(&self.pool).pop() {
            return Ok(link);
        }
        // Links are named by number: the router refuses wildcards and slashes in a name, and a
        // name that comes twice would throw the first out.
        let number = self.link_names.fetch_add(1, Ordering::Relaxed);
        match (self.connect)(&format!("s{number}")) {
            Ok((tx, rx)) => Ok(Link::new(tx, rx)),
            Err(_) => {
                self.die();
                Err(RouterDead)
            }
        }
    }

    /// Links to the router ever made: as many as there were subscribers at the same time.
    #[must_use]
    pub fn links_made(&self) -> u64 {
        self.link_names.load(Ordering::Relaxed)
    }

    /// Takes a link without subscriptions back.
    pub(super) fn give_back(&self, link: Link) {
        lock(&self.pool).push(link);
    }

    /// Notes that a session holds a filter, and says which filter of the router serves it: its
    /// own, or `#` when the router has as many logs as it may.
    pub(super) fn hold(&self, filter: &str) -> String {
        let mut filters = lock(&self.filters);
        *filters.held.entry(filter.into()).or_default() += 1;
        self.filters_changed.fetch_add(1, Ordering::AcqRel);
        self.filters_held.fetch_add(1, Ordering::AcqRel);
        if filters_overlap(filter, "securities/+/price") {
            self.filters_price.fetch_add(1, Ordering::AcqRel);
        }
        let routed = router_filter(filter);
        if filters.routed.contains(&routed) {
            return routed;
        }
        if filters.routed.len() >= self.filters_max {
            return router_filter("#");
        }
        filters.routed.insert(routed.clone());
        routed
    }

    /// Notes that a session no longer holds a filter.
    pub(super) fn release(&self, filter: &str) {
        let mut filters = lock(&self.filters);
        if let Some(count) = filters.held.get_mut(filter) {
            *count -= 1;
            if *count == 0 {
                filters.held.remove(filter);
            }
        }
        self.filters_changed.fetch_add(1, Ordering::AcqRel);
        self.filters_held.fetch_sub(1, Ordering::AcqRel);
        if filters_overlap(filter, "securities/+/price") {
            self.filters_price.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn die(&self) {
        self.dead.send_replace(true);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("published", &self.published)
            .field("filters_held", &self.filters_held)
            .finish_non_exhaustive()
    }
}

/// Ends when the router's thread has ended, by panic or otherwise: it then drops the other half of
/// the publishing link, which in its life brings nothing.
fn watch_router(mut link: LinkRx, dead: &watch::Sender<bool>) {
    while link.recv().is_ok() {}
    dead.send_replace(true);
}

fn publish_aside(exchange: &Weak<Exchange>, mut queue: mpsc::Receiver<Vec<Publication>>) {
    while let Some(piece) = queue.blocking_recv() {
        let Some(exchange) = exchange.upgrade() else {
            return;
        };
        // Without the lock between two looks: levels go first.
        while lock(&exchange.publisher).link.buffer().len() > ASIDE_BACKLOG_MAX
            && !exchange.is_dead()
        {
            thread::sleep(BACKLOG_PAUSE);
        }
        exchange.publish_many(piece);
    }
}

/// The data under these locks is whole after every statement, so a panicked holder spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose share of the retained messages a client's take: its user's, or its own where nobody has
/// a name.
pub(super) fn owner(client: &Client) -> &str {
    client.user.as_deref().unwrap_or(&client.id)
}

/// The sequencer's side of the fan-out.
impl Outlet for Arc<Exchange> {
    fn wants_prices(&self) -> bool {
        Exchange::wants_prices(self)
    }

    fn lost(&self) -> u64 {
        self.counters.lost()
    }

    fn publish(&self, announcements: Vec<Announcement>) {
        self.publish_many(announcements.into_iter().map(Publication::from));
    }

    fn count_refusals(&self, refusals: &[Refusal]) {
        for refusal in refusals {
            self.counters.rejected.add(refusal.reason);
        }
    }
}

impl From<Announcement> for Publication {
    fn from(announcement: Announcement) -> Self {
        let Announcement {
            topic,
            payload,
            retain,
            correlation,
            subject: _,
        } = announcement;
        let properties = correlation.map_or_else(Bytes::new, |data| correlation_property(&data));
        Self {
            properties,
            ..Self::from_daemon(topic, payload, retain)
        }
    }
}

/// MQTT 5 §3.3.2.3.6: correlation data is property 9, a binary with a two-byte length.
fn correlation_property(data: &[u8]) -> Bytes {
    const CORRELATION_DATA: u8 = 9;
    let Ok(len) = u16::try_from(data.len()) else {
        return Bytes::new();
    };
    let mut property = Vec::with_capacity(3 + data.len());
    property.push(CORRELATION_DATA);
    property.extend_from_slice(&len.to_be_bytes());
    property.extend_from_slice(data);
    property.into()
}
