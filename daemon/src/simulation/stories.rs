//! Runs that are told rather than drawn: an outage of an hour, a clock that is set back.

use divisor_engine::Time;

use super::market::Publisher;
use super::world::World;
use crate::journal::sim::Random;

const SECOND: i64 = 1_000_000_000;
const MINUTE: u64 = 60;

/// A world whose market is loaded and stored.
fn trading(seed: u64, set_up: impl FnOnce(&mut World)) -> (World, Random) {
    let mut world = World::new(seed);
    world.settings.journal.segment_bytes = 32 << 10;
    world.settings.journal.bytes_max = 16 << 20;
    world.settings.sequencer.snapshot_bytes = 200 << 10;
    set_up(&mut world);
    let mut random = Random(seed);
    world.start(&mut random);
    for _ in 0..20 {
        if world.has_market() {
            break;
        }
        world.send_all();
        world.turn(usize::MAX);
    }
    world.follow(20);
    world.check("the market is loaded", |world| world.has_market());
    (world, random)
}

impl World {
    #[track_caller]
    fn check(&mut self, what: &str, holds: impl FnOnce(&mut Self) -> bool) {
        let holds = holds(self);
        assert_eq!(self.violation(), None);
        assert!(holds, "{what}");
    }

    /// A second of trade: everybody publishes, and hears within it that it is durable.
    fn second(&mut self, random: &mut Random) {
        self.publish_all(random);
        self.turn(usize::MAX);
        self.follow(1);
        self.snapshot();
        self.time.pass(SECOND);
        self.look(random);
    }
}

/// PostgreSQL is away for an hour, in which the daemon is killed and the power fails: publishing
/// never waits, and afterwards everything is stored once.
#[test]
fn an_hour_without_the_database() {
    let (mut world, mut random) = trading(1, |_| {});
    for _ in 0..10 {
        world.second(&mut random);
    }
    world.check("all is stored", |world| {
        world.follow(5);
        world.database.tables().position == world.oracle().next()
    });
    let before = world.database.tables().position;
    world.database.tables().is_down = true;
    for second in 1..=60 * MINUTE {
        if second % (17 * MINUTE) == 0 {
            let cut = second.is_multiple_of(2);
            world.crash(&mut random, cut);
            world.start(&mut random);
        }
        if world.node.is_none() {
            world.start(&mut random);
        }
        world.second(&mut random);
        let Some(node) = &world.node else {
            // The power has failed again.
            continue;
        };
        assert_eq!(node.health.store_word(), "degraded");
        let rests = node.threads.lock().unwrap().rests;
        assert_eq!(rests, 0, "the journal has no room in second {second}");
        world.check("publishing does not wait", |world| {
            world.publishers.iter().all(Publisher::is_done)
        });
    }
    world.check("nothing was stored", |world| {
        world.database.tables().position == before
    });
    let missed = world.oracle().next() - before;
    assert!(missed > 3 * 60 * MINUTE, "{missed} inputs in an hour");
    world.database.tables().is_down = false;
    if world.node.is_none() {
        world.start(&mut random);
    }
    // Small transactions, so many of them.
    world.follow(missed);
    // What ends a schedule: everything catches up, and the oracle looks at all of it.
    world.end(1);
    world.check("all is stored", |world| {
        world.database.tables().position == world.oracle().next()
    });
}

/// When the store's thread and that of the snapshots come to work.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// After each message.
    Behind,
    /// Before the sequencer has taken it.
    Ahead,
    /// Not before all is over.
    Last,
    /// As another seed says.
    Drawn(u64),
}

/// What one order of threads makes of a day: the journal, the announcements and the tables.
fn in_order(order: Order) -> (super::oracle::History, String) {
    let (mut world, mut random) = trading(3, |world| {
        world.settings.journal.bytes_max = 256 << 20;
    });
    let mut others = Random(match order {
        Order::Drawn(seed) => seed,
        Order::Behind | Order::Ahead | Order::Last => 0,
    });
    for _ in 0..600 {
        world.publish_all(&mut random);
        let (before, after) = match order {
            Order::Behind => (0, 3),
            Order::Ahead => (3, 0),
            Order::Last => (0, 0),
            Order::Drawn(_) => (others.below(4), others.below(2)),
        };
        world.follow(before);
        world.turn(usize::MAX);
        if after > 0 {
            world.snapshot();
        }
        world.follow(after);
        // Five minutes each, so that intervals, sessions and two days go by.
        world.time.pass(5 * 60 * SECOND);
        world.look(&mut random);
    }
    let next = world.oracle().next();
    world.follow(next);
    world.check("all is stored", |world| {
        world.database.tables().position == world.oracle().next()
    });
    let history = world.oracle().history();
    let tables = format!("{:#?}", *world.database.tables());
    (history, tables)
}

/// Which of the threads runs when decides nothing: neither what is sequenced, nor a level, nor a row.
#[test]
fn the_order_of_threads_changes_nothing() {
    let (expected, tables) = in_order(Order::Behind);
    assert!(expected.records.len() > 600, "{}", expected.records.len());
    assert!(
        expected.announced.len() > 600,
        "{}",
        expected.announced.len()
    );
    for order in [Order::Ahead, Order::Last, Order::Drawn(1), Order::Drawn(2)] {
        let (history, rows) = in_order(order);
        // Too long to be printed.
        assert!(history.records == expected.records, "{order:?}");
        assert!(history.announced == expected.announced, "{order:?}");
        assert!(history.state == expected.state, "{order:?}");
        assert!(rows == tables, "{order:?}");
    }
}

/// The wall clock is set back by an hour: time does not fall, intervals still end, and the clock
/// catches up.
#[test]
fn a_clock_that_is_set_back_stops_no_interval() {
    let (mut world, mut random) = trading(2, |_| {});
    for _ in 0..30 {
        world.second(&mut random);
    }
    let time = |world: &World| {
        world
            .node
            .as_ref()
            .map(|node| node.sequencer.engine().time())
    };
    let (before, levels) = (time(&world), world.oracle().levels_of("IV"));
    world.time.jump(-3_600 * SECOND);
    for _ in 0..60 {
        world.second(&mut random);
    }
    world.check("time goes on, slower", |world| {
        let past = before.map(|before| before.saturating_add(25 * SECOND));
        let future = before.map(|before| before.saturating_add(40 * SECOND));
        past < time(world) && time(world) < future
    });
    let during = world.oracle().levels_of("IV") - levels;
    assert!(during >= 10, "{during} levels of an interval in a minute");
    world.time.pass(2 * 3_600 * SECOND);
    world.second(&mut random);
    world.check("the clock has caught up", |world| {
        let wall = Time::from_nanos(world.time.wall());
        time(world).is_some_and(|time| time.saturating_add(2 * SECOND) >= wall)
    });
    world.end(2);
    world.check("all is well", |_| true);
}
