//! Python's byte strings on their way to hyper.

use bytes::Bytes;
use pyo3::{exceptions::PyTypeError, prelude::*, pybacked::PyBackedBytes, types::PyBytes};

/// Bodies up to this size are copied, larger ones are sent from Python's memory.
const COPY_UP_TO: usize = 2048;

/// The content of a `bytes`.
pub(crate) fn bytes_object(body: &Bound<'_, PyBytes>) -> PyResult<Bytes> {
    match body.as_bytes() {
        bytes if bytes.len() <= COPY_UP_TO => Ok(Bytes::copy_from_slice(bytes)),
        _ => Ok(Bytes::from_owner(body.extract::<PyBackedBytes>()?)),
    }
}

/// The content of a `bytes`, `bytearray` or `memoryview`.
pub(crate) fn bytes_of(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = body.cast::<PyBytes>() {
        return bytes_object(bytes);
    }
    match body.extract::<PyBackedBytes>() {
        Ok(bytes) => Ok(Bytes::from_owner(bytes)),
        Err(_) => {
            let view = body.py().get_type::<PyBytes>().call1((body,)).ok().filter(|_| is_buffer(body));
            let copy =
                view.ok_or_else(|| PyTypeError::new_err(format!("a body is a byte string, not {body:?}")))?;
            Ok(Bytes::copy_from_slice(copy.cast::<PyBytes>()?.as_bytes()))
        }
    }
}

/// `bytes(5)` is five zero bytes, so numbers and iterables must not get as far as that.
fn is_buffer(object: &Bound<'_, PyAny>) -> bool {
    object.get_type().name().is_ok_and(|name| name == "memoryview" || name == "bytearray")
}
