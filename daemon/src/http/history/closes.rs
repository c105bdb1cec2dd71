//! The previous closes of an index's members, and what each has moved the index by since.
//!
//! The close of the index is its last level before its day; a member's is the price that this level
//! was made with. Where a revision lies between that level and the day's first, its prices count:
//! they are the closes, adjusted for a split or a spin-off. Where anything of it is not known, here
//! or in PostgreSQL, nothing is shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use divisor_engine::{Currency, Decimal, IndexId, Time};

use super::as_of::AsOf;
use super::fx::Fx;
use super::past::{Member, Past};
use crate::http::Http;
use crate::http::board::Line;
use crate::http::problem::Problem;

/// How long closes are remembered. They do not change with their day, but for a restatement.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The closes of one day.
#[derive(Debug, Clone)]
pub(in crate::http) struct Closes {
    /// The revision in force since the day's first level.
    pub(in crate::http) revision: u32,
    /// By symbol.
    prices: HashMap<String, Decimal>,
    /// Index currency for one of each member's, at the close.
    rates: HashMap<Currency, Decimal>,
    day: Time,
    read: Instant,
}

impl Closes {
    /// The close of a member.
    pub(in crate::http) fn of(&self, symbol: &str) -> Option<Decimal> {
        self.prices.get(symbol).copied()
    }

    /// Index currency for one of another, at the close.
    pub(in crate::http) fn rate(&self, currency: Currency) -> Option<Decimal> {
        self.rates.get(&currency).copied()
    }
}

/// What was read, by index.
#[derive(Debug, Default)]
pub(in crate::http) struct Remembered(Mutex<HashMap<IndexId, Arc<Closes>>>);

/// The closes before the day that begins at `day`; none where they are not known.
pub(in crate::http) async fn closes(
    http: &Http,
    index: IndexId,
    line: &Line,
    day: Time,
    fx: &Fx,
) -> Option<Arc<Closes>> {
    http.history.as_ref()?;
    let known = {
        let remembered = http.closes.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(&index).cloned()
    };
    if let Some(closes) = known
        && closes.day == day
        && closes.read.elapsed() < REMEMBERED
    {
        return Some(closes);
    }
    // History that is away is no reason to show nothing.
    let closes = read(http, index, line, day, fx).await.ok().flatten()?;
    let closes = Arc::new(closes);
    let mut remembered = http.closes.0.lock().unwrap_or_else(PoisonError::into_inner);
    remembered.insert(index, Arc::clone(&closes));
    Some(closes)
}

async fn read(
    http: &Http,
    index: IndexId,
    line: &Line,
    day: Time,
    fx: &Fx,
) -> Result<Option<Closes>, Problem> {
    let past = Past::of(http, index, AsOf::NOW).await?;
    let before = Time::from_nanos(day.as_nanos().saturating_sub(1));
    let (Some((close, _)), Some((open, basket))) =
        (past.level(before).await?, past.level_from(day).await?)
    else {
        return Ok(None);
    };
    // A level between them is not there yet, or the close is not the one that counts.
    if open.seq != close.seq + 1 || Some(close.level) != line.prev_close {
        return Ok(None);
    }
    let inputs = past.inputs(close.until()).await?;
    let members = inputs.members(&basket).await?;
    let price = |member: Member| Some((member.symbol, member.price?));
    Ok(Some(Closes {
        revision: basket.revision.cast_unsigned(),
        prices: members.into_iter().filter_map(price).collect(),
        rates: inputs.rates(fx, &basket).await?,
        day,
        read: Instant::now(),
    }))
}
