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
use tokio_postgres::types::Type;

use super::History;
use super::fx::Fx;
use super::span::{decimal, get};
use crate::http::Http;
use crate::http::board::Line;
use crate::http::problem::Problem;
use crate::store::Stamp;

/// How long closes are remembered. They do not change with their day, but for a restatement.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Each member's last price that counted before the close, or that of the revision where none has
/// come since: it may be adjusted. An index in the basket is its level.
const PRICES: &str = "
select s.symbol, case when p.position >= b.position then p.price
                      else coalesce(l.level, m.price, p.price) end
from basket_member m
join basket b on b.index_id = m.index_id and b.revision = m.revision
join security s on s.id = m.security_id
left join lateral (
    select t.price, t.position from price_tick t
    where t.security_id = m.security_id and t.ts <= $3 and t.effect = 0 and t.position <= $4
    order by t.ts desc, t.position desc limit 1
) p on true
left join lateral (
    select level from index_level
    where index_id = (select id from index_definition where s.symbol = 'indexes/' || code)
    and ts <= $3 and position <= $4 order by ts desc, seq desc, run desc limit 1
) l on s.symbol like 'indexes/%'
where m.index_id = $1 and m.revision = $2";

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
    let history = http.history.as_ref()?;
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
    let closes = read(history, index, line, day, fx).await.ok().flatten()?;
    let closes = Arc::new(closes);
    let mut remembered = http.closes.0.lock().unwrap_or_else(PoisonError::into_inner);
    remembered.insert(index, Arc::clone(&closes));
    Some(closes)
}

async fn read(
    history: &History,
    index: IndexId,
    line: &Line,
    day: Time,
    fx: &Fx,
) -> Result<Option<Closes>, Problem> {
    let key = index.0.cast_signed();
    let rows = history
        .query(
            "(select 0, seq, revision, ts, position, level from level_now \
              where index_id = $1 and ts < $2 order by ts desc, seq desc, run desc limit 1) \
             union all \
             (select 1, seq, revision, ts, position, level from level_now \
              where index_id = $1 and ts >= $2 order by ts, seq limit 1)",
            &[(&key, Type::INT4), (&Stamp(day), Type::TIMESTAMPTZ)],
        )
        .await?;
    let [last, first] = rows.as_slice() else {
        return Ok(None);
    };
    let (closed, opened): (i64, i64) = (get(last, 1)?, get(first, 1)?);
    // A level between them is not there yet, or the close is not the one that counts.
    if opened != closed + 1 || decimal(last, 5)? != line.prev_close {
        return Ok(None);
    }
    let revision: i32 = get(first, 2)?;
    let (ts, position): (Stamp, i64) = (get(last, 3)?, get(last, 4)?);
    let prices = history
        .query(
            PRICES,
            &[
                (&key, Type::INT4),
                (&revision, Type::INT4),
                (&ts, Type::TIMESTAMPTZ),
                (&position, Type::INT8),
            ],
        )
        .await?;
    let price = |row: &tokio_postgres::Row| Ok((get(row, 0)?, decimal(row, 1)?));
    let prices: Result<Vec<(String, Option<Decimal>)>, Problem> =
        prices.iter().map(price).collect();
    let prices = prices?.into_iter();
    Ok(Some(Closes {
        revision: revision.cast_unsigned(),
        prices: prices.filter_map(|(s, price)| Some((s, price?))).collect(),
        rates: fx.rates(history, (key, revision), ts, position).await?,
        day,
        read: Instant::now(),
    }))
}
