//! The core of the asyncio loop: the ready queue, the timers, and the wait, which is the tokio runtime.
//!
//! `hostler.EventLoop` (python/hostler/_loop.py) inherits from [`LoopCore`] and from CPython's selector
//! loop, which brings datagrams, pipes, subprocesses, signals, executors and the rest; its selector's epoll
//! set is nested in tokio's (see [`driver`]). Stream sockets have transports of ours ([`transport`]).
//!
//! Invariant: applications call these methods from anywhere, also from inside the wait and from other
//! threads, so state is only touched through [`GilCell::with`], which never calls Python.

mod alarm;
mod driver;
mod engine;
mod handle;
mod timers;
mod transport;

pub(crate) use engine::{Engine, spawn_local};
pub(crate) use handle::Handle;
pub(crate) use transport::SocketTransport;

use crate::{
    calls::copy_context,
    gil::{GilCell, Runtime},
    host,
};
use pyo3::{
    exceptions::{PyKeyboardInterrupt, PyRuntimeError, PySystemExit},
    intern,
    prelude::*,
    types::PyTuple,
};
use std::{collections::VecDeque, future::Future, task::Waker};
use timers::Timers;

/// The part of the event loop that is Rust.
#[pyclass(subclass, frozen, weakref, module = "hostler")]
pub struct LoopCore {
    state: GilCell<State>,
    runtime: GilCell<Slot>,
}

/// Where the runtime is. It is of the thread that makes it, so it is made when the loop is used first.
#[derive(Default)]
enum Slot {
    #[default]
    Unmade,
    Made(Runtime),
    /// Taken out by the thread that runs the loop.
    Running,
    Closed,
}

#[derive(Default)]
struct State {
    /// What runs at the next turn: our [`Handle`]s and CPython's `asyncio.Handle`s.
    ready: VecDeque<Py<PyAny>>,
    timers: Timers,
    /// The transports that hold back what was written in this turn.
    unsent: Vec<Py<SocketTransport>>,
    /// The driver's waker while it has nothing to do; taken by whoever gives it something.
    idle: Option<Waker>,
    /// `run_forever` returns after the present turn.
    stopping: bool,
    closed: bool,
    debug: bool,
    /// What ends `run_forever` at once: SystemExit or KeyboardInterrupt of a callback.
    fatal: Option<PyErr>,
}

impl LoopCore {
    /// Queues a handle and wakes the driver.
    fn push(&self, py: Python<'_>, handle: Py<PyAny>) {
        let idle = self.state.with(py, |state| {
            state.ready.push_back(handle);
            state.idle.take()
        });
        if let Some(idle) = idle {
            idle.wake();
        }
    }

    /// Takes back the handle that was queued last: the first step of a task that was just made.
    pub(crate) fn take_last(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.ready.pop_back())
    }

    /// Runs one handle, ours or CPython's. Errors of the callback go to the loop's exception handler.
    pub(crate) fn run_handle(slf: &Bound<'_, Self>, handle: &Bound<'_, PyAny>) {
        let py = slf.py();
        let result = match handle.cast_exact::<Handle>() {
            Ok(ours) => ours.get().run(py),
            Err(_) => Self::run_theirs(slf, handle),
        };
        if let Err(error) = host::stay_out(py, result) {
            Self::report(slf, handle, error);
        }
    }

    /// CPython's handles are those of descriptors and, in debug mode, all.
    fn run_theirs(slf: &Bound<'_, Self>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().debug(py) {
            slf.call_method1(intern!(py, "_debug_run"), (handle,))?;
        } else if !handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
            handle.call_method0(intern!(py, "_run"))?;
        }
        Ok(())
    }

    fn report(slf: &Bound<'_, Self>, handle: &Bound<'_, PyAny>, error: PyErr) {
        let py = slf.py();
        if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
            return slf.get().fail(py, error);
        }
        let reported = slf.call_method1(intern!(py, "_callback_failed"), (handle, error.into_value(py)));
        if let Err(error) = reported {
            slf.get().fail(py, error);
        }
    }

    /// Ends `run_forever` with an error, after the present callback.
    pub(crate) fn fail(&self, py: Python<'_>, error: PyErr) {
        let idle = self.state.with(py, |state| {
            state.fatal.get_or_insert(error);
            state.idle.take()
        });
        if let Some(idle) = idle {
            idle.wake();
        }
    }

    /// Has the driver send what a transport holds back; `false` if the loop does not run.
    fn send_soon(&self, py: Python<'_>, transport: Py<SocketTransport>) -> bool {
        if !self.runtime.with(py, |slot| matches!(slot, Slot::Running)) {
            return false;
        }
        let idle = self.state.with(py, |state| {
            state.unsent.push(transport);
            state.idle.take()
        });
        if let Some(idle) = idle {
            idle.wake();
        }
        true
    }

    /// Gives the runtime a task of ours; it runs whenever the loop runs.
    pub(crate) fn spawn(&self, py: Python<'_>, task: impl Future<Output = ()> + 'static) -> PyResult<()> {
        let runtime = self.take_runtime(py)?;
        runtime.spawn_local(task);
        self.put_back(py, runtime);
        Ok(())
    }

    /// Takes the runtime out, for this thread to run; [`Self::put_back`] follows.
    fn take_runtime(&self, py: Python<'_>) -> PyResult<Runtime> {
        let taken = self.runtime.with(py, |slot| match slot {
            Slot::Unmade => Ok(None),
            Slot::Made(runtime) if runtime.is_of_this_thread() => Ok(Some(())),
            Slot::Made(_) => {
                Err("this event loop has open transports of another thread, and can only run there")
            }
            Slot::Running | Slot::Closed => Err("this event loop is closed or already running"),
        });
        let is_made = taken.map_err(PyRuntimeError::new_err)?.is_some();
        // Its hooks may not find the cell borrowed.
        let new = if is_made { None } else { Some(Runtime::new()?) };
        let old = self.runtime.with(py, |slot| std::mem::replace(slot, Slot::Running));
        match (new, old) {
            (Some(runtime), _) | (None, Slot::Made(runtime)) => Ok(runtime),
            (None, _) => Err(PyRuntimeError::new_err("this event loop has no runtime")),
        }
    }

    /// Gives a loop that has run in another thread a runtime of this one, unless transports need the old one.
    fn move_to_this_thread(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let of_another =
            |slot: &mut Slot| matches!(slot, Slot::Made(runtime) if !runtime.is_of_this_thread());
        if slf.get().runtime.with(py, of_another) && slf.getattr(intern!(py, "_transports"))?.len()? == 0 {
            let old = slf.get().runtime.with(py, std::mem::take);
            drop(old);
        }
        Ok(())
    }

    /// Leaves the runtime to the next run.
    fn put_back(&self, py: Python<'_>, runtime: Runtime) {
        self.runtime.with(py, |slot| *slot = Slot::Made(runtime));
    }

    fn schedule<'py>(
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

    fn set_timer(&self, py: Python<'_>, when: f64, handle: Py<Handle>) {
        let (idle, swept) = self.state.with(py, |state| {
            let earliest = state.timers.next_due().is_none_or(|due| when < due);
            state.timers.push(when, handle);
            // The driver may be asleep until a later timer.
            (if earliest { state.idle.take() } else { None }, state.timers.sweep(py))
        });
        if let Some(idle) = idle {
            idle.wake();
        }
        drop(swept);
    }

    /// A timer whose handle is CPython's; a handle of ours runs it.
    fn debug_call_at<'py>(
        &self,
        slf: &Bound<'py, Self>,
        when: f64,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        self.check_open(py)?;
        let theirs = slf.call_method1("_debug_timer", (when, callback, args, context))?;
        let run = slf.getattr("_debug_run")?;
        let ours = self.schedule(run, PyTuple::new(py, [&theirs])?, None, Some(when))?;
        self.set_timer(py, when, ours);
        Ok(theirs.unbind())
    }

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| state.closed) {
            return Err(PyRuntimeError::new_err("Event loop is closed"));
        }
        Ok(())
    }

    fn debug(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.debug)
    }
}

