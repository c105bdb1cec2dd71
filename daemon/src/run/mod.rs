//! The daemon's life: what is started in which order, and how it stops.
//!
//! Start: state directory and its lock, listeners bound, journal opened, PostgreSQL asked once,
//! journal replayed, retained levels announced, and only then clients let in and readiness told.
//! What is wrong with the set-up ends the start before anything is half there.
//!
//! Stop: no new clients, connections drained, sequencer ended, store flushed.

mod reload;
mod restate;
mod settings;
mod store;
mod web;

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use divisor_engine::Engine;
use tokio::sync::{mpsc, oneshot, watch};

use crate::access;
use crate::clock::WallClock;
use crate::config::{self, Config};
use crate::door::listener::BindError;
use crate::door::{self, Door, Exchange, Listener};
use crate::egress::Tee;
use crate::exit::{self, Failure};
use crate::health::{Health, Phase};
use crate::http::board::Board;
use crate::ingress::Submission;
use crate::journal::{Journal, Recovered};
use crate::notify;
use crate::sequencer::{Parts, Sequencer, SequencerError};
use crate::shutdown::{Shutdown, Trigger};
use crate::snapshots::{self, Keeper, Snapshots};
use crate::state::StateDir;
use crate::tls::Tls;
use restate::Restating;
use store::StoreThread;
use web::Bound;

pub use reload::Start;
pub(crate) use store::{Access, adopt, look, own};

/// How long the connections' tasks may take to end when the runtime does.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// How long the sequencer may take to announce the stop.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long connections stay open behind it. Every one takes the announcement along, but some
/// clients (rumqttc) drop what they read together with the end of the connection.
const LAST_HEARD: Duration = Duration::from_millis(100);

/// Runs the daemon until it is asked to stop, by a signal or through `shutdown`.
///
/// # Errors
/// When a part cannot start or fails for good; the code says which.
pub fn run(start: Start, trigger: Trigger, shutdown: &Shutdown) -> Result<(), Failure> {
    let config = &start.loaded.config.clone();
    let access = guests(config)?;
    let tls = certificate(config)?;
    let state = StateDir::take(&config.state_dir)?;
    let runtime = door_runtime(trigger).map_err(internal)?;
    let listeners = runtime.block_on(listen(config, tls.as_ref()))?;
    let web = Bound::bind(config)?;
    let health = Health::default();
    let journal_dir = state.subdirectory(config::JOURNAL)?;
    let (journal, recovered) = Journal::open(&journal_dir, config.journal.settings())?;
    report_recovery(&recovered);
    let snapshots = open_snapshots(&state)?;
    let snapshot = start_from(&snapshots, &recovered)?;
    let store = StoreThread::start(config, &state, &journal, &snapshots, &health)?;
    let (restating, desk) = Restating::start(config, &snapshots, &health)?;
    let counters = Arc::default();
    let door_settings = settings::door(config);
    let exchange = Exchange::start(&door_settings, Arc::clone(&counters)).map_err(internal)?;
    let (web, shown) = web.start(
        config,
        &health,
        Arc::clone(&counters),
        Arc::clone(&access),
        store::reading(config)?,
        addresses(&listeners).map_err(internal)?,
    );
    let parts = Parts {
        log: journal,
        outlet: Tee(Arc::clone(&exchange), shown.board),
        clock: WallClock,
        keeper: Keeper::start(snapshots, health.clone()).map_err(internal)?,
        health: health.clone(),
        metrics: shown.metrics,
        questions: shown.questions,
        desk,
    };
    let settings = settings::sequencer(config);
    let go_on = || !shutdown.is_stopping();
    let started = Sequencer::start(parts, settings, snapshot, recovered.epoch, &go_on);
    if matches!(started, Err(SequencerError::Stopped)) {
        return stopped_early(web, store, config.service.stop_timeout);
    }
    let sequencer = started?;
    let (submissions, ingress) = mpsc::channel(config.sequencer.queue_submissions_max as usize);
    let (failed, failure) = watch::channel(false);
    let (goodbye, said) = oneshot::channel();
    let sequencer = spawn(sequencer, ingress, shutdown, goodbye, failed).map_err(internal)?;
    let reloads = start.reloads(&access, tls);
    let fan_out = Arc::clone(&exchange);
    let door = Door::new(door_settings, access, fan_out, submissions, counters);
    announce(&listeners).map_err(internal)?;
    runtime.spawn(reload::follow(reloads, shutdown.clone()));
    health.set_phase(Phase::Serving);
    notify::ready(&format!("epoch {}", recovered.epoch));
    let served = runtime.block_on(serve(
        listeners, door, &exchange, shutdown, said, failure, &health,
    ));
    web.stop();
    // The last connection's task holds the last way to the sequencer, which then ends.
    runtime.shutdown_timeout(LAST_TASKS);
    let outcome = sequencer.join();
    restating.finish();
    store.finish(Instant::now() + config.service.stop_timeout);
    tracing::info!("stopped");
    served.map_err(internal)?;
    match outcome {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(internal(anyhow!("go on: the sequencer's thread panicked"))),
    }
}

