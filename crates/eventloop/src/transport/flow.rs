//! Flow control: the protocol is told when too much waits to be sent, and when that is over.

use super::This;
use pyo3::{exceptions::PyValueError, intern, prelude::*};

/// asyncio's default for the high-water mark.
const HIGH: usize = 64 * 1024;

/// The marks, in bytes, and whether the protocol was told to pause.
pub(super) struct Flow {
    high: usize,
    low: usize,
    pub(super) paused: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self { high: HIGH, low: HIGH / 4, paused: false }
    }
}

impl Flow {
    /// The low mark and the high mark.
    pub(super) fn limits(&self) -> (usize, usize) {
        (self.low, self.high)
    }
}

/// Sets the marks, with asyncio's defaults for what is not given.
pub(super) fn set_limits(slf: This<'_, '_>, high: Option<i64>, low: Option<i64>) -> PyResult<()> {
    let default = i64::try_from(HIGH).unwrap_or(i64::MAX);
    let high = high.unwrap_or_else(|| low.map_or(default, |low| low.saturating_mul(4)));
    let low = low.unwrap_or(high / 4);
    let (Ok(above), Ok(below)) = (usize::try_from(high), usize::try_from(low)) else {
        return Err(wrong_limits(high, low));
    };
    if above < below {
        return Err(wrong_limits(high, low));
    }
    slf.get().with(slf.py(), |state| (state.flow.high, state.flow.low) = (above, below));
    maybe_pause(slf)
}

fn wrong_limits(high: i64, low: i64) -> PyErr {
    PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))
}

/// Tells the protocol to pause if more than the high mark waits.
pub(super) fn maybe_pause(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
    let pause = slf.get().with(py, |state| {
        let pause = !state.flow.paused && state.queue.len() > state.flow.high;
        state.flow.paused |= pause;
        pause
    });
    if pause { tell(slf, "pause_writing", "protocol.pause_writing() failed") } else { Ok(()) }
}

/// Tells the protocol to go on if no more than the low mark waits.
pub(super) fn maybe_resume(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
    let resume = slf.get().with(py, |state| {
        let resume = state.flow.paused && state.queue.len() <= state.flow.low;
        state.flow.paused &= !resume;
        resume
    });
    if resume { tell(slf, "resume_writing", "protocol.resume_writing() failed") } else { Ok(()) }
}

fn tell(slf: This<'_, '_>, method: &str, failed: &str) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = slf.get().protocol(py) else { return Ok(()) };
    match protocol.call_method0(method) {
        Err(error) if !super::close::ends_loop(py, &error) => {
            slf.call_method1(intern!(py, "_report"), (failed, error.into_value(py))).map(drop)
        }
        result => result.map(drop),
    }
}
