//! From rows back to the journal's batches: the other direction of `project`, for replays from
//! PostgreSQL alone and for comparing what is stored with what it was computed from.
//!
//! Everything is read in one repeatable-read transaction, so that a running daemon may go on
//! writing. What has no row is put back as what it was to the engine: a position inside a batch
//! without a row was a repeated input, which changed nothing; a batch without rows a due timer.

use std::collections::{HashMap, VecDeque};

use divisor_engine::{Batch, Currency, Input, LabelId, Origin, Rate, SecurityId, Tick, Time};
use postgres::{Client, GenericClient, IsolationLevel, Portal, Row, Transaction};

use super::error::StoreError;
use super::read::{
    PlacedMember, action_row, batch_row, close_row, command_row, held_row, index_row, label_row,
    level_row, member_row, rate_row, revision_row, security_row, tick_row, unsigned,
};
use super::retention::Kept;
use super::rows::{
    self, ActionRow, BatchRow, CloseRow, CommandRow, HeldRow, IndexRow, LabelRow, LevelRow,
    RateRow, RevisionRow, RowBatch, SecurityRow, TickRow,
};

/// Rows fetched at once: some megabytes.
const FETCH_ROWS: i32 = 10_000;

/// Positions of one batch at the most. A batch is bounded by `sequencer.batch_inputs_max` and a
/// load by its bytes, so a longer one is a batch whose successors are missing.
const BATCH_POSITIONS_MAX: u64 = 1 << 24;

/// Why the history cannot be read. Each fits behind "failed to".
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows do not make the batch that they came from.
    #[error("read position {position} from PostgreSQL: {why}")]
    Rows {
        /// Where.
        position: u64,
        /// What does not fit.
        why: String,
    },
}

/// The rows in the order of their positions, from one of them on.
#[expect(
    missing_debug_implementations,
    reason = "a transaction of the driver has nothing to show"
)]
pub struct History<'a> {
    tx: Transaction<'a>,
    /// The position behind the last row.
    reached: u64,
    /// Which journal the rows are of.
    journal: Option<String>,
    kept: Kept,
    /// Places of the prices of each security, which never change.
    places: Vec<u8>,
    /// Ids of the texts read so far.
    label_ids: HashMap<String, LabelId>,
    batches: Cursor<BatchRow>,
    labels: Cursor<LabelRow>,
    commands: Cursor<CommandRow>,
    ticks: Cursor<TickRow>,
    rates: Cursor<RateRow>,
    levels: Cursor<LevelRow>,
    revisions: Cursor<RevisionRow>,
    closes: Cursor<CloseRow>,
    actions: Cursor<ActionRow>,
    held: Cursor<HeldRow>,
    members: Cursor<PlacedMember>,
}

/// What PostgreSQL holds of one batch.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The position of its first input.
    pub first: u64,
    /// The position behind its last.
    pub next: u64,
    /// Its time.
    pub time: Time,
    /// The rows between the two.
    pub rows: RowBatch,
}

/// One table, read in pieces.
struct Cursor<R> {
    portal: Portal,
    rows: VecDeque<R>,
    is_done: bool,
    read: fn(&Row) -> Result<R, postgres::Error>,
    position: fn(&R) -> u64,
}

const BATCHES: &str =
    "select position, time, time_nanos from batch where position >= $1 order by position";

const LABELS: &str =
    "select id, position, text from label where position >= $1 order by position, id";

const COMMANDS: &str = "select position, received, received_nanos, client, usr, verb, body::text \
     from command where position >= $1 order by position";

const TICKS: &str = "select position, ts, ts_nanos, received, received_nanos, src, inc, seq, \
     effect, security_id, price, size, venue, kind from price_tick where position >= $1 \
     order by position";

const RATES: &str = "select position, ts, ts_nanos, received, received_nanos, src, inc, seq, \
     effect, base, quote, rate from fx_rate where position >= $1 order by position";

const LEVELS: &str = "select position, index_id, seq, level, prev_close, ts, ts_nanos, ts_calc, \
     ts_calc_nanos, revision, run, stale, status from index_level where position >= $1 \
     and run = 0 order by position, index_id, seq";

