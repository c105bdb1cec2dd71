//! What can be wrong with a definition.

use crate::CurrencyError;

/// A refused definition: what it is about, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {problem}")]
pub struct DefinitionError {
    /// `security AAPL`, `index DOW30`, `revision 2021-11-04-IBM`.
    pub subject: String,
    /// Why it is refused.
    pub problem: Problem,
}

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The name does not fit a topic.
    #[error("`{0}` is not a name: 1 to 64 printable characters without blank, `/`, `+` and `#`")]
    Name(String),
    /// A name that was given before, and is not given again.
    #[error("the {0} belongs to something that was deleted or renamed, and is not given again")]
    Retired(&'static str),
    /// Something that is out of service.
    #[error("`{0}` is inactive: reactivate it first")]
    Inactive(String),
    /// Defined twice in one load.
    #[error("is defined twice")]
    Twice,
    /// A field that cannot change while prices or levels exist.
    #[error("{0} cannot change; define a new one")]
    Fixed(&'static str),
    /// A number of places out of range.
    #[error("{field} has {places} places, at most {max} are possible")]
    Places {
        /// Which number.
        field: &'static str,
        /// As stated.
        places: u8,
        /// What is possible.
        max: u8,
    },
    /// `price_max` does not fit the security's places.
    #[error(
        "price_max {0} does not fit: it must be above 0 and below 9.2e18 units of the last price place"
    )]
    PriceMax(String),
    /// A bound below the price that is there.
    #[error("price_max {0} is below the last price")]
    PriceMaxPassed(String),
    /// No such time zone.
    #[error("`{0}` is not a time zone of the IANA data base")]
    Zone(String),
    /// Neither or both of base value and divisor.
    #[error("the base needs either a value or a divisor, above 0")]
    Base,
    /// Target weights need a level to start from.
    #[error("an index of target weights starts from a base value, not from a divisor")]
    BaseDivisor,
    /// A basket without members.
    #[error("the basket is empty")]
    EmptyBasket,
    /// A constituent that is not defined.
    #[error("constituent `{0}` is not a known security")]
    UnknownSecurity(String),
    /// A constituent listed twice.
    #[error("constituent `{0}` is in the basket twice")]
    TwiceInBasket(String),
    /// A constituent lacks what the weighting needs.
    #[error("constituent `{symbol}` needs `{field}` in this weighting")]
    Missing {
        /// Which constituent.
        symbol: String,
        /// Which field.
        field: &'static str,
    },
    /// A constituent states what the weighting does not use.
    #[error("constituent `{symbol}` states `{field}`, which this weighting does not use")]
    Unused {
        /// Which constituent.
        symbol: String,
        /// Which field.
        field: &'static str,
    },
    /// A number of a constituent is out of its range.
    #[error("constituent `{symbol}`: `{field}` is {value}, it must be {range}")]
    Range {
        /// Which constituent.
        symbol: String,
        /// Which field.
        field: &'static str,
        /// As stated.
        value: String,
        /// What is possible.
        range: &'static str,
    },
    /// The sums could overflow.
    #[error(
        "the sum of price_max times coefficient needs more than 126 bits; lower price_max, \
         price_places or rounding.coefficient.places"
    )]
    Overflow,
    /// A divisor or coefficient that does not come out.
    #[error(
        "the {0} of the new basket cannot be computed: the market value before or after is not above 0, or the number is too long"
    )]
    NoDivisor(&'static str),
    /// A constituent without a price joins a running index.
    #[error("constituent `{0}` has no price yet: send one first or state `price`")]
    NoPrice(String),
    /// A currency without a rate joins a running index.
    #[error("there is no rate from {0} to the index currency yet: send one first")]
    NoRate(String),
    /// A revision of an index that is not defined.
    #[error("`{0}` is not a known index")]
    UnknownIndex(String),
    /// An adjustment that states none or several of its three forms.
    #[error("adjustment of `{0}`: state exactly one of `price`, `less` and `split`")]
    Adjustment(String),
    /// A revision that names a security or an index twice.
    #[error("`{0}` is in the revision twice")]
    TwiceInRevision(String),
    /// A price that an adjustment leaves is not above zero, or too large.
    #[error("adjustment of `{0}`: the price that remains is not above 0 or above price_max")]
    AdjustedPrice(String),
    /// A revision that redefines an index in two ways, or another one.
    #[error("`{0}`: a new definition has the code of its index and states no second basket")]
    Redefinition(String),
    /// The id of a revision was used for another one.
    #[error("a revision with this id and another content was loaded before")]
    RevisionReused,
    /// A calendar that contradicts itself.
    #[error("{0}")]
    Calendar(&'static str),
    /// A calendar that is not defined.
    #[error("`{0}` is not a known calendar")]
    UnknownCalendar(String),
    /// A percentage or a factor of a rule.
    #[error("{0} must be above 0 and at most 1000000, with at most 4 places")]
    Percent(&'static str),
    /// A rule that asks for nothing.
    #[error("{0}")]
    Rule(&'static str),
    /// An action that nobody announced.
    #[error("no such action was announced")]
    UnknownAction,
    /// An action that cannot change any more.
    #[error("is {0} already and cannot change")]
    ActionClosed(&'static str),
    /// A term of an action is out of its range.
    #[error("`{0}` must be {1}")]
    Terms(&'static str, &'static str),
    /// A price of the action's day, or of a later one, is there already.
    #[error("the security has traded on that day already: it comes too late, correct the history")]
    ActionLate,
    /// An action could not be applied at once.
    #[error("cannot be applied: {0}")]
    ActionRefused(String),
    /// A name that another security has.
    #[error("`{0}` is the name of another security")]
    NameTaken(String),
    /// A member that is not in the basket.
    #[error("`{0}` is not in the basket")]
    NotInBasket(String),
    /// A dissemination interval of zero.
    #[error("the dissemination interval must be at least 1 ms")]
    Interval,
    /// Limits that no weights can meet.
    #[error("the caps leave no weights that meet them: too few members, issuers or groups")]
    Caps,
    /// Rules of weights that make no sense.
    #[error("the rules {0}")]
    Limits(&'static str),
    /// Something that a variant cannot be.
    #[error("the variant {0}")]
    Variant(&'static str),
    /// Indexes that would follow themselves.
    #[error("follows itself, by way of {0}")]
    Cycle(String),
    /// A text is no currency.
    #[error(transparent)]
    Currency(#[from] CurrencyError),
}

impl Problem {
    pub(crate) fn of(self, kind: &str, name: &str) -> DefinitionError {
        let name: String = name.chars().take(64).collect();
        DefinitionError {
            subject: format!("{kind} {name}"),
            problem: self,
        }
    }
}
