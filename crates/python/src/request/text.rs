//! Bytes of a request as Python strings.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use pyo3::{Bound, Python, types::PyString};
use std::borrow::Cow;

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
    PyString::new(py, &decoded(path))
}

/// A path, percent-decoded, as UTF-8.
pub(crate) fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

/// What a path may hold as it is (RFC 3986 §3.3).
const OF_PATHS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':');

/// A path as it stands in URLs.
pub(crate) fn quoted(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, &OF_PATHS).into()
}

/// The decoded path inside the one that the application is mounted on; `None` if it is not inside.
pub(crate) fn inside(path: &str, root_path: &str) -> Option<Vec<u8>> {
    let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
    let rest = decoded.strip_prefix(root_path.as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then(|| rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{inside, quoted};

    #[test]
    fn a_path_is_inside_another_by_whole_segments() {
        for (path, rest) in [
            ("/shop/a", Some("/a")),
            ("/shop", Some("")),
            ("/shop/", Some("/")),
            ("/%73hop/a%2Fb", Some("/a/b")),
            ("/shopping", None),
            ("/", None),
            ("/a/shop", None),
        ] {
            assert_eq!(inside(path, "/shop").as_deref(), rest.map(str::as_bytes), "{path}");
        }
        assert_eq!(inside("/k%C3%A4se/x", "/käse").as_deref(), Some(&b"/x"[..]));
        assert_eq!(quoted("/käse/a b"), "/k%C3%A4se/a%20b");
    }
}
