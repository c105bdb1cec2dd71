//! HTTP: the page, the history and the metrics. It reads; MQTT writes.
//!
//! What it shows comes from four places, and none of them waits for it:
//!
//! - the [`board`]: the last value of every index with its version, fed by what the sequencer
//!   announces; lists and [`stream`]s are made of it
//! - the [`sequence`]: questions to the sequencer, answered between two batches
//! - `history`: PostgreSQL, by a few read-only connections of its own
//! - [`crate::health`] and [`crate::metrics`]: what the parts say of themselves
//!
//! The way of a request: `listener` (limits, timeouts), `answer` (a suffix of the path), `routes`,
//! a handler in `live`, `stream`, `history`, `page` or `probe`, and `finish` (headers, entity tag,
//! compression).
//!
//! Architecture invariant: nothing here knows the door, the journal or the store; the sequencer is
//! met through [`crate::egress`] and [`crate::ingress`].

mod answer;
pub mod board;
mod finish;
mod history;
mod listener;
mod live;
mod metrics;
mod notice;
mod page;
mod patient;
mod probe;
mod problem;
mod query;
mod routes;
pub mod sequence;
mod settings;
mod status;
mod stream;
mod topics;

use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::door::Counters;
use crate::health::Health;
use crate::metrics::Metrics;
use board::Board;
use sequence::Sequence;
pub use settings::Settings;

/// What a server works with.
#[derive(Debug)]
pub struct Parts {
    /// The limits.
    pub settings: Settings,
    /// The live table.
    pub board: Arc<Board>,
    /// The way to the sequencer.
    pub sequence: Sequence,
    /// What the parts say of themselves.
    pub health: Health,
    /// What the sequencer counts.
    pub metrics: Metrics,
    /// What the door counts.
    pub door: Arc<Counters>,
    /// How to connect to PostgreSQL, where there is one.
    pub database: Option<tokio_postgres::Config>,
    /// Where MQTT clients connect.
    pub mqtt: Vec<std::net::SocketAddr>,
}

/// What all requests share.
#[derive(Debug)]
struct Http {
    settings: Settings,
    board: Arc<Board>,
    sequence: Sequence,
    health: Health,
    metrics: Metrics,
    door: Arc<Counters>,
    history: Option<history::History>,
    closes: history::Remembered,
    mqtt: Vec<String>,
    answered: metrics::Answered,
    samples: status::Samples,
    streams: stream::Streams,
    stream_permits: Arc<Semaphore>,
    started: Instant,
    closing: watch::Receiver<bool>,
}

/// Serves until `closing` turns true, and a moment longer for what is under way.
pub async fn serve(listeners: Vec<TcpListener>, parts: Parts, closing: watch::Receiver<bool>) {
    let (connections, timeout) = (
        parts.settings.history_connections,
        parts.settings.history_timeout,
    );
    let history = parts
        .database
        .map(|database| history::History::new(database, connections, timeout));
    let http = Arc::new(Http {
        stream_permits: Arc::new(Semaphore::new(parts.settings.streams_max)),
        settings: parts.settings,
        board: parts.board,
        sequence: parts.sequence,
        health: parts.health,
        metrics: parts.metrics,
        door: parts.door,
        history,
        closes: history::Remembered::default(),
        mqtt: parts.mqtt.iter().map(ToString::to_string).collect(),
        answered: metrics::Answered::default(),
        samples: status::Samples::default(),
        streams: stream::Streams::default(),
        started: Instant::now(),
        closing: closing.clone(),
    });
    tokio::spawn(stream::conduct(Arc::clone(&http)));
    let settings = http.settings.clone();
    listener::serve(listeners, routes::router(http), settings, closing).await;
}
