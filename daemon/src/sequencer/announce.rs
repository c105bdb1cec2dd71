//! From the engine's effects to messages: levels, events, the daemon's status.

use std::sync::Arc;

use divisor_engine::{
    ActionNews, ActionState, Closed, Correction, CorrectionState, Doubtful, Engine, HeldInput,
    IndexId, Level, Life, LifeNews, Output, Quotation, Restated, Revised, Subject, Time,
};
use divisor_wire::command::DaemonStatus;
use divisor_wire::event::EventMessage;
use divisor_wire::level::{self, compact};
use divisor_wire::topic::{STATUS_TOPIC, compact_level_topic, event_topic, level_topic};

use super::queries;
use crate::egress::{self, Announcement};
use crate::metrics::Tally;

/// Corrections that an event names one by one.
const NAMED_MAX: usize = 20;

/// How often `divisor/status` tells of further lost messages.
const LOST_PAUSE_NANOS: i64 = 5_000_000_000;

/// Makes messages of effects.
#[derive(Debug)]
pub(super) struct Announcer {
    epoch: u64,
    /// Levels leave in CBOR as well.
    compact: bool,
    /// Topics by index id, made once.
    level_topics: Vec<LevelTopics>,
    /// What `divisor/status` said last, counts aside.
    status: Option<DaemonStatus>,
    /// How many messages it said are lost, and when the next number may follow.
    lost: (u64, Time),
    /// What became of all prices and rates, for commands that bring some.
    total: Tally,
}

/// Where the levels of one index go.
#[derive(Debug, Clone)]
struct LevelTopics {
    json: Arc<str>,
    compact: Arc<str>,
}

