//! What currencies were worth at a time, by the rule of an index.

use std::collections::HashMap;

use divisor_engine::definition::FxRates;
use divisor_engine::{Currency, Decimal, Time};
use tokio_postgres::types::Type;

use super::{Basket, Inputs, currency_of};
use crate::http::history::fx::Fx;
use crate::http::history::span::{get, time_at};
use crate::http::problem::Problem;
use crate::store::{Numeric, Stamp};

/// The last rate of each pair that counted at time $3 and position $4, and the last of those that
/// count at their own times ($6 up to $7); those at $5 do not count as they came.
const SQL: &str = "
select p.base, p.quote, r.rate, r.ts, r.ts_nanos, r.position, r.is_late
from unnest($1::text[], $2::text[]) p(base, quote)
cross join lateral (
    (select f.rate, f.ts, f.ts_nanos, f.position, false as is_late from fx_rate f
     where f.base = p.base and f.quote = p.quote and f.ts <= $3 and f.effect = 0
     and f.position <= $4 and f.position <> all($5)
     order by f.ts desc, f.ts_nanos desc, f.position desc limit 1)
    union all
    (select f.rate, f.ts, f.ts_nanos, f.position, true from fx_rate f
     where cardinality($6::int8[]) > 0 and f.base = p.base and f.quote = p.quote
     and f.ts <= $3 and f.effect in (0, 1) and f.position <> all($5)
     and f.ts >= coalesce((
         select n.ts from fx_rate n
         where n.base = p.base and n.quote = p.quote and n.effect = 0 and n.ts <= $3
         and n.position <= $4 and n.position <> all($5) order by n.ts desc limit 1), '-infinity')
     and exists (
         select from unnest($6::int8[], $7::int8[]) r(first, next)
         where r.first <= f.position and f.position < r.next)
     order by f.ts desc, f.ts_nanos desc, f.position desc limit 1)
) r";

/// A rate that may be the one, and how new it is.
type Aged = ((Time, u32, i64), Decimal);

impl Inputs<'_> {
    /// Index currency for one of each member's: as the revision has fixed them for the day where
    /// the rule says so, else the last ones. What was not known then is left out.
    pub(in crate::http::history) async fn rates(
        &self,
        fx: &Fx,
        basket: &Basket,
    ) -> Result<HashMap<Currency, Decimal>, Problem> {
        let known = self.last_rates(fx).await?;
        let mut rates = fx.convert(|base, quote| known.get(&(base, quote)).map(|(_, rate)| *rate));
        if fx.rule().rates == FxRates::PriorClose {
            rates.extend(
                basket
                    .rates
                    .iter()
                    .map(|(currency, rate)| (*currency, *rate)),
            );
        }
        Ok(rates)
    }

    async fn last_rates(&self, fx: &Fx) -> Result<HashMap<(Currency, Currency), Aged>, Problem> {
        let until = self.until;
        let mut known: HashMap<(Currency, Currency), Aged> = HashMap::new();
        let pairs = fx.pairs();
        if pairs.is_empty() {
            return Ok(known);
        }
        let mut meet = |pair, one: Aged| {
            let last = known.entry(pair).or_insert(one);
            if last.0 < one.0 {
                *last = one;
            }
        };
        let bases: Vec<&str> = pairs.iter().map(|(base, _)| base.as_str()).collect();
        let quotes: Vec<&str> = pairs.iter().map(|(_, quote)| quote.as_str()).collect();
        let parameters = [
            (&bases as _, Type::TEXT_ARRAY),
            (&quotes as _, Type::TEXT_ARRAY),
            (&Stamp(until.ts) as _, Type::TIMESTAMPTZ),
            (&until.position as _, Type::INT8),
            (&self.edited.gone as _, Type::INT8_ARRAY),
            (&self.edited.late.from as _, Type::INT8_ARRAY),
            (&self.edited.late.until as _, Type::INT8_ARRAY),
        ];
        for row in &self.history.query(SQL, &parameters).await? {
            let pair = (currency_of(get(row, 0)?)?, currency_of(get(row, 1)?)?);
            let Numeric(rate) = get(row, 2)?;
            let position = if get(row, 6)? { i64::MAX } else { get(row, 5)? };
            meet(pair, ((time_at(row, 3)?, 0, position), rate));
        }
        for edited in self.edited.rates.iter().filter(|e| pairs.contains(&e.pair)) {
            let place = edited.place;
            if place.ts <= until.ts && place.position.is_none_or(|at| at <= until.position) {
                let age = (place.ts, place.run, place.position.unwrap_or(i64::MAX));
                meet(edited.pair, (age, edited.rate));
            }
        }
        Ok(known)
    }
}
