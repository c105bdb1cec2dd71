//! The topics of Divisor: parsing, building, and the rules for symbols.

/// What a topic that a client publishes to means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic<'a> {
    /// `securities/{symbol}/price`
    Price(&'a str),
    /// `fx/{base}/{quote}/rate`
    Rate(&'a str, &'a str),
    /// `divisor/control/{verb}`
    Control(&'a str),
    /// Below `indexes/` or `divisor/`: only the daemon writes there.
    Reserved,
    /// Everything else: an ordinary routed topic.
    Other,
}
