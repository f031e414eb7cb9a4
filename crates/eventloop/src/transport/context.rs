//! Calls of a protocol's methods in the transport's context.

use super::state::This;
use crate::calls::{Args, run_in_context};
use pyo3::prelude::*;

/// Calls `method(*args)` of the protocol as a reader callback of the selector's loop would be called.
pub(super) fn call<'py>(
    slf: This<'_, 'py>,
    method: &Bound<'py, PyAny>,
    args: impl Args<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let context =
        slf.get().with(py, |state| state.objects.context.as_ref().map(|context| context.bind(py).clone()));
    match context {
        Some(context) => run_in_context(&context, method, args),
        None => method.call1(args),
    }
}
