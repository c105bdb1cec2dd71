//! The pitfalls of a private cluster (POSTGRES.md), each provoked.
//!
//! What has to happen in another process (another user, a death by SIGKILL) happens in a helper:
//! this test binary, run again with the name of one test and a word in the environment.

mod life;
mod refusal;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use divisord::store::cluster::{ClusterError, PrivateCluster};
use postgres::{Client, NoTls};
use rustix::process::Pid;

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

/// Starts a cluster whose owner has just gone. Tests run beside each other, and what one of them
/// starts holds copies of all open files, this lock among them, until it is another program.
fn start_again(dir: &Path) -> PrivateCluster {
    let began = Instant::now();
    loop {
        match PrivateCluster::start(dir) {
            Err(ClusterError::AnotherDaemon(_)) if began.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            started => return started.unwrap(),
        }
    }
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
