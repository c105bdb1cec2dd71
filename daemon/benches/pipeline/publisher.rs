//! Publishers: as fast as a window of 1,000 unacknowledged messages allows, or paced.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};

use super::machine::thread_cpu;
use super::market::{Feed, Universe};
use super::mqtt::Connection;

/// Messages on their way at once.
const WINDOW: u64 = 1_000;

/// Which client publishes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Packets encoded beforehand, many in one write.
    Raw,
    /// The usual client library of Rust.
    Rumqttc,
}

/// What publishing took.
pub(crate) struct Published {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
}

/// Publishes `ticks` ticks through `feeds` publishers at QoS 1 and returns after the last PUBACK.
pub(crate) fn flood(
    address: SocketAddr,
    universe: &Universe,
    client: Client,
    source: &str,
    ticks: u64,
    feeds: usize,
) -> Published {
    let ready = Barrier::new(feeds);
    let start_micros = micros_now();
    let one = |feed: usize| {
        let name = format!("{source}-{feed}");
        let prices = Feed::new(&universe.items, name.clone(), feed, feeds);
        let each = ticks / feeds as u64;
        match client {
            Client::Raw => flood_raw(address, &name, prices, start_micros, each, &ready),
            Client::Rumqttc => flood_rumqttc(address, &name, prices, start_micros, each, &ready),
        }
    };
    let outcomes: Vec<(Instant, Instant, Duration)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..feeds)
            .map(|feed| scope.spawn(move || one(feed)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let began = outcomes.iter().map(|(began, ..)| *began).min().unwrap();
    let ended = outcomes.iter().map(|(_, ended, _)| *ended).max().unwrap();
    Published {
        elapsed: ended - began,
        cpu: outcomes.iter().map(|(.., cpu)| *cpu).sum(),
    }
}

fn flood_raw(
    address: SocketAddr,
    name: &str,
    mut feed: Feed,
    start_micros: i64,
    ticks: u64,
    ready: &Barrier,
) -> (Instant, Instant, Duration) {
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for n in 0..ticks {
        feed.packet(start_micros + n.cast_signed(), &mut bytes);
        ends.push(bytes.len());
    }
    let mut connection = Connection::open(address, name).unwrap();
    ready.wait();
    let (began, cpu) = (Instant::now(), thread_cpu());
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < ticks {
        let until = ticks.min(acknowledged + WINDOW);
        let packets = &bytes[ends[sent as usize]..ends[until as usize]];
        connection.stream.write_all(packets).unwrap();
        sent = until;
        // A quarter of the window is worth a write, and at the end all is waited for.
        let enough = if sent == ticks {
            ticks
        } else {
            sent - WINDOW * 3 / 4
        };
        while acknowledged < enough {
            assert_eq!(connection.packet().unwrap().unwrap().0, 0x40);
            acknowledged += 1;
        }
    }
    (began, Instant::now(), thread_cpu() - cpu)
}

fn flood_rumqttc(
    address: SocketAddr,
    name: &str,
    mut feed: Feed,
    start_micros: i64,
    ticks: u64,
    ready: &Barrier,
) -> (Instant, Instant, Duration) {
    let mut messages = Vec::new();
    for n in 0..ticks {
        let mut payload = Vec::new();
        let topic = feed
            .tick(start_micros + n.cast_signed(), &mut payload)
            .to_owned();
        messages.push((topic, payload));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
        options.set_inflight(WINDOW as u16);
        let (client, mut events) = AsyncClient::new(options, WINDOW as usize);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        while !matches!(
            events.poll().await.unwrap(),
            Event::Incoming(Incoming::ConnAck(_))
        ) {}
        ready.wait();
        let (began, cpu) = (Instant::now(), thread_cpu());
        tokio::spawn(async move {
            for (topic, payload) in messages {
                client
                    .publish(topic, QoS::AtLeastOnce, false, payload)
                    .await
                    .unwrap();
            }
            // The event loop ends with its last client.
            std::future::pending::<()>().await;
        });
        let mut acknowledged = 0;
        while acknowledged < ticks {
            if let Event::Incoming(Incoming::PubAck(_)) = events.poll().await.unwrap() {
                acknowledged += 1;
            }
        }
        (began, Instant::now(), thread_cpu() - cpu)
    })
}

/// The plan of a paced publisher: tick `n` is due in its millisecond, with `n` in its time.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) start_micros: i64,
    pub(crate) per_milli: i64,
    pub(crate) ticks: i64,
}

impl Pace {
    /// When tick `n` should leave, in microseconds since 1970.
    pub(crate) const fn due(self, n: i64) -> i64 {
        self.start_micros + n / self.per_milli * 1_000
    }

    /// The `ts` of tick `n`: rising, and still in its millisecond.
    pub(crate) const fn ts(self, n: i64) -> i64 {
        self.due(n) + n % self.per_milli
    }
}

/// Publishes to the plan whatever the answers do, and returns the time from due to PUBACK, so that
/// a publisher that is held up counts what it would have sent (no coordinated omission).
pub(crate) fn paced(
    address: SocketAddr,
    universe: &Universe,
    source: &str,
    pace: Pace,
    skip: i64,
) -> Histogram<u64> {
    let mut connection = Connection::open(address, source).unwrap();
    let mut stream = connection.stream.try_clone().unwrap();
    let mut feed = Feed::new(&universe.items, source.to_owned(), 0, 1);
    let sender = thread::spawn(move || {
        let mut packets = Vec::new();
        for first in (0..pace.ticks).step_by(pace.per_milli as usize) {
            packets.clear();
            for n in first..(first + pace.per_milli).min(pace.ticks) {
                feed.packet(pace.ts(n), &mut packets);
            }
            sleep_until(pace.due(first));
            stream.write_all(&packets).unwrap();
        }
    });
    let mut latency = Histogram::new(3).unwrap();
    for n in 0..pace.ticks {
        assert_eq!(connection.packet().unwrap().unwrap().0, 0x40);
        if n >= skip {
            let micros = micros_of(connection.read_at) - pace.due(n);
            latency.record(micros.max(0).cast_unsigned()).unwrap();
        }
    }
    sender.join().unwrap();
    latency
}

fn sleep_until(micros: i64) {
    let left = micros - micros_now();
    if left > 0 {
        thread::sleep(Duration::from_micros(left.cast_unsigned()));
    }
}

pub(crate) fn micros_now() -> i64 {
    micros_of(SystemTime::now())
}

pub(crate) fn micros_of(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros() as i64
}
