//! Writing: what is written is held back until the present turn of the loop ends, then sent in one call.
//!
//! A request that writes three times costs one system call so, and the peers of many connections are woken
//! once, not for each. What would notice (closing, ending the stream, asking how much waits, much data, a loop
//! that does not run) sends at once. What the kernel does not take is sent when there is room.

use super::{
    This, close,
    data::{line, written},
    flow,
    queue::PARTS,
};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyBytes};
use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

/// How many bytes are held back at most.
const MOST_HELD: usize = 16 * 1024;

const FAILED: &str = "Fatal write error on socket transport";

/// `write(data)`.
pub(super) fn write(slf: This<'_, '_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let data = written(data)?;
    check_writable(slf, "Cannot call write() after write_eof()", "unable to write; sendfile is in progress")?;
    if data.as_bytes().is_empty() || came_too_late(slf)? {
        return Ok(());
    }
    keep(slf, [data])
}

/// Keeps what was written, to be sent at the end of the turn or, if the socket is full, when there is room.
fn keep<'py>(slf: This<'_, 'py>, pieces: impl IntoIterator<Item = Bound<'py, PyBytes>>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    let (first, held, length) = this.with(py, |state| {
        let first = state.queue.is_empty() && !state.held;
        state.held |= first;
        pieces.into_iter().for_each(|piece| state.queue.push(piece, 0));
        (first, state.held, state.queue.len())
    });
    if !held {
        return flow::maybe_pause(slf);
    }
    let sent_soon = length <= MOST_HELD && (!first || send_soon(slf));
    if sent_soon { Ok(()) } else { send_held(slf) }
}

/// Has the loop send what is held at the end of its turn; `false` if it does not run.
fn send_soon(slf: This<'_, '_>) -> bool {
    let core = slf.get().core(slf.py());
    core.is_some_and(|core| core.get().send_soon(slf.py(), slf.clone().into_any().unbind()))
}

/// Sends what is held back, if anything is.
pub(crate) fn send_held(slf: This<'_, '_>) -> PyResult<()> {
    if !slf.get().with(slf.py(), |state| std::mem::take(&mut state.held)) {
        return Ok(());
    }
    match send_now(slf) {
        // Written by `resume_writing`, when a closed transport had made room.
        Ok(true) if slf.get().with(slf.py(), |state| state.closing) => close::connection_lost(slf, None),
        Ok(true) => Ok(()),
        Ok(false) => {
            send_rest(slf)?;
            flow::maybe_pause(slf)
        }
        Err(error) => write_failed(slf, error),
    }
}

