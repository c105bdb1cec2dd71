//! The running server: how it is spawned, found again, and ended.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::ClusterError;
use super::layout::{Layout, PORT, prepare};
use super::programs::Programs;
use super::run_as::RunAs;

/// How often a wait looks again.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// A fast shutdown ends sessions and writes a checkpoint, 0.02 s when idle; a full buffer of
/// 128 MB on a slow disk needs seconds.
const STOP_FAST: Duration = Duration::from_secs(20);

/// What an immediate shutdown gets, and then the kill: both are only waiting for the kernel.
const STOP_HARD: Duration = Duration::from_secs(5);

/// How long the remains of a killed `initdb` may still write.
const INITDB_END: Duration = Duration::from_secs(10);

/// The server as this daemon knows it.
#[derive(Debug)]
pub(super) enum Server {
    /// Our own child.
    Spawned(Child),
    /// Found running: its daemon was killed on a system that cannot end it then, or an operator
    /// started it by hand.
    Adopted(i32),
}

impl Server {
    /// Starts the server. It gets a fast shutdown when the **thread** that calls this ends, so
    /// call it from a thread that lives as long as the daemon.
    pub(super) fn spawn(
        layout: &Layout,
        programs: &Programs,
        user: Option<&RunAs>,
    ) -> Result<(Self, u64), ClusterError> {
        let (log, log_start) = layout.open_log()?;
        let copy = log
            .try_clone()
            .map_err(ClusterError::io("open the log in", &layout.dir))?;
        let mut command = Command::new(programs.postgres());
        command
            .arg("-D")
            .arg(&layout.data)
            .arg("-k")
            .arg(&layout.run);
        command.args(["-p", &PORT.to_string(), "-c", "listen_addresses="]);
        // What an acknowledged row rests on is not left to a file.
        for setting in [
            "unix_socket_permissions=0700",
            "fsync=on",
            "full_page_writes=on",
        ] {
            command.args(["-c", setting]);
        }
        command.args(["-c", "synchronous_commit=on", "-c", "logging_collector=off"]);
        command
            .current_dir(&layout.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy);
        prepare(&mut command, user);
        die_with_parent(&mut command, Signal::INT);
        let child = command
            .spawn()
            .map_err(ClusterError::io("run postgres in", &layout.dir))?;
        Ok((Self::Spawned(child), log_start))
    }

    /// How the server ended, or `None` while it runs. One that was adopted leaves no status.
    pub(super) fn ended(&mut self, data: &Path) -> Option<Option<ExitStatus>> {
        match self {
            Self::Spawned(child) => child.try_wait().ok().flatten().map(Some),
            Self::Adopted(pid) => {
                let alive = match processes_in(data) {
                    Some(pids) => pids.contains(pid),
                    None => Pid::from_raw(*pid).is_some_and(|pid| test_kill_process(pid).is_ok()),
                };
                (!alive).then_some(None)
            }
        }
    }

    /// Ends the server: fast, then at once, then by force, each with its time.
    pub(super) fn stop(&mut self, data: &Path) {
        let steps = [
            (Signal::INT, STOP_FAST),
            (Signal::QUIT, STOP_HARD),
            (Signal::KILL, STOP_HARD),
        ];
        for (signal, patience) in steps {
            if self.ended(data).is_some() {
                return;
            }
            let pid = match self {
                Self::Spawned(child) => Some(Pid::from_child(child)),
                Self::Adopted(pid) => Pid::from_raw(*pid),
            };
            // An error means that it is gone already, which the wait sees.
            let _gone = pid.map(|pid| kill_process(pid, signal));
            let deadline = Instant::now() + patience;
            while self.ended(data).is_none() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// Makes the program get `signal` when the spawning thread ends, however it ends. Set after the
/// change of user, which would clear it.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "pre_exec is the only way to set a signal for the parent's death"
)]
pub(super) fn die_with_parent(command: &mut Command, signal: Signal) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(signal))?;
        // The parent may have died before the signal was set.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(rustix::io::Errno::SRCH.into())
        }
    };
    // SAFETY: between fork and exec the hook makes two system calls and neither allocates nor locks.
    unsafe {
        command.pre_exec(hook);
    }
}

/// Other systems have no such signal: a server that outlives its daemon is adopted by the next.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_command: &mut Command, _signal: Signal) {}

/// The PostgreSQL processes whose working directory is `data`, or `None` on systems without /proc.
///
/// Every process of a server stands in its data directory, also a backend whose postmaster was
/// killed, and a zombie stands nowhere: so this tells what a process number in a file cannot.
pub(super) fn processes_in(data: &Path) -> Option<Vec<i32>> {
    let entries = fs::read_dir("/proc")
        .ok()
        .filter(|_| Path::new("/proc/self/cwd").exists())?;
    let Ok(home) = fs::metadata(data) else {
        return Some(Vec::new());
    };
    let stands_here = |pid: &i32| {
        // By identity, not by path: the directory may be seen through another mount, or moved.
        let cwd = fs::metadata(format!("/proc/{pid}/cwd"));
        let here = cwd.is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (home.dev(), home.ino()));
        // An operator's shell may stand there too.
        here && fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|name| name.trim_end().starts_with("postgres"))
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(pids.filter(stands_here).collect())
}

/// Sends `signal` to processes that were found by [`processes_in`].
pub(super) fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _gone = kill_process(pid, signal);
    }
}

/// Waits until no process stands in `dir`, and ends those that stay.
pub(super) fn wait_gone(dir: &Path) {
    let deadline = Instant::now() + INITDB_END;
    while let Some(pids) = processes_in(dir).filter(|pids| !pids.is_empty()) {
        if Instant::now() > deadline {
            signal_all(&pids, Signal::KILL);
            return;
        }
        std::thread::sleep(POLL);
    }
}
