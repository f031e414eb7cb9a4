//! Headers of requests as Python objects: names are cached for all requests, values for the next one of the connection.

use hostler_eventloop::GilCell;
use hyper::header::{HeaderName, HeaderValue};
use pyo3::{Bound, Py, Python};
use std::collections::HashMap;

/// How many header names are cached as Python objects; further ones are made for each request.
const MAX_NAMES: usize = 256;

/// Header names in the form of an interface.
pub(crate) struct HeaderNames<T> {
    known: GilCell<HashMap<HeaderName, Py<T>>>,
    make: for<'py> fn(Python<'py>, &HeaderName) -> Bound<'py, T>,
}

impl<T> HeaderNames<T> {
    /// Names that `make` makes. It runs no Python code.
    pub(crate) fn new(make: for<'py> fn(Python<'py>, &HeaderName) -> Bound<'py, T>) -> Self {
        Self { known: GilCell::default(), make }
    }

    /// The object for a name.
    pub(crate) fn of<'py>(&self, py: Python<'py>, name: &HeaderName) -> Bound<'py, T> {
        self.known.with(py, |known| {
            if let Some(object) = known.get(name) {
                return object.bind(py).clone();
            }
            let object = (self.make)(py, name);
            if known.len() < MAX_NAMES {
                known.insert(name.clone(), object.clone().unbind());
            }
            object
        })
    }
}

/// The headers of a connection's last request, with the Python objects made of each, which are reused while the client
/// repeats them.
pub(crate) struct LastHeaders<T>(GilCell<Vec<(HeaderName, HeaderValue, T)>>);

impl<T> Default for LastHeaders<T> {
    fn default() -> Self {
        Self(GilCell::default())
    }
}

impl<T> LastHeaders<T> {
    /// What was made of the header at `index`, if it is the same one.
    pub(crate) fn at<R>(
        &self,
        py: Python<'_>,
        index: usize,
        name: &HeaderName,
        value: &HeaderValue,
        clone: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        self.0.with(py, |last| {
            let (last_name, last_value, made) = last.get(index)?;
            (last_name == name && last_value == value).then(|| clone(made))
        })
    }

    /// Remembers what was made of a header.
    pub(crate) fn keep(&self, py: Python<'_>, index: usize, name: &HeaderName, value: &HeaderValue, made: T) {
        // A header's value shares hyper's read buffer; a copy keeps that from living on with it.
        let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { return };
        let new = (name.clone(), value, made);
        let before = self.0.with(py, |last| {
            if index < last.len() {
                return Some(std::mem::replace(&mut last[index], new));
            }
            // Not kept behind a gap, which headers of several values leave.
            if index > last.len() {
                return Some(new);
            }
            last.push(new);
            None
        });
        drop(before);
    }
}
