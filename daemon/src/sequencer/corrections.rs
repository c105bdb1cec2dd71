//! Corrections: what is stated becomes an open run, and what the walk brings becomes its end.

use std::sync::Arc;
use std::time::Duration;

use divisor_engine::{
    Correction, CorrectionState, Currency, Decimal, Edit, Engine, Found, Input, LabelId, Origin,
    Outcome, Stated, Time, Walk,
};
use divisor_wire::command::{
    CommandError, Corrected, CorrectionEffect, CorrectionRequest, CorrectionRow, CorrectionSummary,
    Page, Request,
};

use super::control::{done, failed};
use super::staging::{clip, error};
use super::{Sequencer, SequencerError, gather};
use crate::clock::Clock;
use crate::egress::{Announcement, Outlet};
use crate::ingress::Client;
use crate::journal::{Log, ReadError, Records as _};
use crate::record;
use crate::restate::{Ask, Handover, ReplyTo, Report, Sought};

/// Inputs that are caught up with here at the most; nothing else happens meanwhile.
const CATCH_UP_MAX: u64 = 20_000;

/// Why a run is opened that nobody has stated, and who opens it.
const LATE: &str = "late price";
const DAEMON: &str = gather::FIRST_LABELS[0];

/// What a piece of the sequence takes in a record at the most, with some to spare.
const RANGE_BYTES: u64 = 100;

/// The longest reason.
const REASON_MAX: usize = 500;

impl<L: Log, O: Outlet, C: Clock> Sequencer<L, O, C> {
    /// Passes a correction on to those who have the history; they answer.
    pub(super) fn ask_correction(
        &mut self,
        client: &Client,
        request: Request,
        envelope: Announcement,
    ) -> Result<(), CommandError> {
        let Some(CorrectionRequest { what, reason }) = request.correction else {
            return Err(error("bad_request", "`correction` is missing"));
        };
        if reason.trim().is_empty() || reason.len() > REASON_MAX {
            return Err(error("bad_request", "`reason` must be 1 to 500 bytes"));
        }
        if self.desk.is_none() {
            let message = "a correction needs PostgreSQL, and there is none by configuration";
            return Err(error("unavailable", message));
        }
        let by = client.user.as_deref().unwrap_or(&client.id);
        let ask = Ask {
            what: told(&what),
            sought: self.sought(what, by)?,
            by: by.to_owned(),
            reason,
            dry_run: request.dry_run,
            reply: ReplyTo {
                id: request.id,
                envelope,
            },
        };
        let asked = self.desk.as_mut().map_or(Ok(()), |desk| desk.ask(ask));
        asked.map_err(|why| error("unavailable", why))
    }

    /// What is wanted, as far as the present can tell.
    fn sought(&self, what: Corrected, by: &str) -> Result<Sought, CommandError> {
        let source = self.engine.label_id(by).unwrap_or(LabelId(0));
        let origin = |ts: &str| origin(ts, source);
        let refused = |refused| {
            let reason = gather::reason(refused);
            error("refused", reason.as_str())
        };
        match what {
            Corrected::Price(wanted) => {
                let price = wanted.price.unwrap_or(Decimal::ONE);
                let origin = origin(&wanted.ts)?;
                let symbol = &wanted.symbol;
                let admitted = self
                    .engine
                    .admit_price(symbol, price, None, origin, None, None);
                let Input::Tick(tick) = admitted.map_err(refused)? else {
                    return Err(error("internal", "a price became something else"));
                };
                Ok(Sought::Tick {
                    tick,
                    void: wanted.price.is_none(),
                    src: wanted.src,
                })
            }
            Corrected::Rate(wanted) => {
                let rate = wanted.rate.unwrap_or(Decimal::ONE);
                let (base, quote): (Currency, Currency) = (wanted.base, wanted.quote);
                let admitted = self
                    .engine
                    .admit_rate(base, quote, rate, origin(&wanted.ts)?);
                let Input::Rate(rate) = admitted.map_err(refused)? else {
                    return Err(error("internal", "a rate became something else"));
                };
                Ok(Sought::Rate {
                    rate,
                    void: wanted.rate.is_none(),
                    src: wanted.src,
                })
            }
            Corrected::Action(terms) => {
                let index = terms
                    .event
                    .index()
                    .and_then(|code| self.engine.index_id(code));
                Ok(Sought::Action {
                    is_known: self.engine.action(&terms.id).is_some(),
                    security: self.engine.security_of(&terms.event),
                    index,
                    terms,
                })
            }
            Corrected::CancelAction { id } if self.engine.action(&id).is_some() => {
                Ok(Sought::CancelAction(id))
            }
            Corrected::CancelAction { id } => {
                let message = format!("there is no action {}", clip(&id));
                Err(error("not_found", &message))
            }
            Corrected::Withdraw { run } => Ok(Sought::Withdraw(run)),
        }
    }

