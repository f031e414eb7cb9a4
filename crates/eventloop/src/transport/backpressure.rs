//! Backpressure: tells the protocol to pause writing when too much is buffered, and to resume later.

use super::{errors::ends_loop, state::This};
use pyo3::{exceptions::PyValueError, intern, prelude::*};

/// `set_write_buffer_limits(high, low)`.
pub(super) fn set_limits(slf: This<'_, '_>, high: Option<i64>, low: Option<i64>) -> PyResult<()> {
    let set = slf.get().with(slf.py(), |state| state.flow.set_limits(high, low));
    set.map_err(PyValueError::new_err)?;
    maybe_pause(slf)
}

/// Tells the protocol to pause if more than the high mark is buffered.
pub(super) fn maybe_pause(slf: This<'_, '_>) -> PyResult<()> {
    let pause = slf.get().with(slf.py(), |state| state.flow.pauses(state.queue.len()));
    if pause { tell(slf, "pause_writing", "protocol.pause_writing() failed") } else { Ok(()) }
}

/// Tells the protocol to resume if no more than the low mark is buffered.
pub(super) fn maybe_resume(slf: This<'_, '_>) -> PyResult<()> {
    let resume = slf.get().with(slf.py(), |state| state.flow.resumes(state.queue.len()));
    if resume { tell(slf, "resume_writing", "protocol.resume_writing() failed") } else { Ok(()) }
}

fn tell(slf: This<'_, '_>, method: &str, failed: &str) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = slf.get().protocol(py) else { return Ok(()) };
    match protocol.call_method0(method) {
        Err(error) if !ends_loop(py, &error) => {
            slf.call_method1(intern!(py, "_report"), (failed, error.into_value(py))).map(drop)
        }
        result => result.map(drop),
    }
}
