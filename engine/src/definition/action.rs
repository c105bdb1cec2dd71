//! Corporate actions and reviews: what happens to securities and baskets on a day (METHODOLOGY
//! §1.6 and §1.7).

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Constituent;
use crate::{Currency, Decimal};

/// An action with its day. It is announced when it is loaded, may be changed or cancelled until
/// its day, and is applied before the first input of that day counts.
///
/// What it does to an index follows from the weighting and from the index's
/// [`ActionRules`](super::ActionRules).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDefinition {
    /// A name of its own, such as `2026-06-10-ALFA-SPLIT`.
    pub id: String,
    /// The first day without the right; the effective day of anything else.
    #[serde(with = "date")]
    pub ex_date: Date,
    /// The time zone in which that day begins at midnight. When absent, it begins with the
    /// [day](super::Day) of the first index that holds the security, by UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What happens. Flattened: its `type` and fields stand beside the above, and what neither
    /// knows is refused.
    #[serde(flatten)]
    pub event: Event,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// `from` shares become `to`, more than before.
    Split(Exchange),
    /// `from` shares become `to`, fewer than before.
    ReverseSplit(Exchange),
    /// `new` free shares for `held`, out of reserves.
    Bonus(Issue),
    /// `new` free shares for `held`, instead of cash.
    StockDividend(Issue),
    /// Cash per share.
    Dividend(Dividend),
    /// Capital paid back, possibly with a consolidation of shares.
    ReturnOfCapital(ReturnOfCapital),
    /// The right to subscribe `new` shares for `held` ones.
    Rights(Rights),
    /// Shares of a child for each share of the parent.
    SpinOff(SpinOff),
    /// A company is taken over for cash, shares or both.
    Merger(Merger),
    /// A security leaves every index.
    Delisting(Removal),
    /// A security leaves every index for next to nothing.
    Bankruptcy(Removal),
    /// Another number of shares outstanding.
    ShareChange(ShareChange),
    /// Another free-float factor.
    FloatChange(FloatChange),
    /// Capping factors of one index.
    CapReset(CapReset),
    /// A security gets another name on topics.
    SymbolChange(SymbolChange),
    /// Prices change their currency.
    Redenomination(Redenomination),
    /// Trading stops: the last price is held, whatever comes in.
    Suspension(Of),
    /// Trading goes on.
    Resumption(Of),
    /// A security joins one index.
    Addition(Addition),
    /// A security leaves one index.
    Deletion(Deletion),
    /// A review: one index gets a new basket, at once or over several days.
    Rebalance(Rebalance),
}

/// Shares before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Whose.
    pub symbol: String,
    /// Shares before.
    pub from: Decimal,
    /// Shares after.
    pub to: Decimal,
}

/// Free shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// Whose.
    pub symbol: String,
    /// For so many shares held.
    pub held: Decimal,
    /// So many new ones.
    pub new: Decimal,
}

/// A cash dividend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dividend {
    /// Whose.
    pub symbol: String,
    /// Gross per share.
    pub amount: Decimal,
    /// The currency of the amount; the security's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Ordinary ones move no price index; special ones adjust as the index's rule says.
    #[serde(default)]
    pub kind: DividendKind,
    /// Which of a row of special dividends it is, from 1, for indexes that take only the
    /// [first](super::SpecialDividends::first) for special; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<u32>,
    /// The country that withholds, for the withholding table of an index: `US`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// What kind of company pays, for the same table: `reit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The rate withheld of this dividend, in 0 to 1; the index's rule where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Decimal>,
}

/// Kinds of cash dividends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DividendKind {
    /// Regular: no adjustment.
    #[default]
    Ordinary,
    /// Extraordinary.
    Special,
}

/// Capital paid back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReturnOfCapital {
    /// Whose.
    pub symbol: String,
    /// Gross per share held before.
    pub amount: Decimal,
    /// The rate withheld, in 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Decimal>,
    /// Shares before the consolidation; 1 when absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub from: Decimal,
    /// Shares after it; 1 when absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub to: Decimal,
}

/// A rights issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Whose.
    pub symbol: String,
    /// For so many shares held.
    pub held: Decimal,
    /// So many new ones.
    pub new: Decimal,
    /// At this price each.
    pub price: Decimal,
    /// A dividend that the new shares do not get yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_dividend: Option<Decimal>,
    /// The security as which the rights themselves trade, one for each share; needed where an
    /// index [keeps them](super::Take::Line).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// A spin-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpinOff {
    /// The parent.
    pub symbol: String,
    /// The child; a known security where an index keeps it.
    pub child: String,
    /// Shares of the child for one of the parent.
    pub ratio: Decimal,
    /// What a share of the child is thought to be worth, in its currency, or in that of the parent
    /// where the child is no known security; its last price (when-issued trading) when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
}

