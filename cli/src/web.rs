//! The daemon's HTTP side, for what MQTT does not have: history. Over TLS it is a reverse proxy's.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::Globals;
use crate::connection::{ConnectError, trust};
use crate::exit::WrongInput;

/// The port of divisord's HTTP side.
const PORT: u16 = 8383;

/// How long an answer may take; the daemon gives up before.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where the HTTP side is.
#[derive(Debug, Clone, Args)]
pub(crate) struct HttpArgs {
    /// The page's address, such as `http://127.0.0.1:8383/` or `https://example.org/indexes/`
    ///
    /// By default it is looked for on the broker's host, at port 8383. A user and a password in it, or
    /// those for the broker, are sent along; with `https://` the trust of `--ca` counts.
    #[arg(long, value_name = "URL", env = "DIVISOR_HTTP", hide_env_values = true)]
    http: Option<Place>,
}

/// An address of the page: a host, a port, and whatever prefix a proxy has put before it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    secure: bool,
    host: String,
    port: u16,
    /// Begins and ends with a slash.
    prefix: String,
    login: Option<(String, String)>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secure, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}` is unknown; use http://HOST:PORT/ or https://HOST/"
                ));
            }
        };
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains(['?', '#']) {
            return Err("the page's address has neither ? nor #".to_owned());
        }
        // Host, port and login are written as in the address of a broker.
        let address: crate::connection::Address = place.parse()?;
        let path = path.trim_matches('/');
        Ok(Self {
            host: address.host,
            port: address.port.unwrap_or(if secure { 443 } else { 80 }),
            secure,
            prefix: if path.is_empty() {
                "/".to_owned()
            } else {
                format!("/{path}/")
            },
            login: address.login,
        })
    }
}

/// Without the password.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.prefix)
    }
}

/// An address of the page, and whom we trust there.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    place: Place,
    /// `None` without TLS.
    tls: Option<Arc<ClientConfig>>,
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place.fmt(f)
    }
}

impl HttpArgs {
    /// The site that is meant.
    ///
    /// # Errors
    /// When what is trusted cannot be read, or a password would leave in the clear unasked.
    pub(crate) fn site(&self, globals: &Globals) -> anyhow::Result<Site> {
        let broker = &globals.broker.address;
        if self.http.is_none() && broker.secure && broker.login.is_some() {
            let message = "the broker is spoken to over TLS, and divisord's page is not: say \
                           where it is with --http https://HOST/, or http://HOST:8383/";
            return Err(WrongInput::one(message).into());
        }
        let mut place = self.http.clone().unwrap_or_else(|| Place {
            secure: false,
            host: broker.host.clone(),
            port: PORT,
            prefix: "/".to_owned(),
            login: None,
        });
        place.login = place.login.or_else(|| broker.login.clone());
        let tls = place.secure.then(|| trust(&globals.login)).transpose()?;
        Ok(Site { place, tls })
    }
}

/// What the daemon says when it refuses.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// Asks for something below the page's address.
pub(crate) async fn get(site: &Site, path: &str) -> anyhow::Result<Bytes> {
    let asking = tokio::time::timeout(TIMEOUT, ask(site, path));
    let (status, body) = asking
        .await
        .with_context(|| format!("{site} did not answer in time"))??;
    if status.is_success() {
        return Ok(body);
    }
    let problem = serde_json::from_slice::<Problem>(&body);
    let detail = problem.map_or_else(|_| status.to_string(), |problem| problem.detail);
    match status {
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Err(WrongInput::one(detail).into()),
        StatusCode::UNAUTHORIZED => {
            bail!("{site} wants a user: use --user ({detail})")
        }
        _ => bail!("{site}: {detail}"),
    }
}

/// The same as JSON.
pub(crate) async fn json<T: DeserializeOwned>(site: &Site, path: &str) -> anyhow::Result<T> {
    let body = get(site, path).await?;
    serde_json::from_slice(&body).with_context(|| format!("{site} answers something else"))
}

async fn ask(site: &Site, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let place = &site.place;
    let host = place.host.trim_matches(['[', ']']);
    let unreachable = |error| ConnectError::unreachable(&place.to_string(), &error);
    let stream = TcpStream::connect((host, place.port)).await;
    let stream = stream.map_err(unreachable)?;
    match &site.tls {
        None => exchange(place, path, stream).await,
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned());
            let name = name.map_err(|_| WrongInput::one(format!("`{host}` is no name for TLS")))?;
            let connector = TlsConnector::from(Arc::clone(tls));
            let stream = connector.connect(name, stream).await.map_err(unreachable)?;
            exchange(place, path, stream).await
        }
    }
}

async fn exchange<S>(place: &Place, path: &str, stream: S) -> anyhow::Result<(StatusCode, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::get(format!("{}{path}", place.prefix))
        .header(header::HOST, format!("{}:{}", place.host, place.port))
        .header(header::ACCEPT, "application/json");
    if let Some((user, password)) = &place.login {
        use base64::Engine;
        let pair = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
        request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
    }
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}

/// A page of rows.
#[derive(Debug, Deserialize)]
struct Page<R> {
    rows: Vec<R>,
    next: Option<String>,
}

/// All rows of a list, page by page; `parameter` is what the next page is asked for with.
pub(crate) async fn rows<R: DeserializeOwned>(
    site: &Site,
    path: &str,
    parameter: &str,
) -> anyhow::Result<Vec<R>> {
    let mut rows = Vec::new();
    let mut query = String::new();
    loop {
        let page: Page<R> = json(site, &format!("{path}{query}")).await?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => query = format!("?{parameter}={}", escape(&next)),
            None => return Ok(rows),
        }
    }
}

/// A text as a part of a path or a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = text.parse::<Place>().map(|place| place.to_string());
            match expected {
                Ok(shown) => assert_eq!(got.as_deref(), Ok(shown), "{text}"),
                Err(part) => assert!(got.as_ref().is_err_and(|e| e.contains(part)), "{got:?}"),
            }
        };
        check("http://127.0.0.1:8383", Ok("http://127.0.0.1:8383/"));
        check("127.0.0.1:8383/", Ok("http://127.0.0.1:8383/"));
        check("http://host/indexes/", Ok("http://host:80/indexes/"));
        check("http://[::1]:1/a/b", Ok("http://[::1]:1/a/b/"));
        check("http://ann:pw@h:1", Ok("http://h:1/"));
        check("https://h", Ok("https://h:443/"));
        check("https://ann:pw@h:8443/ix", Ok("https://h:8443/ix/"));
        check("mqtt://h", Err("`mqtt` is unknown"));
        check("http://h/?x", Err("neither"));
        check("http://h:x", Err("not a port"));
    }
}
