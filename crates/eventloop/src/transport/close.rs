//! Closing a transport: gracefully, or at once.

use super::{flush::flush_held, lost, state::This};
use pyo3::prelude::*;

/// `close()`: what was written is sent first.
pub(super) fn close(slf: This<'_, '_>) -> PyResult<()> {
    flush_held(slf)?;
    let lost = slf.get().with(slf.py(), |state| {
        let lost = !std::mem::replace(&mut state.closing, true) && state.queue.is_empty();
        state.lost += u32::from(lost);
        lost
    });
    if lost { lost::schedule(slf, None) } else { Ok(()) }
}

/// Closes at once; what was not sent is dropped.
pub(super) fn force_close(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    flush_held(slf)?;
    let lost = slf.get().with(slf.py(), |state| {
        if state.lost > 0 {
            return false;
        }
        state.queue.clear();
        state.closing = true;
        state.lost += 1;
        true
    });
    if lost { lost::schedule(slf, error) } else { Ok(()) }
}
