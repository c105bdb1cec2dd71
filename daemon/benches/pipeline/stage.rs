//! A daemon that runs with a private PostgreSQL and the universe loaded, and what is asked of it.

use std::thread;
use std::time::{Duration, Instant};

use divisor_engine::definition::Dissemination;
use divisor_testkit::{Daemon, Options};
use divisor_wire::command::{DaemonStatus, IndexRow, Items, LoadSummary, Page, Reply, Request};
use postgres::{Client, Config, NoTls};
use serde::de::DeserializeOwned;

use super::market::Universe;
use super::mqtt::{Connection, publish, publish_parts};

/// How long PostgreSQL may take to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon to be measured.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) universe: Universe,
    database: Client,
    control: Connection,
    requests: u32,
}

/// Where the sequence is: the next position, and the levels of all indexes so far.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) levels: u64,
}

/// What PostgreSQL has of the inputs since some place.
pub(crate) struct Stored {
    pub(crate) ticks: u64,
    pub(crate) levels: u64,
    /// Commits of the journal: the ticks of one share their receive time.
    pub(crate) commits: u64,
}

impl Stage {
    /// Starts a daemon with these settings and loads the universe in this mode.
    pub(crate) fn start(mode: Dissemination, sets: &[&str]) -> Self {
        let mut options = Options::new(env!("CARGO_BIN_EXE_divisord"))
            .set("database.private=true")
            .set("mqtt.packet_bytes_max=1MiB")
            .set("mqtt.publish_rate_max=0")
            .set("journal.segment_bytes=64MiB")
            .set("journal.bytes_max=4GiB");
        for set in sets {
            options = options.set(set);
        }
        let daemon = options.start();
        let mut config = Config::new();
        config.host_path(daemon.state().join("postgres/run"));
        config.user("divisor").dbname("divisor");
        let database = config.connect(NoTls).unwrap();
        let mut control = Connection::open(daemon.address(), "bench-control").unwrap();
        control.subscribe("divisor/reply/bench-control/+").unwrap();
        let universe = Universe::new(mode);
        let items = universe.items.clone();
        let mut stage = Self {
            daemon,
            universe,
            database,
            control,
            requests: 0,
        };
        stage.load(items);
        stage.wait_stored();
        stage
    }

    fn load(&mut self, items: Items) {
        let request = |part: Option<Items>| Request {
            load: Some("universe".to_owned()),
            part: part.is_some().then_some(0),
            items: part,
            ..Request::default()
        };
        self.ask::<serde_json::Value>("load.begin", request(None));
        self.ask::<serde_json::Value>("load.part", request(Some(items)));
        let commit = Request {
            parts: Some(1),
            ..request(None)
        };
        self.ask::<LoadSummary>("load.commit", commit);
    }

    /// Sends a command and waits for its result.
    fn ask<T: DeserializeOwned>(&mut self, verb: &str, request: Request) -> T {
        self.requests += 1;
        let request = Request {
            id: self.requests.to_string(),
            ..request
        };
        let body = serde_json::to_vec(&request).unwrap();
        let mut packet = Vec::new();
        publish(&mut packet, &format!("divisor/control/{verb}"), 1, &body);
        std::io::Write::write_all(&mut self.control.stream, &packet).unwrap();
        loop {
            let (first, body) = self.control.packet().unwrap().unwrap();
            if first == 0x30 {
                let (_, payload) = publish_parts(body).unwrap();
                let reply: Reply<T> = serde_json::from_slice(payload).unwrap();
                assert!(reply.ok, "{verb}: {:?}", reply.error);
                return reply.result.unwrap();
            }
        }
    }

    /// Where the sequence is.
    pub(crate) fn place(&mut self) -> Place {
        let status: DaemonStatus = self.ask("status", Request::default());
        let page: Page<IndexRow> = self.ask("index.list", Request::default());
        Place {
            position: status.pos,
            levels: page.rows.iter().map(|row| row.seq).sum(),
        }
    }

    /// Waits until everything that is durable now is in PostgreSQL.
    pub(crate) fn wait_stored(&mut self) -> Duration {
        let began = Instant::now();
        let status: DaemonStatus = self.ask("status", Request::default());
        loop {
            let row = self
                .database
                .query_one("select position from projection", &[]);
            let position: i64 = row.unwrap().get(0);
            if position.cast_unsigned() >= status.pos {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "PostgreSQL stays at {position}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Counts the rows from a place on.
    pub(crate) fn stored_since(&mut self, place: Place) -> Stored {
        let first = place.position.cast_signed();
        let ticks =
            "select count(*), count(distinct received) from price_tick where position >= $1";
        let ticks = self.database.query_one(ticks, &[&first]).unwrap();
        let levels = "select count(*) from index_level where position >= $1";
        let levels = self.database.query_one(levels, &[&first]).unwrap();
        let count = |row: &postgres::Row, at: usize| row.get::<_, i64>(at).cast_unsigned();
        Stored {
            ticks: count(&ticks, 0),
            levels: count(&levels, 0),
            commits: count(&ticks, 1),
        }
    }

    /// Runs statements in PostgreSQL.
    pub(crate) fn execute(&mut self, sql: &str) {
        self.database.batch_execute(sql).unwrap();
    }

    /// Leaves PostgreSQL without work of its own, so that one row's is not charged to the next.
    pub(crate) fn settle(&mut self) {
        self.database
            .batch_execute("truncate price_tick, index_level; checkpoint")
            .unwrap();
    }
}
