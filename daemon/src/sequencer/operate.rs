//! What operators order, and prices of any times in bulk: commands that become inputs as they are.

use divisor_engine::{HeldInput, Input, Order};
use divisor_wire::command::{
    CalendarDetail, CalendarRow, CommandError, HoldRow, Items, Page, PricesSummary, Request,
    SessionRow,
};

use super::load::{Load, of_kind};
use super::staging::{clip, error};
use super::{Sequencer, SequencerError, gather};
use crate::clock::Clock;
use crate::egress::Outlet;
use crate::ingress::Client;
use crate::journal::Log;

/// Refused rows told one by one; a sender of history looks at the first of them.
const REFUSED_MAX: usize = 100;

impl<L: Log, O: Outlet, C: Clock> Sequencer<L, O, C> {
    /// Carries out an order, as a batch of its own.
    pub(super) fn order(
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
    pub(super) fn prices(
        &mut self,
        client: &Client,
        request: Request,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Result<PricesSummary, CommandError>, SequencerError> {
        let (Some(name), Some(content), Some(first), Some(items)) =
            (request.load, request.content, request.first, request.items)
        else {
            let message = "`load`, `content`, `first` and `items` are needed";
            return Ok(Err(error("bad_request", message)));
        };
        let rows = items.rates.len() + items.prices.len();
        if rows != items.len() || rows > self.settings.batch_inputs_max {
            let most = self.settings.batch_inputs_max;
            let message = format!("`items` may hold prices and rates, {most} at the most");
            return Ok(Err(error("bad_request", &message)));
        }
        let by = client.user.as_deref().unwrap_or(&client.id);
        let by = self.gathering.label(&self.engine, &mut self.batch, by);
        let source = self
            .gathering
            .label(&self.engine, &mut self.batch, clip(&name).as_str());
        let load = Load {
            by,
            source,
            content,
            future_max: self.settings.future_max,
        };
        let before = self.announcer.effects();
        let mut summary = PricesSummary::default();
        self.admit_rows(&items, load, first, &mut summary);
        if self.batch.inputs.is_empty() {
            self.gathering.committed();
            return Ok(Ok(summary));
        }
        self.commit(go_on)?;
        let after = self.announcer.effects();
        let count = |at: usize| after[at] - before[at];
        summary.applied = count(0);
        summary.late = count(1);
        summary.repeated = count(2);
        summary.held = count(3);
        summary.passed = count(4) + count(5);
        Ok(Ok(summary))
    }

    fn admit_rows(&mut self, items: &Items, load: Load, first: u64, summary: &mut PricesSummary) {
        let (engine, now) = (&self.engine, self.batch.time);
        let rates = items.rates.iter().map(|rate| {
            let ts = rate.ts.as_deref();
            (ts, Row::Rate(rate))
        });
        let prices = items.prices.iter().map(|price| {
            let ts = price.ts.as_deref();
            (ts, Row::Price(price))
        });
        for (place, (ts, row)) in (0u32..).zip(rates.chain(prices)) {
            let seq = first + u64::from(place);
            let admitted = load.origin(ts, now, seq).and_then(|origin| {
                let admitted = match row {
                    Row::Rate(rate) => engine.admit_rate(rate.base, rate.quote, rate.rate, origin),
                    Row::Price(price) => engine
                        .admit_price(&price.symbol, price.price, None, origin, None, None)
                        .map(|input| of_kind(input, price.kind)),
                };
                admitted.map_err(|refused| gather::reason(refused).as_str().to_owned())
            });
            match admitted {
                Ok(input) => self.batch.inputs.push(input),
                Err(why) if summary.refused.len() < REFUSED_MAX => {
                    summary.refused.push((place, why));
                }
                Err(_) => {}
            }
        }
    }

    /// The prices and rates that wait for an operator, behind a position.
    pub(super) fn hold_list(&self, after: Option<&str>, limit: usize) -> Page<HoldRow> {
        let engine = &self.engine;
        let after: Option<u64> = after.and_then(|after| after.parse().ok());
        let mut held = engine
            .held()
            .filter(|(position, _)| after.is_none_or(|after| *position > after));
        let row = |(position, held): (u64, &divisor_engine::Held)| {
            let (subject, price) = match held.what {
                HeldInput::Tick(tick) => {
                    let security = engine.security(tick.security);
                    let places = security.map_or(0, |s| s.definition.price_places);
                    let symbol = security.map_or("?", |s| s.definition.symbol.as_str());
                    let price = divisor_engine::Decimal::new(tick.price.into(), places);
                    (symbol.to_owned(), price.normalized())
                }
                HeldInput::Rate(rate) => (format!("{}/{}", rate.base, rate.quote), rate.value()),
            };
            let origin = held.what.origin();
            HoldRow {
                held: position,
                subject,
                price,
                doubt: held.doubt.as_str().to_owned(),
                reference: held.reference.normalized(),
                ts: origin.ts.to_string(),
                src: engine.label_text(origin.source).map(str::to_owned),
            }
        };
        let rows: Vec<HoldRow> = held.by_ref().take(limit).map(row).collect();
        let next = held.next().and(rows.last()).map(|row| row.held.to_string());
        Page { rows, next }
    }

    /// All calendars.
    pub(super) fn calendar_list(&self) -> Page<CalendarRow> {
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
    pub(super) fn calendar_show(
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

/// A row of `prices`.
enum Row<'a> {
    Rate(&'a divisor_wire::command::RateItem),
    Price(&'a divisor_wire::command::PriceItem),
}
