//! `divisord`: the daemon.

fn main() {}
