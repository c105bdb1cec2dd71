//! Commands: carried out one at a time, between batches, answered when durable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use divisor_engine::definition::Definitions;
use divisor_engine::{Batch, Change, Effect, Engine, Input, LabelId, Origin, Output, Plan, Time};
use divisor_wire::Reason;
use divisor_wire::command::{CommandError, Items, LoadSummary, Reply, Request, Tally};
use divisor_wire::topic::reply_topic;
use serde::Serialize;

use super::loads::error;
use super::{Sequencer, SequencerError, gather, queries};
use crate::clock::Clock;
use crate::egress::{Announcement, Outlet};
use crate::ingress::{Client, Content, Inbound, Refusal};
use crate::journal::Log;
use crate::record;

/// Rows in one answer at the most.
const PAGE_ROWS_MAX: usize = 500;

/// Errors told one by one; the rest is counted.
const DETAILS_MAX: usize = 50;

/// The result of a command that has none: `{}`.
#[derive(Serialize)]
struct Nothing {}

/// Whose load it is and how its rows are told apart.
#[derive(Clone, Copy)]
struct Load {
    /// Who loads, for the audit trail.
    by: LabelId,
    /// The source of its prices.
    source: LabelId,
    /// A number that follows from its prices: their incarnation.
    content: u64,
    /// How far a price's time may lie ahead.
    future_max: Duration,
}

impl<L: Log, O: Outlet, C: Clock> Sequencer<L, O, C> {
    /// Carries out one command and announces its reply.
    pub(super) fn command(
        &mut self,
        client: &Arc<Client>,
        message: &Inbound,
        refusals: &mut Vec<Refusal>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), SequencerError> {
        let Content::Command {
            verb,
            response_topic,
            correlation,
        } = &message.content
        else {
            return Ok(());
        };
        // What was sent before the command happens before it.
        if !self.batch.inputs.is_empty() {
            self.commit(go_on)?;
        }
        let request: Request = match serde_json::from_slice(&message.payload) {
            Ok(request) => request,
            Err(e) => {
                tracing::debug!(client = %client.id, error = %e, "a command cannot be read");
                refusals.push(Refusal {
                    ticket: message.ticket,
                    place: 0,
                    whole: true,
                    reason: Reason::Malformed,
                });
                let answer = failed("", error("bad_request", &format!("not a command: {e}")));
                self.reply(
                    client,
                    "",
                    response_topic.clone(),
                    correlation.clone(),
                    answer,
                );
                return Ok(());
            }
        };
        let id = request.id.clone();
        let answer = self.carry_out(client, verb, request, message.payload.len(), go_on)?;
        let answer = answer.unwrap_or_else(|error| failed(&id, error));
        self.reply(
            client,
            &id,
            response_topic.clone(),
            correlation.clone(),
            answer,
        );
        Ok(())
    }

    fn reply(
        &mut self,
        client: &Client,
        id: &str,
        response_topic: Option<Arc<str>>,
        correlation: Option<Bytes>,
        payload: Vec<u8>,
    ) {
        // A request that could not be read has no id; without a response topic its sender hears
        // of it under the id `-`.
        let id = if id.is_empty() { "-" } else { id };
        let topic = response_topic.unwrap_or_else(|| reply_topic(&client.id, id).into());
        self.announcements.push(Announcement {
            correlation,
            ..Announcement::passing(topic, payload)
        });
    }

