//! How a transport ends: closed, aborted or failed, and then `connection_lost`, once.

use super::{SocketTransport, This, write};
use pyo3::{
    exceptions::{PyConnectionError, PyKeyboardInterrupt, PyOSError, PySystemExit},
    intern,
    prelude::*,
};
use std::io;

/// `close()`: what was written is sent first.
pub(super) fn close(slf: This<'_, '_>) -> PyResult<()> {
    write::send_held(slf)?;
    let lost = slf.get().with(slf.py(), |state| {
        let lost = !std::mem::replace(&mut state.closing, true) && state.queue.is_empty();
        state.lost += u32::from(lost);
        lost
    });
    if lost { schedule_lost(slf, None) } else { Ok(()) }
}

/// Closes at once; what was not sent is dropped.
pub(super) fn force_close(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    write::send_held(slf)?;
    let lost = slf.get().with(slf.py(), |state| {
        if state.lost > 0 {
            return false;
        }
        state.queue.clear();
        state.closing = true;
        state.lost += 1;
        true
    });
    if lost { schedule_lost(slf, error) } else { Ok(()) }
}

fn schedule_lost<'py>(slf: This<'_, 'py>, error: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = slf.py();
    let callback = slf.getattr(intern!(py, "_call_connection_lost"))?;
    slf.get().call_soon(&callback, [error.unwrap_or_else(|| py.None().into_bound(py))])
}

/// Tells the protocol, closes the socket and lets go of everything.
pub(super) fn connection_lost(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    // Whatever the protocol does now comes too late.
    this.with(py, |state| state.lost = state.lost.max(1));
    let told = match this.protocol(py) {
        Some(protocol) => protocol.call_method1(intern!(py, "connection_lost"), (error,)).map(drop),
        None => Ok(()),
    };
    unwatch(this, py);
    // Python closes the socket and tells the server.
    let released = slf.call_method0(intern!(py, "_release")).map(drop);
    let (gone, waiter) = this.with(py, |state| {
        let objects = &mut state.objects;
        let gone =
            (objects.protocol.take(), objects.receiver.take(), objects.core.take(), objects.context.take());
        (
            (objects.sock.take(), objects.server.take(), gone),
            objects.empty_waiter.as_ref().map(|w| w.clone_ref(py)),
        )
    });
    drop(gone);
    told.and(released)?;
    match waiter {
        Some(waiter) => fail_waiter(waiter.bind(py)),
        None => Ok(()),
    }
}

fn fail_waiter(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    if waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    let error = PyConnectionError::new_err("Connection is closed by peer").into_value(py);
    waiter.call_method1(intern!(py, "set_exception"), (error,)).map(drop)
}

/// Stops watching the descriptor and ends the task.
pub(super) fn unwatch(this: &SocketTransport, py: Python<'_>) {
    let (socket, task) = this.with(py, |state| (state.socket.take(), state.task.take()));
    drop(socket);
    if let Some(task) = task {
        task.wake();
    }
}

/// Ends the transport for an error. SystemExit and KeyboardInterrupt are given back: they end the loop.
pub(super) fn fatal(slf: This<'_, '_>, error: PyErr, message: &str) -> PyResult<()> {
    let py = slf.py();
    if ends_loop(py, &error) {
        return Err(error);
    }
    slf.call_method1(intern!(py, "_fatal_error"), (error.into_value(py), message)).map(drop)
}

/// Whether an error goes through everything: SystemExit and KeyboardInterrupt do.
pub(super) fn ends_loop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// Makes errors of the system what Python's socket module raises: with the number, and of its class.
pub(super) fn os_error(py: Python<'_>) -> impl Fn(io::Error) -> PyErr {
    move |error| {
        let Some(code) = error.raw_os_error() else { return error.into() };
        let text = nix::errno::Errno::from_raw(code).desc();
        match py.get_type::<PyOSError>().call1((code, text)) {
            Ok(value) => PyErr::from_value(value),
            Err(error) => error,
        }
    }
}
