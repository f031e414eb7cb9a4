//! Writing: at once if the kernel takes it; only the rest is kept, and sent when there is room.

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

const FAILED: &str = "Fatal write error on socket transport";

/// `write(data)`.
pub(super) fn write(slf: This<'_, '_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let data = written(data)?;
    check_writable(slf, "Cannot call write() after write_eof()", "unable to write; sendfile is in progress")?;
    if data.as_bytes().is_empty() {
        return Ok(());
    }
    if came_too_late(slf)? {
        return Ok(());
    }
    match send_or_keep(slf, data) {
        Ok(true) => Ok(()),
        Ok(false) => {
            send_rest(slf)?;
            flow::maybe_pause(slf)
        }
        Err(error) => close::fatal(slf, close::os_error(slf.py())(error), FAILED),
    }
}

/// Sends what the kernel takes and keeps the rest; tells whether all was sent.
fn send_or_keep(slf: This<'_, '_>, data: Bound<'_, PyBytes>) -> io::Result<bool> {
    slf.get().with(slf.py(), |state| {
        let sent = match &state.socket {
            Some(socket) if state.queue.is_empty() => socket.send_now(data.as_bytes())?,
            _ => 0,
        };
        if sent == data.as_bytes().len() {
            return Ok(true);
        }
        state.queue.push(data, sent);
        Ok(false)
    })
}

/// `writelines(list_of_data)`.
pub(super) fn write_lines(slf: This<'_, '_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    check_writable(
        slf,
        "Cannot call writelines() after write_eof()",
        "unable to writelines; sendfile is in progress",
    )?;
    let lines = lines.try_iter()?.map(|item| line(&item?)).collect::<PyResult<Vec<_>>>()?;
    if lines.is_empty() || came_too_late(slf)? {
        return Ok(());
    }
    if let [only] = lines.as_slice()
        && this.with(py, |state| state.queue.is_empty())
    {
        return write(slf, only);
    }
    match keep_and_send(slf, lines) {
        Ok(true) => Ok(()),
        Ok(false) => {
            send_rest(slf)?;
            flow::maybe_pause(slf)
        }
        Err(error) => write_failed(slf, error),
    }
}

/// Keeps the lines and sends what the kernel takes; tells whether all was sent.
fn keep_and_send(slf: This<'_, '_>, lines: Vec<Bound<'_, PyBytes>>) -> io::Result<bool> {
    let py = slf.py();
    slf.get().with(py, |state| {
        let first = state.queue.is_empty();
        lines.into_iter().for_each(|line| state.queue.push(line, 0));
        if let Some(socket) = &state.socket
            && first
        {
            let mut parts = [IoSlice::new(&[]); PARTS];
            let filled = state.queue.fill(py, &mut parts);
            let sent = socket.send_parts_now(&parts[..filled])?;
            state.queue.advance(py, sent);
        }
        Ok(state.queue.is_empty())
    })
}

/// `write_eof()`: nothing more is written; the peer is told once all is sent.
pub(super) fn write_eof(slf: This<'_, '_>) -> PyResult<()> {
    let py = slf.py();
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
    if this.with(py, |state| state.queue.is_empty() || state.lost > 0) {
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
