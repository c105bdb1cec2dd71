//! Behind a reverse proxy that puts a prefix before everything: the page with all it needs, the
//! interface and the stream. A reference that begins at the root would miss the daemon.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use divisor_testkit::Daemon;

use super::client::{Site, Stream, get, json, send};
use super::{price, with_pair};

const PREFIX: &str = "/quotes/live";

/// Takes the prefix off and passes everything on; what has none is nobody's. As nginx does it with
/// `location /quotes/live/ { proxy_pass http://…/; }`.
struct Proxy(SocketAddr);

impl Site for Proxy {
    fn place(&self) -> (SocketAddr, &str) {
        (self.0, PREFIX)
    }
}

impl Proxy {
    fn before(daemon: &Daemon) -> Self {
        let upstream = daemon.http_address();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || pass(client, upstream));
            }
        });
        Self(address)
    }
}

fn pass(mut client: TcpStream, upstream: SocketAddr) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let Some((method, rest)) = line.split_once(&format!(" {PREFIX}/")) else {
        let _ = client.write_all(b"HTTP/1.1 421 Not Ours\r\ncontent-length: 0\r\n\r\n");
        return;
    };
    let mut server = TcpStream::connect(upstream).unwrap();
    server
        .write_all(format!("{method} /{rest}x-forwarded-for: 127.0.0.1\r\n").as_bytes())
        .unwrap();
    let mut back = server.try_clone().unwrap();
    let answers = thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut client);
        // Both ends were told by one `connection: close`; the other half waits for this.
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    let _ = std::io::copy(&mut reader, &mut server);
    let _ = answers.join();
}

/// What stands in quotes behind one of these words in a text.
fn quoted<'a>(text: &'a str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    words.iter().flat_map(move |word| {
        let found = text.split(word).skip(1);
        found.filter_map(|rest| rest.split('"').next())
    })
}

/// Where a reference leads from a file.
fn resolved(from: &str, reference: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in reference.split('/') {
        match part {
            "." | "" => {}
            ".." => assert!(
                parts.pop().is_some(),
                "{reference} of {from} leaves the page"
            ),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn the_page_is_whole_under_a_prefix() {
    let (daemon, _desk) = with_pair();
    let proxy = Proxy::before(&daemon);
    let mut known = BTreeSet::from(["index.html".to_owned()]);
    let mut left = vec!["index.html".to_owned()];
    while let Some(file) = left.pop() {
        let path = if file == "index.html" { "" } else { &file };
        let answer = get(&proxy, &format!("/{path}"));
        assert_eq!(answer.status, 200, "{file}");
        if file.starts_with("vendor/") || file.ends_with(".svg") {
            continue;
        }
        let text = answer.text();
        let words: &[&str] = if file.ends_with(".html") {
            &["src=\"", "href=\""]
        } else {
            &[" from \"", "import \"", "url(\""]
        };
        for reference in quoted(&text, words) {
            // In scripts only what begins with a dot is a file; other words stand in texts.
            let is_word = !file.ends_with(".html") && !reference.starts_with(['.', '/']);
            if is_word || reference.starts_with('#') || reference.contains("://") {
                continue;
            }
            assert!(!reference.starts_with('/'), "{file} names {reference}");
            let next = resolved(&file, reference);
            if known.insert(next.clone()) {
                left.push(next);
            }
        }
    }
    let ours = |end: &str| known.iter().filter(|file| file.ends_with(end)).count();
    assert!(
        ours(".js") > 15 && ours(".css") > 3 && ours(".mjs") == 1,
        "{known:?}"
    );
    // The page asks for what lies beside it.
    let api = get(&proxy, "/js/api.js").text();
    assert!(api.contains("const BASE = \"api/v1/\""));
}

#[test]
fn interface_and_stream_work_under_a_prefix() {
    let (daemon, desk) = with_pair();
    let proxy = Proxy::before(&daemon);
    assert_eq!(json(&proxy, "/api/v1/indexes")["rows"][0]["code"], "PAIR");
    let first = get(&proxy, "/api/v1/securities?limit=1");
    let link = first.header("link").to_owned();
    let next = link.split(['<', '>']).nth(1).unwrap();
    assert!(next.starts_with('?'), "relative to what was asked: {link}");
    let second = json(&proxy, &format!("/api/v1/securities{next}"));
    assert_eq!(second["rows"][0]["symbol"], "BBB");
    let mut stream = Stream::open(&proxy, "?index=PAIR");
    stream.wait("snapshot");
    price(&desk, "AAA", "21", "2026-01-05T17:00:00Z");
    assert_eq!(stream.wait("levels").data[0]["level"], "71.00");
    // The cookie has no path of the daemon's own: it holds where the page lies.
    let body = "{\"user\":\"ann\",\"password\":\"x\"}";
    let headers = [("content-type", "application/json")];
    let answer = send(&proxy, "POST", "/api/v1/session", &headers, body);
    assert_eq!(answer.status, 200);
    assert!(
        !answer
            .header("set-cookie")
            .to_ascii_lowercase()
            .contains("path")
    );
    assert_eq!(get(&proxy, "/healthz").status, 200);
}
