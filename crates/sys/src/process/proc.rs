//! What `/proc` shows of processes and of the control group.

use std::fs;

/// The memory of a process in KiB: its proportional set size, or its resident set size if the kernel does not show the
/// former (proc(5), `smaps_rollup`; `VmRSS` of `status`).
#[must_use]
pub fn memory(pid: i32) -> Option<u64> {
    let share = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
    let share = share.and_then(|text| field(&text, "Pss:"));
    share.or_else(|| field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:"))
}

/// Processor time of a process since it started, in user and kernel mode (proc(5), `utime` and `stime` of `stat`).
#[must_use]
pub fn cpu_seconds(pid: i32) -> Option<f64> {
    times(pid, 0)
}

/// Two of the four times that `stat` has, from this one on.
fn times(pid: i32, first: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields from the third on; the times are the fourteenth and those after it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11 + first);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    #[expect(clippy::cast_precision_loss, reason = "it is a hundred or so")]
    Some((user + system) / ticks.max(1) as f64)
}

/// Processor time of the children that a process has waited for, and of theirs (proc(5), `cutime` and `cstime` of `stat`).
#[must_use]
pub fn cpu_seconds_of_ended_children(pid: i32) -> Option<f64> {
    times(pid, 2)
}

/// The processes that one has started, and those that they have, without itself (proc(5), `children`). So many files are read at
/// most: what is beyond them is missing. None on kernels that do not tell.
#[must_use]
pub fn descendants(pid: i32, most: usize) -> Vec<i32> {
    let (mut found, mut read) = (vec![pid], 0);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied().filter(|_| read < most) {
        next += 1;
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().take(most) {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            read += 1;
        }
    }
    found.remove(0);
    found
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The resident memory of a process, in bytes (`statm`). It includes what it shares with others, and is known at once.
#[must_use]
pub fn resident_bytes(pid: i32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * u64::try_from(size).ok()?)
}

/// A thread, as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ThreadState {
    /// Its number.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// What it does: `running`, `sleeping`, …
    pub state: &'static str,
    /// The function of the kernel in which it waits; missing if it does not, or if the kernel does not tell.
    pub waits_in: Option<String>,
}

/// The threads of a process.
#[must_use]
pub fn threads(pid: i32) -> Vec<ThreadState> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut tids: Vec<i32> = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    let text = |tid: i32, file: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let thread = |tid: i32| {
        let waits_in = text(tid, "wchan").filter(|name| !matches!(name.as_str(), "" | "0"));
        let name = text(tid, "comm")?.trim_end().to_owned();
        Some(ThreadState { tid, name, state: state_of(&text(tid, "stat")?), waits_in })
    };
    tids.into_iter().filter_map(thread).collect()
}

/// The kernel's state of a process: `running`, `sleeping`, `stopped`, …
#[must_use]
pub fn state(pid: i32) -> &'static str {
    state_of(&fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default())
}

fn state_of(stat: &str) -> &'static str {
    let letter = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    match letter {
        Some('R') => "running",
        Some('S') => "sleeping",
        Some('D') => "in uninterruptible sleep",
        Some('T' | 't') => "stopped",
        Some('Z' | 'X') => "dead",
        _ => "unknown",
    }
}

/// Whether this process has a controlling terminal now (proc(5), `tty_nr` of `stat`; tty(4)).
#[must_use]
pub fn has_terminal() -> bool {
    let stat = fs::read_to_string("/proc/self/stat");
    // Fields from the third on; `tty_nr` is the seventh.
    let field = stat
        .ok()
        .and_then(|stat| stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(4)?.parse::<i64>().ok());
    field.map_or_else(|| fs::File::open("/dev/tty").is_ok(), |number| number != 0)
}

/// Whether a debugger is attached to a process (proc(5), `TracerPid` of `status`).
#[must_use]
pub fn is_traced(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "TracerPid:").is_some_and(|tracer| tracer != 0)
}

/// Whether a process runs this program, by its file; one that cannot be inspected counts as another.
#[must_use]
pub fn is_hostler(pid: i32) -> bool {
    let program = |pid: &str| {
        let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        Some(path.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
    };
    let other = program(&pid.to_string());
    other.is_some() && pid != std::process::id().cast_signed() && other == program("self")
}

/// A process that is one of `those`, and has one of these sockets open, by their inodes.
#[must_use]
pub fn owner_of_sockets(inodes: &[u64], those: impl Fn(i32) -> bool) -> Option<i32> {
    if inodes.is_empty() {
        return None;
    }
    let names: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let has_one = |pid: &i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| names.iter().any(|name| link.as_os_str() == name.as_str()))
    };
    all().filter(|pid| those(*pid)).find(has_one)
}

