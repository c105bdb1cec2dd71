//! What hostile clients do to the latency of an honest pair: the attacks of `tests/it/door/siege.rs`,
//! each in turns with a quiet time of the same length, so that whatever else the machine does falls
//! on both. Prints medians over the rounds; nothing is asserted but that no message is lost.
//!
//! Attackers and the pair are elsewhere in truth. Here the attackers' threads run when nothing else
//! does (`SCHED_IDLE`) and the pair's when it wants to (`SCHED_FIFO`, where that is allowed), so that what
//! is measured is the door and not who of its clients gets the machine.
//!
//! `cargo bench -p divisord --bench hostile [-- SECONDS ROUNDS [ATTACK]]`, ATTACK a part of a name.

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

use std::process::Command;
use std::time::{Duration, Instant};

use honest::{Seen, beside};
use siege::Besieged;
use tokio::runtime::Runtime;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let number = words.next().map_or(1.2, |word| word.parse().unwrap());
    let length = Duration::from_secs_f64(number);
    let rounds = words.next().map_or(3, |word| word.parse().unwrap());
    let wanted = words.next().unwrap_or_default();
    let door = runtime(|| {});
    let attackers = runtime(|| {
        assert!(schedule("--idle", 0), "chrt of util-linux is needed");
    });
    if !schedule("--fifo", 1) {
        println!(
            "The pair has no priority (CAP_SYS_NICE is missing): it waits for the attacked too.\n"
        );
    }
    let pair = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("| attack | quiet p50 / p99 ms | attacked p50 / p99 ms | p99 ratio | messages |");
    println!("|---|---:|---:|---:|---:|");
    let attacks = siege::ATTACKS.iter();
    for (name, attack) in attacks.filter(|(name, _)| name.contains(&wanted)) {
        let besieged = door.block_on(door.spawn(Besieged::start())).unwrap();
        let mut quiet = Vec::new();
        let mut attacked = Vec::new();
        for _ in 0..rounds {
            quiet.push(pair.block_on(beside(&besieged.rig, async {
                tokio::time::sleep(length).await;
            })));
            let until = Instant::now() + length;
            let attacking = attackers.spawn(attack(besieged.target.clone(), until));
            let others = async { attacking.await.unwrap() };
            let seen = pair.block_on(beside(&besieged.rig, others));
            assert_eq!(seen.sent, seen.received, "{name}");
            attacked.push(seen);
        }
        let (quiet_p50, quiet_p99) = (median(&quiet, 0.5), median(&quiet, 0.99));
        let (p50, p99) = (median(&attacked, 0.5), median(&attacked, 0.99));
        println!(
            "| {name} | {quiet_p50:.2} / {quiet_p99:.2} | {p50:.2} / {p99:.2} | {:.1} | {} |",
            p99 / quiet_p99,
            attacked.iter().map(|seen| seen.sent).sum::<u32>()
        );
    }
}

/// Gives the calling thread another scheduling policy; false when it may not have it.
fn schedule(policy: &str, priority: u8) -> bool {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt")
        .args([policy, "--pid", &priority.to_string(), &thread])
        .status();
    status.is_ok_and(|status| status.success())
}

/// Two threads, each of which begins with this.
fn runtime(begin: fn()) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(begin)
        .enable_all()
        .build()
        .unwrap()
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