/// Sends what the kernel takes at once; tells whether that was all.
fn send_now(slf: This<'_, '_>) -> io::Result<bool> {
    let py = slf.py();
    slf.get().with(py, |state| {
        while let Some(socket) = &state.socket {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let filled = state.queue.fill(py, &mut parts);
            let parts = &parts[..filled];
            let wanted: usize = parts.iter().map(|part| part.len()).sum();
            let sent = match parts {
                [] => return Ok(true),
                [one] => socket.send_now(one)?,
                many => socket.send_parts_now(many)?,
            };
            state.queue.advance(py, sent);
            if sent < wanted {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// `writelines(list_of_data)`.
pub(super) fn write_lines(slf: This<'_, '_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
    check_writable(
        slf,
        "Cannot call writelines() after write_eof()",
        "unable to writelines; sendfile is in progress",
    )?;
    let lines = lines.try_iter()?.map(|item| line(&item?)).collect::<PyResult<Vec<_>>>()?;
    if lines.is_empty() || came_too_late(slf)? {
        return Ok(());
    }
    keep(slf, lines)
}

/// `write_eof()`: nothing more is written; the peer is told once all is sent.
pub(super) fn write_eof(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
    send_held(slf)?;
    let shut = slf.get().with(py, |state| {
        if state.closing || std::mem::replace(&mut state.ended, true) || !state.queue.is_empty() {
            return Ok(());
        }
        state.socket.as_ref().map_or(Ok(()), super::Socket::shut_writing)
    });
    shut.map_err(close::os_error(py))
}

fn check_writable(slf: This<'_, '_>, ended: &'static str, busy: &'static str) -> PyResult<()> {
    slf.get().with(slf.py(), |state| match &state.objects.empty_waiter {
        _ if state.ended => Err(PyRuntimeError::new_err(ended)),
        Some(_) => Err(PyRuntimeError::new_err(busy)),
        None => Ok(()),
    })
}

/// Whether the connection is lost: then writes are forgotten, and asyncio warns about them from the fifth.
fn came_too_late(slf: This<'_, '_>) -> PyResult<bool> {
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

/// `asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_FROM: u32 = 5;

/// Sends what is kept as far as there is room, and has the task send the rest.
fn send_rest(slf: This<'_, '_>) -> PyResult<()> {
    // A task that was not polled yet sends when it is.
    match slf.get().with(slf.py(), |state| state.task.clone()) {
        Some(task) => turn(slf, &mut Context::from_waker(&task)),
        None => Ok(()),
    }
}

/// Sends what is kept, as far as there is room. Whoever `cx` wakes has to come back when there is more.
pub(super) fn turn(slf: This<'_, '_>, cx: &mut Context<'_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    if this.with(py, |state| state.queue.is_empty() || state.held || state.lost > 0) {
        return Ok(());
    }
    match send_kept(slf, cx) {
        Ok(false) => {}
        Ok(true) => {
            flow::maybe_resume(slf)?;
            if this.with(py, |state| state.queue.is_empty()) {
                all_sent(slf)?;
            } else {
                cx.waker().wake_by_ref();
            }
        }
        Err(error) => write_failed(slf, error)?,
    }
    Ok(())
}

/// Sends until there is no room; tells whether anything went out.
fn send_kept(slf: This<'_, '_>, cx: &mut Context<'_>) -> io::Result<bool> {
    let py = slf.py();
    slf.get().with(py, |state| {
        let mut any = false;
        while let Some(socket) = &state.socket {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let filled = state.queue.fill(py, &mut parts);
            if filled == 0 {
                break;
            }
            match socket.poll_send(cx, &parts[..filled]) {
                Poll::Pending => break,
                Poll::Ready(count) => state.queue.advance(py, count?),
            }
            any = true;
        }
        Ok(any)
    })
}

fn write_failed(slf: This<'_, '_>, error: io::Error) -> PyResult<()> {
    let py = slf.py();
    let error = close::os_error(py)(error);
    slf.get().with(py, |state| state.queue.clear());
    close::fatal(slf, error.clone_ref(py), FAILED)?;
    match empty_waiter(slf) {
        Some(waiter) => waiter.call_method1(intern!(py, "set_exception"), (error.into_value(py),)).map(drop),
        None => Ok(()),
    }
}

/// Does what waited for all to be sent.
fn all_sent(slf: This<'_, '_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    if let Some(waiter) = empty_waiter(slf) {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    if this.with(py, |state| state.closing) {
        return close::connection_lost(slf, None);
    }
    let shut = this.with(py, |state| match &state.socket {
        Some(socket) if state.ended => socket.shut_writing(),
        _ => Ok(()),
    });
    shut.map_err(close::os_error(py))
}

fn empty_waiter<'py>(slf: This<'_, 'py>) -> Option<Bound<'py, PyAny>> {
    let py = slf.py();
    slf.get().with(py, |state| state.objects.empty_waiter.as_ref().map(|waiter| waiter.bind(py).clone()))
}

/// A future that is done when all is sent. Until it is taken back nothing more can be written.
pub(super) fn make_empty_waiter<'py>(slf: This<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (slf.py(), slf.get());
    if empty_waiter(slf).is_some() {
        return Err(PyRuntimeError::new_err("Empty waiter is already set"));
    }
    let Some(core) = this.core(py) else {
        return Err(PyRuntimeError::new_err("the transport is closed"));
    };
    send_held(slf)?;
    let waiter = core.call_method0(intern!(py, "create_future"))?;
    let kept = waiter.clone().unbind();
    let empty = this.with(py, |state| {
        state.objects.empty_waiter = Some(kept);
        state.queue.is_empty()
    });
    if empty {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(waiter)
}
