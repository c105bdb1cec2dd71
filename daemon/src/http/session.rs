//! Who asks: by a password with each request, by the cookie of a session, or nobody in particular.
//!
//! Users, roles and guessing are [`crate::access`]'s, the same as for MQTT. A session is what a page
//! has, since server-sent events cannot carry a password; it lives in memory and looks its rights up
//! again with each request. What may be read is asked by topic: an index is its level's, what
//! happens to it its event's, and a price its security's, wherever it is shown.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use divisor_engine::COMPONENT_PREFIX;
use divisor_wire::topic::{STATUS_TOPIC, event_topic, level_topic};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{Http, answer};
use crate::access::{Access, Credentials, Peer, Principal};

/// The cookie's name. It has no path, so browsers send it below `api/v1` alone, under whatever
/// prefix that is.
const COOKIE: &str = "divisor_session";

/// A session that nobody uses ends after this.
const IDLE_MAX: Duration = Duration::from_secs(12 * 3_600);

/// Sessions at the same time; the one unused for longest makes room.
const SESSIONS_MAX: usize = 10_000;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote(pub(super) IpAddr);

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Principal);

impl Caller {
    /// Whether he may see what is published on a topic.
    pub(super) fn may_read(&self, topic: &str) -> bool {
        self.0.may_read(topic)
    }

    /// Whether he may see an index: its level, its history and what it consists of.
    pub(super) fn may_see_index(&self, code: &str) -> bool {
        self.may_read(&level_topic(code))
    }

    /// Whether he may see what happens to an index.
    pub(super) fn may_see_events(&self, code: &str) -> bool {
        self.may_read(&event_topic(code))
    }

    /// Whether he may see every index, those of the future among them.
    pub(super) fn may_see_all_indexes(&self) -> bool {
        self.0.may_subscribe("indexes/#")
    }

    /// Whether he may see how the daemon does.
    pub(super) fn may_see_status(&self) -> bool {
        self.may_read(STATUS_TOPIC)
    }

    /// Whether he may see the price of a member: an index in a basket is its level.
    pub(super) fn may_see_member(&self, symbol: &str) -> bool {
        match symbol.strip_prefix(COMPONENT_PREFIX) {
            Some(code) => self.may_see_index(code),
            None => self.may_see_security(symbol),
        }
    }

    /// Whether he may see a security's prices.
    pub(super) fn may_see_security(&self, symbol: &str) -> bool {
        self.may_read(&format!("securities/{symbol}/price"))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(Problem::unauthorized)
    }
}

/// Goes on where something may be seen.
pub(super) fn allow(may_see: bool) -> Result<(), Problem> {
    may_see.then_some(()).ok_or_else(Problem::forbidden)
}

/// The sessions of pages.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Debug)]
struct Session {
    principal: Principal,
    used: Instant,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session; its secret is the cookie's value.
    fn begin(&self, principal: Principal) -> std::io::Result<String> {
        let mut random = [0u8; 32];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let used = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.used.elapsed() < IDLE_MAX);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(secret, _)| secret.clone()) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(secret.clone(), Session { principal, used });
        Ok(secret)
    }

    /// Whose session it is, with the rights that are now in force.
    fn find(&self, secret: &str, access: &Access) -> Option<Principal> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(secret)?;
        let is_idle = session.used.elapsed() >= IDLE_MAX;
        let Some(principal) = access.renew(&session.principal).filter(|_| !is_idle) else {
            sessions.remove(secret);
            return None;
        };
        session.used = Instant::now();
        Some(principal)
    }
}

