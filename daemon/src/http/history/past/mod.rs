//! The past of an index as of a time: which levels counted then, and what they were made of.
//!
//! Restated levels and revisions have rows. The prices and rates behind them have none of their own:
//! they are those that came, with what the corrections that are in a level say of them ([`Inputs`]).

mod edited;
mod members;
mod rates;

use std::collections::HashMap;

use divisor_engine::definition::Restate;
use divisor_engine::{Currency, Decimal, IndexId, Time};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::History;
use super::as_of::{AsOf, Of, counts};
use super::span::{decimal, get, time_at};
use crate::http::Http;
use crate::http::problem::Problem;
use crate::store::{Numeric, Stamp};
use edited::Edited;
pub(super) use members::Member;

/// The past of one index.
pub(super) struct Past<'a> {
    http: &'a Http,
    history: &'a History,
    index: IndexId,
    as_of: Stamp,
}

/// A level of the past.
#[derive(Debug, Clone)]
pub(super) struct PastLevel {
    pub(super) ts: Time,
    pub(super) seq: i64,
    pub(super) level: Decimal,
    pub(super) status: String,
    pub(super) position: i64,
    pub(super) run: i32,
}

impl PastLevel {
    /// What counted when it was made.
    pub(super) const fn until(&self) -> Until {
        Until {
            ts: self.ts,
            position: self.position,
            run: self.run,
        }
    }
}

/// Inputs up to a time and a position of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    pub(super) ts: Time,
    pub(super) position: i64,
    /// As this run has made them right; 0: as they were right there.
    pub(super) run: i32,
}

/// The prices and rates that a level is made of.
pub(super) struct Inputs<'a> {
    history: &'a History,
    index: i32,
    until: Until,
    /// The newest run that is in them.
    through: i32,
    edited: Edited,
}

/// A revision.
#[derive(Debug, Clone)]
pub(super) struct Basket {
    /// Which run of corrections has made it; 0 is what was published.
    pub(super) run: i32,
    pub(super) revision: i32,
    /// Where it was made.
    pub(super) position: i64,
    pub(super) effective: Time,
    pub(super) divisor: Option<Decimal>,
    pub(super) cash: Decimal,
    /// The rates that it has fixed for its day.
    rates: HashMap<Currency, Decimal>,
}

/// The columns of a basket `b`.
const BASKET: &str = "b.run, b.revision, b.position, b.effective, b.effective_nanos, b.divisor, \
     coalesce(b.cash, 0), array(select json_object_keys(b.body -> 'rates') order by 1), \
     array(select r.value::numeric from json_each_text(b.body -> 'rates') r order by r.key)";

impl<'a> Past<'a> {
    /// What was right of an index as of a time. Where corrections do not change its levels that is
    /// always what was published.
    pub(super) async fn of(http: &'a Http, index: IndexId, as_of: AsOf) -> Result<Self, Problem> {
        let restates = http.sequence.ask(move |sight| sight.engine.restates(index));
        let AsOf(as_of) = match restates.await? {
            Restate::Full => as_of,
            Restate::Closes | Restate::Never => AsOf::PUBLISHED,
        };
        Ok(Self {
            http,
            history: History::of(http)?,
            index,
            as_of: Stamp(as_of),
        })
    }

