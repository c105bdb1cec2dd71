//! What an index makes of corporate actions: where providers differ, a rule says who is followed
//! (METHODOLOGY §1.6).

use serde::{Deserialize, Serialize};

use crate::Decimal;

/// The rules of one index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionRules {
    /// Special dividends, and capital paid back.
    #[serde(skip_serializing_if = "is_default")]
    pub special_dividends: SpecialDividends,
    /// Rights issues.
    #[serde(skip_serializing_if = "is_default")]
    pub rights: RightsRule,
    /// Spin-offs.
    #[serde(skip_serializing_if = "is_default")]
    pub spin_offs: SpinOffRule,
    /// Takeovers.
    #[serde(skip_serializing_if = "is_default")]
    pub mergers: MergerRule,
    /// Delistings and bankruptcies.
    #[serde(skip_serializing_if = "is_default")]
    pub removals: RemovalRule,
    /// Changes of shares and free float.
    #[serde(skip_serializing_if = "is_default")]
    pub share_changes: ShareRule,
}

impl ActionRules {
    /// True for the rules that hold where none are stated.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Special dividends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecialDividends {
    /// Which special dividends adjust; the others count as ordinary ones.
    #[serde(skip_serializing_if = "is_default")]
    pub adjust: Adjust,
    /// With `adjust = above`: from this share of the last price on, such as 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Decimal>,
    /// Of special dividends in a row only so many adjust; from the next on they are thought to be
    /// regular and count as ordinary ones. The dividend states its
    /// [`occurrence`](super::action::Dividend::occurrence). All when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// The price falls by the amount net of tax.
    #[serde(skip_serializing_if = "is_default")]
    pub net: bool,
    /// The rate withheld where the dividend does not state one, in 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax: Option<Decimal>,
    /// Where the amount is reinvested.
    #[serde(skip_serializing_if = "is_default")]
    pub reinvest: Reinvest,
}

/// Which special dividends adjust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjust {
    /// All.
    #[default]
    Always,
    /// Those of a share of the price or more.
    Above,
    /// None.
    Never,
}

/// Where a special dividend goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reinvest {
    /// Into the whole index, by its divisor.
    #[default]
    Index,
    /// Into the security that paid it: its units grow by `p/(p − d)`.
    Security,
}

/// Rights issues. Those out of the money change nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RightsRule {
    /// What becomes of the rights.
    #[serde(skip_serializing_if = "is_default")]
    pub take: Take,
    /// A rule of their own for issues that dilute much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilutive: Option<Dilutive>,
    /// When rights that are members leave; with an announced deletion when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Leaves>,
}

/// Rights issues that dilute much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dilutive {
    /// From so many new shares for one held on, such as 2.
    pub from: Decimal,
    /// What becomes of their rights.
    pub take: Take,
}

/// What becomes of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// They are taken up: shares grow, and the divisor with the money paid in.
    #[default]
    Up,
    /// They are sold: the price falls, shares stay.
    Sold,
    /// They become a member of their own, the security that the action names, one for each share,
    /// at the value that the price falls by.
    Line,
}

/// Spin-offs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpinOffRule {
    /// What becomes of the child.
    #[serde(skip_serializing_if = "is_default")]
    pub child: Child,
    /// What the child is worth until it trades.
    #[serde(skip_serializing_if = "is_default")]
    pub price: ChildPrice,
    /// When a kept child leaves again; never by itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<Leaves>,
}

/// When a member that an action brought leaves again. With the action its
/// [deletion](super::Event::Deletion) is announced, as `ID@INDEX`, and can be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaves {
    /// After so many days of the index: sessions of its calendar, without one Mondays to Fridays.
    /// At 1 it leaves before the day after the ex-date.
    pub after: u16,
    /// It stays where it has traded by then.
    #[serde(default, skip_serializing_if = "is_default")]
    pub untraded: bool,
    /// Where what it is worth goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proceeds: Proceeds,
}

/// Where the value of a member that leaves goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proceeds {
    /// Into the whole index, by its divisor.
    #[default]
    Index,
    /// Into the member that it came from, whose units grow.
    Parent,
}

/// What becomes of a spun-off child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Child {
    /// It joins the index with the parent's shares times the ratio.
    #[default]
    Keep,
    /// It stays outside: the value leaves by the divisor.
    Drop,
    /// It stays outside and counts as a dividend: the price index falls with the parent, total
    /// returns reinvest the value.
    Paid,
}

/// What a spun-off child is worth until it trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildPrice {
    /// The stated price or its last one; the parent falls by it.
    #[default]
    Estimate,
    /// Its last price of when-issued trading, whatever is stated; without one the placeholder.
    WhenIssued,
    /// The smallest price that it can have; the parent hardly falls.
    Placeholder,
}

/// Takeovers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MergerRule {
    /// At what price the target leaves.
    #[serde(skip_serializing_if = "is_default")]
    pub price: MergerPrice,
}

/// At what price a target leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergerPrice {
    /// Its last one.
    #[default]
    Last,
    /// The terms of the offer, recognised in the level before it leaves.
    Terms,
}

/// Delistings and bankruptcies. The level takes up the value before the member leaves; a geometric
/// one cannot take up nothing, so a member leaves it at its last price where the value is 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemovalRule {
    /// The value of a delisted security where none is stated; its last price when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delisted: Option<Decimal>,
    /// The value of a bankrupt one where none is stated; nothing when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bankrupt: Option<Decimal>,
}

/// Which changes of shares and free float count at once. The others wait on the index for its next
/// review: one that states a basket states them anew, one that states none puts them into force.
///
/// What is compared is shares times float, with what is in force; a change that follows one that
/// waits adds to it. Without any bound all count at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareRule {
    /// From this share of what was there on, such as 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Decimal>,
    /// And from this value on, in the index currency at the last price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Decimal>,
    /// Or from this value on, whatever share it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<Decimal>,
    /// A change of the float factor alone: from this difference on, such as 0.05, instead of the
    /// bounds above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<Decimal>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
