//! The last value of everything live, with versions.
//!
//! Two tables, so that the sequencer never waits for a reader. [`Feed`] is what the sequencer's
//! thread writes: the newest payload of each index, and which have changed. [`Wall`] is what
//! readers see: rows, made once for everybody, each with the version that changed it last. A
//! refresh carries what has changed from the one to the other, at most as often as somebody looks.
//!
//! A client that knows version `v` is in step once it has the rows whose version is above `v`,
//! however long it was away: a quiet index's last value cannot be lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use divisor_engine::{Currency, Decimal, IndexId, Time};
use divisor_wire::command::IndexRow;
use divisor_wire::level::LevelMessage;
use serde::Serialize;

use super::notice::Notice;
use super::problem::Problem;
use super::sequence::Sequence;
use crate::clock::{Clock, WallClock};
use crate::egress::{Announcement, Onlooker, Subject};
use crate::sequencer::queries;

/// Notices that a client which was away can still get.
const NOTICES_MAX: usize = 256;

/// Indexes looked at in one question, so that none holds the sequencer up for long.
const ASK_MAX: usize = 128;

/// An index as lists and streams show it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) name: Option<String>,
    pub(super) currency: Currency,
    pub(super) weighting: String,
    pub(super) constituents: u32,
    pub(super) missing: u32,
    pub(super) level: Option<Decimal>,
    pub(super) chg: Option<Decimal>,
    pub(super) chg_pct: Option<Decimal>,
    pub(super) prev_close: Option<Decimal>,
    pub(super) ts: Option<String>,
    pub(super) ts_calc: Option<String>,
    pub(super) seq: u64,
    pub(super) rev: u32,
    pub(super) status: String,
    pub(super) stale: u32,
}

impl Line {
    /// The index is gone: those who have its row are told so, others hear nothing of it.
    fn is_deleted(&self) -> bool {
        self.status == divisor_engine::Life::Deleted.as_str()
    }
}

impl super::answer::Record for Line {
    const COLUMNS: &'static [&'static str] = &[
        "code",
        "name",
        "currency",
        "weighting",
        "constituents",
        "missing",
        "level",
        "chg",
        "chg_pct",
        "prev_close",
        "ts",
        "ts_calc",
        "seq",
        "rev",
        "status",
        "stale",
    ];
}

/// What the sequencer writes and a refresh takes.
#[derive(Debug, Default)]
struct Feed {
    /// The newest level that no refresh has taken, by index id.
    levels: Vec<Option<Bytes>>,
    /// The indexes with such a level.
    changed: Vec<IndexId>,
    /// Events that no refresh has taken, with their time.
    events: Vec<(IndexId, Time, Bytes)>,
    /// The last of each other retained message, by topic.
    kept: BTreeMap<Arc<str>, Bytes>,
}

/// What readers see.
#[derive(Debug, Default)]
struct Wall {
    /// By index id.
    rows: Vec<Row>,
    /// Rises with each refresh that changed something.
    version: u64,
    /// The rows that have changed since the last frame.
    fresh: Vec<IndexId>,
    /// The version at the last frame.
    framed: u64,
    notices: VecDeque<Posted>,
    /// Rows under codes that are no longer, as if deleted, with the version that ended them.
    gone: VecDeque<(u64, IndexId, Arc<str>)>,
}

#[derive(Debug, Clone)]
struct Row {
    line: Arc<Line>,
    /// The line as JSON.
    text: Arc<str>,
    /// The level as it was published; none before the first.
    payload: Option<Bytes>,
    version: u64,
}

#[derive(Debug, Clone)]
struct Posted {
    version: u64,
    index: IndexId,
    notice: Arc<Notice>,
    text: Arc<str>,
}

/// What has changed from one version to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Rows as JSON.
    pub(super) rows: Vec<(IndexId, Arc<str>)>,
    /// Notices as JSON.
    pub(super) notices: Vec<(IndexId, Arc<str>)>,
}

