//! Shared subscriptions, `$share/{group}/{filter}`: each message goes to one member of the group.
//!
//! A group has one link to the router and a task that deals its messages out. The router's own
//! `$share` is not used: a member that stops reading starves its group there, and one that leaves
//! with an unacknowledged message ends the router (BROKER.md §2).
//!
//! Who gets a message: the members in turn, those that are connected and not behind first, then
//! those that are connected, then those whose session waits for them. What a member has not
//! received when its connection ends goes back to the group and to somebody else: everything that
//! was waiting, and QoS 1 messages without a PUBACK. A QoS 2 message on its way stays with its
//! member, as the specification wants. Nothing retained comes with a shared subscription.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use divisor_wire::topic::shared_filter;
use tokio::sync::{Notify, mpsc, watch};

use super::Counters;
use super::counters::Dropped;
use super::envelope::{Message, Qos};
use super::exchange::{Exchange, RouterDead};
use super::subscriber::Subscriber;

/// Messages dealt to a member that its task has not taken yet. Small, so that they spread.
pub(super) const MAILBOX: usize = 64;

/// How often a group whose members are all full looks again.
const ALL_FULL_PAUSE: Duration = Duration::from_millis(5);

/// A message on its way to a member's session.
pub(super) type Dealt = (Arc<Group>, Message);

/// What a group may know of a member's session.
#[derive(Debug, Default)]
pub(super) struct Presence {
    pub(super) connected: AtomicBool,
    /// Much waits in its queue.
    pub(super) behind: AtomicBool,
}

/// A session as a member of groups.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The session's number.
    pub(super) id: u64,
    pub(super) qos: Qos,
    pub(super) mailbox: mpsc::Sender<Dealt>,
    pub(super) presence: Arc<Presence>,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Whose turn it is.
    next: usize,
    /// The last one has left; nobody joins any more.
    closed: bool,
}

/// One group of one filter.
#[derive(Debug)]
pub(super) struct Group {
    members: Mutex<Members>,
    /// What members give back.
    returned: mpsc::UnboundedSender<Message>,
    /// True once the router serves the filter.
    ready: watch::Receiver<bool>,
    closed: Notify,
    counters: Arc<Counters>,
}

/// All groups, by the whole text of their subscription.
#[derive(Debug)]
pub(super) struct Groups {
    exchange: Arc<Exchange>,
    counters: Arc<Counters>,
    groups_max: usize,
    by_name: Mutex<HashMap<Box<str>, Arc<Group>>>,
}

/// Why a session does not become a member.
#[derive(Debug)]
pub(super) enum JoinError {
    /// There are as many groups as there may be.
    Full,
    /// The router is gone.
    Dead,
}

