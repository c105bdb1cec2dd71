//! Why a message, or one tick of it, was refused. The names are part of the wire.

/// Declares the reasons with their names, so that neither list can forget one.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A counted, named refusal. `as_str` is what clients and metrics see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name on the wire, in metrics and in logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The payload is empty.
    EmptyPayload = "empty_payload",
    /// The payload is neither JSON, a bare number nor CBOR.
    Malformed = "malformed",
    /// The tick has no `price`, or it is not a number.
    BadPrice = "bad_price",
    /// Zero or below.
    PriceNotPositive = "price_not_positive",
    /// More decimal places than the security carries.
    PriceTooFine = "price_too_fine",
    /// Above the largest price the security admits.
    PriceTooLarge = "price_too_large",
    /// `ts` is not a time.
    BadTimestamp = "bad_timestamp",
    /// `ts` is further ahead than `ticks.future_max`.
    TimestampInFuture = "timestamp_in_future",
    /// No such security.
    UnknownSymbol = "unknown_symbol",
    /// The security is out of service.
    InactiveSymbol = "inactive_symbol",
    /// `ccy` differs from the security's currency.
    WrongCurrency = "wrong_currency",
    /// A field has the wrong type or is too long.
    BadField = "bad_field",
    /// No index uses this currency pair and none was defined.
    UnknownPair = "unknown_pair",
    /// The topic is not one that clients may write.
    BadTopic = "bad_topic",
    /// The client has no right to this topic.
    NotAuthorized = "not_authorized",
    /// The response topic of a command is neither below the client's own `divisor/reply/` nor an
    /// ordinary topic that the client may read.
    BadResponseTopic = "bad_response_topic",
    /// More ticks in one message than `ticks.per_message_max`.
    TooManyTicks = "too_many_ticks",
    /// No command of this name.
    UnknownCommand = "unknown_command",
    /// The daemon is overloaded and the message had no claim to be kept (QoS 0).
    Overloaded = "overloaded",
    /// The topic is `securities/…/price` or `fx/…/…/rate`, and what stands in it is no symbol.
    BadSymbol = "bad_symbol",
    /// `ts` is before 1800, where no series begins: a broken clock.
    TimestampTooOld = "timestamp_too_old",
    /// The payload is longer than `mqtt.payload_bytes_max`.
    PayloadTooLarge = "payload_too_large",
    /// The packet is longer than `mqtt.packet_bytes_max`; the connection ends with it.
    PacketTooLarge = "packet_too_large",
    /// The payload says it is text (MQTT 5 payload format 1) and is not UTF-8.
    PayloadNotText = "payload_not_text",
    /// More messages a second than `mqtt.publish_rate_max`.
    RateExceeded = "rate_exceeded",
    /// The client keeps as many retained messages as it may, or the table is full.
    RetainedQuota = "retained_quota",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
