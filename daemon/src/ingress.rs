//! What the door hands to the sequencer, and what it hears back.
//!
//! The two never call each other: a connection sends [`Submission`]s down one bounded channel and
//! receives [`Receipt`]s on a channel of its own. A full ingress channel makes the connection stop
//! reading its socket, so back-pressure reaches the publisher as TCP does it (invariant 5).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use divisor_engine::Engine;
use divisor_wire::Reason;
use divisor_wire::tick::Tick;
use tokio::sync::mpsc;

/// The messages that one read of one connection brought, in their order.
#[derive(Debug)]
pub struct Submission {
    /// Who sent them.
    pub client: Arc<Client>,
    /// The messages; each carries its ticket.
    pub messages: Vec<Inbound>,
    /// Where the receipts of this connection go.
    pub receipts: mpsc::UnboundedSender<Receipt>,
    /// When they were read from the socket, for the measurement of latency.
    pub read: Instant,
}

/// The sender of a submission, as rights, sources and replies name it.
#[derive(Debug)]
pub struct Client {
    /// The MQTT client id, as sent or as assigned by the door.
    pub id: Box<str>,
    /// The authenticated user; `None` for an anonymous client.
    pub user: Option<Box<str>>,
}

/// A ticket numbers the messages of one connection: contiguous, from 1, in order of arrival.
pub type Ticket = u64;

/// One message on its way in.
#[derive(Debug)]
pub struct Inbound {
    /// Its number on this connection.
    pub ticket: Ticket,
    /// The topic, for the copy that subscribers of `securities/#` get.
    pub topic: Arc<str>,
    /// The payload as it came, for the same copy.
    pub payload: Bytes,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Debug)]
pub enum Content {
    /// Prices of one security.
    Prices {
        /// The security's symbol.
        symbol: Arc<str>,
        /// The ticks that could be read.
        ticks: Vec<Tick>,
        /// Place and reason of those that could not.
        refused: Vec<(u32, Reason)>,
    },
    /// Rates of one currency pair.
    Rates {
        /// Base and quote currency: `rate` units of `quote` for one `base`.
        pair: Arc<(Box<str>, Box<str>)>,
        /// The rates that could be read.
        ticks: Vec<Tick>,
        /// Place and reason of those that could not.
        refused: Vec<(u32, Reason)>,
    },
    /// An operator's command; the body is in the message's payload.
    Command {
        /// The verb from the topic `divisor/control/{verb}`.
        verb: Arc<str>,
        /// MQTT 5 response topic, when the client gave one; otherwise the reply goes to
        /// `divisor/reply/{client}/{id}`.
        response_topic: Option<Arc<str>>,
        /// MQTT 5 correlation data, returned with the reply.
        correlation: Option<Bytes>,
    },
}

/// What the sequencer tells one connection after a commit.
#[derive(Debug)]
pub struct Receipt {
    /// Every ticket up to and including this one is durable (or refused, see below).
    pub durable: Ticket,
    /// What was refused on the way, for MQTT 5 reason codes. The message on
    /// `divisor/rejected/{client}` is published by the sequencer.
    pub refusals: Vec<Refusal>,
}

/// One refused message, or one refused tick of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The message.
    pub ticket: Ticket,
    /// Which tick of it, counted from 0.
    pub place: u32,
    /// True when nothing of the message was accepted.
    pub whole: bool,
    /// Why.
    pub reason: Reason,
}

/// A look at the state between two batches, for those who only read. It runs on the sequencer's
/// thread, while nothing else does: it must be short.
pub type Question = Box<dyn FnOnce(&Sight<'_>) + Send>;

/// What a question sees.
#[derive(Debug)]
pub struct Sight<'a> {
    /// Everything that was applied.
    pub engine: &'a Engine,
    /// The daemon's boot count.
    pub epoch: u64,
    /// The daemon has been announced as offline.
    pub is_leaving: bool,
}