impl Announcer {
    pub(super) fn new(epoch: u64, compact: bool) -> Self {
        Self {
            epoch,
            compact,
            level_topics: Vec::new(),
            status: None,
            lost: (0, Time::MIN),
            total: Tally::default(),
        }
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What became of all prices and rates so far.
    pub(super) const fn total(&self) -> Tally {
        self.total
    }

    /// The effects of a batch.
    pub(super) fn outputs(&mut self, engine: &mut Engine, into: &mut Vec<Announcement>) -> Tally {
        let mut tally = Tally::default();
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Tick { effect, .. } => tally.add(effect),
                Output::Level(level) => {
                    tally.levels += 1;
                    self.level(engine, &level, into);
                }
                Output::Revised(revised) => revision(engine, &revised, into),
                Output::Action(news) => action(engine, &news, into),
                Output::Status {
                    index,
                    status,
                    ts,
                    position,
                } => {
                    let Some(code) = engine.index_code(index) else {
                        continue;
                    };
                    let event = EventMessage::Status {
                        v: 1,
                        index: code.to_owned(),
                        status: status.as_str().to_owned(),
                        ts: ts.to_string(),
                        pos: position,
                    };
                    push_event(index, code, &event, into);
                }
                Output::Life(news) => self.life(engine, &news, into),
                Output::Held(news) => held(engine, &news, into),
                Output::Closed(closed) => close(engine, &closed, into),
                Output::Quotation(quotation) => self::quotation(engine, &quotation, into),
                Output::Restated(restated) => correction(engine, &restated, into),
                Output::RunFailed { run, why, .. } => {
                    tracing::warn!(run, why, "a correction has changed nothing");
                }
                Output::Refused { position } => {
                    tracing::error!(
                        position,
                        "a definition that was planned could not be applied"
                    );
                }
            }
        }
        self.total.merge(tally);
        tally
    }

    /// The last level of every index: what a restart retains again before the first new tick.
    pub(super) fn everything(&mut self, engine: &Engine, into: &mut Vec<Announcement>) {
        let levels: Vec<Level> = engine.indexes().filter_map(|index| index.level).collect();
        for level in levels {
            self.level(engine, &level, into);
        }
    }

    /// A change in the life of an index: what is retained of one that is gone, or has another code,
    /// is cleared.
    fn life(&mut self, engine: &Engine, news: &LifeNews, into: &mut Vec<Announcement>) {
        let Subject::Index(index) = news.subject else {
            return;
        };
        let (Some(code), Some(topics)) = (engine.index_code(index), self.topics(engine, index))
        else {
            return;
        };
        let event = EventMessage::Life {
            v: 1,
            index: code.to_owned(),
            life: news.life.as_str().to_owned(),
            former: news.former.clone(),
            pos: news.position,
        };
        push_event(index, code, &event, into);
        if news.former.is_none() && news.life != Life::Deleted {
            return;
        }
        if let Some(former) = &news.former {
            push_event(index, former, &event, into);
        }
        into.push(Announcement::retained(topics.json, Vec::new()));
        if self.compact {
            into.push(Announcement::retained(topics.compact, Vec::new()));
        }
        if news.former.is_some() {
            if let Some(known) = self.level_topics.get_mut(index.at()) {
                *known = LevelTopics::of(code);
            }
            if let Some(level) = engine.index(index).and_then(|view| view.level) {
                self.level(engine, &level, into);
            }
        }
    }

    fn level(&mut self, engine: &Engine, level: &Level, into: &mut Vec<Announcement>) {
        let Some(code) = engine.index_code(level.index) else {
            return;
        };
        let Some(topics) = self.topics(engine, level.index) else {
            return;
        };
        let mut payload = Vec::with_capacity(256);
        level::encode(&mut payload, code, level, self.epoch);
        let subject = egress::Subject::Level(level.index);
        into.push(Announcement::retained(topics.json, payload).about(subject));
        if self.compact {
            let mut payload = Vec::with_capacity(128);
            compact::encode(&mut payload, code, level, self.epoch);
            into.push(Announcement::retained(topics.compact, payload));
        }
    }

    fn topics(&mut self, engine: &Engine, index: IndexId) -> Option<LevelTopics> {
        while let next = self.level_topics.len()
            && next <= index.at()
            && let Some(code) = u32::try_from(next)
                .ok()
                .and_then(|id| engine.index_code(IndexId(id)))
        {
            self.level_topics.push(LevelTopics::of(code));
        }
        self.level_topics.get(index.at()).cloned()
    }

    /// The daemon's status, when it differs in more than counts or is wanted in any case. Lost
    /// messages are told now and then, since those who lose them are slow already.
    pub(super) fn status(
        &mut self,
        status: DaemonStatus,
        now: Time,
        always: bool,
        into: &mut Vec<Announcement>,
    ) {
        let essence = DaemonStatus {
            pos: 0,
            projected: 0,
            lost: 0,
            ..status.clone()
        };
        let (told, next) = self.lost;
        let loses = status.lost > told && now >= next;
        if !always && !loses && self.status.as_ref() == Some(&essence) {
            return;
        }
        self.lost = (status.lost, now.saturating_add(LOST_PAUSE_NANOS));
        if let Ok(payload) = serde_json::to_vec(&status) {
            into.push(Announcement::retained(STATUS_TOPIC.into(), payload));
        }
        self.status = Some(essence);
    }
}

impl LevelTopics {
    fn of(code: &str) -> Self {
        Self {
            json: level_topic(code).into(),
            compact: compact_level_topic(code).into(),
        }
    }
}

/// A price or a rate that waits for an operator, told to every index that it would move.
fn held(engine: &Engine, news: &Doubtful, into: &mut Vec<Announcement>) {
    let row = queries::hold_row(engine, news.position, &news.held);
    let indexes = match &news.held.what {
        HeldInput::Tick(tick) => engine.holding(tick.security),
        HeldInput::Rate(rate) => engine.dependent(rate),
    };
    for index in indexes {
        let Some(code) = engine.index_code(index) else {
            continue;
        };
        let event = EventMessage::Held {
            v: 1,
            index: code.to_owned(),
            subject: row.subject.clone(),
            price: row.price,
            doubt: row.doubt.clone(),
            reference: row.reference,
            ts: row.ts.clone(),
            src: row.src.clone(),
            pos: row.held,
        };
        push_event(index, code, &event, into);
    }
}

