//! Variants: levels of their own that follow another index.

use serde::{Deserialize, Serialize};

use super::Reset;
use crate::{Currency, Decimal};

/// How a level follows that of its parent, the index named by
/// [`of`](super::IndexDefinition::of).
///
/// A variant's day is its parent's. With the first input of a day it is fixed at its own and the
/// parent's last level before (METHODOLOGY §1.4, §1.5: the values at t-1), both carried with the
/// places of [`Rounding::carried`](super::Rounding::carried); from there it moves with every move
/// of the parent, by the formula of its kind. It starts at its parent's level, or at the
/// [base value](super::Base::value) if it states one.
///
/// Below, `U` is the parent's level, `V` the variant's, `0` marks the values before the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Variant {
    /// Ordinary dividends of the parent's members are reinvested in the whole index.
    TotalReturn(TotalReturn),
    /// The running sum of dividends in points of the parent.
    DividendPoints(DividendPoints),
    /// The return above an interest rate.
    ExcessReturn(ExcessReturn),
    /// The parent less a yearly deduction.
    Decrement(Decrement),
    /// The parent in the currency of the variant.
    Converted(Converted),
    /// The parent with its foreign currencies sold forward.
    Hedged(Hedged),
    /// A multiple of the parent's daily return, negative for an inverse index.
    Leveraged(Leveraged),
    /// The parent at an exposure that keeps a target volatility.
    VolatilityControl(VolatilityControl),
}

impl Variant {
    /// The kind's name, as definitions state it; a total return is told apart by its tax.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TotalReturn(rule) if rule.net.is_some() => "net_total_return",
            Self::TotalReturn(_) => "gross_total_return",
            Self::DividendPoints(_) => "dividend_points",
            Self::ExcessReturn(_) => "excess_return",
            Self::Decrement(_) => "decrement",
            Self::Converted(_) => "converted",
            Self::Hedged(_) => "hedged",
            Self::Leveraged(_) => "leveraged",
            Self::VolatilityControl(_) => "volatility_control",
        }
    }
}

/// Gross without `net`, else net of withholding tax.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TotalReturn {
    /// The tax that is withheld; gross when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Withholding>,
    /// At which level dividends buy the index.
    pub reinvestment: Reinvestment,
}

/// Two conventions that differ in the second order (METHODOLOGY §1.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reinvestment {
    /// At the level of the ex-date: `V = V0·(U + XD) / U0`.
    #[default]
    Close,
    /// At the level before it, as a divisor of its own would: `V = V0·U / (U0 - XD)`.
    PriorClose,
}

/// Withholding tax as fractions of the gross dividend. What the dividend itself states comes
/// first, then the first rule that fits, then `rate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Withholding {
    /// Where no rule fits.
    pub rate: Decimal,
    /// Exceptions by country, kind and payer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<WithholdingRule>,
}

/// One exception; what it leaves out fits every dividend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithholdingRule {
    /// The payer's country, as the dividend states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `ordinary` or `special`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What kind of company pays, as the dividend states it: `reit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The fraction withheld.
    pub rate: Decimal,
}

/// `V` is the sum of the index dividends `XD` since the last reset, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DividendPoints {
    /// The tax that is withheld; gross when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<Withholding>,
    /// When the sum starts again from 0, with the first day of a period; never by default.
    pub reset: Reset,
}

/// The parent's return above a cash return `c`, the rate times its day count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcessReturn {
    /// The cash rate.
    pub rate: Interest,
    /// How it is taken off.
    #[serde(default)]
    pub method: ExcessMethod,
}

/// How a cash return is taken off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExcessMethod {
    /// `V = V0·(U / U0) / (1 + c)`.
    #[default]
    Geometric,
    /// `V = V0·(U / U0 - c)`.
    Additive,
}

