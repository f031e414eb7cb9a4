//! Where a loop keeps its runtime while it does not run.

use crate::{gil::GilCell, runtime::Runtime};
use pyo3::{exceptions::PyRuntimeError, prelude::*};
use std::mem;

/// The runtime of a loop. It is bound to the thread that builds it, so it is built when the loop is first used.
#[derive(Default)]
pub(crate) struct RuntimeSlot(GilCell<Slot>);

#[derive(Default)]
enum Slot {
    #[default]
    NotBuilt,
    Built(Runtime),
    /// Taken by the thread that runs the loop.
    Running,
    Closed,
}

impl RuntimeSlot {
    /// Takes the runtime, for this thread to run; [`Self::put_back`] follows.
    pub(crate) fn take(&self, py: Python<'_>) -> PyResult<Runtime> {
        let taken = self.0.with(py, |slot| match slot {
            Slot::NotBuilt => Ok(None),
            Slot::Built(runtime) if runtime.is_of_this_thread() => Ok(Some(())),
            Slot::Built(_) => {
                Err("this event loop has open transports of another thread, and can only run there")
            }
            Slot::Running | Slot::Closed => Err("this event loop is closed or already running"),
        });
        let is_built = taken.map_err(PyRuntimeError::new_err)?.is_some();
        // Outside the borrow, because the runtime's hooks may need the cell.
        let new = if is_built { None } else { Some(Runtime::new()?) };
        let old = self.0.with(py, |slot| mem::replace(slot, Slot::Running));
        match (new, old) {
            (Some(runtime), _) | (None, Slot::Built(runtime)) => Ok(runtime),
            (None, _) => Err(PyRuntimeError::new_err("this event loop has no runtime")),
        }
    }

    /// Keeps the runtime for the next run.
    pub(crate) fn put_back(&self, py: Python<'_>, runtime: Runtime) {
        self.0.with(py, |slot| *slot = Slot::Built(runtime));
    }

    /// Whether the runtime is running.
    pub(crate) fn is_running(&self, py: Python<'_>) -> bool {
        self.0.with(py, |slot| matches!(slot, Slot::Running))
    }

    /// Whether the runtime is bound to another thread than this one.
    pub(crate) fn is_of_another_thread(&self, py: Python<'_>) -> bool {
        self.0.with(py, |slot| matches!(slot, Slot::Built(runtime) if !runtime.is_of_this_thread()))
    }

    /// Drops the runtime; another one is built when it is needed.
    pub(crate) fn reset(&self, py: Python<'_>) {
        // After the borrow: tasks that are dropped may call the loop.
        drop(self.0.with(py, mem::take));
    }

    /// Drops the runtime for good.
    pub(crate) fn close(&self, py: Python<'_>) {
        drop(self.0.with(py, |slot| mem::replace(slot, Slot::Closed)));
    }
}