const REVISIONS: &str = "select index_id, revision, run, position, effective, effective_nanos, \
     divisor, cash, body::text from basket where position >= $1 and run = 0 \
     order by position, index_id, revision";

const MEMBERS: &str = "select b.position, m.index_id, m.revision, m.security_id, m.coefficient, \
     m.price, m.weight from basket_member m join basket b using (index_id, revision, run) \
     where b.position >= $1 and run = 0 \
     order by b.position, m.index_id, m.revision, m.security_id";

const SECURITIES: &str = "select id, symbol, name, currency, price_places, position, body::text, life \
     from security order by id";

const INDEXES: &str = "select id, code, name, currency, position, body::text, life \
     from index_definition order by id";

const CLOSES: &str = "select position, index_id, day::text, run, revision, ts, ts_nanos, level, \
     status, seq, prev_close, divisor, soq, body::text from official_close where position >= $1 \
     and run = 0 order by position, index_id, seq";
const HELD: &str =
    "select position, doubt, reference from held where position >= $1 order by position";

const ACTIONS: &str = "select position, place, index_id, security_id, kind, ex_date::text, \
     body::text from corporate_action where position >= $1 order by position, place";

const RUN_LEVELS: &str = "select position, index_id, seq, level, prev_close, ts, ts_nanos, ts_calc, \
     ts_calc_nanos, revision, run, stale, status from index_level where run = $1 and run > 0 \
     order by index_id, position, seq";

const RUN_CLOSES: &str = "select position, index_id, day::text, run, revision, ts, ts_nanos, level, \
     status, seq, prev_close, divisor, soq, body::text from official_close where run = $1 and run > 0 \
     order by index_id, position, seq";

const RUN_REVISIONS: &str = "select index_id, revision, run, position, effective, \
     effective_nanos, divisor, cash, body::text from basket where run = $1 and run > 0 \
     order by index_id, position, revision";

const RUN_MEMBERS: &str = "select b.position, m.index_id, m.revision, m.security_id, \
     m.coefficient, m.price, m.weight from basket_member m \
     join basket b using (index_id, revision, run) where run = $1 and run > 0 \
     order by m.index_id, b.position, m.revision, m.security_id";

/// The levels, closes and revisions of a run of corrections, by index and position.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn run_rows(client: &mut Client, run: u32) -> Result<RowBatch, StoreError> {
    let mut revisions = of_run(client, RUN_REVISIONS, run, revision_row)?;
    give_members(
        &mut revisions,
        of_run(client, RUN_MEMBERS, run, member_row)?,
    );
    Ok(RowBatch {
        levels: of_run(client, RUN_LEVELS, run, level_row)?,
        closes: of_run(client, RUN_CLOSES, run, close_row)?,
        revisions,
        ..RowBatch::default()
    })
}

fn of_run<R>(
    client: &mut Client,
    sql: &str,
    run: u32,
    read: fn(&Row) -> Result<R, postgres::Error>,
) -> Result<Vec<R>, StoreError> {
    let rows = client.query(sql, &[&run.cast_signed()]);
    let rows = rows.map_err(StoreError::during("read the rows of a run"))?;
    let rows: Result<_, _> = rows.iter().map(read).collect();
    rows.map_err(StoreError::during("read a row"))
}

/// Puts members into their revisions, both in the same order.
fn give_members(revisions: &mut [RevisionRow], members: Vec<PlacedMember>) {
    let mut rest = revisions.iter_mut().peekable();
    for placed in members {
        let is_of =
            |row: &&mut RevisionRow| (row.index, row.revision) == (placed.index, placed.revision);
        // A reference of the schema: a member without its revision cannot be there.
        while rest.next_if(|row| !is_of(row)).is_some() {}
        if let Some(revision) = rest.peek_mut() {
            revision.members.push(placed.member);
        }
    }
}

