//! Checks that nothing is left over after the load.

use crate::{
    clock::wait_for,
    proc::{self, Belongings, Role},
    server::Server,
};
use hostler_wire::{Glance, Page};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{collections::BTreeMap, fs, io, os::unix::fs::FileExt, time::Duration};

/// How long workers may drain, be replaced and forget their clients.
const SETTLES: Duration = Duration::from_secs(20);
/// How long a mold and a worker may take to boot.
const BOOTS: Duration = Duration::from_secs(4);
/// How much a process may have grown, in KiB.
const MASTER_GROWS: u64 = 2 << 10;
const OTHERS_GROW: u64 = 128 << 10;

/// Descriptors that a worker keeps in reserve once it was handed a connection (`http/handover.rs`): copies of a socket.
const RESERVE: usize = 2;

/// Threads that a worker keeps for WSGI calls that may wait for their clients, once there was one (`python/src/wsgi`).
const WAITING_THREADS: usize = 4;

/// What each role has when idle: the maximum over its processes.
#[derive(Clone, Debug)]
pub(crate) struct Inventory(BTreeMap<Role, Rest>);

#[derive(Clone, Debug, Default)]
struct Rest {
    /// By kind.
    descriptors: BTreeMap<String, usize>,
    threads: Vec<String>,
    memory: u64,
}

/// What an idle server has.
pub(crate) fn inventory(server: &Server) -> Inventory {
    let mut roles: BTreeMap<Role, Rest> = BTreeMap::new();
    for process in server.processes() {
        let has = Rest::of(&proc::belongings(process.pid));
        let most = roles.entry(process.role).or_default();
        if has.threads.len() > most.threads.len() {
            most.threads = has.threads;
        }
        most.memory = most.memory.max(has.memory);
        for (kind, count) in has.descriptors {
            let known = most.descriptors.entry(kind).or_default();
            *known = (*known).max(count);
        }
    }
    if let Some(sockets) = roles.get_mut(&Role::Worker).and_then(|rest| rest.descriptors.get_mut("socket:")) {
        *sockets += RESERVE;
    }
    if let Some(workers) = roles.get_mut(&Role::Worker).filter(|_| server.calls_wsgi()) {
        workers.threads.extend(vec!["one that may wait".into(); WAITING_THREADS]);
    }
    Inventory(roles)
}

impl Rest {
    fn of(has: &Belongings) -> Self {
        let mut descriptors = BTreeMap::new();
        for target in &has.descriptors {
            let kind = target.split(['[', ' ']).next().unwrap_or_default();
            *descriptors.entry(kind.to_owned()).or_default() += 1;
        }
        Self { descriptors, threads: has.threads.clone(), memory: has.memory }
    }

    /// What of this is more than `before`.
    fn more_than(&self, before: &Self, grows: u64) -> Vec<String> {
        let kinds = self.descriptors.iter().filter_map(|(kind, count)| {
            let known = before.descriptors.get(kind).copied().unwrap_or_default();
            (*count > known).then(|| format!("{count} instead of {known} descriptors of {kind}"))
        });
        let threads = (self.threads.len() > before.threads.len()).then(|| {
            format!("{} instead of {} threads: {:?}", self.threads.len(), before.threads.len(), self.threads)
        });
        let memory = (self.memory > before.memory + grows)
            .then(|| format!("{} KiB of memory instead of {}", self.memory, before.memory));
        kinds.chain(threads).chain(memory).collect()
    }
}

/// Waits until nothing is left over; returns what is.
pub(crate) fn settle(server: &Server, before: &Inventory) -> Vec<String> {
    let mut left = Vec::new();
    wait_for(SETTLES, || {
        left = leftovers(server, before);
        // Looking costs the server's processor, too.
        std::thread::sleep(Duration::from_millis(100));
        left.is_empty()
    });
    left
}

