//! Server-sent events: a snapshot first, then what has changed, merged for each client.
//!
//! One task makes a frame at each interval and everybody who is in step sends the same bytes. A
//! client that takes its time misses frames, not values: what it gets next is made for it from the
//! table's versions. At most two pieces wait for it, whatever it does.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use divisor_engine::IndexId;
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Http;
use super::answer;
use super::board::{Board, Changes};
use super::problem::Problem;
use super::session::{Caller, allow};
use super::status::StatusDocument;
use crate::access::Principal;

/// Pieces that wait for a client.
const QUEUE_MAX: usize = 2;

/// Silence after which a comment shows that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often the status is told, and what no announcement tells is looked for.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What all streams share.
#[derive(Debug)]
pub(super) struct Streams {
    frames: watch::Sender<Arc<Piece>>,
    status: watch::Sender<Bytes>,
    /// Streams that are open.
    pub(super) open: AtomicU64,
}

/// A frame and the bytes of it that all clients in step get.
#[derive(Debug, Default)]
struct Piece {
    changes: Changes,
    bytes: Bytes,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            frames: watch::channel(Arc::default()).0,
            status: watch::channel(Bytes::new()).0,
            open: AtomicU64::new(0),
        }
    }
}

/// Makes frames and tells the status until the daemon stops.
pub(super) async fn conduct(http: Arc<Http>) {
    let mut closing = http.closing.clone();
    let mut beat = interval(http.settings.stream_interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            _ = closing.wait_for(|closed| *closed) => return,
        }
        let is_due = told.is_none_or(|told| told.elapsed() >= STATUS_INTERVAL);
        // Without an answer the next beat tries again; what is known is shown.
        let _ = http.board.refresh(&http.sequence, is_due).await;
        let changes = http.board.frame();
        if changes.to > changes.from {
            let bytes = text(&changes, |_| (true, true)).into();
            http.streams
                .frames
                .send_replace(Arc::new(Piece { changes, bytes }));
        }
        if is_due {
            told = Some(Instant::now());
            if let Ok(status) = StatusDocument::make(&http).await {
                http.streams.status.send_replace(event("status", &status));
            }
        }
    }
}

/// What a client wants and may see.
struct Lens {
    /// The indexes it asks for; all without any.
    only: Option<BTreeSet<IndexId>>,
    caller: Caller,
    /// What its rights say of an index's level and of its events, once that was asked.
    allowed: HashMap<IndexId, (bool, bool)>,
    /// Everything: it gets the bytes that all get.
    is_clear: bool,
}

impl Lens {
    fn new(only: Option<BTreeSet<IndexId>>, caller: Caller) -> Self {
        Self {
            is_clear: only.is_none() && caller.may_see_all_indexes(),
            only,
            caller,
            allowed: HashMap::new(),
        }
    }

    /// Whether it shows the level of an index, and its events.
    fn shows(&mut self, board: &Board, index: IndexId) -> (bool, bool) {
        if self.is_clear {
            return (true, true);
        }
        if (self.only.as_ref()).is_some_and(|only| !only.contains(&index)) {
            return (false, false);
        }
        let caller = &self.caller;
        let may_see = || {
            let code = board.code(index);
            code.map_or((false, false), |code| {
                (caller.may_see_index(&code), caller.may_see_events(&code))
            })
        };
        *self.allowed.entry(index).or_insert_with(may_see)
    }
}

/// The stream's events for these changes, as far as they are wanted: the level, the events.
fn text(changes: &Changes, mut wanted: impl FnMut(IndexId) -> (bool, bool)) -> String {
    let mut text = String::new();
    let rows: Vec<&str> = (changes.rows.iter())
        .filter(|(id, _)| wanted(*id).0)
        .map(|(_, row)| row.as_ref())
        .collect();
    if !rows.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "id: {}\nevent: levels\ndata: [{}]\n\n",
            changes.to,
            rows.join(",")
        );
    }
    for (_, notice) in changes.notices.iter().filter(|(id, _)| wanted(*id).1) {
        let _ = write!(text, "event: notice\ndata: {notice}\n\n");
    }
    text
}

fn event(name: &str, value: &impl serde::Serialize) -> Bytes {
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("event: {name}\ndata: {json}\n\n").into()
}

/// `GET api/v1/stream?index=CODE`
pub(super) async fn stream(
    State(http): State<Arc<Http>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let permit = Arc::clone(&http.stream_permits).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::unavailable("there are too many streams"))?;
    let _ = http.board.refresh(&http.sequence, false).await;
    let only = narrowed(&http, &caller, query.as_deref().unwrap_or_default())?;
    let lens = Lens::new(only, caller);
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(follow(Arc::clone(&http), lens, sender, permit));
    let body = axum::body::Body::new(Pieces(receiver));
    let mut response = answer::typed("text/event-stream", body);
    let headers = response.headers_mut();
    let no_cache = HeaderValue::from_static("no-cache, no-transform");
    headers.insert(header::CACHE_CONTROL, no_cache);
    // nginx would collect the events otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The indexes of the parameters `index`; all without one.