    /// Takes what the thread with the history has to say.
    pub(super) fn report(
        &mut self,
        report: Report,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), SequencerError> {
        self.begin_batch();
        match report {
            Report::Refused(reply, why) => self.answer_later(reply, Err(why)),
            Report::Preview(reply, found) => {
                let indexes = found.iter().filter_map(|found| effect(&self.engine, found));
                let summary = CorrectionSummary {
                    run: None,
                    indexes: indexes.collect(),
                };
                self.answer_later(reply, Ok(summary));
            }
            Report::Found {
                edit,
                by,
                what,
                reason,
                reply,
            } => {
                let by = self.gathering.label(&self.engine, &mut self.batch, &by);
                let stated = Box::new(Stated { edit, what, reason });
                self.batch.inputs.push(Input::Correct { by, stated });
                self.commit(go_on)?;
                let run = self.engine.corrections().all().len();
                let summary = CorrectionSummary {
                    run: u32::try_from(run).ok(),
                    indexes: Vec::new(),
                };
                self.answer_later(reply, Ok(summary));
                self.tell_corrections();
            }
            Report::Walked {
                through,
                walk,
                found,
                answer,
            } => {
                let handover = self.take_over(through, *walk, found, go_on)?;
                self.tell_corrections();
                let _ = answer.send(handover);
            }
            Report::Failed { through, why } => {
                if self.is_open(through) {
                    self.end_run(through, Outcome::Failed { why }, go_on)?;
                }
                self.tell_corrections();
            }
        }
        self.announce_status(false);
        self.flush_announcements();
        Ok(())
    }

    /// Opens a run for the late prices that have gathered, if it is time. While an earlier one is
    /// under way they go on gathering: however many come, they wait for one walk.
    pub(super) fn take_in_late(&mut self, go_on: &dyn Fn() -> bool) -> Result<(), SequencerError> {
        let late = self.engine.late();
        if late.is_empty() || self.desk.is_none() {
            return Ok(());
        }
        let nanos = |wait: Duration| i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
        let quiet = nanos(self.settings.late_quiet);
        let due = late.due(quiet, nanos(self.settings.late_longest));
        let is_late = |c: &Correction| matches!(c.stated.edit, Edit::Late { .. });
        let waits = !late.is_many() && self.engine.corrections().open().any(is_late);
        if waits || due.is_none_or(|due| due > self.batch.time) {
            return Ok(());
        }
        // What does not fit a record waits for the next one.
        let most = usize::try_from(self.log.body_bytes_max() / RANGE_BYTES).unwrap_or(usize::MAX);
        let ranges: Vec<_> = late.ranges().iter().take(most.max(1)).copied().collect();
        let what = match ranges.iter().map(|(from, until)| until - from).sum() {
            1 => "1 late price".to_owned(),
            count => format!("{count} late prices"),
        };
        let stated = Box::new(Stated {
            edit: Edit::Late { ranges },
            what,
            reason: LATE.to_owned(),
        });
        let by = self.gathering.label(&self.engine, &mut self.batch, DAEMON);
        self.batch.inputs.push(Input::Correct { by, stated });
        self.commit(go_on)?;
        self.tell_corrections();
        Ok(())
    }

    /// Tells the thread with the history what is to be done.
    pub(super) fn tell_corrections(&self) {
        if let Some(desk) = &self.desk {
            desk.tell(self.engine.corrections().clone());
        }
    }

    fn is_open(&self, run: u32) -> bool {
        let correction = self.engine.corrections().get(run);
        correction.is_some_and(|c| c.state == CorrectionState::Open)
    }