    /// The prices and rates up to a time and a position.
    pub(super) async fn inputs(&self, until: Until) -> Result<Inputs<'a>, Problem> {
        let index = self.index;
        let edited = self.http.sequence.ask(move |sight| {
            let through = match u32::try_from(until.run) {
                Ok(0) | Err(_) => {
                    let position = until.position.cast_unsigned();
                    sight.engine.corrections().ended_by(position)
                }
                Ok(run) => run,
            };
            (through, Edited::of(sight.engine, index, through))
        });
        let (through, edited) = edited.await?;
        Ok(Inputs {
            history: self.history,
            index: index.0.cast_signed(),
            until,
            through: through.cast_signed(),
            edited: edited.placed(self.history).await?,
        })
    }

    /// The last level at or before a time, with the revision that it was made with.
    pub(super) async fn level(&self, at: Time) -> Result<Option<(PastLevel, Basket)>, Problem> {
        let order = "order by l.ts desc, l.seq desc, l.run desc";
        self.near("l.ts <= $2", order, at).await
    }

    /// The first level at or after a time, likewise.
    pub(super) async fn level_from(
        &self,
        at: Time,
    ) -> Result<Option<(PastLevel, Basket)>, Problem> {
        self.near("l.ts >= $2", "order by l.ts, l.seq", at).await
    }

    async fn near(
        &self,
        side: &str,
        order: &str,
        at: Time,
    ) -> Result<Option<(PastLevel, Basket)>, Problem> {
        // Numbers of a run and of what was published may meet: the place tells them apart.
        let sql = format!(
            "select l.ts, l.ts_nanos, l.seq, l.level, l.status, l.position, l.run, {BASKET} \
             from index_level l join lateral (select b.* from basket b \
             where b.index_id = l.index_id and b.revision = l.revision \
             and b.position <= l.position and {} order by b.position desc limit 1) b on true \
             where l.index_id = $1 and {side} and {} {order} limit 1",
            counts(Of::Levels, "b", "$3"),
            counts(Of::Levels, "l", "$3"),
        );
        let parameters = [
            (&self.index.0.cast_signed() as _, Type::INT4),
            (&Stamp(at) as _, Type::TIMESTAMPTZ),
            (&self.as_of as _, Type::TIMESTAMPTZ),
        ];
        let rows = self.history.query(&sql, &parameters).await?;
        let read = |row: &Row| {
            let level = PastLevel {
                ts: time_at(row, 0)?,
                seq: get(row, 2)?,
                level: decimal(row, 3)?.unwrap_or(Decimal::ZERO),
                status: get(row, 4)?,
                position: get(row, 5)?,
                run: get(row, 6)?,
            };
            Ok((level, Basket::read(row, 7)?))
        };
        rows.first().map(read).transpose()
    }

    /// The revision of a number. Where a run and what was published have one of it, the later one
    /// is meant; where the run is stated it is that of the run, whether it still counts or not.
    pub(super) async fn basket(
        &self,
        revision: i32,
        run: Option<i32>,
    ) -> Result<Option<Basket>, Problem> {
        let sql = format!(
            "select {BASKET} from basket b where b.index_id = $1 and b.revision = $2 \
             and case when $4::int4 is null then {} else b.run = $4 and (b.run = 0 or exists \
             (select from correction_run r where r.run = b.run)) end \
             order by b.position desc limit 1",
            counts(Of::Levels, "b", "$3"),
        );
        let parameters = [
            (&self.index.0.cast_signed() as _, Type::INT4),
            (&revision as _, Type::INT4),
            (&self.as_of as _, Type::TIMESTAMPTZ),
            (&run as _, Type::INT4),
        ];
        let rows = self.history.query(&sql, &parameters).await?;
        rows.first().map(|row| Basket::read(row, 0)).transpose()
    }

    /// The revisions behind the one at a position and with a number, in their order.
    pub(super) async fn revisions(
        &self,
        behind: (i64, i32),
        limit: usize,
    ) -> Result<Vec<(Basket, Made)>, Problem> {
        let sql = format!(
            "select {BASKET}, coalesce(b.body ->> 'cause', ''), (select count(*) \
             from basket_member m where m.index_id = b.index_id and m.revision = b.revision \
             and m.run = b.run), b.body ->> 'note' from basket b where b.index_id = $1 \
             and (b.position, b.revision) > ($2, $4) and {} \
             order by b.position, b.revision limit {limit}",
            counts(Of::Levels, "b", "$3"),
        );
        let parameters = [
            (&self.index.0.cast_signed() as _, Type::INT4),
            (&behind.0 as _, Type::INT8),
            (&self.as_of as _, Type::TIMESTAMPTZ),
            (&behind.1 as _, Type::INT4),
        ];
        let rows = self.history.query(&sql, &parameters).await?;
        let read = |row: &Row| {
            let made = Made {
                cause: get(row, 9)?,
                members: get(row, 10)?,
                note: get(row, 11)?,
            };
            Ok((Basket::read(row, 0)?, made))
        };
        rows.iter().map(read).collect()
    }
}

/// How a revision came to be.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) cause: String,
    pub(super) members: i64,
    pub(super) note: Option<String>,
}

impl Basket {
    /// From the columns of `BASKET`, the first of which is this one.
    fn read(row: &Row, at: usize) -> Result<Self, Problem> {
        let (currencies, rates): (Vec<&str>, Vec<Numeric>) = (get(row, at + 7)?, get(row, at + 8)?);
        let rate = |(currency, Numeric(rate)): (&str, Numeric)| Ok((currency_of(currency)?, rate));
        let rates: Result<_, Problem> = currencies.into_iter().zip(rates).map(rate).collect();
        Ok(Self {
            run: get(row, at)?,
            revision: get(row, at + 1)?,
            position: get(row, at + 2)?,
            effective: time_at(row, at + 3)?,
            divisor: decimal(row, at + 5)?,
            cash: decimal(row, at + 6)?.unwrap_or(Decimal::ZERO),
            rates: rates?,
        })
    }
}

fn currency_of(text: &str) -> Result<Currency, Problem> {
    Currency::parse(text).map_err(|error| Problem::internal(&error))
}
