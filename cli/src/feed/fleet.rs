//! Publishers side by side: each a connection of its own with its own identity, outbox and
//! account. A subject always travels with the same publisher, so its ticks keep their order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::QoS;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::refusals::Refusals;
use super::report::Accounting;
use super::tick::{Identity, Quote, now};
use crate::connection::{Account, Broker, Connection, Lost};

/// Messages that wait for a publisher: enough to keep it busy, few enough to stop at once.
const LANE_MESSAGES_MAX: usize = 64;
/// Reports of refusals may follow the last acknowledgement; after this much quiet none will.
const QUIET: Duration = Duration::from_millis(300);
/// How long the last acknowledgements are waited for.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FleetOptions {
    /// Connections.
    pub(crate) publishers: usize,
    /// Unacknowledged messages of each.
    pub(crate) window: u16,
    /// The promise asked for.
    pub(crate) qos: QoS,
    /// Ticks in a message, for a message that is refused whole.
    pub(crate) batch: u32,
}

/// A message to be.
#[derive(Debug)]
pub(crate) struct Shipment {
    /// Where to.
    pub(crate) topic: Arc<str>,
    /// What; several become an array.
    pub(crate) quotes: Vec<Quote>,
}

/// The publishers.
#[derive(Debug)]
pub(crate) struct Fleet {
    lanes: Vec<Lane>,
    refusals: Arc<Mutex<Heard>>,
    start: Instant,
}

#[derive(Debug)]
struct Lane {
    sender: mpsc::Sender<Shipment>,
    connection: Arc<Connection>,
    task: JoinHandle<Result<(), Lost>>,
}

/// Refusals, and when the last one came.
#[derive(Debug)]
struct Heard {
    refusals: Refusals,
    last: Instant,
}

impl Fleet {
    /// Connects the publishers. `src` names the source on the wire, the client id by default.
    pub(crate) async fn open(
        address: &Broker,
        verb: &str,
        src: Option<&str>,
        options: FleetOptions,
    ) -> anyhow::Result<Self> {
        let refusals = Arc::new(Mutex::new(Heard {
            refusals: Refusals::default(),
            last: Instant::now(),
        }));
        let mut lanes = Vec::with_capacity(options.publishers);
        for _ in 0..options.publishers {
            let mut connection = Connection::open(address, verb, options.window).await?;
            listen(&mut connection, Arc::clone(&refusals), options.batch).await?;
            let connection = Arc::new(connection);
            let identity = Identity::new(src.unwrap_or(connection.id()));
            let (sender, receiver) = mpsc::channel(LANE_MESSAGES_MAX);
            let publish = publish(Arc::clone(&connection), identity, receiver, options.qos);
            lanes.push(Lane {
                sender,
                connection,
                task: tokio::spawn(publish),
            });
        }
        Ok(Self {
            lanes,
            refusals,
            start: Instant::now(),
        })
    }

    /// Hands a message over; waits while its publisher's window is full. `subject` decides which
    /// publisher that is.
    pub(crate) async fn send(&self, subject: usize, shipment: Shipment) -> Result<(), Lost> {
        let lane = &self.lanes[subject % self.lanes.len()];
        let closed = |_| Lost("its publisher ended".to_owned());
        lane.sender.send(shipment).await.map_err(closed)
    }

    /// What happened up to now.
    pub(crate) fn accounting(&self) -> Accounting {
        let mut account = Account::default();
        for lane in &self.lanes {
            account.add(&lane.connection.account());
        }
        let refusals = self.heard().refusals.clone();
        Accounting::new(&account, &refusals, self.start.elapsed())
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all handed over is acknowledged, and for late reports of refusals, and says
    /// goodbye. The account is complete also when the connection is lost: what is not
    /// acknowledged is told as such.
    pub(crate) async fn finish(self) -> (Accounting, Option<Lost>) {
        let mut lost = None;
        let mut connections = Vec::new();
        let Self {
            lanes,
            refusals,
            start,
        } = self;
        for lane in lanes {
            drop(lane.sender);
            let mut task = lane.task;
            let done = tokio::time::timeout(FLUSH_TIMEOUT, &mut task).await;
            match done {
                Ok(Ok(Err(error))) => lost = Some(error),
                Ok(Ok(Ok(()))) => {}
                Ok(Err(_)) | Err(_) => {
                    task.abort();
                    let waited = FLUSH_TIMEOUT.as_secs();
                    lost = Some(Lost(format!(
                        "acknowledgements are missing after {waited} s"
                    )));
                }
            }
            connections.push(lane.connection);
        }
        let elapsed = start.elapsed();
        let mut account = Account::default();
        for connection in &connections {
            account.add(&connection.account());
        }
        let refusals = if lost.is_some() {
            refusals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .refusals
                .clone()
        } else {
            quiet(&refusals).await
        };
        for connection in connections.into_iter().filter_map(Arc::into_inner) {
            connection.close().await;
        }
        (Accounting::new(&account, &refusals, elapsed), lost)
    }
}

/// Waits until no report came for a while.
async fn quiet(heard: &Mutex<Heard>) -> Refusals {
    let start = Instant::now();
    loop {
        let (refusals, last) = {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            (heard.refusals.clone(), heard.last)
        };
        let silent = last.max(start).elapsed();
        if silent >= QUIET {
            return refusals;
        }
        tokio::time::sleep(QUIET.saturating_sub(silent)).await;
    }
}

async fn listen(
    connection: &mut Connection,
    heard: Arc<Mutex<Heard>>,
    batch: u32,
) -> anyhow::Result<()> {
    let mut messages = connection.messages();
    connection
        .subscribe(vec![divisor_wire::topic::rejected_topic(connection.id())])
        .await?;
    tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.refusals.take(&message.payload, batch);
            heard.last = Instant::now();
        }
    });
    Ok(())
}

/// The life of a publisher: what comes down its lane goes out, numbered; at the end everything
/// is acknowledged.
async fn publish(
    connection: Arc<Connection>,
    mut identity: Identity,
    mut lane: mpsc::Receiver<Shipment>,
    qos: QoS,
) -> Result<(), Lost> {
    while let Some(shipment) = lane.recv().await {
        let payload = identity
            .encode(&shipment.quotes, now())
            .map_err(|error| Lost(error.to_string()))?;
        let ticks = u32::try_from(shipment.quotes.len()).unwrap_or(u32::MAX);
        connection
            .publish(&shipment.topic, payload, qos, ticks)
            .await?;
    }
    connection.flush().await
}
