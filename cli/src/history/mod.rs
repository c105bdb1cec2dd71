//! History as a timeline: definitions, revisions and prices in the order in which they count, and
//! its way to the daemon.

mod file;
mod sender;
mod timeline;

pub(crate) use file::Dated;
pub(crate) use sender::{Outcome, send};
pub(crate) use timeline::Timeline;
