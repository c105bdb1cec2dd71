//! Who may do what: the two questions every packet with a topic has to pass.

use divisor_wire::topic::Topic;

use crate::ingress::Client;

/// What is granted to everyone until users and their rights are configured.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Whether topics that mean nothing to Divisor are routed between clients.
    pub allow_other_topics: bool,
}

/// The answer to a question about rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go ahead.
    Allowed,
    /// Not with these rights.
    NotAuthorized,
}

impl Access {
    /// Whether the client may publish to a topic of this meaning. Nobody but the daemon writes
    /// `indexes/#` and what is the daemon's below `divisor/` (invariant 6).
    #[must_use]
    pub fn may_publish(&self, _client: &Client, topic: &Topic<'_>) -> Verdict {
        match topic {
            Topic::Price(_) | Topic::Rate(..) | Topic::Control(_) => Verdict::Allowed,
            Topic::Other if self.allow_other_topics => Verdict::Allowed,
            Topic::Other | Topic::Reserved => Verdict::NotAuthorized,
        }
    }

    /// Whether the client may read what matches a filter.
    #[must_use]
    pub fn may_subscribe(&self, _client: &Client, _filter: &str) -> Verdict {
        Verdict::Allowed
    }
}
