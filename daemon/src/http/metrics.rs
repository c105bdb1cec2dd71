//! `/metrics` in the text format of Prometheus: what the parts count, and what HTTP answers.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use divisor_wire::Reason;

use super::answer::typed;
use super::problem::Problem;
use super::session::{Caller, allow};
use super::{Http, status};
use crate::clock::{Clock, WallClock};
use crate::door::Counters;
use crate::door::counters::{Named, Tally};
use crate::metrics::{BOUNDS_MICROS, Counts, Reading};

/// Indexes whose level has a line of its own; more would make a series for each of thousands.
const LEVELS_MAX: usize = 200;

/// Answers by the first digit of their status.
#[derive(Debug, Default)]
pub(super) struct Answered([AtomicU64; 5]);

/// Wraps all routes and counts.
pub(super) async fn count(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = usize::from(response.status().as_u16() / 100).clamp(1, 5) - 1;
    http.answered.0[class].fetch_add(1, Ordering::Relaxed);
    response
}

/// The text, family by family.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    /// Begins a family.
    fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// A line of it; labels as `key="value"`.
    fn line(&mut self, name: &str, labels: &str, value: impl Display) -> &mut Self {
        let _ = if labels.is_empty() {
            writeln!(self.0, "{name} {value}")
        } else {
            writeln!(self.0, "{name}{{{labels}}} {value}")
        };
        self
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help).line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help).line(name, "", value);
    }

    /// A line of a family for each reason.
    fn reasons<R: Named>(&mut self, name: &str, labels: &str, tally: &Tally<R>) {
        for (reason, count) in tally.iter() {
            self.line(name, &format!("{labels}reason=\"{reason}\""), count);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, counts: &Counts) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, inside) in BOUNDS_MICROS.iter().zip(&counts.buckets) {
            below += inside;
            let bound = *bound as f64 / 1e6;
            self.line(&bucket, &format!("le=\"{bound}\""), below);
        }
        self.line(&bucket, "le=\"+Inf\"", counts.count());
        let sum = counts.sum_micros as f64 / 1e6;
        self.line(&format!("{name}_sum"), "", sum);
        self.line(&format!("{name}_count"), "", counts.count());
    }
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(http): State<Arc<Http>>,
    caller: Caller,
) -> Result<Response, Problem> {
    allow(caller.may_see_status())?;
    let _ = http.board.refresh(&http.sequence, false).await;
    let reading = http.metrics.reading();
    let mut text = Text::default();
    ticks(&mut text, &http, &reading);
    parts(&mut text, &http, &reading);
    door(&mut text, &http);
    logins(&mut text, &http);
    levels(&mut text, &http, &caller);
    let version = "text/plain; version=0.0.4; charset=utf-8";
    Ok(typed(version, text.0))
}

fn ticks(text: &mut Text, http: &Http, reading: &Reading) {
    let name = "divisor_ticks_total";
    let tally = &reading.tally;
    text.family(name, "counter", "Ticks and rates by what became of them.");
    for (result, count) in [
        ("applied", tally.applied),
        ("late", tally.late),
        ("duplicate", tally.duplicate),
        ("held", tally.held),
        ("passed", tally.passed),
    ] {
        text.line(name, &format!("result=\"{result}\",reason=\"\""), count);
    }
    // What the door refuses stands beside what the sequencer does: a client hears of both alike.
    for (reason, count) in http.door.rejected.iter() {
        let labels = format!("result=\"refused\",reason=\"{reason}\"");
        text.line(name, &labels, count);
    }
    let last = reading
        .last_tick
        .map_or(0.0, |time| time.as_nanos() as f64 / 1e9);
    text.gauge(
        "divisor_last_tick_timestamp_seconds",
        "When the last tick was received; 0 before the first.",
        last,
    );
    text.counter(
        "divisor_levels_total",
        "Levels that were made.",
        tally.levels,
    );
    text.gauge(
        "divisor_source_gaps",
        "Numbers that sources have left out and that have not come since.",
        reading.gaps,
    );
    text.gauge(
        "divisor_late_prices_waiting",
        "Late prices that will restate indexes and wait for their run.",
        reading.late_waiting,
    );
    text.gauge(
        "divisor_late_prices_lost",
        "Late prices that are in no run: nothing has taken them in for too long.",
        reading.late_lost,
    );
    text.histogram(
        "divisor_tick_to_level_seconds",
        "From the reading of a message to the leaving of what it caused.",
        &reading.tick_to_level,
    );
    text.histogram(
        "divisor_commit_seconds",
        "From a batch to its fdatasync.",
        &reading.commit,
    );
}

