//! What outlives a connection: the subscriptions, what waits for the client, and which of its
//! QoS 2 messages are half-way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use divisor_wire::topic::{filter_matches, shared_filter};

use super::Counters;
use super::codec::subscribe::{Entry, Retain};
use super::counters::Dropped;
use super::envelope::{Message, Qos};
use super::exchange::{Exchange, RouterDead};
use super::listener::Door;
use super::outbound::{Delivery, Outbound};
use super::retained::Retained;
use super::shared::Group;
use super::shares::{Shares, Taken};
use super::subscriber::Subscriber;

/// How long the versions of delivered retained messages are remembered. A live message that is
/// older than one of them was in the router when the table was read, and leaves it within
/// milliseconds because a session always drains its link.
const FLOORS_KEPT: Duration = Duration::from_secs(30);

/// Topics whose last version is remembered for the sake of overlapping filters before those are
/// dropped that have long been passed.
const SEEN_MAX: usize = 16_384;

/// How far one filter's log can lag behind another's, in publishes.
const SEEN_LAG: u64 = 1 << 20;

/// Whole tables of retained messages that may wait for one client, as every new subscription to
/// everything brings another; and how many messages may in any case.
const TABLES_MAX: usize = 4;
const RETAINED_LEAST: usize = 1_000;

/// A subscription of a client.
#[derive(Debug)]
struct Subscription {
    qos: Qos,
    no_local: bool,
    retain_as_published: bool,
    identifier: Option<u32>,
}

/// A message of the router, and the group that dealt it if one did.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) message: Message,
    pub(super) group: Option<Arc<Group>>,
}

impl From<Message> for Arrival {
    fn from(message: Message) -> Self {
        Self {
            message,
            group: None,
        }
    }
}

/// The state of one client id.
#[derive(Debug)]
pub(super) struct Session {
    /// Who publishes for this session, for no-local.
    pub(super) origin: u64,
    pub(super) outbound: Outbound,
    /// QoS 2 messages of the client that are durable and not released.
    pub(super) received: HashSet<u16>,
    /// By filter.
    subscriptions: BTreeMap<Box<str>, Subscription>,
    subscriber: Subscriber,
    shares: Shares,
    /// Messages up to this version may be older than a retained one that went out.
    floor_version: u64,
    floors: HashMap<Bytes, u64>,
    floors_set: Instant,
    /// The last version of each topic, kept only while filters overlap.
    seen: HashMap<Bytes, u64>,
    overlapping: bool,
    /// Messages of the router, between the link and the batch; empty but for a moment.
    routed: Vec<Message>,
    subscriptions_max: usize,
    exchange: Arc<Exchange>,
    counters: Arc<Counters>,
}

impl Session {
    pub(super) fn new(door: &Door) -> Self {
        let Door {
            settings,
            exchange,
            counters,
            ..
        } = door;
        let origin = exchange.new_origin();
        Self {
            origin,
            outbound: Outbound::new(settings),
            received: HashSet::new(),
            subscriptions: BTreeMap::new(),
            subscriber: Subscriber::new(Arc::clone(exchange)),
            shares: Shares::new(Arc::clone(&door.groups), origin),
            floor_version: 0,
            floors: HashMap::new(),
            floors_set: Instant::now(),
            seen: HashMap::new(),
            overlapping: false,
            routed: Vec::new(),
            subscriptions_max: settings.subscriptions_max,
            exchange: Arc::clone(exchange),
            counters: Arc::clone(counters),
        }
    }

    /// A client has come for the session.
    pub(super) fn connected(&mut self) {
        self.outbound.rewind();
        self.shares.set_connected(true);
    }

    /// The client is gone. What groups dealt to it goes to those members that are there.
    pub(super) fn disconnected(&mut self) {
        self.shares.set_connected(false);
        for arrival in self.shares.drain() {
            self.take(arrival, false);
        }
        self.shares.give_back(&mut self.outbound);
    }

