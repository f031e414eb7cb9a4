//! The registry of children: which process is what. The only place where an exit finds its owner.

use hostler_sys::process::WaitStatus;
use hostler_wire::{Generation, WorkerId};
use std::collections::HashMap;

/// What a child process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// The mold of a generation, or one that was told to exit.
    Mold(Generation),
    /// A worker.
    Worker(WorkerId),
    /// The observer, or the keeper of the task queue.
    Program(WorkerId),
    /// The process that watches a companion.
    Companion(WorkerId),
    /// The server that is to take over from this one.
    Successor,
    /// A process that reads the configuration again.
    Reader,
}

/// All children that are known.
#[derive(Default)]
pub(crate) struct Children {
    by_pid: HashMap<i32, Child>,
    /// Exits of processes that may turn out to be workers whose fork the mold has not reported yet.
    unclaimed_exits: HashMap<i32, WaitStatus>,
}

impl Children {
    /// Adds a child; returns how it ended if it has ended already.
    pub(crate) fn add(&mut self, pid: i32, child: Child) -> Option<WaitStatus> {
        if let Some(status) = self.unclaimed_exits.remove(&pid) {
            return Some(status);
        }
        self.by_pid.insert(pid, child);
        None
    }

    /// A child was reaped; what it was, if it is known. `forks_pending`: a mold has yet to report a fork, so the exit is
    /// kept. As PID 1 or subreaper the master reaps processes of anybody.
    pub(crate) fn reaped(&mut self, pid: i32, status: WaitStatus, forks_pending: bool) -> Option<Child> {
        let child = self.by_pid.remove(&pid);
        if child.is_none() && forks_pending {
            self.unclaimed_exits.insert(pid, status);
        }
        child
    }

    /// All forks have been reported: exits that are left were of no child of ours.
    pub(crate) fn no_forks_pending(&mut self) {
        self.unclaimed_exits.clear();
    }

    /// Whether this process is known.
    pub(crate) fn knows(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid)
    }
}

#[cfg(test)]
mod tests {
    use super::{Child, Children};
    use hostler_sys::process::WaitStatus;
    use hostler_wire::WorkerId;

    const ENDED: WaitStatus = WaitStatus::Exited(0);

    #[test]
    fn an_exit_before_the_fork_was_reported_is_not_lost() {
        let mut children = Children::default();
        let worker = Child::Worker(WorkerId(1));
        assert_eq!(children.reaped(7, ENDED, true), None);
        assert_eq!(children.add(7, worker), Some(ENDED));
        assert!(!children.knows(7));
        assert_eq!(children.add(8, worker), None);
        assert_eq!(children.reaped(8, ENDED, false), Some(worker));
    }

    #[test]
    fn exits_of_strangers_are_forgotten() {
        let mut children = Children::default();
        assert_eq!(children.reaped(7, ENDED, false), None);
        assert_eq!(children.reaped(8, ENDED, true), None);
        children.no_forks_pending();
        for pid in [7, 8] {
            assert_eq!(children.add(pid, Child::Successor), None, "a number that is used again");
        }
    }
}
