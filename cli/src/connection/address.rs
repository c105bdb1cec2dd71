//! `mqtt://user:password@host:port` to its parts; `mqtts://` is over TLS.

/// Where the broker is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name or number; an IPv6 address stands in brackets.
    pub(crate) host: String,
    /// The port, where one is given.
    pub(crate) port: Option<u16>,
    /// Whether TLS is spoken.
    pub(crate) secure: bool,
    /// User and password.
    pub(crate) login: Option<(String, String)>,
}

/// The ports of MQTT without and with TLS.
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;

impl Address {
    /// The port: the usual one where none is given.
    pub(crate) fn port(&self) -> u16 {
        let usual = if self.secure { TLS_PORT } else { PORT };
        self.port.unwrap_or(usual)
    }
}

/// A daemon on this machine.
impl Default for Address {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: None,
            secure: false,
            login: None,
        }
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secure, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("mqtt" | "tcp", rest)) => (false, rest),
            Some(("mqtts" | "ssl" | "tls", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "`{scheme}` is unknown; use mqtt://HOST:PORT or mqtts://HOST:PORT"
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The last @ is the separator, so that a password may hold one.
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (host, port) = place_of(place)?;
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decoded(user), decoded(password))
        });
        Ok(Self {
            host,
            port,
            secure,
            login,
        })
    }
}

fn place_of(place: &str) -> Result<(String, Option<u16>), String> {
    let bracket = place.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match place[bracket..].rfind(':') {
        Some(colon) => {
            let colon = bracket + colon;
            let port = place[colon + 1..]
                .parse()
                .map_err(|_| format!("`{}` is not a port", &place[colon + 1..]))?;
            (&place[..colon], Some(port))
        }
        None => (place, None),
    };
    if host.is_empty() {
        return Err("the host is missing; use mqtt://HOST:PORT".to_owned());
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err("put an IPv6 address in brackets: mqtt://[::1]:1883".to_owned());
    }
    if host.contains(['/', '?', '#']) {
        return Err(format!("`{host}` is not a host; use mqtt://HOST:PORT"));
    }
    Ok((host.to_owned(), port))
}

/// Undoes percent-encoding; what is not an escape stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *byte == b'%');
        let value = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(value.unwrap_or(*byte));
        rest = &tail[if value.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Without the password, for messages.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "mqtts" } else { "mqtt" };
        let user = self.login.as_ref().map(|(user, _)| format!("{user}@"));
        let user = user.unwrap_or_default();
        write!(f, "{scheme}://{user}{}:{}", self.host, self.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = text
                .parse::<Address>()
                .map(|a| format!("{a} {:?}", a.login));
            match expected {
                Ok(shown) => assert_eq!(got.as_deref(), Ok(shown), "{text}"),
                Err(part) => assert!(got.as_ref().is_err_and(|e| e.contains(part)), "{got:?}"),
            }
        };
        check("mqtt://127.0.0.1:1883", Ok("mqtt://127.0.0.1:1883 None"));
        check("broker", Ok("mqtt://broker:1883 None"));
        check("tcp://broker:99/", Ok("mqtt://broker:99 None"));
        check("mqtt://[::1]:7", Ok("mqtt://[::1]:7 None"));
        check("[::1]", Ok("mqtt://[::1]:1883 None"));
        check(
            "mqtt://ann:p%40s:s@h",
            Ok(r#"mqtt://ann@h:1883 Some(("ann", "p@s:s"))"#),
        );
        check("mqtts://h", Ok("mqtts://h:8883 None"));
        check("mqtts://h:1", Ok("mqtts://h:1 None"));
        check("wss://h", Err("`wss` is unknown"));
        check("http://h", Err("`http` is unknown"));
        check("mqtt://h:x", Err("`x` is not a port"));
        check("mqtt://:1", Err("host is missing"));
        check("::1", Err("brackets"));
        check("mqtt://h/a/b", Err("is not a host"));
    }
}