fn revision(engine: &Engine, revised: &Revised, into: &mut Vec<Announcement>) {
    let Some(code) = engine.index_code(revised.index) else {
        return;
    };
    let event = EventMessage::Revision {
        v: 1,
        index: code.to_owned(),
        rev: revised.revision,
        cause: revised.cause.as_str().to_owned(),
        divisor: revised.divisor,
        effective: revised.effective.to_string(),
        constituents: u32::try_from(revised.members.len()).unwrap_or(u32::MAX),
        pos: revised.position,
    };
    push_event(revised.index, code, &event, into);
}

fn close(engine: &Engine, closed: &Closed, into: &mut Vec<Announcement>) {
    let level = &closed.level;
    let Some(code) = engine.index_code(level.index) else {
        return;
    };
    let event = EventMessage::Close {
        v: 1,
        index: code.to_owned(),
        day: closed.day.to_string(),
        level: level.level,
        prev_close: level.prev_close,
        divisor: closed.divisor,
        rev: level.revision,
        seq: level.seq,
        status: closed.status().as_str().to_owned(),
        soq: closed.soq,
        pos: level.position,
    };
    push_event(level.index, code, &event, into);
}

fn quotation(engine: &Engine, quotation: &Quotation, into: &mut Vec<Announcement>) {
    let Some(code) = engine.index_code(quotation.index) else {
        return;
    };
    let event = EventMessage::Quotation {
        v: 1,
        index: code.to_owned(),
        day: quotation.day.to_string(),
        level: quotation.level,
        missing: quotation.missing,
        pos: quotation.position,
    };
    push_event(quotation.index, code, &event, into);
}

fn action(engine: &Engine, news: &ActionNews, into: &mut Vec<Announcement>) {
    let Some(view) = engine.action(&news.id) else {
        return;
    };
    let why = match &news.state {
        ActionState::Refused(why) => {
            tracing::warn!(action = %news.id, why, "an action could not be applied");
            Some(why.clone())
        }
        ActionState::Announced
        | ActionState::Applying
        | ActionState::Applied
        | ActionState::Cancelled => None,
    };
    for index in &news.indexes {
        let Some(code) = engine.index_code(*index) else {
            continue;
        };
        let event = EventMessage::Action {
            v: 1,
            index: code.to_owned(),
            action: news.id.clone(),
            kind: view.definition.event.kind().to_owned(),
            state: news.state.as_str().to_owned(),
            why: why.clone(),
            ex_date: view.definition.ex_date.to_string(),
            pos: news.position,
        };
        push_event(*index, code, &event, into);
    }
}

fn correction(engine: &Engine, restated: &Restated, into: &mut Vec<Announcement>) {
    let Some(code) = engine.index_code(restated.index) else {
        return;
    };
    let of_run = |c: &&Correction| matches!(c.state, CorrectionState::Restated { position, .. } if position == restated.position);
    let corrections: Vec<&Correction> = engine
        .corrections()
        .all()
        .iter()
        .filter(of_run)
        .take(NAMED_MAX)
        .collect();
    let who = |c: &&Correction| engine.label_text(c.by).unwrap_or_default().to_owned();
    let is_restated = restated.levels > 0 || restated.closes > 0;
    let event = EventMessage::Correction {
        v: 1,
        index: code.to_owned(),
        run: restated.run,
        what: corrections.iter().map(|c| c.stated.what.clone()).collect(),
        why: corrections
            .iter()
            .map(|c| c.stated.reason.clone())
            .collect(),
        who: corrections.iter().map(who).collect(),
        status: if is_restated { "restated" } else { "published" }.to_owned(),
        from: restated.span.map(|(from, _)| from.to_string()),
        until: restated.span.map(|(_, until)| until.to_string()),
        levels: restated.levels,
        closes: restated.closes,
        largest: restated.largest,
        before: restated.before,
        after: restated.after,
        pos: restated.position,
    };
    push_event(restated.index, code, &event, into);
}

fn push_event(index: IndexId, code: &str, event: &EventMessage, into: &mut Vec<Announcement>) {
    if let Ok(payload) = serde_json::to_vec(event) {
        let event = Announcement::passing(event_topic(code).into(), payload);
        into.push(event.about(egress::Subject::Event(index)));
    }
}
