//! Index arithmetic as a pure state machine: no socket, clock, file, thread or async, and no
//! float in the linear kernel.
//!
//! Five calls: [`Engine::admit_price`] turns a price into an input, [`Engine::plan`] tries
//! definitions, [`Engine::apply`] takes a batch, [`Engine::poll_output`] gives its effects, and
//! [`Engine::poll_timeout`] says when a batch is due without inputs.
//!
//! The parts, in the order in which data meets them:
//!
//! - [`definition`]: what users state, as data
//! - [`mod@input`]: what changes the state; the journal holds exactly these
//! - `admit`: the gate before the sequence
//! - `engine`: the state machine
//! - `calendar`, `session`: when an index opens and closes, and what is stale
//! - `rules`: calendars and rules of pairs, and the check of rules
//! - `gate`, `order`: which prices count, and what operators order
//! - `define`, `revise`, `basket`: definitions, and how an index comes to a new revision
//! - `action`: corporate actions and reviews, and the opening of a day that has some
//! - `correct`: the past as it should have been, and the way of the present state to it
//! - `kernel`, `index`, `combine`: the running sums, and the level that follows from them
//! - `weights`: what the schemes want a member to weigh
//! - `component`: indexes as members of others
//! - `reference`: a level from the trades of a window
//! - `follow`: levels that follow another index
//! - `float`: where roots and powers are needed
//! - `output`, `view`, `explain`: what the engine says, and what may be looked at
//! - `snapshot`: the whole state as data, to start from
//! - `decimal`, `exact`, `time`, `period`, `fx`, `source`: numbers, days, rates, identities
#![deny(clippy::float_arithmetic)]

mod action;
mod admit;
mod basket;
mod calendar;
mod combine;
mod component;
mod correct;
mod decimal;
mod define;
pub mod definition;
mod engine;
mod exact;
mod explain;
mod float;
mod follow;
mod fx;
mod gate;
mod ids;
mod index;
pub mod input;
mod kernel;
mod life;
mod order;
mod output;
mod period;
mod problem;
mod reference;
mod revise;
mod rules;
mod security;
mod session;
mod snapshot;
mod source;
mod time;
mod view;
mod weights;

pub use action::{
    ActionView, ExDividend, IndexPreview, MemberPreview, Preview, Proforma, ProformaMember,
};
pub use admit::Refused;
pub use calendar::Session;
pub use component::PREFIX as COMPONENT_PREFIX;
pub use correct::{
    Correction, CorrectionState, Corrections, Edit, Edits, Found, Inserted, Late, Outcome, Patch,
    Right, Stated, Unpatched, Walk,
};
pub use decimal::{Decimal, DecimalError, PLACES_MAX, RoundingMode, div_round, pow10};
pub use define::{Change, Plan, PlanItem};
pub use engine::{Engine, LABELS_MAX};
pub use explain::{Explained, Explanation, Part, explain};
pub use fx::convert;
pub use gate::{Doubt, Held, HeldInput};
pub use ids::{Currency, CurrencyError, IndexId, LabelId, Position, SecurityId};
pub use input::{Batch, Input, Kind, Origin, Rate, Tick};
pub use life::{Life, Named, Subject};
pub use order::{Order, OrderError};
pub use output::{
    ActionNews, ActionState, Cause, Closed, Doubtful, Effect, Followed, Level, LifeNews, Member,
    Output, Quotation, Restated, Revised, Status,
};
pub use problem::{DefinitionError, Problem};
pub use snapshot::{Snapshot, SnapshotError};
pub use time::Time;
pub use view::{Converted, IndexView, RateView, SecurityView, contribution, shares};
