//! What processes use, measured no more often than was asked for: the share of memory takes the kernel a while.

use hostler_status::{MOST_READ, Usage};
use hostler_sys::proc;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    time::Duration,
};
use tokio::time::Instant;

/// The last measurement of each process.
pub(crate) struct Measured {
    interval: Duration,
    usages: RefCell<HashMap<i32, Usage>>,
    at: Cell<Option<Instant>>,
}

impl Measured {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, usages: RefCell::default(), at: Cell::new(None) }
    }

    /// Measures these processes if the last measurement is too old, and those that have none; of the roots what the processes use that
    /// they have started. Probes are answered in between.
    pub(crate) async fn renew(
        &self,
        pids: impl IntoIterator<Item = i32>,
        roots: impl IntoIterator<Item = i32>,
    ) {
        let now = Instant::now();
        let fresh = self.at.get().is_some_and(|at| now < at + self.interval);
        if !fresh {
            self.at.set(Some(now));
        }
        let mut seen = HashMap::new();
        for pid in pids {
            let known = self.usages.borrow().get(&pid).copied().filter(|_| fresh);
            let usage = match known {
                Some(usage) => usage,
                None => {
                    tokio::task::yield_now().await;
                    Usage::of(pid)
                }
            };
            seen.insert(pid, usage);
        }
        for root in roots {
            let known = self.usages.borrow().get(&root).copied().filter(|_| fresh);
            let usage = match known {
                Some(usage) => usage,
                None => of_tree(root).await,
            };
            seen.insert(root, usage);
        }
        self.usages.replace(seen);
    }

    /// What a process was found to use.
    pub(crate) fn of(&self, pid: i32) -> Usage {
        self.usages.borrow().get(&pid).copied().unwrap_or_default()
    }
}

/// As [`Usage::of_tree`].
async fn of_tree(root: i32) -> Usage {
    let mut sum = Usage::of_ended_children(root);
    for pid in proc::descendants(root, MOST_READ) {
        tokio::task::yield_now().await;
        sum = sum.and(Usage::of(pid)).and(Usage::of_ended_children(pid));
    }
    sum
}
