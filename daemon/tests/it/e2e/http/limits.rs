//! What clients that behave badly come to: their own connection ends, and nobody else's.

use std::io::{Read, Write};

use super::client::{connect, get, send};
use super::{daemon, with_pair};

#[test]
fn heads_are_bounded() {
    let (daemon, _desk) = with_pair();
    let long = "x".repeat(100_000);
    let answer = send(&daemon, "GET", "/healthz", &[("x-long", &long)], "");
    assert_eq!(answer.status, 431);
    let many: Vec<(String, String)> = (0..200)
        .map(|n| (format!("x-{n}"), "1".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(send(&daemon, "GET", "/healthz", &many, "").status, 431);
    assert_eq!(get(&daemon, "/healthz").status, 200);
}

#[test]
fn a_head_that_never_ends_is_not_waited_for() {
    let daemon = daemon().http().set("http.request_timeout=300ms").start();
    let mut stream = connect(&daemon);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: te")
        .unwrap();
    let mut rest = Vec::new();
    // The end comes by the daemon; the client waits longer than that.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(get(&daemon, "/healthz").status, 200);
}

#[test]
fn connections_are_bounded() {
    let daemon = daemon().http().set("http.connections_max=2").start();
    let first = connect(&daemon);
    let second = connect(&daemon);
    let mut third = connect(&daemon);
    let mut told = String::new();
    let _ = third.read_to_string(&mut told);
    assert!(
        told.is_empty() || told.starts_with("HTTP/1.1 503"),
        "{told}"
    );
    drop((first, second));
    divisor_testkit::eventually("room again", || {
        let mut stream = connect(&daemon);
        let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let mut told = String::new();
        let _ = stream.read_to_string(&mut told);
        told.contains("200 OK").then_some(())
    });
}

#[test]
fn streams_are_bounded() {
    let daemon = daemon().http().set("http.streams_max=1").start();
    let _open = super::client::Stream::open(&daemon, "");
    let answer = get(&daemon, "/api/v1/stream");
    assert_eq!(answer.status, 503);
    assert_ne!(answer.header("retry-after"), "");
}

#[test]
fn malformed_requests_end_their_own_connection() {
    let (daemon, _desk) = with_pair();
    for bytes in [
        &b"\0\0\0\0\0\0\0\0\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://\xff/ HTTP/1.1\r\n\r\n",
        b"POST /api/v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut stream = connect(&daemon);
        stream.write_all(bytes).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!told.contains("200 OK"), "{told}");
    }
    assert_eq!(get(&daemon, "/healthz").status, 200);
}
