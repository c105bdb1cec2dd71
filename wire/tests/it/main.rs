//! The dialect from outside: fixture files as the command line loads them.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

mod docs;
mod fixtures;
