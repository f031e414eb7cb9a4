//! Strings that every scope needs, made once.

use crate::request::{ASGI_VERSIONS, HeaderNames, MethodNames, VersionNames};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};

macro_rules! names {
    ($($field:ident = $text:literal),* $(,)?) => {
        /// Interned strings.
        pub(super) struct Names {
            $(pub(super) $field: Py<PyString>,)*
            pub(super) empty_bytes: Py<PyBytes>,
            pub(super) methods: MethodNames,
            pub(super) versions: VersionNames,
            /// As bytes, lower-cased as hyper has them.
            pub(super) header_names: HeaderNames<PyBytes>,
        }

        impl Names {
            pub(super) fn new(py: Python<'_>) -> Self {
                Self {
                    $($field: PyString::intern(py, $text).unbind(),)*
                    empty_bytes: PyBytes::new(py, b"").unbind(),
                    methods: MethodNames::new(py),
                    versions: ASGI_VERSIONS.interned(py),
                    header_names: HeaderNames::new(|py, name| PyBytes::new(py, name.as_str().as_bytes())),
                }
            }
        }
    };
}

names! {
    http_version = "http_version", method = "method", path = "path", raw_path = "raw_path",
    query_string = "query_string", headers = "headers", state = "state",
    asgi = "asgi", extensions = "extensions",
    slash = "/",
}