    fn carry_out(
        &mut self,
        client: &Client,
        verb: &str,
        request: Request,
        bytes: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<Vec<u8>, CommandError>, SequencerError> {
        if !id_is_valid(&request.id) {
            let message = "`id` must be 1 to 64 characters of A-Z a-z 0-9 - _ .";
            return Ok(Err(error("bad_request", message)));
        }
        let id = request.id.clone();
        let limit = request.limit.map_or(PAGE_ROWS_MAX, |limit| limit as usize);
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let after = request.after.as_deref();
        let engine = &self.engine;
        Ok(match verb {
            "load.begin" => self
                .loads
                .begin(&client.id, &request)
                .and_then(|()| done(&id, Nothing {})),
            "load.part" => self
                .loads
                .part(&client.id, request, bytes)
                .and_then(|()| done(&id, Nothing {})),
            "load.abort" => self
                .loads
                .abort(&client.id, &request)
                .and_then(|()| done(&id, Nothing {})),
            "load.commit" => match self.loads.take(&client.id, &request) {
                Ok(items) => self
                    .load(client, &items, request.dry_run, go_on)?
                    .and_then(|summary| done(&id, summary)),
                Err(error) => Err(error),
            },
            "index.list" => done(&id, queries::index_list(engine, after, limit)),
            "index.show" => queries::index_show(engine, request.code.as_deref())
                .and_then(|detail| done(&id, detail)),
            "security.list" => done(&id, queries::security_list(engine, after, limit)),
            "security.show" => queries::security_show(engine, request.symbol.as_deref())
                .and_then(|detail| done(&id, detail)),
            "status" => done(
                &id,
                queries::status(
                    engine,
                    &self.health,
                    self.announcer.epoch(),
                    self.is_leaving,
                ),
            ),
            _ => Err(error("unknown_verb", "there is no such command")),
        })
    }

    /// Applies a load whole or not at all, as one record.
    fn load(
        &mut self,
        client: &Client,
        items: &Items,
        dry_run: bool,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<LoadSummary, CommandError>, SequencerError> {
        self.begin_batch();
        let by = client.user.as_deref().unwrap_or(&client.id);
        let by = self.gathering.label(&self.engine, &mut self.batch, by);
        let content = content_hash(items);
        let name = format!("load-{content:016x}");
        let source = self.gathering.label(&self.engine, &mut self.batch, &name);
        let load = Load {
            by,
            source,
            content,
            future_max: self.settings.future_max,
        };
        let tried = try_load(&self.engine, items, &self.batch, load);
        let (mut inputs, mut summary) = match tried {
            Ok(tried) => tried,
            Err(error) => {
                self.forget_batch();
                return Ok(Err(error));
            }
        };
        summary.dry_run = dry_run;
        if dry_run || inputs.is_empty() {
            self.forget_batch();
            return Ok(Ok(summary));
        }
        self.batch.inputs.append(&mut inputs);
        if let Err(error) = self.fits_one_record()? {
            self.forget_batch();
            return Ok(Err(error));
        }
        self.commit(go_on)?;
        Ok(Ok(summary))
    }

    /// A load is one record, so that it is applied whole or not at all.
    fn fits_one_record(&mut self) -> Result<Result<(), CommandError>, SequencerError> {
        self.body.clear();
        record::encode(&self.batch.inputs, &mut self.body)?;
        let (bytes, bytes_max) = (self.body.len() as u64, self.log.body_bytes_max());
        if bytes <= bytes_max {
            return Ok(Ok(()));
        }
        let message = format!(
            "the load takes {bytes} bytes in the journal, which holds {bytes_max} in one piece: \
             split the load, or raise journal.bytes_max"
        );
        Ok(Err(error("too_large", &message)))
    }

    fn forget_batch(&mut self) {
        self.gathering.committed();
        self.begin_batch();
    }
}

/// Tries a load on a copy of the engine: the inputs that carry it out, and what they do.
fn try_load(
    engine: &Engine,
    items: &Items,
    batch: &Batch,
    load: Load,
) -> Result<(Vec<Input>, LoadSummary), CommandError> {
    let (securities, indexes) = items.definitions();
    let mut summary = LoadSummary::default();
    let mut inputs = Vec::new();
    let mut define = |definitions: Definitions, plan: Plan| {
        if tally(&mut summary, plan) {
            Some(Input::Define {
                by: load.by,
                definitions: Box::new(definitions),
            })
        } else {
            None
        }
    };
    let (plan, mut trial) = engine.plan(&securities).map_err(|e| refused(&e))?;
    inputs.extend(define(securities, plan));
    let (market, repeated) = market_inputs(&mut trial, items, batch.time, load)?;
    let moved = market.len();
    inputs.extend(market);
    let (plan, _) = trial.plan(&indexes).map_err(|e| refused(&e))?;
    inputs.extend(define(indexes, plan));
    summary.prices = moved as u64;
    summary.prices_repeated = repeated;
    Ok((inputs, summary))
}

/// Rates and prices of a load as inputs, those left out that an earlier, equal load has brought;
/// and how many those are. The trial engine has applied them afterwards.
fn market_inputs(
    trial: &mut Engine,
    items: &Items,
    now: Time,
    load: Load,
) -> Result<(Vec<Input>, u64), CommandError> {
    let mut errors = Vec::new();
    let mut inputs = Vec::with_capacity(items.rates.len() + items.prices.len());
    let mut seq = 0;
    for rate in &items.rates {
        seq += 1;
        let admitted = load
            .origin(rate.ts.as_deref(), now, seq)
            .and_then(|origin| {
                let admitted = trial.admit_rate(rate.base, rate.quote, rate.rate, origin);
                admitted.map_err(|e| e.to_string())
            });
        match admitted {
            Ok(input) => inputs.push(input),
            Err(why) => errors.push(format!("rate {}/{}: {why}", rate.base, rate.quote)),
        }
    }
    for price in &items.prices {
        seq += 1;
        let admitted = load
            .origin(price.ts.as_deref(), now, seq)
            .and_then(|origin| {
                let admitted =
                    trial.admit_price(&price.symbol, price.price, None, origin, None, None);
                admitted.map_err(|e| e.to_string())
            });
        match admitted {
            Ok(input) => inputs.push(input),
            Err(why) => errors.push(format!("price of {}: {why}", clip(&price.symbol))),
        }
    }
    if errors.is_empty() {
        Ok(without_repeated(trial, inputs, now))
    } else {
        Err(with_details(
            "refused",
            "prices or rates are refused, nothing was applied",
            errors,
        ))
    }
}

/// Applies inputs to the trial engine and drops those whose identity it knows already.
fn without_repeated(trial: &mut Engine, inputs: Vec<Input>, now: Time) -> (Vec<Input>, u64) {
    if inputs.is_empty() {
        return (inputs, 0);
    }
    let batch = Batch {
        first: trial.next_position(),
        time: now,
        inputs,
    };
    trial.apply(&batch);
    let mut repeated = vec![false; batch.inputs.len()];
    while let Some(output) = trial.poll_output() {
        if let Output::Tick {
            position,
            effect: Effect::Duplicate,
        } = output
        {
            repeated[(position - batch.first) as usize] = true;
        }
    }
    let count = repeated.iter().filter(|repeated| **repeated).count() as u64;
    let pairs = batch.inputs.into_iter().zip(repeated);
    (
        pairs
            .filter(|(_, repeated)| !repeated)
            .map(|(input, _)| input)
            .collect(),
        count,
    )
}

impl Load {
    /// The origin of one of its rows. The identity is the content of the load and the row's place
    /// in it, so that loading a file twice is harmless (invariant 7).
    fn origin(self, ts: Option<&str>, now: Time, seq: u64) -> Result<Origin, String> {
        let ts = match ts {
            None => now,
            Some(text) => time(text).ok_or("`ts` is not a time")?,
        };
        if gather::is_ahead(ts, now, self.future_max) {
            return Err("`ts` is in the future".to_owned());
        }
        let (source, inc) = (self.source, Some(self.content));
        Ok(Origin {
            ts,
            received: now,
            source,
            inc,
            seq: Some(seq),
        })
    }
}

/// Adds a plan to the summary; true when it changes anything.
fn tally(summary: &mut LoadSummary, plan: Plan) -> bool {
    let mut changes = false;
    for item in plan.items {
        let tally: &mut Tally = match item.kind {
            "security" => &mut summary.securities,
            "index" => &mut summary.indexes,
            _ => &mut summary.revisions,
        };
        match item.change {
            Change::New => tally.new += 1,
            Change::Unchanged => tally.unchanged += 1,
            Change::Changed(fields) => {
                tally.changed += 1;
                let line = format!("{} {}: {}", item.kind, item.name, fields.join(", "));
                summary.changes.push(line);
                changes = true;
                continue;
            }
        }
        changes |= item.change == Change::New;
    }
    changes
}

/// A time as a fixture states it: RFC 3339, or a date for its first moment in UTC.
fn time(text: &str) -> Option<Time> {
    divisor_wire::level::time(text).or_else(|| {
        let date: jiff::civil::Date = text.parse().ok()?;
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        i64::try_from(start.as_nanosecond())
            .ok()
            .map(Time::from_nanos)
    })
}

/// FNV-1a over the prices and rates: the same on every machine and version.
fn content_hash(items: &Items) -> u64 {
    let market = Items {
        rates: items.rates.clone(),
        prices: items.prices.clone(),
        ..Items::default()
    };
    let bytes = serde_json::to_vec(&market).unwrap_or_default();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn id_is_valid(id: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.bytes().all(good)
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

fn refused(errors: &[divisor_engine::DefinitionError]) -> CommandError {
    let lines = errors.iter().map(ToString::to_string).collect();
    with_details(
        "refused",
        "definitions are refused, nothing was applied",
        lines,
    )
}

fn with_details(kind: &str, message: &str, mut details: Vec<String>) -> CommandError {
    let more = details.len().saturating_sub(DETAILS_MAX);
    details.truncate(DETAILS_MAX);
    if more > 0 {
        details.push(format!("and {more} more"));
    }
    CommandError {
        kind: kind.to_owned(),
        message: message.to_owned(),
        details,
    }
}

fn done<T: Serialize>(id: &str, result: T) -> Result<Vec<u8>, CommandError> {
    let reply = Reply {
        id: id.to_owned(),
        ok: true,
        result: Some(result),
        error: None,
    };
    serde_json::to_vec(&reply).map_err(|e| error("internal", &e.to_string()))
}

fn failed(id: &str, error: CommandError) -> Vec<u8> {
    let reply: Reply<()> = Reply {
        id: id.to_owned(),
        ok: false,
        result: None,
        error: Some(error),
    };
    serde_json::to_vec(&reply).unwrap_or_default()
}
