//! The daemon from outside.

mod door;