/// A takeover. Without terms the target leaves at its last price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merger {
    /// The target, which leaves every index.
    pub symbol: String,
    /// Who takes it over; needed with `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquirer: Option<String>,
    /// Shares of the acquirer for one of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Decimal>,
    /// Cash for one share of the target, in its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash: Option<Decimal>,
}

/// A security that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// Whose.
    pub symbol: String,
    /// Its last value; 0 is possible. The index's rule when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
}

/// Another number of shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareChange {
    /// Whose.
    pub symbol: String,
    /// Shares outstanding from then on.
    pub shares: Decimal,
    /// The free-float factor from then on, where it changes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float: Option<Decimal>,
}

/// Another free float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatChange {
    /// Whose.
    pub symbol: String,
    /// The factor from then on.
    pub float: Decimal,
}

/// New capping factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapReset {
    /// Which index.
    pub index: String,
    /// The factors that change; none at all where the index calculates its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<Cap>,
}

/// The capping factor of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Whose.
    pub symbol: String,
    /// The factor from then on.
    pub cap: Decimal,
}

/// Another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolChange {
    /// The name so far.
    pub symbol: String,
    /// The name from then on. Its prices are taken from the day on, whatever comes first.
    pub to: String,
}

/// Another currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redenomination {
    /// Whose.
    pub symbol: String,
    /// The currency of its prices from then on.
    pub currency: Currency,
    /// Units of the new currency for one of the old.
    pub rate: Decimal,
}

/// A security and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Whose.
    pub symbol: String,
}

/// A new member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// Which index.
    pub index: String,
    /// The member, as its basket would state it.
    pub member: Box<Constituent>,
    /// A member that leaves with it, or left it on the same day: where units follow from target
    /// weights, the new one takes over its weight, and the others keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// Which index.
    pub index: String,
    /// The member.
    pub symbol: String,
    /// The member whose units grow by what it is worth; the whole index's value when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proceeds: Option<String>,
    /// It stays where it has traded by then.
    #[serde(default, skip_serializing_if = "is_false")]
    pub untraded: bool,
}

/// A review of one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rebalance {
    /// Which index.
    pub index: String,
    /// The whole new basket; the present one, with its weights restored, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basket: Option<Vec<Constituent>>,
    /// Prices of the reference date, by which weights become units. The divisor follows from the
    /// prices of the effective day. Members without one use that day's, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<ReferencePrice>,
    /// Over how many days of the index the units change, in equal steps; 1 when absent.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub days: Decimal,
}

impl Rebalance {
    /// Over how many days the units change.
    #[must_use]
    pub fn days(&self) -> u32 {
        let days = self.days.normalized().at_places(0);
        days.and_then(|days| u32::try_from(days).ok()).unwrap_or(1)
    }
}

/// A price of the reference date of a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferencePrice {
    /// Whose.
    pub symbol: String,
    /// In the security's currency.
    pub price: Decimal,
    /// Index currency for one of it on that date; the rate of the effective day when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Decimal>,
}

