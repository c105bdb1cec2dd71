//! A session's end of the fan-out: a link to the router, made at the first SUBSCRIBE and given
//! back to the pool at the end. Publishers that never subscribe have none.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use divisor_wire::topic::filter_matches;
use rumqttd::Notification;
use rumqttd::local::{LinkRx, LinkTx};
use tokio::runtime::Handle;

use super::envelope::Message;
use super::exchange::{Exchange, RouterDead};
use super::routes::Routes;

/// Messages taken from the link before the connection looks at its other events, and others at
/// theirs.
const BATCH_MAX: usize = 64;

/// Both halves of a link.
pub(super) struct Link {
    /// Shared with blocking threads, since every send may wait for the router.
    tx: Arc<Mutex<LinkTx>>,
    rx: LinkRx,
    /// The router has stopped serving this link until it is woken. Kept here and not in a local,
    /// since the future that would wake it can be dropped half-way.
    owes_wake: bool,
    /// Commands the router has not acknowledged; kept here for the same reason.
    unacked: usize,
    /// The router's logs that it reads.
    logs: Vec<Log>,
    /// Messages that fell out of a log before they could be read.
    lost: u64,
}

/// The log of one of the router's filters.
struct Log {
    filter: String,
    /// The place of the last message that came from it.
    offset: Option<u64>,
    /// A message of it can be told from those of other logs, and is one for the client.
    is_counted: bool,
}

impl Link {
    pub(super) fn new(tx: LinkTx, rx: LinkRx) -> Self {
        Self {
            tx: Arc::new(Mutex::new(tx)),
            rx,
            owes_wake: false,
            unacked: 0,
            logs: Vec::new(),
            lost: 0,
        }
    }

    /// The next thing the router says; `Acked` for one acknowledged subscribe or unsubscribe.
    /// Cancel safe.
    async fn next(&mut self) -> Result<Event, RouterDead> {
        loop {
            if self.owes_wake {
                self.rx.wake().await.map_err(|_| RouterDead)?;
                self.owes_wake = false;
            }
            match self.rx.next().await.map_err(|_| RouterDead)? {
                Some(Notification::Forward(forward)) => {
                    self.count_lost(&forward.publish.topic, forward.cursor);
                    let publish = forward.publish;
                    if let Some(message) = Message::open(&publish.topic, &publish.payload) {
                        return Ok(Event::Message(message));
                    }
                }
                Some(Notification::DeviceAck(_)) => return Ok(Event::Acked),
                // Without the wake the router would send 200 messages and then nothing, for ever.
                Some(Notification::Unschedule) => self.owes_wake = true,
                Some(Notification::Disconnect(..)) => {
                    return Err(RouterDead);
                }
                Some(
                    Notification::ReplicaData { .. }
                    | Notification::ReplicaAcks { .. }
                    | Notification::Shadow(_),
                )
                // The router wakes a link whose buffer was already taken.
                | None => {}
            }
        }
    }

    /// Places in a log rise by one, so a gap is what the router dropped. It does not say which log
    /// a message is from: where filters overlap nothing is counted.
    fn count_lost(&mut self, topic: &[u8], cursor: Option<(u64, u64)>) {
        let (Some((_, offset)), Ok(topic)) = (cursor, std::str::from_utf8(topic)) else {
            return;
        };
        let of = |log: &&mut Log| log.is_counted && filter_matches(&log.filter, topic);
        if let Some(log) = self.logs.iter_mut().find(of)
            && let Some(last) = log.offset.replace(offset)
        {
            self.lost += offset.saturating_sub(last + 1);
        }
    }

    /// Notes which logs it reads from now on.
    fn read(&mut self, routes: &Routes) {
        let log = |(filter, is_counted): (&str, bool)| Log {
            filter: filter.to_owned(),
            offset: None,
            is_counted,
        };
        self.logs = routes.told_apart().map(log).collect();
    }

    /// Sends one command for each filter and waits until the router has done them all. Returns the
    /// messages that came in between.
    async fn command(
        &mut self,
        filters: Vec<String>,
        send: fn(&mut LinkTx, String) -> Result<(), RouterDead>,
    ) -> Result<Vec<Message>, RouterDead> {
        self.unacked += filters.len();
        let tx = Arc::clone(&self.tx);
        let sending = tokio::task::spawn_blocking(move || {
            let mut tx = tx.lock().unwrap_or_else(PoisonError::into_inner);
            filters
                .into_iter()
                .try_for_each(|filter| send(&mut tx, filter))
        });
        let mut messages = Vec::new();
        while self.unacked > 0 {
            match self.next().await? {
                Event::Acked => self.unacked -= 1,
                Event::Message(message) => messages.push(message),
            }
        }
        match sending.await {
            Ok(Ok(())) => Ok(messages),
            _ => Err(RouterDead),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("rx", &self.rx.id())
            .finish_non_exhaustive()
    }
}

enum Event {
    Message(Message),
    Acked,
}

/// A session's subscriptions at the router.
#[derive(Debug)]
pub(super) struct Subscriber {
    exchange: Arc<Exchange>,
    /// `None` before the first subscription.
    link: Option<Link>,
    routes: Routes,
}

impl Subscriber {
    pub(super) fn new(exchange: Arc<Exchange>) -> Self {
        Self {
            exchange,
            link: None,
            routes: Routes::default(),
        }
    }

