//! Reading: passes what arrived to the protocol, one read a turn, so that other connections get theirs.

use super::{
    close,
    context::call,
    errors::{fatal, os_error},
    receive::{MAX_READ_BYTES, receive_bytes, receive_into},
    receiver::Receiver,
    state::{State, This},
};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*};
use std::{
    io,
    task::{Context, Poll},
};

/// Reads once, if the protocol is reading and data has arrived, and passes it to the protocol.
pub(super) fn turn(slf: This<'_, '_>, cx: &mut Context<'_>) -> PyResult<()> {
    if slf.get().with(slf.py(), |state| !state.reads() || poll_readable(state, cx).is_pending()) {
        return Ok(());
    }
    match slf.get().receiver(slf.py()) {
        Ok(None) => return Ok(()),
        Ok(Some(Receiver::Data(received))) => data_received(slf, cx, received.bind(slf.py()))?,
        Ok(Some(Receiver::Buffer { get, updated })) => {
            fill_buffer(slf, cx, get.bind(slf.py()), updated.bind(slf.py()))?;
        }
        Err(error) => fatal(slf, error, "Fatal error: the protocol cannot receive data.")?,
    }
    // Other tasks run before the rest is read.
    if slf.get().with(slf.py(), |state| state.reads() && poll_readable(state, cx).is_ready()) {
        cx.waker().wake_by_ref();
    }
    Ok(())
}

fn poll_readable(state: &State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    state.socket.as_ref().map_or(Poll::Pending, |socket| socket.poll_readable(cx))
}

fn data_received(slf: This<'_, '_>, cx: &mut Context<'_>, method: &Bound<'_, PyAny>) -> PyResult<()> {
    match receive_bytes(slf, cx, MAX_READ_BYTES) {
        Poll::Pending => Ok(()),
        Poll::Ready(Err(error)) => read_failed(slf, error),
        Poll::Ready(Ok(data)) if data.as_bytes().is_empty() => stream_ended(slf),
        Poll::Ready(Ok(data)) => match call(slf, method, (data,)) {
            Ok(_) => Ok(()),
            Err(error) => fatal(slf, error, "Fatal error: protocol.data_received() call failed."),
        },
    }
}

/// Reads into the buffer of a `BufferedProtocol`.
fn fill_buffer(
    slf: This<'_, '_>,
    cx: &mut Context<'_>,
    get: &Bound<'_, PyAny>,
    updated: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = slf.py();
    let buffer = match get_buffer(slf, get) {
        Ok(buffer) => buffer,
        Err(error) => return fatal(slf, error, "Fatal error: protocol.get_buffer() call failed."),
    };
    // `get_buffer` may have closed the transport.
    if slf.get().with(py, |state| state.lost > 0) {
        return Ok(());
    }
    match receive_into(slf, cx, &buffer) {
        Poll::Pending => Ok(()),
        Poll::Ready(Err(error)) => fatal(slf, error, "Fatal read error on socket transport"),
        Poll::Ready(Ok(0)) => stream_ended(slf),
        Poll::Ready(Ok(count)) => {
            drop(buffer);
            match call(slf, updated, (count,)) {
                Ok(_) => Ok(()),
                Err(error) => fatal(slf, error, "Fatal error: protocol.buffer_updated() call failed."),
            }
        }
    }
}

fn get_buffer<'py>(slf: This<'_, 'py>, get: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let buffer = call(slf, get, (-1i32,))?;
    if buffer.len()? == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
    }
    Ok(buffer)
}

fn read_failed(slf: This<'_, '_>, error: io::Error) -> PyResult<()> {
    fatal(slf, os_error(slf.py())(error), "Fatal read error on socket transport")
}

/// The peer ended its stream: the protocol says whether the transport stays open for writing.
fn stream_ended(slf: This<'_, '_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let keep_open = protocol
        .getattr(intern!(py, "eof_received"))
        .and_then(|method| call(slf, &method, ()))
        .and_then(|keep| keep.is_truthy());
    match keep_open {
        Ok(true) => this.with(py, |state| state.reading.ended = true),
        Ok(false) => close::close(slf)?,
        Err(error) => fatal(slf, error, "Fatal error: protocol.eof_received() call failed.")?,
    }
    Ok(())
}