/// The threads of the door; one of its tasks hears the signals.
fn door_runtime(trigger: Trigger) -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("door")
        .build()
        .context("start threads")?;
    runtime
        .block_on(async { trigger.follow_signals() })
        .context("listen for signals")?;
    Ok(runtime)
}

/// The end of a start that waited for room in the journal until a stop was asked for.
fn stopped_early(web: web::Web, store: StoreThread, timeout: Duration) -> Result<(), Failure> {
    web.stop();
    store.finish(Instant::now() + timeout);
    tracing::info!("stopped before the journal had room for a start");
    Ok(())
}

/// Serves until a stop is asked for, the sequencer has ended or the router has died.
async fn serve(
    listeners: Vec<Listener>,
    door: Arc<Door>,
    exchange: &Arc<Exchange>,
    shutdown: &Shutdown,
    said: oneshot::Receiver<()>,
    mut failure: watch::Receiver<bool>,
    health: &Health,
) -> anyhow::Result<()> {
    let (close, closing) = watch::channel(false);
    let serving = tokio::spawn(door::serve(listeners, door, closing));
    let mut shutdown = shutdown.clone();
    let mut outcome = Ok(());
    tokio::select! {
        () = shutdown.stopping() => tracing::info!("stopping"),
        _ = failure.wait_for(|failed| *failed) => {}
        () = exchange.died() => outcome = Err(anyhow!("go on: the router's thread has ended")),
    }
    health.set_phase(Phase::Stopping);
    notify::stopping();
    if outcome.is_ok() && !*failure.borrow() {
        // Once it is retained, every connection takes it along when it ends.
        let _ = tokio::time::timeout(LAST_WORD, said).await;
        tokio::time::sleep(LAST_HEARD).await;
    }
    let _ = close.send(true);
    // The connections drain within their own grace.
    let _ = serving.await;
    outcome
}

type SequencerThread = JoinHandle<Result<(), SequencerError>>;

/// Runs the sequencer on a thread of its own; `failed` turns true when it ends with an error.
fn spawn(
    sequencer: Sequencer<Journal, Tee<Arc<Exchange>, Arc<Board>>, WallClock>,
    ingress: mpsc::Receiver<Submission>,
    shutdown: &Shutdown,
    goodbye: oneshot::Sender<()>,
    failed: watch::Sender<bool>,
) -> anyhow::Result<SequencerThread> {
    let shutdown = shutdown.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let watchdog = Watchdog::default();
    let body = move || {
        let beat = || watchdog.beat();
        let outcome = runtime.block_on(sequencer.run(ingress, shutdown, goodbye, beat));
        if let Err(error) = &outcome {
            tracing::error!(%error, "the sequencer has ended");
            let _ = failed.send(true);
        }
        outcome
    };
    Ok(thread::Builder::new()
        .name("sequencer".to_owned())
        .spawn(body)?)
}

/// Feeds the service manager's watchdog as often as it wants, and only while somebody beats.
#[derive(Default)]
struct Watchdog {
    last: Cell<Option<Instant>>,
}

impl Watchdog {
    fn beat(&self) {
        let Some(interval) = notify::watchdog_interval() else {
            return;
        };
        if self
            .last
            .get()
            .is_none_or(|last| last.elapsed() >= interval)
        {
            notify::watchdog();
            self.last.set(Some(Instant::now()));
        }
    }
}