/// The loop's clock, in seconds: CLOCK_MONOTONIC, as `time.monotonic()`.
fn now() -> f64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0.0, |time| std::time::Duration::from(time).as_secs_f64())
}

#[pymethods]
impl LoopCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, pyo3::types::PyDict>>) -> PyResult<Self> {
        Ok(Self { state: GilCell::new(State::default()), runtime: GilCell::default() })
    }

    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, core) = (slf.py(), slf.get());
        if core.debug(py) {
            return slf.call_method1("_debug_call_soon", (callback, args, context)).map(Bound::unbind);
        }
        let handle = core.schedule(callback, args, context, None)?.into_any();
        core.push(py, handle.clone_ref(py));
        Ok(handle)
    }

    /// As `call_soon`, from any thread. The queue is guarded by the GIL and the waker works across threads.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, core) = (slf.py(), slf.get());
        if core.debug(py) {
            let handle = slf.call_method1("_debug_call_soon_threadsafe", (callback, args, context));
            return handle.map(Bound::unbind);
        }
        let handle = core.schedule(callback, args, context, None)?.into_any();
        core.push(py, handle.clone_ref(py));
        Ok(handle)
    }

    #[pyo3(signature = (delay, callback, *args, context = None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: f64,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::call_at(slf, now() + delay, callback, args, context)
    }

    #[pyo3(signature = (when, callback, *args, context = None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: f64,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, core) = (slf.py(), slf.get());
        if core.debug(py) {
            return core.debug_call_at(slf, when, callback, args, context);
        }
        let handle = core.schedule(callback, args, context, Some(when))?;
        core.set_timer(py, when, handle.clone_ref(py));
        Ok(handle.into_any())
    }

    #[expect(clippy::unused_self, reason = "asyncio's loop has it as a method")]
    fn time(&self) -> f64 {
        now()
    }

    fn stop(&self, py: Python<'_>) {
        let idle = self.state.with(py, |state| {
            state.stopping = true;
            state.idle.take()
        });
        if let Some(idle) = idle {
            idle.wake();
        }
    }

    /// CPython's loop appends the handles of its selector here.
    fn _append(&self, py: Python<'_>, handle: Py<PyAny>) {
        self.push(py, handle);
    }

    fn _pending(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.ready.len())
    }

    fn _set_core_debug(&self, py: Python<'_>, enabled: bool) {
        self.state.with(py, |state| state.debug = enabled);
    }

    /// Whether this thread is inside of a running loop, also if that is the one of the process that forked us.
    #[staticmethod]
    fn _is_inside() -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }

    /// Runs the loop until `stop()`.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::_is_inside() {
            return Err(PyRuntimeError::new_err(
                "this process was forked inside of a running event loop, so it can only run a new one",
            ));
        }
        driver::run(slf)
    }

    /// Drops all that is queued, and the runtime.
    fn _close_core(&self, py: Python<'_>) {
        let queued = self.state.with(py, |state| {
            state.closed = true;
            state.idle = None;
            (std::mem::take(&mut state.ready), std::mem::take(&mut state.unsent), state.timers.take_all())
        });
        drop(queued);
        let runtime = self.runtime.with(py, |slot| std::mem::replace(slot, Slot::Closed));
        drop(runtime);
    }
}
