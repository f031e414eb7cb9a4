//! Memory and processor time of a process.

use hostler_sys::proc;
use serde::Serialize;

/// As many files are read to find the processes of a tree.
pub const MOST_READ: usize = 1000;

/// What a process uses; a part that is not known is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Its memory: the proportional share of what it has in common with others (PSS), or its resident set.
    pub memory_bytes: Option<u64>,
    /// Processor time since it started, in user and kernel mode.
    pub cpu_seconds: Option<f64>,
}

impl Usage {
    /// Asks the kernel (proc(5)). The share of memory takes about a millisecond for each 100 MB.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        Self { memory_bytes: proc::memory(pid).map(|kib| kib * 1024), cpu_seconds: proc::cpu_seconds(pid) }
    }

    /// What all processes use that this one has started, and those that have ended; without what it uses itself. `measure` says what
    /// one uses.
    #[must_use]
    pub fn of_tree(root: i32, mut measure: impl FnMut(i32) -> Self) -> Self {
        let mut sum = Self::of_ended_children(root);
        for pid in proc::descendants(root, MOST_READ) {
            sum = sum.and(measure(pid)).and(Self::of_ended_children(pid));
        }
        sum
    }

    /// What the children used that a process has waited for.
    #[must_use]
    pub fn of_ended_children(pid: i32) -> Self {
        Self { memory_bytes: None, cpu_seconds: proc::cpu_seconds_of_ended_children(pid) }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let memory = [self.memory_bytes, other.memory_bytes].into_iter().flatten();
        let cpu = [self.cpu_seconds, other.cpu_seconds].into_iter().flatten();
        Self { memory_bytes: memory.reduce(|a, b| a + b), cpu_seconds: cpu.reduce(|a, b| a + b) }
    }
}
