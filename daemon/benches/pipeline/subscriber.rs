//! A subscriber of `indexes/+/level`: counts the levels, or takes the time to each.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::machine::thread_cpu;
use super::market::Universe;
use super::mqtt::{Connection, publish_parts};
use super::publisher::{Pace, micros_of};

const FILTER: &str = "indexes/+/level";

/// A thread that reads until it is stopped.
pub(crate) struct Subscriber<T> {
    stream: TcpStream,
    thread: JoinHandle<T>,
}

impl<T> Subscriber<T> {
    /// Stops reading and returns what was found.
    pub(crate) fn stop(self) -> T {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join().unwrap()
    }
}

/// How many levels came, and the processor time that reading them took.
pub(crate) fn counting(address: SocketAddr) -> Subscriber<(u64, Duration)> {
    let (stream, mut connection) = subscribe(address);
    let thread = thread::spawn(move || {
        let mut levels = 0;
        // A retained level has the lowest bit set and was counted when it was new.
        while let Ok(Some((first, _))) = connection.packet() {
            levels += u64::from(first == 0x30);
        }
        (levels, thread_cpu())
    });
    Subscriber { stream, thread }
}

/// The time from each tick's due time to the first level of each of its indexes that holds it, and
/// how many of these pairs were seen.
pub(crate) fn timing(
    address: SocketAddr,
    universe: &Universe,
    pace: Pace,
    skip: i64,
) -> Subscriber<(Histogram<u64>, u64)> {
    let (stream, mut connection) = subscribe(address);
    let holds: HashMap<String, Vec<bool>> = universe.holds.iter().cloned().collect();
    let thread = thread::spawn(move || {
        let mut next: HashMap<String, i64> = HashMap::new();
        let mut latency = Histogram::new(3).unwrap();
        let mut pairs = 0;
        loop {
            let (code, ts) = match connection.packet() {
                Ok(Some((0x30, body))) => level(body),
                Ok(Some(_)) => continue,
                Ok(None) | Err(_) => return (latency, pairs),
            };
            let (held, now) = (&holds[&code], micros_of(connection.read_at));
            let next = next.entry(code).or_default();
            while *next < pace.ticks && pace.ts(*next) <= ts {
                let n = *next;
                *next += 1;
                if held[n as usize % held.len()] {
                    pairs += 1;
                    if n >= skip {
                        let micros = (now - pace.due(n)).max(0).cast_unsigned();
                        latency.record(micros).unwrap();
                    }
                }
            }
        }
    });
    Subscriber { stream, thread }
}

fn subscribe(address: SocketAddr) -> (TcpStream, Connection) {
    let mut connection = Connection::open(address, "bench-subscriber").unwrap();
    connection.subscribe(FILTER).unwrap();
    (connection.stream.try_clone().unwrap(), connection)
}

/// The index and the `ts` of a level.
fn level(body: &[u8]) -> (String, i64) {
    let (topic, payload) = publish_parts(body).unwrap();
    let code = topic.split('/').nth(1).unwrap().to_owned();
    let payload = std::str::from_utf8(payload).unwrap();
    let (_, rest) = payload.split_once(r#""ts":""#).unwrap();
    let (ts, _) = rest.split_once('"').unwrap();
    let ts: jiff::Timestamp = ts.parse().unwrap();
    (code, ts.as_microsecond())
}
