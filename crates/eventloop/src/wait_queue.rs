//! The tasks that wait for the same thing, in the order in which they came.

use crate::{future::resolve, gil::GilCell};
use pyo3::prelude::*;
use std::collections::VecDeque;

/// A queue of tasks, each known by the future that it is suspended on.
///
/// Only the first is woken for an item, and takes it when it resumes. It stays in the queue until then, so that no
/// later task overtakes it. A task that leaves the queue, served or cancelled, wakes the next one.
#[derive(Default)]
pub struct WaitQueue(GilCell<VecDeque<Py<PyAny>>>);

impl WaitQueue {
    /// Whether no task waits.
    pub fn is_empty(&self, py: Python<'_>) -> bool {
        self.0.with(py, |waiting| waiting.is_empty())
    }

    /// Whether `waiter` is the first; a task that is not in the queue yet is, if the queue is empty.
    pub fn is_first(&self, py: Python<'_>, waiter: Option<&Py<PyAny>>) -> bool {
        self.0.with(py, |waiting| match (waiting.front(), waiter) {
            (Some(first), Some(waiter)) => first.is(waiter),
            (first, _) => first.is_none(),
        })
    }

    /// Enters `future`: at the end, or in the place of the one that this task waited for `before`.
    pub fn enter(&self, py: Python<'_>, future: &Bound<'_, PyAny>, before: Option<Py<PyAny>>) {
        let future = future.clone().unbind();
        self.0.with(py, |waiting| {
            let kept = before.as_ref().and_then(|before| waiting.iter_mut().find(|kept| kept.is(before)));
            match kept {
                Some(kept) => {
                    // The caller holds another reference, so that nothing is freed here.
                    *kept = future;
                }
                None => waiting.push_back(future),
            }
        });
        drop(before);
    }

    /// Removes a waiter, and wakes the next one if it was the first.
    pub fn leave(&self, py: Python<'_>, waiter: &Py<PyAny>) {
        let (left, was_first) = self.0.with(py, |waiting| {
            let index = waiting.iter().position(|kept| kept.is(waiter));
            (index.and_then(|index| waiting.remove(index)), index == Some(0))
        });
        drop(left);
        if was_first {
            self.wake_first(py);
        }
    }

    /// Wakes the first task, to take what there is.
    pub fn wake_first(&self, py: Python<'_>) {
        if let Some(first) = self.0.with(py, |waiting| waiting.front().map(|first| first.clone_ref(py))) {
            resolve(first.bind(py), py.None().into_bound(py));
        }
    }
}
