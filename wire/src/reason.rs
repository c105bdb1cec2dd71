//! Why a message, or one tick of it, was refused. The names are part of the wire.

/// A counted, named refusal. `as_str` is what clients and metrics see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The payload is empty.
    EmptyPayload,
    /// The payload is neither JSON, a bare number nor CBOR.
    Malformed,
    /// The tick has no `price`, or it is not a number.
    BadPrice,
    /// Zero or below.
    PriceNotPositive,
    /// More decimal places than the security carries.
    PriceTooFine,
    /// Above the largest price the security admits.
    PriceTooLarge,
    /// `ts` is not a time.
    BadTimestamp,
    /// `ts` is further ahead than `ticks.future_max`.
    TimestampInFuture,
    /// No such security.
    UnknownSymbol,
    /// `ccy` differs from the security's currency.
    WrongCurrency,
    /// A field has the wrong type or is too long.
    BadField,
    /// No index uses this currency pair and none was defined.
    UnknownPair,
    /// The topic is not one that clients may write.
    BadTopic,
    /// The client has no right to this topic.
    NotAuthorized,
    /// More ticks in one message than `limits.ticks_per_message_max`.
    TooManyTicks,
    /// No command of this name.
    UnknownCommand,
    /// The daemon is overloaded and the message had no claim to be kept (QoS 0).
    Overloaded,
}

impl Reason {
    /// The stable name on the wire, in metrics and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptyPayload => "empty_payload",
            Self::Malformed => "malformed",
            Self::BadPrice => "bad_price",
            Self::PriceNotPositive => "price_not_positive",
            Self::PriceTooFine => "price_too_fine",
            Self::PriceTooLarge => "price_too_large",
            Self::BadTimestamp => "bad_timestamp",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::UnknownSymbol => "unknown_symbol",
            Self::WrongCurrency => "wrong_currency",
            Self::BadField => "bad_field",
            Self::UnknownPair => "unknown_pair",
            Self::BadTopic => "bad_topic",
            Self::NotAuthorized => "not_authorized",
            Self::TooManyTicks => "too_many_ticks",
            Self::UnknownCommand => "unknown_command",
            Self::Overloaded => "overloaded",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
