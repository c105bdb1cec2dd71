//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use super::{Http, answer, finish, history, live, metrics, page, probe, stream, topics};

/// Nothing that is sent here is long.
const BODY_BYTES_MAX: usize = 4 << 10;

/// The description of all this.
pub(super) const OPENAPI: &str = include_str!("../../../docs/openapi.json");

/// All routes, wrapped in what each answer gets.
pub(super) fn router(http: Arc<Http>) -> Router {
    let api = Router::new()
        .route("/indexes", get(live::indexes))
        .route("/indexes/{code}", get(live::index))
        .route("/securities", get(live::securities))
        .route("/securities/{symbol}", get(live::security))
        .route("/status", get(live::status))
        .route("/stream", get(stream::stream))
        .route("/topics/{*topic}", get(topics::topic))
        .merge(history::routes())
        .route("/openapi.json", get(openapi));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(probe::live))
        .route("/readyz", get(probe::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/", get(page::index))
        .route("/{*path}", get(page::asset))
        .method_not_allowed_fallback(|| async { Problem::method() })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&http), in_time))
        .layer(from_fn(finish::finish))
        .layer(from_fn_with_state(Arc::clone(&http), metrics::count))
        .with_state(http)
}

async fn openapi() -> Response {
    answer::typed("application/json", OPENAPI)
}

/// Gives up on an answer that takes too long.
async fn in_time(State(http): State<Arc<Http>>, request: Request, next: Next) -> Response {
    let patience = http.settings.request_timeout;
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("this took too long").into_response(),
    }
}