impl<'a> History<'a> {
    /// Reads from `from` on, which must be the beginning of a batch.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(client: &'a mut Client, from: u64) -> Result<Self, HistoryError> {
        let during = StoreError::during;
        let mut tx = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .map_err(during("begin to read"))?;
        // Whole tables are sorted by position here, which no index does.
        tx.batch_execute("set local work_mem = '64MB'; set local statement_timeout = 0")
            .map_err(during("begin to read"))?;
        let head = tx
            .query_one("select position, journal from projection", &[])
            .map_err(during("read the projection's position"))?;
        let places = places(&mut tx)?;
        let known = "select text, id from label where position < $1";
        let known = tx
            .query(known, &[&from.cast_signed()])
            .map_err(during("read the labels"))?;
        let label_ids = known
            .iter()
            .map(|row| (row.get(0), LabelId(unsigned(row, 1))));
        Ok(Self {
            reached: head.get::<_, i64>(0).cast_unsigned(),
            journal: head.get(1),
            kept: Kept::read(&mut tx)?,
            places,
            label_ids: label_ids.collect(),
            batches: Cursor::open(&mut tx, BATCHES, from, batch_row, |row| row.position)?,
            labels: Cursor::open(&mut tx, LABELS, from, label_row, |row| row.position)?,
            commands: Cursor::open(&mut tx, COMMANDS, from, command_row, |row| row.position)?,
            ticks: Cursor::open(&mut tx, TICKS, from, tick_row, |row| row.origin.position)?,
            rates: Cursor::open(&mut tx, RATES, from, rate_row, |row| row.origin.position)?,
            levels: Cursor::open(&mut tx, LEVELS, from, level_row, |row| row.position)?,
            revisions: Cursor::open(&mut tx, REVISIONS, from, revision_row, |row| row.position)?,
            members: Cursor::open(&mut tx, MEMBERS, from, member_row, |row| row.position)?,
            closes: Cursor::open(&mut tx, CLOSES, from, close_row, |row| row.position)?,
            actions: Cursor::open(&mut tx, ACTIONS, from, action_row, |row| row.position)?,
            held: Cursor::open(&mut tx, HELD, from, held_row, |row| row.position)?,
            tx,
        })
    }

    /// The position behind the last row.
    #[must_use]
    pub const fn reached(&self) -> u64 {
        self.reached
    }

    /// Which journal the rows are of; none in a database that no daemon has used.
    #[must_use]
    pub fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    /// From which positions on the rows are all there.
    #[must_use]
    pub const fn kept(&self) -> Kept {
        self.kept
    }

    /// Where the batches that are there begin.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn oldest(&mut self) -> Result<Option<u64>, HistoryError> {
        Ok(self.batches.peek(&mut self.tx)?.map(|row| row.position))
    }

    /// The next batch with its rows, or `None` behind the last.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn next_batch(&mut self) -> Result<Option<Stored>, HistoryError> {
        let tx = &mut self.tx;
        let Some(batch) = self.batches.next(tx)? else {
            return Ok(None);
        };
        let next = self.batches.peek(tx)?.map_or(self.reached, |b| b.position);
        let first = batch.position;
        if next <= first || next - first > BATCH_POSITIONS_MAX {
            let why = format!("a batch begins here, and the next is at {next}");
            return Err(HistoryError::Rows {
                position: first,
                why,
            });
        }
        let mut rows = RowBatch {
            batches: vec![batch],
            labels: self.labels.below(tx, next)?,
            commands: self.commands.below(tx, next)?,
            ticks: self.ticks.below(tx, next)?,
            rates: self.rates.below(tx, next)?,
            levels: self.levels.below(tx, next)?,
            revisions: self.revisions.below(tx, next)?,
            closes: self.closes.below(tx, next)?,
            actions: self.actions.below(tx, next)?,
            held: self.held.below(tx, next)?,
            ..RowBatch::default()
        };
        give_members(&mut rows.revisions, self.members.below(tx, next)?);
        for label in &rows.labels {
            self.label_ids.insert(label.text.clone(), LabelId(label.id));
        }
        Ok(Some(Stored {
            first,
            next,
            time: batch.time,
            rows,
        }))
    }

    /// All securities as last defined, by id.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn securities(&mut self) -> Result<Vec<SecurityRow>, HistoryError> {
        let rows = self.tx.query(SECURITIES, &[]);
        let rows = rows.map_err(StoreError::during("read the securities"))?;
        Ok(rows.iter().map(security_row).collect())
    }

    /// All indexes as last defined, by id.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn indexes(&mut self) -> Result<Vec<IndexRow>, HistoryError> {
        let rows = self.tx.query(INDEXES, &[]);
        let rows = rows.map_err(StoreError::during("read the indexes"))?;
        Ok(rows.iter().map(index_row).collect())
    }

    /// What is left behind the last batch, which ought to be nothing.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn rest(&mut self) -> Result<RowBatch, HistoryError> {
        let tx = &mut self.tx;
        Ok(RowBatch {
            labels: self.labels.below(tx, u64::MAX)?,
            commands: self.commands.below(tx, u64::MAX)?,
            ticks: self.ticks.below(tx, u64::MAX)?,
            rates: self.rates.below(tx, u64::MAX)?,
            levels: self.levels.below(tx, u64::MAX)?,
            revisions: self.revisions.below(tx, u64::MAX)?,
            closes: self.closes.below(tx, u64::MAX)?,
            actions: self.actions.below(tx, u64::MAX)?,
            held: self.held.below(tx, u64::MAX)?,
            ..RowBatch::default()
        })
    }

    /// The batch that the rows came from.
    ///
    /// # Errors
    /// [`HistoryError::Rows`] when they contradict each other.
    pub fn batch(&self, stored: &Stored) -> Result<Batch, HistoryError> {
        let wrong = |position, why: String| HistoryError::Rows { position, why };
        // Below the bound that was checked when the rows were read.
        let count = usize::try_from(stored.next - stored.first).unwrap_or(0);
        let mut inputs: Vec<Option<Input>> = vec![None; count];
        let mut put = |position: u64, input: Input| {
            let place = position.checked_sub(stored.first).map(usize::try_from);
            match place {
                Some(Ok(place)) if place < count && inputs[place].is_none() => {
                    inputs[place] = Some(input);
                    Ok(())
                }
                _ => Err(wrong(position, "two rows claim it, or none can".to_owned())),
            }
        };
        for row in &stored.rows.labels {
            put(row.position, Input::Label(row.text.as_str().into()))?;
        }
        for row in &stored.rows.commands {
            let input = self.command(row).map_err(|why| wrong(row.position, why))?;
            put(row.position, input)?;
        }
        for row in &stored.rows.ticks {
            let input = tick(&self.places, row).map_err(|why| wrong(row.origin.position, why))?;
            put(row.origin.position, input)?;
        }
        for row in &stored.rows.rates {
            let input = rate(row).map_err(|why| wrong(row.origin.position, why))?;
            put(row.origin.position, input)?;
        }
        // Nothing at all was a timer or one repeated input; the engine does the same for both.
        let inputs = if count == 1 && inputs[0].is_none() {
            Vec::new()
        } else {
            inputs
                .into_iter()
                .map(|input| input.unwrap_or_else(nothing))
                .collect()
        };
        Ok(Batch {
            first: stored.first,
            time: stored.time,
            inputs,
        })
    }

    fn command(&self, row: &CommandRow) -> Result<Input, String> {
        #[derive(serde::Deserialize)]
        struct Boot {
            epoch: u64,
        }
        #[derive(serde::Deserialize)]
        struct Ended {
            through: u32,
            outcome: Box<divisor_engine::Outcome>,
        }
        let json = |e: serde_json::Error| format!("the body of `{}`: {e}", row.verb);
        match row.verb.as_str() {
            "boot" => {
                let Boot { epoch } = serde_json::from_str(&row.body).map_err(json)?;
                Ok(Input::Boot { epoch })
            }
            "define" => {
                let by = self.label_ids.get(&row.client).copied();
                Ok(Input::Define {
                    by: by.ok_or_else(|| format!("`{}` is no label", row.client))?,
                    definitions: serde_json::from_str(&row.body).map_err(json)?,
                })
            }
            "operate" => {
                let by = self.label_ids.get(&row.client).copied();
                Ok(Input::Operate {
                    by: by.ok_or_else(|| format!("`{}` is no label", row.client))?,
                    order: serde_json::from_str(&row.body).map_err(json)?,
                })
            }
            "correct" => {
                let by = self.label_ids.get(&row.client).copied();
                Ok(Input::Correct {
                    by: by.ok_or_else(|| format!("`{}` is no label", row.client))?,
                    stated: serde_json::from_str(&row.body).map_err(json)?,
                })
            }
            "restate" => {
                let Ended { through, outcome } = serde_json::from_str(&row.body).map_err(json)?;
                Ok(Input::Restate { through, outcome })
            }
            other => Err(format!("unknown command `{other}`")),
        }
    }
}

