//! What currencies were worth at a time, by the rule of an index.

use std::collections::{BTreeSet, HashMap};

use divisor_engine::definition::{FxRates, FxRule, IndexDefinition};
use divisor_engine::{Currency, Decimal, convert};
use tokio_postgres::types::Type;

use super::History;
use super::span::get;
use crate::http::problem::Problem;
use crate::store::{Numeric, Stamp};

/// The last rate of each pair that counted, at a time and in front of a position of the journal.
const SQL: &str = "
select p.base, p.quote, r.rate from unnest($1::text[], $2::text[]) p(base, quote)
cross join lateral (
    select f.rate from fx_rate f
    where f.base = p.base and f.quote = p.quote and f.ts <= $3 and f.effect = 0
    and f.position <= $4 order by f.ts desc, f.position desc limit 1
) r";

/// The rates that a revision has fixed for its day.
const OF_REVISION: &str = "
select r.key, r.value::numeric from basket b, json_each_text(b.body -> 'rates') r
where b.index_id = $1 and b.revision = $2";

/// The currencies of an index: its own, those of its members, and how it reads them.
#[derive(Debug, Clone)]
pub(in crate::http) struct Fx {
    own: Currency,
    rule: FxRule,
    members: BTreeSet<Currency>,
}

impl Fx {
    /// Those of an index whose members have these currencies.
    pub(in crate::http) fn of(
        definition: &IndexDefinition,
        members: impl Iterator<Item = Currency>,
    ) -> Self {
        Self {
            own: definition.currency,
            rule: definition.fx,
            members: members.collect(),
        }
    }

    /// The pairs that a rate may be made of.
    fn pairs(&self) -> BTreeSet<(Currency, Currency)> {
        let foreign = self
            .members
            .iter()
            .filter(|currency| **currency != self.own);
        let of = |currency: &Currency| {
            let direct = [Some((*currency, self.own)), None, None];
            self.rule.pivot.map_or(direct, |pivot| {
                [direct[0], Some((pivot, *currency)), Some((pivot, self.own))]
            })
        };
        foreign.flat_map(of).flatten().collect()
    }

    /// Index currency for one of each member's: as the revision of the index (its key and number)
    /// has fixed them for the day where its rule says so, else the last ones at a time and in front
    /// of a position. What was not known then is left out.
    pub(super) async fn rates(
        &self,
        history: &History,
        revision: (i32, i32),
        at: Stamp,
        position: i64,
    ) -> Result<HashMap<Currency, Decimal>, Problem> {
        let mut rates = self.last(history, at, position).await?;
        if self.rule.rates == FxRates::PriorClose {
            rates.extend(fixed(history, revision).await?);
        }
        Ok(rates)
    }

    async fn last(
        &self,
        history: &History,
        at: Stamp,
        position: i64,
    ) -> Result<HashMap<Currency, Decimal>, Problem> {
        let mut known = HashMap::new();
        let pairs = self.pairs();
        if !pairs.is_empty() {
            let bases: Vec<&str> = pairs.iter().map(|(base, _)| base.as_str()).collect();
            let quotes: Vec<&str> = pairs.iter().map(|(_, quote)| quote.as_str()).collect();
            let rows = history
                .query(
                    SQL,
                    &[
                        (&bases, Type::TEXT_ARRAY),
                        (&quotes, Type::TEXT_ARRAY),
                        (&at, Type::TIMESTAMPTZ),
                        (&position, Type::INT8),
                    ],
                )
                .await?;
            for row in &rows {
                let (base, quote): (String, String) = (get(row, 0)?, get(row, 1)?);
                let Numeric(rate) = get(row, 2)?;
                known.insert((base, quote), rate);
            }
        }
        let rate = |base: Currency, quote: Currency| {
            known.get(&(base.to_string(), quote.to_string())).copied()
        };
        let convert = |from: &Currency| {
            let rate = convert(*from, self.own, self.rule, rate)?;
            Some((*from, rate))
        };
        Ok(self.members.iter().filter_map(convert).collect())
    }
}

async fn fixed(
    history: &History,
    (index, revision): (i32, i32),
) -> Result<HashMap<Currency, Decimal>, Problem> {
    let of = [(&index as _, Type::INT4), (&revision as _, Type::INT4)];
    let rows = history.query(OF_REVISION, &of).await?;
    let mut rates = HashMap::with_capacity(rows.len());
    for row in &rows {
        let Numeric(rate) = get(row, 1)?;
        let currency = Currency::parse(get(row, 0)?).map_err(|error| Problem::internal(&error))?;
        rates.insert(currency, rate);
    }
    Ok(rates)
}
