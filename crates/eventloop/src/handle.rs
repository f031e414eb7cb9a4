//! A callback that is scheduled.

use crate::{calls::run_in_context, gil::GilCell};
use pyo3::{
    PyTraverseError, PyVisit,
    basic::CompareOp,
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBool, PyFloat, PyTuple},
};

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
    pub(crate) fn new(
        callback: Bound<'_, PyAny>,
        args: Bound<'_, PyTuple>,
        context: Bound<'_, PyAny>,
        when: Option<f64>,
    ) -> Self {
        let call = Call { callback: callback.unbind(), args: args.unbind(), context: context.unbind() };
        Self { call: GilCell::new(Some(call)), when }
    }

    /// Runs the callback in its context; nothing if it was cancelled.
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
        // Own references: the callback may cancel its handle.
        let Some((callback, args, context)) = self.parts(py) else { return Ok(()) };
        run_in_context(context.bind(py), callback.bind(py), args.bind(py)).map(drop)
    }

    pub(crate) fn is_cancelled(&self, py: Python<'_>) -> bool {
        self.call.with(py, |call| call.is_none())
    }

    fn is_same_call(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
        match (self.parts(py), other.parts(py)) {
            (Some((callback, args, _)), Some((others, other_args, _))) => {
                Ok(callback.bind(py).eq(others)? && args.bind(py).eq(other_args)?)
            }
            (mine, others) => Ok(mine.is_none() && others.is_none()),
        }
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
        // Dropped after the borrow: a finalizer may call the loop.
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

    /// Where it was created; recorded by CPython's handles only, in debug mode.
    #[getter]
    #[expect(clippy::unused_self, reason = "asyncio's handles have it")]
    fn _source_traceback(&self) -> Option<Py<PyAny>> {
        None
    }

    /// `isinstance` uses this too: for programs it is one of asyncio's handles.
    #[getter]
    fn __class__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = if self.when.is_some() { "TimerHandle" } else { "Handle" };
        py.import("asyncio")?.getattr(class)
    }

    /// As asyncio writes it: `<Handle function() at file.py:12>`.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let class = if self.when.is_some() { "TimerHandle" } else { "Handle" };
        let when = self.when.map_or_else(String::new, |when| format!(" when={when}"));
        let Some((callback, args, _)) = self.parts(py) else {
            return Ok(format!("<{class} cancelled{when}>"));
        };
        let source =
            py.import("asyncio.format_helpers")?.call_method1("_format_callback_source", (callback, args))?;
        Ok(format!("<{class}{when} {source}>"))
    }

    /// Timers are ordered by when they are due, and equal if they would make the same call, as asyncio's.
    fn __richcmp__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        compare: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let theirs = other.cast_exact::<Self>().ok().and_then(|other| Some((other.get(), other.get().when?)));
        let (Some(when), Some((other, due))) = (slf.get().when, theirs) else {
            return Ok(py.NotImplemented());
        };
        let answer = match compare {
            CompareOp::Eq => when == due && slf.get().is_same_call(other, py)?,
            CompareOp::Ne => when != due || !slf.get().is_same_call(other, py)?,
            _ => when.partial_cmp(&due).is_some_and(|order| compare.matches(order)),
        };
        Ok(PyBool::new(py, answer).to_owned().into_any().unbind())
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        match slf.get().when {
            Some(when) => PyFloat::new(slf.py(), when).hash(),
            None => Ok((slf.as_ptr() as isize) >> 4),
        }
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