/// The price that a row came from, by the places of all securities.
pub(super) fn tick(places: &[u8], row: &TickRow) -> Result<Input, String> {
    let places = places.get(row.security as usize);
    let places = places.ok_or_else(|| format!("there is no security {}", row.security))?;
    let price = row.price.at_places(*places).map(i64::try_from);
    let Some(Ok(price)) = price else {
        return Err(format!("a price of {} with {places} places", row.price));
    };
    Ok(Input::Tick(Tick {
        security: SecurityId(row.security),
        price,
        origin: origin(&row.origin),
        size: row.size,
        venue: row.venue.map(LabelId),
        kind: row.kind,
    }))
}

/// An input that takes a position and changes nothing: a text that has its number already.
fn nothing() -> Input {
    Input::Label("divisord".into())
}

/// The rate that a row came from.
pub(super) fn rate(row: &RateRow) -> Result<Input, String> {
    let currency = |text: &str| Currency::parse(text).map_err(|e| e.to_string());
    let mantissa = i64::try_from(row.rate.mantissa());
    Ok(Input::Rate(Rate {
        base: currency(&row.base)?,
        quote: currency(&row.quote)?,
        mantissa: mantissa.map_err(|_| format!("a rate of {}", row.rate))?,
        places: row.rate.places(),
        origin: origin(&row.origin),
    }))
}

