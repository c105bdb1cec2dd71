//! The members of a revision with the prices that counted.

use std::collections::BTreeMap;

use divisor_engine::{Currency, Decimal, SecurityId, Time};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::edited::EditedPrice;
use super::{Basket, Inputs, currency_of};
use crate::http::history::as_of::{Of, counts};
use crate::http::history::span::{decimal, get, time_at};
use crate::http::problem::Problem;
use crate::store::Stamp;

/// A member of a revision.
#[derive(Debug, Clone)]
pub(in crate::http::history) struct Member {
    pub(in crate::http::history) security: SecurityId,
    pub(in crate::http::history) symbol: String,
    pub(in crate::http::history) currency: Currency,
    pub(in crate::http::history) coefficient: Option<Decimal>,
    /// The one of the revision, until another has counted.
    pub(in crate::http::history) price: Option<Decimal>,
}

/// Which rule a price comes in by, as the query numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The newest by its time.
    Time,
    /// The newest official close, which may be older than trades.
    Close,
    /// An operator has let it.
    Release,
    /// It came late and counts at its own time.
    Late,
    /// The level of an index.
    Level,
}

/// A price that may be the one.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    price: Decimal,
    ts: Time,
    run: u32,
    /// None for one that counts by its time alone.
    position: Option<i64>,
}

impl Candidate {
    /// The newest by its time; of several of one time the last to be stated, or to come.
    const fn age(&self) -> (Time, u32, i64) {
        let position = match self.position {
            Some(position) => position,
            None => i64::MAX,
        };
        (self.ts, self.run, position)
    }
}

/// The candidates of one security.
#[derive(Debug, Default)]
struct Candidates {
    newest: Option<Candidate>,
    close: Option<Candidate>,
    forced: Option<Candidate>,
}

impl Candidates {
    fn newest(&mut self, one: Candidate) {
        self.newest = later(self.newest, one, |c| c.age());
    }

    fn close(&mut self, one: Candidate) {
        self.close = later(self.close, one, |c| c.age());
    }

    fn forced(&mut self, one: Candidate) {
        self.forced = later(self.forced, one, |c| c.position);
    }

    /// The one that came into force last, behind the revision.
    fn price(self, basket: &Basket) -> Option<Decimal> {
        let all = [self.newest, self.close, self.forced].into_iter().flatten();
        let counting = all.filter(|one| match one.position {
            Some(position) => position >= basket.position,
            None => one.ts >= basket.effective,
        });
        let last = counting.max_by_key(|one| one.position.unwrap_or(i64::MAX));
        last.map(|one| one.price)
    }
}

fn later<K: Ord>(
    old: Option<Candidate>,
    new: Candidate,
    key: impl Fn(&Candidate) -> K,
) -> Option<Candidate> {
    Some(old.filter(|old| key(old) > key(&new)).unwrap_or(new))
}

impl Inputs<'_> {
    /// The members of a revision, with the prices that counted.
    pub(in crate::http::history) async fn members(
        &self,
        basket: &Basket,
    ) -> Result<Vec<Member>, Problem> {
        let until = self.until;
        let sql = MEMBERS.replace("{counts}", &counts(Of::Levels, "l", RECORDED));
        let parameters = [
            (&self.index as _, Type::INT4),
            (&basket.revision as _, Type::INT4),
            (&basket.run as _, Type::INT4),
            (&Stamp(until.ts) as _, Type::TIMESTAMPTZ),
            (&until.position as _, Type::INT8),
            (&self.edited.gone as _, Type::INT8_ARRAY),
            (&self.edited.late.from as _, Type::INT8_ARRAY),
            (&self.edited.late.until as _, Type::INT8_ARRAY),
            (&self.through as _, Type::INT4),
            (&basket.position as _, Type::INT8),
            (&Stamp(basket.effective) as _, Type::TIMESTAMPTZ),
        ];
        let rows = self.history.query(&sql, &parameters).await?;
        let mut members: BTreeMap<SecurityId, (Member, Candidates)> = BTreeMap::new();
        for row in &rows {
            let member = member(row)?;
            let entry = members.entry(member.security);
            let (_, candidates) = entry.or_insert_with(|| (member, Candidates::default()));
            if let Some((by, one)) = candidate(row)? {
                match by {
                    By::Time | By::Late => candidates.newest(one),
                    By::Close => candidates.close(one),
                    By::Release | By::Level => candidates.forced(one),
                }
            }
        }
        let counts = |edited: &&EditedPrice| {
            let place = edited.place;
            place.ts <= until.ts && place.position.is_none_or(|at| at <= until.position)
        };
        for edited in self.edited.prices.iter().filter(counts) {
            let Some((_, candidates)) = members.get_mut(&edited.security) else {
                continue;
            };
            let one = Candidate {
                price: edited.price,
                ts: edited.place.ts,
                run: edited.place.run,
                position: edited.place.position,
            };
            candidates.newest(one);
            if edited.is_close {
                candidates.close(one);
            }
        }
        let members = members.into_values();
        let priced = members.map(|(member, candidates)| Member {
            price: candidates.price(basket).or(member.price),
            ..member
        });
        Ok(priced.collect())
    }
}

