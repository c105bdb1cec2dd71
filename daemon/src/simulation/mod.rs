//! The whole of Divisor in one thread: sequencer, journal, engine, snapshots and store on a disk, a
//! clock, a network and a database that fail as a seed says.
//!
//! - [`schedule`]: what happens when
//! - [`world`]: the process and everything around it; crashes at every change of a disk
//! - [`market`]: publishers with outboxes, poison, an operator
//! - [`database`]: transactions, outages, lost answers
//! - [`oracle`]: what must be true, the claims C1 to C6
//! - [`crate::crash`]: the closed list of points at which the process ends
//! - [`stories`]: runs that are told rather than drawn
//!
//! The same seed gives the same run. A failing one says how to run it again, and what is left of
//! its schedule when everything is cut away that the failure does not need. `just simulate` goes on
//! until it is stopped.

mod database;
mod market;
mod oracle;
mod schedule;
mod stories;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use schedule::Op;
use world::World;

use crate::crash::Point;
use crate::defect::Defect;

/// Seeds of a normal run of the tests.
const SEEDS: u64 = 3_000;

/// Seeds in which a defect must be found. Most need a handful.
const DEFECT_SEEDS: u64 = 1_000;

/// Ends of the process at each point, killed and without power, that must be survived.
const ENDS: u64 = 12;

/// Seeds in which they must come about.
const ENDS_SEEDS: u64 = 600;

/// Runs a schedule; the first violation, a panic among them.
fn run(seed: u64, ops: &[Op]) -> Result<(), String> {
    run_in(&mut World::new(seed), seed, ops)
}

fn run_in(world: &mut World, seed: u64, ops: &[Op]) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for op in ops {
            world.step(op);
            if let Some(violation) = world.violation() {
                return Err(violation);
            }
        }
        world.end(seed);
        world.violation().map_or(Ok(()), Err)
    }));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Explains a failing seed with the shortest schedule that still fails.
fn explain(seed: u64, violation: &str) -> String {
    let ops = schedule::draw(seed);
    let claim = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    let wanted = claim(violation);
    let fails = |ops: &[Op]| run(seed, ops).is_err_and(|found| claim(&found) == wanted);
    let fewer = schedule::shrink(ops, fails);
    let left = run(seed, &fewer).err().unwrap_or_default();
    let steps: Vec<String> = fewer.iter().map(|op| format!("{:?}", op.what)).collect();
    format!(
        "seed {seed}: {violation}\n\nin {} steps: {}\n{left}\n\nrun it again with: just simulate {seed}",
        steps.len(),
        steps.join(" ")
    )
}

/// Runs seeds on all processors until one fails, `count` are done or the time is up.
fn seeds(first: u64, count: u64, time: Duration) -> u64 {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    let started = Instant::now();
    let work = || {
        while failed.load(Ordering::Relaxed) == u64::MAX && started.elapsed() < time {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= count {
                break;
            }
            if run(seed, &schedule::draw(seed)).is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    if failed != u64::MAX {
        let violation = run(failed, &schedule::draw(failed)).unwrap_err();
        panic!(
            "after {} seeds\n{}",
            failed - first + 1,
            explain(failed, &violation)
        );
    }
    next.into_inner().min(first.saturating_add(count)) - first
}

/// The claims hold whatever fails. With `DIVISOR_SIMULATE=SEED` it begins there and does not end.
#[test]
fn nothing_acknowledged_is_lost() {
    let started = Instant::now();
    let (first, count, time) = match std::env::var("DIVISOR_SIMULATE") {
        Ok(seed) => (seed.parse().unwrap_or(0), u64::MAX, Duration::MAX),
        // The time is a bound for a slow machine, not for a defect: fewer seeds are tried there.
        Err(_) => (0, SEEDS, Duration::from_secs(45)),
    };
    let done = seeds(first, count, time);
    let rate = done as f64 / started.elapsed().as_secs_f64();
    eprintln!("{done} seeds, {rate:.0} per second");
}

/// The oracle is worth something: each defect breaks a claim within some seeds.
#[test]
fn every_defect_is_found() {
    let next = AtomicU64::new(0);
    let found = std::sync::Mutex::new(Vec::new());
    let search = || {
        while let Some(defect) = Defect::ALL.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let first = defect.during(|| {
                (0..DEFECT_SEEDS).find_map(|seed| {
                    let violation = run(seed, &schedule::draw(seed)).err()?;
                    Some((seed, violation.chars().take(100).collect::<String>()))
                })
            });
            found.lock().unwrap().push((*defect, first));
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(search);
        }
    });
    let found = found.into_inner().unwrap();
    for (defect, first) in &found {
        eprintln!("{defect:?}: {first:?}");
    }
    assert_eq!(found.len(), Defect::ALL.len());
    let missed = found.iter().filter(|(_, first)| first.is_none());
    let missed: Vec<_> = missed.map(|(defect, _)| defect).collect();
    assert!(
        missed.is_empty(),
        "not found in {DEFECT_SEEDS} seeds: {missed:?}"
    );
}

/// Ends the process at a point in one seed after another; how often that came about.
fn ends_at(point: Point, with_power: bool) -> Result<u64, String> {
    let mut ends = 0;
    for seed in 0..ENDS_SEEDS {
        if ends >= ENDS {
            break;
        }
        let mut world = World::new(seed);
        world.ends_with_power = with_power;
        // Some are passed with every message, others a few times in a run.
        point.arm(seed % 4);
        let outcome = run_in(&mut world, seed, &schedule::draw(seed));
        Point::disarm();
        ends += world.ends;
        outcome.map_err(|violation| format!("seed {seed}: {violation}"))?;
    }
    Ok(ends)
}

/// Crash points: before and after each write, sync, commit, publication and snapshot. The
/// list is closed, and every point is passed.
#[test]
fn an_end_at_every_point_is_survived() {
    let cases: Vec<(Point, bool)> = (Point::ALL.iter())
        .flat_map(|&point| [(point, false), (point, true)])
        .collect();
    let next = AtomicU64::new(0);
    let wrong = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some(&(point, with_power)) =
            cases.get(next.fetch_add(1, Ordering::Relaxed) as usize)
        {
            match ends_at(point, with_power) {
                Ok(ends) if ends >= ENDS => {}
                outcome => (wrong.lock().unwrap()).push((point, with_power, outcome)),
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        let ops = schedule::draw(seed);
        assert_eq!(run(seed, &ops), run(seed, &ops), "{seed}");
    }
}
