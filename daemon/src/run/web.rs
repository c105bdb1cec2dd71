//! The HTTP side's life: a runtime of its own, so that readers and the door never share a thread.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exit::Failure;
use crate::http::{self, Parts};

/// Readers are served by as many threads; levels come first on a small machine.
const THREADS: usize = 2;

/// How long its tasks may take to end.
const LAST_TASKS: Duration = Duration::from_millis(200);

/// The server, while it runs.
pub(super) struct Web {
    runtime: Runtime,
    close: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Web {
    /// Binds every address, or none.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub(super) fn bind(
        config: &crate::config::Config,
    ) -> Result<(Runtime, Vec<TcpListener>), Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .thread_name("http")
            .build()
            .context("start threads")
            .map_err(super::internal)?;
        let listeners = runtime
            .block_on(crate::door::bind(&config.http.listen))
            .map_err(|error| super::busy(error, "--set http.listen"))?;
        Ok((runtime, listeners))
    }

    /// Serves from now on.
    pub(super) fn start(runtime: Runtime, listeners: Vec<TcpListener>, parts: Parts) -> Self {
        for address in listeners.iter().filter_map(|l| l.local_addr().ok()) {
            tracing::info!(url = %format_args!("http://{address}/"), "listening for HTTP");
        }
        let (close, closing) = watch::channel(false);
        let serving = runtime.spawn(http::serve(listeners, parts, closing));
        Self {
            runtime,
            close,
            serving,
        }
    }

    /// Ends what is under way.
    pub(super) fn stop(self) {
        let _ = self.close.send(true);
        let _ = self.runtime.block_on(self.serving);
        self.runtime.shutdown_timeout(LAST_TASKS);
    }
}

/// Everything that others look at, made before the parts that fill it.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) board: Arc<http::board::Board>,
    pub(super) metrics: crate::metrics::Metrics,
}
