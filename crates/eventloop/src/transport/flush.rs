//! Flushing: sends what was written, as far as the socket takes it.

use super::{backpressure, empty_waiter, errors, lost, queue::MAX_PARTS, state::This};
use pyo3::prelude::*;
use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

const FAILED: &str = "Fatal write error on socket transport";

/// Sends what is held until the end of the turn, if anything is.
pub(crate) fn flush_held(slf: This<'_, '_>) -> PyResult<()> {
    if !slf.get().with(slf.py(), |state| std::mem::take(&mut state.held)) {
        return Ok(());
    }
    match send_now(slf) {
        // `resume_writing` wrote this after `close()`.
        Ok(true) if slf.get().with(slf.py(), |state| state.closing) => lost::connection_lost(slf, None),
        Ok(true) => Ok(()),
        Ok(false) => {
            send_rest(slf)?;
            backpressure::maybe_pause(slf)
        }
        Err(error) => write_failed(slf, error),
    }
}

/// Sends what the socket takes at once; returns whether that was all.
fn send_now(slf: This<'_, '_>) -> io::Result<bool> {
    let py = slf.py();
    slf.get().with(py, |state| {
        while let Some(socket) = &state.socket {
            let mut parts = [IoSlice::new(&[]); MAX_PARTS];
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

/// Sends what is queued as far as the socket takes it, and has the task send the rest.
fn send_rest(slf: This<'_, '_>) -> PyResult<()> {
    // A task that was not polled yet sends when it is polled.
    match slf.get().with(slf.py(), |state| state.task.clone()) {
        Some(task) => turn(slf, &mut Context::from_waker(&task)),
        None => Ok(()),
    }
}

/// Sends what is queued as far as the socket takes it; `cx` is woken when it takes more.
pub(super) fn turn(slf: This<'_, '_>, cx: &mut Context<'_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    if this.with(py, |state| state.queue.is_empty() || state.held || state.lost > 0) {
        return Ok(());
    }
    match send_queued(slf, cx) {
        Ok(false) => {}
        Ok(true) => {
            backpressure::maybe_resume(slf)?;
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

/// Sends until the socket is full; returns whether anything was sent.
fn send_queued(slf: This<'_, '_>, cx: &mut Context<'_>) -> io::Result<bool> {
    let py = slf.py();
    slf.get().with(py, |state| {
        let mut any = false;
        while let Some(socket) = &state.socket {
            let mut parts = [IoSlice::new(&[]); MAX_PARTS];
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
    let error = errors::os_error(py)(error);
    slf.get().with(py, |state| state.queue.clear());
    errors::fatal(slf, error.clone_ref(py), FAILED)?;
    empty_waiter::fail(slf, error)
}

/// Does what was postponed until the queue is empty.
fn all_sent(slf: This<'_, '_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    empty_waiter::finish(slf)?;
    if this.with(py, |state| state.closing) {
        return lost::connection_lost(slf, None);
    }
    let shut = this.with(py, |state| match &state.socket {
        Some(socket) if state.ended => socket.shut_writing(),
        _ => Ok(()),
    });
    shut.map_err(errors::os_error(py))
}