impl Groups {
    pub(super) fn new(
        exchange: Arc<Exchange>,
        counters: Arc<Counters>,
        groups_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            exchange,
            counters,
            groups_max,
            by_name: Mutex::default(),
        })
    }

    /// Makes the session a member, or changes its QoS if it is one. When this returns the router
    /// serves the group's filter.
    pub(super) async fn join(&self, name: &str, member: Member) -> Result<Arc<Group>, JoinError> {
        let group = self.enter(name, member)?;
        let mut ready = group.ready.clone();
        let is_ready = ready.wait_for(|ready| *ready).await.is_ok();
        is_ready.then_some(group).ok_or(JoinError::Dead)
    }

    fn enter(&self, name: &str, member: Member) -> Result<Arc<Group>, JoinError> {
        let mut groups = lock(&self.by_name);
        let count = groups.len();
        match groups.entry(name.into()) {
            Entry::Occupied(entry) => {
                entry.get().take_in(member);
                Ok(Arc::clone(entry.get()))
            }
            Entry::Vacant(_) if count >= self.groups_max => Err(JoinError::Full),
            Entry::Vacant(entry) => {
                let group = self.found(name);
                group.take_in(member);
                entry.insert(Arc::clone(&group));
                Counters::add(&self.counters.shared_groups);
                Ok(group)
            }
        }
    }

    /// A new group with its task.
    fn found(&self, name: &str) -> Arc<Group> {
        let (returned, given_back) = mpsc::unbounded_channel();
        let (ready, is_ready) = watch::channel(false);
        let group = Arc::new(Group {
            members: Mutex::default(),
            returned,
            ready: is_ready,
            closed: Notify::new(),
            counters: Arc::clone(&self.counters),
        });
        let filter = shared_filter(name).map_or(name, |(_, filter)| filter);
        let task = Task {
            group: Arc::clone(&group),
            subscriber: Subscriber::new(Arc::clone(&self.exchange)),
            given_back,
        };
        tokio::spawn(task.run(filter.into(), ready));
        group
    }

    /// Ends a membership. The last member takes the group with it.
    pub(super) fn leave(&self, name: &str, group: &Arc<Group>, id: u64) {
        let mut groups = lock(&self.by_name);
        let mut members = lock(&group.members);
        members.list.retain(|member| member.id != id);
        if members.list.is_empty() && !members.closed {
            members.closed = true;
            group.closed.notify_one();
            groups.remove(name);
            self.counters.shared_groups.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What became of one attempt to deal a message.
enum Attempt {
    Dealt,
    /// Nobody who could take it.
    Nobody,
    /// Everyone who could is full.
    Full,
}

impl Group {
    fn take_in(&self, member: Member) {
        let mut members = lock(&self.members);
        match members.list.iter_mut().find(|known| known.id == member.id) {
            Some(known) => *known = member,
            None => members.list.push(member),
        }
    }

    /// Takes a message back that a member did not receive.
    pub(super) fn give_back(&self, message: Message) {
        if let Err(unsent) = self.returned.send(message) {
            drop(unsent);
            self.counters.drop_out(Dropped::SharedNobody, 1);
        }
    }

    /// Whether somebody else could receive now what this member cannot.
    pub(super) fn has_other_connected(&self, id: u64) -> bool {
        let members = lock(&self.members);
        let mut others = members.list.iter().filter(|member| member.id != id);
        others.any(|member| member.presence.connected.load(Ordering::Acquire))
    }

    fn is_closed(&self) -> bool {
        lock(&self.members).closed
    }

    /// Deals a message to the next member that can take it.
    fn deal(self: &Arc<Self>, message: &Message) -> Attempt {
        let mut members = lock(&self.members);
        let count = members.list.len();
        let mut attempt = Attempt::Nobody;
        for preference in [Preference::Keeping, Preference::Connected, Preference::Any] {
            for step in 0..count {
                let at = (members.next + step) % count;
                let member = &members.list[at];
                if !preference.fits(member, message) {
                    continue;
                }
                let dealt = (Arc::clone(self), message.clone());
                match member.mailbox.try_send(dealt) {
                    Ok(()) => {
                        members.next = at + 1;
                        return Attempt::Dealt;
                    }
                    Err(mpsc::error::TrySendError::Full(_)) => attempt = Attempt::Full,
                    // Its session has just ended; it is about to leave.
                    Err(mpsc::error::TrySendError::Closed(_)) => {}
                }
            }
            // A member that is full for a moment is better than one that is away.
            if matches!(attempt, Attempt::Full) {
                break;
            }
        }
        attempt
    }
}

/// Whom a group looks for, the best first.
#[derive(Clone, Copy)]
enum Preference {
    /// Connected, and keeping up.
    Keeping,
    Connected,
    /// Also a session that waits for its client; nothing is kept for it at QoS 0.
    Any,
}

impl Preference {
    fn fits(self, member: &Member, message: &Message) -> bool {
        let connected = member.presence.connected.load(Ordering::Acquire);
        match self {
            Self::Keeping => connected && !member.presence.behind.load(Ordering::Relaxed),
            Self::Connected => connected,
            Self::Any => connected || member.qos.min(message.qos) > Qos::AtMostOnce,
        }
    }
}

/// The task of a group.
struct Task {
    group: Arc<Group>,
    subscriber: Subscriber,
    given_back: mpsc::UnboundedReceiver<Message>,
}

impl Task {
    async fn run(mut self, filter: Box<str>, ready: watch::Sender<bool>) {
        match self.subscriber.subscribe([&*filter]).await {
            Ok(messages) => {
                ready.send_replace(true);
                for message in messages {
                    self.deal(message).await;
                }
            }
            // Those who wait see the sender go.
            Err(RouterDead) => return,
        }
        let group = Arc::clone(&self.group);
        let mut batch = Vec::new();
        while !group.is_closed() {
            tokio::select! {
                Some(message) = self.given_back.recv() => self.deal(message).await,
                result = self.subscriber.next_batch(&mut batch) => {
                    let lost = self.subscriber.take_lost();
                    if lost > 0 {
                        group.counters.drop_out(Dropped::RouterLag, lost);
                    }
                    for message in batch.drain(..) {
                        self.deal(message).await;
                    }
                    if result.is_err() {
                        return;
                    }
                }
                () = group.closed.notified() => {}
            }
        }
        self.given_back.close();
        while let Ok(message) = self.given_back.try_recv() {
            drop(message);
            group.counters.drop_out(Dropped::SharedNobody, 1);
        }
    }

    /// Deals one message, waiting while everyone is full: the router's log waits behind it.
    async fn deal(&mut self, message: Message) {
        while !self.group.is_closed() {
            match self.group.deal(&message) {
                Attempt::Dealt => return,
                Attempt::Full => tokio::time::sleep(ALL_FULL_PAUSE).await,
                Attempt::Nobody if message.qos == Qos::AtMostOnce => return,
                Attempt::Nobody => break,
            }
        }
        self.group.counters.drop_out(Dropped::SharedNobody, 1);
    }
}

/// The data under these locks is whole after every statement, so a panicked holder spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
