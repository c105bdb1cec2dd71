//! From values to bodies: JSON or CSV, as the request wants it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `application/json`.
    Json,
    /// `text/csv`, of what has rows.
    Csv,
}

/// The last parts of paths that have rows; a symbol may end with `.csv` as well.
const TABLES: [&str; 10] = [
    "indexes",
    "levels",
    "candles",
    "revisions",
    "changes",
    "closes",
    "corrections",
    "events",
    "securities",
    "prices",
];

/// Takes a `.csv` or `.json` off the path and notes it. This happens before routing.
pub(super) fn strip_suffix<B>(request: &mut Request<B>) {
    let path = request.uri().path();
    let last = path.rsplit('/').next().unwrap_or_default();
    let Some((name, suffix)) = last.rsplit_once('.') else {
        return;
    };
    let form = match suffix {
        "csv" => Form::Csv,
        "json" => Form::Json,
        _ => return,
    };
    if !TABLES.contains(&name) {
        return;
    }
    let short = &path[..path.len() - suffix.len() - 1];
    let query = request.uri().query().map(|q| format!("?{q}"));
    let target = format!("{short}{}", query.unwrap_or_default());
    if let Ok(uri) = target.parse::<Uri>() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(form);
    }
}

impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let named = parts.extensions.get::<Self>().copied();
        Ok(named.unwrap_or_else(|| accepted(&parts.headers)))
    }
}

/// CSV where it is wanted more than JSON.
fn accepted(headers: &HeaderMap) -> Form {
    let values = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let quality = |wanted: &str| {
        let ranges = accept.iter().flat_map(|value| value.split(','));
        ranges
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                (parts.next()? == wanted).then(|| {
                    let q = parts.find_map(|part| part.strip_prefix("q="));
                    q.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0)
                })
            })
            .fold(0.0, f32::max)
    };
    if quality("text/csv") > quality("application/json") {
        Form::Csv
    } else {
        Form::Json
    }
}

/// A kind of row and its columns in CSV: the names of its fields, in their order.
pub(super) trait Record: Serialize {
    /// The header line.
    const COLUMNS: &'static [&'static str];
}

/// Rows and where they go on.
#[derive(Debug, Serialize)]
pub(super) struct Rows<R> {
    pub(super) rows: Vec<R>,
    /// What to ask for more with; none on the last page.
    pub(super) next: Option<String>,
}

/// A value that exists as JSON alone.
pub(super) fn object(form: Form, value: &impl Serialize) -> Result<Response, Problem> {
    match form {
        Form::Json => json(value),
        Form::Csv => Err(Problem::not_acceptable(
            "this exists as application/json only",
        )),
    }
}

/// A page of rows. Where there are more, the header `Link` has their address.
pub(super) fn rows<R: Record>(
    form: Form,
    page: &Rows<R>,
    parameter: &str,
    uri: &Uri,
) -> Result<Response, Problem> {
    let next = page.next.as_deref().map(|next| (parameter, next));
    self::page(form, page, &page.rows, next, uri)
}

/// The same where the JSON has more than rows; `next` is the parameter that goes on, and its value.
pub(super) fn page<R: Record>(
    form: Form,
    document: &impl Serialize,
    rows: &[R],
    next: Option<(&str, &str)>,
    uri: &Uri,
) -> Result<Response, Problem> {
    let mut response = match form {
        Form::Json => json(document)?,
        Form::Csv => csv(rows)?,
    };
    if let Some((parameter, next)) = next {
        let link = format!("<{}>; rel=\"next\"", next_address(uri, parameter, next));
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// The same request from another place on, relative to itself.
fn next_address(uri: &Uri, parameter: &str, next: &str) -> String {
    let prefix = format!("{parameter}=");
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with(&prefix));
    let own = format!("{prefix}{}", super::query::escape(next));
    let pairs: Vec<&str> = kept.chain([own.as_str()]).collect();
    format!("?{}", pairs.join("&"))
}

pub(super) fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    Ok(typed("application/json", bytes))
}

pub(super) fn csv<R: Record>(rows: &[R]) -> Result<Response, Problem> {
    let write = || -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(Vec::new());
        writer.write_record(R::COLUMNS)?;
        for row in rows {
            writer.serialize(row)?;
        }
        writer
            .into_inner()
            .map_err(|error| error.into_error().into())
    };
    let bytes = write().map_err(|error| Problem::internal(&error))?;
    Ok(typed("text/csv; charset=utf-8", bytes))
}

/// A body of this type.
pub(super) fn typed(content_type: &'static str, bytes: impl Into<axum::body::Body>) -> Response {
    let mut response = bytes.into().into_response();
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_negotiated() {
        let check = |accept: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(accepted(&headers), expected, "{accept}");
        };
        check("*/*", Form::Json);
        check("text/csv", Form::Csv);
        check("application/json, text/csv;q=0.9", Form::Json);
        check("application/json;q=0.5, text/csv; q=0.9", Form::Csv);
        check("text/csv;q=0", Form::Json);
        check("text/html,application/xhtml+xml,*/*;q=0.8", Form::Json);
    }

    #[test]
    fn suffixes_are_those_of_tables() {
        let check = |target: &str, path: &str, form| {
            let mut request = Request::builder().uri(target).body(()).unwrap();
            strip_suffix(&mut request);
            assert_eq!(request.uri(), path);
            assert_eq!(
                request.extensions().get::<Form>().copied(),
                form,
                "{target}"
            );
        };
        check("/api/v1/indexes.csv", "/api/v1/indexes", Some(Form::Csv));
        check(
            "/a/levels.json?from=1",
            "/a/levels?from=1",
            Some(Form::Json),
        );
        check("/api/v1/securities/X.csv", "/api/v1/securities/X.csv", None);
        check("/api/v1/securities/BRK.B", "/api/v1/securities/BRK.B", None);
        check("/app.js", "/app.js", None);
    }

    #[test]
    fn the_next_page_is_the_same_request_from_there() {
        let uri: Uri = "/x?from=1&cursor=a&limit=5".parse().unwrap();
        assert_eq!(
            next_address(&uri, "cursor", "b&c"),
            "?from=1&limit=5&cursor=b%26c"
        );
        let uri: Uri = "/x".parse().unwrap();
        assert_eq!(next_address(&uri, "after", "DJIA"), "?after=DJIA");
    }
}