    /// True when one message can arrive more than once.
    pub(super) fn overlaps(&self) -> bool {
        self.routes.overlap()
    }

    /// Subscribes at the router. When this returns every later publish will come through
    /// [`Self::next_batch`]; the messages of other filters that came meanwhile are returned.
    pub(super) async fn subscribe(
        &mut self,
        filters: impl IntoIterator<Item = &str>,
    ) -> Result<Vec<Message>, RouterDead> {
        let mut fresh = Vec::new();
        for filter in filters {
            // `$` topics do not exist here: clients may not publish them and the daemon does not.
            if self.routes.contains(filter) || filter.starts_with('$') {
                continue;
            }
            let routed = self.exchange.hold(filter);
            if self.routes.insert(filter, &routed) {
                fresh.push(routed);
            }
        }
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        self.routes.compare();
        let link = match &mut self.link {
            Some(link) => link,
            slot => {
                let exchange = Arc::clone(&self.exchange);
                let opened = tokio::task::spawn_blocking(move || exchange.link()).await;
                slot.insert(opened.map_err(|_| RouterDead)??)
            }
        };
        link.read(&self.routes);
        link.command(fresh, subscribe).await
    }

    /// Gives filters up, with the messages that came meanwhile.
    pub(super) async fn unsubscribe(
        &mut self,
        filters: impl IntoIterator<Item = &str>,
    ) -> Result<Vec<Message>, RouterDead> {
        let mut unused = Vec::new();
        for filter in filters {
            if self.routes.contains(filter) {
                self.exchange.release(filter);
                unused.extend(self.routes.remove(filter).map(|routed| routed.to_string()));
            }
        }
        match &mut self.link {
            Some(link) if !unused.is_empty() => {
                self.routes.compare();
                link.read(&self.routes);
                link.command(unused, unsubscribe).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Messages lost in the router since the last call, as far as that can be told.
    pub(super) fn take_lost(&mut self) -> u64 {
        self.link
            .as_mut()
            .map_or(0, |link| std::mem::take(&mut link.lost))
    }

    /// Waits for messages and takes all that are there, up to a batch. Cancel safe: nothing is
    /// held across a point where the future can be dropped. Never returns without a link.
    pub(super) async fn next_batch(&mut self, batch: &mut Vec<Message>) -> Result<(), RouterDead> {
        let Some(link) = &mut self.link else {
            return std::future::pending().await;
        };
        let mut next = link.next().await;
        loop {
            match next {
                Ok(Event::Message(message)) => batch.push(message),
                // Acknowledgements are awaited where the commands are sent.
                Ok(Event::Acked) => {}
                Err(_) => {
                    self.exchange.die();
                    return Err(RouterDead);
                }
            }
            if batch.len() >= BATCH_MAX {
                return Ok(());
            }
            match poll_once(link.next()).await {
                Some(event) => next = event,
                None => return Ok(()),
            }
        }
    }
}

impl Drop for Subscriber {
    /// Whatever ends a session, its link goes back to the pool without subscriptions.
    fn drop(&mut self) {
        for filter in self.routes.filters() {
            self.exchange.release(filter);
        }
        let Some(mut link) = self.link.take() else {
            return;
        };
        let routed: Vec<String> = self
            .routes
            .routed()
            .map(|routed| routed.to_string())
            .collect();
        let exchange = Arc::clone(&self.exchange);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if link.command(routed, unsubscribe).await.is_ok() {
                    exchange.give_back(link);
                }
            });
        }
    }
}

fn subscribe(tx: &mut LinkTx, filter: String) -> Result<(), RouterDead> {
    tx.subscribe(filter).map(drop).map_err(|_| RouterDead)
}

fn unsubscribe(tx: &mut LinkTx, filter: String) -> Result<(), RouterDead> {
    tx.unsubscribe(filter).map(drop).map_err(|_| RouterDead)
}

/// The result of a future that needs no waiting.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
