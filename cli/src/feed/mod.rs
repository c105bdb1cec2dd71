//! Prices on their way to the daemon: made up, recorded, or typed in.

mod fleet;
mod market;
mod pace;
mod refusals;
mod report;
mod replay;
mod tick;

pub use fleet::{Fleet, FleetOptions, Shipment};
pub use market::{Market, Motion, Start};
pub use pace::Pace;
pub use refusals::Refusals;
pub use replay::{Recording, Speed};
pub use report::Accounting;
pub use tick::{Quote, Subject, now, time};
