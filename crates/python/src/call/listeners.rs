//! Notifying suspended requests of what happens to their client and worker.

use super::registry::{Entry, Registry};
use pyo3::{PyClass, prelude::*};

/// What a suspended request is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The client sends no more; it may still read.
    ClientHalfClosed,
    /// The connection is closed.
    ConnectionClosed,
    /// The worker drains: streams without an end should end.
    Draining,
}

/// A request that can be notified.
pub(crate) trait Listen: PyClass {
    fn notified(slf: &Bound<'_, Self>, notice: Notice);
}

/// The suspended requests of a connection, or of a worker.
#[derive(Default)]
pub(crate) struct Listeners(Registry<Listener>);

/// A request is notified until its handle is dropped.
pub(crate) struct Listening {
    _entry: Entry<Listener>,
}

struct Listener {
    request: Py<PyAny>,
    notify: fn(&Bound<'_, PyAny>, Notice),
}

impl Listeners {
    /// Has `request` notified from now on.
    pub(crate) fn add<T: Listen>(&self, request: &Bound<'_, T>) -> Listening {
        let notify = |request: &Bound<'_, PyAny>, notice| {
            if let Ok(request) = request.cast::<T>() {
                T::notified(request, notice);
            }
        };
        let listener = Listener { request: request.clone().into_any().unbind(), notify };
        Listening { _entry: self.0.enter(listener) }
    }

    /// Notifies all.
    pub(crate) fn notify(&self, py: Python<'_>, notice: Notice) {
        for (request, notify) in self.0.all(|listener| (listener.request.clone_ref(py), listener.notify)) {
            notify(request.bind(py), notice);
        }
    }
}
