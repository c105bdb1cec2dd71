//! The MQTT client: connects with clear errors, survives a broken connection without losing a
//! message, and asks the daemon questions.

mod address;
mod broker;
mod driver;
mod outbox;
mod request;
mod subscriptions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS,
    TlsConfiguration, Transport,
};
use tokio::sync::{Notify, OnceCell, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) use address::Address;
pub(crate) use broker::{Broker, Login, trust};
pub(crate) use outbox::Account;
pub(crate) use request::{Asked, RequestError, TIMEOUT, fresh_id, random};

use driver::Driver;
use outbox::Outbox;
use subscriptions::Subscriptions;

/// The largest packet taken in: an `index.show` of thousands of constituents is one reply.
/// rumqttc's default of 10 KiB would cut the connection.
const PACKET_BYTES_MAX: usize = 16 << 20;
/// Messages that may wait for the command before the socket is held back.
const MESSAGES_MAX: usize = 4096;
/// Room in the client's channel beside the window, for subscriptions and the farewell.
const CHANNEL_EXTRA: usize = 64;
/// How long a TCP connect and the CONNACK may take.
const CONNECT_TIMEOUT_S: u64 = 5;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long the farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Unacknowledged messages when a command has no wish of its own.
pub(crate) const WINDOW: u16 = 1000;

/// No broker at the address, or one that refuses us. Says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {address}: {reason}; {advice}")]
pub(crate) struct ConnectError {
    address: String,
    reason: String,
    advice: &'static str,
}

impl ConnectError {
    /// Nobody answers at the address of the page.
    pub(crate) fn unreachable(address: &str, error: &std::io::Error) -> Self {
        Self {
            address: address.to_owned(),
            reason: error.to_string(),
            advice: "is divisord running, and is --http right?",
        }
    }
}

/// The connection broke and did not come back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the connection to the broker is lost: {0}")]
pub(crate) struct Lost(pub String);

/// What arrives on a subscription.
#[derive(Debug)]
pub(crate) struct Message {
    /// Where it was published.
    pub(crate) topic: String,
    /// Its bytes.
    pub(crate) payload: Vec<u8>,
    /// True for what the broker had kept from before.
    pub(crate) retained: bool,
}

/// A connection. Cheap calls through a shared reference; the driver task does the work.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    client: AsyncClient,
    messages: Option<mpsc::Receiver<Message>>,
    subscribed_replies: OnceCell<()>,
    driver: JoinHandle<()>,
    id: String,
}

/// What the connection and its driver share.
#[derive(Debug)]
struct Shared {
    outbox: Mutex<Outbox>,
    subscriptions: Mutex<Subscriptions>,
    waiters: Mutex<HashMap<String, oneshot::Sender<Vec<u8>>>>,
    /// The topic prefix of replies to this client.
    replies_below: String,
    /// One permit for each message that may still be sent before an acknowledgement comes.
    window: Semaphore,
    /// Rung at each finished message.
    progress: Notify,
    lost: watch::Sender<Option<Lost>>,
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Vec<u8>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiter(&self, id: &str) -> Option<oneshot::Sender<Vec<u8>>> {
        self.waiters().remove(id)
    }

    fn finished(&self, done: bool) {
        if done {
            self.window.add_permits(1);
            self.progress.notify_waiters();
        }
    }

    /// Ends every wait with the reason.
    fn give_up(&self, lost: Lost) {
        self.lost.send_if_modified(|before| {
            let first = before.is_none();
            if first {
                *before = Some(lost);
            }
            first
        });
        self.window.close();
        self.waiters().clear();
        self.subscriptions().give_up();
        self.progress.notify_waiters();
    }

    fn lost(&self) -> Lost {
        self.lost
            .borrow()
            .clone()
            .unwrap_or_else(|| Lost("closed".to_owned()))
    }
}

impl Connection {
    /// Connects as `divisor-{verb}-{random}` with at most `window` unacknowledged messages.
    pub(crate) async fn open(
        broker: &Broker,
        verb: &str,
        window: u16,
    ) -> Result<Self, ConnectError> {
        let id = format!("divisor-{verb}-{}", fresh_id());
        let (client, mut events) = client(broker, &id, window);
        greeted(&mut events)
            .await
            .map_err(|error| explain(&broker.address, &error))?;
        let shared = Arc::new(Shared {
            outbox: Mutex::new(Outbox::new()),
            subscriptions: Mutex::new(Subscriptions::default()),
            waiters: Mutex::new(HashMap::new()),
            replies_below: divisor_wire::topic::reply_topic(&id, ""),
            window: Semaphore::new(usize::from(window)),
            progress: Notify::new(),
            lost: watch::Sender::new(None),
        });
        let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
        let driver = Driver {
            shared: Arc::clone(&shared),
            events,
            messages: sender,
            window,
        };
        Ok(Self {
            shared,
            client,
            messages: Some(receiver),
            subscribed_replies: OnceCell::new(),
            driver: tokio::spawn(driver.run()),
            id,
        })
    }

