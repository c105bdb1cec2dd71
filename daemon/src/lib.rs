//! The daemon of Divisor, in the order in which a price meets its parts.

pub mod ingress;
pub mod journal;
