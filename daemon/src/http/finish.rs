//! What every answer gets on its way out: headers that keep a browser safe, an entity tag, and
//! compression where the client takes it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller bodies fit one packet as they are.
const COMPRESSED_FROM_BYTES: usize = 1_024;

/// What the page may do: its own scripts and styles, its own daemon, nothing from elsewhere. The
/// hash is that of the one inline style of the vendored chart library.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='; \
     img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
     frame-ancestors 'none'; form-action 'none'";

/// The same for every answer.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// Wraps the routes.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let asked = request.headers().clone();
    let response = next.run(request).await;
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == "text/event-stream");
    let mut response = if is_get && !is_stream {
        whole(response, &asked).await
    } else {
        response
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Finishes a body that is there as a whole.
async fn whole(response: Response, asked: &HeaderMap) -> Response {
    let (mut parts, body) = response.into_parts();
    // The bodies are our own, so they are bounded where they are made.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let vary = HeaderValue::from_static("accept, accept-encoding, authorization, cookie");
    parts.headers.insert(header::VARY, vary);
    // What is asked again is compared, never assumed.
    let no_cache = HeaderValue::from_static("no-cache");
    parts
        .headers
        .entry(header::CACHE_CONTROL)
        .or_insert(no_cache);
    if parts.status == StatusCode::OK {
        let tag = tag(&bytes);
        if let Ok(value) = HeaderValue::from_str(&tag) {
            parts.headers.insert(header::ETAG, value);
        }
        if is_known(asked, &tag) {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            return Response::from_parts(parts, Body::empty());
        }
    }
    let bytes = if bytes.len() >= COMPRESSED_FROM_BYTES && takes_gzip(asked) {
        match gzip(&bytes) {
            Ok(small) => {
                let gzip = HeaderValue::from_static("gzip");
                parts.headers.insert(header::CONTENT_ENCODING, gzip);
                small
            }
            Err(_) => bytes,
        }
    } else {
        bytes
    };
    Response::from_parts(parts, Body::from(bytes))
}

/// A weak tag: the same content, however it is encoded.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}

fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let values = asked.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |q: &str| q.parse::<f32>().is_ok_and(|q| q == 0.0);
        matches!(parts.next(), Some("gzip" | "*"))
            && !parts.any(|part| part.strip_prefix("q=").is_some_and(refused))
    })
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_client_takes() {
        let check = |value: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        };
        check("gzip, deflate, br", true);
        check("br;q=1.0, gzip;q=0.8", true);
        check("gzip;q=0", false);
        check("*", true);
        check("identity", false);
    }

    #[test]
    fn compares_tags_weakly() {
        let check = |value: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            assert_eq!(is_known(&headers, "W/\"a\""), expected, "{value}");
        };
        check("W/\"a\"", true);
        check("\"a\"", true);
        check("\"b\", W/\"a\"", true);
        check("*", true);
        check("\"b\"", false);
    }
}