fn parts(text: &mut Text, http: &Http, reading: &Reading) {
    let health = &http.health;
    let (durable, projected) = (health.durable(), health.projected());
    let version = env!("CARGO_PKG_VERSION");
    let info = "divisor_build_info";
    text.family(info, "gauge", "The version that runs.").line(
        info,
        &format!("version=\"{version}\""),
        1,
    );
    text.gauge(
        "divisor_uptime_seconds",
        "Since the start.",
        http.started.elapsed().as_secs(),
    );
    text.gauge(
        "divisor_ready",
        "1 while prices are taken and levels leave.",
        u8::from(health.unready().is_empty()),
    );
    text.gauge(
        "divisor_journal_full",
        "1 while nothing is acknowledged for want of room.",
        u8::from(health.journal_is_full()),
    );
    let store = "divisor_store";
    text.family(store, "gauge", "1 for the state that the store is in.");
    for state in ["ok", "degraded", "off"] {
        let is = u8::from(health.store_word() == state);
        text.line(store, &format!("state=\"{state}\""), is);
    }
    text.gauge(
        "divisor_position",
        "The position behind the last durable input.",
        durable,
    );
    text.gauge(
        "divisor_projected_position",
        "The position behind the last input that PostgreSQL has.",
        projected,
    );
    let lag = if health.store_word() == "off" {
        0
    } else {
        durable.saturating_sub(projected)
    };
    text.gauge(
        "divisor_projection_lag_rows",
        "Inputs that PostgreSQL lacks.",
        lag,
    );
    text.gauge(
        "divisor_projection_lag_seconds",
        "How long PostgreSQL has lacked the oldest of them.",
        status::lag(http, WallClock.now()).as_secs_f64(),
    );
    text.counter(
        "divisor_inputs_total",
        "Inputs of the sequence since the start.",
        reading.inputs,
    );
    text.gauge(
        "divisor_queue_submissions",
        "Submissions that waited when the sequencer's last turn began.",
        reading.queued,
    );
}

fn door(text: &mut Text, http: &Http) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let door = &http.door;
    text.gauge(
        "divisor_connections",
        "MQTT connections now.",
        get(&door.connections),
    );
    text.gauge(
        "divisor_sessions_parked",
        "MQTT sessions that wait for their client.",
        get(&door.sessions_parked),
    );
    text.counter(
        "divisor_connections_total",
        "MQTT connections that were accepted.",
        get(&door.accepted),
    );
    denials(text, door);
    let messages = "divisor_messages_total";
    text.family(messages, "counter", "MQTT messages by direction and QoS.");
    for qos in 0..3 {
        let labels = |way: &str| format!("direction=\"{way}\",qos=\"{qos}\"");
        text.line(messages, &labels("in"), get(&door.messages_in[qos]));
        text.line(messages, &labels("out"), get(&door.messages_out[qos]));
    }
    let dropped = "divisor_messages_dropped_total";
    text.family(
        dropped,
        "counter",
        "Messages, levels among them, that a subscriber did not get; router_lag is far behind.",
    );
    text.reasons(dropped, "", &door.dropped);
    text.counter(
        "divisor_retained_refused_total",
        "Retained messages that were not kept: the table, or the client's share of it, was full.",
        get(&door.dropped_retained),
    );
    text.counter(
        "divisor_rate_pauses_total",
        "Pauses in reading from a client that exceeds mqtt.publish_rate_max.",
        get(&door.rate_pauses),
    );
    text.gauge(
        "divisor_shared_groups",
        "Groups of shared subscriptions.",
        get(&door.shared_groups),
    );
    text.gauge(
        "divisor_http_streams",
        "Streams now.",
        get(&http.streams.open),
    );
    let answers = "divisor_http_answers_total";
    text.family(
        answers,
        "counter",
        "HTTP answers by the class of their status.",
    );
    for (class, count) in (1..).zip(&http.answered.0) {
        text.line(answers, &format!("class=\"{class}xx\""), get(count));
    }
}

/// What clients were denied, and how their connections ended, by reason.
fn denials(text: &mut Text, door: &Counters) {
    let denied = "divisor_denied_total";
    text.family(denied, "counter", "What was denied to MQTT clients.");
    text.reasons(denied, "what=\"connection\",", &door.refused);
    text.reasons(denied, "what=\"subscription\",", &door.filters);
    for reason in [Reason::BadTopic, Reason::BadSymbol, Reason::NotAuthorized] {
        let labels = format!("what=\"topic\",reason=\"{reason}\"");
        text.line(denied, &labels, door.rejected.get(reason));
    }
    let ended = "divisor_connections_ended_total";
    text.family(ended, "counter", "MQTT connections that the daemon ended.");
    text.reasons(ended, "", &door.closed);
}

fn logins(text: &mut Text, http: &Http) {
    let counters = http.access.counters();
    let name = "divisor_logins_total";
    text.family(
        name,
        "counter",
        "Logins over MQTT and HTTP by their outcome.",
    );
    for (result, count) in [
        ("user", &counters.users),
        ("anonymous", &counters.anonymous),
        ("bad_credentials", &counters.bad_credentials),
        ("not_authorized", &counters.not_authorized),
        ("locked_out", &counters.locked_out),
    ] {
        let labels = format!("result=\"{result}\"");
        text.line(name, &labels, count.load(Ordering::Relaxed));
    }
}

fn levels(text: &mut Text, http: &Http, caller: &Caller) {
    let mut lines = http.board.lines();
    lines.retain(|line| caller.may_see_index(&line.code));
    let name = "divisor_indexes";
    text.family(name, "gauge", "Indexes by what their level is worth.");
    let mut by_status = std::collections::BTreeMap::from([("live", 0), ("pending", 0)]);
    for line in &lines {
        *by_status.entry(line.status.as_str()).or_default() += 1;
    }
    for (status, count) in by_status {
        text.line(name, &format!("status=\"{status}\""), count);
    }
    let level = "divisor_index_level";
    let shown = lines
        .iter()
        .filter_map(|line| Some((&line.code, line.level?)));
    text.family(level, "gauge", "The last level of the first 200 indexes.");
    for (code, value) in shown.take(LEVELS_MAX) {
        let code = code.replace('\\', "\\\\").replace('"', "\\\"");
        text.line(level, &format!("index=\"{code}\""), value);
    }
}
