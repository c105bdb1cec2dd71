//! Commands: carried out one at a time, between batches, answered when durable.

use std::sync::Arc;

use bytes::Bytes;
use divisor_wire::Reason;
use divisor_wire::command::{CommandError, Reply, Request};
use serde::{Deserialize, Serialize};

use super::corrections::{self, envelope};
use super::staging::error;
use super::{Sequencer, SequencerError, actions, queries};
use crate::clock::Clock;
use crate::egress::{Announcement, Outlet};
use crate::ingress::{Client, Content, Inbound, Refusal};
use crate::journal::Log;

/// Rows in one answer at the most.
const PAGE_ROWS_MAX: usize = 500;

/// The result of a command that has none: `{}`.
#[derive(Serialize)]
pub(super) struct Nothing {}

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
                let id = id_of(&message.payload);
                let answer = failed(&id, error("bad_request", &format!("not a command: {e}")));
                self.reply(
                    client,
                    &id,
                    response_topic.clone(),
                    correlation.clone(),
                    answer,
                );
                return Ok(());
            }
        };
        let id = request.id.clone();
        if &**verb == "correct.add" && id_is_valid(&id) {
            let envelope = envelope(client, &id, response_topic.clone(), correlation.clone());
            if let Err(error) = self.ask_correction(client, request, envelope.clone()) {
                let payload = failed(&id, error).into();
                self.announcements.push(Announcement {
                    payload,
                    ..envelope
                });
            }
            return Ok(());
        }
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
        self.announcements.push(Announcement {
            payload: payload.into(),
            ..envelope(client, id, response_topic, correlation)
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
            "index.explain" => queries::index_explain(engine, request.code.as_deref())
                .and_then(|explanation| done(&id, explanation)),
            "rebalance.plan" => {
                actions::proforma(engine, &request).and_then(|proforma| done(&id, proforma))
            }
            "security.list" => done(&id, queries::security_list(engine, after, limit)),
            "security.show" => queries::security_show(engine, request.symbol.as_deref())
                .and_then(|detail| done(&id, detail)),
            "rate.list" => done(&id, queries::rate_list(engine, after, limit)),
            "order" | "history" | "hold.list" | "calendar.list" | "calendar.show" => {
                self.operate(client, verb, request, limit, go_on)?
            }
            "action.list" => done(&id, actions::list(engine, &request, after, limit)),
            "action.preview" => {
                actions::preview(engine, &request).and_then(|preview| done(&id, preview))
            }
            "action.add" | "action.cancel" => match actions::items(verb, request) {
                Ok((items, dry_run)) => self
                    .load(client, &items, dry_run, go_on)?
                    .and_then(|summary| done(&id, summary)),
                Err(error) => Err(error),
            },
            "correct.list" => done(&id, corrections::list(engine, after, limit)),
            "status" => done(&id, self.status()),
            _ => Err(error("unknown_verb", "there is no such command")),
        })
    }
}

/// The id of a request that cannot be read otherwise, say one of a newer client: its sender waits
/// for a reply under it.
fn id_of(payload: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let named = serde_json::from_slice::<Named>(payload).map(|named| named.id);
    named.ok().filter(|id| id_is_valid(id)).unwrap_or_default()
}

fn id_is_valid(id: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.bytes().all(good)
}

pub(super) fn done<T: Serialize>(id: &str, result: T) -> Result<Vec<u8>, CommandError> {
    let reply = Reply {
        id: id.to_owned(),
        ok: true,
        result: Some(result),
        error: None,
    };
    serde_json::to_vec(&reply).map_err(|e| error("internal", &e.to_string()))
}

pub(super) fn failed(id: &str, error: CommandError) -> Vec<u8> {
    let reply: Reply<()> = Reply {
        id: id.to_owned(),
        ok: false,
        result: None,
        error: Some(error),
    };
    serde_json::to_vec(&reply).unwrap_or_default()
}
