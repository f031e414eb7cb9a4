//! Those who wait for the same thing, in the order in which they came.

use crate::{awaitable::resolve, gil::GilCell};
use pyo3::prelude::*;
use std::collections::VecDeque;

/// A line of tasks, each with the future that it is suspended on.
///
/// Only the first is woken for something, and takes it when it goes on; it stands in the line until then, so that
/// nobody who comes later overtakes it. Whoever leaves, served or cancelled, wakes the next one.
#[derive(Default)]
pub struct Line(GilCell<VecDeque<Py<PyAny>>>);

impl Line {
    /// Whether no task waits.
    pub fn is_empty(&self, py: Python<'_>) -> bool {
        self.0.with(py, |waiting| waiting.is_empty())
    }

    /// Whether it is the turn of who stands at `place`, or of somebody who stands nowhere yet.
    pub fn is_first(&self, py: Python<'_>, place: Option<&Py<PyAny>>) -> bool {
        self.0.with(py, |waiting| match (waiting.front(), place) {
            (Some(first), Some(place)) => first.is(place),
            (first, _) => first.is_none(),
        })
    }

    /// Stands in the line with `future`: at its end, or where it stood before.
    pub fn stand(&self, py: Python<'_>, future: &Bound<'_, PyAny>, before: Option<Py<PyAny>>) {
        let future = future.clone().unbind();
        self.0.with(py, |waiting| {
            let kept = before.as_ref().and_then(|before| waiting.iter_mut().find(|kept| kept.is(before)));
            match kept {
                Some(kept) => {
                    // Whoever calls holds another reference, so that nothing is freed here.
                    *kept = future;
                }
                None => waiting.push_back(future),
            }
        });
        drop(before);
    }

    /// Leaves the line.
    pub fn leave(&self, py: Python<'_>, place: &Py<PyAny>) {
        let (left, was_first) = self.0.with(py, |waiting| {
            let index = waiting.iter().position(|kept| kept.is(place));
            (index.and_then(|index| waiting.remove(index)), index == Some(0))
        });
        drop(left);
        if was_first {
            self.wake_first(py);
        }
    }

    /// Has the first look.
    pub fn wake_first(&self, py: Python<'_>) {
        if let Some(first) = self.0.with(py, |waiting| waiting.front().map(|first| first.clone_ref(py))) {
            resolve(first.bind(py), py.None().into_bound(py));
        }
    }
}
