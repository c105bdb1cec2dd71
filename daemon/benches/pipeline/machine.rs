//! What /proc tells of processes and of the machine.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Processor time of a process and, beside it, of all processes below it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) own: Duration,
    pub(crate) children: Duration,
}

/// Processor time so far.
pub(crate) fn cpu(pid: u32) -> Cpu {
    let mut processes: HashMap<u32, (u32, u64, u64)> = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && let Some(stat) = stat(pid)
        {
            processes.insert(pid, stat);
        }
    }
    let is_below = |mut at: u32| {
        while let Some((parent, ..)) = processes.get(&at) {
            at = *parent;
            if at == pid {
                return true;
            }
        }
        false
    };
    let below = processes.keys().filter(|at| is_below(**at));
    // Of those that have ended only their parent knows.
    let children = below.map(|at| processes[at].1 + processes[at].2).sum();
    Cpu {
        own: clock(processes.get(&pid).map_or(0, |stat| stat.1)),
        children: clock(children),
    }
}

/// Parent, own time and time of children that ended, in ticks of the kernel's clock.
fn stat(pid: u32) -> Option<(u32, u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let parent = u32::try_from(number(1)?).ok()?;
    Some((parent, number(11)? + number(12)?, number(13)? + number(14)?))
}

/// A tick of the kernel's clock is 10 ms on every Linux that matters.
fn clock(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Processor time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// Resident memory of a process in MiB: now and at its highest.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// One line about the machine and this moment.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |line| {
        line.trim_start_matches([' ', '\t', ':'])
    });
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let now = jiff::Timestamp::now();
    format!("{model}, {cores} cores, Linux {}, {now:.0}", kernel.trim())
}

/// The load averages.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}
