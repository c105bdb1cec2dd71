//! From a row of a query to the value that it was written from; the columns are those of the queries
//! in `history`.

use divisor_engine::{Decimal, Kind, Time};
use postgres::Row;

use super::encode::{Numeric, Stamp};
use super::rows::{
    self, ActionRow, BatchRow, CloseRow, CommandRow, HeldRow, IndexRow, LabelRow, LevelRow,
    MemberRow, RateRow, RevisionRow, SecurityRow, TickRow,
};

/// A member and the revision that it is in.
pub(super) struct PlacedMember {
    pub(super) position: u64,
    pub(super) index: u32,
    pub(super) revision: u32,
    pub(super) member: MemberRow,
}

pub(super) fn unsigned(row: &Row, column: usize) -> u32 {
    row.get::<_, i32>(column).cast_unsigned()
}

pub(super) fn position(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).cast_unsigned()
}

pub(super) fn number(row: &Row, column: usize) -> Option<u64> {
    row.get::<_, Option<i64>>(column).map(i64::cast_unsigned)
}

/// The time in a `timestamptz` and the column behind it.
pub(super) fn time(row: &Row, column: usize) -> Result<Time, postgres::Error> {
    let Stamp(time) = row.try_get(column)?;
    if time == Time::MIN {
        // Its microsecond begins before it, which is why the rest is not added.
        return Ok(time);
    }
    Ok(time.saturating_add(row.get::<_, i16>(column + 1).into()))
}

pub(super) fn decimal(row: &Row, column: usize) -> Result<Decimal, postgres::Error> {
    Ok(row.try_get::<_, Numeric>(column)?.0)
}

pub(super) fn optional(row: &Row, column: usize) -> Result<Option<Decimal>, postgres::Error> {
    Ok(row.try_get::<_, Option<Numeric>>(column)?.map(|n| n.0))
}

