//! Definitions: what a user states about securities and indexes. A rule book as data.
//!
//! These types are the public fixture format; `serde` reads them strictly (unknown fields are
//! errors). [`crate::Engine::plan`] checks them against each other and against what is there.

pub mod action;
mod basket;
mod calendar;
mod caps;
mod corrections;
mod dissemination;
mod gate;
mod index;
mod revision;
mod rounding;
mod rules;
mod security;
mod session;
mod variant;
mod weighting;
mod window;

use serde::{Deserialize, Serialize};

pub use action::{ActionDefinition, Event};
pub use basket::Constituent;
pub use calendar::{Break, CalendarDefinition, SpecialDay, TimeOfDay, Week, Weekday};
pub use caps::{Caps, Concentration, FloatRule, LeastVariance, ScoreRule, Trigger};
pub use corrections::{CorrectionRules, LatePrices, Restate};
pub use dissemination::Dissemination;
pub use gate::{CrossCheck, Gate, PairDefinition, SourceRule};
pub use index::{Base, Day, IndexDefinition};
pub use revision::{Adjustment, IndexRevision, RevisionDefinition, Split};
pub use rounding::{Cut, FxRates, FxRule, Rounding};
pub use rules::{
    ActionRules, Adjust, Child, ChildPrice, Dilutive, Leaves, MergerPrice, MergerRule, Proceeds,
    Reinvest, RemovalRule, RightsRule, ShareRule, SpecialDividends, SpinOffRule, Take,
};
pub use security::SecurityDefinition;
pub use session::{CloseAt, CloseRule, SessionRules, StaleRule};
pub use variant::{
    Converted, DayCount, Decrement, DividendPoints, ExcessMethod, ExcessReturn, Forward, Hedged,
    Interest, Leveraged, RateQuote, Reinvestment, TotalReturn, Valuation, Variant, Volatility,
    VolatilityControl, Withholding, WithholdingRule,
};
pub use weighting::{Reset, Weighting};
pub use window::Window;

/// A set of definitions that is applied whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Definitions {
    /// New or changed calendars; applied first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<CalendarDefinition>,
    /// New or changed rules for currency pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairDefinition>,
    /// New or changed securities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub securities: Vec<SecurityDefinition>,
    /// New or changed indexes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexDefinition>,
    /// Changes of baskets and reference prices, applied in their order after the above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<RevisionDefinition>,
    /// Corporate actions and reviews that are announced, or announced anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionDefinition>,
    /// Ids of announced actions that will not happen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<String>,
}
