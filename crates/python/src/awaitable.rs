//! What applications await: an awaitable that is finished before it is awaited, so that awaiting it suspends
//! nobody, and futures of the loop.

use crate::calls::stop_iteration;
use pyo3::{intern, prelude::*, sync::PyOnceLock, types::PyString};

/// `await finished` gives its value at once.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct Finished {
    value: Option<Py<PyAny>>,
}

impl Finished {
    /// One that gives `value`.
    pub(crate) fn with<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { value: Some(value.unbind()) })?.into_any())
    }

    /// The one that gives None; it has no state, so all share it.
    pub(crate) fn none(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static NONE: PyOnceLock<Py<Finished>> = PyOnceLock::new();
        let none = NONE.get_or_try_init(py, || Py::new(py, Self { value: None }))?;
        Ok(none.bind(py).clone().into_any())
    }
}

#[pymethods]
impl Finished {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.value {
            // An iterator that ends without a word has the value None.
            None => Ok(None),
            Some(value) => Err(stop_iteration(value.bind(py).clone())),
        }
    }
}

/// Finishes a future of the loop, unless its task was cancelled meanwhile.
pub(crate) fn resolve(future: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
    settle(future, intern!(future.py(), "set_result"), value);
}

/// Fails a future of the loop, unless its task was cancelled meanwhile.
pub(crate) fn reject(future: &Bound<'_, PyAny>, error: PyErr) {
    let py = future.py();
    settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any());
}

fn settle(future: &Bound<'_, PyAny>, how: &Bound<'_, PyString>, value: Bound<'_, PyAny>) {
    let py = future.py();
    let settled = future.call_method0(intern!(py, "done")).and_then(|done| {
        if done.is_truthy()? { Ok(()) } else { future.call_method1(how, (value,)).map(drop) }
    });
    if let Err(error) = settled {
        // Only a closed loop refuses; then nobody waits for this future either.
        tracing::debug!(%error, "cannot finish a future");
    }
}