    /// Takes a subscription, and says whether it is new; `None` when the client has too many, or
    /// still has too many retained messages to read.
    fn insert(&mut self, entry: &Entry, identifier: Option<u32>) -> Option<bool> {
        let subscription = Subscription {
            qos: entry.qos,
            no_local: entry.no_local,
            retain_as_published: entry.retain_as_published,
            identifier,
        };
        let table = self.exchange.retained_count();
        if self.outbound.retained_waiting() > (table * TABLES_MAX).max(RETAINED_LEAST) {
            return None;
        }
        if let Some(known) = self.subscriptions.get_mut(&entry.filter) {
            *known = subscription;
            Some(false)
        } else if self.has_room() {
            self.subscriptions
                .insert(entry.filter.clone(), subscription);
            Some(true)
        } else {
            None
        }
    }

    /// The filters the client is subscribed to.
    pub(super) fn filters(&self) -> Vec<Box<str>> {
        let plain = self.subscriptions.keys();
        plain.chain(self.shares.names()).cloned().collect()
    }

    fn has_room(&self) -> bool {
        self.subscriptions.len() + self.shares.len() < self.subscriptions_max
    }

    /// Subscribes to the entries, which are valid and allowed, and says what became of each.
    /// The retained messages wait behind everything that came before.
    pub(super) async fn subscribe(
        &mut self,
        entries: &[&Entry],
        identifier: Option<u32>,
    ) -> Result<Vec<Taken>, RouterDead> {
        let mut taken = Vec::with_capacity(entries.len());
        let mut fresh = Vec::with_capacity(entries.len());
        let mut filters = Vec::new();
        for entry in entries {
            if shared_filter(&entry.filter).is_some() {
                let room = self.has_room();
                taken.push(self.shares.join(entry, identifier, room).await?);
                fresh.push(None);
                continue;
            }
            let is_fresh = self.insert(entry, identifier);
            if is_fresh.is_some() {
                filters.push(&*entry.filter);
            }
            taken.push(is_fresh.map_or(Taken::TooMany, |_| Taken::Granted));
            fresh.push(is_fresh);
        }
        for message in self.subscriber.subscribe(filters).await? {
            self.take(message.into(), true);
        }
        self.overlapping = self.subscriber.overlaps();
        for (entry, fresh) in entries.iter().zip(&fresh) {
            let wanted = match (entry.retain_handling, fresh) {
                (_, None) | (Retain::Keep, _) | (Retain::SendIfNew, Some(false)) => false,
                (Retain::Send, _) | (Retain::SendIfNew, Some(true)) => true,
            };
            if wanted {
                self.send_retained(entry, identifier).await;
            }
        }
        Ok(taken)
    }

    async fn send_retained(&mut self, entry: &Entry, identifier: Option<u32>) {
        let exchange = Arc::clone(&self.exchange);
        for piece in exchange.retained_matching(&entry.filter) {
            self.queue_retained(piece, entry, identifier);
            // A whole table takes milliseconds; others have their turn in between.
            tokio::task::yield_now().await;
        }
        // Read after the table: whatever is newer was not in it.
        self.floor_version = self.floor_version.max(self.exchange.newest_version());
        self.floors_set = Instant::now();
    }

    fn queue_retained(&mut self, piece: Vec<Retained>, entry: &Entry, identifier: Option<u32>) {
        for retained in piece {
            let Retained {
                message, stored, ..
            } = retained;
            let expires = expires(&message, stored);
            if expires.is_some_and(|at| at <= Instant::now()) {
                continue;
            }
            self.floors.insert(message.topic.clone(), message.version);
            // Its batch may still be on the way to the router.
            self.floor_version = self.floor_version.max(message.version);
            self.outbound.push_retained(Delivery {
                topic: message.topic,
                payload: message.payload,
                properties: message.properties,
                qos: message.qos.min(entry.qos),
                retain: true,
                identifiers: identifier.into_iter().collect(),
                expires,
                shared: None,
            });
        }
    }

    /// Gives filters up; says of each whether the client had it.
    pub(super) async fn unsubscribe(
        &mut self,
        filters: &[Box<str>],
    ) -> Result<Vec<bool>, RouterDead> {
        let mut known = Vec::with_capacity(filters.len());
        for filter in filters {
            known.push(if shared_filter(filter).is_some() {
                self.shares.leave(filter, &mut self.outbound)
            } else {
                self.subscriptions.remove(filter).is_some()
            });
        }
        let filters = filters.iter().map(|filter| &**filter);
        for message in self.subscriber.unsubscribe(filters).await? {
            self.take(message.into(), true);
        }
        self.overlapping = self.subscriber.overlaps();
        if !self.overlapping {
            self.seen = HashMap::new();
        }
        Ok(known)
    }