    /// Brings a corrected state to the present and makes it the present.
    fn take_over(
        &mut self,
        through: u32,
        mut walk: Walk,
        found: Vec<Found>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Handover, SequencerError> {
        if !self.is_open(through) {
            return Ok(Handover::Over);
        }
        if self.engine.next_position() - walk.engine().next_position() > CATCH_UP_MAX {
            return Ok(Handover::Nearer);
        }
        // What is due by the clock happens first, on both sides alike: between the comparison and
        // the end of the run nothing may.
        self.commit(go_on)?;
        let mut records = match self.log.reader_from(walk.engine().next_position()) {
            Ok(records) => records,
            Err(ReadError::OutOfReach { .. }) => return Ok(Handover::Nearer),
            Err(error) => return Err(error.into()),
        };
        let mut batch = divisor_engine::Batch::default();
        while walk.engine().next_position() < self.engine.next_position()
            && let Some(record) = records.next_record()?
        {
            record::decode(&record, &mut batch).map_err(record::ReplayError::from)?;
            walk.apply(&batch);
            while walk.poll_output().is_some() {}
        }
        let outcome = match self.engine.patch_to(&walk) {
            Ok(patch) => Outcome::Restated {
                patch: Box::new(patch),
                found,
            },
            Err(error) => Outcome::Failed {
                why: error.to_string(),
            },
        };
        let is_restated = matches!(outcome, Outcome::Restated { .. });
        let position = self.end_run(through, outcome, go_on)?;
        Ok(match position {
            Some(position) if is_restated => Handover::At(position),
            _ => Handover::Over,
        })
    }

    /// Ends the open runs up to one; none where only their failure could be noted.
    fn end_run(
        &mut self,
        through: u32,
        outcome: Outcome,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<u64>, SequencerError> {
        let input = Input::Restate {
            through,
            outcome: Box::new(outcome),
        };
        let mut body = Vec::new();
        record::encode(std::slice::from_ref(&input), &mut body)?;
        // At the time of the batch before, so that nothing is due between the two.
        self.batch.time = self.engine.time();
        if body.len() as u64 > self.log.body_bytes_max() {
            let why = format!("the change of the present state takes {} bytes", body.len());
            let outcome = Box::new(Outcome::Failed { why });
            self.batch.inputs.push(Input::Restate { through, outcome });
            self.commit(go_on)?;
            return Ok(None);
        }
        let position = self.batch.first;
        self.batch.inputs.push(input);
        self.commit(go_on)?;
        Ok(Some(position))
    }

    fn answer_later(&mut self, reply: ReplyTo, answer: Result<CorrectionSummary, CommandError>) {
        let payload = answer.and_then(|summary| done(&reply.id, summary));
        let payload = payload.unwrap_or_else(|error| failed(&reply.id, error));
        self.announcements.push(Announcement {
            payload: payload.into(),
            ..reply.envelope
        });
    }
}

/// The origin of a price that somebody states: no feed has an identity for it.
fn origin(ts: &str, source: LabelId) -> Result<Origin, CommandError> {
    let ts: jiff::Timestamp = ts
        .parse()
        .map_err(|_| error("bad_request", "`ts` must be an RFC 3339 time"))?;
    let ts = i64::try_from(ts.as_nanosecond())
        .map_err(|_| error("bad_request", "`ts` is out of range"))?;
    let ts = Time::from_nanos(ts);
    Ok(Origin {
        ts,
        received: ts,
        source,
        inc: None,
        seq: None,
    })
}

/// The corrections behind a run.
pub(crate) fn list(engine: &Engine, after: Option<&str>, limit: usize) -> Page<CorrectionRow> {
    let after: u32 = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    let mut all = engine.corrections().all().iter().skip(after as usize);
    let rows: Vec<_> = all.by_ref().take(limit).map(|c| row(engine, c)).collect();
    let next = all.next().and(rows.last()).map(|row| row.run.to_string());
    Page { rows, next }
}

/// The correction of a run.
pub(crate) fn one(engine: &Engine, run: u32) -> Option<CorrectionRow> {
    Some(row(engine, engine.corrections().get(run)?))
}

fn row(engine: &Engine, correction: &Correction) -> CorrectionRow {
    let (with, why) = match &correction.state {
        CorrectionState::Open => (None, None),
        CorrectionState::Restated { run, .. } => (Some(*run), None),
        CorrectionState::Failed { why } => (None, Some(why.clone())),
    };
    CorrectionRow {
        run: correction.run,
        what: correction.stated.what.clone(),
        reason: correction.stated.reason.clone(),
        by: engine
            .label_text(correction.by)
            .unwrap_or_default()
            .to_owned(),
        time: correction.time.to_string(),
        state: correction.state.as_str().to_owned(),
        with,
        why,
    }
}

/// What is corrected, in words.
fn told(what: &Corrected) -> String {
    let of = |number: Option<Decimal>| {
        number.map_or_else(
            || "none".to_owned(),
            |number| number.normalized().to_string(),
        )
    };
    match what {
        Corrected::Price(wanted) => {
            format!(
                "{} at {}: {}",
                clip(&wanted.symbol),
                clip(&wanted.ts),
                of(wanted.price)
            )
        }
        Corrected::Rate(wanted) => {
            let (base, quote) = (wanted.base, wanted.quote);
            format!(
                "{base}/{quote} at {}: {}",
                clip(&wanted.ts),
                of(wanted.rate)
            )
        }
        Corrected::Action(terms) => {
            let kind = terms.event.kind();
            format!("{kind} {} of {}", clip(&terms.id), terms.ex_date)
        }
        Corrected::CancelAction { id } => format!("{} never was", clip(id)),
        Corrected::Withdraw { run } => format!("correction {run} withdrawn"),
    }
}

fn effect(engine: &Engine, found: &Found) -> Option<CorrectionEffect> {
    Some(CorrectionEffect {
        code: engine.index_code(found.index)?.to_owned(),
        levels: found.levels,
        closes: found.closes,
        from: found.span.map(|(from, _)| from.to_string()),
        until: found.span.map(|(_, until)| until.to_string()),
        largest: found.largest,
    })
}

/// Where the answer to a request goes.
pub(super) fn envelope(
    client: &Client,
    id: &str,
    response_topic: Option<Arc<str>>,
    correlation: Option<bytes::Bytes>,
) -> Announcement {
    // A request that could not be read has no id; without a response topic its sender hears
    // of it under the id `-`.
    let id = if id.is_empty() { "-" } else { id };
    let topic =
        response_topic.unwrap_or_else(|| divisor_wire::topic::reply_topic(&client.id, id).into());
    Announcement {
        correlation,
        ..Announcement::passing(topic, Vec::new())
    }
}
