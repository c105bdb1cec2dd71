//! What operators order, and prices of any times in bulk: commands that become inputs as they are.

use divisor_engine::{Currency, Input, LabelId, Order, Origin, Time};
use divisor_wire::Reason;
use divisor_wire::command::{
    CalendarDetail, CalendarRow, CommandError, History, HistoryRow, HistorySummary, HoldRow, Page,
    Request, SessionRow,
};

use super::control::{Nothing, done};
use super::load::of_kind;
use super::staging::{clip, error};
use super::{Sequencer, SequencerError, gather, queries};
use crate::clock::Clock;
use crate::egress::Outlet;
use crate::ingress::Client;
use crate::journal::Log;

/// Refused rows told one by one; a sender of history looks at the first of them.
const REASONS_MAX: usize = 20;

/// Files in one message at the most: each is a label.
const FILES_MAX: usize = 1_024;

impl<L: Log, O: Outlet, C: Clock> Sequencer<L, O, C> {
    /// Carries out one of the commands of this file.
    pub(super) fn operate(
        &mut self,
        client: &Client,
        verb: &str,
        request: Request,
        limit: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<Vec<u8>, CommandError>, SequencerError> {
        let id = request.id.clone();
        let after = request.after.as_deref();
        Ok(match verb {
            "order" => self
                .order(client, request.order, go_on)?
                .and_then(|()| done(&id, Nothing {})),
            "history" => self
                .history(request.history, go_on)?
                .and_then(|summary| done(&id, summary)),
            "hold.list" => done(&id, self.hold_list(after, limit)),
            "calendar.list" => done(&id, self.calendar_list()),
            _ => self
                .calendar_show(&request, limit)
                .and_then(|detail| done(&id, detail)),
        })
    }

    /// Carries out an order, as a batch of its own.
    fn order(
        &mut self,
        client: &Client,
        order: Option<Order>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<(), CommandError>, SequencerError> {
        let Some(order) = order else {
            return Ok(Err(error("bad_request", "`order` is missing")));
        };
        if let Err(refused) = self.engine.check_order(&order) {
            return Ok(Err(error("refused", &refused.to_string())));
        }
        let by = client.user.as_deref().unwrap_or(&client.id);
        let by = self.gathering.label(&self.engine, &mut self.batch, by);
        let order = Box::new(order);
        self.batch.inputs.push(Input::Operate { by, order });
        self.commit(go_on)?;
        Ok(Ok(()))
    }

    /// Puts prices and rates into the sequence, in their order and with the identity that the
    /// request gives them. One that is refused does not hold the others back.
    fn history(
        &mut self,
        history: Option<History>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<HistorySummary, CommandError>, SequencerError> {
        let Some(history) = history else {
            return Ok(Err(error("bad_request", "`history` is missing")));
        };
        let most = self.settings.batch_inputs_max;
        if history.rows.len() > most || history.files.len() > FILES_MAX {
            let message = format!("at most {most} rows of {FILES_MAX} files fit one message");
            return Ok(Err(error("bad_request", &message)));
        }
        let before = self.announcer.total();
        let mut summary = HistorySummary::default();
        self.admit_rows(&history, &mut summary);
        if !self.batch.inputs.is_empty() {
            self.commit(go_on)?;
        }
        let after = self.announcer.total();
        summary.applied = after.applied - before.applied;
        summary.late = after.late - before.late;
        summary.repeated = after.duplicate - before.duplicate;
        summary.held = after.held - before.held;
        summary.passed = after.passed - before.passed;
        Ok(Ok(summary))
    }

    fn admit_rows(&mut self, history: &History, summary: &mut HistorySummary) {
        let sources: Vec<LabelId> = history
            .files
            .iter()
            .map(|file| {
                self.gathering
                    .label(&self.engine, &mut self.batch, &clip(&file.src))
            })
            .collect();
        let now = self.batch.time;
        for (place, row) in (0u32..).zip(&history.rows) {
            let HistoryRow(file, seq, ..) = row;
            let file = *file as usize;
            let admitted = match (sources.get(file), history.files.get(file)) {
                (Some(source), Some(known)) => {
                    let origin = Origin {
                        ts: Time::from_nanos(row.4),
                        received: now,
                        source: *source,
                        inc: Some(known.inc),
                        seq: Some(*seq),
                    };
                    self.admit_row(row, origin)
                }
                _ => Err(Reason::BadField),
            };
            match admitted {
                Ok(input) => self.batch.inputs.push(input),
                Err(reason) => {
                    summary.refused += 1;
                    if summary.reasons.len() < REASONS_MAX {
                        summary.reasons.push((place, reason.as_str().to_owned()));
                    }
                }
            }
        }
    }

    fn admit_row(&self, row: &HistoryRow, origin: Origin) -> Result<Input, Reason> {
        let HistoryRow(_, _, subject, price, _, kind) = row;
        if gather::is_ahead(origin.ts, origin.received, self.settings.future_max) {
            return Err(Reason::TimestampInFuture);
        }
        if origin.ts < gather::TIME_MIN {
            return Err(Reason::TimestampTooOld);
        }
        let admitted = match subject.split_once('/') {
            Some((base, quote)) => {
                let currency = |text: &str| Currency::parse(text).map_err(|_| Reason::UnknownPair);
                self.engine
                    .admit_rate(currency(base)?, currency(quote)?, *price, origin)
            }
            None => {
                let admitted = self
                    .engine
                    .admit_price(subject, *price, None, origin, None, None);
                admitted.map(|input| of_kind(input, *kind))
            }
        };
        admitted.map_err(gather::reason)
    }

    /// The prices and rates that wait for an operator, behind a position.
    fn hold_list(&self, after: Option<&str>, limit: usize) -> Page<HoldRow> {
        let engine = &self.engine;
        let after: Option<u64> = after.and_then(|after| after.parse().ok());
        let mut held = engine
            .held()
            .filter(|(position, _)| after.is_none_or(|after| *position > after));
        let row = |(position, held)| queries::hold_row(engine, position, held);
        let rows: Vec<HoldRow> = held.by_ref().take(limit).map(row).collect();
        let next = held.next().and(rows.last()).map(|row| row.held.to_string());
        Page { rows, next }
    }

    /// All calendars.
    fn calendar_list(&self) -> Page<CalendarRow> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let rows = self.engine.calendars().map(|calendar| CalendarRow {
            name: calendar.name.clone(),
            zone: calendar.zone.clone(),
            holidays: count(calendar.holidays.len()),
            special: count(calendar.special.len()),
            from: calendar.from.map(|date| date.to_string()),
            to: calendar.to.map(|date| date.to_string()),
            indexes: count(
                self.engine
                    .indexes()
                    .filter(|index| index.definition.calendar.as_ref() == Some(&calendar.name))
                    .count(),
            ),
        });
        Page {
            rows: rows.collect(),
            next: None,
        }
    }

    /// A calendar with its sessions from a date on.
    fn calendar_show(
        &self,
        request: &Request,
        limit: usize,
    ) -> Result<CalendarDetail, CommandError> {
        let name = request.calendar.as_deref();
        let name = name.ok_or_else(|| error("bad_request", "`calendar` is missing"))?;
        let from = match request.from.as_deref() {
            Some(text) => text
                .parse()
                .map_err(|_| error("bad_request", "`from` is no date"))?,
            None => {
                let now = jiff::Timestamp::from(self.clock.now());
                jiff::tz::TimeZone::UTC.to_datetime(now).date()
            }
        };
        let definition = self
            .engine
            .calendars()
            .find(|calendar| calendar.name == name);
        let sessions = self.engine.sessions(name, from, limit);
        let found = definition.cloned().zip(sessions);
        let (definition, sessions) = found
            .ok_or_else(|| error("not_found", &format!("there is no calendar {}", clip(name))))?;
        let row = |session: &divisor_engine::Session| SessionRow {
            day: session.day.to_string(),
            pre_open: session.pre_open.to_string(),
            open: session.open.to_string(),
            close: session.close.to_string(),
        };
        Ok(CalendarDetail {
            definition,
            sessions: sessions.iter().map(row).collect(),
        })
    }
}
