//! A callback waiting for its turn.

use crate::{calls::run_in_context, gil::GilCell};
use pyo3::{PyTraverseError, PyVisit, exceptions::PyTypeError, prelude::*, types::PyTuple};

/// What `call_soon`, `call_later` and `call_at` return: `asyncio.Handle` and `asyncio.TimerHandle` in one.
#[pyclass(frozen, weakref, module = "hostler")]
pub struct Handle {
    call: GilCell<Option<Call>>,
    when: Option<f64>,
}

struct Call {
    callback: Py<PyAny>,
    args: Py<PyTuple>,
    context: Py<PyAny>,
}

impl Handle {
    pub(super) fn new(
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
        context: Bound<'_, PyAny>,
        when: Option<f64>,
    ) -> Self {
        let call = Call { callback: callback.unbind(), args: args.unbind(), context: context.unbind() };
        Self { call: GilCell::new(Some(call)), when }
    }

    /// Runs the callback in its context; nothing if it was cancelled.
    pub(super) fn run(&self, py: Python<'_>) -> PyResult<()> {
        // References of our own: the callback may cancel its handle.
        let Some((callback, args, context)) = self.parts(py) else { return Ok(()) };
        run_in_context(context.bind(py), callback.bind(py), args.bind(py)).map(drop)
    }

    pub(super) fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.call.with(py, |call| call.is_none())
    }

    fn parts(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyTuple>, Py<PyAny>)> {
        self.call.with(py, |call| {
            call.as_ref().map(|call| {
                (call.callback.clone_ref(py), call.args.clone_ref(py), call.context.clone_ref(py))
            })
        })
    }
}

#[pymethods]
impl Handle {
    fn cancel(&self, py: Python<'_>) {
        // Dropped after the borrow ended: a finalizer may come back to us.
        drop(self.call.with(py, Option::take));
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    #[getter]
    fn _cancelled(&self, py: Python<'_>) -> bool {
        self.is_cancelled(py)
    }

    #[getter]
    fn _callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parts(py).map(|(callback, _, _)| callback)
    }

    #[getter]
    fn _args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.parts(py).map(|(_, args, _)| args)
    }

    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.parts(py).map(|(_, _, context)| context)
    }

    /// The time of the loop's clock at which a timer is due, in seconds.
    fn when(&self) -> PyResult<f64> {
        self.when.ok_or_else(|| PyTypeError::new_err("only handles of call_later and call_at have a time"))
    }

    fn _run(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let when = self.when.map_or_else(String::new, |when| format!(" when={when}"));
        Ok(match self.parts(py) {
            None => format!("<Handle cancelled{when}>"),
            Some((callback, _, _)) => format!("<Handle{when} {}>", callback.bind(py).repr()?),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let visited = self.call.peek(|call| {
            let Some(call) = call else { return Ok(()) };
            visit.call(&call.callback)?;
            visit.call(&call.args)?;
            visit.call(&call.context)
        });
        visited.unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        Python::attach(|py| self.cancel(py));
    }
}
