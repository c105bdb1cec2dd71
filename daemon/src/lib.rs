//! The daemon of Divisor, in the order in which a price meets its parts.

pub mod clock;
pub mod egress;
pub mod health;
pub mod ingress;
pub mod journal;
pub mod record;
pub mod sequencer;
pub mod store;
