//! Carrying out a load: tried on a copy of the engine, then one record of the journal.

use std::collections::BTreeSet;
use std::time::Duration;

use divisor_engine::definition::{ActionDefinition, Definitions, IndexDefinition};
use divisor_engine::{
    Batch, Change, Effect, Engine, Input, Kind, LabelId, Origin, Output, Plan, Time,
};
use divisor_wire::command::{CommandError, Items, LoadSummary, Tally};

use super::staging::{clip, error};
use super::{Sequencer, SequencerError, gather};
use crate::clock::Clock;
use crate::egress::Outlet;
use crate::ingress::Client;
use crate::journal::Log;
use crate::record;

/// Errors told one by one; the rest is counted.
const DETAILS_MAX: usize = 50;

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
    /// Applies a load whole or not at all, as one record.
    pub(super) fn load(
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

/// Tries a load on a copy of the engine: the inputs that carry it out, and what they do. An index
/// with a base date is defined between the prices of that day and later ones.
fn try_load(
    engine: &Engine,
    items: &Items,
    batch: &Batch,
    load: Load,
) -> Result<(Vec<Input>, LoadSummary), CommandError> {
    let (securities, _) = items.definitions();
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
    let mut market = Market::default();
    for stage in stages(items) {
        inputs.extend(market.inputs(&mut trial, &stage, batch.time, load));
        let (_, indexes) = stage.definitions();
        let (plan, next) = trial.plan(&indexes).map_err(|e| refused(&e))?;
        inputs.extend(define(indexes, plan));
        trial = next;
    }
    if !market.errors.is_empty() {
        let message = "prices or rates are refused, nothing was applied";
        return Err(with_details("refused", message, market.errors));
    }
    summary.prices = market.moved;
    summary.prices_repeated = market.repeated;
    Ok((inputs, summary))
}

/// What became of the rates and prices of a load, over all its stages.
#[derive(Default)]
struct Market {
    /// The number of the last one.
    seq: u64,
    moved: u64,
    repeated: u64,
    errors: Vec<String>,
}

impl Market {
    /// Rates and prices of a stage as inputs, without those that an earlier, equal load has
    /// brought. The trial engine has applied them afterwards.
    fn inputs(&mut self, trial: &mut Engine, stage: &Items, now: Time, load: Load) -> Vec<Input> {
        let mut inputs = Vec::with_capacity(stage.rates.len() + stage.prices.len());
        for rate in &stage.rates {
            self.seq += 1;
            let admitted = load
                .origin(rate.ts.as_deref(), now, self.seq)
                .and_then(|origin| {
                    let admitted = trial.admit_rate(rate.base, rate.quote, rate.rate, origin);
                    admitted.map_err(|e| e.to_string())
                });
            match admitted {
                Ok(input) => inputs.push(input),
                Err(why) => {
                    let line = format!("rate {}/{}: {why}", rate.base, rate.quote);
                    self.errors.push(line);
                }
            }
        }
        for price in &stage.prices {
            self.seq += 1;
            let admitted = load
                .origin(price.ts.as_deref(), now, self.seq)
                .and_then(|origin| {
                    let admitted =
                        trial.admit_price(&price.symbol, price.price, None, origin, None, None);
                    let admitted = admitted.map(|input| of_kind(input, price.kind));
                    admitted.map_err(|e| e.to_string())
                });
            match admitted {
                Ok(input) => inputs.push(input),
                Err(why) => {
                    let line = format!("price of {}: {why}", clip(&price.symbol));
                    self.errors.push(line);
                }
            }
        }
        // As they happened, whatever the order of the file: a rate of the next day ends the one whose
        // prices have not come yet. What has one time keeps its order, rates first.
        inputs.sort_by_key(moment);
        let (inputs, repeated) = without_repeated(trial, inputs, now);
        self.moved += inputs.len() as u64;
        self.repeated += repeated;
        inputs
    }
}

/// When a price or rate was made.
const fn moment(input: &Input) -> Time {
    match input {
        Input::Tick(tick) => tick.origin.ts,
        Input::Rate(rate) => rate.origin.ts,
        Input::Define { .. }
        | Input::Operate { .. }
        | Input::Correct { .. }
        | Input::Restate { .. }
        | Input::Label(_)
        | Input::Boot { .. } => Time::MAX,
    }
}

/// A price as the kind that its row states.
pub(super) const fn of_kind(mut input: Input, kind: Kind) -> Input {
    if let Input::Tick(tick) = &mut input {
        tick.kind = kind;
    }
    input
}

/// A load in the order of its days: an index with a base date starts behind the prices of that
/// day, so that prices of later days move it and are not its start. Prices without a time belong
/// to the start, indexes without a base date and revisions to the end. Actions come before the
/// prices of their day.
fn stages(items: &Items) -> Vec<Items> {
    let of_rates = items.rates.iter().map(|rate| rate.ts.as_deref());
    let of_prices = items.prices.iter().map(|price| price.ts.as_deref());
    let times = of_rates.chain(of_prices).flatten();
    let mut times: Vec<Time> = times.filter_map(time).collect();
    times.sort_unstable();
    // By how many prices come before it; the ends of days between the same two prices are one.
    let cut = |index: &IndexDefinition| {
        let end = base_date(index, &items.indexes).and_then(end_of_day)?;
        let before = times.partition_point(|time| *time < end);
        (before < times.len()).then_some(before)
    };
    // An action comes behind the prices before its ex-date.
    let ex = |action: &ActionDefinition| {
        let start = time(&action.ex_date.to_string())?;
        let before = times.partition_point(|time| *time < start);
        (before < times.len()).then_some(before)
    };
    let cuts = items.indexes.iter().filter_map(cut);
    let cuts: BTreeSet<usize> = cuts.chain(items.actions.iter().filter_map(ex)).collect();
    let starts: Vec<Time> = cuts.iter().map(|before| times[*before]).collect();
    let stage_of = |ts: Option<&str>| {
        let ts = ts.and_then(time).unwrap_or(Time::MIN);
        starts.partition_point(|start| *start <= ts)
    };
    let mut stages = vec![Items::default(); cuts.len() + 1];
    for rate in &items.rates {
        stages[stage_of(rate.ts.as_deref())]
            .rates
            .push(rate.clone());
    }
    for price in &items.prices {
        stages[stage_of(price.ts.as_deref())]
            .prices
            .push(price.clone());
    }
    let last = cuts.len();
    for index in &items.indexes {
        let stage = cut(index).map_or(last, |before| cuts.range(..before).count());
        stages[stage].indexes.push(index.clone());
    }
    for action in &items.actions {
        let day = ex(action).map_or(last, |before| cuts.range(..before).count());
        // What concerns one index alone needs it.
        let defines = |stage: &Items| {
            let code = action.event.index();
            stage
                .indexes
                .iter()
                .any(|index| Some(index.code.as_str()) == code)
        };
        let index = stages.iter().position(defines).unwrap_or(0);
        stages[day.max(index)].actions.push(action.clone());
    }
    stages[0].cancelled.clone_from(&items.cancelled);
    stages[last].revisions.clone_from(&items.revisions);
    stages
}

/// The base date of an index; a variant without one starts with what it follows.
fn base_date<'a>(index: &'a IndexDefinition, indexes: &'a [IndexDefinition]) -> Option<&'a str> {
    let mut index = index;
    // No way up is longer than the list; what follows itself is refused later.
    for _ in 0..=indexes.len() {
        if let Some(date) = &index.base.date {
            return Some(date);
        }
        let of = index.of.as_ref()?;
        index = indexes.iter().find(|parent| parent.code == *of)?;
    }
    None
}

/// The first moment after a date, or after the date of a time, in UTC.
fn end_of_day(text: &str) -> Option<Time> {
    let moment = jiff::Timestamp::from(time(text)?);
    let date = jiff::tz::TimeZone::UTC.to_datetime(moment).date();
    time(&date.tomorrow().ok()?.to_string())
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
        if ts < gather::TIME_MIN {
            return Err("`ts` is before 1800".to_owned());
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
            "calendar" => &mut summary.calendars,
            "pair" => &mut summary.pairs,
            "security" => &mut summary.securities,
            "index" => &mut summary.indexes,
            "action" => &mut summary.actions,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_starts_behind_the_prices_of_its_base_date() {
        let index = |code: &str, date: &str| {
            format!(
                r#"{{"code": "{code}", "currency": "USD", "weighting": {{"scheme": "price"}},
                "base": {{"value": 100{date}}}, "basket": [{{"symbol": "A"}}]}}"#
            )
        };
        let check = |indexes: &[String], expected: &[&str]| {
            let text = format!(
                r#"{{"indexes": [{}], "prices": [
                {{"symbol": "now", "price": 1}},
                {{"symbol": "day2", "price": 1, "ts": "2021-11-02"}},
                {{"symbol": "day1", "price": 1, "ts": "2021-11-01T23:59:59Z"}},
                {{"symbol": "day3", "price": 1, "ts": "2021-11-03"}}]}}"#,
                indexes.join(", ")
            );
            let stages = stages(&serde_json::from_str(&text).unwrap());
            let line = |stage: &Items| {
                let prices = stage.prices.iter().map(|price| price.symbol.as_str());
                let indexes = stage.indexes.iter().map(|index| index.code.as_str());
                prices.chain(indexes).collect::<Vec<_>>().join(" ")
            };
            let lines: Vec<String> = stages.iter().map(line).collect();
            assert_eq!(lines, expected, "{indexes:?}");
        };
        let a = index("A", r#", "date": "2021-11-01""#);
        let b = index("B", r#", "date": "2021-11-02T09:00:00Z""#);
        check(&[b, a.clone()], &["now day1 A", "day2 B", "day3"]);
        let none = index("N", "");
        let wrong = index("W", r#", "date": "All Saints""#);
        check(&[none, wrong, a.clone()], &["now day1 A", "day2 day3 N W"]);
        let early = index("E", r#", "date": "2020-01-01""#);
        check(&[early], &["now E", "day2 day1 day3"]);
        let late = index("L", r#", "date": "2021-11-03""#);
        check(&[late], &["now day2 day1 day3 L"]);
        let twin = index("T", r#", "date": "2021-11-01""#);
        check(&[a, twin], &["now day1 A T", "day2 day3"]);
    }
}
