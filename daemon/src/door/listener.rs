//! Accepting streams. Binding is a step of its own, so that a taken port ends the start before
//! anything else has begun.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::connection;
use super::quota::Quota;
use super::registry::Registry;
use super::shared::Groups;
use super::transport::Listener;
use super::{Counters, Exchange, Settings};
use crate::access::Access;
use crate::ingress::Submission;

/// How long to pause when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Turns true when the daemon stops.
pub type Shutdown = watch::Receiver<bool>;

/// Returns when the daemon stops.
pub(super) async fn stopped(shutdown: &mut Shutdown) {
    // An error means that nobody can stop us any more, which is the same as being stopped.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// What all connections share.
#[derive(Debug)]
pub struct Door {
    /// The limits.
    pub settings: Settings,
    /// Who may come in and what he may do.
    pub access: Arc<Access>,
    /// The fan-out.
    pub exchange: Arc<Exchange>,
    /// Towards the sequencer; bounded, and its back-pressure ends at the client's socket.
    pub ingress: mpsc::Sender<Submission>,
    /// What is counted.
    pub counters: Arc<Counters>,
    pub(super) registry: Arc<Registry>,
    pub(super) groups: Arc<Groups>,
    /// Connections of each address and of each user.
    pub(super) addresses: Arc<Quota<IpAddr>>,
    pub(super) users: Arc<Quota<Box<str>>>,
}

impl Door {
    /// A door onto this exchange and this sequencer.
    #[must_use]
    pub fn new(
        settings: Settings,
        access: Arc<Access>,
        exchange: Arc<Exchange>,
        ingress: mpsc::Sender<Submission>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let groups = Groups::new(
            Arc::clone(&exchange),
            Arc::clone(&counters),
            settings.shared_groups_max,
        );
        Arc::new(Self {
            groups,
            addresses: Quota::new(settings.connections_per_address_max),
            users: Quota::new(settings.connections_per_user_max),
            settings,
            access,
            exchange,
            ingress,
            counters,
            registry: Arc::default(),
        })
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Binds every address, or none.
///
/// # Errors
/// The first address that cannot be bound.
pub async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| BindError { address, source })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves until `shutdown` turns true, then until every connection has had its receipts or the
/// grace is over.
pub async fn serve(listeners: Vec<Listener>, door: Arc<Door>, shutdown: Shutdown) {
    // Each task holds a sender; when the last one is dropped all have ended.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    for listener in listeners {
        tokio::spawn(accept(
            listener,
            Arc::clone(&door),
            shutdown.clone(),
            alive.clone(),
        ));
    }
    drop(alive);
    let mut stopping = shutdown;
    stopped(&mut stopping).await;
    // The connections keep the grace themselves; the rest is for their last writes.
    let patience = door.settings.stop_grace * 2 + Duration::from_secs(1);
    if tokio::time::timeout(patience, ended.recv()).await.is_err() {
        tracing::warn!("connections were still open at the end of the grace");
    }
}

async fn accept(
    listener: Listener,
    door: Arc<Door>,
    mut shutdown: Shutdown,
    alive: mpsc::Sender<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stopped(&mut shutdown) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without it Nagle and delayed acknowledgements make 40 ms of every pause
                // (BROKER.md §3). A failure means the peer is gone, and the task will see it.
                let _ = stream.set_nodelay(true);
                let tls = listener.tls.clone();
                let (door, shutdown, alive) = (Arc::clone(&door), shutdown.clone(), alive.clone());
                tokio::spawn(async move {
                    connection::run(stream, peer, tls, door, shutdown).await;
                    drop(alive);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
