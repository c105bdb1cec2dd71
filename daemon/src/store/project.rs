//! From the journal's batches to rows: an engine of its own applies them again, and what it says
//! becomes the tables. Same inputs, same engine, same bits as what was published.

use std::collections::BTreeSet;
use std::sync::Arc;

use divisor_engine::definition::{Definitions, Event};
use divisor_engine::{
    ActionNews, ActionState, Batch, Closed, Currency, Decimal, Effect, Engine, IndexId, Input,
    LabelId, Level, LifeNews, Member, Output, Revised, SecurityId, Subject, Tick,
};

use crate::defect::Defect;

use super::rows::{
    self, ActionRow, BatchRow, CloseRow, CommandRow, HeldRow, IndexRow, LabelRow, LevelRow,
    MemberRow, Origin, RateRow, RevisionRow, RowBatch, SecurityRow, TickRow,
};

/// How a command's row tells the end of a run.
#[derive(serde::Serialize)]
struct Ended<'a> {
    through: u32,
    outcome: &'a divisor_engine::Outcome,
}

/// Applies batches and collects their rows.
#[derive(Debug)]
pub(crate) struct Projection {
    engine: Engine,
    /// Indexes whose definition changed in the rows at hand.
    redefined: BTreeSet<IndexId>,
}

impl Projection {
    /// A projection that goes on from this state.
    pub(crate) const fn from(engine: Engine) -> Self {
        Self {
            engine,
            redefined: BTreeSet::new(),
        }
    }

    /// The state behind the last batch.
    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The position behind the last batch.
    pub(super) const fn next_position(&self) -> u64 {
        self.engine.next_position()
    }

