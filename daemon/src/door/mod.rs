//! The door: the only code that faces the network.
//!
//! The way of a price through it, in reading order:
//!
//! 1. [`listener`] accepts a stream and gives it a task of its own; `transport` takes TLS and
//!    `websocket` frames off it;
//! 2. [`connection`] is that task: one loop, one `select!`, everything that can happen a branch;
//! 3. `handshake` turns the first packet into a client, or refuses it in its own protocol, with
//!    [`crate::access`] to say who it is;
//! 4. [`codec`] cuts packets from the read buffer and encodes those that leave;
//! 5. `inbound` decodes prices, rates and commands, asks for rights, gives tickets, and owes
//!    the acknowledgements until the sequencer's receipt pays for them;
//! 6. [`exchange`] is the other direction: the fan-out of levels and price copies through
//!    rumqttd's router, and the [`retained`] messages;
//! 7. `session` holds what outlives a connection: subscriptions and the `outbound` queue;
//!    `registry` says which task owns the session of a client id; `shared` deals the messages of
//!    shared subscriptions to one session each.
//!
//! `settings` bounds all of it, `quota` what one address, user or connection may take, and
//! [`counters`] has every refusal and every drop by its reason.
//!
//! Architecture invariant: nothing here knows the journal, the store or HTTP; the sequencer is
//! met only through [`crate::ingress`] and [`exchange::Exchange`].

pub mod codec;
pub mod connection;
pub mod counters;
pub mod envelope;
pub mod exchange;
mod handshake;
mod inbound;
pub mod listener;
mod outbound;
mod pace;
mod parked;
mod quota;
mod registry;
pub mod retained;
mod routes;
mod session;
mod settings;
mod shared;
mod shares;
mod subscriber;
pub mod transport;
mod websocket;

pub use counters::Counters;
pub use exchange::{Exchange, Publication};
pub use listener::{Door, bind, serve};
pub use settings::Settings;
pub use transport::Listener;
