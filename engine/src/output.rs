//! What the engine has to say after a batch.

use serde::{Deserialize, Serialize};

use crate::gate::Held;
use crate::life::{Life, Subject};
use crate::{Currency, Decimal, IndexId, Position, SecurityId, Time};

/// One effect of a batch, in the order of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// What became of the tick or rate at a position.
    Tick {
        /// The tick's position.
        position: Position,
        /// What it did.
        effect: Effect,
    },
    /// A new level.
    Level(Level),
    /// An index has a new revision; ask [`crate::Engine::index`] for the composition.
    Revised(Revised),
    /// An action was announced, applied, cancelled or refused.
    Action(ActionNews),
    /// An index changed its status.
    Status {
        /// Which index.
        index: IndexId,
        /// What it is now.
        status: Status,
        /// When it became that.
        ts: Time,
        /// Caused by the input at this position.
        position: Position,
    },
    /// An index or a security went out of service, came back, was deleted or renamed.
    Life(LifeNews),
    /// A price or a rate is held back.
    Held(Doubtful),
    /// The official close of a session.
    Closed(Closed),
    /// The special opening quotation of a session.
    Quotation(Quotation),
    /// An index was restated.
    Restated(Restated),
    /// Corrections were tried and changed nothing.
    RunFailed {
        /// The run that ended.
        run: u32,
        /// Why.
        why: String,
        /// The position of the input that said so.
        position: Position,
    },
    /// Definitions that did not fit the state any more. Cannot happen after a plan; kept so that
    /// a replay of damaged data has an answer.
    Refused {
        /// The position of the input.
        position: Position,
    },
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is the security's price now.
    Applied,
    /// Older than the security's last price: stored and counted, never applied backwards. Also a
    /// tick above a `price_max` that was lowered after the tick had been admitted.
    Late,
    /// Its identity (`src`, `inc`, `seq`) was there before: no effect at all.
    Duplicate,
    /// Stored, and it does not count: held back by the security's gate until an operator looks
    /// ([`crate::Engine::held`]), or trading in the security is suspended.
    Held,
    /// A better source has spoken lately.
    Outranked,
    /// A trade behind the official close of its session.
    AfterClose,
}

/// A level of one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Which index.
    pub index: IndexId,
    /// Its number: contiguous per index, the same on every replay.
    pub seq: u64,
    /// The level with the definition's places.
    pub level: Decimal,
    /// The last level of the day before, once there is one.
    pub prev_close: Option<Decimal>,
    /// The time of the newest input.
    pub ts: Time,
    /// The time of the batch.
    pub ts_calc: Time,
    /// The position of the input, or the last of the batch, that caused it.
    pub position: Position,
    /// The revision of basket and divisor it was computed with.
    pub revision: u32,
    /// What the level is worth.
    pub status: Status,
    /// Constituents whose price is stale by the index's rule.
    pub stale: u32,
}

/// The official close of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The session's day in the index's calendar; the day in its zone where it has none.
    pub day: jiff::civil::Date,
    /// The level that was published as the close.
    pub level: Level,
    /// The divisor in force.
    pub divisor: Option<Decimal>,
    /// The special opening quotation of the session.
    pub soq: Option<Decimal>,
    /// It was confirmed, or its time to be corrected has passed.
    pub is_final: bool,
    /// The composition with the prices of the close.
    pub members: Vec<Member>,
}

impl Closed {
    /// What the close is worth.
    #[must_use]
    pub const fn status(&self) -> Status {
        if self.is_final {
            Status::Final
        } else {
            Status::Closed
        }
    }
}

/// What a run of corrections has changed of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restated {
    /// Which index.
    pub index: IndexId,
    /// The run.
    pub run: u32,
    /// The first and the last time whose level is another one now.
    pub span: Option<(Time, Time)>,
    /// How many levels are restated.
    pub levels: u64,
    /// How many official closes.
    pub closes: u64,
    /// The largest change of a level, without its sign.
    pub largest: Option<Decimal>,
    /// The last level as it was.
    pub before: Option<Decimal>,
    /// The last level as it is.
    pub after: Option<Decimal>,
    /// The position of the input that brought it.
    pub position: Position,
}

/// The special opening quotation: the level of every constituent's official opening price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotation {
    /// Which index.
    pub index: IndexId,
    /// The session's day.
    pub day: jiff::civil::Date,
    /// The level.
    pub level: Decimal,
    /// Constituents that had no opening price: their prior close stands in.
    pub missing: u32,
    /// When it was there.
    pub ts: Time,
    /// Caused by the input at this position.
    pub position: Position,
}

