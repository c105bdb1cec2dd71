//! The pitfalls of a private cluster (POSTGRES.md), each provoked.
//!
//! What has to happen in another process (another user, a death by SIGKILL) happens in a helper:
//! this test binary, run again with the name of one test and a word in the environment.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use divisord::store::cluster::{ClusterError, PrivateCluster, Search, Supervised};
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Tells the helper which directory to start a cluster in.
const HELPER: &str = "DIVISOR_TEST_CLUSTER";

/// What the helper prints when its cluster runs, or cannot.
const READY: &str = "helper ready";
const FAILED: &str = "helper failed:";

/// A directory that the cluster's user can reach, removed afterwards.
fn scratch() -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("divisor-cluster-")
        .tempdir()
        .unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn connect(cluster: &PrivateCluster) -> Client {
    cluster.config().connect(NoTls).unwrap()
}

fn ask(client: &mut Client, sql: &str) -> String {
    client.query_one(sql, &[]).unwrap().get(0)
}

fn postmaster(dir: &Path) -> Pid {
    let text = fs::read_to_string(dir.join("data/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap()).unwrap()
}

/// True while a PostgreSQL process stands in the data directory.
fn server_lives(dir: &Path) -> bool {
    let Ok(data) = fs::metadata(dir.join("data")) else {
        return false;
    };
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::metadata(entry.path().join("cwd"))
            .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (data.dev(), data.ino()))
    })
}

fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The helper's entry; an ordinary run of the tests passes it by.
#[test]
fn helper() {
    let Some(dir) = std::env::var_os(HELPER) else {
        return;
    };
    match PrivateCluster::start(Path::new(&dir)) {
        Ok(cluster) => {
            println!("{READY}");
            // Until the test closes the input, or kills this process.
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).unwrap();
            drop(cluster);
        }
        Err(error) => println!("{FAILED} {error}"),
    }
}

/// Starts the helper on `dir`, as user id `user` where one is given, and returns what it says.
fn start_helper(dir: &Path, user: Option<u32>, environment: &[(&str, &str)]) -> (Child, String) {
    let program = reachable_copy();
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={user}")]);
            command.arg("--clear-groups").arg(&program);
            command
        }
        None => Command::new(&program),
    };
    command.args([
        "--exact",
        "cluster::helper",
        "--nocapture",
        "--test-threads=1",
    ]);
    command.env(HELPER, dir).envs(environment.iter().copied());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find(|line| line.contains(READY) || line.contains(FAILED));
    (child, said.unwrap_or_default())
}

/// The test binary where every user may execute it; below /root nobody else could.
fn reachable_copy() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let open = |path: &Path| fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o001 != 0);
    if program.ancestors().all(open) {
        return program;
    }
    let copy = std::env::temp_dir().join(format!("divisor-helper-{}", std::process::id()));
    if !copy.exists() {
        fs::copy(&program, &copy).unwrap();
    }
    copy
}

fn end(mut helper: Child) {
    drop(helper.stdin.take());
    helper.wait().unwrap();
}

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
    let cluster = PrivateCluster::start(&dir).unwrap();
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
        let mut cluster = PrivateCluster::start(&dir).unwrap();
        wait_until("it settles", Duration::from_secs(10), || {
            cluster.ensure_running().is_ok() && cluster.config().connect(NoTls).is_ok()
        });
    }
}

#[test]
fn two_daemons_do_not_share_a_directory() {
    let home = scratch();
    let dir = home.path().join("pg");
    let _first = PrivateCluster::start(&dir).unwrap();
    let second = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(&second, ClusterError::AnotherDaemon(path) if *path == dir),
        "{second}"
    );
    let (helper, said) = start_helper(&dir, None, &[]);
    assert!(said.contains("another daemon uses it"), "{said}");
    end(helper);
}

