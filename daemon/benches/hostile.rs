//! What hostile clients do to the latency of an honest pair: the attacks of `tests/it/door/siege.rs`,
//! each in turns with a quiet time of the same length, so that whatever else the machine does falls
//! on both. Prints medians over the rounds; nothing is asserted but that no message is lost.
//!
//! `cargo bench -p divisord --bench hostile [-- SECONDS ROUNDS]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report goes to stdout, and a bench that fails has failed"
)]

#[path = "../tests/it/door/honest.rs"]
mod honest;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/door/rig.rs"]
mod rig;
#[path = "../tests/it/door/siege.rs"]
mod siege;

use std::time::{Duration, Instant};

use honest::{Seen, beside};
use rig::Rig;

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(3));
    let rounds = numbers.get(1).copied().unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("| attack | quiet p50 / p99 ms | attacked p50 / p99 ms | p99 ratio | messages |");
    println!("|---|---:|---:|---:|---:|");
    for (name, attack) in siege::ATTACKS {
        let mut quiet = Vec::new();
        let mut attacked = Vec::new();
        runtime.block_on(async {
            let rig = Rig::start(siege::under_siege()).await;
            for _ in 0..rounds {
                quiet.push(beside(&rig, tokio::time::sleep(seconds)).await);
                let until = Instant::now() + seconds;
                let other = tokio::spawn(attack(rig.address, until));
                let seen = beside(&rig, async { other.await.unwrap() }).await;
                assert_eq!(seen.sent, seen.received, "{name}");
                attacked.push(seen);
            }
        });
        let (quiet_p50, quiet_p99) = (median(&quiet, 0.5), median(&quiet, 0.99));
        let (p50, p99) = (median(&attacked, 0.5), median(&attacked, 0.99));
        println!(
            "| {name} | {quiet_p50:.2} / {quiet_p99:.2} | {p50:.2} / {p99:.2} | {:.1} | {} |",
            p99 / quiet_p99,
            attacked.iter().map(|seen| seen.sent).sum::<u32>()
        );
    }
}

/// The median over the rounds of one percentile, in milliseconds.
fn median(rounds: &[Seen], share: f64) -> f64 {
    let mut values: Vec<f64> = rounds
        .iter()
        .map(|seen| seen.percentile(share).as_secs_f64() * 1_000.0)
        .collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
