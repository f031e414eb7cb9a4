//! What /proc shows of a process (proc(5)).

use std::{collections::BTreeMap, fs, path::PathBuf};

fn read(pid: i32, name: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The title of a process; empty if it is gone.
#[must_use]
pub fn title(pid: i32) -> String {
    read(pid, "cmdline").trim_end_matches('\0').trim_end().to_owned()
}

/// A line of a file of /proc, without its name.
#[must_use]
pub fn field(pid: i32, file: &str, name: &str) -> Option<String> {
    let text = read(pid, file);
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

fn kib(pid: i32, file: &str, name: &str) -> u64 {
    let value = field(pid, file, name).unwrap_or_else(|| panic!("process {pid} is gone"));
    value.trim_end_matches(" kB").parse().expect("a number of KiB")
}

/// Resident memory.
#[must_use]
pub fn resident_kib(pid: i32) -> u64 {
    kib(pid, "status", "VmRSS")
}

/// Resident memory in which each page counts for its share: half, if two processes have it.
#[must_use]
pub fn proportional_kib(pid: i32) -> u64 {
    kib(pid, "smaps_rollup", "Pss")
}

/// Memory that a process has written and shares with no other.
#[must_use]
pub fn private_dirty_kib(pid: i32) -> u64 {
    kib(pid, "smaps_rollup", "Private_Dirty")
}

/// Open descriptors, and what they lead to.
#[must_use]
pub fn descriptors(pid: i32) -> BTreeMap<i32, PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| {
        Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?))
    })
    .collect()
}

/// How many of a process's descriptors are sockets.
#[must_use]
pub fn sockets(pid: i32) -> usize {
    descriptors(pid).values().filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// The fields of /proc/…/stat behind the program's name, of which the first is the state.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = read(pid, "stat");
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The state of a process, as `R`, `S` or `Z`.
#[must_use]
pub fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// The parent of a process.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// The process group of a process.
#[must_use]
pub fn group(pid: i32) -> Option<i32> {
    stat(pid)?.get(2)?.parse().ok()
}

/// Describes a process in a panic's message.
#[must_use]
pub fn describe(pid: i32) -> String {
    let (state, parent) = (state(pid).unwrap_or('?'), parent(pid).unwrap_or_default());
    format!("{pid} {:?} in state {state}, child of {parent}", title(pid))
}

/// The time that a process has had on processors, in ticks of 10 ms.
#[must_use]
pub fn cpu_ticks(pid: i32) -> u64 {
    let fields = stat(pid).unwrap_or_else(|| panic!("process {pid} is gone"));
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum()
}

/// The children of a process.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let text = read(pid, &format!("task/{pid}/children"));
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// All processes of a group, zombies included.
#[must_use]
pub fn members(of_group: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| group(*pid) == Some(of_group)).collect()
}