/// An interest rate: exactly one of `annual`, `daily` and `security`.
///
/// Rates that change come as prices of a security. Since a price is above 0 and a rate need not
/// be, a security can also be quoted as 100 less the rate, as money-market futures are. The last
/// price before the day counts for the day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Interest {
    /// A fixed rate per year, as a fraction: `0.05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annual: Option<Decimal>,
    /// A fixed rate for each day of the index, as a fraction, whatever the day count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<Decimal>,
    /// The security whose price is the rate per year.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// How that security is quoted.
    pub quote: RateQuote,
    /// How much of a year passes between two days of the index.
    pub day_count: DayCount,
}

/// How a price tells an interest rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateQuote {
    /// In percent: 5 is five percent.
    #[default]
    Percent,
    /// As 100 less the rate in percent: 95 is five percent, 100.5 minus half a percent.
    HundredLess,
}

/// How much of a year passes between two days of the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayCount {
    /// Calendar days / 360.
    #[default]
    #[serde(rename = "act_360")]
    Act360,
    /// Calendar days / 365.
    #[serde(rename = "act_365")]
    Act365,
    /// Calendar days / days of the calendar year in which each of them lies.
    ActAct,
    /// Months of 30 days / 360 (30E/360).
    #[serde(rename = "30_360")]
    Thirty360,
    /// 1 / 360 for each day of the index, weekends not counted.
    #[serde(rename = "day_360")]
    Day360,
    /// 1 / 365 for each day of the index.
    #[serde(rename = "day_365")]
    Day365,
    /// 1 / 252 for each day of the index.
    #[serde(rename = "day_252")]
    Day252,
}

/// `V = max(floor, V0·(U/U0 - rate·dcf))`, or `V = max(floor, V0·U/U0 - points·dcf)`: exactly one
/// of `rate` and `points`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decrement {
    /// The yearly deduction as a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Decimal>,
    /// The yearly deduction in points of the variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Decimal>,
    /// How much of a year passes between two days of the index.
    pub day_count: DayCount,
    /// The level does not fall below this; 0 by default.
    pub floor: Decimal,
}

/// `V = V0·(U/U0)·(FX/FX0)`, with the live rate of [`fx`](super::IndexDefinition::fx) from the
/// parent's currency to the variant's. Fixed once, at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Converted {
    /// True to start at the parent's level times the rate instead of at the parent's level, so
    /// that `V = U·FX` for ever. Not together with a base value.
    pub direct: bool,
}

/// `V = V0·(U/U0 + ratio·Σ w·(F0 - S)/S0)` since the last reset (METHODOLOGY §1.4).
///
/// That is the parent's return, and what a forward earns above the rate that came; the sources have
/// the rates the other way about, foreign for one of the index.
///
/// `S` is the live rate from a foreign currency to the variant's, `F` its forward, `w` the
/// currency's weight in the parent at the reset, `0` the close before the reset. The parent must
/// be in the variant's currency: convert it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hedged {
    /// The hedged share of each currency, 1 by default.
    #[serde(default = "Hedged::ratio")]
    pub ratio: Decimal,
    /// When weights and forwards are set anew.
    #[serde(default = "Hedged::reset")]
    pub reset: Reset,
    /// What the forwards are worth between resets.
    #[serde(default)]
    pub valuation: Valuation,
    /// The forward of each hedged currency; others stay open.
    pub forwards: Vec<Forward>,
}

impl Hedged {
    const fn ratio() -> Decimal {
        Decimal::ONE
    }

    const fn reset() -> Reset {
        Reset::Monthly
    }
}

/// What a forward is worth before it is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Valuation {
    /// In place of `S` the forward for the days that are left: `1/W = 1/S + (D-d)/D·(1/F - 1/S)`,
    /// where `D` is the length of a month from the reset and `d` the days since it.
    #[default]
    Interpolated,
    /// The live rate, as if it were due now.
    Spot,
}

/// Where a forward rate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// The foreign currency.
    pub currency: Currency,
    /// A security whose price is the outright one-month forward: units of the variant's currency
    /// for one of the foreign.
    pub security: String,
}

