//! The daemon in a few numbers: what `divisor/status` says, and how the feed does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use divisor_engine::Time;
use divisor_wire::command::DaemonStatus;
use serde::Serialize;

use super::Http;
use super::problem::Problem;
use crate::clock::{Clock, WallClock};
use crate::metrics::{Counts, Metrics, Reading};
use crate::sequencer::queries;

/// Rates and quantiles are those of about this long.
const WINDOW: Duration = Duration::from_secs(10);

/// Readings are taken at most this often.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(900);

/// `GET api/v1/status`, and the stream's event `status`.
#[derive(Debug, Serialize)]
pub(super) struct StatusDocument {
    state: String,
    version: String,
    epoch: u64,
    store: String,
    journal: String,
    securities: u64,
    indexes: u64,
    pos: u64,
    projected: u64,
    uptime_s: u64,
    /// The daemon's own time.
    now: String,
    mqtt: Door,
    feed: Feed,
}

/// Where MQTT clients connect.
#[derive(Debug, Serialize)]
struct Door {
    listen: Vec<String>,
}

/// How the feed does.
#[derive(Debug, Serialize)]
struct Feed {
    /// Ticks and rates a second, over the last ten.
    rate: f64,
    last_tick: Option<String>,
    accepted: u64,
    late: u64,
    duplicate: u64,
    held: u64,
    /// Stored, and did not count: from a lesser source, or behind the official close.
    passed: u64,
    /// Ticks and messages that were refused, by reason.
    rejected: BTreeMap<&'static str, u64>,
    /// Messages that slow subscribers did not get.
    lost: u64,
    gaps: u64,
    lag_rows: u64,
    lag_s: f64,
    connections: u64,
    streams: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl StatusDocument {
    /// The numbers now.
    ///
    /// # Errors
    /// When the sequencer does not answer.
    pub(super) async fn make(http: &Http) -> Result<Self, Problem> {
        let health = http.health.clone();
        let status: DaemonStatus = http
            .sequence
            .ask(move |sight| queries::status(sight.engine, &health, sight.epoch, sight.is_leaving))
            .await?;
        let reading = http.metrics.reading();
        let recent = http.samples.recent(&http.metrics);
        let rejected = http.door.rejected.iter().filter(|(_, count)| *count > 0);
        let millis = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e3);
        Ok(Self {
            state: status.state,
            version: status.version,
            epoch: status.epoch,
            store: status.store,
            journal: status.journal,
            securities: status.securities,
            indexes: status.indexes,
            pos: status.pos,
            projected: status.projected,
            uptime_s: http.started.elapsed().as_secs(),
            now: WallClock.now().to_string(),
            mqtt: Door {
                listen: http.mqtt.clone(),
            },
            feed: Feed {
                rate: recent.rate,
                last_tick: reading.last_tick.map(|time| time.to_string()),
                accepted: reading.tally.applied,
                late: reading.tally.late,
                duplicate: reading.tally.duplicate,
                held: reading.tally.held,
                passed: reading.tally.passed,
                rejected: rejected.collect(),
                lost: http.door.lost(),
                gaps: reading.gaps,
                lag_rows: status.pos.saturating_sub(status.projected),
                lag_s: lag(http, WallClock.now()).as_secs_f64(),
                connections: http.door.connections.load(Ordering::Relaxed),
                streams: http.streams.open.load(Ordering::Relaxed),
                p50_ms: millis(recent.latency.quantile_micros(50)),
                p99_ms: millis(recent.latency.quantile_micros(99)),
            },
        })
    }
}

/// How far PostgreSQL is behind, in time: since when the journal has held more than it.
pub(super) fn lag(http: &Http, now: Time) -> Duration {
    let nanos = http
        .health
        .behind_since()
        .map_or(0, |since| now.as_nanos().saturating_sub(since.as_nanos()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// Readings of the last seconds, for rates and quantiles.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<VecDeque<(Instant, Reading)>>);

/// What the last seconds were like.
struct Recent {
    rate: f64,
    latency: Counts,
}

impl Samples {
    fn recent(&self, metrics: &Metrics) -> Recent {
        let now = Instant::now();
        let reading = metrics.reading();
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |at: &Instant| now.duration_since(*at);
        while samples.len() > 1 && samples.get(1).is_some_and(|(at, _)| age(at) >= WINDOW) {
            samples.pop_front();
        }
        let recent = samples.front().map(|(at, earlier)| {
            let ticks = |r: &Reading| r.tally.ticks();
            let more = ticks(&reading).saturating_sub(ticks(earlier));
            let seconds = age(at).as_secs_f64().max(SAMPLE_INTERVAL.as_secs_f64());
            Recent {
                rate: (more as f64 / seconds * 10.0).round() / 10.0,
                latency: reading.tick_to_level.since(&earlier.tick_to_level),
            }
        });
        if samples
            .back()
            .is_none_or(|(at, _)| age(at) >= SAMPLE_INTERVAL)
        {
            samples.push_back((now, reading.clone()));
        }
        recent.unwrap_or(Recent {
            rate: 0.0,
            latency: reading.tick_to_level,
        })
    }
}
