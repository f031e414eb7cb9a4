//! Reading: what arrived goes to the protocol, one piece a turn, so that others get theirs.

use super::{
    State, This,
    close::{self, fatal},
    context::call,
    receiver::Receiver,
};
use pyo3::{exceptions::PyRuntimeError, intern, prelude::*, types::PyBytes};
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll},
};

/// The most that one read takes; CPython's transports have the same.
const MOST: usize = 256 * 1024;

thread_local! {
    /// What is read into, for all transports of a thread. Untouched pages cost nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST]);
}

/// Where reading stands.
#[derive(Default)]
pub(super) struct Reading {
    /// `connection_made` was called.
    pub(super) started: bool,
    pub(super) paused: bool,
    /// The peer has ended its stream and the protocol wants to go on writing.
    pub(super) ended: bool,
}

impl State {
    fn reads(&self) -> bool {
        self.socket.is_some()
            && !self.closing
            && self.lost == 0
            && self.reading.started
            && !self.reading.paused
            && !self.reading.ended
    }
}

/// Reads once, if that is wanted and something is there, and hands it to the protocol.
pub(super) fn turn(slf: This<'_, '_>, cx: &mut Context<'_>) -> PyResult<()> {
    if slf.get().with(slf.py(), |state| !state.reads() || poll_readable(state, cx).is_pending()) {
        return Ok(());
    }
    match Receiver::of(slf) {
        Ok(None) => return Ok(()),
        Ok(Some(Receiver::Data(received))) => data_received(slf, cx, received.bind(slf.py()))?,
        Ok(Some(Receiver::Buffer { get, updated })) => {
            fill_buffer(slf, cx, get.bind(slf.py()), updated.bind(slf.py()))?;
        }
        Err(error) => fatal(slf, error, "Fatal error: the protocol cannot receive data.")?,
    }
    // Others first, then the rest.
    if slf.get().with(slf.py(), |state| state.reads() && poll_readable(state, cx).is_ready()) {
        cx.waker().wake_by_ref();
    }
    Ok(())
}

fn poll_readable(state: &State, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    state.socket.as_ref().map_or(Poll::Pending, |socket| socket.poll_readable(cx))
}

/// Reads into `buffer`.
fn receive(slf: This<'_, '_>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    slf.get().with(slf.py(), |state| match &state.socket {
        Some(socket) => socket.poll_receive(cx, buffer),
        None => Poll::Pending,
    })
}

/// Reads at most `limit` bytes into a byte string; an empty one is the end of the stream.
fn receive_bytes<'py>(
    slf: This<'_, 'py>,
    cx: &mut Context<'_>,
    limit: usize,
) -> Poll<io::Result<Bound<'py, PyBytes>>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = scratch.len().min(limit);
        receive(slf, cx, &mut scratch[..room]).map_ok(|count| PyBytes::new(slf.py(), &scratch[..count]))
    })
}

fn data_received(slf: This<'_, '_>, cx: &mut Context<'_>, method: &Bound<'_, PyAny>) -> PyResult<()> {
    match receive_bytes(slf, cx, MOST) {
        Poll::Pending => Ok(()),
        Poll::Ready(Err(error)) => read_failed(slf, error),
        Poll::Ready(Ok(data)) if data.as_bytes().is_empty() => stream_ended(slf),
        Poll::Ready(Ok(data)) => match call(slf, method, &[data.as_any()]) {
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
            match call(slf, updated, &[count.into_pyobject(py)?.as_any()]) {
                Ok(_) => Ok(()),
                Err(error) => fatal(slf, error, "Fatal error: protocol.buffer_updated() call failed."),
            }
        }
    }
}

fn get_buffer<'py>(slf: This<'_, 'py>, get: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let buffer = call(slf, get, &[(-1i32).into_pyobject(slf.py())?.as_any()])?;
    if buffer.len()? == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
    }
    Ok(buffer)
}

#[cfg(not(Py_LIMITED_API))]
#[expect(unsafe_code, reason = "the buffer's memory is Python's")]
fn receive_into(slf: This<'_, '_>, cx: &mut Context<'_>, buffer: &Bound<'_, PyAny>) -> Poll<PyResult<usize>> {
    let view = match pyo3::buffer::PyBuffer::<u8>::get(buffer) {
        Ok(view) if !view.readonly() && view.is_c_contiguous() => view,
        _ => return receive_and_copy(slf, cx, buffer),
    };
    // SAFETY: the view keeps `len_bytes` writable bytes in place until it is dropped; Python code, which
    // might look at them, does not run during the read, which holds the GIL.
    let bytes = unsafe { std::slice::from_raw_parts_mut(view.buf_ptr().cast::<u8>(), view.len_bytes()) };
    receive(slf, cx, bytes).map_err(close::os_error(slf.py()))
}

#[cfg(Py_LIMITED_API)]
fn receive_into(slf: This<'_, '_>, cx: &mut Context<'_>, buffer: &Bound<'_, PyAny>) -> Poll<PyResult<usize>> {
    receive_and_copy(slf, cx, buffer)
}

/// For buffers that cannot be read into directly; those that cannot be written to give Python's error.
fn receive_and_copy(
    slf: This<'_, '_>,
    cx: &mut Context<'_>,
    buffer: &Bound<'_, PyAny>,
) -> Poll<PyResult<usize>> {
    let py = slf.py();
    let view =
        match pyo3::types::PyMemoryView::from(buffer).and_then(|view| view.call_method1("cast", ("B",))) {
            Ok(view) => view,
            Err(error) => return Poll::Ready(Err(error)),
        };
    let limit = match view.len() {
        Ok(limit) => limit,
        Err(error) => return Poll::Ready(Err(error)),
    };
    receive_bytes(slf, cx, limit).map_err(close::os_error(py)).map(|received| {
        let data = received?;
        let count = data.as_bytes().len();
        view.set_item(pyo3::types::PySlice::new(py, 0, count.cast_signed(), 1), data)?;
        Ok(count)
    })
}

fn read_failed(slf: This<'_, '_>, error: io::Error) -> PyResult<()> {
    fatal(slf, close::os_error(slf.py())(error), "Fatal read error on socket transport")
}

/// The peer ended its stream: the protocol says whether the transport stays open for writing.
fn stream_ended(slf: This<'_, '_>) -> PyResult<()> {
    let (py, this) = (slf.py(), slf.get());
    let Some(protocol) = this.protocol(py) else { return Ok(()) };
    let answer = protocol
        .getattr(intern!(py, "eof_received"))
        .and_then(|method| call(slf, &method, &[]))
        .and_then(|keep| keep.is_truthy());
    match answer {
        Ok(true) => this.with(py, |state| state.reading.ended = true),
        Ok(false) => close::close(slf)?,
        Err(error) => fatal(slf, error, "Fatal error: protocol.eof_received() call failed.")?,
    }
    Ok(())
}
