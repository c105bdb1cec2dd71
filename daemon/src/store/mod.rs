//! PostgreSQL as a projection of the journal: what the store thread stands on.
//!
//! A follower reads the journal and hands [`rows`] to a [`Writer`]; every batch is one transaction
//! that ends with the journal position it reaches (invariant 4), so an outage and a restart are the
//! same code path as normal running. Where the server comes from is no concern of the writer: the
//! user's `database.url`, or the [`cluster`] that the daemon keeps in its state directory.
//!
//! Everything here blocks and must be called from plain threads, never from a tokio worker: the
//! crate `postgres` panics inside a runtime.

mod bulk;
mod candles;
pub mod cluster;
mod encode;
mod error;
mod follower;
mod history;
mod late;
mod migrate;
mod partition;
pub(crate) mod project;
mod rare;
mod read;
mod retention;
pub mod rows;
mod run_writer;
mod server;
mod writer;

pub use cluster::{ClusterError, PrivateCluster};
pub use encode::{Numeric, Stamp};
pub use error::{StoreError, is_outage};
pub use follower::{Database, FollowError, Follower, Rows, Settings};
pub(crate) use history::run_rows;
pub use history::{History, HistoryError, Stored};
pub(crate) use late::late_inputs;
pub use migrate::{MigrateError, Report, migrate};
pub use partition::PartitionUnit;
pub use retention::{Keep, Kept};
pub use rows::RowBatch;
pub use run_writer::RunWriter;
pub use server::{Backing, Server};
pub use writer::Writer;