    /// Waits for messages of the router and of groups. Cancel safe.
    pub(super) async fn next_batch(&mut self, batch: &mut Vec<Arrival>) -> Result<(), RouterDead> {
        tokio::select! {
            result = self.subscriber.next_batch(&mut self.routed) => {
                result?;
                let lost = self.subscriber.take_lost();
                if lost > 0 {
                    self.counters.drop_out(Dropped::RouterLag, lost);
                }
            }
            dealt = self.shares.next() => batch.push(dealt),
        }
        batch.extend(self.routed.drain(..).map(Arrival::from));
        batch.extend(self.shares.drain());
        Ok(())
    }

    /// Tells the groups whether this member keeps up.
    pub(super) fn tell_groups(&self) {
        self.shares.set_behind(self.outbound.is_behind());
    }

    /// Queues a message for the client, if a subscription of its asks for it. A client that is
    /// away is kept QoS 1 and 2 only.
    pub(super) fn take(&mut self, arrival: Arrival, connected: bool) {
        let Arrival { message, group } = arrival;
        if let Some(group) = group {
            let delivery = self.shares.delivery(group, message, connected);
            if let Some(delivery) = delivery {
                self.outbound.push(delivery, &self.counters);
            }
            return;
        }
        let Ok(topic) = std::str::from_utf8(&message.topic) else {
            return;
        };
        let mut qos = None;
        let mut retain = false;
        let mut identifiers = Vec::new();
        for (filter, known) in &self.subscriptions {
            let own = known.no_local && message.origin == self.origin;
            if own || !filter_matches(filter, topic) {
                continue;
            }
            qos = qos.max(Some(known.qos));
            retain |= known.retain_as_published && message.retain;
            identifiers.extend(known.identifier);
        }
        let Some(qos) = qos.map(|qos| qos.min(message.qos)) else {
            return;
        };
        if self.is_repeated(&message) || (!connected && qos == Qos::AtMostOnce) {
            return;
        }
        let delivery = Delivery {
            expires: expires(&message, Instant::now()),
            topic: message.topic,
            payload: message.payload,
            properties: message.properties,
            qos,
            retain,
            identifiers,
            shared: None,
        };
        self.outbound.push(delivery, &self.counters);
    }

    /// Whether the client has this message already, or a newer retained one of its topic. Versions
    /// rise within each filter's log, so one number for a topic tells both.
    fn is_repeated(&mut self, message: &Message) -> bool {
        if message.version <= self.floor_version
            && self
                .floors
                .get(&message.topic)
                .is_some_and(|floor| message.version <= *floor)
        {
            return true;
        }
        if !self.overlapping {
            return false;
        }
        if let Some(seen) = self.seen.get_mut(&message.topic) {
            let repeated = message.version <= *seen;
            *seen = message.version.max(*seen);
            return repeated;
        }
        if self.seen.len() >= SEEN_MAX {
            let oldest = message.version.saturating_sub(SEEN_LAG);
            self.seen.retain(|_, seen| *seen > oldest);
        }
        self.seen.insert(message.topic.clone(), message.version);
        false
    }

    /// Drops what is remembered and no longer needed; called now and then.
    pub(super) fn tidy(&mut self, now: Instant) {
        if now.duration_since(self.floors_set) > FLOORS_KEPT {
            self.floors = HashMap::new();
            self.floor_version = 0;
        }
    }
}

impl Drop for Session {
    /// Whatever ends a session, its groups get back what it did not deliver.
    fn drop(&mut self) {
        self.shares.leave_all(&mut self.outbound);
    }
}

/// When a message is no longer worth delivering.
pub(super) fn expires(message: &Message, since: Instant) -> Option<Instant> {
    let lifetime = Duration::from_secs(message.expiry_secs.into());
    (message.expiry_secs > 0).then(|| since.checked_add(lifetime))?
}