    /// Applies a batch and appends its rows.
    pub(crate) fn apply(&mut self, batch: &Batch, rows: &mut RowBatch) {
        rows.batches.push(BatchRow {
            position: batch.first,
            time: batch.time,
        });
        // The next label that is new: a text that was known before has no row.
        let mut label = LabelId(u32::try_from(self.engine.label_count()).unwrap_or(u32::MAX));
        let securities = self.engine.security_count();
        self.engine.apply(batch);
        self.components(batch.first, securities, rows);
        for (position, input) in (batch.first..).zip(&batch.inputs) {
            self.rare_input(position, input, batch, rows);
            if let Input::Label(text) = input
                && self.engine.label_id(text) == Some(label)
            {
                rows.labels.push(LabelRow {
                    id: label.0,
                    position,
                    text: text.as_ref().to_owned(),
                });
                label.0 += 1;
            }
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Tick { position, effect } => self.tick(position, effect, batch, rows),
                Output::Level(level) => rows.levels.push(level_row(&level)),
                Output::Revised(revised) => {
                    self.redefined.insert(revised.index);
                    rows.revisions.push(revision_row(&self.engine, &revised));
                }
                Output::Action(news) => self.action(&news, rows),
                Output::Closed(closed) => rows.closes.push(close_row(&closed)),
                Output::Life(news) => self.life(&news, rows),
                Output::Held(news) => rows.held.push(HeldRow {
                    position: news.position,
                    doubt: news.held.doubt.as_str().into(),
                    reference: news.held.reference.normalized(),
                }),
                Output::Status { .. }
                | Output::Quotation(_)
                | Output::Restated(_)
                | Output::RunFailed { .. }
                | Output::Refused { .. } => {}
            }
        }
        self.index_rows(batch.first, rows);
    }

    /// The audit trail: every input that is neither price nor rate.
    fn rare_input(&mut self, position: u64, input: &Input, batch: &Batch, rows: &mut RowBatch) {
        let (client, verb, body) = match input {
            Input::Define { by, definitions } => {
                self.securities(position, definitions, rows);
                for index in &definitions.indexes {
                    self.redefined.extend(self.engine.index_id(&index.code));
                }
                let client = self.engine.label_text(*by).unwrap_or_default().to_owned();
                (
                    client,
                    "define",
                    serde_json::to_string(definitions).unwrap_or_default(),
                )
            }
            Input::Operate { by, order } => {
                let client = self.engine.label_text(*by).unwrap_or_default().to_owned();
                (
                    client,
                    "operate",
                    serde_json::to_string(order).unwrap_or_default(),
                )
            }
            Input::Correct { by, stated } => {
                let client = self.engine.label_text(*by).unwrap_or_default().to_owned();
                (
                    client,
                    "correct",
                    serde_json::to_string(stated).unwrap_or_default(),
                )
            }
            Input::Restate { through, outcome } => {
                let body = Ended {
                    through: *through,
                    outcome: outcome.as_ref(),
                };
                (
                    "divisord".to_owned(),
                    "restate",
                    serde_json::to_string(&body).unwrap_or_default(),
                )
            }
            Input::Boot { epoch } => (
                "divisord".to_owned(),
                "boot",
                format!(r#"{{"epoch":{epoch}}}"#),
            ),
            Input::Tick(_) | Input::Rate(_) | Input::Label(_) => return,
        };
        rows.commands.push(CommandRow {
            position,
            received: batch.time,
            client,
            user: None,
            verb: verb.to_owned(),
            body,
        });
    }

    fn securities(&self, position: u64, definitions: &Definitions, rows: &mut RowBatch) {
        for definition in &definitions.securities {
            if let Some(id) = self.engine.security_id(&definition.symbol) {
                self.security(position, id, rows);
            }
        }
    }

    /// The securities that stand for indexes in baskets, which no definition names.
    fn components(&self, position: u64, from: usize, rows: &mut RowBatch) {
        let ids = from..self.engine.security_count();
        for id in ids.filter_map(|at| u32::try_from(at).ok()).map(SecurityId) {
            if self
                .engine
                .security(id)
                .is_some_and(|view| view.is_component)
            {
                self.security(position, id, rows);
            }
        }
    }

    /// What an order did to the life of a definition, and to those that name it.
    fn life(&mut self, news: &LifeNews, rows: &mut RowBatch) {
        let index = match news.subject {
            Subject::Security(id) => return self.security(news.position, id, rows),
            Subject::Index(id) => id,
        };
        self.redefined.insert(index);
        let Some(code) = self.engine.index_code(index) else {
            return;
        };
        let symbol = format!("indexes/{code}");
        if let Some(hidden) = self.engine.security_once(&symbol) {
            self.security(news.position, hidden, rows);
        }
        if news.former.is_some() {
            let named = self.engine.indexes().filter(|view| {
                let definition = view.definition;
                let mut members = definition.basket.iter();
                definition.of.as_deref() == Some(code) || members.any(|m| m.symbol == symbol)
            });
            self.redefined.extend(named.map(|view| view.id));
        }
    }

    /// A security as it is defined now.
    fn security(&self, position: u64, id: SecurityId, rows: &mut RowBatch) {
        let Some(view) = self.engine.security(id) else {
            return;
        };
        let definition = view.definition;
        rows.securities.push(SecurityRow {
            id: id.0,
            symbol: definition.symbol.clone(),
            name: definition.name.clone(),
            currency: definition.currency.to_string(),
            price_places: definition.price_places,
            position,
            life: view.life.as_str().into(),
            body: serde_json::to_string(definition).unwrap_or_default(),
        });
    }

    /// The row of a tick or a rate; a duplicate has none (invariant 7).
    fn tick(&self, position: u64, effect: Effect, batch: &Batch, rows: &mut RowBatch) {
        let effect = match effect {
            Effect::Applied => rows::Effect::Applied,
            Effect::Late => rows::Effect::Late,
            Effect::Duplicate if Defect::DuplicateStored.is_on() => rows::Effect::Late,
            Effect::Held => rows::Effect::Held,
            Effect::Duplicate => return,
            Effect::Outranked => rows::Effect::Outranked,
            Effect::AfterClose => rows::Effect::AfterClose,
        };
        let place = usize::try_from(position - batch.first).unwrap_or(usize::MAX);
        let origin = |origin: &divisor_engine::Origin| Origin {
            position,
            ts: origin.ts,
            received: origin.received,
            src: origin.source.0,
            inc: origin.inc,
            seq: origin.seq,
            effect,
        };
        match batch.inputs.get(place) {
            Some(Input::Tick(tick)) => rows.ticks.push(TickRow {
                origin: origin(&tick.origin),
                security: tick.security.0,
                price: self.price(tick),
                size: tick.size,
                venue: tick.venue.map(|label| label.0),
                kind: tick.kind,
            }),
            Some(Input::Rate(rate)) => rows.rates.push(RateRow {
                origin: origin(&rate.origin),
                base: text(rate.base),
                quote: text(rate.quote),
                rate: rate.value(),
            }),
            Some(
                Input::Define { .. }
                | Input::Operate { .. }
                | Input::Correct { .. }
                | Input::Restate { .. }
                | Input::Label(_)
                | Input::Boot { .. },
            )
            | None => {}
        }
    }

    /// A price with the places of its security, without the zeros that those would add.
    fn price(&self, tick: &Tick) -> Decimal {
        let places = self
            .engine
            .security(tick.security)
            .map_or(0, |view| view.definition.price_places);
        Decimal::new(tick.price.into(), places).normalized()
    }

    /// What became of an action: each step of its life has a row, none is ever changed.
    fn action(&mut self, news: &ActionNews, rows: &mut RowBatch) {
        let Some(view) = self.engine.action(&news.id) else {
            return;
        };
        // Stated shares may change where no revision does.
        self.redefined.extend(&news.indexes);
        let event = &view.definition.event;
        let security = self.engine.security_of(event);
        let mut body = serde_json::json!({
            "state": news.state.as_str(),
            "terms": view.definition,
            "indexes": news.indexes.iter().map(|index| index.0).collect::<Vec<_>>(),
        });
        if let ActionState::Refused(why) = &news.state {
            body["why"] = why.as_str().into();
        }
        let earlier = rows.actions.iter().rev();
        let place = earlier
            .take_while(|row| row.position == news.position)
            .count();
        rows.actions.push(ActionRow {
            position: news.position,
            place: u16::try_from(place).unwrap_or(u16::MAX),
            index: event
                .index()
                .and_then(|code| self.engine.index_id(code))
                .map(|id| id.0),
            security: security.map(|id| id.0),
            kind: event.kind().to_owned(),
            ex_date: Some(view.definition.ex_date),
            body: body.to_string(),
        });
        if let (Event::SymbolChange(_) | Event::Redenomination(_), ActionState::Applied) =
            (event, &news.state)
            && let Some(security) = security
        {
            self.security(news.position, security, rows);
        }
    }

    /// The present definition of every index that changed.
    fn index_rows(&mut self, position: u64, rows: &mut RowBatch) {
        while let Some(id) = self.redefined.pop_first() {
            let Some(view) = self.engine.index(id) else {
                continue;
            };
            rows.indexes.push(IndexRow {
                id: id.0,
                code: view.definition.code.clone(),
                name: view.definition.name.clone(),
                currency: view.definition.currency.to_string(),
                position,
                life: view.life.as_str().into(),
                body: serde_json::to_string(view.definition).unwrap_or_default(),
            });
        }
    }
}

