//! Whether a client makes progress: what one check of a connection sees, and how many in a row saw the same.

use crate::connection::WaitsFor;
use std::cell::Cell;

/// What a check sees of a connection. Two equal ones in a row: nothing has moved.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) waits_for: Option<WaitsFor>,
    /// Rises whenever a request, or a wait for one, begins.
    pub(crate) turns: u32,
    /// Reads, or bytes written, so far, where each of them gives the client new time.
    pub(crate) moves: u64,
    /// Bytes that the kernel has not delivered, while the client has to read.
    pub(crate) unsent_bytes: usize,
}

/// The last check, and how many since then saw the same.
#[derive(Default)]
pub(crate) struct ProgressChecks(Cell<(Progress, u32)>);

impl ProgressChecks {
    /// Records a check. What the client was waited for too long, if more checks than `max_checks` allows saw no
    /// progress; its `None` is unlimited.
    pub(crate) fn record(
        &self,
        progress: Progress,
        max_checks: impl Fn(WaitsFor) -> Option<u32>,
    ) -> Option<WaitsFor> {
        let (last, unchanged) = self.0.get();
        let unchanged = if last == progress { unchanged + 1 } else { 0 };
        self.0.set((progress, unchanged));
        progress.waits_for.filter(|waits_for| max_checks(*waits_for).is_some_and(|max| unchanged > max))
    }
}
