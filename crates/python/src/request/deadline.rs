//! A request's deadline, for its application to move.

use hostler_http::Deadline;
use pyo3::{exceptions::PyValueError, prelude::*};
use std::time::Duration;

/// `scope["extensions"]["hostler.deadline"]` and `environ["hostler.deadline"]`, with --request-timeout.
#[pyclass(frozen, module = "hostler")]
pub(crate) struct RequestDeadline(Deadline);

impl RequestDeadline {
    /// The deadline of a request, if it has one.
    pub(crate) fn of<'py, B>(
        py: Python<'py>,
        request: &hyper::Request<B>,
    ) -> PyResult<Option<Bound<'py, Self>>> {
        Self::new(py, request.extensions().get::<Deadline>().cloned())
    }

    pub(crate) fn new(py: Python<'_>, deadline: Option<Deadline>) -> PyResult<Option<Bound<'_, Self>>> {
        deadline.map(|deadline| Bound::new(py, Self(deadline))).transpose()
    }
}

#[pymethods]
impl RequestDeadline {
    /// Gives the request `seconds` from now on, if that is later than what it had.
    fn extend(&self, seconds: f64) -> PyResult<()> {
        let by = Duration::try_from_secs_f64(seconds).map_err(|error| {
            PyValueError::new_err(format!("{seconds} is no duration in seconds: {error}"))
        })?;
        self.0.extend(by);
        Ok(())
    }
}
