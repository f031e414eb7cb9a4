//! What was done to the server and what happened to its processes, for the oracle.

use crate::{
    clock::{Clock, millis},
    proc::{self, Role},
    server::Server,
};
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// The interval at which connections are attributed to workers.
const LOOK: Duration = Duration::from_millis(150);

/// How often to look when all clients have ended: a connection is closed before its worker is gone.
const LAST_LOOKS: u32 = 3;

/// What happened in a round, with times in milliseconds.
#[derive(Default)]
pub(crate) struct World(Mutex<History>);

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Processes that the harness ended, and when.
    pub(crate) killed: Vec<(i32, u64)>,
    /// Workers that are gone, and when that was seen.
    pub(crate) gone: Vec<(i32, u64)>,
    /// Workers that the harness told to stop, and when.
    pub(crate) told: Vec<(i32, u64)>,
    /// When something began that has workers drain.
    pub(crate) drains: Vec<u64>,
    /// When the server was told to stop, whether gracefully, and when it served again.
    pub(crate) stops: Vec<Stop>,
    /// When it was told to have no workers, and when to have some again.
    pub(crate) emptied: Option<(u64, u64)>,
    /// When processes had few descriptors: from and until.
    pub(crate) few_descriptors: Vec<(u64, u64)>,
    /// The process that had a client last, by the client's port.
    owners: HashMap<u16, i32>,
    /// When a process was suspended: from and until.
    pub(crate) frozen: Vec<(u64, u64)>,
    /// Those that had a client when they were ended.
    lost: HashMap<u16, i32>,
    workers: Vec<i32>,
    /// What was done, in words.
    pub(crate) story: Vec<(u64, String)>,
}

/// A stop of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) at: u64,
    pub(crate) graceful: bool,
    pub(crate) serves_again: u64,
}

impl World {
    /// Notes something.
    pub(crate) fn note(&self, change: impl FnOnce(&mut History)) {
        change(&mut self.0.lock().expect("no thread panics"));
    }

    /// What happened so far.
    pub(crate) fn history(&self) -> History {
        self.0.lock().expect("no thread panics").clone()
    }

    /// Attributes connections to workers until told to stop, and then sees the last workers go.
    pub(crate) fn watch(&self, server: &Server, clock: Clock, ends: &AtomicBool) {
        let mut last_looks = LAST_LOOKS;
        while last_looks > 0 {
            last_looks -= u32::from(ends.load(Relaxed));
            let workers = server.with_role(Role::Worker);
            let owners = proc::owners(&server.addresses.of_tcp(), &workers);
            let now = clock.now();
            self.note(|history| history.look(&workers, owners, now));
            thread::sleep(LOOK);
        }
    }

    /// Notes what a process has that is about to be ended. It is stopped, so that this stays true.
    pub(crate) fn note_end_of(&self, server: &Server, pid: i32, now: u64) {
        let owners = proc::owners(&server.addresses.of_tcp(), &[pid]);
        self.note(|history| {
            history.killed.push((pid, now));
            history.lost.extend(owners.into_keys().map(|port| (port, pid)));
        });
    }
}

impl History {
    fn look(&mut self, workers: &[i32], owners: HashMap<u16, Vec<i32>>, now: u64) {
        for pid in std::mem::take(&mut self.workers) {
            if !workers.contains(&pid) {
                self.gone.push((pid, now));
            }
        }
        self.workers = workers.to_vec();
        for (port, pids) in owners {
            // One that is handed over may be seen with two.
            if let Some(last) = pids.last() {
                self.owners.insert(port, *last);
            }
        }
    }

    /// When the harness ended the process that had this client, if it did.
    pub(crate) fn lost_with(&self, port: u16) -> Option<u64> {
        let pid = self.lost.get(&port)?;
        self.killed.iter().find(|(killed, _)| killed == pid).map(|(_, at)| *at)
    }

    /// Whether a client connected while a process that had been told to exit at once was still there, and may have been
    /// lost with it: the connection was not attributed yet. Those over Unix sockets never are.
    pub(crate) fn came_to_the_killed(&self, port: Option<u16>, began: u64, ended: u64) -> bool {
        let owner = port.and_then(|port| self.owners.get(&port));
        let gone = |killed: i32| self.gone.iter().find(|(pid, _)| *pid == killed).map(|(_, at)| *at);
        self.killed.iter().any(|(pid, at)| {
            let last = gone(*pid).unwrap_or(at + millis(LOOK));
            owner.is_none_or(|owner| owner == pid) && *at <= ended && began <= last
        })
    }

    /// When the process that had this client last was told to stop, if it was; of clients that were not attributed to a
    /// process, when any was.
    pub(crate) fn owner_told(&self, port: u16) -> Option<u64> {
        let owner = self.owners.get(&port);
        self.told.iter().find(|(told, _)| owner.is_none_or(|pid| pid == told)).map(|(_, at)| *at)
    }

    /// When the process that had this client last was gone, if it is.
    pub(crate) fn owner_gone(&self, port: u16) -> Option<u64> {
        let pid = self.owners.get(&port)?;
        self.gone.iter().find(|(gone, _)| gone == pid).map(|(_, at)| *at)
    }
}