/// Who may come in, by the configuration and the users file.
pub(crate) fn guests(config: &Config) -> Result<Arc<access::Access>, Failure> {
    Ok(access::Access::open(settings::access(config))?)
}

/// The daemon's certificate, if one is configured.
pub(crate) fn certificate(config: &Config) -> Result<Option<Arc<Tls>>, Failure> {
    let tls = settings::tls(config).map(Tls::open).transpose();
    Ok(tls?)
}

fn open_snapshots(state: &StateDir) -> Result<Snapshots, Failure> {
    let snapshots = Snapshots::new(state.subdirectory(snapshots::DIR)?);
    snapshots
        .clean()
        .context("read the snapshots")
        .map_err(internal)?;
    Ok(snapshots)
}

/// The newest state that the journal goes on from; without any, none where the journal is whole.
fn start_from(snapshots: &Snapshots, recovered: &Recovered) -> Result<Engine, Failure> {
    let newest = snapshots.newest(recovered.next).unwrap_or_default();
    if newest.next_position() >= recovered.oldest {
        return Ok(newest);
    }
    let positions = snapshots.positions().unwrap_or_default();
    let unusable = positions
        .into_iter()
        .rev()
        .find_map(|position| Some((position, snapshots.read(position).err()?)));
    let why = match unusable {
        Some((position, error)) => format!("the snapshot at {position} cannot be used: {error}"),
        None => "there is no snapshot from there on".to_owned(),
    };
    let error = anyhow!(
        "start: the journal begins at position {}, and {why} (run the divisord that wrote it, or \
         `divisord restore` into a new state directory)",
        recovered.oldest
    );
    Err(Failure::new(exit::JOURNAL, error))
}

fn report_recovery(recovered: &Recovered) {
    if let Some(cut) = &recovered.cut {
        tracing::warn!(
            file = %cut.file,
            offset = cut.offset,
            bytes = cut.bytes,
            "cut the torn tail of the journal: a commit that never ended, nobody was told of it"
        );
    }
    tracing::info!(
        epoch = recovered.epoch,
        position = recovered.next,
        "opened the journal"
    );
}

/// Binds every address of the door, or none.
async fn listen(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Vec<Listener>, Failure> {
    let plain = door::bind(&config.mqtt.listen).await;
    let plain = plain.map_err(|error| busy(error, "--listen"))?;
    let secure = door::bind(&config.mqtt.tls_listen).await;
    let secure = secure.map_err(|error| busy(error, "mqtt.tls_listen"))?;
    let mut listeners: Vec<Listener> = plain.into_iter().map(Listener::from).collect();
    listeners.extend(secure.into_iter().map(|socket| Listener {
        socket,
        tls: tls.cloned(),
    }));
    Ok(listeners)
}

/// The addresses that were really bound, for port 0.
fn addresses(listeners: &[Listener]) -> anyhow::Result<Vec<SocketAddr>> {
    let bound = listeners
        .iter()
        .map(|listener| Ok(listener.socket.local_addr()?));
    bound.collect()
}

/// Tells where the door listens: the addresses that were really bound, for port 0.
fn announce(listeners: &[Listener]) -> anyhow::Result<()> {
    for listener in listeners {
        let address = listener.socket.local_addr()?;
        match &listener.tls {
            None => tracing::info!(%address, "listening for MQTT"),
            Some(tls) => {
                let valid_until = tls.valid_until();
                tracing::info!(%address, valid_until, "listening for MQTT over TLS");
            }
        }
    }
    Ok(())
}

fn internal(error: anyhow::Error) -> Failure {
    Failure::new(exit::INTERNAL, error)
}

fn busy(error: BindError, flag: &str) -> Failure {
    let hint = format!(
        "listen on {}: {} (choose another address with {flag}, or stop what listens there)",
        error.address, error.source
    );
    Failure::new(exit::BUSY, anyhow!(hint))
}

impl From<SequencerError> for Failure {
    fn from(error: SequencerError) -> Self {
        let code = match error {
            SequencerError::Encode(_) | SequencerError::Stopped => exit::INTERNAL,
            SequencerError::Journal(_) | SequencerError::Read(_) | SequencerError::Replay(_) => {
                exit::JOURNAL
            }
        };
        Self::new(code, error)
    }
}
