//! The engine from outside: only what its users can call, mostly through the public JSON formats.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, and its helpers with it"
)]

mod action_days;
mod action_model;
mod action_properties;
mod action_rules;
mod actions;
mod bounds;
mod combinations;
mod corrections;
mod currencies;
mod days;
mod exact;
mod explore;
mod kinds;
mod late;
mod life;
mod model;
mod properties;
mod return_properties;
mod revisions;
mod session_model;
mod sessions;
mod support;
mod turns;
mod variants;
mod vectors;