/// The live table.
#[derive(Debug, Default)]
pub struct Board {
    feed: Mutex<Feed>,
    wall: Mutex<Wall>,
    /// Held by the refresh that is under way, so that none overtakes another.
    refreshing: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Onlooker for Arc<Board> {
    fn see(&self, announcements: &[Announcement]) {
        let mut feed = None;
        for announcement in announcements {
            match announcement.subject {
                Subject::Other if announcement.retain => {
                    let feed = feed.get_or_insert_with(|| lock(&self.feed));
                    let topic = Arc::clone(&announcement.topic);
                    if announcement.payload.is_empty() {
                        feed.kept.remove(&topic);
                    } else {
                        feed.kept.insert(topic, announcement.payload.clone());
                    }
                }
                Subject::Other => {}
                Subject::Level(index) => {
                    let feed = feed.get_or_insert_with(|| lock(&self.feed));
                    feed.level(index, announcement.payload.clone());
                }
                Subject::Event(index) => {
                    let feed = feed.get_or_insert_with(|| lock(&self.feed));
                    let payload = announcement.payload.clone();
                    feed.events.push((index, WallClock.now(), payload));
                }
            }
        }
    }
}

impl Feed {
    fn level(&mut self, index: IndexId, payload: Bytes) {
        if self.levels.len() <= index.at() {
            self.levels.resize(index.at() + 1, None);
        }
        if self.levels[index.at()].replace(payload).is_none() {
            self.changed.push(index);
        }
    }

    fn take(&mut self) -> Taken {
        let changed = std::mem::take(&mut self.changed);
        let levels = changed
            .into_iter()
            .filter_map(|index| Some((index, self.levels[index.at()].take()?)))
            .collect();
        Taken {
            levels,
            events: std::mem::take(&mut self.events),
        }
    }
}

/// What a refresh carries over.
struct Taken {
    levels: Vec<(IndexId, Bytes)>,
    events: Vec<(IndexId, Time, Bytes)>,
}

impl Board {
    /// Carries over what has changed. `sweep` also looks for what is told by no announcement: new
    /// names, and how many prices a pending index still waits for.
    ///
    /// # Errors
    /// When the sequencer does not answer; what was taken is shown all the same.
    pub(super) async fn refresh(&self, sequence: &Sequence, sweep: bool) -> Result<(), Problem> {
        let _only = self.refreshing.lock().await;
        let taken = lock(&self.feed).take();
        let mut ask: Vec<IndexId> = taken.events.iter().map(|(index, _, _)| *index).collect();
        let known = {
            let wall = lock(&self.wall);
            let new = taken.levels.iter().map(|(index, _)| *index);
            ask.extend(new.filter(|index| index.at() >= wall.rows.len()));
            if sweep {
                let ids = (0u32..).map(IndexId).zip(&wall.rows);
                let pending = ids.filter(|(_, row)| row.line.level.is_none());
                ask.extend(pending.map(|(id, _)| id).take(ASK_MAX));
            }
            wall.rows.len()
        };
        let answer = if ask.is_empty() && !sweep {
            Ok(Vec::new())
        } else {
            self.facts(sequence, ask, known).await
        };
        let (facts, outcome) = match answer {
            Ok(facts) => (facts, Ok(())),
            Err(problem) => (Vec::new(), Err(problem)),
        };
        lock(&self.wall).put(taken, facts);
        outcome
    }

    /// Asks for the rows of these indexes and of all that are new, a few at a time.
    async fn facts(
        &self,
        sequence: &Sequence,
        mut ask: Vec<IndexId>,
        known: usize,
    ) -> Result<Vec<(IndexId, IndexRow)>, Problem> {
        let count = sequence.ask(|sight| sight.engine.index_count()).await?;
        let id = |at: usize| u32::try_from(at).ok().map(IndexId);
        ask.extend((known..count).filter_map(id));
        ask.sort_unstable();
        ask.dedup();
        let mut facts = Vec::with_capacity(ask.len());
        for some in ask.chunks(ASK_MAX) {
            let some = some.to_vec();
            let rows = sequence.ask(move |sight| {
                let view = |id| Some((id, queries::index_row(&sight.engine.index(id)?)));
                some.into_iter().filter_map(view).collect::<Vec<_>>()
            });
            facts.extend(rows.await?);
        }
        Ok(facts)
    }

