//! The end of a transport: `connection_lost`, once.

use super::state::{SocketTransport, This};
use pyo3::{exceptions::PyConnectionError, intern, prelude::*};

/// Schedules [`connection_lost`].
pub(super) fn schedule<'py>(slf: This<'_, 'py>, error: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = slf.py();
    let callback = slf.getattr(intern!(py, "_call_connection_lost"))?;
    slf.get().call_soon(&callback, [error.unwrap_or_else(|| py.None().into_bound(py))])
}

/// Calls the protocol, closes the socket and releases all objects.
pub(super) fn connection_lost(slf: This<'_, '_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    // What the protocol writes from now on is discarded.
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