/// All processes that this one sees.
fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of this process, including adopted ones (proc(5), `ppid` of `stat`).
#[must_use]
pub fn children() -> Vec<i32> {
    let own = std::process::id();
    all().filter(|pid| parent(*pid) == Some(own)).collect()
}

/// Whether this process has started another, or one has that it has started, and so on; `None` if that cannot be known: there is no
/// such process, or none any more.
#[must_use]
pub fn is_descendant(pid: i32) -> Option<bool> {
    // An ancestor may end meanwhile: its children have another parent then.
    (0..3).find_map(|_| {
        let own = std::process::id();
        let mut ancestor = parent(pid)?;
        while ancestor > 1 && ancestor != own {
            ancestor = parent(i32::try_from(ancestor).ok()?)?;
        }
        Some(ancestor == own)
    })
}

fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields from the third on; zombies are skipped.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| state != "Z")
}

/// The name of a process: the beginning of its title, if it has one.
fn name(pid: i32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The short name of the processes that a mold forks, until they have one of their own.
#[must_use]
pub fn pending_fork_name(mold: i32) -> String {
    format!("birth-{mold}")
}

/// The children of this name (comm in proc(5)).
pub fn children_named(wanted: &str) -> impl Iterator<Item = i32> {
    children().into_iter().filter(move |pid| name(*pid).as_deref() == Some(wanted))
}

/// The newest child that is a master like this process: it was adopted after its parent died.
#[must_use]
pub fn other_master() -> Option<i32> {
    let own = name(std::process::id().cast_signed());
    // Workers of a native service run the same program.
    children().into_iter().filter(|pid| is_hostler(*pid) && name(*pid) == own).max()
}

/// How much memory is left within the limit of the control group, in KiB; `None` if unlimited (cgroup v2 `memory.max`, v1
/// `memory.limit_in_bytes`). Page cache that the kernel can drop counts as free.
#[must_use]
pub fn memory_left() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let v2 = format!("/sys/fs/cgroup{}", path.trim_end_matches('/'));
    left_in(&v2, "memory.max", "memory.current", "inactive_file ")
        .or_else(|| left_in("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "))
        .or_else(|| {
            let v1 = "/sys/fs/cgroup/memory";
            left_in(v1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
        })
}

fn left_in(directory: &str, limit: &str, usage: &str, droppable: &str) -> Option<u64> {
    let number = |file: &str| -> Option<u64> {
        fs::read_to_string(format!("{directory}/{file}")).ok()?.trim().parse().ok()
    };
    let (limit, usage) = (number(limit)?, number(usage)?);
    // Version 1 shows "unlimited" as a large number.
    if limit >= 1 << 60 {
        return None;
    }
    let stat = fs::read_to_string(format!("{directory}/memory.stat")).unwrap_or_default();
    let droppable = field(&stat, droppable).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(droppable)) / 1024)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, descendants, memory, state};

    #[test]
    fn descendants_are_children_and_their_children() {
        let mut child = std::process::Command::new("sh");
        let mut child = child.args(["-c", "sleep 1000; true"]).spawn().unwrap();
        let own = std::process::id().cast_signed();
        let mut found = Vec::new();
        while found.len() < 2 {
            found = descendants(child.id().cast_signed(), 100);
            found.extend(descendants(own, 100).into_iter().filter(|pid| *pid == child.id().cast_signed()));
        }
        assert_eq!(found[1], child.id().cast_signed());
        assert_eq!(descendants(own, 0), [] as [i32; 0]);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(found[0]), nix::sys::signal::Signal::SIGKILL)
            .unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_process_runs_and_has_memory() {
        let pid = std::process::id().cast_signed();
        // The state of the main thread, which waits for the tests.
        assert!(matches!(state(pid), "running" | "sleeping"));
        assert!(memory(pid).unwrap() > 100);
        assert_eq!(memory(-1), None);
        assert!(cpu_seconds(pid).is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(cpu_seconds(-1), None);
    }
}