fn member(row: &Row) -> Result<Member, Problem> {
    Ok(Member {
        security: SecurityId(get::<i32>(row, 0)?.cast_unsigned()),
        symbol: get(row, 1)?,
        currency: currency_of(get(row, 2)?)?,
        coefficient: decimal(row, 3)?,
        price: decimal(row, 4)?,
    })
}

fn candidate(row: &Row) -> Result<Option<(By, Candidate)>, Problem> {
    let (Some(by), Some(price)) = (get::<Option<i32>>(row, 5)?, decimal(row, 6)?) else {
        return Ok(None);
    };
    let by = match by {
        0 => By::Time,
        1 => By::Close,
        2 => By::Release,
        3 => By::Late,
        _ => By::Level,
    };
    let position: i64 = get(row, 9)?;
    let one = Candidate {
        price,
        ts: time_at(row, 7)?,
        run: 0,
        position: (by != By::Late).then_some(position),
    };
    Ok(Some((by, one)))
}

/// When what is in the inputs was readable, by the newest run in them ($9).
const RECORDED: &str = "(select max(recorded_at) from correction_run where run <= $9)";

/// The members of revision $2 of run $3 of index $1, each with the prices that may count at time $4
/// and position $5, one for each rule. Prices at $6 do not count as they came; those of $7 up to $8
/// count at their own times: no older than the newest of the others, and the revision ($11).
const MEMBERS: &str = "
select s.id, s.symbol, s.currency, m.coefficient, m.price, c.by, c.price, c.ts, c.ts_nanos,
       c.position
from basket_member m join security s on s.id = m.security_id
left join lateral (
    (select 0 as by, t.price, t.ts, t.ts_nanos, t.position from price_tick t
     where t.security_id = s.id and t.effect = 0 and t.ts <= $4 and t.position <= $5
     and t.position <> all($6) order by t.ts desc, t.ts_nanos desc, t.position desc limit 1)
    union all
    (select 1, t.price, t.ts, t.ts_nanos, t.position from price_tick t
     where t.security_id = s.id and t.effect = 0 and t.kind = 2 and t.ts <= $4
     and t.position <= $5 and t.position <> all($6)
     order by t.ts desc, t.ts_nanos desc, t.position desc limit 1)
    union all
    (select 2, t.price, t.ts, t.ts_nanos, o.position from command o join price_tick t
     on t.position = (o.body ->> 'held')::int8 and t.security_id = s.id and t.effect = 3
     where o.verb = 'operate' and o.body ->> 'order' = 'release' and o.position >= $10
     and o.position <= $5 and t.position <> all($6) order by o.position desc limit 1)
    union all
    (select 3, t.price, t.ts, t.ts_nanos, t.position from price_tick t
     where cardinality($7::int8[]) > 0 and t.security_id = s.id and t.effect in (0, 1)
     and t.ts <= $4 and t.position <> all($6)
     and t.ts >= greatest($11::timestamptz, (
         select n.ts from price_tick n
         where n.security_id = s.id and n.effect = 0 and n.ts <= $4 and n.position <= $5
         and n.position <> all($6) order by n.ts desc limit 1))
     and exists (
         select from unnest($7::int8[], $8::int8[]) r(first, next)
         where r.first <= t.position and t.position < r.next)
     order by t.ts desc, t.ts_nanos desc, t.position desc limit 1)
    union all
    (select 4, l.level, l.ts, l.ts_nanos, l.position
     from index_definition d join index_level l on l.index_id = d.id
     where s.symbol = 'indexes/' || d.code and l.ts <= $4 and l.position <= $5
     and {counts} order by l.ts desc, l.seq desc, l.run desc limit 1)
) c on true
where m.index_id = $1 and m.revision = $2 and m.run = $3
order by s.id";
