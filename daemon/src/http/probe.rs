//! What a supervisor asks: does it live, is it ready.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Http;
use super::answer::typed;

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Response {
    typed("text/plain; charset=utf-8", "ok\n")
}

/// `GET /readyz`
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
    /// What works less well, and does not keep from being ready.
    degraded: Vec<String>,
}

/// `GET /readyz`: prices are taken and levels leave. A PostgreSQL that is away changes neither.
pub(super) async fn ready(State(http): State<Arc<Http>>) -> Response {
    let reasons = http.health.unready();
    let degraded = http.health.store_trouble();
    let readiness = Readiness {
        ready: reasons.is_empty(),
        reasons,
        degraded: degraded
            .map(|why| format!("PostgreSQL: {why}"))
            .into_iter()
            .collect(),
    };
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let bytes = serde_json::to_vec(&readiness).unwrap_or_default();
    (status, typed("application/json", bytes)).into_response()
}
