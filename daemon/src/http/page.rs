//! The page: the files of `web/`, embedded.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::answer::typed;
use super::problem::Problem;

/// Everything in `web/`. A debug build reads the files where they are, so that a change shows on
/// reload.
#[derive(RustEmbed)]
#[folder = "../web"]
struct Web;

/// What `web/` may hold, and what browsers are told.
const TYPES: [(&str, &str); 10] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("txt", "text/plain; charset=utf-8"),
];

/// `GET /`
pub(super) async fn index() -> Response {
    file("index.html").unwrap_or_else(IntoResponse::into_response)
}

/// `GET /{path}`
pub(super) async fn asset(Path(path): Path<String>) -> Result<Response, Problem> {
    file(&path)
}

fn file(path: &str) -> Result<Response, Problem> {
    let suffix = path.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let content_type = TYPES.iter().find(|(known, _)| *known == suffix);
    match (Web::get(path), content_type) {
        (Some(file), Some((_, content_type))) => Ok(typed(content_type, file.data.into_owned())),
        _ => Err(Problem::not_found("there is no such page")),
    }
}