fn leftovers(server: &Server, before: &Inventory) -> Vec<String> {
    let processes = server.processes();
    let mut left = Vec::new();
    let count = |role| processes.iter().filter(|process| process.role == role).count();
    let known = |role| before.0.contains_key(&role);
    for (role, most) in [(Role::Master, 1), (Role::Mold, usize::from(known(Role::Mold))), (Role::Other, 0)] {
        if count(role) != most {
            left.push(format!("{} processes of role {role:?} instead of {most}", count(role)));
        }
    }
    if count(Role::Worker) == 0 {
        left.push("there is no worker".into());
    }
    for process in &processes {
        let grows = if process.role == Role::Master { MASTER_GROWS } else { OTHERS_GROW };
        let Some(most) = before.0.get(&process.role) else { continue };
        let more = Rest::of(&proc::belongings(process.pid)).more_than(most, grows);
        left.extend(more.into_iter().map(|more| format!("{:?} {} has {more}", process.role, process.pid)));
    }
    left.extend(scoreboard(server, count(Role::Worker)));
    left
}

/// What the scoreboard still counts without clients.
fn scoreboard(server: &Server, workers: usize) -> Vec<String> {
    let used = match pages(server) {
        Ok(used) => used,
        Err(error) => return vec![format!("the scoreboard cannot be read: {error}")],
    };
    let mut left = Vec::new();
    if used.len() != workers {
        left.push(format!("{} pages of the scoreboard for {workers} workers", used.len()));
    }
    for Glance { slot, in_flight, connections, .. } in used {
        if (in_flight, connections) != (0, 0) {
            left.push(format!(
                "worker {slot} counts {in_flight} requests in flight and {connections} connections"
            ));
        }
    }
    left
}

/// Whether the certificate that was written last is served; what is wrong, if not.
pub(crate) fn certificate(server: &Server) -> Option<String> {
    let is_served = || server.edge.is_served_at(server.addresses.tls);
    let good = !server.has_tls() || wait_for(SETTLES, is_served);
    (!good).then(|| "the certificate that was written last is not served".into())
}

/// How many pages are looked at. Many more than a round has workers.
const PAGES: u64 = 64;

/// The pages of workers, read as a file: a mapping would make the kernel allocate all of them.
fn pages(server: &Server) -> io::Result<Vec<Glance>> {
    let master = server.master().ok_or_else(|| io::Error::other("there is no master"))?;
    let entries = fs::read_dir(format!("/proc/{master}/fd"))?.flatten();
    let is_board = |path: &std::path::Path| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("hostler-scoreboard"))
    };
    let path = entries.map(|entry| entry.path()).find(|path| is_board(path));
    let file = fs::File::open(path.ok_or_else(|| io::Error::other("the master has none"))?)?;
    let mut pages = Vec::new();
    for number in 0..PAGES {
        let mut begin = [0; Glance::SIZE];
        file.read_exact_at(&mut begin, number * size_of::<Page>() as u64)?;
        pages.push(Glance::of(&begin));
    }
    pages.retain(|page| page.used);
    Ok(pages)
}

/// Waits until no worker drains or boots, and restores the number of workers.
pub(crate) fn restore_workers(server: &Server, workers: usize) {
    let serving = || {
        let pages = pages(server).ok().filter(|_| server.with_role(Role::Master).len() == 1)?;
        pages.iter().all(|page| page.serves).then_some(pages.len())
    };
    wait_for(SETTLES, || serving().is_some_and(|count| count > 0));
    // One that waits for a new mold comes by itself, and would be one too many if it was added.
    wait_for(BOOTS, || serving() == Some(workers));
    let Some(master) = server.master() else { return };
    let now = server.with_role(Role::Worker).len();
    let signal = if now > workers { Signal::SIGTTOU } else { Signal::SIGTTIN };
    for _ in 0..now.abs_diff(workers) {
        // One at a time: pending signals of a kind are one signal.
        let before = server.with_role(Role::Worker).len();
        let _ = kill(Pid::from_raw(master), signal);
        wait_for(SETTLES, || server.with_role(Role::Worker).len() != before);
    }
}