const fn origin(row: &rows::Origin) -> Origin {
    Origin {
        ts: row.ts,
        received: row.received,
        source: LabelId(row.src),
        inc: row.inc,
        seq: row.seq,
    }
}

impl<R> Cursor<R> {
    fn open(
        tx: &mut Transaction<'_>,
        sql: &str,
        from: u64,
        read: fn(&Row) -> Result<R, postgres::Error>,
        position: fn(&R) -> u64,
    ) -> Result<Self, StoreError> {
        let portal = tx
            .bind(sql, &[&from.cast_signed()])
            .map_err(StoreError::during("begin to read"))?;
        Ok(Self {
            portal,
            rows: VecDeque::new(),
            is_done: false,
            read,
            position,
        })
    }

    fn peek(&mut self, tx: &mut Transaction<'_>) -> Result<Option<&R>, StoreError> {
        if self.rows.is_empty() && !self.is_done {
            let during = StoreError::during;
            let rows = tx
                .query_portal(&self.portal, FETCH_ROWS)
                .map_err(during("read rows"))?;
            self.is_done = rows.is_empty();
            for row in &rows {
                self.rows
                    .push_back((self.read)(row).map_err(during("read a row"))?);
            }
        }
        Ok(self.rows.front())
    }

    fn next(&mut self, tx: &mut Transaction<'_>) -> Result<Option<R>, StoreError> {
        self.peek(tx)?;
        Ok(self.rows.pop_front())
    }

    /// All rows before a position.
    fn below(&mut self, tx: &mut Transaction<'_>, end: u64) -> Result<Vec<R>, StoreError> {
        let mut found = Vec::new();
        let position = self.position;
        while self.peek(tx)?.is_some_and(|row| position(row) < end) {
            found.extend(self.rows.pop_front());
        }
        Ok(found)
    }
}

/// Places by security id; ids are dense.
pub(super) fn places(client: &mut impl GenericClient) -> Result<Vec<u8>, StoreError> {
    let rows = client
        .query("select price_places from security order by id", &[])
        .map_err(StoreError::during("read the securities"))?;
    let place = |row: &Row| u8::try_from(row.get::<_, i16>(0)).unwrap_or(0);
    Ok(rows.iter().map(place).collect())
}
