//! The dialect of Divisor: topics, payloads, commands and fixture formats. Bytes in, types out.

pub mod cbor;
pub mod command;
pub mod event;
pub mod level;
mod reason;
pub mod rejected;
pub mod tick;
pub mod topic;

pub use reason::Reason;
