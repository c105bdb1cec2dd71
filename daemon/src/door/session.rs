//! What outlives a connection: the subscriptions, what waits for the client, and which of its
//! QoS 2 messages are half-way.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
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
use super::retained::{Cursor, Retained};
use super::shared::Group;
use super::shares::{Shares, Taken};
use super::subscriber::Subscriber;

/// Topics whose last version is remembered for the sake of overlapping filters before those are
/// dropped that have long been passed.
const SEEN_MAX: usize = 16_384;

/// How far one filter's log can lag behind another's, in publishes.
const SEEN_LAG: u64 = 1 << 20;

/// Retained messages that wait for a client when it is given more of those it asked for.
const RETAINED_LOW: usize = 256;

/// A subscription of a client.
#[derive(Debug)]
struct Subscription {
    qos: Qos,
    no_local: bool,
    retain_as_published: bool,
    identifier: Option<u32>,
    /// The newest publish when the subscription began; it is for what came after that.
    since: u64,
    /// The newest publish when retained messages were last asked for. What was retained by then
    /// comes from the table and not again from the router.
    retained_until: u64,
}

/// Retained messages that a subscription has asked for and not all been given.
#[derive(Debug)]
struct Walk {
    filter: Box<str>,
    cursor: Cursor,
    /// The newest publish when they were asked for. What is newer comes live.
    until: u64,
    /// Their place among what waits for the client.
    place: u64,
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
    /// Retained messages to be given, by and by.
    walks: VecDeque<Walk>,
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
            walks: VecDeque::new(),
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
    /// has asked too often for retained messages without reading them.
    fn insert(&mut self, entry: &Entry, identifier: Option<u32>) -> Option<bool> {
        let mut subscription = Subscription {
            qos: entry.qos,
            no_local: entry.no_local,
            retain_as_published: entry.retain_as_published,
            identifier,
            // Begins when the router knows of it.
            since: u64::MAX,
            retained_until: 0,
        };
        if self.walks.len() >= self.subscriptions_max {
            return None;
        }
        if let Some(known) = self.subscriptions.get_mut(&entry.filter) {
            subscription.since = known.since;
            subscription.retained_until = known.retained_until;
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
        let meanwhile = self.subscriber.subscribe(filters).await?;
        self.overlapping = self.subscriber.overlaps();
        // All of what came meanwhile is older than this, and all that comes from now on is newer
        // or was for another filter before.
        let newest = self.exchange.newest_version();
        for (entry, fresh) in entries.iter().zip(&fresh) {
            if let Some(is_new) = fresh {
                self.begin(entry, *is_new, newest);
            }
        }
        for message in meanwhile {
            self.take(message.into(), true);
        }
        Ok(taken)
    }

    /// Begins a subscription that the router knows of.
    fn begin(&mut self, entry: &Entry, is_new: bool, newest: u64) {
        let Some(known) = self.subscriptions.get_mut(&entry.filter) else {
            return;
        };
        if is_new {
            known.since = newest;
        }
        let wants_retained = match entry.retain_handling {
            Retain::Send => true,
            Retain::SendIfNew => is_new,
            Retain::Keep => false,
        };
        if wants_retained {
            known.retained_until = newest;
            self.walks.push_back(Walk {
                filter: entry.filter.clone(),
                cursor: Cursor::default(),
                until: newest,
                place: self.outbound.take_place(),
            });
        }
    }

    /// Whether the client has read so much that it should be given more retained messages.
    pub(super) fn owes_retained(&self) -> bool {
        !self.walks.is_empty() && self.outbound.retained_waiting() < RETAINED_LOW
    }

    /// Gives the client the next retained messages that it asked for, one piece of the table.
    pub(super) fn give_retained(&mut self) {
        let Some(walk) = self.walks.front_mut() else {
            return;
        };
        // The subscription may be gone or have other options since.
        let subscription = self.subscriptions.get(&walk.filter);
        if let Some(subscription) = subscription {
            for retained in self.exchange.retained_piece(&walk.filter, &mut walk.cursor) {
                let Retained {
                    message, stored, ..
                } = retained;
                let expires = expires(&message, stored);
                if message.version > walk.until || expires.is_some_and(|at| at <= Instant::now()) {
                    continue;
                }
                let delivery = Delivery {
                    topic: message.topic,
                    payload: message.payload,
                    properties: message.properties,
                    qos: message.qos.min(subscription.qos),
                    retain: true,
                    identifiers: subscription.identifier.into_iter().collect(),
                    expires,
                    shared: None,
                };
                self.outbound.push_retained(walk.place, delivery);
            }
        }
        if subscription.is_none() || walk.cursor.is_done() {
            self.walks.pop_front();
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
            let passed = message.version <= known.since
                || (message.retain && message.version <= known.retained_until);
            if own || passed || !filter_matches(filter, topic) {
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

    /// Whether the client has this message already. Versions rise within each filter's log, so one
    /// number for a topic tells.
    fn is_repeated(&mut self, message: &Message) -> bool {
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
