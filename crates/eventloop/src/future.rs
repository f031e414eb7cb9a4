//! Futures of the loop.

use pyo3::{intern, prelude::*, types::PyString};

/// Finishes a future of the loop, unless its task was cancelled meanwhile.
pub fn resolve(future: &Bound<'_, PyAny>, value: Bound<'_, PyAny>) {
    settle(future, intern!(future.py(), "set_result"), value);
}

/// Fails a future of the loop, unless its task was cancelled meanwhile.
pub fn reject(future: &Bound<'_, PyAny>, error: PyErr) {
    let py = future.py();
    settle(future, intern!(py, "set_exception"), error.into_value(py).into_bound(py).into_any());
}

fn settle(future: &Bound<'_, PyAny>, how: &Bound<'_, PyString>, value: Bound<'_, PyAny>) {
    let py = future.py();
    let settled = future.call_method0(intern!(py, "done")).and_then(|done| {
        if done.is_truthy()? { Ok(()) } else { future.call_method1(how, (value,)).map(drop) }
    });
    if let Err(error) = settled {
        // Only a closed loop refuses, and nothing waits for its futures.
        tracing::debug!(%error, "cannot finish a future");
    }
}
