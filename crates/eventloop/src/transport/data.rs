//! The arguments of `write` and `writelines`: byte strings, or objects with a view of bytes.

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyByteArray, PyBytes, PyMemoryView},
};

/// The argument of `write` as a byte string.
pub(super) fn write_argument<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if data.is_instance_of::<PyByteArray>() || data.is_instance_of::<PyMemoryView>() {
        return copied(data);
    }
    let given = data.get_type().name()?.repr()?;
    Err(PyTypeError::new_err(format!("data argument must be a bytes-like object, not {given}")))
}

/// An item of `writelines`, which may be anything that `memoryview` takes.
pub(super) fn writelines_item<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    match data.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => copied(PyMemoryView::from(data)?.as_any()),
    }
}

/// A copy, because the original may change while it is buffered, or could not be resized meanwhile.
fn copied<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(data.py().get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?)
}