impl Event {
    /// The name of its kind, as definitions state it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Split(_) => "split",
            Self::ReverseSplit(_) => "reverse_split",
            Self::Bonus(_) => "bonus",
            Self::StockDividend(_) => "stock_dividend",
            Self::Dividend(_) => "dividend",
            Self::ReturnOfCapital(_) => "return_of_capital",
            Self::Rights(_) => "rights",
            Self::SpinOff(_) => "spin_off",
            Self::Merger(_) => "merger",
            Self::Delisting(_) => "delisting",
            Self::Bankruptcy(_) => "bankruptcy",
            Self::ShareChange(_) => "share_change",
            Self::FloatChange(_) => "float_change",
            Self::CapReset(_) => "cap_reset",
            Self::SymbolChange(_) => "symbol_change",
            Self::Redenomination(_) => "redenomination",
            Self::Suspension(_) => "suspension",
            Self::Resumption(_) => "resumption",
            Self::Addition(_) => "addition",
            Self::Deletion(_) => "deletion",
            Self::Rebalance(_) => "rebalance",
        }
    }

    /// The security that it happens to; none for what concerns an index alone.
    #[must_use]
    pub fn symbol(&self) -> Option<&str> {
        match self {
            Self::Split(x) | Self::ReverseSplit(x) => Some(&x.symbol),
            Self::Bonus(x) | Self::StockDividend(x) => Some(&x.symbol),
            Self::Dividend(x) => Some(&x.symbol),
            Self::ReturnOfCapital(x) => Some(&x.symbol),
            Self::Rights(x) => Some(&x.symbol),
            Self::SpinOff(x) => Some(&x.symbol),
            Self::Merger(x) => Some(&x.symbol),
            Self::Delisting(x) | Self::Bankruptcy(x) => Some(&x.symbol),
            Self::ShareChange(x) => Some(&x.symbol),
            Self::FloatChange(x) => Some(&x.symbol),
            Self::SymbolChange(x) => Some(&x.symbol),
            Self::Redenomination(x) => Some(&x.symbol),
            Self::Suspension(x) | Self::Resumption(x) => Some(&x.symbol),
            Self::CapReset(_) | Self::Addition(_) | Self::Deletion(_) | Self::Rebalance(_) => None,
        }
    }

    /// Securities that it can bring into an index.
    pub fn brings(&self) -> impl Iterator<Item = &str> {
        let (one, basket): (Option<&str>, &[Constituent]) = match self {
            Self::Addition(x) => (Some(&x.member.symbol), &[]),
            Self::Rebalance(x) => (None, x.basket.as_deref().unwrap_or_default()),
            Self::SpinOff(x) => (Some(&x.child), &[]),
            Self::Rights(x) => (x.line.as_deref(), &[]),
            Self::Merger(x) => (x.acquirer.as_deref(), &[]),
            Self::Split(_)
            | Self::ReverseSplit(_)
            | Self::Bonus(_)
            | Self::StockDividend(_)
            | Self::Dividend(_)
            | Self::ReturnOfCapital(_)
            | Self::Delisting(_)
            | Self::Bankruptcy(_)
            | Self::ShareChange(_)
            | Self::FloatChange(_)
            | Self::CapReset(_)
            | Self::SymbolChange(_)
            | Self::Redenomination(_)
            | Self::Suspension(_)
            | Self::Resumption(_)
            | Self::Deletion(_) => (None, &[]),
        };
        let members = basket.iter().map(|member| member.symbol.as_str());
        one.into_iter().chain(members)
    }

    /// The one index that it concerns; none for what happens to a security wherever it is held.
    #[must_use]
    pub fn index(&self) -> Option<&str> {
        match self {
            Self::CapReset(x) => Some(&x.index),
            Self::Addition(x) => Some(&x.index),
            Self::Deletion(x) => Some(&x.index),
            Self::Rebalance(x) => Some(&x.index),
            Self::Split(_)
            | Self::ReverseSplit(_)
            | Self::Bonus(_)
            | Self::StockDividend(_)
            | Self::Dividend(_)
            | Self::ReturnOfCapital(_)
            | Self::Rights(_)
            | Self::SpinOff(_)
            | Self::Merger(_)
            | Self::Delisting(_)
            | Self::Bankruptcy(_)
            | Self::ShareChange(_)
            | Self::FloatChange(_)
            | Self::SymbolChange(_)
            | Self::Redenomination(_)
            | Self::Suspension(_)
            | Self::Resumption(_) => None,
        }
    }

    /// Its place among the actions of a day (METHODOLOGY §1.6): what changes names and numbers of
    /// shares comes before what changes values, and that before what changes members.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::SymbolChange(_) | Self::Suspension(_) | Self::Resumption(_) => 0,
            Self::Redenomination(_) => 1,
            Self::Split(_) | Self::ReverseSplit(_) | Self::Bonus(_) | Self::StockDividend(_) => 2,
            Self::Dividend(_) | Self::ReturnOfCapital(_) | Self::SpinOff(_) => 3,
            Self::Rights(_) => 4,
            Self::ShareChange(_) | Self::FloatChange(_) => 5,
            Self::Merger(_) | Self::Delisting(_) | Self::Bankruptcy(_) | Self::Deletion(_) => 6,
            Self::Addition(_) => 7,
            Self::CapReset(_) => 8,
            Self::Rebalance(_) => 9,
        }
    }

    /// True where the price of a share is another one afterwards, so that a trade of the day must
    /// not have come in before it is applied.
    pub(crate) const fn moves_price(&self) -> bool {
        matches!(
            self,
            Self::Split(_)
                | Self::ReverseSplit(_)
                | Self::Bonus(_)
                | Self::StockDividend(_)
                | Self::Dividend(Dividend {
                    kind: DividendKind::Special,
                    ..
                })
                | Self::ReturnOfCapital(_)
                | Self::Rights(_)
                | Self::SpinOff(_)
                | Self::Redenomination(_)
        )
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

const fn one() -> Decimal {
    Decimal::ONE
}

fn is_one(value: &Decimal) -> bool {
    *value == Decimal::ONE
}

/// Dates are texts, `2026-06-10`.
mod date {
    use jiff::civil::Date;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature is serde's"
    )]
    pub(super) fn serialize<S: Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