fn text(currency: Currency) -> Arc<str> {
    currency.as_str().into()
}

pub(crate) fn level_row(level: &Level) -> LevelRow {
    LevelRow {
        position: level.position,
        index: level.index.0,
        seq: level.seq,
        level: level.level,
        prev_close: level.prev_close,
        ts: level.ts,
        ts_calc: level.ts_calc,
        revision: level.revision,
        run: 0,
        stale: level.stale,
        status: level.status.as_str().into(),
    }
}

/// A revision; `engine` is any state behind it.
pub(crate) fn revision_row(engine: &Engine, revised: &Revised) -> RevisionRow {
    let members = revised.members.iter().filter_map(|member| {
        Some(MemberRow {
            security: member.security.0,
            coefficient: member.coefficient?,
            price: member.price,
            weight: None,
        })
    });
    RevisionRow {
        index: revised.index.0,
        revision: revised.revision,
        run: 0,
        position: revised.position,
        effective: revised.effective,
        divisor: revised.divisor,
        cash: Some(revised.cash).filter(|cash| cash.mantissa() != 0),
        body: revision_body(engine, revised),
        members: members.collect(),
    }
}

/// The cause, of a variant what it is fixed at, and the rates that count for a whole day.
fn revision_body(engine: &Engine, revised: &Revised) -> String {
    let mut body = serde_json::json!({"cause": revised.cause.as_str()});
    for (currency, rate) in &revised.rates {
        body["rates"][currency.as_str()] = rate.to_string().into();
    }
    if let Some(follows) = &revised.follows {
        let number = |value: Option<Decimal>| value.map(|value| value.to_string());
        body["of"] = engine.index_code(follows.parent).into();
        body["own"] = number(follows.own).into();
        body["parent_level"] = number(follows.parent_level).into();
        body["slope"] = number(follows.slope).into();
        body["offset"] = number(follows.offset).into();
    }
    body.to_string()
}

pub(crate) fn close_row(closed: &Closed) -> CloseRow {
    let level = &closed.level;
    // Compact: a composition of thousands is stored for each day.
    let member = |member: &Member| {
        let coefficient = member.coefficient.map(|q| q.to_string());
        let price = member.price.map(|price| price.normalized().to_string());
        (member.security.0, coefficient, price)
    };
    let members: Vec<_> = closed.members.iter().map(member).collect();
    CloseRow {
        index: level.index.0,
        day: closed.day,
        run: 0,
        revision: level.revision,
        position: level.position,
        ts: level.ts,
        level: level.level,
        status: closed.status().as_str().into(),
        seq: level.seq,
        prev_close: level.prev_close,
        divisor: closed.divisor,
        soq: closed.soq,
        body: serde_json::json!({ "members": members }).to_string(),
    }
}
