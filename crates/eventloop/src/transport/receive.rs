//! Reading from the socket: into a byte string, or into the buffer of a `BufferedProtocol`.

use super::{errors::os_error, state::This};
use pyo3::{prelude::*, types::PyBytes};
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll},
};

/// How many bytes one read takes at most; CPython's transports have the same limit.
pub(super) const MAX_READ_BYTES: usize = 256 * 1024;

thread_local! {
    /// What is read into, for all transports of a thread. Untouched pages cost nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_READ_BYTES]);
}

/// Reads into `buffer`.
fn receive(slf: This<'_, '_>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    slf.get().with(slf.py(), |state| match &state.socket {
        Some(socket) => socket.poll_receive(cx, buffer),
        None => Poll::Pending,
    })
}

/// Reads at most `limit` bytes into a byte string; an empty one is the end of the stream.
pub(super) fn receive_bytes<'py>(
    slf: This<'_, 'py>,
    cx: &mut Context<'_>,
    limit: usize,
) -> Poll<io::Result<Bound<'py, PyBytes>>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = scratch.len().min(limit);
        receive(slf, cx, &mut scratch[..room]).map_ok(|count| PyBytes::new(slf.py(), &scratch[..count]))
    })
}

#[cfg(not(Py_LIMITED_API))]
#[expect(unsafe_code, reason = "the buffer's memory is Python's")]
pub(super) fn receive_into(
    slf: This<'_, '_>,
    cx: &mut Context<'_>,
    buffer: &Bound<'_, PyAny>,
) -> Poll<PyResult<usize>> {
    let view = match pyo3::buffer::PyBuffer::<u8>::get(buffer) {
        Ok(view) if !view.readonly() && view.is_c_contiguous() => view,
        _ => return receive_and_copy(slf, cx, buffer),
    };
    // SAFETY: the view keeps `len_bytes` writable bytes in place until it is dropped; Python code, which
    // might look at them, does not run during the read, which holds the GIL.
    let bytes = unsafe { std::slice::from_raw_parts_mut(view.buf_ptr().cast::<u8>(), view.len_bytes()) };
    receive(slf, cx, bytes).map_err(os_error(slf.py()))
}

#[cfg(Py_LIMITED_API)]
pub(super) fn receive_into(
    slf: This<'_, '_>,
    cx: &mut Context<'_>,
    buffer: &Bound<'_, PyAny>,
) -> Poll<PyResult<usize>> {
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
    receive_bytes(slf, cx, limit).map_err(os_error(py)).map(|received| {
        let data = received?;
        let count = data.as_bytes().len();
        view.set_item(pyo3::types::PySlice::new(py, 0, count.cast_signed(), 1), data)?;
        Ok(count)
    })
}
