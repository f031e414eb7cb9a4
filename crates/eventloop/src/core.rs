//! The state of a loop: the ready queue, the timers, and what wakes the driver.
//!
//! Applications, transports and other threads give the loop its work here, which wakes the driver ([`crate::driver`])
//! if it is idle. Nothing here runs a callback.
//!
//! Invariant: applications call the loop from anywhere, also from inside the wait and from other threads, so the
//! state is only touched through [`GilCell::with`], which never calls Python.

use crate::{calls::copy_context, gil::GilCell, handle::Handle, slot::RuntimeSlot, timers::Timers};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyTuple};
use std::{collections::VecDeque, future::Future, mem, task::Waker};

/// The part of the event loop that is Rust.
#[pyclass(subclass, frozen, weakref, module = "hostler")]
#[derive(Default)]
pub struct LoopCore {
    pub(crate) state: GilCell<State>,
    pub(crate) runtime: RuntimeSlot,
}

#[derive(Default)]
pub(crate) struct State {
    /// What runs at the next turn: our [`Handle`]s and CPython's `asyncio.Handle`s.
    pub(crate) ready: VecDeque<Py<PyAny>>,
    pub(crate) timers: Timers,
    /// The transports that have buffered what was written in this turn.
    pub(crate) held: Vec<Py<PyAny>>,
    /// The driver's waker while the driver is idle; taken to wake it.
    pub(crate) idle: Option<Waker>,
    /// `run_forever` returns after the current turn.
    pub(crate) stopping: bool,
    pub(crate) closed: bool,
    debug: bool,
    /// What ends `run_forever` at once: SystemExit or KeyboardInterrupt of a callback.
    pub(crate) fatal: Option<PyErr>,
}

impl LoopCore {
    /// Spawns a task on the loop's runtime; it runs whenever the loop runs.
    ///
    /// # Errors
    /// RuntimeError if the loop runs or is closed, OSError if its runtime cannot be made.
    pub fn spawn(&self, py: Python<'_>, task: impl Future<Output = ()> + 'static) -> PyResult<()> {
        let runtime = self.runtime.take(py)?;
        runtime.spawn_local(task);
        self.runtime.put_back(py, runtime);
        Ok(())
    }

    /// Changes the state, and wakes the driver if it is idle.
    fn give(&self, py: Python<'_>, change: impl FnOnce(&mut State)) {
        let idle = self.state.with(py, |state| {
            change(state);
            state.idle.take()
        });
        if let Some(idle) = idle {
            idle.wake();
        }
    }

    /// Queues a handle.
    pub(crate) fn push(&self, py: Python<'_>, handle: Py<PyAny>) {
        self.give(py, |state| state.ready.push_back(handle));
    }

    /// Takes back the handle that was queued last: the first step of a task just made.
    pub(crate) fn take_last(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.ready.pop_back())
    }

    /// Ends `run_forever` with an error, after the current callback.
    pub(crate) fn fail(&self, py: Python<'_>, error: PyErr) {
        self.give(py, |state| {
            state.fatal.get_or_insert(error);
        });
    }

    /// `run_forever` returns after the current turn.
    pub(crate) fn stop(&self, py: Python<'_>) {
        self.give(py, |state| state.stopping = true);
    }

    /// Has the driver flush a transport at the end of the turn; `false` if the loop does not run.
    pub(crate) fn flush_soon(&self, py: Python<'_>, transport: Py<PyAny>) -> bool {
        let running = self.runtime.is_running(py);
        if running {
            self.give(py, |state| state.held.push(transport));
        }
        running
    }

    /// A handle for a callback, in the context given or in a copy of the current one.
    pub(crate) fn handle<'py>(
        &self,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
        when: Option<f64>,
    ) -> PyResult<Py<Handle>> {
        let py = callback.py();
        self.check_open(py)?;
        let context = match context {
            Some(context) if !context.is_none() => context,
            _ => copy_context(py)?,
        };
        Py::new(py, Handle::new(callback, args, context, when))
    }

    /// Queues a call; in debug mode as CPython's handle.
    pub(crate) fn queue_call<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, core) = (slf.py(), slf.get());
        if core.debug(py) {
            return slf.call_method1("_debug_call_soon", (callback, args, context)).map(Bound::unbind);
        }
        let handle = core.handle(callback, args, context, None)?.into_any();
        core.push(py, handle.clone_ref(py));
        Ok(handle)
    }

    /// Sets a timer.
    pub(crate) fn set_timer(&self, py: Python<'_>, when: f64, handle: Py<Handle>) {
        let (idle, swept) = self.state.with(py, |state| {
            let earliest = state.timers.next_due().is_none_or(|due| when < due);
            state.timers.push(when, handle);
            // The driver may be waiting for a later timer.
            (if earliest { state.idle.take() } else { None }, state.timers.sweep(py))
        });
        if let Some(idle) = idle {
            idle.wake();
        }
        drop(swept);
    }

    /// Drops the runtime of another thread that the loop ran in, unless transports need it.
    pub(crate) fn move_to_this_thread(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, core) = (slf.py(), slf.get());
        if core.runtime.is_of_another_thread(py) && slf.getattr(intern!(py, "_transports"))?.len()? == 0 {
            core.runtime.reset(py);
        }
        Ok(())
    }

    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| state.closed) {
            return Err(PyRuntimeError::new_err("Event loop is closed"));
        }
        Ok(())
    }

    pub(crate) fn debug(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.debug)
    }

    pub(crate) fn set_debug(&self, py: Python<'_>, enabled: bool) {
        self.state.with(py, |state| state.debug = enabled);
    }

    /// Drops all that is queued, and the runtime.
    pub(crate) fn close(&self, py: Python<'_>) {
        let queued = self.state.with(py, |state| {
            state.closed = true;
            state.idle = None;
            (mem::take(&mut state.ready), mem::take(&mut state.held), state.timers.take_all())
        });
        drop(queued);
        self.runtime.close(py);
    }
}
