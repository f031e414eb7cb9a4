//! Strings and byte strings that every request needs, made once.

use hyper::{Method, Version, header::HeaderName};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict, PyString},
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
    asgi = "asgi", extensions = "extensions", version = "version", spec_version = "spec_version",
    asgi_version = "3.0", spec = "2.5",
    pathsend = "http.response.pathsend", early_hint = "http.response.early_hint",
    trailers = "http.response.trailers",
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

    /// `scope["asgi"]`, new for each request, because applications may change it.
    pub(super) fn asgi<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let asgi = PyDict::new(py);
        asgi.set_item(&self.version, &self.asgi_version)?;
        asgi.set_item(&self.spec_version, &self.spec)?;
        Ok(asgi)
    }

    /// `scope["extensions"]`: what every HTTP request can do beyond the specification's core. New for each request.
    pub(super) fn extensions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let extensions = PyDict::new(py);
        for name in [&self.pathsend, &self.early_hint, &self.trailers] {
            extensions.set_item(name, PyDict::new(py))?;
        }
        Ok(extensions)
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
