//! Strings and byte strings that every request needs, made once.

use hyper::{Method, Version, header::HeaderName};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyString},
};
use std::{cell::RefCell, collections::HashMap};

/// The most header names that are kept as Python objects; a client that sends new ones for ever gains nothing.
const KEPT_HEADER_NAMES: usize = 256;

macro_rules! names {
    ($($field:ident = $text:literal),* $(,)?) => {
        /// Interned strings.
        pub(super) struct Names {
            $(pub(super) $field: Py<PyString>,)*
            pub(super) empty_bytes: Py<PyBytes>,
            header_names: RefCell<HashMap<HeaderName, Py<PyBytes>>>,
        }

        impl Names {
            pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
                Ok(Self {
                    $($field: PyString::intern(py, $text).unbind(),)*
                    empty_bytes: PyBytes::new(py, b"").unbind(),
                    header_names: RefCell::default(),
                })
            }
        }
    };
}

names! {
    get = "GET", post = "POST", put = "PUT", delete = "DELETE", head = "HEAD", options = "OPTIONS", patch = "PATCH",
    http_10 = "1.0", http_11 = "1.1",
    http_version = "http_version", method = "method", path = "path", raw_path = "raw_path",
    query_string = "query_string", headers = "headers", state = "state",
    asgi = "asgi", extensions = "extensions",
    slash = "/",
}

impl Names {
    /// The method as a string; the common ones exist already.
    pub(super) fn method<'py>(&self, py: Python<'py>, method: &Method) -> Bound<'py, PyString> {
        let known = match *method {
            Method::GET => &self.get,
            Method::POST => &self.post,
            Method::PUT => &self.put,
            Method::DELETE => &self.delete,
            Method::HEAD => &self.head,
            Method::OPTIONS => &self.options,
            Method::PATCH => &self.patch,
            _ => return PyString::new(py, method.as_str()),
        };
        known.bind(py).clone()
    }

    pub(super) fn version(&self, version: Version) -> &Py<PyString> {
        if version == Version::HTTP_10 { &self.http_10 } else { &self.http_11 }
    }

    /// A header name as bytes, lower-cased as hyper has it.
    pub(super) fn header<'py>(&self, py: Python<'py>, name: &HeaderName) -> Bound<'py, PyBytes> {
        let mut known = self.header_names.borrow_mut();
        if let Some(bytes) = known.get(name) {
            return bytes.bind(py).clone();
        }
        let bytes = PyBytes::new(py, name.as_str().as_bytes());
        if known.len() < KEPT_HEADER_NAMES {
            known.insert(name.clone(), bytes.clone().unbind());
        }
        bytes
    }
}