#[test]
fn runs_as_an_ordinary_user_under_an_odd_locale() {
    let home = scratch();
    let (user, dir) = if geteuid().is_root() {
        let dir = home.path().join("own");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).unwrap();
        (Some(65534), dir.join("pg"))
    } else {
        (None, home.path().join("pg"))
    };
    let odd = [
        ("LANG", "xx_XX.UTF-99"),
        ("LC_ALL", "tlh_QO"),
        ("PGPORT", "1"),
        ("TZ", "Mars/Base"),
    ];
    let (helper, said) = start_helper(&dir, user, &odd);
    assert!(said.contains(READY), "{said}");
    let expected = user.unwrap_or_else(|| geteuid().as_raw());
    assert_eq!(fs::metadata(dir.join("data")).unwrap().uid(), expected);
    end(helper);
    assert!(!server_lives(&dir));
}

#[test]
fn root_takes_over_what_belongs_to_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let own = home.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    let dir = own.join("pg");
    let (helper, said) = start_helper(&dir, Some(65534), &[]);
    assert!(said.contains(READY), "{said}");
    end(helper);
    let cluster = PrivateCluster::start(&dir).unwrap();
    assert_eq!(
        ask(&mut connect(&cluster), "select current_user::text"),
        "divisor"
    );
}

#[test]
fn a_user_without_a_name_is_told() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let own = home.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(54321), Some(54321)).unwrap();
    let (helper, said) = start_helper(&own.join("pg"), Some(54321), &[]);
    assert!(
        said.contains("54321") && said.contains("/etc/passwd"),
        "{said}"
    );
    end(helper);
}

#[test]
fn a_directory_that_postgres_cannot_reach_is_named() {
    if !geteuid().is_root() {
        return;
    }
    let home = scratch();
    let closed = home.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let error = PrivateCluster::start(&closed.join("pg")).unwrap_err();
    let ClusterError::Unreachable { barrier, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*barrier, closed);
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
    let cluster = PrivateCluster::start(&dir).unwrap();
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
    let mut second = PrivateCluster::start(&dir).unwrap();
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
    let cluster = PrivateCluster::start(&dir).unwrap();
    assert_eq!(ask(&mut connect(&cluster), "select 'well'"), "well");
}

#[test]
fn a_path_too_long_for_a_socket_is_named() {
    let home = scratch();
    let dir = home.path().join("d".repeat(90));
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(error, ClusterError::SocketPathTooLong { .. }),
        "{error}"
    );
    assert!(!dir.exists(), "nothing was made");
}

#[test]
fn missing_programs_are_told_with_the_ways_out() {
    let home = scratch();
    let nowhere = Search {
        bindir: None,
        path: Some("".into()),
        folders: false,
    };
    let error = PrivateCluster::start_with(&home.path().join("a"), nowhere).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, ClusterError::ProgramsMissing { .. }),
        "{text}"
    );
    for word in [
        "apt-get install postgresql",
        "brew install",
        "PG_BINDIR",
        "database.url",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(error.needs_operator());

    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let search = Search {
        bindir: Some(empty.clone()),
        ..Search::from_env()
    };
    let text = PrivateCluster::start_with(&home.path().join("b"), search)
        .unwrap_err()
        .to_string();
    assert!(text.contains(&empty.display().to_string()), "{text}");
}

#[test]
fn the_version_of_the_data_decides() {
    let home = scratch();
    let dir = home.path().join("pg");
    drop(PrivateCluster::start(&dir).unwrap());
    let version = dir.join("data/PG_VERSION");
    let right = fs::read_to_string(&version).unwrap();

    fs::write(&version, "9\n").unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(
        matches!(error, ClusterError::VersionMissing { major: 9, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("pg_upgrade"), "{error}");

    fs::write(&version, "fifteen\n").unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(matches!(error, ClusterError::Damaged { .. }), "{error}");

    fs::write(&version, right).unwrap();
    assert!(PrivateCluster::start(&dir).is_ok());
}

#[test]
fn a_server_that_cannot_start_is_quoted() {
    let home = scratch();
    let dir = home.path().join("pg");
    drop(PrivateCluster::start(&dir).unwrap());
    let conf = dir.join("data/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nno_such_setting = 1\n")).unwrap();
    let error = PrivateCluster::start(&dir).unwrap_err();
    assert!(matches!(error, ClusterError::StartFailed { .. }), "{error}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
