//! Connections: accepted up to a bound, each with its timeouts, ended with the daemon.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

use super::answer::strip_suffix;
use super::patient::Patient;
use super::settings::Settings;

/// What the head of a request may take. Browsers stay below 4 KiB.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;

/// How long to pause when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long answers that are under way may take once the daemon stops.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What one connection too many is told, if it listens.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Serves until `closing` turns true.
pub(super) async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    settings: Settings,
    closing: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(settings.connections_max));
    let accepting = listeners.into_iter().map(|listener| {
        tokio::spawn(accept(
            listener,
            router.clone(),
            settings.clone(),
            Arc::clone(&permits),
            closing.clone(),
        ))
    });
    for accepting in accepting.collect::<Vec<_>>() {
        let _ = accepting.await;
    }
    let all = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(LAST_ANSWERS, permits.acquire_many(all)).await;
}

async fn accept(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    permits: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closed| *closed) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = serve_one(stream, router.clone(), settings.clone(), closing.clone());
        tokio::spawn(hold(permit, connection));
    }
}

async fn hold(permit: OwnedSemaphorePermit, connection: impl Future<Output = ()>) {
    connection.await;
    drop(permit);
}

async fn serve_one(
    stream: TcpStream,
    router: Router,
    settings: Settings,
    mut closing: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(Patient::new(stream, settings.write_timeout));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        strip_suffix(&mut request);
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.request_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is its client's business.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closed| *closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_ANSWERS, connection).await;
}
