//! Memory and processor time of a process.

use hostler_sys::proc;
use serde::Serialize;

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
}
