//! What must be true, checked from the outside: by what the journal holds, what was announced, what
//! publishers were told and what is in the database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;

use divisor_engine::definition::Dissemination;
use divisor_engine::{
    Batch, Effect, Engine, HeldInput, Input, Level, Order, Origin, Output, SecurityId, Snapshot,
    Status,
};
use divisor_wire::level::{self, LevelMessage};

use super::database::Tables;
use crate::egress::Announcement;
use crate::journal::sim::Random;
use crate::journal::{Record, Records, Source};
use crate::record;
use crate::sequencer::Publish;
use crate::store::project::close_row;
use crate::store::rows::{self, CloseRow};

/// Tells one tick from all others: incarnation and number, or 0 and its size.
pub(super) type TickId = (u64, u64);

/// A tick as the journal has it.
#[derive(Debug, Clone)]
struct Sequenced {
    origin: Origin,
    effect: Effect,
    is_rate: bool,
}

/// What was decided and what was said.
#[derive(Debug, PartialEq)]
pub(super) struct History {
    /// The journal from its beginning.
    pub(super) records: Vec<Record>,
    /// Payloads, by epoch, index and number.
    pub(super) announced: BTreeMap<(u64, String, u64), Vec<u8>>,
    /// The engine's state, as a snapshot has it.
    pub(super) state: String,
}

/// The oracle. It keeps what the journal may delete.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Everything that was ever committed.
    truth: Vec<Record>,
    /// The state that follows from it.
    pub(super) engine: Engine,
    ticks: BTreeMap<u64, Sequenced>,
    by_id: HashMap<TickId, Vec<u64>>,
    levels: BTreeMap<(u32, u64), Level>,
    revisions: BTreeSet<(u32, u32)>,
    closes: BTreeMap<(u32, u64), CloseRow>,
    /// Positions of definitions and boots.
    commands: BTreeSet<u64>,
    /// A model of invariant 7: identities, and the last applied origin of each security.
    seen: BTreeSet<(u32, u64, u64)>,
    last: BTreeMap<u32, Origin>,
    /// Payloads that were announced, by epoch (0 when levels are durable), index and number.
    announced: HashMap<(u64, String, u64), Vec<u8>>,
    retained: HashMap<String, Vec<u8>>,
    /// Ticks and symbols whose message was acknowledged.
    acknowledged: BTreeSet<TickId>,
    pub(super) loaded: Vec<String>,
    /// Ids of loads that were answered.
    pub(super) answered: BTreeSet<String>,
    /// The first thing that was not true.
    pub(super) violation: Option<String>,
}

impl Oracle {
    /// Notes the first violation.
    pub(super) fn fail(&mut self, claim: &str, what: impl Display) {
        if self.violation.is_none() {
            self.violation = Some(format!("{claim}: {what}"));
        }
    }