    /// What has changed since the last call, for all who are in step.
    pub(super) fn frame(&self) -> Changes {
        let mut wall = lock(&self.wall);
        let mut fresh = std::mem::take(&mut wall.fresh);
        fresh.sort_unstable();
        fresh.dedup();
        let (from, version) = (wall.framed, wall.version);
        wall.framed = version;
        let rows = fresh.iter().filter_map(|index| {
            let row = wall.rows.get(index.at())?;
            Some((*index, Arc::clone(&row.text)))
        });
        Changes {
            from,
            to: version,
            rows: wall.gone_since(from).chain(rows).collect(),
            notices: wall.notices_since(from),
        }
    }

    /// What a client that knows this version lacks.
    pub(super) fn since(&self, version: u64) -> Changes {
        let wall = lock(&self.wall);
        let rows = (0u32..).map(IndexId).zip(&wall.rows);
        // Who begins anew has never heard of what is deleted.
        let is_told = |row: &Row| row.version > version && (version > 0 || !row.line.is_deleted());
        let rows = rows.filter(|(_, row)| is_told(row));
        Changes {
            from: version,
            to: wall.version,
            rows: (wall.gone_since(version).filter(|_| version > 0))
                .chain(rows.map(|(id, row)| (id, Arc::clone(&row.text))))
                .collect(),
            notices: wall.notices_since(version),
        }
    }

    /// The retained message of a topic.
    pub(super) fn retained(&self, topic: &str) -> Option<Bytes> {
        if let Some(payload) = lock(&self.feed).kept.get(topic) {
            return Some(payload.clone());
        }
        let code = topic.strip_prefix("indexes/")?.strip_suffix("/level")?;
        let wall = lock(&self.wall);
        let mut rows = wall.rows.iter().filter(|row| !row.line.is_deleted());
        rows.find(|row| row.line.code == code)?.payload.clone()
    }

    /// The rows of all indexes that are there.
    pub(super) fn lines(&self) -> Vec<Arc<Line>> {
        let wall = lock(&self.wall);
        let lines = wall.rows.iter().map(|row| Arc::clone(&row.line));
        lines.filter(|line| !line.is_deleted()).collect()
    }

    /// The row of one index, and its id.
    pub(super) fn line(&self, code: &str) -> Option<(IndexId, Arc<Line>)> {
        let wall = lock(&self.wall);
        let found = (0u32..)
            .zip(&wall.rows)
            .find(|(_, row)| row.line.code == code && !row.line.is_deleted());
        found.map(|(id, row)| (IndexId(id), Arc::clone(&row.line)))
    }

    /// The code of an index.
    pub(super) fn code(&self, index: IndexId) -> Option<String> {
        let wall = lock(&self.wall);
        wall.rows.get(index.at()).map(|row| row.line.code.clone())
    }

    /// The last notices, the oldest first.
    pub(super) fn notices(&self) -> Vec<Arc<Notice>> {
        let wall = lock(&self.wall);
        wall.notices.iter().map(|p| Arc::clone(&p.notice)).collect()
    }
}

impl Wall {
    fn gone_since(&self, version: u64) -> impl Iterator<Item = (IndexId, Arc<str>)> {
        let newer = self.gone.iter().filter(move |(at, ..)| *at > version);
        newer.map(|(_, index, text)| (*index, Arc::clone(text)))
    }

    fn notices_since(&self, version: u64) -> Vec<(IndexId, Arc<str>)> {
        let newer = self
            .notices
            .iter()
            .filter(|posted| posted.version > version);
        newer
            .map(|posted| (posted.index, Arc::clone(&posted.text)))
            .collect()
    }

