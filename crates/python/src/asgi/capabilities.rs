//! `scope["asgi"]` and `scope["extensions"]`: what the server supports, in dictionaries of the request's own.
//!
//! Applications may change and keep them. Most do neither, and five dictionaries are a twentieth of the cost of a small
//! request: the next request reuses those of the last one if they have no other reference and no change.

use crate::capi::{holds, references};
use hostler_eventloop::GilCell;
use pyo3::{
    prelude::*,
    types::{PyDict, PyString},
};

const EXTENSIONS: [&str; 3] =
    ["http.response.pathsend", "http.response.early_hint", "http.response.trailers"];

/// Makes and reuses them.
pub(super) struct Capabilities {
    asgi: [(Py<PyString>, Py<PyString>); 2],
    extensions: [Py<PyString>; 3],
    /// Those of the last request, which may still run.
    last: GilCell<Option<Set>>,
}

/// The dictionaries of one request.
pub(super) struct Set {
    pub(super) asgi: Py<PyDict>,
    pub(super) extensions: Py<PyDict>,
    each: [Py<PyDict>; 3],
}

impl Capabilities {
    pub(super) fn new(py: Python<'_>) -> Self {
        let text = |text| PyString::intern(py, text).unbind();
        let asgi = [(text("version"), text("3.0")), (text("spec_version"), text("2.5"))];
        Self { asgi, extensions: EXTENSIONS.map(text), last: GilCell::default() }
    }

    /// A set for one request; `use_it` must not keep it.
    pub(super) fn with<R>(&self, py: Python<'_>, use_it: impl FnOnce(&Set) -> PyResult<R>) -> PyResult<R> {
        let set = match self.last.with(py, Option::take) {
            Some(set) if self.is_untouched(py, &set) => set,
            _ => self.make(py)?,
        };
        let used = use_it(&set);
        let before = self.last.with(py, |last| last.replace(set));
        drop(before);
        used
    }

    fn make(&self, py: Python<'_>) -> PyResult<Set> {
        let (asgi, extensions) = (PyDict::new(py), PyDict::new(py));
        for (name, value) in &self.asgi {
            asgi.set_item(name, value)?;
        }
        let each = [PyDict::new(py), PyDict::new(py), PyDict::new(py)];
        for (name, capability) in self.extensions.iter().zip(&each) {
            extensions.set_item(name, capability)?;
        }
        Ok(Set { asgi: asgi.unbind(), extensions: extensions.unbind(), each: each.map(Bound::unbind) })
    }

    /// Whether a set is as it was made, and has no references but ours.
    fn is_untouched(&self, py: Python<'_>, set: &Set) -> bool {
        let (asgi, extensions) = (set.asgi.bind(py), set.extensions.bind(py));
        let held = references(asgi) > 1 || references(extensions) > 1;
        if held || asgi.len() != self.asgi.len() || extensions.len() != set.each.len() {
            return false;
        }
        let kept = self.extensions.iter().zip(&set.each);
        holds(asgi, self.asgi.iter().map(|(name, value)| (name.as_ptr(), value.as_ptr())))
            && holds(extensions, kept.map(|(name, capability)| (name.as_ptr(), capability.as_ptr())))
            // One reference is ours, and one that of the dictionary around it.
            && set.each.iter().all(|capability| {
                let capability = capability.bind(py);
                references(capability) == 2 && capability.is_empty()
            })
    }
}
