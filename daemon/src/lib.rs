//! The parts of `divisord`, in the order data meets them.

pub mod store;
