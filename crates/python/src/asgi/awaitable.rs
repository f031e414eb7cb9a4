//! An awaitable that is finished before it is awaited, so that awaiting it suspends nobody.

use crate::calls::stop_iteration;
use pyo3::{prelude::*, sync::PyOnceLock};

/// `await finished` gives its value at once.
#[pyclass(frozen, module = "hostler")]
pub(super) struct Finished {
    value: Option<Py<PyAny>>,
}

impl Finished {
    /// One that gives `value`.
    pub(super) fn with<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { value: Some(value.unbind()) })?.into_any())
    }

    /// The one that gives None; it has no state, so all share it.
    pub(super) fn none(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
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
