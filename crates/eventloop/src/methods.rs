//! The loop as Python sees it: what CPython's selector loop and applications call.

use crate::{clock, core::LoopCore, driver};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyTuple},
};

#[pymethods]
impl LoopCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self::default())
    }

    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::queue_call(slf, callback, args, context)
    }

    /// As `call_soon`, from any thread. The queue is guarded by the GIL and the waker works across threads.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if slf.get().debug(slf.py()) {
            let handle = slf.call_method1("_debug_call_soon_threadsafe", (callback, args, context));
            return handle.map(Bound::unbind);
        }
        Self::queue_call(slf, callback, args, context)
    }

    #[pyo3(signature = (delay, callback, *args, context = None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: f64,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Self::call_at(slf, clock::now() + delay, callback, args, context)
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
            return debug_call_at(slf, when, callback, args, context);
        }
        let handle = core.handle(callback, args, context, Some(when))?;
        core.set_timer(py, when, handle.clone_ref(py));
        Ok(handle.into_any())
    }

    #[expect(clippy::unused_self, reason = "asyncio's loop has it as a method")]
    fn time(&self) -> f64 {
        clock::now()
    }

    #[pyo3(name = "stop")]
    fn stop_(&self, py: Python<'_>) {
        self.stop(py);
    }

    /// CPython's loop queues the handles of its selector with this.
    fn _append(&self, py: Python<'_>, handle: Py<PyAny>) {
        self.push(py, handle);
    }

    fn _pending(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.ready.len())
    }

    fn _set_core_debug(&self, py: Python<'_>, enabled: bool) {
        self.set_debug(py, enabled);
    }

    /// Whether this thread is inside a running loop, be it the one of the process that forked this one.
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

    fn _close_core(&self, py: Python<'_>) {
        self.close(py);
    }
}

/// A timer whose handle is CPython's; a handle of ours runs it.
fn debug_call_at<'py>(
    slf: &Bound<'py, LoopCore>,
    when: f64,
    callback: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (py, core) = (slf.py(), slf.get());
    core.check_open(py)?;
    let theirs = slf.call_method1("_debug_timer", (when, callback, args, context))?;
    let run = slf.getattr("_debug_run")?;
    let ours = core.handle(run, PyTuple::new(py, [&theirs])?, None, Some(when))?;
    core.set_timer(py, when, ours);
    Ok(theirs.unbind())
}
