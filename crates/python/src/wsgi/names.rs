//! Strings that every environ needs, made once.

use crate::request::{HeaderNames, MethodNames, VersionNames, WSGI_VERSIONS};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use pyo3::{prelude::*, types::PyString};

/// Interned strings.
pub(super) struct Names {
    pub(super) method: Py<PyString>,
    pub(super) path: Py<PyString>,
    pub(super) query: Py<PyString>,
    pub(super) protocol: Py<PyString>,
    pub(super) input: Py<PyString>,
    pub(super) empty: Py<PyString>,
    pub(super) methods: MethodNames,
    pub(super) versions: VersionNames,
    /// `HTTP_ACCEPT` for `accept`, and so on.
    pub(super) header_names: HeaderNames<PyString>,
}

impl Names {
    pub(super) fn new(py: Python<'_>) -> Self {
        let intern = |text| PyString::intern(py, text).unbind();
        Self {
            method: intern("REQUEST_METHOD"),
            path: intern("PATH_INFO"),
            query: intern("QUERY_STRING"),
            protocol: intern("SERVER_PROTOCOL"),
            input: intern("wsgi.input"),
            empty: intern(""),
            methods: MethodNames::new(py),
            versions: WSGI_VERSIONS.interned(py),
            header_names: HeaderNames::new(key),
        }
    }
}

/// The key of a header (PEP 3333 §environ Variables).
fn key<'py>(py: Python<'py>, name: &HeaderName) -> Bound<'py, PyString> {
    let upper = name.as_str().to_ascii_uppercase().replace('-', "_");
    match *name {
        CONTENT_TYPE | CONTENT_LENGTH => PyString::new(py, &upper),
        _ => PyString::new(py, &format!("HTTP_{upper}")),
    }
}
