//! The application and what every request of it needs.

use super::{capabilities::Capabilities, names::Names};
use crate::{
    call::{Listeners, Notice},
    exchange::Application,
};
use pyo3::{prelude::*, types::PyDict};
use std::cell::Cell;

/// The application and what every request of it needs.
pub(super) struct Shared {
    pub(super) application: Application,
    /// The lifespan's state, copied for each request; `None` if the application has no lifespan.
    pub(super) state: Option<Py<PyDict>>,
    pub(super) root_path: String,
    pub(super) names: Names,
    pub(super) capabilities: Capabilities,
    /// All suspended requests.
    pub(super) requests: Listeners,
    draining: Cell<bool>,
}

impl Shared {
    pub(super) fn new(
        py: Python<'_>,
        application: Application,
        state: Option<Bound<'_, PyDict>>,
        root_path: String,
    ) -> Self {
        Self {
            application,
            state: state.map(Bound::unbind),
            root_path,
            names: Names::new(py),
            capabilities: Capabilities::new(py),
            requests: Listeners::default(),
            draining: Cell::new(false),
        }
    }

    /// Whether streams are to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The worker drains.
    pub(super) fn drain(&self, py: Python<'_>) {
        self.draining.set(true);
        self.requests.notify(py, Notice::Draining);
        self.application.sockets.restart(py);
    }
}
