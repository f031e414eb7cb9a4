//! Methods of requests as Python strings.

use hyper::Method;
use pyo3::{Bound, Py, Python, types::PyString};

/// The common methods, made once.
pub(crate) struct MethodNames {
    get: Py<PyString>,
    post: Py<PyString>,
    put: Py<PyString>,
    delete: Py<PyString>,
    head: Py<PyString>,
    options: Py<PyString>,
    patch: Py<PyString>,
}

impl MethodNames {
    pub(crate) fn new(py: Python<'_>) -> Self {
        let text = |method: Method| PyString::intern(py, method.as_str()).unbind();
        Self {
            get: text(Method::GET),
            post: text(Method::POST),
            put: text(Method::PUT),
            delete: text(Method::DELETE),
            head: text(Method::HEAD),
            options: text(Method::OPTIONS),
            patch: text(Method::PATCH),
        }
    }

    /// The string for a method.
    pub(crate) fn of<'py>(&self, py: Python<'py>, method: &Method) -> Bound<'py, PyString> {
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
}
