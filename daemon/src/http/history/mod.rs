//! History: what PostgreSQL holds, read by a few connections that can do nothing else.
//!
//! While PostgreSQL is away every answer here is 503 and everything live goes on. Pages go on by a
//! cursor, the place of a row, so that what is written meanwhile moves nothing.

mod as_of;
mod baskets;
mod candles;
mod changes;
mod closes;
mod corrections;
mod events;
mod explain;
mod fx;
mod levels;
mod official;
mod past;
mod pool;
mod prices;
mod span;
mod sparklines;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::Http;
use super::problem::Problem;
pub(super) use closes::{Closes, Remembered, closes};
pub(super) use fx::Fx;
pub(crate) use pool::Pool as History;

/// The routes below `api/v1`.
pub(super) fn routes() -> Router<Arc<Http>> {
    Router::new()
        .route("/indexes/{code}/levels", get(levels::levels))
        .route("/indexes/{code}/candles", get(candles::candles))
        .route("/indexes/{code}/composition", get(baskets::composition))
        .route("/indexes/{code}/revisions", get(baskets::revisions))
        .route("/indexes/{code}/explain", get(explain::explained))
        .route("/indexes/{code}/changes", get(changes::changes))
        .route("/indexes/{code}/closes", get(official::closes))
        .route("/indexes/{code}/events", get(events::of_index))
        .route("/events", get(events::of_all))
        .route("/corrections", get(corrections::list))
        .route("/corrections/{run}", get(corrections::one))
        .route("/sparklines", get(sparklines::sparklines))
        .route("/securities/{symbol}/prices", get(prices::prices))
}

impl History {
    /// The way to history, where there is one by configuration.
    fn of(http: &Http) -> Result<&Self, Problem> {
        http.history
            .as_ref()
            .ok_or_else(|| Problem::unavailable("this daemon stores nothing: it has no PostgreSQL"))
    }
}
