//! Files of `wsgi.file_wrapper` that are sent from their descriptor (PEP 3333 §Optional Platform-Specific File
//! Handling).

use crate::response::file_of_number;
use hostler_http::FileBody;
use pyo3::{intern, prelude::*, sync::PyOnceLock, types::PyDict};
use std::os::fd::RawFd;

/// The regular file of a `wsgi.file_wrapper`, from where it was read to; `None` if it has to be read by Python.
pub(super) fn file_of(result: &Bound<'_, PyAny>) -> PyResult<Option<FileBody>> {
    let py = result.py();
    static WRAPPER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let wrapper = WRAPPER.import(py, "hostler._wsgi", "FileWrapper")?;
    if !result.get_type().is(wrapper) {
        return Ok(None);
    }
    let file = result.getattr(intern!(py, "filelike"))?;
    if !is_what_its_descriptor_holds(&file)? {
        return Ok(None);
    }
    let place = || -> PyResult<(RawFd, u64)> {
        let descriptor = file.call_method0(intern!(py, "fileno"))?.extract()?;
        Ok((descriptor, file.call_method0(intern!(py, "tell"))?.extract()?))
    };
    let Ok((descriptor, start)) = place() else { return Ok(None) };
    Ok(file_of_number(descriptor, start)?)
}

/// Whether reading the object gives the bytes of its descriptor, from `tell()` on.
///
/// Many objects have a `fileno()` that holds something else than they read: the compressed bytes of a `GzipFile`, the
/// archive of a zip member. So only Python's own binary files count, and neither subclasses nor objects on which a
/// method was replaced.
fn is_what_its_descriptor_holds(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = file.py();
    static RAW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static BUFFERED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static RANDOM: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let raw_class = RAW.import(py, "io", "FileIO")?;
    let is_buffered = file.get_type().is(BUFFERED.import(py, "io", "BufferedReader")?)
        || file.get_type().is(RANDOM.import(py, "io", "BufferedRandom")?);
    let raw = if is_buffered { file.getattr(intern!(py, "raw"))? } else { file.clone() };
    if !raw.get_type().is(raw_class) || has_own_methods(file)? || has_own_methods(&raw)? {
        return Ok(false);
    }
    if is_buffered {
        // What was written to it and is still in Python's buffer belongs to the file.
        file.call_method0(intern!(py, "flush"))?;
    }
    raw.call_method0(intern!(py, "readable"))?.extract()
}

fn has_own_methods(file: &Bound<'_, PyAny>) -> PyResult<bool> {
    let own = file.getattr(intern!(file.py(), "__dict__"))?;
    let own = own.cast::<PyDict>()?;
    for name in ["read", "readinto", "readall", "fileno", "tell"] {
        if own.contains(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}
