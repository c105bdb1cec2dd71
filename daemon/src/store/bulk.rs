//! The rows that come by the thousand, as COPY takes them.

use divisor_engine::Time;

use super::encode::CopyBuffer;
use super::rows::{BatchRow, LevelRow, Origin, RateRow, TickRow};

/// A row that is written by COPY.
pub(crate) trait BulkRow {
    /// The table.
    const TABLE: &'static str;
    /// Its columns in the order of [`Self::encode`].
    const COLUMNS: &'static [&'static str];

    /// What decides the partition, where the table has any.
    fn ts(&self) -> Time;

    /// Appends the row, without its count of columns.
    fn encode(&self, out: &mut CopyBuffer);
}

/// The columns that [`Origin::encode`] writes.
macro_rules! origin_columns {
    ($($own:literal),+) => {
        &["ts", "received", "position", "inc", "seq", "src", "ts_nanos", "received_nanos",
          "effect", $($own),+]
    };
}

impl Origin {
    fn encode(&self, out: &mut CopyBuffer) {
        out.time(self.ts);
        out.time(self.received);
        out.u64(self.position);
        out.option(self.inc, CopyBuffer::u64);
        out.option(self.seq, CopyBuffer::u64);
        out.u32(self.src);
        out.nanos(self.ts);
        out.nanos(self.received);
        out.i16(self.effect as i16);
    }
}

impl BulkRow for BatchRow {
    const TABLE: &'static str = "batch";
    const COLUMNS: &'static [&'static str] = &["position", "time", "time_nanos"];

    fn ts(&self) -> Time {
        self.time
    }

    fn encode(&self, out: &mut CopyBuffer) {
        out.u64(self.position);
        out.time(self.time);
        out.nanos(self.time);
    }
}

impl BulkRow for TickRow {
    const TABLE: &'static str = "price_tick";
    const COLUMNS: &'static [&'static str] =
        origin_columns!("security_id", "price", "size", "venue", "kind");

    fn ts(&self) -> Time {
        self.origin.ts
    }

    fn encode(&self, out: &mut CopyBuffer) {
        self.origin.encode(out);
        out.u32(self.security);
        out.numeric(self.price);
        out.option(self.size, CopyBuffer::numeric);
        out.option(self.venue, CopyBuffer::u32);
        out.i16(self.kind.code().into());
    }
}

impl BulkRow for RateRow {
    const TABLE: &'static str = "fx_rate";
    const COLUMNS: &'static [&'static str] = origin_columns!("base", "quote", "rate");

    fn ts(&self) -> Time {
        self.origin.ts
    }

    fn encode(&self, out: &mut CopyBuffer) {
        self.origin.encode(out);
        out.text(&self.base);
        out.text(&self.quote);
        out.numeric(self.rate);
    }
}

impl BulkRow for LevelRow {
    const TABLE: &'static str = "index_level";
    const COLUMNS: &'static [&'static str] = &[
        "ts",
        "ts_calc",
        "position",
        "seq",
        "index_id",
        "revision",
        "run",
        "stale",
        "ts_nanos",
        "ts_calc_nanos",
        "status",
        "level",
        "prev_close",
    ];

    fn ts(&self) -> Time {
        self.ts
    }

    fn encode(&self, out: &mut CopyBuffer) {
        out.time(self.ts);
        out.time(self.ts_calc);
        out.u64(self.position);
        out.u64(self.seq);
        out.u32(self.index);
        out.u32(self.revision);
        out.u32(self.run);
        out.u32(self.stale);
        out.nanos(self.ts);
        out.nanos(self.ts_calc);
        out.text(&self.status);
        out.numeric(self.level);
        out.option(self.prev_close, CopyBuffer::numeric);
    }
}
