//! Prices on their way to the daemon: made up, recorded, or typed in.

mod fleet;
mod market;
mod pace;
mod refusals;
mod replay;
mod report;
mod tick;

pub(crate) use fleet::{Fleet, FleetOptions, Shipment};
pub(crate) use market::{Market, Motion, Start};
pub(crate) use pace::Pace;
pub(crate) use replay::{Recording, Speed};
pub(crate) use report::Accounting;
pub(crate) use tick::{Quote, Subject, time};
