//! Starts, deaths and what is left of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use divisord::store::cluster::{PrivateCluster, Supervised};
use postgres::NoTls;
use rustix::process::{Signal, kill_process};

use super::{
    HELPER, READY, ask, connect, postmaster, reachable_copy, scratch, server_lives, start_again,
    start_helper, wait_until,
};

#[test]
fn makes_starts_stops_and_starts_again() {
    let home = scratch();
    let dir = home.path().join("pg");
    let mut cluster = PrivateCluster::start(&dir).unwrap();
    let mut client = connect(&cluster);
    client
        .batch_execute("create table kept (id int); insert into kept values (7)")
        .unwrap();
    for (setting, expected) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("shared_buffers", "128MB"),
        ("max_wal_size", "2GB"),
        ("jit", "off"),
        ("max_connections", "20"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(
            ask(&mut client, &format!("show {setting}")),
            expected,
            "{setting}"
        );
    }
    assert_eq!(
        ask(
            &mut client,
            "select string_agg(type || ' ' || auth_method, ',') \
        from pg_hba_file_rules"
        ),
        "local trust"
    );
    assert_eq!(
        ask(
            &mut client,
            "select datcollate from pg_database where datname = 'divisor'"
        ),
        "C"
    );
    for path in [&dir, &dir.join("data"), &dir.join("run")] {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o700,
            "{path:?}"
        );
    }
    assert_eq!(cluster.ensure_running().unwrap(), Supervised::Running);

    let began = Instant::now();
    cluster.stop();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "a fast shutdown with an open session"
    );
    assert!(!server_lives(&dir) && !dir.join("data/postmaster.pid").exists());
    assert!(client.simple_query("select 1").is_err());

    drop(cluster);
    let cluster = start_again(&dir);
    assert_eq!(
        connect(&cluster)
            .query_one("select id from kept", &[])
            .unwrap()
            .get::<_, i32>(0),
        7
    );
    drop(cluster);
    assert!(!server_lives(&dir), "the server ends with the value");
}

#[test]
fn a_killed_postmaster_is_started_again_and_keeps_what_was_committed() {
    let home = scratch();
    let dir = home.path().join("pg");
    let mut cluster = PrivateCluster::start(&dir).unwrap();
    connect(&cluster)
        .batch_execute("create table kept (id int)")
        .unwrap();
    for round in 1..=3 {
        let mut client = connect(&cluster);
        client
            .execute("insert into kept values ($1)", &[&round])
            .unwrap();
        kill_process(postmaster(&dir), Signal::KILL).unwrap();
        wait_until("the death is seen", Duration::from_secs(10), || {
            cluster.ensure_running().unwrap() == Supervised::Restarted
        });
        let count = ask(&mut connect(&cluster), "select count(*)::text from kept");
        assert_eq!(count, round.to_string());
    }
}

#[test]
fn a_backend_that_outlives_its_postmaster_does_not_bar_the_next() {
    let home = scratch();
    let dir = home.path().join("pg");
    let mut cluster = PrivateCluster::start(&dir).unwrap();
    let mut busy = connect(&cluster);
    let sleeper = std::thread::spawn(move || {
        // A loop that never waits for its client and so does not notice that it is an orphan.
        let _cut = busy.batch_execute("select count(*) from generate_series(1, 100000000000)");
    });
    std::thread::sleep(Duration::from_millis(300));
    kill_process(postmaster(&dir), Signal::KILL).unwrap();
    wait_until("the server is back", Duration::from_secs(40), || {
        cluster.ensure_running().unwrap() == Supervised::Restarted
    });
    assert_eq!(ask(&mut connect(&cluster), "select 'well'"), "well");
    sleeper.join().unwrap();
}

#[test]
fn a_killed_daemon_leaves_no_server() {
    let home = scratch();
    let dir = home.path().join("pg");
    let (mut helper, said) = start_helper(&dir, None, &[]);
    assert!(said.contains(READY), "{said}");
    assert!(server_lives(&dir));
    helper.kill().unwrap();
    helper.wait().unwrap();
    wait_until("the server ends", Duration::from_secs(5), || {
        !server_lives(&dir)
    });
}

#[test]
fn a_daemon_follows_a_killed_one_at_once() {
    let home = scratch();
    let dir = home.path().join("pg");
    for _ in 0..3 {
        let (mut helper, said) = start_helper(&dir, None, &[]);
        assert!(said.contains(READY), "{said}");
        helper.kill().unwrap();
        helper.wait().unwrap();
        // The server of the killed one is still shutting down now.
        let mut cluster = start_again(&dir);
        wait_until("it settles", Duration::from_secs(10), || {
            cluster.ensure_running().is_ok() && cluster.config().connect(NoTls).is_ok()
        });
    }
}

#[test]
fn stale_files_of_a_dead_server_are_cleared() {
    let home = scratch();
    let dir = home.path().join("pg");
    drop(PrivateCluster::start(&dir).unwrap());
    // The number is one that lives and is not a server: ours.
    let ours = std::process::id();
    let data = dir.join("data");
    let stale = format!(
        "{ours}\n{}\n1700000000\n5432\n{}\n\n",
        data.display(),
        dir.display()
    );
    fs::write(data.join("postmaster.pid"), &stale).unwrap();
    fs::write(dir.join("run/.s.PGSQL.5432.lock"), &stale).unwrap();
    fs::write(dir.join("run/.s.PGSQL.5432"), "").unwrap();
    let cluster = start_again(&dir);
    assert_eq!(ask(&mut connect(&cluster), "select 'well'"), "well");
}

#[test]
fn a_server_started_by_hand_is_adopted() {
    let home = scratch();
    let dir = home.path().join("pg");
    let mut first = PrivateCluster::start(&dir).unwrap();
    let client = connect(&first);
    // As where no signal follows the death of the daemon: the value is gone, the server is not.
    first.abandon();
    drop(first);
    let pid = postmaster(&dir);
    let mut second = start_again(&dir);
    assert_eq!(postmaster(&dir), pid, "the same server");
    assert!(!client.is_closed());
    assert_eq!(second.ensure_running().unwrap(), Supervised::Running);
    kill_process(pid, Signal::INT).unwrap();
    wait_until("its end is seen", Duration::from_secs(10), || {
        second.ensure_running().unwrap() == Supervised::Restarted
    });
    assert_ne!(postmaster(&dir), pid);
    second.stop();
    assert!(!server_lives(&dir));
}

#[test]
fn an_initdb_that_was_killed_half_way_is_begun_again() {
    let home = scratch();
    let dir = home.path().join("pg");
    fs::create_dir_all(dir.join("data.new/base/1")).unwrap();
    fs::write(dir.join("data.new/PG_VERSION"), "15\n").unwrap();
    let cluster = PrivateCluster::start(&dir).unwrap();
    assert_eq!(ask(&mut connect(&cluster), "select 'well'"), "well");
    assert!(!dir.join("data.new").exists());

    let dir = home.path().join("killed");
    let program = reachable_copy();
    let mut helper = Command::new(program)
        .args(["--exact", "cluster::helper", "--nocapture"])
        .env(HELPER, &dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = dir.join("data.new/global");
    wait_until("initdb works", Duration::from_secs(20), || begun.exists());
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(!dir.join("data").exists(), "nothing half-made is seen");
    let cluster = start_again(&dir);
    assert_eq!(ask(&mut connect(&cluster), "select 'well'"), "well");
}
