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

#[cfg(test)]
mod tests {
    use super::{SWEEP_FROM, Timers};
    use crate::handle::Handle;
    use pyo3::{prelude::*, types::PyTuple};

    fn handle(py: Python<'_>) -> Py<Handle> {
        let none = || py.None().into_bound(py);
        Py::new(py, Handle::new(none(), PyTuple::empty(py), none(), Some(0.0))).unwrap()
    }

    #[test]
    fn the_earliest_is_first_and_equal_times_keep_their_order() {
        Python::initialize();
        Python::attach(|py| {
            let (mut timers, handles) = (Timers::default(), [(); 4].map(|()| handle(py)));
            for (when, handle) in [2.0, 1.0, 1.0, f64::NAN].into_iter().zip(&handles) {
                timers.push(when, handle.clone_ref(py));
            }
            let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(1.0)).collect();
            assert!(due.iter().zip([3, 1, 2]).all(|(due, index)| due.is(&handles[index])) && due.len() == 3);
            assert_eq!(timers.next_due(), Some(2.0));
        });
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        Python::initialize();
        Python::attach(|py| {
            let mut timers = Timers::default();
            let swept: usize = (0..SWEEP_FROM * 10)
                .map(|index| {
                    let handle = handle(py);
                    handle.call_method0(py, "cancel").unwrap();
                    timers.push(index as f64, handle);
                    timers.sweep(py).len()
                })
                .sum();
            assert!(SWEEP_FROM * 10 - swept <= SWEEP_FROM, "{swept}");
            timers.pop_cancelled(py);
            assert_eq!(timers.next_due(), None);
        });
    }
}