pub(super) fn batch_row(row: &Row) -> Result<BatchRow, postgres::Error> {
    Ok(BatchRow {
        position: position(row, 0),
        time: time(row, 1)?,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "one of several readers of rows")]
pub(super) fn label_row(row: &Row) -> Result<LabelRow, postgres::Error> {
    Ok(LabelRow {
        id: unsigned(row, 0),
        position: position(row, 1),
        text: row.get(2),
    })
}

pub(super) fn command_row(row: &Row) -> Result<CommandRow, postgres::Error> {
    Ok(CommandRow {
        position: position(row, 0),
        received: time(row, 1)?,
        client: row.get(3),
        user: row.get(4),
        verb: row.get(5),
        body: row.get(6),
    })
}

pub(super) fn origin_row(row: &Row) -> Result<rows::Origin, postgres::Error> {
    Ok(rows::Origin {
        position: position(row, 0),
        ts: time(row, 1)?,
        received: time(row, 3)?,
        src: unsigned(row, 5),
        inc: number(row, 6),
        seq: number(row, 7),
        effect: match row.get::<_, i16>(8) {
            0 => rows::Effect::Applied,
            1 => rows::Effect::Late,
            2 => rows::Effect::Duplicate,
            3 => rows::Effect::Held,
            5 => rows::Effect::Outranked,
            6 => rows::Effect::AfterClose,
            _ => rows::Effect::Refused,
        },
    })
}

pub(super) fn tick_row(row: &Row) -> Result<TickRow, postgres::Error> {
    Ok(TickRow {
        origin: origin_row(row)?,
        security: unsigned(row, 9),
        price: decimal(row, 10)?,
        size: optional(row, 11)?,
        venue: row.get::<_, Option<i32>>(12).map(i32::cast_unsigned),
        kind: u8::try_from(row.get::<_, i16>(13))
            .ok()
            .and_then(Kind::of_code)
            .unwrap_or_default(),
    })
}

pub(super) fn rate_row(row: &Row) -> Result<RateRow, postgres::Error> {
    Ok(RateRow {
        origin: origin_row(row)?,
        base: row.get::<_, &str>(9).into(),
        quote: row.get::<_, &str>(10).into(),
        rate: decimal(row, 11)?,
    })
}

pub(super) fn level_row(row: &Row) -> Result<LevelRow, postgres::Error> {
    Ok(LevelRow {
        position: position(row, 0),
        index: unsigned(row, 1),
        seq: position(row, 2),
        level: decimal(row, 3)?,
        prev_close: optional(row, 4)?,
        ts: time(row, 5)?,
        ts_calc: time(row, 7)?,
        revision: unsigned(row, 9),
        run: unsigned(row, 10),
        stale: unsigned(row, 11),
        status: row.get::<_, String>(12).into(),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "one of several readers of rows")]
pub(super) fn action_row(row: &Row) -> Result<ActionRow, postgres::Error> {
    let id = |column| row.get::<_, Option<i32>>(column).map(i32::cast_unsigned);
    let date: Option<&str> = row.get(5);
    Ok(ActionRow {
        position: position(row, 0),
        place: row.get::<_, i16>(1).cast_unsigned(),
        index: id(2),
        security: id(3),
        kind: row.get(4),
        ex_date: date.and_then(|date| date.parse().ok()),
        body: row.get(6),
    })
}

pub(super) fn revision_row(row: &Row) -> Result<RevisionRow, postgres::Error> {
    Ok(RevisionRow {
        index: unsigned(row, 0),
        revision: unsigned(row, 1),
        run: unsigned(row, 2),
        position: position(row, 3),
        effective: time(row, 4)?,
        divisor: optional(row, 6)?,
        cash: optional(row, 7)?,
        body: row.get(8),
        members: Vec::new(),
    })
}

pub(super) fn member_row(row: &Row) -> Result<PlacedMember, postgres::Error> {
    Ok(PlacedMember {
        position: position(row, 0),
        index: unsigned(row, 1),
        revision: unsigned(row, 2),
        member: MemberRow {
            security: unsigned(row, 3),
            coefficient: decimal(row, 4)?,
            price: optional(row, 5)?,
            weight: optional(row, 6)?,
        },
    })
}

pub(super) fn security_row(row: &Row) -> SecurityRow {
    SecurityRow {
        id: unsigned(row, 0),
        symbol: row.get(1),
        name: row.get(2),
        currency: row.get(3),
        price_places: u8::try_from(row.get::<_, i16>(4)).unwrap_or(u8::MAX),
        position: position(row, 5),
        body: row.get(6),
        life: row.get::<_, String>(7).into(),
    }
}

pub(super) fn index_row(row: &Row) -> IndexRow {
    IndexRow {
        id: unsigned(row, 0),
        code: row.get(1),
        name: row.get(2),
        currency: row.get(3),
        position: position(row, 4),
        body: row.get(5),
        life: row.get::<_, String>(6).into(),
    }
}

pub(super) fn held_row(row: &Row) -> Result<HeldRow, postgres::Error> {
    Ok(HeldRow {
        position: position(row, 0),
        doubt: row.get::<_, String>(1).into(),
        reference: decimal(row, 2)?,
    })
}

pub(super) fn close_row(row: &Row) -> Result<CloseRow, postgres::Error> {
    Ok(CloseRow {
        position: position(row, 0),
        index: unsigned(row, 1),
        // PostgreSQL prints the dates that were written here as they were written.
        day: row.get::<_, &str>(2).parse().unwrap_or_default(),
        run: unsigned(row, 3),
        revision: unsigned(row, 4),
        ts: time(row, 5)?,
        level: decimal(row, 7)?,
        status: row.get::<_, String>(8).into(),
        seq: position(row, 9),
        prev_close: optional(row, 10)?,
        divisor: optional(row, 11)?,
        soq: optional(row, 12)?,
        body: row.get(13),
    })
}