/// `V = max(0, V0·(1 + k·(U/U0-1) - (k-1)·rate·dcf - borrow·dcf - cost))`. With `k = -1` the
/// financing is earned twice, as METHODOLOGY §1.5 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leveraged {
    /// The multiple `k`: 2, or -1 for an inverse index.
    pub factor: Decimal,
    /// What borrowed money costs; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Interest>,
    /// What borrowed securities cost; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borrow: Option<Interest>,
    /// A flat cost for each day of the index, as a fraction.
    #[serde(default)]
    pub cost: Decimal,
    /// The parent's move since the last fixing, as a fraction, at which the variant is fixed anew
    /// within the day, if it goes against the variant: `0.5`. Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Decimal>,
}

/// `V = V0·(1 + K·(U/U0-1) + (1-K)·c)` since the last reset, with `K = min(exposure_max, target/σ)`.
///
/// `σ` comes from the parent's daily closes, or as prices of a security, up to `lag` days before
/// the day. It is computed in floating point with one portable library; `K` is cut to the places of
/// [`Rounding::coefficient`](super::Rounding::coefficient). `c` is the sum of the days' interest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolatilityControl {
    /// The yearly volatility that is kept, as a fraction.
    pub target: Decimal,
    /// The largest exposure.
    pub exposure_max: Decimal,
    /// The exposure until there is a volatility, 1 by default.
    #[serde(default = "VolatilityControl::exposure_first")]
    pub exposure_first: Decimal,
    /// How the volatility is measured.
    pub volatility: Volatility,
    /// How many closes back the newest close lies that counts: 1 is the last one before the day.
    #[serde(default = "VolatilityControl::lag")]
    pub lag: u16,
    /// When the exposure is set anew; every day by default.
    #[serde(default = "VolatilityControl::reset")]
    pub reset: Reset,
    /// Days of a year.
    #[serde(default = "VolatilityControl::year")]
    pub year: u16,
    /// What the rest earns, or what is borrowed costs; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash: Option<Interest>,
}

impl VolatilityControl {
    const fn exposure_first() -> Decimal {
        Decimal::ONE
    }

    const fn lag() -> u16 {
        2
    }

    const fn reset() -> Reset {
        Reset::Daily
    }

    const fn year() -> u16 {
        252
    }
}

/// A measure of volatility: exactly one of `days`, `decay` and `security`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Volatility {
    /// The standard deviation of this many daily returns; of several windows, `[20, 60]`, the
    /// largest counts, once the longest is full.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "one_or_more")]
    pub days: Vec<u16>,
    /// Exponentially weighted squares of daily returns: `v = λ·v + (1-λ)·r²` for each `λ`, of
    /// which the largest counts: `["0.94", "0.97"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decay: Vec<Decimal>,
    /// The security whose price is the volatility per year in percent: that of an options market,
    /// or one that somebody else has measured. Its last price before a day counts as of that close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// Logarithmic returns instead of simple ones.
    pub log: bool,
    /// For `days`: squares around 0 divided by n, instead of around the mean divided by n-1.
    pub zero_mean: bool,
}

impl Volatility {
    /// Whether what has been gathered for another measure serves this one: closes of the same
    /// thing, and variances of the same returns.
    pub(crate) fn gathers_as(&self, other: &Self) -> (bool, bool) {
        let closes = self.security == other.security;
        let variances = self.decay == other.decay && self.log == other.log;
        (closes, closes && variances)
    }
}

/// One number, or several in a list.
mod one_or_more {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number of days, or a list of them")]
    enum Numbers {
        One(u16),
        More(Vec<u16>),
    }

    pub(super) fn serialize<S: Serializer>(days: &[u16], serializer: S) -> Result<S::Ok, S::Error> {
        match days {
            [one] => one.serialize(serializer),
            more => more.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u16>, D::Error> {
        Ok(match Numbers::deserialize(deserializer)? {
            Numbers::One(one) => vec![one],
            Numbers::More(more) => more,
        })
    }
}
