//! An honest publisher and subscriber: what they see while others misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::rig::*;

/// Between two messages of the honest publisher.
const PAUSE: Duration = Duration::from_millis(2);

/// What an honest pair saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Messages sent at QoS 1, each acknowledged.
    pub(crate) sent: u32,
    /// Messages received, in their order and each once.
    pub(crate) received: u32,
    /// From before the sending to the receiving, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Seen {
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies
            .get(at.min(last))
            .copied()
            .unwrap_or_default()
    }
}

/// Runs the pair while `others` do what they do.
pub(crate) async fn beside(rig: &Rig, others: impl Future<Output = ()>) -> Seen {
    let mut subscriber = rig.v4("honest-subscriber").await;
    subscriber.subscribe("honest/+", 1).await;
    let publisher = rig.v4("honest-publisher").await;
    let stop = Arc::new(AtomicBool::new(false));
    let sending = tokio::spawn(send(publisher, Arc::clone(&stop)));
    let receiving = tokio::spawn(receive(subscriber));
    others.await;
    stop.store(true, Ordering::Relaxed);
    let sent = sending.await.unwrap();
    let mut latencies = receiving.await.unwrap();
    let received = latencies.len() as u32;
    latencies.sort_unstable();
    Seen {
        sent,
        received,
        latencies,
    }
}

/// Sends numbered messages one after the other, and at last an empty one.
async fn send(mut publisher: Raw, stop: Arc<AtomicBool>) -> u32 {
    let start = *START;
    let mut number = 0u32;
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let id = (number % 60_000) as u16 + 1;
        let payload = if stopping {
            String::new()
        } else {
            format!("{number} {}", start.elapsed().as_nanos())
        };
        publisher
            .send(&publish(2, "honest/price", id, &payload))
            .await;
        publisher
            .expect(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
        if stopping {
            return number;
        }
        number += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Receives until the empty message; fails at the first number that is missing or comes twice.
async fn receive(mut subscriber: Raw) -> Vec<Duration> {
    let start = *START;
    let mut latencies = Vec::new();
    loop {
        let (_, _, id, payload) = subscriber.message().await;
        let now = start.elapsed();
        subscriber
            .send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
        let Some((number, sent)) = payload.split_once(' ') else {
            return latencies;
        };
        assert_eq!(number.parse::<usize>().unwrap(), latencies.len());
        let sent = Duration::from_nanos(sent.parse().unwrap());
        latencies.push(now.saturating_sub(sent));
    }
}

/// What all times are counted from.
static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
