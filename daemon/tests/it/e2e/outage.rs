//! PostgreSQL goes away and comes back; prices and levels do not wait for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use divisor_testkit::{Postgres, TestDatabase, eventually};
use postgres::NoTls;
use serde_json::json;

use super::faults::{Tmpfs, fill};
use super::{Mqtt, assert_same, column, daemon, pair, stored_levels};

#[test]
fn postgresql_dies_under_load_and_everything_is_there_once() {
    // Its watchdog ends the server with this process.
    let server: &'static Postgres = Box::leak(Box::new(Postgres::start().unwrap()));
    let database = server.database();
    let daemon = daemon().database(&database.url()).start();
    let feed = Mqtt::v4(&daemon, "feed");
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/PAIR/level");
    desk.subscribe("divisor/status");
    feed.load(&pair());
    let mut sent = 0;
    send(&feed, &mut sent, 500);
    eventually("some rows are stored", || {
        let rows = column(&database, "select count(*)::text from price_tick");
        (rows != ["0"]).then_some(())
    });
    for _ in 0..2 {
        // Some are on their way when it dies.
        for seq in sent + 1..=sent + 500 {
            feed.publish("securities/AAA/price", tick(seq));
        }
        sent += 500;
        server.halt();
        wait_store(&desk, "degraded");
        send(&feed, &mut sent, 500);
        assert_eq!(feed.done("status", json!({}))["store"], "degraded");
        server.resume();
        wait_store(&desk, "ok");
        send(&feed, &mut sent, 100);
    }
    let last = desk_has(&desk, sent);
    feed.wait_projected();
    everything_once(&database, &desk, sent, last);
}

/// PostgreSQL is there and has no room for a row: an outage like any other, which ends by itself.
#[test]
fn the_disk_of_postgresql_is_full_and_everything_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).unwrap();
    let space = dir.path().join("space");
    let Some(_disk) = Tmpfs::mount(&space, "32m") else {
        println!("skipped: no file system can be mounted here");
        return;
    };
    let server: &'static Postgres = Box::leak(Box::new(Postgres::start().unwrap()));
    let database = server.database();
    let owner = fs::metadata(database.socket().parent().unwrap()).unwrap();
    chown(&space, Some(owner.uid()), Some(owner.gid())).unwrap();
    // The tables lie on the small disk, the server's log of changes does not: it stays alive.
    let mut admin = server.admin().unwrap();
    let name = database.config().get_dbname().unwrap().to_owned();
    let path = space.display();
    admin
        .batch_execute(&format!("create tablespace small location '{path}'"))
        .unwrap();
    admin
        .batch_execute(&format!(
            "alter database {name} set default_tablespace = small"
        ))
        .unwrap();
    let daemon = daemon().database(&database.url()).start();
    let feed = Mqtt::v4(&daemon, "feed");
    let desk = Mqtt::v5(&daemon, "desk");
    desk.subscribe("indexes/PAIR/level");
    desk.subscribe("divisor/status");
    feed.load(&pair());
    let mut sent = 0;
    send(&feed, &mut sent, 200);
    feed.wait_projected();
    for _ in 0..2 {
        let elses = space.join("somebody-elses");
        fill(&elses);
        eventually("no row finds room", || {
            send(&feed, &mut sent, 200);
            let status = feed.done("status", json!({}));
            (status["store"] == "degraded").then_some(())
        });
        // Prices and levels go on meanwhile.
        send(&feed, &mut sent, 200);
        desk_has(&desk, sent);
        fs::remove_file(&elses).unwrap();
        wait_store(&desk, "ok");
        feed.wait_projected();
    }
    assert!(daemon.log().contains("No space left"), "{}", daemon.log());
    let last = desk_has(&desk, sent);
    everything_once(&database, &desk, sent, last);
}

#[test]
fn without_postgresql_programs_it_starts_degraded_and_catches_up_later() {
    let nothing = tempfile::tempdir().unwrap();
    let state = tempfile::Builder::new()
        .prefix("divisor-test-")
        .tempdir()
        .unwrap();
    // The private server runs as another user where this is root.
    let mode = Permissions::from_mode(0o711);
    fs::set_permissions(state.path(), mode).unwrap();
    let options = daemon().state(state.path()).set("database.private=true");
    let none = nothing.path().to_str().unwrap();
    let mut without = options
        .clone()
        .env("PG_BINDIR", none)
        .env("PATH", none)
        .start();
    let desk = Mqtt::v4(&without, "desk");
    desk.subscribe("indexes/PAIR/level");
    desk.load(&pair());
    let mut sent = 0;
    send(&desk, &mut sent, 50);
    desk_has(&desk, sent);
    let status = desk.done("status", json!({}));
    assert_eq!(
        (&status["store"], &status["projected"]),
        (&json!("degraded"), &json!(0))
    );
    let received = levels(&desk);
    assert!(without.stop().success());
    assert!(without.log().contains("PG_BINDIR"), "{}", without.log());

    let mut with = options.start();
    let desk = Mqtt::v5(&with, "desk");
    desk.wait_projected();
    let mut config = postgres::Config::new();
    config
        .host_path(state.path().join("postgres/run"))
        .user("divisor")
        .dbname("divisor");
    let stored = match config.connect(NoTls) {
        Ok(mut client) => {
            let sql = "select seq || ' ' || level from level order by seq";
            let rows = client.query(sql, &[]).unwrap();
            rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_same("levels", &stored, &received);
    assert!(with.stop().success());
}

fn send(feed: &Mqtt, sent: &mut u64, count: u64) {
    for seq in *sent + 1..=*sent + count {
        feed.publish("securities/AAA/price", tick(seq));
    }
    *sent += count;
    feed.wait_acked();
}

fn tick(seq: u64) -> String {
    let price = format!("{}.{:02}", 100 + seq / 100, seq % 100);
    json!({ "price": price, "src": "feed", "inc": 1, "seq": seq }).to_string()
}

fn wait_store(desk: &Mqtt, word: &str) {
    eventually(&format!("the status says {word}"), || {
        let messages = desk.messages();
        let mut statuses = messages.iter().filter(|m| m.topic == "divisor/status");
        (statuses.next_back()?.json()["store"] == word).then_some(())
    });
}

/// Waits for the level of the last tick, which is the base and one for each tick.
fn desk_has(desk: &Mqtt, sent: u64) -> u64 {
    eventually("the last level", || {
        let last = desk.levels("PAIR").last()?.seq;
        (last == sent + 1).then_some(last)
    })
}

fn levels(desk: &Mqtt) -> Vec<String> {
    let levels = desk.levels("PAIR");
    levels
        .iter()
        .map(|m| format!("{} {}", m.seq, m.level))
        .collect()
}

fn everything_once(database: &TestDatabase, desk: &Mqtt, sent: u64, last: u64) {
    let sql = "select seq::text from tick where src = 'feed' order by position";
    let expected: Vec<String> = (1..=sent).map(|seq| seq.to_string()).collect();
    assert_same("ticks", &column(database, sql), &expected);
    let received = levels(desk);
    assert_eq!(received.len() as u64, last, "no level was missed");
    assert_same("levels", &stored_levels(database, "PAIR"), &received);
}
