//! Writing: what is written is held until the current turn of the loop ends, then sent in one system call.
//!
//! So three writes cost one system call, and a peer is woken once. Whatever would notice the delay (closing, ending
//! the stream, asking for the buffer's size, much data, a loop that does not run) flushes at once. What the socket
//! does not take is sent when it is writable.

use super::{
    backpressure,
    data::{write_argument, writelines_item},
    errors,
    flush::flush_held,
    socket::Socket,
    state::This,
};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyBytes};

/// How many bytes are held until the end of the turn at most.
const MAX_HELD_BYTES: usize = 16 * 1024;

/// `asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_FROM: u32 = 5;

/// `write(data)`.
pub(super) fn write(slf: This<'_, '_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let data = write_argument(data)?;
    check_writable(slf, "Cannot call write() after write_eof()", "unable to write; sendfile is in progress")?;
    if data.as_bytes().is_empty() || is_discarded(slf)? {
        return Ok(());
    }
    queue(slf, [data])
}

/// Queues what was written, to be sent at the end of the turn or, if the socket is full, when it is writable.
fn queue<'py>(slf: This<'_, 'py>, pieces: impl IntoIterator<Item = Bound<'py, PyBytes>>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    let (first, held, length) = this.with(py, |state| {
        let first = state.queue.is_empty() && !state.held;
        state.held |= first;
        pieces.into_iter().for_each(|piece| state.queue.push(piece, 0));
        (first, state.held, state.queue.len())
    });
    if !held {
        return backpressure::maybe_pause(slf);
    }
    let flushed_soon = length <= MAX_HELD_BYTES && (!first || flush_soon(slf));
    if flushed_soon { Ok(()) } else { flush_held(slf) }
}

/// Has the loop flush at the end of its turn; `false` if it does not run.
fn flush_soon(slf: This<'_, '_>) -> bool {
    let core = slf.get().core(slf.py());
    core.is_some_and(|core| core.get().flush_soon(slf.py(), slf.clone().into_any().unbind()))
}

/// `writelines(list_of_data)`.
pub(super) fn write_lines(slf: This<'_, '_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
    check_writable(
        slf,
        "Cannot call writelines() after write_eof()",
        "unable to writelines; sendfile is in progress",
    )?;
    let lines = lines.try_iter()?.map(|item| writelines_item(&item?)).collect::<PyResult<Vec<_>>>()?;
    if lines.is_empty() || is_discarded(slf)? {
        return Ok(());
    }
    queue(slf, lines)
}

/// `write_eof()`: nothing more is written; the peer is told once all is sent.
pub(super) fn write_eof(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
    flush_held(slf)?;
    let shut = slf.get().with(py, |state| {
        if state.closing || std::mem::replace(&mut state.ended, true) || !state.queue.is_empty() {
            return Ok(());
        }
        state.socket.as_ref().map_or(Ok(()), Socket::shut_writing)
    });
    shut.map_err(errors::os_error(py))
}

fn check_writable(slf: This<'_, '_>, ended: &'static str, busy: &'static str) -> PyResult<()> {
    slf.get().with(slf.py(), |state| match &state.objects.empty_waiter {
        _ if state.ended => Err(PyRuntimeError::new_err(ended)),
        Some(_) => Err(PyRuntimeError::new_err(busy)),
        None => Ok(()),
    })
}

/// Whether the connection is lost: writes are then discarded, with a warning from the fifth on, as asyncio does.
fn is_discarded(slf: This<'_, '_>) -> PyResult<bool> {
    let py = slf.py();
    let before = slf.get().with(py, |state| {
        let before = state.lost;
        if before > 0 {
            state.lost = before.saturating_add(1);
        }
        before
    });
    if before >= WARN_FROM {
        slf.call_method0(intern!(py, "_warn_lost"))?;
    }
    Ok(before > 0)
}
