//! Reading parameters: strictly, since a mistyped one must not become a default.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use divisor_engine::Time;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The parameters of a request; unknown ones are refused by the type.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => {
                let text = error.to_string();
                Err(Problem::bad_request(
                    text.chars().take(300).collect::<String>(),
                ))
            }
        }
    }
}

/// A point in time: RFC 3339 with its offset, or a date, whose day begins in UTC.
pub(super) fn time(name: &str, text: Option<&str>) -> Result<Option<Time>, Problem> {
    text.map(|text| {
        parse_time(text).ok_or_else(|| {
            Problem::bad_request(format!(
                "{name} must be a time like 2026-01-05T14:30:00Z or a date like 2026-01-05"
            ))
        })
    })
    .transpose()
}

fn parse_time(text: &str) -> Option<Time> {
    // A plus that was not escaped arrives as a space.
    let text = text.replace(' ', "+");
    let stamp = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => stamp,
        Err(_) => {
            let date: jiff::civil::Date = text.parse().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
    };
    i64::try_from(stamp.as_nanosecond())
        .ok()
        .map(Time::from_nanos)
}

/// How many rows: `usual` where the request does not say, never more than `most`.
pub(super) fn limit(asked: Option<u32>, usual: usize, most: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(usual),
        Some(0) => Err(Problem::bad_request("limit must be at least 1")),
        Some(asked) => Ok((asked as usize).min(most)),
    }
}

/// The values of the one parameter that may stand here, however often.
pub(super) fn repeated(name: &str, query: &str) -> Result<Vec<String>, Problem> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let value = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let refused = || Problem::bad_request(format!("the only parameter is `{name}`"));
        (key == name).then(|| unescape(value)).ok_or_else(refused)
    };
    pairs.map(value).collect()
}

/// A text as the value of a parameter.
pub(super) fn escape(text: &str) -> String {
    use std::fmt::Write;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The value of a parameter as text.
fn unescape(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            first,
            hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = behind;
            }
            (byte, _) => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let check = |text: &str, expected: Option<&str>| {
            let got = parse_time(text).map(|time| time.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("2026-01-05T14:30:00Z", Some("2026-01-05T14:30:00.000000Z"));
        check(
            "2026-01-05T14:30:00.5+01:00",
            Some("2026-01-05T13:30:00.500000Z"),
        );
        check(
            "2026-01-05T14:30:00 01:00",
            Some("2026-01-05T13:30:00.000000Z"),
        );
        check("2026-01-05", Some("2026-01-05T00:00:00.000000Z"));
        check("yesterday", None);
        check("9999-01-01", None);
        check("", None);
    }

    #[test]
    fn what_is_escaped_comes_back() {
        for text in ["DJIA", "a b+c%", "50%", "é/&=", "%zz", ""] {
            assert_eq!(unescape(&escape(text)), text);
        }
        assert_eq!(unescape("a+b%20c%"), "a b c%");
    }
}
