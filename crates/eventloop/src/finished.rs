//! An awaitable that is finished before it is awaited, so that awaiting it suspends no task.
//!
//! It is a coroutine for asyncio, too (`send`, `throw`, `close`): `create_task(send(…))` works as it does with
//! servers whose `send` is a coroutine function.

use crate::calls::stop_iteration;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyTuple};

/// `await finished` gives its value at once.
#[pyclass(frozen, module = "hostler")]
pub struct Finished {
    value: Option<Py<PyAny>>,
}

impl Finished {
    /// One that gives `value`.
    ///
    /// # Errors
    /// MemoryError.
    pub fn with<'py>(py: Python<'py>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Bound::new(py, Self { value: Some(value.unbind()) })?.into_any())
    }

    /// The one that gives None; it has no state, so it is shared.
    ///
    /// # Errors
    /// MemoryError.
    pub fn none(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
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
            // An iterator that ends without a value returns None.
            None => Ok(None),
            Some(value) => Err(stop_iteration(value.bind(py).clone())),
        }
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = self.value.as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py));
        Err(stop_iteration(value.into_bound(py)))
    }

    #[pyo3(signature = (error, *_more))]
    #[expect(clippy::unused_self, reason = "a method of coroutines")]
    fn throw(&self, error: Bound<'_, PyAny>, _more: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(PyErr::from_value(error))
    }

    #[expect(clippy::unused_self, reason = "a method of coroutines")]
    fn close(&self) {}
}
