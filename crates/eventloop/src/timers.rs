//! Timers, earliest first; equal times keep the order in which they were set.

use crate::handle::Handle;
use pyo3::{Py, Python};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Below this many timers, cancelled ones are left where they are.
const SWEEP_FROM: usize = 128;

#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    next: u64,
    /// The size at which the next sweep for cancelled timers is due: twice what the last one left.
    sweep_at: usize,
}

struct Timer {
    when: f64,
    order: u64,
    handle: Py<Handle>,
}

impl Timers {
    pub(crate) fn push(&mut self, when: f64, handle: Py<Handle>) {
        // NaN is due at once, as with asyncio's loop.
        let when = if when.is_nan() { f64::NEG_INFINITY } else { when };
        self.heap.push(Reverse(Timer { when, order: self.next, handle }));
        self.next += 1;
    }

    /// The time of the earliest timer.
    pub(crate) fn next_due(&self) -> Option<f64> {
        self.heap.peek().map(|Reverse(timer)| timer.when)
    }

    /// Takes the earliest timer if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: f64) -> Option<Py<Handle>> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(timer)| timer.handle)
    }

    /// Takes the earliest timers as long as they are cancelled; returns them, to be dropped outside a borrow.
    pub(crate) fn pop_cancelled(&mut self, py: Python<'_>) -> Vec<Py<Handle>> {
        let mut gone = Vec::new();
        while self.heap.peek().is_some_and(|Reverse(timer)| timer.handle.get().is_cancelled(py)) {
            gone.extend(self.heap.pop().map(|Reverse(timer)| timer.handle));
        }
        gone
    }

    /// Removes cancelled timers once they may be half of all; returns them, to be dropped outside a borrow.
    pub(crate) fn sweep(&mut self, py: Python<'_>) -> Vec<Py<Handle>> {
        if self.heap.len() < self.sweep_at.max(SWEEP_FROM) {
            return Vec::new();
        }
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.heap)
            .into_iter()
            .partition(|Reverse(timer)| timer.handle.get().is_cancelled(py));
        self.heap = kept.into();
        self.sweep_at = self.heap.len() * 2;
        gone.into_iter().map(|Reverse(timer)| timer.handle).collect()
    }

    pub(crate) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.when.total_cmp(&other.when).then(self.order.cmp(&other.order))
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timer {}