    /// Shows what a refresh brought. Facts were asked for after the levels had been taken, so that
    /// they have the last word on the status.
    fn put(&mut self, taken: Taken, facts: Vec<(IndexId, IndexRow)>) {
        if taken.levels.is_empty() && taken.events.is_empty() && facts.is_empty() {
            return;
        }
        let version = self.version + 1;
        for (index, row) in facts {
            if index.at() > self.rows.len() {
                continue;
            }
            let before = self.rows.get(index.at()).map(|row| &row.line);
            let line = with_facts(row, before.map(AsRef::as_ref));
            self.set(index, line, None, version);
        }
        for (index, payload) in taken.levels {
            let Some(row) = self.rows.get(index.at()) else {
                continue;
            };
            let Ok(level) = serde_json::from_slice::<LevelMessage>(&payload) else {
                continue;
            };
            let line = with_level(&row.line, level);
            self.set(index, line, Some(payload), version);
        }
        for (index, time, payload) in taken.events {
            let Some(notice) = Notice::of_event(&payload, time) else {
                continue;
            };
            if self.notices.len() == NOTICES_MAX {
                self.notices.pop_front();
            }
            let text = serde_json::to_string(&notice).unwrap_or_default().into();
            self.notices.push_back(Posted {
                version,
                index,
                notice: Arc::new(notice),
                text,
            });
            self.version = version;
        }
    }

    /// Puts a line up, if it says something new.
    fn set(&mut self, index: IndexId, line: Line, payload: Option<Bytes>, version: u64) {
        let known = self.rows.get(index.at()).map(|row| Arc::clone(&row.line));
        if let Some(known) = known.filter(|known| known.code != line.code) {
            let ended = Line {
                status: divisor_engine::Life::Deleted.as_str().to_owned(),
                ..Line::clone(&known)
            };
            let text = serde_json::to_string(&ended).unwrap_or_default().into();
            if self.gone.len() == NOTICES_MAX {
                self.gone.pop_front();
            }
            self.gone.push_back((version, index, text));
        }
        let text: Arc<str> = serde_json::to_string(&line).unwrap_or_default().into();
        let row = Row {
            line: Arc::new(line),
            text,
            payload: payload.or_else(|| self.rows.get(index.at())?.payload.clone()),
            version,
        };
        match self.rows.get_mut(index.at()) {
            Some(known) if known.text == row.text => {
                known.payload = row.payload;
                return;
            }
            Some(known) => *known = row,
            None => self.rows.push(row),
        }
        self.version = version;
        self.fresh.push(index);
    }
}

/// A line from what the sequencer says of an index; what only a level tells stays.
fn with_facts(row: IndexRow, before: Option<&Line>) -> Line {
    Line {
        code: row.code,
        name: row.name,
        currency: row.currency,
        weighting: row.weighting,
        constituents: row.constituents,
        missing: row.missing,
        level: row.level,
        chg: row.chg,
        chg_pct: before.and_then(|line| line.chg_pct),
        prev_close: before.and_then(|line| line.prev_close),
        ts: row.ts,
        ts_calc: before.and_then(|line| line.ts_calc.clone()),
        seq: row.seq,
        rev: row.rev,
        status: row.status,
        stale: before.map_or(0, |line| line.stale),
    }
}

/// A line with another level. An older one than it has says nothing new.
fn with_level(line: &Line, level: LevelMessage) -> Line {
    if level.seq < line.seq {
        return line.clone();
    }
    Line {
        level: Some(level.level),
        chg: level.chg,
        chg_pct: level.chg_pct,
        prev_close: level.prev_close,
        ts: Some(level.ts),
        ts_calc: Some(level.ts_calc),
        // The facts of the same level may be newer: an index can lose its status without a level.
        status: if level.seq == line.seq {
            line.status.clone()
        } else {
            level.status
        },
        seq: level.seq,
        rev: level.rev.max(line.rev),
        stale: level.stale,
        ..line.clone()
    }
}
