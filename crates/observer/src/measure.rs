//! What processes use, measured no more often than was asked for: the share of memory takes the kernel a while.

use hostler_status::Usage;
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

    /// Measures these processes if the last measurement is too old, and those that have none. Probes are answered in between.
    pub(crate) async fn renew(&self, pids: impl IntoIterator<Item = i32>) {
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
        self.usages.replace(seen);
    }

    /// What a process was found to use.
    pub(crate) fn of(&self, pid: i32) -> Usage {
        self.usages.borrow().get(&pid).copied().unwrap_or_default()
    }
}
