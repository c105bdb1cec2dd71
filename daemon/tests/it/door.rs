//! The door with a sequencer that only answers: real sockets on port 0, real clients and raw bytes.

mod access;
mod clients;
#[expect(
    clippy::unwrap_used,
    reason = "a helper that fails fails the test that called it"
)]
mod conformance;
mod honest;
mod hostile;
mod inbound;
mod limits;
mod outbound;
#[expect(
    clippy::unwrap_used,
    reason = "a helper that fails fails the test that called it"
)]
mod rig;
mod secured;
mod sessions;
mod shared;
mod siege;
mod transports;
mod triggers;
