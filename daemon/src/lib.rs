//! The daemon's parts, in the order in which a price meets them.
//!
//! - [`door`]: the only code that faces the network
//! - [`ingress`]: what the door hands to the sequencer, and what it hears back

pub mod door;
pub mod ingress;