fn narrowed(
    http: &Http,
    caller: &Caller,
    query: &str,
) -> Result<Option<BTreeSet<IndexId>>, Problem> {
    let mut only = None;
    for code in super::query::repeated("index", query)? {
        allow(caller.may_see_index(&code))?;
        let (id, _) = (http.board.line(&code))
            .ok_or_else(|| Problem::not_found(format!("there is no index {code}")))?;
        only.get_or_insert_with(BTreeSet::new).insert(id);
    }
    Ok(only)
}

/// Feeds one client until it goes or the daemon stops.
async fn follow(
    http: Arc<Http>,
    mut lens: Lens,
    sender: mpsc::Sender<Bytes>,
    permit: OwnedSemaphorePermit,
) {
    http.streams.open.fetch_add(1, Ordering::Relaxed);
    let mut closing = http.closing.clone();
    let principal = lens.caller.0.clone();
    tokio::select! {
        () = feed(&http, &mut lens, &sender) => {}
        () = sender.closed() => {}
        () = other_rights(&http, &principal) => {}
        _ = closing.wait_for(|closed| *closed) => {}
    }
    http.streams.open.fetch_sub(1, Ordering::Relaxed);
    drop(permit);
}

/// Returns when somebody's rights are no longer those that his stream began with.
async fn other_rights(http: &Http, principal: &Principal) {
    let mut changes = http.access.changes();
    while changes.changed().await.is_ok() {
        let renewed = http.access.renew(principal);
        if renewed.is_none_or(|renewed| !renewed.has_rights_of(principal)) {
            return;
        }
    }
    std::future::pending().await
}

async fn feed(http: &Http, lens: &mut Lens, sender: &mpsc::Sender<Bytes>) {
    let sees_status = lens.caller.may_see_status();
    let mut frames = http.streams.frames.subscribe();
    let mut statuses = http.streams.status.subscribe();
    let (first, mut seen) = snapshot(http, lens).await;
    if sender.send(first).await.is_err() {
        return;
    }
    let mut quiet_until = Instant::now() + KEEP_ALIVE;
    loop {
        let bytes = tokio::select! {
            changed = frames.changed() => {
                if changed.is_err() {
                    return;
                }
                let piece = Arc::clone(&frames.borrow_and_update());
                next(http, lens, &piece, &mut seen)
            }
            changed = statuses.changed(), if sees_status => {
                if changed.is_err() {
                    return;
                }
                statuses.borrow_and_update().clone()
            }
            () = sleep_until(quiet_until) => Bytes::from_static(b": alive\n\n"),
        };
        if bytes.is_empty() {
            continue;
        }
        // While it waits for the client further frames replace each other.
        if sender.send(bytes).await.is_err() {
            return;
        }
        quiet_until = Instant::now() + KEEP_ALIVE;
    }
}

/// The first event: everything, and the version that it shows.
async fn snapshot(http: &Http, lens: &mut Lens) -> (Bytes, u64) {
    let all = http.board.since(0);
    let rows: Vec<&str> = (all.rows.iter())
        .filter(|(id, _)| lens.shows(&http.board, *id).0)
        .map(|(_, row)| row.as_ref())
        .collect();
    let status = if lens.caller.may_see_status() {
        StatusDocument::make(http).await.ok()
    } else {
        None
    };
    let status = serde_json::to_string(&status).unwrap_or_default();
    let bytes = format!(
        "id: {}\nevent: snapshot\ndata: {{\"levels\":[{}],\"status\":{status}}}\n\n",
        all.to,
        rows.join(",")
    );
    (bytes.into(), all.to)
}

/// What a client gets for a frame: the common bytes where it is in step, else what it lacks.
fn next(http: &Http, lens: &mut Lens, piece: &Piece, seen: &mut u64) -> Bytes {
    let changes = &piece.changes;
    if changes.to <= *seen {
        return Bytes::new();
    }
    if changes.from == *seen {
        *seen = changes.to;
        if lens.is_clear {
            return piece.bytes.clone();
        }
        return text(changes, |id| lens.shows(&http.board, id)).into();
    }
    let lacking = http.board.since(*seen);
    *seen = lacking.to;
    text(&lacking, |id| lens.shows(&http.board, id)).into()
}

/// A body that is made piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
