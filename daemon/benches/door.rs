//! How many QoS 1 prices one connection gets through the door, and how long one waits.
//!
//! Raw pre-encoded single-tick publishes with a window of 1000 against a sequencer that
//! acknowledges at once, so what is measured is socket, codec, tick and acknowledgement. Then the
//! other direction: levels through the router to one subscriber at QoS 0. Without `--bench` (as
//! `cargo test --benches` runs it) the numbers are small, so that it never rots.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divisord::access::{self, Access};
use divisord::door::{Counters, Door, Exchange, Publication, Settings, bind, serve};
use divisord::ingress::{Receipt, Submission};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

const WINDOW: usize = 1_000;
const PER_WRITE: usize = 64;
const PAYLOAD: &str =
    r#"{"price":"189.84","ts":"2026-11-22T14:30:00.123456Z","src":"feed-1","inc":7,"seq":42}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let messages = if std::env::args().any(|arg| arg == "--bench") {
        1_000_000
    } else {
        5_000
    };
    decode(messages);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (address, exchange) = open().await?;
        for _ in 0..3 {
            inbound(address, messages).await?;
        }
        for _ in 0..3 {
            outbound(address, &exchange, messages).await?;
        }
        Ok(())
    })
}

fn report(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    say(&format!("{what}: {count} in {took:.3?}, {rate:.0}/s"));
}

#[expect(clippy::print_stdout, reason = "a bench has no other way to report")]
fn say(line: &str) {
    println!("{line}");
}

/// The best and the median of 100 runs: the machine is rarely quiet, and a preempted run says
/// nothing about the code.
fn decode(count: usize) {
    let each = count / 100;
    let mut runs: Vec<u128> = (0..100)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..each {
                let payload = std::hint::black_box(PAYLOAD.as_bytes());
                assert!(std::hint::black_box(divisor_wire::tick::decode(payload, 1_000)).is_ok());
            }
            started.elapsed().as_nanos() / each as u128
        })
        .collect();
    runs.sort_unstable();
    say(&format!(
        "tick decoded in {} ns at best, {} ns in the median",
        runs[0], runs[50]
    ));
}

async fn open() -> Result<(SocketAddr, Arc<Exchange>), Box<dyn std::error::Error>> {
    let settings = Settings {
        queue_messages_max: 2_000_000,
        queue_bytes_max: 1 << 30,
        segment_bytes: 64 << 20,
        ..Settings::default()
    };
    let access = Access::open(access::Settings::default())?;
    let counters = Arc::new(Counters::default());
    let exchange = Exchange::start(&settings, Arc::clone(&counters))?;
    let (ingress, mut submissions) = mpsc::channel::<Submission>(1_024);
    tokio::spawn(async move {
        while let Some(submission) = submissions.recv().await {
            if let Some(last) = submission.messages.last() {
                let receipt = Receipt {
                    durable: last.ticket,
                    refusals: Vec::new(),
                };
                let _ = submission.receipts.send(receipt);
            }
        }
    });
    let door = Door::new(settings, access, Arc::clone(&exchange), ingress, counters);
    let listeners = bind(&["127.0.0.1:0".parse()?]).await?;
    let address = listeners[0].local_addr()?;
    let (stop, shutdown) = watch::channel(false);
    tokio::spawn(async move {
        serve(
            listeners.into_iter().map(Into::into).collect(),
            door,
            shutdown,
        )
        .await;
        drop(stop);
    });
    Ok((address, exchange))
}

async fn client(address: SocketAddr, id: u8) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream
        .write_all(&[&b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01"[..], &[id]].concat())
        .await?;
    stream.read_exact(&mut [0; 4]).await?;
    Ok(stream)
}

/// One client on a thread of its own runtime's worker: writes 64 publishes, reads what there is.
async fn inbound(address: SocketAddr, count: usize) -> std::io::Result<()> {
    let mut stream = client(address, b'i').await?;
    let mut chunk = Vec::new();
    for number in 0..PER_WRITE {
        let topic = format!("securities/S{number}/price");
        let len = 2 + topic.len() + 2 + PAYLOAD.len();
        chunk.extend([0x32]);
        if len > 0x7f {
            chunk.extend([(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
        } else {
            chunk.push(len as u8);
        }
        chunk.extend((topic.len() as u16).to_be_bytes());
        chunk.extend(topic.as_bytes());
        chunk.extend((number as u16 + 1).to_be_bytes());
        chunk.extend(PAYLOAD.as_bytes());
    }
    let (mut sent, mut acked_bytes) = (0, 0);
    let mut buffer = vec![0; 64 * 1024];
    let started = Instant::now();
    while acked_bytes / 4 < count {
        if sent < count && sent + PER_WRITE - acked_bytes / 4 <= WINDOW {
            stream.write_all(&chunk).await?;
            sent += PER_WRITE;
        } else {
            acked_bytes += stream.read(&mut buffer).await?;
        }
    }
    report("prices in, QoS 1", sent, started.elapsed());
    Ok(())
}

async fn outbound(
    address: SocketAddr,
    exchange: &Arc<Exchange>,
    count: usize,
) -> std::io::Result<()> {
    let mut stream = client(address, b'o').await?;
    stream.write_all(b"\x82\x0e\0\x01\0\x09indexes/#\0").await?;
    stream.read_exact(&mut [0; 5]).await?;
    let exchange = Arc::clone(exchange);
    let payload = "x".repeat(200);
    let topic: Arc<str> = "indexes/DOW30/level".into();
    let wanted = count * (3 + 2 + topic.len() + payload.len());
    let started = Instant::now();
    let read = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&read);
    let packet_len = wanted / count;
    let publisher = std::thread::spawn(move || {
        let payload = bytes::Bytes::from(payload);
        for number in 0..count / 100 {
            // A subscriber that is further behind would lose levels, and that is another test.
            while number * 100 > seen.load(Ordering::Relaxed) / packet_len + 50_000 {
                std::thread::sleep(Duration::from_micros(100));
            }
            let batch = (0..100)
                .map(|_| Publication::from_daemon(Arc::clone(&topic), payload.clone(), false));
            exchange.publish_many(batch);
        }
    });
    let mut buffer = vec![0; 256 * 1024];
    let mut got = 0;
    while got < wanted {
        match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await {
            Ok(count) => {
                got += count?;
                read.store(got, Ordering::Relaxed);
            }
            Err(_) => break,
        }
    }
    report(
        "levels out, QoS 0",
        got / (wanted / count),
        started.elapsed(),
    );
    let _ = publisher.join();
    Ok(())
}