    /// The client id: a valid topic level.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// What arrives. To be taken once, before the first [`Self::subscribe`], and read on: an
    /// unread channel holds the whole connection back.
    pub(crate) fn messages(&mut self) -> mpsc::Receiver<Message> {
        self.messages.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Subscribes and waits for the grant.
    pub(crate) async fn subscribe(&self, filters: Vec<String>) -> anyhow::Result<()> {
        let (tell, told) = oneshot::channel();
        let packet = subscriptions::packet(&filters);
        {
            // The lock spans both, so that the order in the list is the order in the channel.
            let mut list = self.shared.subscriptions();
            if list.add(filters, tell) {
                let filters = packet.filters.into_iter();
                self.client.try_subscribe_many(filters)?;
            }
        }
        match told.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(filter)) => anyhow::bail!("no right to subscribe to `{filter}`"),
            Err(_) => Err(self.shared.lost().into()),
        }
    }

    /// Files a message for sending; waits while the window is full. `ticks` is what it counts for
    /// in the account.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        payload: Vec<u8>,
        qos: QoS,
        ticks: u32,
    ) -> Result<(), Lost> {
        match self.shared.window.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(self.shared.lost()),
        }
        let publish = Publish::new(topic, qos, payload);
        let mut outbox = self.shared.outbox();
        if outbox.add(publish.clone(), ticks, Instant::now()) {
            // The channel has room for the whole window, so this fails only when the driver is
            // gone, and then the closed window ends the next call.
            let _ = self.client.try_publish(topic, qos, false, publish.payload);
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub(crate) async fn flush(&self) -> Result<(), Lost> {
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.shared.outbox().len() == 0 {
                return Ok(());
            }
            if self.shared.window.is_closed() {
                return Err(self.shared.lost());
            }
            progress.await;
        }
    }

    /// Why the connection ended, once it has.
    pub(crate) fn lost(&self) -> Lost {
        self.shared.lost()
    }

    /// What became of the messages up to now.
    pub(crate) fn account(&self) -> Account {
        self.shared.outbox().account().clone()
    }

    /// Says goodbye. What is not acknowledged by now is not waited for.
    pub(crate) async fn close(self) {
        if self.client.try_disconnect().is_ok() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.driver).await;
        }
    }
}

fn client(broker: &Broker, id: &str, window: u16) -> (AsyncClient, EventLoop) {
    let address = &broker.address;
    let mut options = MqttOptions::new(id, &address.host, address.port());
    if let Some(tls) = &broker.tls {
        let tls = TlsConfiguration::Rustls(Arc::clone(tls));
        options.set_transport(Transport::tls_with_config(tls));
    }
    options.set_keep_alive(KEEP_ALIVE);
    options.set_inflight(window);
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some((user, password)) = &address.login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, usize::from(window) + CHANNEL_EXTRA);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    events.set_network_options(network);
    (client, events)
}

async fn greeted(events: &mut EventLoop) -> Result<(), rumqttc::ConnectionError> {
    loop {
        if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
            return Ok(());
        }
    }
}

fn explain(address: &Address, error: &rumqttc::ConnectionError) -> ConnectError {
    use rumqttc::ConnectReturnCode as Code;
    let start = "start the daemon with `divisord run`, or name another broker with --url";
    let (reason, advice) = match error {
        rumqttc::ConnectionError::Io(error) => (error.to_string(), start),
        rumqttc::ConnectionError::NetworkTimeout | rumqttc::ConnectionError::FlushTimeout => (
            format!("no answer within {CONNECT_TIMEOUT_S} s"),
            "check that the port speaks MQTT, or name another broker with --url",
        ),
        rumqttc::ConnectionError::ConnectionRefused(code) => match code {
            Code::BadUserNamePassword => (
                "wrong user or password".to_owned(),
                "check --user and the password, or wait a minute after several failures",
            ),
            Code::NotAuthorized => (
                "a user is needed".to_owned(),
                "say who you are with --user, or with --cert and --key",
            ),
            Code::ServiceUnavailable => ("the broker is full".to_owned(), "try again later"),
            Code::Success | Code::RefusedProtocolVersion | Code::BadClientId => (
                format!("refused: {code:?}"),
                "the broker must speak MQTT 3.1.1",
            ),
        },
        rumqttc::ConnectionError::Tls(error) => (
            error.to_string(),
            "check that the port speaks TLS, and name who signed its certificate with --ca",
        ),
        rumqttc::ConnectionError::MqttState(_)
        | rumqttc::ConnectionError::NotConnAck(_)
        | rumqttc::ConnectionError::RequestsDone => {
            (error.to_string(), "check that the port speaks MQTT")
        }
    };
    ConnectError {
        address: address.to_string(),
        reason,
        advice,
    }
}
