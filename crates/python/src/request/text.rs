//! Bytes of a request as Python strings.

use percent_encoding::percent_decode_str;
use pyo3::{Bound, Python, types::PyString};

/// "Bytes in a string": each byte is a character (PEP 3333 §Unicode Issues).
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
    }
}

/// A path, percent-decoded, as UTF-8.
pub(crate) fn unquoted<'py>(py: Python<'py>, path: &str) -> Bound<'py, PyString> {
    if !path.contains('%') {
        return PyString::new(py, path);
    }
    PyString::new(py, &percent_decode_str(path).decode_utf8_lossy())
}