/// What a level is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Status {
    /// A price, a rate or the divisor is missing: there is no level.
    #[default]
    Pending,
    /// Before the open of the session.
    PreOpen,
    /// The session is open, and less weight has traded than the opening rule asks for.
    Indicative,
    /// Every constituent has a price and every currency a rate, and the session is open.
    Live,
    /// Halted by an operator, or by a jump of the level.
    Halted,
    /// As `Live`, with more stale weight than the rule admits.
    Stale,
    /// The session is over and its close not calculated yet.
    Closing,
    /// The official close.
    Closed,
    /// The official close, confirmed.
    Final,
    /// A level of the past that was corrected.
    Restated,
    /// The last one: the index is out of service.
    Inactive,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::PreOpen,
        Self::Indicative,
        Self::Live,
        Self::Halted,
        Self::Stale,
        Self::Closing,
        Self::Closed,
        Self::Final,
        Self::Restated,
        Self::Inactive,
    ];

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::PreOpen => "pre_open",
            Self::Indicative => "indicative",
            Self::Live => "live",
            Self::Halted => "halted",
            Self::Stale => "stale",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Final => "final",
            Self::Restated => "restated",
            Self::Inactive => "inactive",
        }
    }
}

/// A new revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// Which index.
    pub index: IndexId,
    /// The number of the revision, from 1.
    pub revision: u32,
    /// The divisor from here on; none while the index waits for prices.
    pub divisor: Option<Decimal>,
    /// Constant part of the sum, in the index currency (constant-weight indexes).
    pub cash: Decimal,
    /// Why.
    pub cause: Cause,
    /// When it takes effect.
    pub effective: Time,
    /// The position of the input that brought it.
    pub position: Position,
    /// The basket from here on, in the order of the definition; none of a variant.
    pub members: Vec<Member>,
    /// What a variant is fixed at.
    pub follows: Option<Box<Followed>>,
    /// Index currency for one of another, where the rates before the day count for all of it.
    pub rates: Vec<(Currency, Decimal)>,
}

/// How a variant lies over its parent: `V = slope·U + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Whom it follows.
    pub parent: IndexId,
    /// The level that it was fixed at; none before its start.
    pub own: Option<Decimal>,
    /// The parent's level that it was fixed at.
    pub parent_level: Option<Decimal>,
    /// The slope, for people cut to the places of carried levels.
    pub slope: Option<Decimal>,
    /// The offset, cut likewise.
    pub offset: Option<Decimal>,
}

/// A change in the life of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeNews {
    /// Of which one.
    pub subject: Subject,
    /// What it is from here on.
    pub life: Life,
    /// The code it had before, where it was renamed.
    pub former: Option<String>,
    /// The position of the order.
    pub position: Position,
}

/// A price or a rate that does not count until an operator has looked; [`crate::Engine::held`] has
/// it while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubtful {
    /// The position that brought it: its name for `release` and `reject`.
    pub position: Position,
    /// What waits, why, and what it was compared with.
    pub held: Held,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionNews {
    /// Which one; [`crate::Engine::action`] has its terms.
    pub id: String,
    /// Its state from here on.
    pub state: ActionState,
    /// The indexes that it changed, or might have.
    pub indexes: Vec<IndexId>,
    /// The position of the input that brought it.
    pub position: Position,
}

/// The life of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// Its day has not come: it may be changed or cancelled.
    Announced,
    /// A review that takes several days has begun.
    Applying,
    /// It is in the levels.
    Applied,
    /// It will not happen.
    Cancelled,
    /// It could not be applied when its day came, for this reason; nothing was changed.
    Refused(String),
}

impl ActionState {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Cancelled => "cancelled",
            Self::Refused(_) => "refused",
        }
    }
}

/// A constituent as a revision fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Which security.
    pub security: SecurityId,
    /// Its coefficient `q` in `Σ p·q`; none while it waits for prices.
    pub coefficient: Option<Decimal>,
    /// Its price at the moment of the revision.
    pub price: Option<Decimal>,
}

/// Why an index has a new revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The index was defined, or its definition changed.
    Definition,
    /// Every constituent has a price now: the divisor follows from the base value.
    Base,
    /// A revision was loaded: basket, adjustment or both.
    Revision,
    /// Target weights were restored at a period's end.
    Reset,
    /// The rates before a day count from here on.
    Rates,
    /// A variant was fixed anew at the levels before a day.
    Fixing,
    /// Corporate actions or a review.
    Action,
    /// A correction of the past.
    Correction,
}

impl Cause {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Base => "base",
            Self::Revision => "revision",
            Self::Reset => "reset",
            Self::Rates => "rates",
            Self::Fixing => "fixing",
            Self::Action => "action",
            Self::Correction => "correction",
        }
    }
}
