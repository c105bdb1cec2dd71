//! What is calculated.

use serde::{Deserialize, Serialize};

use super::{
    ActionRules, Caps, Constituent, CorrectionRules, Dissemination, FloatRule, FxRule, LatePrices,
    Rounding, ScoreRule, SessionRules, StaleRule, TimeOfDay, Variant, Weighting, Window,
};
use crate::{Currency, Decimal};

/// What is calculated: members, weighting, base and the conventions of its publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDefinition {
    /// The name on topics; unique.
    pub code: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The currency of the level.
    pub currency: Currency,
    /// The index that a variant follows; it needs no basket then, and has its parent's days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How it follows; stated together with `of`, instead of weighting and basket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// How coefficients follow from the basket.
    #[serde(default, skip_serializing_if = "Weighting::is_none")]
    pub weighting: Weighting,
    /// How the scheme `score` makes weights.
    #[serde(default, skip_serializing_if = "ScoreRule::is_default")]
    pub score: ScoreRule,
    /// Limits on the weights: `market_cap`, `fixed_weight` and `score`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caps: Option<Caps>,
    /// When trades count, and how: `volume_median`, which has neither base nor revisions of weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Steps of free-float factors; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<FloatRule>,
    /// Where the level starts.
    #[serde(default, skip_serializing_if = "Base::is_empty")]
    pub base: Base,
    /// Places and modes of everything that is cut.
    #[serde(default)]
    pub rounding: Rounding,
    /// How currencies are converted.
    #[serde(default)]
    pub fx: FxRule,
    /// When levels leave.
    #[serde(default)]
    pub dissemination: Dissemination,
    /// When a day of this index begins: resets and the previous close hang on it.
    #[serde(default)]
    pub day: Day,
    /// The calendar by which the index opens and closes; without one it is always open. It need not
    /// be that of its constituents' exchanges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// How a session of that calendar begins and ends.
    #[serde(default, skip_serializing_if = "SessionRules::is_default")]
    pub session: SessionRules,
    /// From when on a constituent without new prices counts as stale; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleRule>,
    /// A level that moves by more than so many percent against the one before is held back, and the
    /// index is halted until an operator resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_max: Option<Decimal>,
    /// What it makes of corporate actions.
    #[serde(default, skip_serializing_if = "ActionRules::is_default")]
    pub actions: ActionRules,
    /// What it makes of corrections of the past.
    #[serde(default, skip_serializing_if = "CorrectionRules::is_default")]
    pub corrections: CorrectionRules,
    /// The constituents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basket: Vec<Constituent>,
}

impl IndexDefinition {
    /// A definition with the defaults of everything that is not stated here.
    #[must_use]
    pub fn new(
        code: &str,
        currency: Currency,
        weighting: Weighting,
        base: Base,
        basket: Vec<Constituent>,
    ) -> Self {
        Self {
            code: code.to_owned(),
            name: None,
            currency,
            of: None,
            variant: None,
            weighting,
            score: ScoreRule::default(),
            caps: None,
            window: None,
            float: None,
            base,
            rounding: Rounding::default(),
            fx: FxRule::default(),
            dissemination: Dissemination::default(),
            day: Day::default(),
            calendar: None,
            session: SessionRules::default(),
            stale: None,
            jump_max: None,
            actions: ActionRules::default(),
            corrections: CorrectionRules::default(),
            basket,
        }
    }

    /// A definition of a level that follows the index `of`, from its parent's level on.
    #[must_use]
    pub fn following(code: &str, currency: Currency, of: &str, variant: Variant) -> Self {
        let base = Base::default();
        let mut definition = Self::new(code, currency, Weighting::None, base, Vec::new());
        definition.of = Some(of.to_owned());
        definition.variant = Some(variant);
        definition
    }

    /// The codes of the indexes that must be there before this one.
    pub(crate) fn needs(&self) -> impl Iterator<Item = &str> {
        let held = self.basket.iter();
        let held = held.filter_map(|m| m.symbol.strip_prefix(crate::component::PREFIX));
        self.of.as_deref().into_iter().chain(held)
    }

    /// What late prices do to it. Where nothing is stated a return chain of constant weights restates,
    /// as a series by dates does that is computed from its prices again; a variant does as its parent;
    /// every other index keeps what was published.
    #[must_use]
    pub fn late_prices(&self) -> LatePrices {
        let follows = self.weighting == Weighting::ConstantWeight || self.variant.is_some();
        let usual = if follows {
            LatePrices::Restate
        } else {
            LatePrices::Keep
        };
        self.corrections.late_prices.unwrap_or(usual)
    }

    /// What kind of index it is, in one word: the scheme, or what it is of another one.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.variant {
            Some(variant) => variant.as_str(),
            None => self.weighting.as_str(),
        }
    }
}

/// The start of an index: either a base value, from which the divisor follows as soon as every
/// constituent has a price, or a divisor. A variant may state a value, or start at its parent's
/// level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The level on the base date: `D = MV / value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// The divisor itself, for an index that is taken over from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor: Option<Decimal>,
    /// The base date, for people, and for a load that brings prices of several days: those of later
    /// days move the index instead of starting it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

impl Base {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The base date; none where none is stated.
    #[must_use]
    pub fn day(&self) -> Option<jiff::civil::Date> {
        self.date.as_deref()?.get(..10)?.parse().ok()
    }
}

/// The day of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Day {
    /// An IANA time zone such as `America/New_York`; `UTC` by default.
    pub zone: String,
    /// When a day ends by the clock on the wall of that zone, above `00:00`: with `16:00` the day of a
    /// date begins at 16:00 of the date before, as the days of crypto and futures indexes do. At
    /// midnight by default.
    #[serde(skip_serializing_if = "Day::is_midnight")]
    pub ends: TimeOfDay,
}

impl Day {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature is serde's"
    )]
    fn is_midnight(time: &TimeOfDay) -> bool {
        *time == TimeOfDay::MIDNIGHT
    }
}

impl Default for Day {
    fn default() -> Self {
        Self {
            zone: "UTC".to_owned(),
            ends: TimeOfDay::MIDNIGHT,
        }
    }
}
