//! What corrections say of the prices and rates of the past.

use divisor_engine::{
    Currency, Decimal, Engine, IndexId, Inserted, Kind, Position, Right, SecurityId, Time,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::currency_of;
use crate::http::history::History;
use crate::http::history::span::{get, time_at};
use crate::http::problem::Problem;

/// The corrections that count for an index.
#[derive(Debug, Default)]
pub(super) struct Edited {
    /// Positions of prices and rates that do not count as they came.
    pub(super) gone: Vec<i64>,
    /// Late prices and rates that count at their own times: from one position up to another.
    pub(super) late: Ranges,
    pub(super) prices: Vec<EditedPrice>,
    pub(super) rates: Vec<EditedRate>,
    /// What is right at some positions, until it is known whose price or rate is there.
    right: Vec<(i64, u32, Right)>,
}

/// Two columns of equal length.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pub(super) from: Vec<i64>,
    pub(super) until: Vec<i64>,
}

impl Ranges {
    fn contains(&self, position: i64) -> bool {
        let mut ranges = self.from.iter().zip(&self.until);
        ranges.any(|(from, until)| (*from..*until).contains(&position))
    }
}

/// Where an edited input counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) ts: Time,
    pub(super) run: u32,
    /// None for one that counts by its time alone.
    pub(super) position: Option<i64>,
}

/// A price that was corrected, or that was missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct EditedPrice {
    pub(super) security: SecurityId,
    pub(super) is_close: bool,
    pub(super) price: Decimal,
    pub(super) place: Place,
}

/// The same of a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct EditedRate {
    pub(super) pair: (Currency, Currency),
    pub(super) rate: Decimal,
    pub(super) place: Place,
}

const TICKS: &str = "select t.position, t.security_id, t.ts, t.ts_nanos, t.kind, s.price_places \
     from price_tick t join security s on s.id = t.security_id where t.position = any($1)";

const RATES: &str = "select f.position, f.base, f.quote, f.ts, f.ts_nanos from fx_rate f \
     where f.position = any($1)";

impl Edited {
    /// By the corrections up to a run, for an index that is restated.
    pub(super) fn of(engine: &Engine, index: IndexId, through: u32) -> Self {
        let edits = engine.corrections().edits(through);
        let mut edited = Self::default();
        for (position, run, right) in edits.replaced() {
            edited.gone.push(position.cast_signed());
            edited
                .right
                .push((position.cast_signed(), run, right.clone()));
        }
        for (before, run, inserted) in edits.inserted() {
            edited.insert(engine, before, run, inserted);
        }
        if engine.restates_late(index) {
            for (from, until) in edits.late() {
                edited.late.from.push(from.cast_signed());
                edited.late.until.push(until.cast_signed());
            }
        }
        edited
    }

    fn insert(&mut self, engine: &Engine, before: Position, run: u32, inserted: &Inserted) {
        let place = |ts| Place {
            ts,
            run,
            position: Some(before.cast_signed()),
        };
        match inserted {
            Inserted::Tick(tick) => {
                let places = engine.security(tick.security);
                let places = places.map_or(0, |view| view.definition.price_places);
                self.prices.push(EditedPrice {
                    security: tick.security,
                    is_close: tick.kind == Kind::Close,
                    price: Decimal::new(tick.price.into(), places),
                    place: place(tick.origin.ts),
                });
            }
            Inserted::Rate(rate) => self.rates.push(EditedRate {
                pair: (rate.base, rate.quote),
                rate: rate.value(),
                place: place(rate.origin.ts),
            }),
            Inserted::Definitions(_) => {}
        }
    }

    /// Finds out whose the replaced prices and rates are.
    pub(super) async fn placed(mut self, history: &History) -> Result<Self, Problem> {
        if self.right.is_empty() {
            return Ok(self);
        }
        let positions = [(&self.gone as _, Type::INT8_ARRAY)];
        let (ticks, rates) = (
            history.query(TICKS, &positions).await?,
            history.query(RATES, &positions).await?,
        );
        let right = std::mem::take(&mut self.right);
        for row in &ticks {
            let Some((place, Right::Price(price))) = self.place(&right, row, 2)? else {
                continue;
            };
            let places: i16 = get(row, 5)?;
            self.prices.push(EditedPrice {
                security: SecurityId(get::<i32>(row, 1)?.cast_unsigned()),
                is_close: get::<i16>(row, 4)? == i16::from(Kind::Close.code()),
                price: Decimal::new((*price).into(), u8::try_from(places).unwrap_or(0)),
                place,
            });
        }
        for row in &rates {
            let Some((place, Right::Rate { mantissa, places })) = self.place(&right, row, 3)?
            else {
                continue;
            };
            self.rates.push(EditedRate {
                pair: (currency_of(get(row, 1)?)?, currency_of(get(row, 2)?)?),
                rate: Decimal::new((*mantissa).into(), *places),
                place,
            });
        }
        Ok(self)
    }

    /// What is right in place of a row that begins with its position, and has its time at a column.
    fn place<'r>(
        &self,
        all: &'r [(i64, u32, Right)],
        row: &Row,
        time: usize,
    ) -> Result<Option<(Place, &'r Right)>, Problem> {
        let position: i64 = get(row, 0)?;
        let Some((_, run, right)) = all.iter().find(|(at, ..)| *at == position) else {
            return Ok(None);
        };
        let place = Place {
            ts: time_at(row, time)?,
            run: *run,
            position: (!self.late.contains(position)).then_some(position),
        };
        Ok(Some((place, right)))
    }
}