/// Wraps what not everybody may see.
pub(super) async fn guard(
    State(http): State<Arc<Http>>,
    mut request: Request,
    next: Next,
) -> Response {
    match identify(&http, request.headers(), request.extensions().get()).await {
        Ok(principal) => {
            request.extensions_mut().insert(Caller(principal));
            next.run(request).await
        }
        Err(problem) => {
            let asks_itself = asks_itself(request.headers());
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED && !asks_itself {
                let basic = HeaderValue::from_static("Basic realm=\"divisor\", charset=\"UTF-8\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, basic);
            }
            response
        }
    }
}

/// True for a script in a page, which has a form of its own: the browser must not show another.
fn asks_itself(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode");
    mode.is_some_and(|mode| mode != "navigate")
}

async fn identify(
    http: &Http,
    headers: &HeaderMap,
    from: Option<&Remote>,
) -> Result<Principal, Problem> {
    if let Some(secret) = cookie(headers)
        && let Some(principal) = http.sessions.find(secret, &http.access)
    {
        return Ok(principal);
    }
    let basic = headers.get(header::AUTHORIZATION).map(|value| {
        basic(value).ok_or_else(|| Problem::bad_request("the Authorization header is not Basic"))
    });
    let basic = basic.transpose()?;
    let credentials = basic
        .as_ref()
        .map_or_else(Credentials::default, |(user, password)| Credentials {
            user: Some(user),
            password: Some(password.as_bytes()),
            certificate: &[],
        });
    login(http, headers, from, credentials).await
}

async fn login(
    http: &Http,
    headers: &HeaderMap,
    from: Option<&Remote>,
    credentials: Credentials<'_>,
) -> Result<Principal, Problem> {
    let address = address(headers, from).ok_or_else(Problem::unauthorized)?;
    let peer = Peer {
        address,
        client: "",
    };
    let outcome = http.access.login(credentials, peer).await;
    outcome.map_err(|_| Problem::unauthorized())
}

/// Who really asks: a proxy on this machine tells for whom it does.
fn address(headers: &HeaderMap, from: Option<&Remote>) -> Option<IpAddr> {
    let Remote(peer) = from?;
    if !peer.to_canonical().is_loopback() {
        return Some(*peer);
    }
    let told = headers.get_all("x-forwarded-for").iter().next_back();
    let Some(told) = told else { return Some(*peer) };
    // The last one is the proxy's own word. What cannot be read is nobody on this machine.
    told.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).iter();
    let mut pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What a page sends to sign in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    user: String,
    password: String,
}

/// Who somebody is.
#[derive(Debug, Serialize)]
struct Known<'a> {
    /// None for nobody in particular.
    user: Option<&'a str>,
}

/// `GET api/v1/session`
pub(super) async fn show(Caller(principal): Caller) -> Result<Response, Problem> {
    let user = principal.user();
    answer::json(&Known { user })
}

/// `POST api/v1/session`: the two of these are all that HTTP takes, and they change no state of
/// Divisor's.
pub(super) async fn sign_in(
    State(http): State<Arc<Http>>,
    headers: HeaderMap,
    from: Option<axum::Extension<Remote>>,
    body: Result<Json<SignIn>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(SignIn { user, password }) =
        body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let credentials = Credentials {
        user: Some(&user),
        password: Some(password.as_bytes()),
        certificate: &[],
    };
    let from = from.map(|axum::Extension(from)| from);
    let principal = login(&http, &headers, from.as_ref(), credentials).await?;
    let mut response = answer::json(&Known {
        user: principal.user(),
    })?;
    let secret = http.sessions.begin(principal);
    let secret = secret.map_err(|error| Problem::internal(&error))?;
    let is_https = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "https");
    let secure = if is_https { "; Secure" } else { "" };
    let age = IDLE_MAX.as_secs();
    let cookie = format!("{COOKIE}={secret}; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    set_cookie(&mut response, &cookie);
    Ok(response)
}

/// `DELETE api/v1/session`
pub(super) async fn sign_out(State(http): State<Arc<Http>>, headers: HeaderMap) -> Response {
    if let Some(secret) = cookie(&headers) {
        http.sessions.lock().remove(secret);
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let cookie = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Max-Age=0");
    set_cookie(&mut response, &cookie);
    response
}

fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_basic() {
        let check = |value: &'static str, expected: Option<(&str, &str)>| {
            let got = basic(&HeaderValue::from_static(value));
            let got = got
                .as_ref()
                .map(|(user, word)| (user.as_str(), word.as_str()));
            assert_eq!(got, expected, "{value}");
        };
        check("Basic YW5uOnB3", Some(("ann", "pw")));
        check("basic YW5uOnA6dw==", Some(("ann", "p:w")));
        check("Basic YW5u", None);
        check("Basic !", None);
        check("Bearer YW5uOnB3", None);
    }

    #[test]
    fn believes_a_proxy_on_this_machine_alone() {
        let check = |peer: &str, told: Option<&'static str>, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(told) = told {
                headers.insert("x-forwarded-for", HeaderValue::from_static(told));
            }
            let got = address(&headers, Some(&Remote(peer.parse().unwrap())));
            assert_eq!(
                got,
                expected.map(|text| text.parse().unwrap()),
                "{peer} {told:?}"
            );
        };
        check("127.0.0.1", None, Some("127.0.0.1"));
        check("127.0.0.1", Some("10.0.0.9, 192.0.2.7"), Some("192.0.2.7"));
        check("127.0.0.1", Some("unknown"), None);
        check("192.0.2.1", Some("127.0.0.1"), Some("192.0.2.1"));
    }

    #[test]
    fn finds_its_cookie() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("theme=dark; divisor_session=abc; x=y");
        headers.insert(header::COOKIE, value);
        assert_eq!(cookie(&headers), Some("abc"));
        assert_eq!(cookie(&HeaderMap::new()), None);
    }
}
