//! The HTTP side's life: a runtime of its own, so that readers and the door never share a thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::settings;
use crate::access::Access;
use crate::config::Config;
use crate::door::{self, Counters};
use crate::exit::Failure;
use crate::health::Health;
use crate::http::board::Board;
use crate::http::sequence::Sequence;
use crate::http::{self, Parts};
use crate::ingress::Question;
use crate::metrics::Metrics;

/// Readers are served by as many threads; levels come first on a small machine.
const THREADS: usize = 2;

/// How long its tasks may take to end.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// The server before it serves.
pub(super) struct Bound {
    runtime: Runtime,
    listeners: Vec<TcpListener>,
}

/// The server while it runs.
pub(super) struct Web {
    runtime: Runtime,
    close: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

/// What the other parts fill for it, or answer.
pub(super) struct Shown {
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) questions: mpsc::Receiver<Question>,
}

impl Bound {
    /// Binds every address, or none.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub(super) fn bind(config: &Config) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .thread_name("http")
            .build()
            .context("start threads")
            .map_err(super::internal)?;
        let listeners = runtime
            .block_on(door::bind(&config.http.listen))
            .map_err(|error| super::busy(error, "--set http.listen"))?;
        Ok(Self { runtime, listeners })
    }

    /// Serves from now on, the probes already while the rest starts.
    pub(super) fn start(
        self,
        config: &Config,
        health: &Health,
        door: Arc<Counters>,
        access: Arc<Access>,
        database: Option<tokio_postgres::Config>,
        mqtt: Vec<SocketAddr>,
    ) -> (Web, Shown) {
        for address in self.listeners.iter().filter_map(|l| l.local_addr().ok()) {
            tracing::info!(url = %format_args!("http://{address}/"), "listening for HTTP");
        }
        let (sequence, questions) = Sequence::channel();
        let shown = Shown {
            board: Arc::default(),
            metrics: Metrics::default(),
            questions,
        };
        let parts = Parts {
            settings: settings::http(config),
            board: Arc::clone(&shown.board),
            sequence,
            health: health.clone(),
            metrics: shown.metrics.clone(),
            door,
            access,
            database,
            mqtt,
        };
        let (close, closing) = watch::channel(false);
        let serving = http::serve(self.listeners, parts, closing);
        let web = Web {
            serving: self.runtime.spawn(serving),
            runtime: self.runtime,
            close,
        };
        (web, shown)
    }
}

impl Web {
    /// Ends what is under way.
    pub(super) fn stop(self) {
        let _ = self.close.send(true);
        let _ = self.runtime.block_on(self.serving);
        self.runtime.shutdown_timeout(LAST_TASKS);
    }
}
