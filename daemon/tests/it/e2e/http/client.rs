//! A client that shows what is on the wire: one connection for each request, nothing hidden.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use divisor_testkit::{Daemon, PATIENCE};
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(in crate::e2e) struct Answer {
    pub(in crate::e2e) status: u16,
    pub(in crate::e2e) headers: BTreeMap<String, String>,
    pub(in crate::e2e) body: Vec<u8>,
}

impl Answer {
    pub(in crate::e2e) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(in crate::e2e) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(in crate::e2e) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Where an HTTP side is.
pub(in crate::e2e) trait Site {
    /// Its address, and what stands before every path.
    fn place(&self) -> (SocketAddr, &str);
}

impl Site for Daemon {
    fn place(&self) -> (SocketAddr, &str) {
        (self.http_address(), "")
    }
}

/// `GET path`.
pub(in crate::e2e) fn get(site: &impl Site, path: &str) -> Answer {
    get_with(site, path, &[])
}

/// The same with more headers.
pub(super) fn get_with(site: &impl Site, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(site, "GET", path, headers, "")
}

/// The JSON of a request that must succeed.
pub(super) fn json(site: &impl Site, path: &str) -> Value {
    let answer = get(site, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The status alone, for what never ends.
pub(super) fn status(site: &impl Site, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut reader = begin(site, "GET", path, headers, "");
    read_head(&mut reader).0
}

/// Any request.
pub(super) fn send(
    site: &impl Site,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut reader = begin(site, method, path, headers, body);
    let (status, headers) = read_head(&mut reader);
    let mut bytes = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|v| v == "chunked")
    {
        while let Some(chunk) = read_chunk(&mut reader) {
            bytes.extend(chunk);
        }
    } else {
        reader.read_to_end(&mut bytes).unwrap();
    }
    Answer {
        status,
        headers,
        body: bytes,
    }
}

/// Sends a request.
fn begin(
    site: &impl Site,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> BufReader<TcpStream> {
    let mut stream = connect(site);
    let prefix = site.place().1;
    let mut head =
        format!("{method} {prefix}{path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    let request = format!("{head}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// A bare connection.
pub(super) fn connect(site: &impl Site) -> TcpStream {
    let stream = TcpStream::connect(site.place().0).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_head(reader: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer: {line:?}"));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return (status, headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(length);
    (length > 0).then_some(chunk)
}

/// An event of a stream.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: Option<u64>,
    pub(super) data: Value,
}

/// A stream that is open.
pub(super) struct Stream {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Stream {
    pub(super) fn open(site: &impl Site, query: &str) -> Self {
        Self::open_with(site, query, &[])
    }

    pub(super) fn open_with(site: &impl Site, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = connect(site);
        let prefix = site.place().1;
        let mut request = format!("GET {prefix}/api/v1/stream{query} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200);
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["x-accel-buffering"], "no");
        Self {
            reader,
            text: String::new(),
        }
    }

    /// The next event; none when the stream has ended.
    pub(super) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = parse(&event) {
                    return Some(event);
                }
                continue;
            }
            let chunk = read_chunk(&mut self.reader)?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event of this name; others are passed over.
    pub(super) fn wait(&mut self, name: &str) -> Event {
        loop {
            let event = self.next();
            let event = event.unwrap_or_else(|| panic!("the stream ended before `{name}`"));
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(&format!("{name}: ")))
    };
    Some(Event {
        name: field("event")?.to_owned(),
        id: field("id").and_then(|id| id.parse().ok()),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}