    fn check(&mut self, holds: bool, claim: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(claim, what());
        }
    }

    pub(super) const fn next(&self) -> u64 {
        self.engine.next_position()
    }

    /// What was decided and what was said, digit for digit: to be compared with another run.
    pub(super) fn history(&self) -> History {
        let announced = self.announced.iter();
        History {
            records: self.truth.clone(),
            announced: announced.map(|(k, v)| (k.clone(), v.clone())).collect(),
            state: serde_json::to_string(&Snapshot::of(self.engine.clone())).unwrap(),
        }
    }

    /// Reads what was committed since.
    pub(super) fn witness(&mut self, source: &Source) {
        let mut reader = match source.reader_from(self.next()) {
            Ok(reader) => reader,
            Err(error) => return self.fail("C1 the journal holds what was committed", error),
        };
        loop {
            match reader.next_record() {
                Ok(Some(record)) => self.record(record),
                Ok(None) => return,
                Err(error) => return self.fail("C1 the journal can be read", error),
            }
        }
    }

    fn record(&mut self, record: Record) {
        let mut batch = Batch::default();
        if let Err(error) = record::decode(&record, &mut batch) {
            return self.fail("C1 a record can be read", error);
        }
        self.check(
            batch.first == self.next(),
            "positions are contiguous",
            || format!("{record:?}"),
        );
        let before = self.engine.time();
        self.check(batch.time >= before, "time never falls", || {
            format!("{} after {before}", batch.time)
        });
        if self.violation.is_some() {
            return;
        }
        let epoch = self.engine.epoch();
        let rises = |input: &Input| !matches!(input, Input::Boot { epoch: next } if *next <= epoch);
        self.check(batch.inputs.iter().all(rises), "the epoch rises", || {
            format!("{batch:?}")
        });
        self.truth.push(record);
        for input in &batch.inputs {
            self.released(input);
        }
        self.engine.apply(&batch);
        for (position, input) in (batch.first..).zip(&batch.inputs) {
            let is_command = matches!(
                input,
                Input::Define { .. }
                    | Input::Operate { .. }
                    | Input::Correct { .. }
                    | Input::Restate { .. }
                    | Input::Boot { .. }
            );
            if is_command {
                self.commands.insert(position);
            }
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Tick { position, effect } => {
                    let input = &batch.inputs[(position - batch.first) as usize];
                    self.tick(position, effect, input);
                }
                Output::Level(level) => self.level(level),
                Output::Refused { position } => self.fail("what was planned applies", position),
                Output::Revised(revised) => {
                    self.revisions.insert((revised.index.0, revised.revision));
                }
                Output::Closed(closed) => {
                    let row = close_row(&closed);
                    self.closes.insert((row.index, row.seq), row);
                }
                Output::Action(_)
                | Output::Status { .. }
                | Output::Life(_)
                | Output::Held(_)
                | Output::Quotation(_)
                | Output::Restated(_)
                | Output::RunFailed { .. } => {}
            }
        }
    }

    /// A held price that an operator lets count is the security's last one.
    fn released(&mut self, input: &Input) {
        let Input::Operate { order, .. } = input else {
            return;
        };
        let Order::Release { held } = **order else {
            return;
        };
        let found = self.engine.held().find(|(position, _)| *position == held);
        if let Some((_, found)) = found
            && let HeldInput::Tick(tick) = found.what
        {
            self.last.insert(tick.security.0, tick.origin);
        }
    }

    fn has_gate(&self, security: u32) -> bool {
        let security = self.engine.security(SecurityId(security));
        security.is_some_and(|security| security.definition.gate.is_some())
    }

    /// An order that can be carried out now.
    pub(super) fn order(&self, random: &mut Random) -> Order {
        let index = "CL".to_owned();
        let held = self.engine.held().next().map(|(position, _)| position);
        match (random.below(6), held) {
            (0, Some(held)) => Order::Reject { held },
            (1 | 2, Some(held)) => Order::Release { held },
            (3, _) => Order::Halt { index, note: None },
            (4, _) => Order::Close { index },
            (5, _) => Order::Confirm { index },
            _ => Order::Resume { index },
        }
    }

    /// Compares an effect with the model of invariant 7 (C3).
    fn tick(&mut self, position: u64, effect: Effect, input: &Input) {
        let (origin, size, security) = match input {
            Input::Tick(tick) => (tick.origin, tick.size, Some(tick.security.0)),
            Input::Rate(rate) => (rate.origin, None, None),
            Input::Define { .. }
            | Input::Operate { .. }
            | Input::Correct { .. }
            | Input::Restate { .. }
            | Input::Label(_)
            | Input::Boot { .. } => {
                return self.fail("an effect belongs to a tick", position);
            }
        };
        let identity = origin.inc.zip(origin.seq);
        let is_new =
            identity.is_none_or(|(inc, seq)| self.seen.insert((origin.source.0, inc, seq)));
        let expected = match (is_new, security) {
            (false, _) => Effect::Duplicate,
            // The order of rates follows the same rule; their pairs are not modelled.
            (true, None) => effect,
            (true, Some(security)) => match self.last.get(&security) {
                Some(last) if is_late(&origin, last) => Effect::Late,
                // The gate's own tests say what it holds; here it must not touch what counts.
                Some(_) if effect == Effect::Held && self.has_gate(security) => effect,
                _ => {
                    self.last.insert(security, origin);
                    Effect::Applied
                }
            },
        };
        self.check(effect == expected, "C3 order and duplicates", || {
            format!("{input:?} at {position}: {effect:?}, not {expected:?}")
        });
        let number = size.and_then(|size| size.at_places(0)).unwrap_or(0);
        let id = identity.unwrap_or((0, u64::try_from(number).unwrap_or(0)));
        let is_rate = security.is_none();
        self.by_id.entry(id).or_default().push(position);
        let sequenced = Sequenced {
            origin,
            effect,
            is_rate,
        };
        self.ticks.insert(position, sequenced);
    }

    fn level(&mut self, level: Level) {
        let own = (level.index.0, 0)..=(level.index.0, u64::MAX);
        let before = self.levels.range(own).next_back();
        let expected = before.map_or(1, |((_, seq), _)| seq + 1);
        self.check(level.seq == expected, "C2 seq is contiguous", || {
            format!("{level:?}")
        });
        self.levels.insert((level.index.0, level.seq), level);
    }

    /// Levels leave after the commit, with the content that every replay gives them (C2).
    pub(super) fn announced(&mut self, announcement: &Announcement, publish: Publish) {
        let topic = announcement.topic.as_ref();
        if let Some(reply) = topic.strip_prefix("divisor/reply/operator/") {
            if announcement
                .payload
                .windows(9)
                .any(|text| text == b"\"ok\":true")
            {
                self.answered.insert(reply.to_owned());
            }
            return;
        }
        let is_level = topic.starts_with("indexes/") && topic.ends_with("/level");
        if !is_level {
            return;
        }
        self.check(announcement.retain, "levels are retained", || {
            topic.to_owned()
        });
        let payload = announcement.payload.to_vec();
        let Ok(message) = serde_json::from_slice::<LevelMessage>(&payload) else {
            return self.fail("C2 a level can be read", String::from_utf8_lossy(&payload));
        };
        let (epoch, index, seq) = (message.epoch, message.index, message.seq);
        if publish == Publish::Durable {
            let id = self.engine.index_id(&index);
            let truth = id.and_then(|id| self.levels.get(&(id.0, seq)));
            let expected = truth.map(|level| encoded(&index, level, epoch));
            self.check(
                expected.as_ref() == Some(&payload),
                "C2 announced is durable",
                || {
                    let expected = expected.as_ref().map(|e| String::from_utf8_lossy(e));
                    format!(
                        "{} where the journal gives {expected:?}",
                        String::from_utf8_lossy(&payload)
                    )
                },
            );
        }
        let key = match publish {
            Publish::Durable => 0,
            Publish::Immediate => epoch,
        };
        let content = payload_without_epoch(&payload, epoch);
        let earlier = self.announced.insert((key, index, seq), content.clone());
        self.check(
            earlier.as_ref().is_none_or(|earlier| *earlier == content),
            "C2 a level has one content",
            || {
                format!(
                    "{:?}, then {}",
                    earlier.map(|e| String::from_utf8_lossy(&e).into_owned()),
                    String::from_utf8_lossy(&payload)
                )
            },
        );
        self.retained.insert(topic.to_owned(), payload);
    }

    /// The broker's memory is lost with its process.
    pub(super) fn forget_retained(&mut self) {
        self.retained.clear();
    }

    /// How many levels an index has had.
    pub(super) fn levels_of(&self, code: &str) -> u64 {
        let id = self.engine.index_id(code);
        let last = id.and_then(|id| self.levels.range((id.0, 0)..=(id.0, u64::MAX)).next_back());
        last.map_or(0, |((_, seq), _)| *seq)
    }

    /// A publisher was told that this tick is durable (C1).
    pub(super) fn acknowledged(&mut self, id: TickId) {
        self.acknowledged.insert(id);
        let is_there = self.by_id.contains_key(&id);
        self.check(is_there, "C1 acknowledged is durable", || {
            format!("tick {id:?} is not there")
        });
    }

    /// A tick that had to be refused is nowhere (C6).
    pub(super) fn refused(&mut self, id: TickId) {
        let is_there = self.by_id.contains_key(&id);
        self.check(!is_there, "C6 refused changes nothing", || {
            format!("tick {id:?} is there")
        });
    }

    /// The journal of a new life: all that was committed, equal bit for bit where it is still held.
    pub(super) fn recovered(&mut self, source: &Source, oldest: u64, next: u64) {
        let known = self.next();
        self.check(next >= known, "C1 committed survives", || {
            format!("{next} of {known}")
        });
        let mut reader = match source.reader_from(oldest) {
            Ok(reader) => reader,
            Err(error) => return self.fail("C1 the journal can be read", error),
        };
        let held = self.truth.partition_point(|record| record.first < oldest);
        for at in held..self.truth.len() {
            match reader.next_record() {
                Ok(Some(found)) if found == self.truth[at] => {}
                found => {
                    return self.fail(
                        "C1 committed survives",
                        format!("{found:?}, not {:?}", self.truth[at]),
                    );
                }
            }
        }
        self.witness(source);
    }

    /// Snapshot and tail give the state that the journal alone gives.
    pub(super) fn same_state(&mut self, engine: &Engine) {
        let text = |engine: &Engine| serde_json::to_string(&Snapshot::of(engine.clone())).unwrap();
        let (expected, found) = (text(&self.engine), text(engine));
        self.check(
            expected == found,
            "snapshot and tail equal the journal",
            || {
                let at = expected
                    .bytes()
                    .zip(found.bytes())
                    .take_while(|(a, b)| a == b)
                    .count();
                let around = |text: &str| {
                    text[at.saturating_sub(200)..(at + 100).min(text.len())].to_owned()
                };
                format!(
                    "{} where the journal gives {}",
                    around(&found),
                    around(&expected)
                )
            },
        );
    }

    /// Loads whose answer was that they are done have defined what they define.
    pub(super) fn loads(&mut self) {
        for symbol in std::mem::take(&mut self.loaded) {
            let id = format!("load-{}", &symbol[1..]);
            let is_there = self.engine.security_id(&symbol).is_some();
            let was_answered = self.answered.contains(&id);
            self.check(is_there || !was_answered, "C1 answered is durable", || {
                format!("{symbol} is not there")
            });
        }
    }

    /// The database at any time.
    pub(super) fn database(&mut self, tables: &Tables) {
        let (reached, next) = (tables.position, self.next());
        self.check(reached <= next, "the database is never ahead", || {
            format!("{reached} of {next}")
        });
        if let Some(conflict) = &tables.conflict {
            self.fail("C1 exactly once", conflict);
        }
    }

    /// The end: everything that was promised is there, once, and nothing else.
    pub(super) fn everything(&mut self, tables: &Tables) {
        let next = self.next();
        self.check(tables.position == next, "the database catches up", || {
            format!("{} of {next}", tables.position)
        });
        self.stored_ticks(tables);
        self.stored_levels(tables);
        let commands = self.commands.clone();
        self.check(
            tables.commands == commands,
            "C1 commands are stored",
            || format!("{:?}, not {commands:?}", tables.commands),
        );
        let revisions = self.revisions.clone();
        self.check(
            tables.revisions == revisions,
            "C1 revisions are stored",
            || format!("{:?}, not {revisions:?}", tables.revisions),
        );
        let labels: Vec<u32> = tables.labels.keys().copied().collect();
        let known = (0..self.engine.label_count() as u32).collect::<Vec<_>>();
        self.check(labels == known, "C1 labels are stored", || {
            format!("{labels:?}, not {known:?}")
        });
        let is_known = self.engine.label_id("stranger").is_some();
        self.check(!is_known, "C6 refused changes nothing", || {
            "it left a label".to_owned()
        });
        let mut again = Engine::new();
        let mut batch = Batch::default();
        let mut levels = BTreeMap::new();
        for record in &self.truth {
            record::decode(record, &mut batch).unwrap();
            again.apply(&batch);
            while let Some(output) = again.poll_output() {
                if let Output::Level(level) = output {
                    levels.insert((level.index.0, level.seq), level);
                }
            }
        }
        self.check(
            levels == self.levels,
            "C2 a replay gives the same",
            String::new,
        );
        for index in again.indexes() {
            let slow = again.recompute(index.id);
            let waits = matches!(
                index.definition.dissemination,
                Dissemination::Interval { .. }
            );
            // What is halted or closed keeps its level while prices go on.
            let rests = [Status::Halted, Status::Closed, Status::Final].contains(&index.status);
            let Some(level) = index.level.filter(|_| !waits && !rests) else {
                continue;
            };
            self.check(
                slow == Some(level.level),
                "C2 running sums are exact",
                || format!("{slow:?} against {level:?}"),
            );
        }
    }

    fn stored_ticks(&mut self, tables: &Tables) {
        let mut stored: HashMap<TickId, u32> = HashMap::new();
        let mut rows: BTreeMap<u64, &rows::Origin> = BTreeMap::new();
        for (position, row) in &tables.ticks {
            let size = row.size.and_then(|size| size.at_places(0)).unwrap_or(0);
            let id = row.origin.inc.zip(row.origin.seq);
            *stored.entry(id.unwrap_or((0, size as u64))).or_default() += 1;
            rows.insert(*position, &row.origin);
        }
        for (position, row) in &tables.rates {
            let id = row.origin.inc.zip(row.origin.seq);
            *stored.entry(id.unwrap_or_default()).or_default() += 1;
            rows.insert(*position, &row.origin);
        }
        let expected: Vec<u64> = self
            .ticks
            .iter()
            .filter(|(_, tick)| tick.effect != Effect::Duplicate)
            .map(|(position, _)| *position)
            .collect();
        let found: Vec<u64> = rows.keys().copied().collect();
        self.check(found == expected, "C1 ticks are stored", || {
            format!("{found:?}, not {expected:?}")
        });
        for (position, row) in &rows {
            let Some(tick) = self.ticks.get(position) else {
                continue;
            };
            let effect = match tick.effect {
                Effect::Applied => rows::Effect::Applied,
                Effect::Held => rows::Effect::Held,
                Effect::Late | Effect::Duplicate => rows::Effect::Late,
                Effect::Outranked => rows::Effect::Outranked,
                Effect::AfterClose => rows::Effect::AfterClose,
            };
            let origin = tick.origin;
            let same = row.ts == origin.ts
                && row.received == origin.received
                && row.src == origin.source.0
                && (row.inc, row.seq) == (origin.inc, origin.seq)
                && row.effect == effect
                && tick.is_rate == tables.rates.contains_key(position);
            let tick = tick.clone();
            self.check(same, "C1 a stored tick is what was sent", || {
                format!("{row:?}, not {tick:?}")
            });
        }
        for id in std::mem::take(&mut self.acknowledged) {
            let count = stored.get(&id).copied().unwrap_or(0);
            let once = count == 1 || (id.0 == 0 && count > 1);
            self.check(once, "C1 acknowledged is stored exactly once", || {
                format!("tick {id:?}: {count} times")
            });
        }
        for (id, count) in stored {
            self.check(
                count == 1 || id.0 == 0,
                "C1 nothing is stored twice",
                || format!("tick {id:?}: {count} times"),
            );
        }
    }

    fn stored_levels(&mut self, tables: &Tables) {
        let closes = self.closes.clone();
        self.check(tables.closes == closes, "C2 closes are stored", || {
            format!("{:?}, not {closes:?}", tables.closes)
        });
        let keys: Vec<_> = self.levels.keys().copied().collect();
        let found: Vec<_> = tables.levels.keys().copied().collect();
        self.check(found == keys, "C2 levels are stored", || {
            format!("{found:?}, not {keys:?}")
        });
        for (key, row) in &tables.levels {
            let Some(level) = self.levels.get(key).copied() else {
                continue;
            };
            let same = row.position == level.position
                && row.level == level.level
                && row.level.places() == level.level.places()
                && row.prev_close == level.prev_close
                && (row.ts, row.ts_calc) == (level.ts, level.ts_calc)
                && row.revision == level.revision
                && row.status == level.status.as_str()
                && row.stale == level.stale;
            self.check(same, "C2 a stored level is what was announced", || {
                format!("{row:?}, not {level:?}")
            });
        }
        let views: Vec<_> = self
            .engine
            .indexes()
            .filter_map(|index| Some((index.definition.code.clone(), index.level?)))
            .collect();
        for (code, level) in views {
            let retained = self.retained.get(&format!("indexes/{code}/level")).cloned();
            let message = retained
                .as_deref()
                .and_then(|bytes| serde_json::from_slice::<LevelMessage>(bytes).ok());
            let expected = message.map(|message| encoded(&code, &level, message.epoch));
            self.check(
                retained.is_some() && retained == expected,
                "C2 retained is the last stored",
                || {
                    format!(
                        "{code}: {:?}, not {level:?}",
                        retained.as_deref().map(String::from_utf8_lossy)
                    )
                },
            );
        }
    }
}

/// Invariant 7, said again: by time, and by number within one incarnation of one source.
fn is_late(new: &Origin, last: &Origin) -> bool {
    let same = (new.source, new.inc) == (last.source, last.inc);
    match (new.seq, last.seq) {
        (Some(seq), Some(before)) if same => (new.ts, seq) < (last.ts, before),
        _ => new.ts < last.ts,
    }
}

fn encoded(code: &str, level: &Level, epoch: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    level::encode(&mut payload, code, level, epoch);
    payload
}

fn payload_without_epoch(payload: &[u8], epoch: u64) -> Vec<u8> {
    let text = String::from_utf8_lossy(payload);
    text.replace(&format!("\"epoch\":{epoch},"), "")
        .into_bytes()
}
